/*
 * Lines of the access log: formats, escaping, conditions, and when buffers are written.
 */
#include "admin/access_log.h"

#include "admin/log_buffer.h"

#define TEST_FEATURES &access_log_feature
#define TEST_POLICIES { &access_log_policy, PHASE_RESPONSE },

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

static char directory[] = "/tmp/hinge-log-XXXXXX";

static int make_directory(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/a", directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/b", directory);
    unlink(path);
    return rmdir(directory);
}

/* What the log file holds; emptied. */
static slice taken(struct arena *a, const char *name)
{
    slice path = arena_printf(a, "%s/%s", directory, name);
    int fd = open(path.p, O_RDWR);
    assert_true(fd >= 0);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char *text = arena_bytes(a, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    return slice_of(text, (size_t)st.st_size);
}

struct run {
    struct arena arena;
    struct site *site;
    struct visit *v;
};

/* A worker with an admin room, and one visit in it. %s in the text is the directory. */
static struct run *run_new(const char *inner)
{
    struct run *r = calloc(1, sizeof(*r));
    assert_non_null(r);
    arena_init(&r->arena, NULL, 0, 4096, 0);
    slice text = SLICE("http { ");
    for (slice rest = slice_str(inner), head; rest.n;) {
        if (!slice_cut(rest, '@', &head, &rest)) {
            head = rest;
            rest = SLICE_NONE;
            text = arena_printf(&r->arena, "%.*s%.*s", SLICE_FMT(text), SLICE_FMT(head));
        } else {
            text = arena_printf(&r->arena, "%.*s%.*s%s", SLICE_FMT(text), SLICE_FMT(head), directory);
        }
    }
    r->site = site_good(arena_printf(&r->arena, "%.*s }", SLICE_FMT(text)));
    r->v = visit_new(r->site, KEY, SLICE("h"), SLICE("/x?q=1"));
    struct worker *w = &r->v->worker;
    assert_int_equal(loop_init(&w->loop), OK);
    w->loop.owner = w;
    clock_set(&w->loop.clock, 1000, 784111777000);
    assert_int_equal(admin_room.init(w), OK);
    visit_location(r->v);
    r->v->x.known = VAR_END;
    r->v->x.resp.status = 200;
    return r;
}

static void run_done(struct run *r)
{
    if (r->v->worker.admin)
        admin_room.done(&r->v->worker);
    loop_done(&r->v->worker.loop);
    visit_free(r->v);
    site_free(r->site);
    arena_done(&r->arena);
    free(r);
}

static void finish(struct run *r)
{
    for (const struct policy_use *u = r->v->x.pass.loc->end_policies; u->policy; u++)
        u->policy->on_end(&r->v->x, u->conf);
}

static void turn(struct run *r)
{
    r->v->worker.loop.turn_end(&r->v->worker.loop);
}

static void combined(void **state)
{
    struct run *r = run_new("server { listen 127.0.0.1; access_log @/a; }");
    struct field ua = { .name = SLICE("User-Agent"), .value = SLICE("a\"b\x1b"), .token = TOK_USER_AGENT };
    fields_add(&r->v->x.arena, &r->v->x.req.fields, ua);
    r->v->x.body_sent = 12;
    finish(r);
    assert_int_equal(taken(&r->arena, "a").n, 0); /* not before the turn ends */
    turn(r);
    assert_slice(taken(&r->arena, "a"),
                 "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /x?q=1 HTTP/1.1\" 200 12 \"-\" "
                 "\"a\\x22b\\x1B\"\n");
    assert_int_equal(r->v->ref.users, 1); /* the generation is held no longer */
    run_done(r);
}

static void formats(void **state)
{
    struct run *r = run_new(
        "log_format j escape=json '{\"a\":\"$arg_q\",' '\"n\":\"$http_none\"}';\n"
        "log_format n escape=none '$arg_q$http_none\"';  log_format d '$http_none \"$uri\" ${status}x';\n"
        "log_format lit plain;\n"
        "server { listen 127.0.0.1; access_log @/a j; access_log @/a n; access_log @/a d; access_log @/a lit; }");
    r->v->x.pass.args = SLICE("q=\"\x01\xc3\xbf");
    r->v->x.pass.uri = SLICE("/\n\xc3");
    finish(r);
    turn(r);
    assert_slice(taken(&r->arena, "a"), "{\"a\":\"\\\"\\u0001\xc3\xbf\",\"n\":\"\"}\n"
                                        "\"\x01\xc3\xbf\"\n"
                                        "- \"/\\x0A\\xC3\" 200x\n"
                                        "plain\n");
    run_done(r);
}

static void conditions_and_levels(void **state)
{
    struct run *r = run_new("log_format u '$uri'; access_log @/a u if=$arg_log; server { listen 127.0.0.1; "
                            "location /off { access_log off; } location /own { access_log @/b u; } }");
    struct exchange *x = &r->v->x;
    static const char *const uris[] = { "/x", "/off", "/own" }, *const args[] = { "log=1", "log=0", "log=", "" };
    for (size_t u = 0; u < array_len(uris); u++) {
        for (size_t a = 0; a < array_len(args); a++) {
            x->pass.uri = slice_str(uris[u]);
            x->pass.args = slice_str(args[a]);
            visit_location(r->v);
            finish(r);
        }
    }
    turn(r);
    assert_slice(taken(&r->arena, "a"), "/x\n");
    assert_slice(taken(&r->arena, "b"), "/own\n/own\n/own\n/own\n");
    run_done(r);
}

static void buffers(void **state)
{
    struct run *r = run_new("log_format u '$uri'; server { listen 127.0.0.1; access_log @/a u buffer=10 flush=5s; }");
    r->v->x.pass.uri = SLICE("/123");
    finish(r);
    turn(r);
    assert_int_equal(taken(&r->arena, "a").n, 0);
    assert_int_equal(r->v->ref.users, 2); /* the descriptor is the generation's */
    finish(r);
    assert_slice(taken(&r->arena, "a"), "/123\n/123\n"); /* full */
    finish(r);
    clock_set(&r->v->worker.loop.clock, 1000 + 4999, 784111777000);
    turn(r);
    assert_int_equal(taken(&r->arena, "a").n, 0);
    clock_set(&r->v->worker.loop.clock, 1000 + 5000, 784111777000);
    turn(r);
    assert_slice(taken(&r->arena, "a"), "/123\n"); /* old */
    finish(r);
    r->v->ref.current = false;
    admin_room.gen_changed(&r->v->worker);
    assert_slice(taken(&r->arena, "a"), "/123\n"); /* of a generation that goes */
    r->v->ref.current = true;
    finish(r);
    admin_room.done(&r->v->worker);
    assert_slice(taken(&r->arena, "a"), "/123\n"); /* of a worker that ends */
    assert_int_equal(r->v->ref.users, 1);
    run_done(r);
}

static void refused(void **state)
{
    static const struct {
        const char *inner, *text;
    } table[] = {
        { "access_log /tmp/x nosuch;", "unknown log format \"nosuch\"" },
        { "log_format combined x;", "duplicate \"log_format\" name \"combined\"" },
        { "log_format a x; log_format a y;", "duplicate \"log_format\" name \"a\"" },
        { "log_format a escape=xml y;", "unknown log format escaping \"xml\"" },
        { "log_format a escape=json;", "log format \"a\" has no text" },
        { "log_format a $nothing;", "unknown \"nothing\" variable" },
        { "access_log /nosuch/dir/x;", "open() \"/nosuch/dir/x\" failed (2: No such file or directory)" },
        { "access_log off x;", "invalid parameter \"x\"" },
        { "access_log /dev/null combined buffer=x;", "invalid buffer size \"x\"" },
        { "access_log /dev/null combined buffer=1k flush=x;", "invalid flush time \"x\"" },
        { "access_log /dev/null combined flush=1s;", "no buffer is defined for access_log \"/dev/null\"" },
        { "access_log /dev/null combined what;", "invalid parameter \"what\"" },
        { "access_log /dev/null combined gzip=10;", "invalid compression level \"10\"" },
        { "access_log /dev/null combined gzip=;", "invalid compression level \"\"" },
        { "access_log syslog:server=127.0.0.1 combined gzip;", "parameter \"gzip\" is not supported by syslog" },
        { "access_log syslog:facility=x,server=a;", "unknown syslog facility \"x\"" },
        { "access_log $host.log;",
          "the path of a log begins with the directory that it shall not leave, not with a variable" },
        { "access_log /var/$host combined buffer=4k;", "buffered logs cannot have variables in name" },
        { "access_log /var/$host combined gzip;", "buffered logs cannot have variables in name" },
        { "open_log_file_cache inactive=1s;", "\"open_log_file_cache\" must have \"max\" parameter" },
        { "open_log_file_cache max=0;", "invalid \"open_log_file_cache\" parameter \"max=0\"" },
        { "open_log_file_cache max=1 min_uses=0;", "invalid \"open_log_file_cache\" parameter \"min_uses=0\"" },
        { "open_log_file_cache max=1 off;", "invalid \"open_log_file_cache\" parameter \"off\"" },
        { "access_log /dev/null combined buffer=1k; access_log /dev/null combined buffer=2k;",
          "access_log \"/dev/null\" already defined with conflicting parameters" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        site_refused(table[i].inner, table[i].text);
}

static void no_memory(void **state)
{
    site_without_memory(SLICE("http { log_format a escape=json '$host' '$uri'; access_log /dev/null;\n"
                              "server { listen 127.0.0.1; access_log /dev/zero a buffer=1k flush=1s if=$arg_x;\n"
                              " access_log /tmp/$host.log a; open_log_file_cache max=9;\n"
                              " location /off { access_log off; } } }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combined), cmocka_unit_test(formats), cmocka_unit_test(conditions_and_levels),
        cmocka_unit_test(buffers),  cmocka_unit_test(refused), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
