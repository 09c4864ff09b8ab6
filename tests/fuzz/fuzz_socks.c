/*
 * The SOCKS codec: a message read whole and read byte by byte comes to the same, no byte beyond it is taken, and what a
 * writer makes of what was read is read as the same again.
 */
#include "h1/test_feed.h"
#include "socks/socks.h"

static bool same_dest(const struct socks_dest *a, const struct socks_dest *b)
{
    return a->type == b->type && a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0 &&
           slice_eq(socks_text(&a->name), socks_text(&b->name));
}

static void check_reader(enum socks_kind kind, slice in)
{
    struct socks_reader whole, bytes;
    size_t used, total = 0;
    int rc = ERR_MORE, want;
    socks_read(&whole, kind);
    want = socks_feed(&whole, in, &used);
    TEST_CHECK(used <= in.n && (want != ERR_MORE || used == in.n));
    socks_read(&bytes, kind);
    while (rc == ERR_MORE && total < in.n) {
        size_t n;
        rc = socks_feed(&bytes, slice_of(in.p + total, 1), &n);
        TEST_CHECK(n == 1);
        total++;
    }
    TEST_CHECK(rc == want && total == used);
    TEST_CHECK(same_dest(&whole.dest, &bytes.dest) && whole.command == bytes.command);
    TEST_CHECK(slice_eq(socks_text(&whole.user), socks_text(&bytes.user)));
    if (kind == SOCKS_REQUEST && want == OK) {
        uint8_t out[SOCKS_WRITE_MAX];
        struct socks_reader again;
        size_t n = socks_write_request(out, whole.command, &whole.dest);
        TEST_CHECK(n == used && memcmp(out, in.p, n) == 0);
        socks_read(&again, kind);
        TEST_CHECK(socks_feed(&again, slice_of((const char *)out, n), &n) == OK && same_dest(&again.dest, &whole.dest));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct socks_dest dest;
    slice in = slice_of((const char *)data, size), rest;
    if (size < 1 || size > 2000)
        return 0;
    check_reader(data[0] % (SOCKS4_ANSWER + 1), slice_from(in, 1));
    if (socks_udp_read(slice_from(in, 1), &dest, &rest) == OK) {
        uint8_t out[SOCKS_WRITE_MAX];
        size_t n = socks_udp_write(out, &dest);
        TEST_CHECK(n + rest.n == size - 1 && memcmp(out, data + 1, n) == 0);
    }
    return 0;
}
