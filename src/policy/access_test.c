/*
 * Which line of allow and deny decides; how satisfy combines what policies say; faults in the lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/err.h"
#include "policy/access.h"
#include "policy/auth_basic.h"
#include "policy/auth_request.h"
#include "proxy/satisfy.h"

/* Two policies that say what the test wants: those behind `access`. */
static enum verdict said[2];
static unsigned statuses[2], asked[2];

static enum verdict scripted(struct exchange *x, unsigned i)
{
    struct field f = { .name = SLICE("WWW-Authenticate"), .token = TOK_WWW_AUTHENTICATE };
    asked[i]++;
    if (said[i] != VERDICT_REPLY)
        return said[i];
    assert_int_equal(reply_set(x, statuses[i], SLICE_NONE, SLICE_NONE, true), OK);
    f.value = i ? SLICE("two") : SLICE("one");
    if (statuses[i] == 401)
        assert_true(fields_add(&x->arena, &x->resp.fields, f));
    return VERDICT_REPLY;
}

static enum verdict say_one(struct exchange *x, const void *conf)
{
    return scripted(x, 0);
}

static enum verdict say_two(struct exchange *x, const void *conf)
{
    return scripted(x, 1);
}

static const struct policy one_policy = { .name = "one", .on_request = say_one },
                           two_policy = { .name = "two", .on_request = say_two };

#define TEST_FEATURES &satisfy_feature, &access_feature, &auth_basic_feature, &auth_request_feature
#define TEST_POLICIES { &access_policy, PHASE_ACCESS }, { &one_policy, PHASE_ACCESS }, { &two_policy, PHASE_ACCESS },

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

/* With a log that nobody reads. */
static struct visit *visit_of(struct site *s, const char *target)
{
    static const struct log nowhere;
    struct visit *v = visit_new(s, KEY, SLICE("h"), slice_str(target));
    v->x.log = &nowhere;
    return v;
}

static struct site *site_of(const char *inner)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_good(arena_printf(&a, "http { server { listen 127.0.0.1; %s } }", inner));
    arena_done(&a);
    return s;
}

static void come_from(struct visit *v, const char *address)
{
    struct addr_ip *ip = &v->client.peer;
    memset(ip, 0, sizeof(*ip));
    if (inet_pton(AF_INET, address, &ip->in.sin_addr) == 1)
        ip->sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, address, &ip->in6.sin6_addr) == 1)
        ip->sa.sa_family = AF_INET6;
    else
        ip->sa.sa_family = AF_UNIX;
}

static void lines(void **state)
{
    static const struct {
        const char *lines, *from;
        enum verdict want;
    } table[] = {
        { "allow all;", "192.0.2.1", VERDICT_ALLOW },
        { "deny all;", "192.0.2.1", VERDICT_REPLY },
        { "deny all;", "unix", VERDICT_REPLY },
        { "deny all;", "::1", VERDICT_REPLY },
        { "deny 192.0.2.0/24;", "192.0.2.1", VERDICT_REPLY },
        { "deny 192.0.2.0/24;", "192.0.3.1", VERDICT_NEXT },
        { "deny 192.0.2.0/24;", "::1", VERDICT_NEXT },
        { "deny 192.0.2.0/24;", "unix", VERDICT_NEXT },
        { "deny 192.0.2.0/24;", "::ffff:192.0.2.9", VERDICT_REPLY },
        { "deny ::ffff:192.0.2.0/120;", "::ffff:192.0.2.9", VERDICT_REPLY },
        { "deny ::ffff:192.0.2.0/120; allow 10.0.0.0/8;", "::ffff:192.0.2.9", VERDICT_NEXT },
        { "deny ::/0;", "::ffff:192.0.2.9", VERDICT_REPLY },
        { "deny ::/0;", "192.0.2.9", VERDICT_NEXT },
        { "allow 192.0.2.7; deny 192.0.2.0/24;", "192.0.2.7", VERDICT_ALLOW },
        { "allow 192.0.2.7; deny 192.0.2.0/24;", "192.0.2.8", VERDICT_REPLY },
        { "deny 192.0.2.0/24; allow 192.0.2.7;", "192.0.2.7", VERDICT_REPLY },
        { "allow unix:; deny all;", "unix", VERDICT_ALLOW },
        { "deny unix:; allow all;", "unix", VERDICT_REPLY },
        { "allow 2001:db8::/32; deny ::/0;", "2001:db8::1", VERDICT_ALLOW },
        { "allow 2001:db8::/32; deny ::/0;", "2001:db9::1", VERDICT_REPLY },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct site *s = site_of(table[i].lines);
        struct visit *v = visit_of(s, "/");
        come_from(v, table[i].from);
        const struct policy_use *u = v->x.pass.loc->policies;
        assert_ptr_equal(u->policy, &access_policy);
        if (u->policy->on_request(&v->x, u->conf) != table[i].want)
            fail_msg("%s from %s", table[i].lines, table[i].from);
        assert_int_equal(v->x.resp.status, table[i].want == VERDICT_REPLY ? 403 : 0);
        visit_free(v);
        site_free(s);
    }
}

static void levels(void **state)
{
    struct site *s = site_of("deny 192.0.2.7; location /plain { location /plain/in { } } location /own { allow all; }");
    struct visit *v = visit_of(s, "/plain/in");
    const struct policy_use *u = visit_location(v)->policies;
    assert_int_equal(u->policy->on_request(&v->x, u->conf), VERDICT_REPLY);
    visit_free(v);
    v = visit_of(s, "/own");
    u = visit_location(v)->policies;
    assert_int_equal(u->policy->on_request(&v->x, u->conf), VERDICT_ALLOW);
    visit_free(v);
    site_free(s);
    s = site_of("");
    v = visit_of(s, "/");
    assert_ptr_equal(v->x.pass.loc->policies->policy, &one_policy); /* nothing of `access` where there is no line */
    visit_free(v);
    site_free(s);
}

/* ---- satisfy ---- */

/* Walks as the step does. */
static enum verdict walk(struct exchange *x)
{
    for (const struct policy_use *u = x->pass.loc->policies; u->policy; u++) {
        enum verdict v = policy_run(x, u);
        if (v != VERDICT_NEXT)
            return v;
    }
    return VERDICT_NEXT;
}

static slice challenges(const struct exchange *x)
{
    static char text[64];
    struct strb b;
    strb_init_fixed(&b, text, sizeof(text));
    for (uint32_t i = 0; i < x->resp.fields.n; i++) {
        if (x->resp.fields.v[i].token == TOK_WWW_AUTHENTICATE)
            strb_add(&b, x->resp.fields.v[i].value);
    }
    return strb_slice(&b);
}

static const enum verdict NEXT = VERDICT_NEXT, ALLOW = VERDICT_ALLOW, REPLY = VERDICT_REPLY, WAIT = VERDICT_WAIT,
                          DROP = VERDICT_DROP;

static void combining(void **state)
{
    const struct {
        const char *lines;
        enum verdict one;
        unsigned status_one;
        enum verdict two;
        unsigned status_two;
        enum verdict want;
        unsigned status, asked_one, asked_two;
        const char *challenge;
    } table[] = {
        { "", NEXT, 0, NEXT, 0, NEXT, 0, 1, 1, "" },
        { "", ALLOW, 0, ALLOW, 0, NEXT, 0, 1, 1, "" },
        { "", REPLY, 401, ALLOW, 0, REPLY, 401, 1, 0, "one" },
        { "", ALLOW, 0, REPLY, 403, REPLY, 403, 1, 1, "" },
        { "deny all;", ALLOW, 0, ALLOW, 0, REPLY, 403, 0, 0, "" },
        { "satisfy any;", NEXT, 0, NEXT, 0, NEXT, 0, 1, 1, "" },
        { "satisfy any; deny all;", NEXT, 0, NEXT, 0, REPLY, 403, 1, 1, "" },
        { "satisfy any; deny all;", ALLOW, 0, REPLY, 401, NEXT, 0, 1, 0, "" },
        { "satisfy any; allow all;", REPLY, 401, REPLY, 401, NEXT, 0, 0, 0, "" },
        { "satisfy any; deny all;", REPLY, 401, ALLOW, 0, NEXT, 0, 1, 1, "" },
        { "satisfy any; deny all;", REPLY, 401, NEXT, 0, REPLY, 401, 1, 1, "one" },
        { "satisfy any; deny all;", REPLY, 401, REPLY, 403, REPLY, 401, 1, 1, "one" },
        { "satisfy any;", REPLY, 403, REPLY, 401, REPLY, 401, 1, 1, "two" },
        { "satisfy any;", REPLY, 401, REPLY, 401, REPLY, 401, 1, 1, "onetwo" },
        { "satisfy any;", REPLY, 500, ALLOW, 0, REPLY, 500, 1, 0, "" },
        { "satisfy any; deny all;", REPLY, 401, REPLY, 500, REPLY, 500, 1, 1, "" },
        { "satisfy any; deny all;", DROP, 0, ALLOW, 0, DROP, 0, 1, 0, "" },
        { "satisfy any; deny all;", WAIT, 0, ALLOW, 0, WAIT, 0, 1, 0, "" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct site *s = site_of(table[i].lines);
        struct visit *v = visit_of(s, "/");
        said[0] = table[i].one;
        said[1] = table[i].two;
        statuses[0] = table[i].status_one;
        statuses[1] = table[i].status_two;
        asked[0] = asked[1] = 0;
        enum verdict got = walk(&v->x);
        bool replied = got == VERDICT_REPLY;
        if (got != table[i].want || (replied && v->x.resp.status != table[i].status) || v->x.local != replied ||
            asked[0] != table[i].asked_one || asked[1] != table[i].asked_two)
            if (got != VERDICT_WAIT && got != VERDICT_DROP)
                fail_msg("row %zu: %d %u, asked %u %u", i, got, v->x.resp.status, asked[0], asked[1]);
        assert_int_equal(got, table[i].want);
        if (replied)
            assert_slice(challenges(&v->x), table[i].challenge);
        visit_free(v);
        site_free(s);
    }
}

/* A policy that waited is asked again; what those before it said is not lost. */
static void waiting(void **state)
{
    struct site *s = site_of("satisfy any; deny all;");
    struct visit *v = visit_of(s, "/");
    const struct policy_use *u = v->x.pass.loc->policies;
    said[0] = REPLY;
    statuses[0] = 401;
    said[1] = WAIT;
    assert_int_equal(policy_run(&v->x, &u[0]), VERDICT_NEXT);
    assert_int_equal(policy_run(&v->x, &u[1]), VERDICT_NEXT);
    assert_int_equal(policy_run(&v->x, &u[2]), VERDICT_WAIT);
    assert_int_equal(policy_run(&v->x, &u[2]), VERDICT_WAIT);
    said[1] = REPLY;
    statuses[1] = 403;
    assert_int_equal(policy_run(&v->x, &u[2]), VERDICT_REPLY);
    assert_int_equal(v->x.resp.status, 401);
    v->x.passes++; /* error_page: another pass is judged anew */
    said[0] = said[1] = NEXT;
    assert_int_equal(walk(&v->x), VERDICT_REPLY);
    assert_int_equal(v->x.resp.status, 403);
    struct exchange parent = { 0 };
    v->x.parent = &parent; /* a child is not judged at all */
    assert_int_equal(walk(&v->x), VERDICT_NEXT);
    v->x.parent = NULL;
    visit_free(v);
    site_free(s);
}

static void refused(void **state)
{
    static const struct {
        const char *inner, *text;
    } table[] = {
        { "deny 1.2.3.4/33;", "invalid parameter \"1.2.3.4/33\"" },
        { "allow localhost;", "invalid parameter \"localhost\"" },
        { "satisfy most;", "invalid value \"most\"" },
        { "auth_request_set x y;", "invalid variable name \"x\"" },
        { "auth_basic_hashes 0;", "invalid number \"0\"" },
        { "auth_basic_hashes x;", "invalid number \"x\"" },
        { "auth_basic_hashes address=2;", "invalid parameter \"address=2\"" },
        { "auth_basic_hashes 2 4;", "invalid parameter \"4\"" },
        { "auth_basic_hashes 2 wait=4;", "invalid parameter \"wait=4\"" },
        { "auth_basic_user_file $host/x;",
          "the name must say where the files are before its first variable: they are read when the configuration is "
          "loaded" },
    };
    for (size_t i = 0; i < array_len(table); i++)
        site_refused(table[i].inner, table[i].text);
}

static void no_memory(void **state)
{
    site_without_memory(SLICE(
        "http { allow 10.0.0.0/8; deny ::/0; deny all; satisfy any; auth_delay 1s; auth_basic_hashes 3 waiting=9;\n"
        "server { listen 127.0.0.1; auth_basic \"for $host\"; auth_basic_user_file /none/here;\n"
        " location / { auth_request /x; auth_request_set $a \"$host-$b\"; auth_request_set $b $status; }\n"
        " location /v { auth_basic_user_file /none/$host/x; allow all; } } }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),   cmocka_unit_test(levels),  cmocka_unit_test(combining),
        cmocka_unit_test(waiting), cmocka_unit_test(refused), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
