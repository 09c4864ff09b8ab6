/*
 * Answers of DNS servers, for the name "a.test": whatever they hold, reading ends within their bytes, and what is taken
 * is within the limits. Names as well: what is taken for one holds only what one may hold.
 */
#include "h1/test_feed.h"
#include "net/dns_answer.h"

static void check_name(slice in)
{
    char out[DNS_NAME_MAX], again[DNS_NAME_MAX];
    size_t n, m;
    if (dns_name_normal(in, out, &n) != OK)
        return;
    TEST_CHECK(n > 0 && n <= DNS_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        TEST_CHECK(out[i] == '.' || out[i] == '-' || out[i] == '_' || ascii_digit(out[i]) ||
                   (out[i] >= 'a' && out[i] <= 'z'));
    TEST_CHECK(dns_name_normal(slice_of(out, n), again, &m) == OK && m == n && memcmp(out, again, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_answer a;
    if (size < 1 || size > 65535)
        return 0;
    slice in = slice_of((const char *)data + 1, size - 1);
    enum dns_type type = (data[0] & 1) ? DNS_AAAA : DNS_A;
    if (dns_answer_parse(in, SLICE("a.test"), type, &a) == OK) {
        TEST_CHECK(a.n <= DNS_ADDRS_MAX && a.ttl <= 0x7fffffff && a.status < 16);
        TEST_CHECK(a.n == 0 || a.status == DNS_OK);
        for (uint32_t i = 0; i < a.n; i++)
            TEST_CHECK(a.v[i].v6 == (type == DNS_AAAA));
    }
    check_name(in);
    return 0;
}
