/*
 * map, geo, split_clients, valid_referers: what of their variables black-box cases cannot see: when a value is kept,
 * what is the client's choice, cycles, memory.
 */
#include "policy/derived.h"

#include "policy/referers.h"

#define TEST_FEATURES \
    &derived_feature, &map_feature, &geo_feature, &split_clients_feature, &referers_feature, &test_vars_feature

/* $early is known with the request, $late with the answer; both count how often they are read. */
static unsigned early_reads, late_reads;

static int get_early(struct exchange *x, const struct var *v, slice *out)
{
    early_reads++;
    *out = SLICE("one");
    return 0;
}

static int get_late(struct exchange *x, const struct var *v, slice *out)
{
    late_reads++;
    *out = SLICE("two");
    return 0;
}

static const struct var_def test_vars_table[] = {
    { .name = "early", .known = VAR_REQUEST, .get = get_early, .doc = "A test." },
    { .name = "late", .known = VAR_RESPONSE, .get = get_late, .doc = "A test." },
};

static struct feature test_vars_feature = {
    .name = "test_vars", .doc = "A test.", .vars = test_vars_table, .nvars = 2
};

#include "proxy/route_test.h"

#define KEY SLICE("127.0.0.1:80")

static struct site *site_of(struct arena *a, const char *blocks, const char *show)
{
    return site_good(arena_printf(a, "http { %s server { listen 127.0.0.1; show \"%s\"; } }", blocks, show));
}

struct row {
    const char *blocks, *show, *early, *late; /* shown before the answer is there, and when it is */
    unsigned early_reads, late_reads;
};

/* Each is asked twice before the answer, and twice with it. */
static void keeping(void **state)
{
    static const struct row table[] = {
        { "map $early $v { default d; one 1; }", "$v", "1", "1", 1, 0 },
        { "map $early $v { volatile; default d; one 1; }", "$v", "1", "1", 4, 0 },
        { "map $late $v { default d; two 2; }", "$v", "d", "2", 0, 1 },
        { "map $v $w { default none; 2 found; } map $late $v { default d; two 2; }", "$w", "none", "found", 0, 1 },
        { "map x $v { default $late; }", "$v", "", "two", 0, 1 },
        { "map $early $v { default d; one $late; }", "$v", "", "two", 3, 1 },
        { "split_clients $late $v { * all; }", "$v", "all", "all", 0, 1 },
        { "geo $late $v { default d; }", "$v", "d", "d", 0, 1 },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_of(&a, table[i].blocks, table[i].show);
        struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
        early_reads = late_reads = 0;
        for (unsigned k = 0; k < 4; k++) {
            v->x.known = k < 2 ? VAR_ROUTE : VAR_RESPONSE;
            slice got = visit_show(v);
            if (!slice_eq(got, slice_str(k < 2 ? table[i].early : table[i].late)))
                fail_msg("%s: %.*s the %u. time", table[i].blocks, SLICE_FMT(got), k + 1);
        }
        if (early_reads != table[i].early_reads || late_reads != table[i].late_reads)
            fail_msg("%s: %u and %u reads", table[i].blocks, early_reads, late_reads);
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

static void kept_over_passes(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_of(&a, "map $uri $v { default $uri; } map $uri $w { volatile; default $uri; }", "$v $w");
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/first"));
    assert_slice(visit_show(v), "/first /first");
    exchange_forget_values(&v->x);
    v->x.pass.uri = SLICE("/second");
    assert_slice(visit_show(v), "/first /second");
    visit_free(v);
    site_free(s);
    arena_done(&a);
}

/* Nothing calls itself without end, also where `volatile` keeps no value. */
static void cycles(void **state)
{
    static const struct {
        const char *blocks, *value;
    } table[] = {
        { "map $v $v { default \"v$v\"; '' e; }", "e" },
        { "map $w $v { default \"v$w\"; } map $v $w { default \"w$v\"; }", "vw" },
        { "map \"$v$v\" $v { volatile; default \"x$v$v\"; }", "x" },
        { "map $a $v { volatile; default \"$a$a\"; } map $b $a { volatile; default \"$b$b\"; }\n"
          "map $v $b { volatile; default \"b$v\"; }",
          "bbbb" },
        { "geo $v $v { default d; }", "d" },
        { "split_clients $v $v { * d; }", "d" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_of(&a, table[i].blocks, "$v");
        struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
        slice got = visit_show(v);
        if (!slice_eq(got, slice_str(table[i].value)))
            fail_msg("%s: %.*s", table[i].blocks, SLICE_FMT(got));
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

/* A chain that is no cycle ends at a hundred. */
static void deep(void **state)
{
    struct strb b;
    strb_init(&b, 0);
    strb_lit(&b, "map x $m0 { default end; }\n");
    for (unsigned i = 1; i < 150; i++)
        strb_printf(&b, "map $m%u $m%u { default none; end end; }\n", i - 1, i);
    strb_char(&b, '\0');
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    struct site *s = site_of(&a, b.p, "$m99 $m149");
    struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    assert_slice(visit_show(v), "end end"); /* the first hundred are kept by then */
    visit_free(v);
    site_free(s);
    s = site_of(&a, b.p, "$m149");
    v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
    assert_slice(visit_show(v), "none");
    visit_free(v);
    site_free(s);
    arena_done(&a);
    strb_done(&b);
}

static void taint(void **state)
{
    static const struct {
        const char *blocks;
        bool client;
    } table[] = {
        { "map $uri $v { default a; /x b; }", false },
        { "map $uri $v { ~^/(.*)$ fixed; }", false },
        { "map $uri $v { ~^/(.*)$ $1; }", true },
        { "map $uri $v { ~^/(?<n>.*)$ x$n; }", true },
        { "map $early $v { default $uri; }", true },
        { "map $early $v { default $early; one $w; } map $early $w { default $uri; }", true },
        { "map $early $v { default $w; } map $uri $w { default fixed; }", false },
        { "geo $v { default a; }", false },
        { "split_clients $uri $v { * a; }", false },
        { "map $early $v { default $uri; } map $early $v { default a; }", true }, /* rather once too often */
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_of(&a, table[i].blocks, "$v");
        struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
        const struct test_level *l = exchange_conf(&v->x, &test_feature);
        if (template_client(&l->show) != table[i].client)
            fail_msg("%s", table[i].blocks);
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

/* The address of a geo: the client's, one of a variable, or the one behind proxies. */
static void addresses(void **state)
{
    static const struct {
        const char *block, *forwarded, *value;
    } table[] = {
        { "geo $v { default d; 192.0.2.0/24 doc; }", NULL, "doc" },
        { "geo $v { default d; 192.0.2.0/24 doc; }", "198.51.100.1", "doc" },
        { "geo $v { default d; proxy 192.0.2.7; 198.51.100.0/24 far; }", "198.51.100.1", "far" },
        { "geo $v { default d; proxy 192.0.2.7; ::/0 six; }", "198.51.100.1, 2001:db8::1", "six" },
        { "geo $v { default d; proxy 192.0.2.7; proxy 2001:db8::/32; proxy_recursive; 198.51.100.1 far; }",
          "198.51.100.1, 2001:db8::1", "far" },
        { "geo $v { ranges; default d; proxy 192.0.2.7; 198.51.100.0-198.51.100.9 far; }", "::ffff:198.51.100.1",
          "far" },
        { "geo $v { ranges; default d; proxy 192.0.2.7; 0.0.0.0-255.255.255.254 four; }", "2001:db8::1", "d" },
    };
    for (size_t i = 0; i < array_len(table); i++) {
        struct arena a;
        arena_init(&a, NULL, 0, 1024, 0);
        struct site *s = site_of(&a, table[i].block, "$v");
        struct visit *v = visit_new(s, KEY, SLICE("h"), SLICE("/"));
        struct field f = { SLICE("X-Forwarded-For"), slice_str(table[i].forwarded), TOK_X_FORWARDED_FOR };
        if (table[i].forwarded)
            assert_true(fields_add(&v->x.arena, &v->x.req.fields, f));
        slice got = visit_show(v);
        if (!slice_eq(got, slice_str(table[i].value)))
            fail_msg("%s: %.*s", table[i].block, SLICE_FMT(got));
        visit_free(v);
        site_free(s);
        arena_done(&a);
    }
}

static void without_memory(void **state)
{
    site_without_memory(
        SLICE("http { map \"$uri:$early\" $m { hostnames; default $late; a 1; *.b 2; .c 3; d.* $g; ~^x(?<n>.) $n; }\n"
              "geo $early $g { default a; 10.0.0.0/8 b; ::1 c; proxy 127.0.0.1; delete 10.0.0.0/8; }\n"
              "geo $r { ranges; default a; 10.0.0.0-10.2.0.0 b; 10.0.0.1-10.0.0.1 c; }\n"
              "split_clients $m $s { 10% a; * b; }\n"
              "server { listen 127.0.0.1; server_name x.y ~z; show $m$g$r$s$invalid_referer;\n"
              " valid_referers none server_names a.b/c ~d; } }"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses), cmocka_unit_test(without_memory),
        cmocka_unit_test(keeping),   cmocka_unit_test(kept_over_passes),
        cmocka_unit_test(cycles),    cmocka_unit_test(deep),
        cmocka_unit_test(taint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
