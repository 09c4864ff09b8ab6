/*
 * What the core variables say of an exchange put together by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "http/vars.h"

enum { SHOWN_MAX = 64 };

struct shown {
    struct template t[SHOWN_MAX];
    size_t n;
};

static int set_show(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct shown *s = conf;
    return template_compile(cf, &node->args[0], &s->t[s->n++]);
}

static const struct directive directives[] = {
    { .name = "show",
      .contexts = CONF_MAIN,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .repeat = true,
      .set = set_show,
      .usage = "show TEMPLATE;",
      .doc = "A test." },
};

static struct feature show_feature = {
    .name = "show",
    .doc = "A test.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct shown) },
};

static struct feature *features[] = { &show_feature, &request_vars_feature, &connection_vars_feature,
                                      &response_vars_feature };

struct fixture {
    struct schema schema;
    struct arena arena;
    struct conf_diag diag;
    struct bundle *bundle;
    struct generation *gen;
    struct gen_ref ref;
    struct worker worker;
    struct client client;
    struct server server;
    struct listener_conf listener;
    struct exchange x;
};

static void add(struct exchange *x, struct fields *f, const char *name, const char *value)
{
    struct field one = { .name = slice_str(name),
                         .value = slice_str(value),
                         .token = (uint16_t)token_find(slice_str(name)) };
    assert_true(fields_add(&x->arena, f, one));
}

static void fill_request(struct exchange *x)
{
    struct request *r = &x->req;
    r->line = SLICE("POST http://Host.Test:81/a%20b?x=1&Y=%20&x=3&e=&f HTTP/1.1");
    r->method = METHOD_POST;
    r->method_text = SLICE("POST");
    r->minor = 1;
    r->form = TARGET_ABSOLUTE;
    r->target = SLICE("http://Host.Test:81/a%20b?x=1&Y=%20&x=3&e=&f");
    r->raw_path = SLICE("/a%20b");
    r->path = SLICE("/a b");
    r->query = SLICE("x=1&Y=%20&x=3&e=&f");
    r->has_query = true;
    r->authority = SLICE("Host.Test:81");
    r->host = SLICE("host.test");
    r->port = 81;
    r->body = (struct body_fact){ BODY_LENGTH, 12 };
    add(x, &r->fields, "User-Agent", "agent");
    add(x, &r->fields, "Cookie", "a=1; name=v=1 ; B=2");
    add(x, &r->fields, "Cookie", "c=\"3\"");
    add(x, &r->fields, "X-Two", "one");
    add(x, &r->fields, "x-two", "two");
    add(x, &r->fields, "Under_Score", "u");
    add(x, &r->fields, "Content-Type", "text/x");
    add(x, &r->fields, "Authorization", "basic dXNlcjpwYTpzcw==");
    add(x, &r->hop, "Upgrade", "websocket");
    add(x, &r->hop, "Connection", "upgrade");
}

static struct fixture *fixture_new(const char *text)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_int_equal(schema_init(&f->schema, features, array_len(features)), OK);
    arena_init(&f->arena, NULL, 0, 4096, 0);
    conf_diag_init(&f->diag, &f->arena);
    f->bundle = bundle_new(SLICE("/p"));
    assert_int_equal(bundle_option_set(f->bundle, SLICE("conf-text"), slice_str(text)), OK);
    if (generation_compile(&f->schema, f->bundle, &f->diag, &f->gen) != OK)
        fail_msg("%.*s", SLICE_FMT(f->diag.first->text));
    f->ref = (struct gen_ref){ .gen = f->gen, .users = 1, .current = true };
    struct exchange *x = &f->x;
    clock_set(&f->worker.loop.clock, 5250, 784111777042);
    arena_init(&x->arena, NULL, 0, 4096, 1 << 20);
    f->client.fd = -1;
    f->client.number = 77;
    f->client.requests = 3;
    f->client.since = 1000;
    f->client.peer.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(4567) };
    f->client.peer.in.sin_addr.s_addr = htonl(0xc0000207);
    f->client.local.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(8080) };
    f->client.local.in6.sin6_addr = in6addr_loopback;
    f->client.listener = &f->listener;
    f->listener.key = SLICE("unix:/s");
    f->server.name = SLICE("first.name");
    x->w = &f->worker;
    x->gen = &f->ref;
    x->client = &f->client;
    x->server = &f->server;
    x->known = VAR_ROUTE;
    x->start_mono = 5000;
    x->received = 345;
    fill_request(x);
    x->pass = (struct pass){ .method = METHOD_GET,
                             .method_text = SLICE("GET"),
                             .uri = x->req.path,
                             .args = x->req.query,
                             .has_args = true,
                             .ncaptures = 2,
                             .captures = { SLICE("whole"), SLICE("part") } };
    return f;
}

static void fixture_free(struct fixture *f)
{
    arena_done(&f->x.arena);
    generation_unref(f->gen);
    arena_done(&f->arena);
    schema_done(&f->schema);
    free(f);
}

static slice shown(struct fixture *f, size_t i)
{
    const struct shown *s = f->gen->main[show_feature.id];
    slice out = SLICE_NONE;
    assert_true(i < s->n);
    assert_int_equal(exchange_eval(&f->x, &s->t[i], &out), OK);
    return out;
}

/* One template evaluated once. */
static void check(const char *template, const char *want, void (*change)(struct fixture *f))
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct fixture *f = fixture_new(arena_printf(&a, "show '[%s]';", template).p);
    if (change)
        change(f);
    slice got = shown(f, 0);
    if (!slice_eq(got, arena_printf(&a, "[%s]", want)))
        fail_msg("%s gives %.*s, not [%s]", template, SLICE_FMT(got), want);
    fixture_free(f);
    arena_done(&a);
}

struct expect {
    const char *template, *want;
};

static void request(void **state)
{
    static const struct expect table[] = {
        { "$request", "POST http://Host.Test:81/a%20b?x=1&Y=%20&x=3&e=&f HTTP/1.1" },
        { "$request_uri", "/a%20b?x=1&Y=%20&x=3&e=&f" },
        { "$request_method", "GET" },
        { "$server_protocol $scheme$https", "HTTP/1.1 http" },
        { "$host $http_host", "host.test Host.Test:81" },
        { "$is_request_port$request_port", ":81" },
        { "$uri|$document_uri", "/a b|/a b" },
        { "$args", "x=1&Y=%20&x=3&e=&f" },
        { "$is_args$query_string", "?x=1&Y=%20&x=3&e=&f" },
        { "$arg_x|$arg_y|$arg_e|$arg_f|$arg_none", "1|%20|||" },
        { "$cookie_a|$cookie_name|$cookie_b|$cookie_c|$cookie_d", "1|v=1 |2|\"3\"|" },
        { "$http_user_agent|$http_referer", "agent|" },
        { "$http_x_two|$http_under_score", "one, two|u" },
        { "$http_cookie", "a=1; name=v=1 ; B=2; c=\"3\"" },
        { "$http_upgrade|$http_connection", "websocket|upgrade" },
        { "$content_type $content_length", "text/x 12" },
        { "$pipe|$http2|$http3", ".||" },
        { "$request_body|$request_body_file", "|" },
        { "$remote_user", "user" },
        { "$server_name", "first.name" },
        { "$request_length", "345" },
        { "$1|$2|$10", "part||part0" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        check(table[i].template, table[i].want, NULL);
}

static void connection(void **state)
{
    static const struct expect table[] = {
        { "$remote_addr:$remote_port", "192.0.2.7:4567" },
        { "$server_addr $server_port", "::1 8080" },
        { "$connection/$connection_requests", "77/3" },
        { "$connection_time", "4.250" },
        { "$request_time", "0.250" },
        { "$msec", "784111777.042" },
        { "$nginx_version $hinge_version", "1.31.5 " HINGE_VERSION },
        { "$tcpinfo_rtt", "" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        check(table[i].template, table[i].want, NULL);
    struct fixture *f = fixture_new("show $binary_remote_addr;");
    slice got = shown(f, 0);
    assert_int_equal(got.n, 4);
    assert_memory_equal(got.p, "\xc0\x00\x02\x07", 4);
    fixture_free(f);
}

/* A Cookie field as nginx reads it, through the one getter. */
static const char *cookie_text;

static void with_cookie(struct fixture *f)
{
    f->x.req.fields.n = 0;
    add(&f->x, &f->x.req.fields, "Cookie", cookie_text);
}

static void cookies(void **state)
{
    static const struct {
        const char *field, *value;
    } table[] = {
        { "sid=1", "1" },         { "SID=1", "1" },        { "a=b; sid=1", "1" },       { "a=b;sid=1;c=d", "1" },
        { "a=b,sid=1;c=d", "1" }, { "sid = 1 ; b", "1 " }, { "sid=a,b; c", "a,b" },     { "xsid=1", "" },
        { "sidx=1", "" },         { "sid", "" },           { "sid; sid=2", "" },        { "sid; x; sid=2", "2" },
        { "sid=", "" },           { "sid==x", "=x" },      { "a=\"sid=1; sid=2", "2" }, { "", "" },
        { ";;,sid=3", "3" },      { "sid\t=1", "" },       { "a=sid=1", "" },           { "sid  =  x", "x" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        cookie_text = table[i].field;
        check("$cookie_sid", table[i].value, with_cookie);
    }
}

static void lengths(struct fixture *f)
{
    add(&f->x, &f->x.req.hop, "Content-Length", "0012");
}

static void chunks(struct fixture *f)
{
    f->x.req.body = (struct body_fact){ BODY_UNKNOWN, 0 };
    f->x.req_pipe.put = 44;
}

static void all_chunks(struct fixture *f)
{
    chunks(f);
    f->x.req_pipe.state = PIPE_EOF;
}

static void content_length(void **state)
{
    check("$content_length", "0012", lengths);
    check("$content_length", "", chunks);
    check("$content_length", "44", all_chunks);
}

static void by_unix_socket(struct fixture *f)
{
    f->client.peer.sa.sa_family = AF_UNIX;
    f->client.local.sa.sa_family = AF_UNIX;
}

static void bare(struct fixture *f)
{
    f->x.req = (struct request){ .minor = 0, .line = SLICE("GET / HTTP/1.0"), .target = SLICE("/") };
    f->x.pass = (struct pass){ .uri = SLICE("/") };
}

static void missing(void **state)
{
    check("$remote_addr:$remote_port", "unix::", by_unix_socket);
    check("$server_addr:$server_port", "unix:/s:", by_unix_socket);
    check("$host $http_host$is_request_port$request_port", "first.name ", bare);
    check("$is_args$args|$request_uri|$server_protocol", "|/|HTTP/1.0", bare);
    check("$content_length$content_type$remote_user$http_cookie$cookie_a", "", bare);
}

static void answered(struct fixture *f)
{
    f->x.known = VAR_RESPONSE;
    f->x.resp.status = 404;
    f->x.resp.body = (struct body_fact){ BODY_LENGTH, 99 };
    add(&f->x, &f->x.resp.fields, "Content-Type", "a/b");
    add(&f->x, &f->x.resp.fields, "Set-Cookie", "a");
    add(&f->x, &f->x.resp.fields, "Set-Cookie", "b");
    f->x.sent = 500;
    f->x.body_sent = 99;
}

static void ended(struct fixture *f)
{
    answered(f);
    f->x.known = VAR_END;
    f->x.ended = END_DONE;
    f->x.resp.body.kind = BODY_UNKNOWN;
    f->x.logged_status = 499;
}

static void paged(struct fixture *f)
{
    f->x.override_status = 404;
}

static void kept(struct fixture *f)
{
    answered(f);
    f->x.req.keep_alive = true;
    f->x.req.pipelined = true;
}

static void headed(struct fixture *f)
{
    answered(f);
    f->x.req.method = METHOD_HEAD;
    f->x.resp.declared = (struct body_fact){ BODY_LENGTH, 7 };
}

static void trailed(struct fixture *f)
{
    ended(f);
    struct fields *t = arena_new(&f->x.arena, struct fields);
    struct end *front = arena_new(&f->x.arena, struct end);
    add(&f->x, t, "X", "one");
    add(&f->x, t, "x", "two");
    f->x.resp_pipe.trailers = t;
    front->out = &f->x.resp_pipe;
    f->x.front = front;
}

static void response(void **state)
{
    check("$status $bytes_sent $body_bytes_sent", "404 500 99", answered);
    check("$sent_http_content_type $sent_http_content_length $sent_http_transfer_encoding", "a/b 99 ", answered);
    check("$sent_http_set_cookie|$sent_http_x", "a, b|", answered);
    check("$request_completion", "", answered);
    check("$sent_http_connection", "close", answered);
    check("$sent_http_connection $pipe", "keep-alive p", kept);
    check("$sent_http_content_length", "7", headed);
    check("$sent_trailer_x|$sent_trailer_y", "one, two|", trailed);
    check("$sent_trailer_x", "", answered);
    check("$status $request_completion $sent_http_transfer_encoding", "499 OK chunked", ended);
    check("$status|$sent_http_content_type", "000|", NULL);
    check("$status", "404", paged);
}

static void request_id_is_one_of_the_exchange(void **state)
{
    struct fixture *f = fixture_new("show $request_id; show \"$request_id\";");
    slice first = shown(f, 0);
    assert_int_equal(first.n, 32);
    exchange_forget_values(&f->x);
    assert_true(slice_eq(shown(f, 1), first));
    struct fixture *g = fixture_new("show $request_id;");
    assert_false(slice_eq(shown(g, 0), first));
    fixture_free(g);
    fixture_free(f);
}

/* Which values may be the client's choice (design, "safe by default"). */
static void taint(void **state)
{
    static const char *const theirs[] = { "http_x", "host", "arg_a",        "cookie_a",     "uri",    "request_uri",
                                          "1",      "args", "document_uri", "query_string", "request" },
                             *const ours[] = { "server_name",    "remote_addr", "server_port", "scheme",
                                               "request_method", "connection",  "status",      "pid" };
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    for (size_t i = 0; i < array_len(theirs) + array_len(ours); i++) {
        const char *name = i < array_len(theirs) ? theirs[i] : ours[i - array_len(theirs)];
        struct fixture *f = fixture_new(arena_printf(&a, "show x$%s;", name).p);
        const struct shown *s = f->gen->main[show_feature.id];
        if (template_client(&s->t[0]) != (i < array_len(theirs)))
            fail_msg("$%s", name);
        fixture_free(f);
    }
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request),
        cmocka_unit_test(cookies),
        cmocka_unit_test(content_length),
        cmocka_unit_test(connection),
        cmocka_unit_test(missing),
        cmocka_unit_test(response),
        cmocka_unit_test(request_id_is_one_of_the_exchange),
        cmocka_unit_test(taint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
