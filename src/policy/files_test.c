/*
 * Files: from URIs to paths, what configurations are refused, what is opened beneath a tree, and what conditions make
 * of an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/conditional.h"
#include "policy/files.h"
#include "policy/ranges.h"
#include "policy/try_files.h"
#include "policy/types.h"

#define TEST_FEATURES &files_feature, &try_files_feature, &ranges_feature, &types_feature
#define TEST_POLICIES { &try_files_policy, PHASE_PRECONTENT }, { &ranges_policy, PHASE_RESPONSE },

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

static char dir[] = "/tmp/hinge-files-XXXXXX";

static void make(const char *name, const char *text)
{
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    close(at);
}

static int setup(void **state)
{
    int at = mkdtemp(dir) ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (at < 0 || mkdirat(at, "www", 0755) < 0 || mkdirat(at, "www/sub", 0755) < 0)
        return -1;
    make("secret", "secret");
    make("www/f", "file");
    make("www/sub/g", "deeper");
    int rc = symlinkat("../secret", at, "www/out") | symlinkat("sub/g", at, "www/in") |
             symlinkat("/etc", at, "www/etc") | symlinkat("www", at, "link");
    close(at);
    return rc;
}

static int teardown(void **state)
{
    static const char *const names[] = { "www/out", "www/in", "www/etc", "link", "www/f", "www/sub/g", "secret" };
    int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), rc = 0;
    for (size_t i = 0; i < array_len(names); i++)
        rc |= unlinkat(at, names[i], 0);
    rc |= unlinkat(at, "www/sub", AT_REMOVEDIR) | unlinkat(at, "www", AT_REMOVEDIR);
    close(at);
    return rc | rmdir(dir);
}

static struct site *site_of(struct arena *a, const char *inner)
{
    return site_good(arena_printf(a, "http { server { listen 127.0.0.1; %s } }", inner));
}

/* ---- places ---- */

static void paths(void **state)
{
    static const struct {
        const char *inner, *target, *path;
        size_t root;
    } table[] = {
        { "root /a;", "/x/y", "/a/x/y", 2 },
        { "root /a/;", "/x/y", "/a/x/y", 2 },
        { "root /;", "/x", "/x", 0 },
        { "root a/b;", "/x", "/p/a/b/x", 6 },
        { "", "/x", "/p/html/x", 7 },
        { "root /a/$arg_d;", "/x?d=y", "/a/y/x", 4 },
        { "root /a/b-$arg_d/c;", "/x?d=y", "/a/b-y/c/x", 8 },
        { "location /l/ { alias /a/; }", "/l/x", "/a/x", 3 },
        { "location /l { alias /a/b; }", "/l/x", "/a/b/x", 4 },
        { "location = /l { alias /a/b; }", "/l", "/a/b", 4 },
        { "location ~ ^/l/(.*)$ { alias /a/$1; }", "/l/x/y", "/a/x/y", 6 },
        { "location /l/ { alias /a/; location ~ x { } }", "/l/x", "/a/x", 3 },
        { "root /a; location /l { root /b; location /l/m { } }", "/l/m/n", "/b/l/m/n", 2 },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        struct file_place p;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_of(&a, table[i].inner);
        struct visit *v = visit_new(s, KEY, SLICE("h"), slice_str(table[i].target));
        visit_location(v);
        assert_int_equal(file_place(&v->x, SLICE_NONE, &p), OK);
        assert_slice(p.path, table[i].path);
        assert_int_equal(p.root, table[i].root);
        assert_true(p.path.p[p.path.n] == 0);
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

static void refused(void **state)
{
    site_refused("server { root $host; }",
                 "\"root\" must begin with the name of a directory other than \"/\" before its first variable: files "
                 "are opened beneath that directory and nowhere else");
    site_refused("server { root /$host; }",
                 "\"root\" must begin with the name of a directory other than \"/\" before its first variable: files "
                 "are opened beneath that directory and nowhere else");
    site_refused("server { root ${document_root}/x; }",
                 "the $document_root variable cannot be used in the \"root\" directive");
    site_refused("server { location @x { alias /a; } }",
                 "the \"alias\" directive cannot be used inside the named location");
    site_refused("server { location /x { alias /a; root /b; } }",
                 "\"root\" directive is duplicate, \"alias\" directive was specified earlier");
    site_refused("server { index \"\"; }", "index \"\" in \"index\" directive is invalid");
    site_refused("server { disable_symlinks maybe; }", "invalid parameter \"maybe\"");
    site_refused("server { disable_symlinks off from=/x; }", "invalid parameter \"from=/x\"");
    site_refused("server { open_file_cache inactive=1s; }", "\"open_file_cache\" must have the \"max\" parameter");
    site_refused("server { open_file_cache max=0; }", "invalid \"open_file_cache\" parameter \"max=0\"");
    site_refused("server { try_files a =x; }", "invalid code \"=x\"");
}

static void who_answers(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s =
        site_of(&a, "try_files /a =404; location /x { try_files /b =404; location /x/y { } } location /z { answer; }");
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    static const struct {
        const char *uri;
        bool tries, files;
    } table[] = { { "/", true, true }, { "/x", true, true }, { "/x/y", false, true }, { "/z", false, false } };
    for (size_t i = 0; i < array_len(table); i++) {
        v->x.pass.uri = slice_str(table[i].uri);
        const struct location *l = visit_location(v);
        assert_int_equal(l->policies->policy == &try_files_policy, table[i].tries);
        assert_int_equal(l->content == &files_content, table[i].files);
        assert_int_equal(l->response_policies->policy == &ranges_policy, table[i].files);
    }
    visit_free(v);
    site_free(s);
    arena_done(&a);
}

static void without_memory(void **state)
{
    site_without_memory(
        SLICE("http { open_file_cache max=5; server { listen 127.0.0.1; root /a/$host; index a $host /b;\n"
              "location /x { alias /tmp; try_files $uri $uri/ /x?$args; disable_symlinks on "
              "from=$document_root; } } }"));
}

/* ---- opening ---- */

/* The status that a file answers with, or its first byte. */
static int opened(struct visit *v, const char *path)
{
    struct file_place p = { .path = slice_str(path),
                            .tree = ((const struct files_conf *)exchange_conf(&v->x, &files_feature))->root.tree };
    struct file *f;
    char c = 0;
    v->x.arena.limit = 0;
    p.path = arena_printf(&v->x.arena, "%s%s", dir, path);
    int rc = file_open(&v->x, &p, &f);
    if (rc != OK)
        return -errno;
    if (f->fd >= 0)
        assert_int_equal(pread(f->fd, &c, 1, 0), 1);
    file_unref(&v->worker, f);
    return c;
}

static void check_opens(const char *line, int in, int out, int etc)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_of(&a, arena_printf(&a, "root %s/www; %s", dir, line).p);
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(opened(v, "/www/f"), 'f');
        assert_int_equal(opened(v, "/www/sub/g"), 'd');
        assert_int_equal(opened(v, "/www//sub///g"), 'd');
        assert_int_equal(opened(v, "/www/sub"), 0);
        assert_int_equal(opened(v, "/www"), 0);
        assert_int_equal(opened(v, "/www/none"), -ENOENT);
        assert_int_equal(opened(v, "/www/f/x"), -ENOTDIR);
        assert_int_equal(opened(v, "/www/in"), in);
        assert_int_equal(opened(v, "/www/out"), out);
        assert_int_equal(opened(v, "/www/etc/passwd"), etc);
        assert_int_equal(opened(v, "/www/../secret"), -EXDEV);
        assert_int_equal(opened(v, "/www/sub/../../secret"), -EXDEV);
        assert_int_equal(opened(v, "/www/sub/.."), -EXDEV);
        assert_int_equal(opened(v, "/secret"), -ENOENT);
        assert_int_equal(opened(v, "/www-x"), -ENOENT);
    }
    files_room.done(&v->worker);
    visit_free(v);
    site_free(s);
    arena_done(&a);
}

static void opens(void **state)
{
    check_opens("", 'd', -EXDEV, -EXDEV);
    check_opens("open_file_cache max=4; open_file_cache_errors on;", 'd', -EXDEV, -EXDEV);
    check_opens("disable_symlinks off;", 'd', 's', 'r');
    check_opens("disable_symlinks on;", -ELOOP, -ELOOP, -ELOOP);
    check_opens("disable_symlinks if_not_owner;", 'd', 's', 'r');
}

static void probes(void **state)
{
    struct arena a;
    struct stat st;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_of(&a, arena_printf(&a, "root %s/www/sub; location /x { root %s/www; }", dir, dir).p);
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    assert_int_equal(file_probe(&v->x, arena_printf(&a, "%s/www/sub/g", dir), &st), OK);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(file_probe(&v->x, arena_printf(&a, "%s/www/f", dir), &st), OK); /* of another location's tree */
    assert_int_equal(file_probe(&v->x, arena_printf(&a, "%s/www/sub", dir), &st), OK);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(file_probe(&v->x, SLICE("/etc/passwd"), &st), ERR_NOTFOUND);
    assert_int_equal(file_probe(&v->x, arena_printf(&a, "%s/www/out", dir), &st), ERR_SYS);
    assert_int_equal(file_probe(&v->x, SLICE(""), &st), ERR_NOTFOUND);
    visit_free(v);
    site_free(s);
    arena_done(&a);
}

/* ---- conditions ---- */

static void conditions(void **state)
{
    enum { AT = 784111777 };
    static const struct {
        const char *name, *value;
        unsigned status;
        bool range;
    } table[] = {
        { "If-None-Match", "\"a\"", 304, true },
        { "If-None-Match", "\"x,y\" , W/\"a\"", 304, true },
        { "If-None-Match", "\"b\"", 200, true },
        { "If-None-Match", "\"a\"b", 200, true },
        { "If-None-Match", "\"a", 200, true },
        { "If-None-Match", "*", 304, true },
        { "If-Match", "\"a\"", 200, true },
        { "If-Match", "W/\"a\"", 412, true },
        { "If-Match", "*", 200, true },
        { "If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 304, true },
        { "If-Modified-Since", "Sun, 06 Nov 1994 08:49:38 GMT", 200, true },
        { "If-Modified-Since", "x", 200, true },
        { "If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT", 412, true },
        { "If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", 200, true },
        { "If-Unmodified-Since", "x", 200, true },
        { "If-Range", "\"a\"", 200, true },
        { "If-Range", "W/\"a\"", 200, false },
        { "If-Range", "\"b\"", 200, false },
        { "If-Range", "Sun, 06 Nov 1994 08:49:37 GMT", 200, true },
        { "If-Range", "Sun, 06 Nov 1994 08:49:36 GMT", 200, false },
        { "If-Range", "", 200, false },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct exchange x = { 0 };
        slice name = slice_str(table[i].name);
        arena_init(&x.arena, NULL, 0, 1024, 0);
        struct field f = { .name = name, .value = slice_str(table[i].value), .token = (uint16_t)token_find(name) };
        assert_true(fields_add(&x.arena, &x.req.fields, f));
        if (conditional_test(&x, SLICE("\"a\""), AT, IMS_EXACT) != table[i].status)
            fail_msg("%s: %s", table[i].name, table[i].value);
        if (conditional_range(&x, SLICE("\"a\""), AT) != table[i].range)
            fail_msg("%s: %s", table[i].name, table[i].value);
        arena_done(&x.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),          cmocka_unit_test(refused), cmocka_unit_test(who_answers),
        cmocka_unit_test(without_memory), cmocka_unit_test(opens),   cmocka_unit_test(probes),
        cmocka_unit_test(conditions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
