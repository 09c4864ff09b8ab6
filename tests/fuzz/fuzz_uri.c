/*
 * Authorities, hosts, paths and escapes. A path is checked against a second resolver that decodes first and resolves
 * then, and the normal form against itself: parsed again it gives the same path and needs no change.
 */
#include "h1/test_feed.h"
#include "http/chars.h"
#include "http/uri.h"

/* Percent-decodes; the input is known to hold no broken escape. */
static void decode(struct strb *out, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            strb_char(out, s.p[i]);
            continue;
        }
        TEST_CHECK(s.n - i >= 3);
        strb_char(out, (char)(ascii_hex(s.p[i + 1]) << 4 | ascii_hex(s.p[i + 2])));
        i += 2;
    }
}

/* Resolves the dot segments of a decoded path, a segment at a time, into `out`; false above the root. */
static bool resolve(struct strb *out, slice path, bool merge)
{
    size_t at = 0;
    while (at < path.n) {
        slice seg = slice_from(path, at + 1);
        ptrdiff_t slash = slice_find(seg, '/');
        bool last = slash < 0;
        seg = slice_upto(seg, last ? seg.n : (size_t)slash);
        at += 1 + seg.n;
        bool dot = slice_eq(seg, SLICE(".")), dots = slice_eq(seg, SLICE(".."));
        if (dots) {
            if (out->n == 0)
                return false;
            while (out->p[--out->n] != '/') {
            }
        }
        if (dot || dots || (seg.n == 0 && merge)) {
            if (last)
                strb_char(out, '/');
            continue;
        }
        strb_char(out, '/');
        strb_add(out, seg);
    }
    return true;
}

static void check_path(slice raw, bool merge)
{
    struct arena a;
    struct uri_path p, again;
    struct strb decoded, resolved;
    arena_init(&a, NULL, 0, 4096, 0);
    int rc = uri_path_parse(&a, raw, merge, &p);
    TEST_CHECK(rc == OK || rc == ERR_SYNTAX);
    if (rc == OK) {
        strb_init(&decoded, 0);
        strb_init(&resolved, 0);
        decode(&decoded, raw);
        TEST_CHECK(resolve(&resolved, strb_slice(&decoded), merge));
        TEST_CHECK(slice_eq(strb_slice(&resolved), p.path));
        TEST_CHECK(p.changed == !slice_eq(strb_slice(&decoded), p.path));
        TEST_CHECK(p.path.n && p.path.p[0] == '/' && !memchr(p.path.p, 0, p.path.n));
        strb_done(&decoded);
        strb_done(&resolved);
    }
    if (rc == OK && p.changed) {
        TEST_CHECK(p.normal.p[0] == '/');
        for (size_t i = 0; i < p.normal.n; i++)
            TEST_CHECK(p.normal.p[i] == '%' || ch_is(p.normal.p[i], CH_PCHAR));
        TEST_CHECK(uri_path_parse(&a, p.normal, merge, &again) == OK);
        TEST_CHECK(!again.changed && slice_eq(again.path, p.path));
    }
    arena_done(&a);
}

static void check_authority(slice text)
{
    struct arena a;
    slice host, normal, host2, normal2;
    uint16_t port, port2;
    if (uri_authority(text, &host, &port) != OK)
        return;
    arena_init(&a, NULL, 0, 4096, 0);
    TEST_CHECK(host.n > 0 && host.p == text.p && host.n <= text.n);
    TEST_CHECK(text.n == host.n ? port == 0 : port > 0 && text.p[host.n] == ':');
    TEST_CHECK(uri_host_normal(&a, host, &normal) && normal.n > 0);
    TEST_CHECK(uri_authority(normal, &host2, &port2) == OK && port2 == 0 && slice_eq(host2, normal));
    TEST_CHECK(uri_host_normal(&a, normal, &normal2) && normal2.p == normal.p && normal2.n == normal.n);
    for (size_t i = 0; i < text.n; i++)
        TEST_CHECK(ch_is(text.p[i], CH_TARGET) && !memchr("/?@,%\"<>", text.p[i], 8));
    arena_done(&a);
}

static void check_escape(slice text)
{
    for (unsigned kind = URI_ESCAPE_PATH; kind <= URI_ESCAPE_COMPONENT; kind++) {
        struct arena a;
        struct strb back;
        slice out, twice;
        arena_init(&a, NULL, 0, 4096, 0);
        strb_init(&back, 0);
        TEST_CHECK(uri_escape(&a, text, kind, &out));
        decode(&back, out);
        TEST_CHECK(slice_eq(strb_slice(&back), text));
        for (size_t i = 0; i < out.n; i++)
            TEST_CHECK(ch_is(out.p[i], kind == URI_ESCAPE_COMPONENT ? CH_UNRESERVED : CH_TARGET) || out.p[i] == '%');
        TEST_CHECK(slice_find(text, '%') >= 0 || out.n > text.n || out.p == text.p);
        TEST_CHECK(uri_escape(&a, back.n ? strb_slice(&back) : text, kind, &twice) && slice_eq(twice, out));
        strb_done(&back);
        arena_done(&a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4000)
        return 0;
    slice in = slice_of((const char *)data, size);
    check_path(in, true);
    check_path(in, false);
    check_authority(in);
    check_escape(in);
    return 0;
}
