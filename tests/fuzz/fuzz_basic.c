/*
 * Basic credentials of an Authorization field: what is read encodes back to what was sent, and a name is never empty
 * and never holds a colon.
 */
#include "base/err.h"
#include "h1/test_feed.h"
#include "http/basic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct strb *b, slice s)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = (uint32_t)(unsigned char)s.p[i] << 16;
        v |= i + 1 < s.n ? (uint32_t)(unsigned char)s.p[i + 1] << 8 : 0;
        v |= i + 2 < s.n ? (uint32_t)(unsigned char)s.p[i + 2] : 0;
        strb_char(b, alphabet[v >> 18]);
        strb_char(b, alphabet[v >> 12 & 63]);
        strb_char(b, i + 1 < s.n ? alphabet[v >> 6 & 63] : '=');
        strb_char(b, i + 2 < s.n ? alphabet[v & 63] : '=');
    }
}

static slice without_padding(slice s)
{
    while (s.n && s.p[s.n - 1] == '=')
        s.n--;
    return s;
}

static void check_sent(slice value)
{
    struct arena a;
    struct basic b;
    struct strb plain, text;
    arena_init(&a, NULL, 0, 1024, 0);
    int rc = basic_parse(&a, value, &b);
    TEST_CHECK(rc == OK || rc == ERR_NOTFOUND);
    if (rc == OK) {
        TEST_CHECK(b.user.n > 0 && slice_find(b.user, ':') < 0);
        strb_init(&plain, 0);
        strb_init(&text, 0);
        strb_add(&plain, b.user);
        strb_char(&plain, ':');
        strb_add(&plain, b.password);
        encode(&text, strb_slice(&plain));
        TEST_CHECK(slice_eq(without_padding(strb_slice(&text)), without_padding(slice_trim(slice_from(value, 6)))));
        strb_done(&plain);
        strb_done(&text);
    }
    arena_done(&a);
}

/* Any bytes behind a name come back as they were. */
static void check_made(slice plain)
{
    struct arena a;
    struct basic b;
    struct strb text;
    slice user, password;
    arena_init(&a, NULL, 0, 1024, 0);
    strb_init(&text, 0);
    strb_lit(&text, "Basic ");
    encode(&text, plain);
    int rc = basic_parse(&a, strb_slice(&text), &b);
    bool good = slice_cut(plain, ':', &user, &password) && user.n;
    TEST_CHECK((rc == OK) == good);
    TEST_CHECK(!good || (slice_eq(b.user, user) && slice_eq(b.password, password)));
    strb_done(&text);
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8000)
        return 0;
    slice in = slice_of((const char *)data, size);
    check_sent(in);
    check_made(in);
    return 0;
}
