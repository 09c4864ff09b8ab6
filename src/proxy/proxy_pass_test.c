/*
 * From a request to its backend: target, host, upstream; what dynamic values may name; fields in both directions;
 * when another peer may be tried; and what the variables tell.
 */
#include "proxy/proxy_test.h"

#include "failmalloc.h"
#include "proxy/next.h"
#include "proxy/origin.h"
#include "proxy/target.h"

static struct config *compile(slice text)
{
    struct config *c = config_new(text);
    if (!c->gen)
        fail_msg("%.*s", SLICE_FMT(c->diag.first->text));
    return c;
}

static enum verdict select_at(struct talk *t)
{
    const struct location *l = t->x.pass.loc;
    assert_ptr_equal(l->content, &proxy_content);
    return proxy_select(&t->x, l->content_conf);
}

/* ---- targets ---- */

static void test_target(void **state)
{
    static const struct {
        const char *location, *target, *want;
    } table[] = {
        { "/as/", "/as/is?x=1", "/as/is?x=1" },
        { "/as/", "/as/%41%2Fb", "/as/%41%2Fb" },
        { "/as/", "/as/./x/../y?q", "/as/y?q" },
        { "/as/", "/as//b", "/as/b" },
        { "/as/", "/as/x?", "/as/x?" },
        { "/uri/", "/uri/a?x=1", "/to/a?x=1" },
        { "/uri/", "/uri/", "/to/" },
        { "/uri/", "/uri/a%20b%3Fc%25", "/to/a%20b%3Fc%25" },
        { "/uri/", "/uri/../uri//x", "/to/x" },
        { "/uri/", "/uri/x?", "/to/x" },
        { "/cut", "/cut", "/to" },
        { "/cut", "/cuts/x", "/tos/x" },
        { "/root/", "/root/x", "/x" },
        { "/query/", "/query/x", "/?q=x" },
        { "/exact", "/exact?y", "/e?y" },
    };
    struct config *c = compile(SLICE("http { upstream u { server 127.0.0.1; } server {\n"
                                     " location /as/ { proxy_pass http://u; }\n"
                                     " location /uri/ { proxy_pass http://u/to/; }\n"
                                     " location /cut { proxy_pass http://u/to; }\n"
                                     " location /root/ { proxy_pass http://u/; }\n"
                                     " location /query/ { proxy_pass http://u?q=; }\n"
                                     " location = /exact { proxy_pass http://u/e; } } }"));
    for (size_t i = 0; i < array_len(table); i++) {
        struct talk *t = talk_new(c, slice_str(table[i].location), slice_str(table[i].target));
        assert_int_equal(select_at(t), VERDICT_NEXT);
        if (!slice_eq(t->x.proxy->target, slice_str(table[i].want)))
            fail_msg("%s gives %.*s", table[i].target, SLICE_FMT(t->x.proxy->target));
        assert_slice(t->x.proxy->host, "u");
        assert_slice(t->x.proxy->port, "80");
        talk_free(t);
    }
    config_free(c);
}

static void test_target_no_copy(void **state)
{
    struct config *c = compile(SLICE("http { server { location / { proxy_pass http://127.0.0.1; } } }"));
    struct talk *t = talk_new(c, SLICE("/"), SLICE("/a/b?c"));
    assert_int_equal(select_at(t), VERDICT_NEXT);
    assert_ptr_equal(t->x.proxy->target.p, t->x.req.target.p);
    talk_free(t);
    config_free(c);
}

/* An internal redirect: the target is made from the new URI. */
static void test_target_rewritten(void **state)
{
    struct config *c = compile(SLICE("http { server { location /a/ { proxy_pass http://127.0.0.1; }\n"
                                     " location /b/ { proxy_pass http://127.0.0.1/x/; } } }"));
    struct talk *t = talk_new(c, SLICE("/a/"), SLICE("/orig?q"));
    t->x.pass.uri = SLICE("/a/n w");
    t->x.pass.args = SLICE("z= y");
    t->x.pass.rewritten = true;
    assert_int_equal(select_at(t), VERDICT_NEXT);
    assert_slice(t->x.proxy->target, "/a/n%20w?z=%20y");
    t->x.pass.loc = config_location(c, SLICE("/b/"));
    t->x.pass.uri = SLICE("/b/e");
    t->x.pass.has_args = false;
    assert_int_equal(select_at(t), VERDICT_NEXT);
    assert_slice(t->x.proxy->target, "/x/e");
    t->x.pass.uri = SLICE("/elsewhere"); /* rewritten in place: the URI part has nothing to replace */
    assert_int_equal(select_at(t), VERDICT_NEXT);
    assert_slice(t->x.proxy->target, "/elsewhere");
    talk_free(t);
    config_free(c);
}

/* ---- variables in proxy_pass ---- */

struct dynamic {
    const char *location, *backend, *host;
    unsigned status;     /* 0: goes on */
    const char *address; /* of the first peer, or a piece of the log */
    const char *proxy_host, *target;
};

static const struct dynamic dynamic_table[] = {
    { "/b/", "up", NULL, 0, "127.0.0.1:81", "up", "/b/x?y" },
    { "/b/", "UP", NULL, 0, "127.0.0.1:81", "UP", "/b/x?y" },
    { "/b/", "127.0.0.1", NULL, 0, "127.0.0.1:80", "127.0.0.1", "/b/x?y" },
    { "/b/", "127.0.0.1:82/given?a", NULL, 0, "127.0.0.1:82", "127.0.0.1:82", "/given?a" },
    { "/b/", "127.0.0.1:82?a", NULL, 0, "127.0.0.1:82", "127.0.0.1:82", "/?a" },
    { "/b/", "127.0.0.1:82/a b\r\nX: y", NULL, 0, "127.0.0.1:82", "127.0.0.1:82", "/a%20b%0D%0AX:%20y" },
    { "/b/", "[::1]:83", NULL, 0, "[::1]:83", "[::1]:83", "/b/x?y" },
    { "/b/", "unix:/s", NULL, 0, "unix:/s", "localhost", "/b/x?y" },
    { "/b/", "unix:/s:/u", NULL, 0, "unix:/s", "localhost", "/u" },
    { "/b/", "two.example", NULL, 0, "192.0.2.1:80", "two.example", "/b/x?y" }, /* known from another location */
    { "/b/", "up:82", NULL, 502, "no resolver defined to resolve up", NULL, NULL },
    { "/b/", "nosuch.example", NULL, 502, "no resolver defined to resolve nosuch.example", NULL, NULL },
    { "/b/", "127.0.0.1:0", NULL, 500, "invalid port in upstream", NULL, NULL },
    { "/b/", "", NULL, 500, "no host in upstream", NULL, NULL },
    { "/b/", "127.1", NULL, 500, "invalid host in upstream", NULL, NULL },
    { "/all/", "ftp://127.0.0.1", NULL, 500, "invalid URL prefix in", NULL, NULL },
    /* the client's choice: upstream blocks and public addresses */
    { "/h/", NULL, "up", 0, "127.0.0.1:81", "up", "/h/x?y" },
    { "/h/", NULL, "8.8.8.8", 0, "8.8.8.8:80", "8.8.8.8", "/h/x?y" },
    { "/h/", NULL, "[2606:4700::1]:81", 0, "[2606:4700::1]:81", "[2606:4700::1]:81", "/h/x?y" },
    { "/h/", NULL, "127.0.0.1", 508, "one of our own listening addresses", NULL, NULL }, /* *:80, as none is written */
    { "/h/", NULL, "127.0.0.1:84", 403, "not a public address (loopback)", NULL, NULL },
    { "/h/", NULL, "127.0.0.1:85", 403, "not a public address (loopback)", NULL, NULL }, /* configured elsewhere */
    { "/h/", NULL, "169.254.169.254", 403, "not a public address (link-local)", NULL, NULL },
    { "/h/", NULL, "[::ffff:10.0.0.1]", 403, "not a public address (private)", NULL, NULL },
    { "/h/", NULL, "unix:/var/run/docker.sock", 403, "not a public address (unix)", NULL, NULL },
    /* ... but only where it is in the host */
    { "/u/", "127.0.0.1:81", "x", 0, "127.0.0.1:81", "127.0.0.1:81", "/fixed?h=x" },
    { "/u/", "up", "x", 0, "127.0.0.1:81", "up", "/fixed?h=x" },
    { "/r/", NULL, "/z", 0, "127.0.0.1:86", "127.0.0.1:86", "/z" },
    { "/r/", NULL, "7", 403, "not a public address (loopback)", NULL, NULL },
    { "/r/", NULL, ".example", 500, "invalid port in upstream", NULL, NULL },
    { "/s/", NULL, "x", 403, "not a public address (unix)", NULL, NULL },
    { "/h/", NULL, "two.example", 502, "no resolver defined to resolve two.example", NULL, NULL },
    { "/h/", NULL, "2130706433", 500, "invalid host in upstream", NULL, NULL },
};

static void dynamic_check(struct talk *t, const struct dynamic *d)
{
    enum verdict v = select_at(t);
    if (d->status) {
        if (v != VERDICT_REPLY || t->x.resp.status != d->status)
            fail_msg("%s%s: verdict %d, status %u", d->backend ? d->backend : "", d->host ? d->host : "", v,
                     t->x.resp.status);
        if (!strstr(talk_log(t), d->address))
            fail_msg("log: %s", talk_log(t));
        return;
    }
    if (v != VERDICT_NEXT)
        fail_msg("%s%s: %s", d->backend ? d->backend : "", d->host ? d->host : "", talk_log(t));
    struct tried tried = { 0 };
    const struct peer *p = upstream_pick(t->x.proxy->upstream, &tried, 0);
    assert_non_null(p);
    peer_release(p);
    if (!slice_eq(p->text, slice_str(d->address)))
        fail_msg("peer %.*s, not %s", SLICE_FMT(p->text), d->address);
    if (!slice_eq(t->x.proxy->host, slice_str(d->proxy_host)))
        fail_msg("host %.*s, not %s", SLICE_FMT(t->x.proxy->host), d->proxy_host);
    if (!slice_eq(t->x.proxy->target, slice_str(d->target)))
        fail_msg("target %.*s, not %s", SLICE_FMT(t->x.proxy->target), d->target);
}

static void test_dynamic(void **state)
{
    struct config *c = compile(SLICE("http { upstream up { server 127.0.0.1:81; } server {\n"
                                     " location /b/ { proxy_pass http://$backend; }\n"
                                     " location /all/ { proxy_pass $backend; }\n"
                                     " location /h/ { proxy_pass http://$host; }\n"
                                     " location /u/ { proxy_pass http://$backend/fixed?h=$host; }\n"
                                     " location /r/ { proxy_pass http://127.0.0.1:86$host; }\n"
                                     " location /s/ { proxy_pass http://unix:/tmp/$host; }\n"
                                     " location /i/ { proxy_pass http://127.0.0.1:85; }\n"
                                     " location /n/ { proxy_pass http://two.example; } } }"));
    for (size_t i = 0; i < array_len(dynamic_table); i++) {
        const struct dynamic *d = &dynamic_table[i];
        struct strb target;
        strb_init(&target, 0);
        strb_printf(&target, "%sx?y", d->location);
        test_backend = slice_str(d->backend);
        test_host = slice_str(d->host);
        struct talk *t = talk_new(c, slice_str(d->location), strb_slice(&target));
        dynamic_check(t, d);
        talk_free(t);
        strb_done(&target);
    }
    config_free(c);
}

/* ---- the origin's head ---- */

static struct talk *begin(struct config *c, slice location, slice target)
{
    struct talk *t = talk_new(c, location, target);
    assert_int_equal(select_at(t), VERDICT_NEXT);
    return t;
}

static void test_origin_plain(void **state)
{
    struct config *c = compile(SLICE("http { server { location / { proxy_pass http://127.0.0.1:81; } } }"));
    struct talk *t = begin(c, SLICE("/"), SLICE("/x"));
    struct exchange *x = &t->x;
    add_field(&x->arena, &x->req.fields, SLICE("X-Forwarded-For"), SLICE("1.2.3.4"));
    add_field(&x->arena, &x->req.hop, SLICE("Connection"), SLICE("x"));
    assert_int_equal(origin_build(x, x->proxy->upstream->primary.peers), OK);
    assert_slice(x->origin.method, "GET");
    assert_slice(x->origin.target, "/x");
    assert_slice(x->origin.host, "127.0.0.1:81");
    assert_int_equal(x->origin.minor, 1);
    assert_false(x->origin.close);
    assert_ptr_equal(x->origin.fields.v, x->req.fields.v); /* nothing to change, nothing copied */
    assert_int_equal(x->origin.fields.n, 1);
    assert_int_equal(x->origin.body.kind, BODY_NONE);
    talk_free(t);
    config_free(c);
}

static void test_origin_fields(void **state)
{
    struct config *c = compile(SLICE(
        "http { upstream u { server 127.0.0.1; keepalive 0; } server {\n"
        " location /a { proxy_pass http://u; proxy_set_header Host $host; proxy_set_header X-Real-IP 9.9.9.9;\n"
        "  proxy_set_header Accept-Encoding \"\"; proxy_set_header X-Own $arg_none; proxy_set_header X-Two $backend;\n"
        "  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header Content-Length 5;\n"
        "  proxy_set_header Transfer-Encoding chunked; proxy_set_header TE trailers; proxy_set_header Upgrade h2c;\n"
        "  proxy_set_header Connection upgrade; proxy_set_header X-Host $proxy_host:$proxy_port; }\n"
        " location /b { proxy_pass http://127.0.0.1; proxy_set_header Connection Close; }\n"
        " location /c { proxy_pass http://127.0.0.1; proxy_set_header Connection keep-alive; }\n"
        " location /d { proxy_pass http://127.0.0.1; proxy_http_version 1.0; proxy_method POST; } } }"));
    test_host = SLICE("www.example");
    test_backend = SLICE("two");
    test_arg = SLICE_NONE;
    struct talk *t = begin(c, SLICE("/a"), SLICE("/a"));
    struct exchange *x = &t->x;
    struct fields *f = &x->req.fields;
    add_field(&x->arena, f, SLICE("accept-encoding"), SLICE("gzip"));
    add_field(&x->arena, f, SLICE("x-own"), SLICE("client's"));
    add_field(&x->arena, f, SLICE("X-Keep"), SLICE("kept"));
    add_field(&x->arena, f, SLICE("x-forwarded-for"), SLICE("1.2.3.4"));
    add_field(&x->arena, f, SLICE("X-Forwarded-For"), SLICE("5.6.7.8"));
    add_field(&x->arena, f, SLICE("X-REAL-IP"), SLICE("forged"));
    assert_int_equal(origin_build(x, x->proxy->upstream->primary.peers), OK);
    assert_slice(x->origin.host, "www.example");
    assert_slice(
        show_fields(&x->arena, &x->origin.fields),
        "X-Keep: kept|X-Real-IP: 9.9.9.9|X-Two: two|X-Forwarded-For: 1.2.3.4, 5.6.7.8, 192.0.2.7|X-Host: u:80");
    assert_true(x->origin.close); /* keepalive 0 */
    assert_int_equal(x->req.fields.n, 6);
    talk_free(t);

    t = begin(c, SLICE("/b"), SLICE("/b"));
    assert_int_equal(origin_build(&t->x, t->x.proxy->upstream->primary.peers), OK);
    assert_true(t->x.origin.close);
    talk_free(t);

    t = begin(c, SLICE("/c"), SLICE("/c"));
    assert_int_equal(origin_build(&t->x, t->x.proxy->upstream->primary.peers), OK);
    assert_false(t->x.origin.close);
    talk_free(t);

    t = begin(c, SLICE("/d"), SLICE("/d"));
    assert_int_equal(origin_build(&t->x, t->x.proxy->upstream->primary.peers), OK);
    assert_slice(t->x.origin.method, "POST");
    assert_int_equal(t->x.origin.method_id, METHOD_POST);
    assert_int_equal(t->x.origin.minor, 0);
    assert_true(t->x.origin.close);
    talk_free(t);
    config_free(c);
}

static void test_origin_body(void **state)
{
    struct config *c = compile(SLICE("http { server { location / { proxy_pass http://127.0.0.1; }\n"
                                     " location /o { proxy_pass http://127.0.0.1; proxy_http_version 1.0; } } }"));
    struct talk *t = begin(c, SLICE("/"), SLICE("/"));
    struct exchange *x = &t->x;
    const struct peer *p = x->proxy->upstream->primary.peers;
    x->req.body = (struct body_fact){ .kind = BODY_LENGTH, .length = 7 };
    assert_int_equal(origin_build(x, p), OK);
    assert_true(x->origin.body.kind == BODY_LENGTH && x->origin.body.length == 7);
    x->req.body.kind = BODY_UNKNOWN;
    x->req_pipe.put = 12;
    assert_int_equal(origin_build(x, p), OK);
    assert_int_equal(x->origin.body.kind, BODY_UNKNOWN);
    x->req_pipe.state = PIPE_EOF; /* all of it is there */
    assert_int_equal(origin_build(x, p), OK);
    assert_true(x->origin.body.kind == BODY_LENGTH && x->origin.body.length == 12);
    struct fields trailers = { 0 };
    add_field(&x->arena, &trailers, SLICE("X-T"), SLICE("1"));
    x->req_pipe.trailers = &trailers;
    assert_int_equal(origin_build(x, p), OK);
    assert_int_equal(x->origin.body.kind, BODY_UNKNOWN);
    x->pass.redirected = true;
    x->pass.method = METHOD_GET;
    x->req.method = METHOD_POST;
    assert_int_equal(origin_build(x, p), OK);
    assert_int_equal(x->origin.body.kind, BODY_NONE);
    talk_free(t);

    t = begin(c, SLICE("/o"), SLICE("/o"));
    t->x.req.body.kind = BODY_UNKNOWN;
    assert_int_equal(origin_build(&t->x, t->x.proxy->upstream->primary.peers), ERR_UNSUPPORTED);
    talk_free(t);
    config_free(c);
}

/* ---- answers ---- */

static void test_answer_fields(void **state)
{
    struct config *c =
        compile(SLICE("http { server { location / { proxy_pass http://127.0.0.1;\n"
                      " proxy_hide_header x-secret; proxy_hide_header ETag; proxy_pass_header Server; } } }"));
    struct talk *t = begin(c, SLICE("/"), SLICE("/"));
    struct exchange *x = &t->x;
    static const char *const names[] = { "Date",  "SERVER", "X-Secret", "etag", "X-Accel-Redirect",
                                         "X-Pad", "X-Open", "Vary" };
    for (size_t i = 0; i < array_len(names); i++)
        add_field(&x->arena, &x->resp.fields, slice_str(names[i]), SLICE("v"));
    assert_int_equal(origin_answer(x), ORIGIN_ELSEWHERE);
    assert_slice(x->proxy->accel_redirect, "v");
    assert_slice(show_fields(&x->arena, &x->resp.fields), "SERVER: v|X-Open: v|Vary: v");
    assert_slice(show_fields(&x->arena, &x->resp.hop), "Date: v|X-Secret: v|etag: v|X-Accel-Redirect: v|X-Pad: v");
    talk_free(t);
    config_free(c);
}

static void test_redirects(void **state)
{
    static const struct {
        const char *location, *field, *value, *want;
    } table[] = {
        { "/def/", "Location", "http://127.0.0.1:81/to/x?y", "http://www.example/def/x?y" },
        { "/def/", "Location", "http://127.0.0.1:81/other", "http://127.0.0.1:81/other" },
        { "/def/", "Location", "/plain", "/plain" },
        { "/def/", "Refresh", "5; URL=http://127.0.0.1:81/to/z", "5; URL=/def/z" },
        { "/def/", "Refresh", "5", "5" },
        { "/def/", "Content-Location", "http://127.0.0.1:81/to/x", "http://127.0.0.1:81/to/x" },
        { "/plain/", "Location", "http://127.0.0.1:81/x", "http://www.example/x" },
        { "/own/", "Location", "http://a/b", "https://front/b" },
        { "/own/", "Location", "http://two/b", "http://www.example/two/b" },
        { "/own/", "Location", "http://c.example:99/d/e", "http://front/c.example/d/e" },
        { "/own/", "Location", "https://q/x", "https://q/x" },
        { "/off/", "Location", "http://127.0.0.1:81/x", "http://127.0.0.1:81/x" },
    };
    struct config *c =
        compile(SLICE("http { server { location /def/ { proxy_pass http://127.0.0.1:81/to/; }\n"
                      " location /plain/ { proxy_pass http://127.0.0.1:81; }\n"
                      " location /own/ { proxy_pass http://127.0.0.1:81; proxy_redirect http://a/ https://front/;\n"
                      "   proxy_redirect http://$backend/ /$backend/; proxy_redirect ~*^HTTP://([^:/]+):\\d+(/.*)$ "
                      "http://front/$1$2; }\n"
                      " location /off/ { proxy_pass http://127.0.0.1:81; proxy_redirect off; } } }"));
    test_backend = SLICE("two");
    for (size_t i = 0; i < array_len(table); i++) {
        struct talk *t = begin(c, slice_str(table[i].location), SLICE("/x"));
        struct exchange *x = &t->x;
        x->req.host = SLICE("www.example");
        add_field(&x->arena, &x->resp.fields, slice_str(table[i].field), slice_str(table[i].value));
        assert_int_equal(origin_answer(x), OK);
        if (!slice_eq(x->resp.fields.v[0].value, slice_str(table[i].want)))
            fail_msg("%s %s gives %.*s", table[i].location, table[i].value, SLICE_FMT(x->resp.fields.v[0].value));
        talk_free(t);
    }
    config_free(c);
}

/* ---- another peer ---- */

static void test_next_upstream(void **state)
{
    struct config *c = compile(SLICE(
        "http { upstream u { server 127.0.0.1:1; server 127.0.0.1:2; server 127.0.0.1:3; server 127.0.0.1:4 down; }\n"
        " upstream one { server 127.0.0.1; } server {\n"
        " location /a { proxy_pass http://u; }\n"
        " location /b { proxy_pass http://u; proxy_next_upstream http_503 invalid_header non_idempotent;\n"
        "   proxy_next_upstream_tries 2; proxy_next_upstream_timeout 1s; }\n"
        " location /c { proxy_pass http://u; proxy_next_upstream off; }\n"
        " location /d { proxy_pass http://one; } } }"));
    struct attempt a = { 0 };
    struct talk *t = begin(c, SLICE("/a"), SLICE("/a"));
    struct exchange *x = &t->x;
    struct proxy_exchange *px = x->proxy;
    px->first = px->last = &a;
    px->tries = 1;
    x->origin.method_id = METHOD_GET;
    assert_true(next_upstream_allowed(x, WHY_CONNECT, 0));
    assert_true(next_upstream_allowed(x, WHY_READ_TIMEOUT, 0));
    assert_true(next_upstream_allowed(x, WHY_CLOSED, 0));
    assert_false(next_upstream_allowed(x, WHY_BAD_HEAD, 0));
    assert_false(next_upstream_allowed(x, WHY_CLOSED_BODY, 0));
    assert_false(next_upstream_allowed(x, WHY_NONE, 503));
    assert_false(next_upstream_allowed(x, WHY_CLIENT_CLOSED, 0));
    px->tries = 2;
    assert_true(next_upstream_allowed(x, WHY_CONNECT, 0));
    px->tries = 3; /* the fourth is down */
    assert_false(next_upstream_allowed(x, WHY_CONNECT, 0));
    px->tries = 1;
    x->origin.method_id = METHOD_POST;
    assert_true(next_upstream_allowed(x, WHY_CONNECT, 0)); /* nothing was sent */
    a.bytes_sent = 1;
    assert_false(next_upstream_allowed(x, WHY_CLOSED, 0));
    x->origin.method_id = METHOD_PUT;
    assert_true(next_upstream_allowed(x, WHY_CLOSED, 0));
    x->req_pipe.taken = 5; /* a body that cannot be sent again */
    assert_false(next_upstream_allowed(x, WHY_CLOSED, 0));
    x->req_pipe.retain = true;
    assert_true(next_upstream_allowed(x, WHY_CLOSED, 0));
    talk_free(t);

    t = begin(c, SLICE("/b"), SLICE("/b"));
    x = &t->x;
    px = x->proxy;
    px->first = px->last = &a;
    px->tries = 1;
    x->origin.method_id = METHOD_POST;
    assert_int_equal(px->deadline, 1000);
    assert_true(next_upstream_allowed(x, WHY_NONE, 503));
    assert_true(next_upstream_allowed(x, WHY_BAD_HEAD, 0));
    assert_false(next_upstream_allowed(x, WHY_NONE, 500));
    assert_false(next_upstream_allowed(x, WHY_CONNECT, 0));
    t->worker.loop.clock.mono = 999;
    assert_true(next_upstream_allowed(x, WHY_NONE, 503));
    t->worker.loop.clock.mono = 1000;
    assert_false(next_upstream_allowed(x, WHY_NONE, 503));
    t->worker.loop.clock.mono = 0;
    px->tries = 2;
    assert_false(next_upstream_allowed(x, WHY_NONE, 503));
    talk_free(t);

    t = begin(c, SLICE("/c"), SLICE("/c"));
    assert_false(next_upstream_allowed(&t->x, WHY_CONNECT, 0));
    talk_free(t);
    t = begin(c, SLICE("/d"), SLICE("/d"));
    t->x.proxy->tries = 1;
    assert_false(next_upstream_allowed(&t->x, WHY_CONNECT, 0));
    talk_free(t);
    config_free(c);
}

/* ---- variables ---- */

static slice var_value(struct config *c, struct exchange *x, const char *name)
{
    slice prefix = slice_str(name), out = SLICE_NONE;
    for (size_t i = 0; i < upstream_vars_feature.nvars; i++) {
        const struct var_def *d = &upstream_vars_feature.vars[i];
        slice own = slice_str(d->name);
        if (d->prefix ? !slice_starts(prefix, own) : !slice_eq(prefix, own))
            continue;
        struct var v = { .name = prefix, .arg = d->prefix ? slice_from(prefix, own.n) : SLICE_NONE, .def = d };
        return d->get(x, &v, &out) == OK ? out : SLICE("(none)");
    }
    fail_msg("no $%s", name);
    return out;
}

static void test_variables(void **state)
{
    struct config *c = compile(SLICE("http { server { location / { proxy_pass http://127.0.0.1:81;\n"
                                     " proxy_redirect http://a/ /b/; } } }"));
    struct talk *t = talk_new(c, SLICE("/"), SLICE("/"));
    struct exchange *x = &t->x;
    assert_slice(var_value(c, x, "upstream_addr"), "(none)");
    assert_slice(var_value(c, x, "proxy_host"), "(none)");
    assert_slice(var_value(c, x, "proxy_add_x_forwarded_for"), "192.0.2.7");
    assert_int_equal(select_at(t), VERDICT_NEXT);
    x->req.host = SLICE("w");
    assert_slice(var_value(c, x, "proxy_host"), "127.0.0.1:81");
    assert_slice(var_value(c, x, "proxy_port"), "81");
    assert_slice(var_value(c, x, "upstream_status"), "(none)");
    struct attempt two = { .addr = SLICE("unix:/s"),
                           .status = 200,
                           .start = 3000,
                           .connect = 3000,
                           .header = 3010,
                           .end = 4001,
                           .bytes_received = 70,
                           .bytes_sent = 80,
                           .body_received = 60 };
    struct attempt one = { .addr = SLICE("127.0.0.1:81"),
                           .status = 502,
                           .start = 1000,
                           .connect = UINT64_MAX,
                           .header = UINT64_MAX,
                           .end = 1005,
                           .next = &two };
    x->proxy->first = &one;
    x->proxy->last = &two;
    assert_slice(var_value(c, x, "upstream_addr"), "127.0.0.1:81, unix:/s");
    assert_slice(var_value(c, x, "upstream_status"), "502, 200");
    assert_slice(var_value(c, x, "upstream_connect_time"), "-, 0.000");
    assert_slice(var_value(c, x, "upstream_header_time"), "-, 0.010");
    assert_slice(var_value(c, x, "upstream_response_time"), "0.005, 1.001");
    assert_slice(var_value(c, x, "upstream_response_length"), "0, 60");
    assert_slice(var_value(c, x, "upstream_bytes_received"), "0, 70");
    assert_slice(var_value(c, x, "upstream_bytes_sent"), "0, 80");
    one.group_end = true;
    assert_slice(var_value(c, x, "upstream_addr"), "127.0.0.1:81 : unix:/s");

    struct fields *f = &x->resp.fields;
    add_field(&x->arena, f, SLICE("Server"), SLICE("back"));
    add_field(&x->arena, f, SLICE("X-A-B"), SLICE("1"));
    add_field(&x->arena, f, SLICE("x-a-b"), SLICE("2"));
    add_field(&x->arena, f, SLICE("Location"), SLICE("http://a/x"));
    add_field(&x->arena, f, SLICE("Set-Cookie"), SLICE("k=v; Path=/"));
    add_field(&x->arena, f, SLICE("Set-Cookie"), SLICE("kk=vv"));
    assert_int_equal(origin_answer(x), OK);
    assert_slice(var_value(c, x, "upstream_http_server"), "back"); /* hidden, yet known */
    assert_slice(var_value(c, x, "upstream_http_x_a_b"), "1, 2");
    assert_slice(var_value(c, x, "upstream_http_location"), "http://a/x"); /* as it came */
    assert_slice(var_value(c, x, "upstream_http_nosuch"), "(none)");
    assert_slice(var_value(c, x, "upstream_cookie_k"), "v");
    assert_slice(var_value(c, x, "upstream_cookie_kk"), "vv");
    assert_slice(var_value(c, x, "upstream_cookie_none"), "(none)");

    /* another pass with another backend: what was tried stays on record, apart */
    two.group_end = false;
    assert_int_equal(select_at(t), VERDICT_NEXT);
    assert_ptr_equal(x->proxy->first, &one);
    assert_true(two.group_end);
    assert_int_equal(x->proxy->tries, 0);
    talk_free(t);
    config_free(c);
}

/* ---- want of memory ---- */

/* The whole way with the n-th allocation and all later ones failing: an end in order, whatever happens. */
static bool way_without_memory(struct config *c, slice location, slice target, size_t n)
{
    struct talk *t = talk_new(c, location, target);
    struct exchange *x = &t->x;
    add_field(&x->arena, &x->req.fields, SLICE("X-Own"), SLICE("client's"));
    add_field(&x->arena, &x->resp.fields, SLICE("Server"), SLICE("back"));
    add_field(&x->arena, &x->resp.fields, SLICE("Location"), SLICE("http://a/x"));
    x->arena.at = x->arena.end; /* the next bytes need a new chunk */
    fail_alloc_at(n, true);
    enum verdict v = select_at(t);
    if (v == VERDICT_NEXT) {
        x->arena.at = x->arena.end;
        int rc = origin_build(x, x->proxy->upstream->primary.peers);
        assert_true(rc == OK || rc == ERR_NOMEM);
        x->arena.at = x->arena.end;
        rc = origin_answer(x);
        assert_true(rc == OK || rc == ERR_NOMEM);
    }
    bool failed = fail_alloc_off();
    if (!failed)
        assert_int_equal(v, VERDICT_NEXT);
    else if (v == VERDICT_REPLY)
        assert_int_equal(x->resp.status, 500);
    talk_free(t);
    return failed;
}

static void test_out_of_memory(void **state)
{
    struct config *c = compile(SLICE("http { server { location /s/ { proxy_pass http://127.0.0.1/to/;\n"
                                     "  proxy_set_header X-Own \"$host $backend\"; proxy_redirect http://a/ /b/; }\n"
                                     " location /d/ { proxy_pass http://127.0.0.1:81/$host; } } }"));
    test_host = SLICE("www.example");
    test_backend = SLICE("two");
    for (size_t n = 0; way_without_memory(c, SLICE("/s/"), SLICE("/s/a%20b?c"), n); n++) {
    }
    for (size_t n = 0; way_without_memory(c, SLICE("/d/"), SLICE("/d/"), n); n++) {
    }
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target),           cmocka_unit_test(test_target_no_copy),
        cmocka_unit_test(test_target_rewritten), cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_origin_plain),     cmocka_unit_test(test_origin_fields),
        cmocka_unit_test(test_origin_body),      cmocka_unit_test(test_answer_fields),
        cmocka_unit_test(test_redirects),        cmocka_unit_test(test_next_upstream),
        cmocka_unit_test(test_variables),        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
