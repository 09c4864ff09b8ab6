/*
 * PROXY headers. What is said of the whole must be said of every prefix as soon as it can be: no prefix of a header is
 * refused, none is taken for less than it is, and what is refused stays refused.
 */
#include "h1/test_feed.h"
#include "net/proxy_protocol.h"

static void check_inside(slice in, slice s)
{
    TEST_CHECK(s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n));
}

/* Every value that a list has is found by its type, and lies inside. */
static void check_tlvs(slice in, slice tlvs)
{
    uint32_t verify;
    slice value;
    check_inside(in, tlvs);
    for (unsigned type = 0; type < 256; type++) {
        if (proxy_tlv_find(tlvs, type, &value))
            check_inside(tlvs, value);
    }
    if (proxy_tlv_ssl(tlvs, &verify, &value)) {
        check_inside(tlvs, value);
        for (unsigned type = 0; type < 256; type++) {
            slice inner;
            if (proxy_tlv_find(value, type, &inner))
                check_inside(value, inner);
        }
    }
}

static void check_header(slice in, ptrdiff_t len, const struct proxy_header *h)
{
    char text[ADDR_TEXT_MAX];
    TEST_CHECK(len > 0 && (size_t)len <= in.n && len <= PROXY_HEADER_MAX);
    TEST_CHECK(h->version == 1 || h->version == 2);
    TEST_CHECK(!h->src.len == !h->dst.len);
    TEST_CHECK(h->src.len || !h->tlvs.n);
    TEST_CHECK(h->src.sa.sa_family == h->dst.sa.sa_family);
    if (h->src.len)
        TEST_CHECK(addr_text(text, &h->src) < sizeof(text) && addr_text_ip(text, &h->dst) < sizeof(text));
    check_tlvs(slice_upto(in, (size_t)len), h->tlvs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header h;
    const char *why = NULL;
    slice in = slice_of((const char *)data, size);
    if (size > 6000)
        return 0;
    ptrdiff_t whole = proxy_header_parse(in, &h, &why);
    TEST_CHECK(whole > 0 || whole == ERR_MORE || (whole == ERR_SYNTAX && why));
    if (whole > 0)
        check_header(in, whole, &h);
    bool refused = false;
    for (size_t n = 0; n < size; n++) {
        struct proxy_header part;
        ptrdiff_t rc = proxy_header_parse(slice_upto(in, n), &part, &why);
        if (whole > 0)
            TEST_CHECK(n < (size_t)whole ? rc == ERR_MORE : rc == whole);
        else
            TEST_CHECK(rc == ERR_MORE || rc == ERR_SYNTAX);
        TEST_CHECK(!refused || rc == ERR_SYNTAX);
        refused = rc == ERR_SYNTAX;
        TEST_CHECK(!refused || whole == ERR_SYNTAX);
    }
    return 0;
}
