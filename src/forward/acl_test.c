/*
 * Conditions and rules in Squid's language: a configuration, a request, and what is decided.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "conf/tree.h"
#include "forward/rules.h"

struct desk {
    struct arena arena;
    struct conf_diag diag;
    struct fwd_compile c;
    struct fwd_acls acls;
    struct fwd_rules rules;
    struct addr client;
    struct field fields_v[2];
    struct fields fields;
    struct fwd_request r;
};

/* Compiles; gives how many errors there were. */
static uint32_t desk_open(struct desk *d, const char *text)
{
    struct conf_node *root;
    *d = (struct desk){ 0 };
    arena_init(&d->arena, NULL, 0, 4096, 0);
    conf_diag_init(&d->diag, &d->arena);
    d->c = (struct fwd_compile){ .arena = &d->arena, .diag = &d->diag, .bundle = bundle_new(SLICE("/p")) };
    assert_non_null(d->c.bundle);
    bundle_file_set(d->c.bundle, SLICE("/p/list"), SLICE("# sites\n.one.example\n two.example # two\r\n\n"));
    bundle_file_set(d->c.bundle, SLICE("/p/patterns"), SLICE("#c\nzip zzz # two words\r\n\t-i\nB #c\n"));
    bundle_file_set(d->c.bundle, SLICE("/p/words"), SLICE("zip zzz\none#two"));
    assert_int_equal(fwd_acls_init(&d->acls, &d->c), OK);
    fwd_rules_init(&d->rules, false);
    assert_int_equal(conf_parse_text(&d->arena, d->c.bundle, &d->diag, SLICE("t"), slice_str(text), &root), OK);
    for (const struct conf_node *n = root->children; n; n = n->next) {
        int rc = slice_eq(n->name, SLICE("acl")) ? fwd_acl_line(&d->acls, &d->c, n)
                                                 : fwd_rules_line(&d->rules, &d->acls, &d->c, n, 0);
        assert_true(rc == OK || rc == ERR_SYNTAX);
    }
    fwd_acls_finish(&d->acls, &d->c);
    d->fields = (struct fields){ .v = d->fields_v, .n = 2 };
    d->fields_v[0] = (struct field){ .name = SLICE("user-agent"), .value = SLICE("Wget/1.2") };
    d->fields_v[1] = (struct field){ .name = SLICE("X-Mark"), .value = SLICE("blue") };
    assert_int_equal(addr_parse_ip(SLICE("10.1.2.3"), 99, &d->client), OK);
    d->r = (struct fwd_request){ .client = &d->client.sa,
                                 .method = SLICE("GET"),
                                 .scheme = SLICE("http"),
                                 .host = SLICE("www.one.example"),
                                 .port = 80,
                                 .path = SLICE("/a.zip?b"),
                                 .url = SLICE("http://www.one.example/a.zip?b"),
                                 .fields = &d->fields };
    return d->c.errors;
}

static void desk_close(struct desk *d)
{
    fwd_acls_done(&d->acls);
    bundle_free(d->c.bundle);
    arena_done(&d->arena);
}

/* What the one condition says to the usual request. */
static enum fwd_answer says(const char *acl)
{
    struct desk d;
    char text[512];
    snprintf(text, sizeof(text), "%s http_access allow x;", acl);
    assert_int_equal(desk_open(&d, text), 0);
    enum fwd_answer x = fwd_acl_match(map_get(&d.acls.names, SLICE("x")), &d.r);
    desk_close(&d);
    return x;
}

static void conditions(void **state)
{
    static const struct {
        const char *acl;
        enum fwd_answer answer;
    } rows[] = {
        { "acl x src 10.0.0.0/8;", FWD_YES },
        { "acl x src 10.1.2.3;", FWD_YES },
        { "acl x src 10.1.2.2-10.1.2.4;", FWD_YES },
        { "acl x src 10.1.2.4-10.1.2.9;", FWD_NO },
        { "acl x src 10.1.0.0-10.1.2.0/24;", FWD_YES },
        { "acl x src 10.1.0.0/255.255.0.0;", FWD_YES },
        { "acl x src 11.0.0.0/8 fe80::/10;", FWD_NO },
        { "acl x src ipv6;", FWD_NO },
        { "acl x src ipv4;", FWD_YES },
        { "acl x src 0.0.0.0/0;", FWD_YES },
        { "acl x src 11.0.0.1; acl x src 10.1.2.3;", FWD_YES },
        { "acl x dst 10.0.0.0/8;", FWD_NEED_ADDRESSES },
        { "acl x dstdomain .one.example;", FWD_YES },
        { "acl x dstdomain one.example;", FWD_NO },
        { "acl x dstdomain .ne.example;", FWD_NO },
        { "acl x dstdomain \"list\";", FWD_YES },
        { "acl x dstdom_regex ^www\\.;", FWD_YES },
        { "acl x urlpath_regex \"patterns\";", FWD_YES },
        { "acl x urlpath_regex \"words\";", FWD_NO }, /* a line is one pattern */
        { "acl x url_regex ONE;", FWD_NO },
        { "acl x url_regex -i ONE;", FWD_YES },
        { "acl x url_regex -i zzz +i ONE;", FWD_NO },
        { "acl x urlpath_regex \\.zip;", FWD_YES },
        { "acl x urlpath_regex one;", FWD_NO },
        { "acl x port 80;", FWD_YES },
        { "acl x port 443 1-79 81-90;", FWD_NO },
        { "acl x method POST GET;", FWD_YES },
        { "acl x proto HTTP;", FWD_YES },
        { "acl x proto FTP;", FWD_NO },
        { "acl x browser ^Wget;", FWD_YES },
        { "acl x referer_regex .;", FWD_NO },
        { "acl x req_header x-mark ^blue$;", FWD_YES },
        { "acl x maxconn 1;", FWD_NO },
        { "acl x maxconn 0;", FWD_YES },
        { "acl x proxy_auth REQUIRED;", FWD_NEED_USER },
        { "acl a port 80; acl b method POST; acl x any-of a b;", FWD_YES },
        { "acl a port 80; acl b method POST; acl x all-of a b;", FWD_NO },
        { "acl a port 80; acl b method POST; acl x all-of a !b;", FWD_YES },
        { "acl a port 80; acl b method POST; acl x all-of a b; acl x all-of a;", FWD_YES },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        enum fwd_answer x = says(rows[i].acl);
        if (x != rows[i].answer)
            fail_msg("%s: %d", rows[i].acl, x);
    }
}

static void faults(void **state)
{
    static const char *const rows[] = {
        "acl x src 10.0.0.0/33;",
        "acl x src 10.0.0.9-10.0.0.1;",
        "acl x port 70000;",
        "acl x time 25:00-26:00;",
        "acl x nothing 1;",
        "acl x external y;",
        "acl x port 1; acl x src all;",
        "http_access allow lcalhost;",
        "http_access permit all;",
        "http_access allow;",
        "acl x url_regex (;",
        "acl a port 1; acl x any-of a; acl y any-of x; acl x any-of y;",
        "acl x dstdomain \"absent\";",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct desk d;
        if (desk_open(&d, rows[i]) != 1)
            fail_msg("%s: %u errors", rows[i], d.c.errors);
        desk_close(&d);
    }
}

static void times(void **state)
{
    struct desk d;
    setenv("TZ", "UTC", 1);
    tzset();
    assert_int_equal(desk_open(&d, "acl x time MTWHF 09:00-17:00;"), 0);
    const struct fwd_acl *x = map_get(&d.acls.names, SLICE("x"));
    d.r.now = 1700000000; /* a Tuesday, 22:13 */
    assert_int_equal(fwd_acl_match(x, &d.r), FWD_NO);
    d.r.now -= 10 * 3600;
    assert_int_equal(fwd_acl_match(x, &d.r), FWD_YES);
    d.r.now += 5 * 86400; /* Sunday */
    assert_int_equal(fwd_acl_match(x, &d.r), FWD_NO);
    desk_close(&d);
}

/* First match; the opposite of the last; what is needed is asked for only when it is reached. */
static void deciding(void **state)
{
    struct desk d;
    char where[128];
    assert_int_equal(desk_open(&d, "acl net src 10.0.0.0/8; acl bad dstdomain .one.example;\n"
                                   "acl user proxy_auth tom; acl far dst 192.0.2.0/24;\n"
                                   "http_access deny bad !CONNECT;\n"
                                   "http_access allow net user;\n"
                                   "http_access deny far;\n"),
                     0);
    struct fwd_decision v = fwd_decide(&d.rules, &d.r);
    assert_int_equal(v.answer, FWD_NO);
    assert_int_equal(v.rule->pos.line, 3);
    size_t n = fwd_decision_text(where, sizeof(where), &d.rules, &v);
    assert_true(slice_eq(slice_of(where, n), SLICE("t:3 (http_access deny bad !CONNECT)")));
    d.r.method = SLICE("CONNECT");
    assert_int_equal(fwd_decide(&d.rules, &d.r).answer, FWD_NEED_USER);
    d.r.user_known = true;
    d.r.user = SLICE("tom");
    assert_int_equal(fwd_decide(&d.rules, &d.r).answer, FWD_YES);
    d.r.user = SLICE("eve");
    assert_int_equal(fwd_decide(&d.rules, &d.r).answer, FWD_NEED_ADDRESSES);
    d.r.resolved = true;
    v = fwd_decide(&d.rules, &d.r);
    assert_int_equal(v.answer, FWD_YES);
    assert_null(v.rule);
    desk_close(&d);
    assert_int_equal(desk_open(&d, "acl net src 11.0.0.0/8; http_access allow net;"), 0);
    assert_int_equal(fwd_decide(&d.rules, &d.r).answer, FWD_NO);
    desk_close(&d);
    assert_int_equal(desk_open(&d, ""), 0);
    assert_int_equal(fwd_decide(&d.rules, &d.r).answer, FWD_NO);
    desk_close(&d);
}

/* Lists that let anybody in, whoever asks. */
static void open_lists(void **state)
{
    static const struct {
        const char *lines;
        bool open;
    } rows[] = {
        { "", false },
        { "http_access allow all;", true },
        { "http_access deny all;", false },
        { "http_access deny all; http_access allow all;", false },
        { "acl n src 10.0.0.0/8; http_access allow n; http_access deny all;", false },
        { "acl n src 10.0.0.0/8; http_access allow n;", false },
        { "acl n src 10.0.0.0/8; http_access deny n;", true },
        { "acl n src 10.0.0.0/8; http_access deny !n; http_access allow all;", false },
        { "acl n src 10.0.0.0/8; http_access allow !n; http_access deny all;", true },
        { "acl n src 0.0.0.0/0; http_access allow n;", true },
        { "acl p port 80; http_access deny !p; http_access allow all;", true },
        { "acl p port 80; http_access allow p; http_access deny all;", true },
        { "acl u proxy_auth REQUIRED; http_access allow u;", false },
        { "acl n src 10.0.0.0/8; acl u proxy_auth eve; acl g any-of n u; http_access allow g;", false },
        { "acl n src 10.0.0.0/8; acl p port 80; acl g any-of n p; http_access allow g; http_access deny all;", true },
        { "acl n src 10.0.0.0/8; acl p port 80; acl g all-of n p; http_access allow g; http_access deny all;", false },
        { "http_access allow localhost manager; http_access deny manager; http_access allow localhost;", false },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct desk d;
        assert_int_equal(desk_open(&d, rows[i].lines), 0);
        if (fwd_rules_open(&d.rules) != rows[i].open)
            fail_msg("%s", rows[i].lines);
        desk_close(&d);
    }
}

/* Who comes by a unix socket is of no network, but one of all. */
static void without_an_address(void **state)
{
    struct desk d;
    struct sockaddr local = { .sa_family = AF_UNIX };
    assert_int_equal(desk_open(&d, "acl n src 0.0.0.1-255.0.0.0; http_access allow n; http_access deny all;"), 0);
    d.r.client = &local;
    struct fwd_decision v = fwd_decide(&d.rules, &d.r);
    assert_int_equal(v.answer, FWD_NO);
    assert_non_null(v.rule);
    desk_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions), cmocka_unit_test(faults),     cmocka_unit_test(times),
        cmocka_unit_test(deciding),   cmocka_unit_test(open_lists), cmocka_unit_test(without_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
