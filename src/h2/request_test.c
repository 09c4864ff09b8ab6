/*
 * From decoded fields to a request: what RFC 9113 §8 allows is one, and each thing that it does not is refused.
 */
#include "h2/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"

static const struct client_server_conf conf = {
    .header_buffer_size = 1024, .large_buffers = 4, .large_buffer_size = 8192, .max_fields = 20, .merge_slashes = true
};

struct world {
    struct exchange x;
    struct client client;
    struct listener_conf listener;
    struct server server;
    struct h2_request r;
};

/* Fields as "name=value" lines; gives the status of the refusal, 0: none. */
static unsigned read_head(struct world *w, bool forward, bool ends, const char *text)
{
    memset(w, 0, sizeof(*w));
    arena_init(&w->x.arena, NULL, 0, 4096, 0);
    w->server.forward = forward;
    w->listener.default_server = &w->server;
    w->client.listener = &w->listener;
    w->x.client = &w->client;
    w->r = (struct h2_request){ .x = &w->x, .conf = &conf };
    for (slice rest = slice_str(text); rest.n;) {
        ptrdiff_t end = slice_find(rest, '\n');
        slice line = end < 0 ? rest : slice_upto(rest, (size_t)end);
        ptrdiff_t at = slice_find(line, '=');
        assert_true(at > 0);
        assert_true(h2_request_field(&w->r, slice_upto(line, (size_t)at), slice_from(line, (size_t)at + 1)));
        rest = slice_from(rest, end < 0 ? rest.n : (size_t)end + 1);
    }
    assert_int_equal(h2_request_finish(&w->r, ends), OK);
    return w->r.status;
}

static void same(slice got, const char *want)
{
    if (!slice_eq(got, slice_str(want)))
        fail_msg("[%.*s], not [%s]", SLICE_FMT(got), want);
}

#define GET ":method=GET\n:scheme=http\n:path=/a//b?c\n:authority=Host.Test:81\n"

static void a_request(void **state)
{
    struct world w;
    assert_int_equal(read_head(&w, false, true, GET "x-a=1\ncookie=a=b\ncookie=c=d\nte=trailers\npriority=u=1"), 0);
    const struct request *q = &w.x.req;
    assert_int_equal(q->method, METHOD_GET);
    assert_int_equal(q->form, TARGET_ORIGIN);
    assert_int_equal(q->port, 81);
    assert_int_equal(q->major, 2);
    assert_int_equal(q->body.kind, BODY_NONE);
    same(q->host, "host.test");
    same(q->authority, "Host.Test:81");
    same(q->raw_path, "/a//b");
    same(q->normal_path, "/a/b");
    same(q->query, "c");
    same(q->line, "GET /a//b?c HTTP/2.0");
    assert_true(q->te_trailers);
    same(fields_find(&q->fields, TOK_COOKIE)->value, "a=b; c=d");
    assert_int_equal(q->fields.n, 3);
    arena_done(&w.x.arena);
}

static void bodies(void **state)
{
    static const struct {
        const char *more;
        bool ends;
        unsigned status;
        enum body_kind kind;
        uint64_t length;
    } rows[] = {
        { "", true, 0, BODY_NONE, 0 },
        { "", false, 0, BODY_UNKNOWN, 0 },
        { "content-length=5", false, 0, BODY_LENGTH, 5 },
        { "content-length=0", true, 0, BODY_LENGTH, 0 },
        { "content-length=5", true, 400, 0, 0 },
        { "content-length=5\ncontent-length=5", false, 400, 0, 0 },
        { "content-length=-1", false, 400, 0, 0 },
        { "content-length=99999999999999999999", false, 400, 0, 0 },
        { "expect=100-continue", false, 0, BODY_UNKNOWN, 0 },
        { "expect=else", false, 417, 0, 0 },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct world w;
        char text[300];
        snprintf(text, sizeof(text), "%s%s", GET, rows[i].more);
        assert_int_equal(read_head(&w, false, rows[i].ends, text), rows[i].status);
        if (!rows[i].status) {
            assert_int_equal(w.x.req.body.kind, rows[i].kind);
            assert_int_equal(w.x.req.body.length, rows[i].length);
        }
        arena_done(&w.x.arena);
    }
}

static void malformed(void **state)
{
    static const char *const rows[] = {
        ":scheme=http\n:path=/\n:authority=a",
        ":method=GET\n:path=/\n:authority=a",
        ":method=GET\n:scheme=http\n:authority=a",
        ":method=GET\n:scheme=http\n:path=/",
        ":method=GET\n:scheme=http\n:path=\n:authority=a",
        ":method=GET\n:scheme=http\n:path=a\n:authority=a",
        ":method=GET\n:scheme=http\n:path=*\n:authority=a",
        ":method=GET\n:scheme=http\n:path=/ b\n:authority=a",
        ":method=GET\n:scheme=gopher\n:path=/\n:authority=a",
        ":method=G T\n:scheme=http\n:path=/\n:authority=a",
        ":method=GET\n:method=GET\n:scheme=http\n:path=/\n:authority=a",
        ":method=GET\n:scheme=http\n:path=/\n:authority=a b",
        ":method=GET\n:scheme=http\n:path=/\n:authority=u@a",
        ":method=GET\n:scheme=http\nx=y\n:path=/\n:authority=a",
        GET ":status=200",
        GET ":protocol=websocket",
        GET "X-Upper=1",
        GET "x a=1",
        GET "x-a= 1",
        GET "x-a=1 ",
        GET "x-a=a\rb",
        GET "connection=close",
        GET "keep-alive=1",
        GET "proxy-connection=x",
        GET "transfer-encoding=chunked",
        GET "upgrade=x",
        GET "te=gzip",
        GET "host=a\nhost=a",
        GET "host=other.test:81",
        GET "host=host.test",
        ":method=CONNECT\n:authority=a",
        ":method=CONNECT\n:authority=a:1\n:path=/",
        ":method=CONNECT\n:authority=a:1\n:scheme=http",
        ":method=CONNECT\n:authority=a:1\ncontent-length=0",
        ":method=CONNECT\n:authority=a:1\nhost=b",
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct world w;
        if (read_head(&w, false, true, rows[i]) != 400 || !w.r.malformed)
            fail_msg("%s", rows[i]);
        arena_done(&w.x.arena);
    }
}

static void hosts_that_agree(void **state)
{
    static const char *const rows[] = {
        GET "host=HOST.test:81",
        ":method=GET\n:scheme=http\n:path=/\n:authority=a\nhost=A:80",
        ":method=GET\n:scheme=https\n:path=/\n:authority=a:443\nhost=a",
        ":method=GET\n:scheme=http\n:path=/\nhost=a",
        ":method=CONNECT\n:authority=a:1\nhost=a",
        ":method=OPTIONS\n:scheme=http\n:path=*\n:authority=a",
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        struct world w;
        if (read_head(&w, false, true, rows[i]))
            fail_msg("%s: %s", rows[i], w.r.text);
        arena_done(&w.x.arena);
    }
}

static void limits(void **state)
{
    struct world w;
    char text[20000], *at = text + snprintf(text, 200, GET);
    for (int i = 0; i < 21; i++)
        at += (size_t)snprintf(at, 20, "x%d=1\n", i);
    assert_int_equal(read_head(&w, false, true, text), 431);
    arena_done(&w.x.arena);
    at = text + snprintf(text, 200, GET "x=");
    memset(at, 'v', 8200);
    at[8200] = '\0';
    assert_int_equal(read_head(&w, false, true, text), 431);
    arena_done(&w.x.arena);
    at = text + snprintf(text, 200, ":method=GET\n:scheme=http\n:authority=a\n:path=/");
    memset(at, 'p', 8200);
    at[8200] = '\0';
    assert_int_equal(read_head(&w, false, true, text), 414);
    assert_false(w.r.malformed);
    arena_done(&w.x.arena);
}

static void forward(void **state)
{
    struct world w;
    assert_int_equal(read_head(&w, true, true, GET), 0);
    assert_int_equal(w.x.req.form, TARGET_ABSOLUTE);
    same(w.x.req.target, "http://Host.Test:81/a//b?c");
    same(w.x.req.scheme, "http");
    same(w.x.req.raw_path, "/a//b");
    same(w.x.req.line, "GET http://Host.Test:81/a//b?c HTTP/2.0");
    arena_done(&w.x.arena);
    assert_int_equal(read_head(&w, true, true, ":method=GET\n:scheme=https\n:path=/\n:authority=a"), 0);
    assert_int_equal(w.x.req.form, TARGET_ORIGIN); /* one for the proxy itself */
    arena_done(&w.x.arena);
    assert_int_equal(read_head(&w, true, false, ":method=CONNECT\n:authority=A.test:443"), 0);
    assert_int_equal(w.x.req.form, TARGET_AUTHORITY);
    assert_int_equal(w.x.req.body.kind, BODY_NONE);
    assert_int_equal(w.x.req.port, 443);
    same(w.x.req.host, "a.test");
    arena_done(&w.x.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request),        cmocka_unit_test(bodies), cmocka_unit_test(malformed),
        cmocka_unit_test(hosts_that_agree), cmocka_unit_test(limits), cmocka_unit_test(forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
