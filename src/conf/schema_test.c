#include "conf/conf_test.h"

#include <stdlib.h>

#include "conf/schema.h"

/* A feature with every type, inherited through http, server and location. */
struct toy {
    bool flag;
    uint64_t num, size, offset, msec, sec;
    uint32_t choice, bits;
    slice string;
    struct template text;
    size_t nlist, sum; /* of `list`: how many at this level, and their sum */
    uint64_t first;    /* first number of `pair` */
    unsigned finished; /* calls of finish */
};

struct other {
    uint64_t value;
};

static int set_list(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct toy *t = conf;
    uint64_t v;
    if (slice_to_u64(node->args[0].text, &v) < 0)
        return conf_error(cf, node, 0, "bad number \"%.*s\"", SLICE_FMT(node->args[0].text));
    t->nlist++;
    t->sum += v;
    return OK;
}

static int set_pair(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct toy *t = conf;
    assert_int_equal(node->nargs, 2);
    return slice_to_u64(node->args[0].text, &t->first);
}

static int check_even(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    const struct toy *t = conf;
    return t->num % 2 ? conf_error(cf, node, 0, "%u is odd", (unsigned)t->num) : OK;
}

static unsigned data_lines;

static int set_data(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    for (const struct conf_node *n = node->children; n; n = n->next) {
        data_lines++;
        if (slice_eq(n->name, SLICE("wrong")))
            return conf_error(cf, n, -1, "wrong line");
    }
    return OK;
}

/* What the block handlers leave for the test to look at. */
static struct conf_scope *http_scope, *server_scope, *location_scope[8];
static size_t nlocations;

static int block(struct conf_ctx *cf, const struct conf_node *node, enum conf_context context, struct conf_scope **out)
{
    struct conf_scope *s = conf_scope_enter(cf, SCOPE_LOCATION, node);
    if (!s)
        return ERR_NOMEM;
    int r = conf_apply(cf, node, context);
    conf_scope_leave(cf, s);
    *out = s;
    return r;
}

static int set_http(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return block(cf, node, CONF_HTTP, &http_scope);
}

static int set_server(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return block(cf, node, CONF_SERVER, &server_scope);
}

static int set_location(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct conf_scope *s;
    int r = block(cf, node, CONF_LOCATION, &s);
    if (r == OK && nlocations < 8)
        location_scope[nlocations++] = s;
    return r;
}

static int get_nothing(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static const struct conf_value choices[] = { { "red", 1 }, { "green", 2 }, { "blue", 4 }, { NULL, 0 } };

enum { HSL = CONF_HTTP | CONF_SERVER | CONF_LOCATION };

#define TYPED(NAME, TYPE, FIELD, DEF, ...)                                                                            \
    {                                                                                                                 \
        .name = NAME, .contexts = HSL, .min_args = 1, .max_args = 1, .type = TYPE, .scope = SCOPE_LOCATION,           \
        .offset = offsetof(struct toy, FIELD), .def = DEF, .usage = NAME " VALUE;", .doc = "A " NAME ".", __VA_ARGS__ \
    }

static const struct directive toy_directives[] = {
    TYPED("flag", CONF_FLAG, flag, "on", .min = 0),
    TYPED("num", CONF_NUM, num, "10", .min = 2, .max = 100, .set = check_even),
    TYPED("size", CONF_SIZE, size, "8k", .max = 1048576),
    TYPED("offset", CONF_OFFSET, offset, "1g", .min = 1),
    TYPED("msec", CONF_MSEC, msec, "60s", .min = 1, .max = 86400000),
    TYPED("sec", CONF_SEC, sec, "1h", .min = 0),
    TYPED("choice", CONF_ENUM, choice, "green", .values = choices),
    { .name = "bits",
      .contexts = HSL,
      .min_args = 1,
      .max_args = CONF_ANY_ARGS,
      .type = CONF_BITS,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct toy, bits),
      .values = choices,
      .def = "red blue",
      .usage = "bits red | green | blue ...;",
      .doc = "Several." },
    TYPED("string", CONF_STRING, string, "a\\ b", .min = 0),
    TYPED("text", CONF_TEMPLATE, text, "\"x $known\"", .min = 0),
    { .name = "list",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .repeat = true,
      .offset = offsetof(struct toy, nlist),
      .size = 2 * sizeof(size_t),
      .set = set_list,
      .usage = "list NUMBER;",
      .doc = "A list." },
    { .name = "pair",
      .contexts = HSL,
      .min_args = 2,
      .max_args = 2,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct toy, first),
      .size = sizeof(uint64_t),
      .set = set_pair,
      .def = "8 4k",
      .usage = "pair NUMBER SIZE;",
      .doc = "Two." },
    TYPED("old_num", CONF_NUM, num, NULL, .min = 0),
    { .name = "http", .contexts = CONF_MAIN, .type = CONF_BLOCK, .set = set_http, .usage = "http { ... }", .doc = "." },
    { .name = "server",
      .contexts = CONF_HTTP,
      .type = CONF_BLOCK,
      .set = set_server,
      .repeat = true,
      .usage = "server { ... }",
      .doc = "." },
    { .name = "location",
      .contexts = CONF_SERVER | CONF_LOCATION,
      .min_args = 1,
      .max_args = 2,
      .type = CONF_BLOCK,
      .set = set_location,
      .repeat = true,
      .usage = "location [MODE] PATH { ... }",
      .doc = "." },
    { .name = "data",
      .contexts = HSL,
      .type = CONF_CUSTOM,
      .scope = SCOPE_LOCATION,
      .free_block = true,
      .set = set_data,
      .usage = "data { NAME VALUE; ... }",
      .doc = "Data." },
    { .name = "tuning",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_TUNING,
      .usage = "tuning VALUE;",
      .doc = "Nothing to tune." },
    { .name = "where",
      .contexts = CONF_MAIN,
      .min_args = 0,
      .max_args = 0,
      .type = CONF_CUSTOM,
      .scope = SCOPE_MAIN,
      .set = set_data,
      .usage = "where;",
      .doc = "Main." },
    { .name = "where",
      .contexts = CONF_UPSTREAM,
      .min_args = 0,
      .max_args = 0,
      .type = CONF_CUSTOM,
      .scope = SCOPE_UPSTREAM,
      .set = set_data,
      .usage = "where;",
      .doc = "Upstream." },
};

static const struct var_def toy_vars[] = {
    { .name = "known", .known = VAR_REQUEST, .get = get_nothing, .doc = "Known." },
    { .name = "host", .known = VAR_REQUEST, .get = get_nothing, .doc = "The host.", .client = true },
    { .name = "1", .known = VAR_ROUTE, .get = get_nothing, .doc = "First capture.", .client = true },
    { .name = "arg_", .prefix = true, .known = VAR_REQUEST, .get = get_nothing, .doc = "An argument.", .client = true },
};

static unsigned finishes;

static int toy_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                      const void *parent)
{
    struct toy *t = conf;
    const struct toy *p = parent;
    assert_int_equal(kind, SCOPE_LOCATION);
    t->finished++;
    finishes++;
    assert_int_equal(t->finished, 1);
    if (p)
        assert_int_equal(p->finished, 1);
    return t->size == 7 ? conf_error(cf, node, -1, "seven is not done") : OK;
}

static struct feature toy = {
    .name = "toy",
    .doc = "A toy.",
    .directives = toy_directives,
    .ndirectives = sizeof(toy_directives) / sizeof(toy_directives[0]),
    .vars = toy_vars,
    .nvars = sizeof(toy_vars) / sizeof(toy_vars[0]),
    .size = { [SCOPE_LOCATION] = sizeof(struct toy) },
    .finish = toy_finish,
};

static const struct directive other_directives[] = {
    { .name = "other_value",
      .contexts = HSL,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct other, value),
      .def = "3",
      .usage = "other_value N;",
      .doc = "Other." },
};

static struct feature other = {
    .name = "other",
    .doc = "Another.",
    .directives = other_directives,
    .ndirectives = 1,
    .size = { [SCOPE_LOCATION] = sizeof(struct other) },
};

static struct feature *const features[] = { &toy, &other };

struct fixture {
    struct bench b;
    struct schema s;
    struct conf_ctx cf;
    int result; /* of apply and merge */
};

static void run(struct fixture *f, slice text)
{
    nlocations = 0;
    finishes = data_lines = 0;
    http_scope = server_scope = NULL;
    bench_init(&f->b);
    assert_int_equal(schema_init(&f->s, features, 2), OK);
    assert_int_equal(conf_ctx_init(&f->cf, &f->s, &f->b.arena, f->b.bundle, &f->b.diag), OK);
    assert_int_equal(bench_parse(&f->b, text), OK);
    f->result = conf_apply(&f->cf, f->b.root, CONF_MAIN);
    for (size_t i = 0; i < nlocations; i++) {
        int r = conf_scope_merge(&f->cf, location_scope[i]);
        f->result = r < 0 ? r : f->result;
    }
    if (http_scope && conf_scope_merge(&f->cf, http_scope) < 0)
        f->result = ERR_SYNTAX;
    if (vars_check(&f->cf) < 0)
        f->result = ERR_SYNTAX;
}

static void done(struct fixture *f)
{
    conf_ctx_done(&f->cf);
    schema_done(&f->s);
    bench_done(&f->b);
}

static const struct toy *toy_of(const struct conf_scope *s)
{
    return conf_get(s->conf, &toy);
}

static void expect_bad(slice text, const char *messages)
{
    struct fixture f;
    run(&f, text);
    assert_int_equal(f.result, ERR_SYNTAX);
    expect_messages(&f.b, messages);
    done(&f);
}

static void defaults(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { }"));
    expect_messages(&f.b, "");
    const struct toy *t = toy_of(http_scope);
    assert_true(t->flag);
    assert_int_equal(t->num, 10);
    assert_int_equal(t->size, 8192);
    assert_int_equal(t->offset, 1u << 30);
    assert_int_equal(t->msec, 60000);
    assert_int_equal(t->sec, 3600);
    assert_int_equal(t->choice, 2);
    assert_int_equal(t->bits, 5);
    assert_true(slice_eq(t->string, SLICE("a\\ b")));
    assert_int_equal(t->text.nparts, 2);
    assert_true(slice_eq(t->text.source, SLICE("x $known")));
    assert_int_equal(t->nlist, 0);
    assert_int_equal(t->first, 8);
    assert_int_equal(((const struct other *)conf_get(http_scope->conf, &other))->value, 3);
    done(&f);
}

static void values(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { flag OFF; num 42; size 1m; offset 3g; msec 1h; sec 5m; choice blue; bits green;"
                  "string 'x y'; text $host; list 3; list 4; pair 5 6; }"));
    expect_messages(&f.b, "");
    const struct toy *t = toy_of(http_scope);
    assert_false(t->flag);
    assert_int_equal(t->num, 42);
    assert_int_equal(t->size, 1048576);
    assert_int_equal(t->offset, 3ull << 30);
    assert_int_equal(t->msec, 3600000);
    assert_int_equal(t->sec, 300);
    assert_int_equal(t->choice, 4);
    assert_int_equal(t->bits, 2);
    assert_true(slice_eq(t->string, SLICE("x y")));
    assert_true(template_client(&t->text));
    assert_int_equal(t->nlist, 2);
    assert_int_equal(t->sum, 7);
    assert_int_equal(t->first, 5);
    assert_true(conf_scope_has(&f.cf, http_scope, &toy, 1));
    assert_false(conf_scope_has(&f.cf, http_scope, &toy, 12));
    done(&f);
}

static void inheritance(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { num 20; list 1; list 2; server { size 2k; location /a { num 30; list 9; }"
                  "location /b { } location /c { other_value 5; location /d { flag off; } } } }"));
    expect_messages(&f.b, "");
    assert_int_equal(nlocations, 4);
    /* in the order in which their blocks ended: a, b, d, c */
    const struct toy *h = toy_of(http_scope), *s = toy_of(server_scope), *a = toy_of(location_scope[0]);
    const struct toy *b = toy_of(location_scope[1]), *d = toy_of(location_scope[2]), *c = toy_of(location_scope[3]);
    assert_int_equal(h->size, 8192);
    assert_int_equal(s->size, 2048);
    assert_int_equal(s->num, 20);
    assert_int_equal(a->num, 30);
    assert_int_equal(a->size, 2048);
    assert_int_equal(a->nlist, 1);
    assert_int_equal(a->sum, 9);
    assert_int_equal(s->nlist, 2);
    assert_int_equal(s->sum, 3);
    assert_ptr_equal(b, s);
    assert_ptr_equal(c, s);
    assert_ptr_not_equal(d, s);
    assert_false(d->flag);
    assert_true(c->flag);
    assert_int_equal(d->num, 20);
    assert_int_equal(finishes, 4); /* http, server, a, d */
    assert_ptr_equal(conf_get(location_scope[0]->conf, &other), conf_get(http_scope->conf, &other));
    assert_int_equal(((const struct other *)conf_get(location_scope[2]->conf, &other))->value, 5);
    assert_int_equal(conf_scope_merge(&f.cf, location_scope[2]), OK);
    assert_int_equal(finishes, 4);
    done(&f);
}

/* Two names for one slot: the one that is written wins over the default of the other. */
static void shared_slot(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { num 20; server { old_num 33; } }"));
    location_scope[0] = server_scope;
    assert_int_equal(conf_scope_merge(&f.cf, server_scope), OK);
    assert_int_equal(toy_of(http_scope)->num, 20);
    assert_int_equal(toy_of(server_scope)->num, 33);
    done(&f);
}

static void wrong_values(void **state)
{
    expect_bad(SLICE("http { flag maybe; }"),
               "1:13 invalid value \"maybe\" in \"flag\" directive, it must be \"on\" or \"off\"");
    expect_bad(SLICE("http { num x; }"), "1:12 \"num\" directive invalid number");
    expect_bad(SLICE("http { num 1; }"), "1:12 value must be between 2 and 100");
    expect_bad(SLICE("http { num 99999999999999999999; }"), "1:12 value must be between 2 and 100");
    expect_bad(SLICE("http { num 7; }"), "1:12 7 is odd");
    expect_bad(SLICE("http { size 1g; }"), "1:13 \"size\" directive invalid value");
    expect_bad(SLICE("http { size 2m; }"), "1:13 value must be equal to or less than 1m");
    expect_bad(SLICE("http { offset 0; }"), "1:15 value must be equal to or greater than 1");
    expect_bad(SLICE("http { msec 2d; }"), "1:13 value must be between 1ms and 86400s");
    expect_bad(SLICE("http { sec 5ms; }"), "1:12 \"sec\" directive invalid value");
    expect_bad(SLICE("http { choice yellow; }"), "1:15 invalid value \"yellow\"");
    expect_bad(SLICE("http { bits red pink lila; }"), "1:17 invalid value \"pink\"|1:22 invalid value \"lila\"");
    expect_bad(SLICE("http { list 1; list x; }"), "1:21 bad number \"x\"");
    expect_bad(SLICE("http { pair x y; }"), "1:8 \"pair\" directive failed: syntax error");
    expect_bad(SLICE("http { size 7; }"), "1:1 seven is not done");
}

static void wrong_lines(void **state)
{
    expect_bad(SLICE("htp { }"), "1:1 unknown directive \"htp\"");
    expect_bad(SLICE("num 2;"), "1:1 \"num\" directive is not allowed here");
    expect_bad(SLICE("http { num 2 3; }"), "1:8 invalid number of arguments in \"num\" directive");
    expect_bad(SLICE("http { num; }"), "1:8 invalid number of arguments in \"num\" directive");
    expect_bad(SLICE("http { num 2; num 4; }"), "1:15 \"num\" directive is duplicate");
    expect_bad(SLICE("http { num 2 { } }"), "1:8 directive \"num\" is not terminated by \";\"");
    expect_bad(SLICE("http;"), "1:1 directive \"http\" has no opening \"{\"");
    expect_bad(SLICE("http { data { a b; c { } } }"), "1:20 unexpected \"{\"");
    expect_bad(SLICE("http { data { wrong x; } }"), "1:15 wrong line");
    /* all of them, not the first alone */
    expect_bad(SLICE("a;\nhttp { b; num 3;\nserver { c; } }\nd;"),
               "1:1 unknown directive \"a\"|2:8 unknown directive \"b\"|2:15 3 is odd|3:10 unknown directive \"c\"|"
               "4:1 unknown directive \"d\"");
}

static void expect_hint(slice text, const char *hint)
{
    struct fixture f;
    run(&f, text);
    assert_int_equal(f.result, ERR_SYNTAX);
    assert_string_equal(f.b.diag.first->hint.p, hint);
    done(&f);
}

static void hints(void **state)
{
    expect_hint(SLICE("http { strng x; }"), "did you mean \"string\"?");
    expect_hint(SLICE("num 2;"), "it may stand in: http, server, location");
    expect_hint(SLICE("http { choice gren; }"),
                "one of: red, green, blue\ndid you mean \"green\"?\nusage: choice VALUE;");
    expect_hint(SLICE("http { msec 5x; }"),
                "\"5x\" is not a time: seconds, or with units (500ms, 30s, 5m, 1h 30m)\nusage: msec VALUE;");
    expect_hint(SLICE("http { num 2\nsize 3k; }"), "is a \";\" missing at the end of line 1?\nusage: num VALUE;");
    expect_hint(SLICE("http { data { wrong x; } }"), "usage: data { NAME VALUE; ... }");
    expect_hint(SLICE("http { text $knwon; }"), "did you mean \"$known\"?");
    expect_hint(SLICE("http { text ${known; }"), "usage: text VALUE;");
    expect_hint(SLICE("http { server { location { } } }"), "usage: location [MODE] PATH { ... }");
    expect_hint(SLICE("http;"), "usage: http { ... }");
    struct fixture f;
    run(&f, SLICE("http { size 7; }")); /* finish speaks of the level: no usage of its block */
    assert_int_equal(f.b.diag.first->hint.n, 0);
    done(&f);
}

static void warnings(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { tuning 1; bits red green red; server { tuning 2; tuning 3; } }"));
    assert_int_equal(f.result, OK);
    expect_messages(&f.b, "1:8 \"tuning\" directive has no effect|1:33 duplicate value \"red\"");
    assert_int_equal(f.b.diag.warnings, 2);
    assert_int_equal(f.b.diag.errors, 0);
    done(&f);
}

/* A value that was refused does not make the right one a duplicate, and inherits like one that was not written. */
static void refused_value(void **state)
{
    struct fixture f;
    run(&f, SLICE("http { num 3; num 4; size x; }"));
    expect_messages(&f.b, "1:12 3 is odd|1:27 \"size\" directive invalid value");
    assert_int_equal(toy_of(http_scope)->num, 4);
    assert_int_equal(toy_of(http_scope)->size, 8192);
    done(&f);
}

/* An error is told once, at its level, and not followed by what a check says that misses the refused line. */
static void spoiled_levels(void **state)
{
    expect_bad(SLICE("http { num x; size 7; }"), "1:12 \"num\" directive invalid number");
    expect_bad(SLICE("http { num x; server { size 7; location a { size 7; } } }"),
               "1:12 \"num\" directive invalid number");
    expect_bad(SLICE("http { size 7; server { num 4; location a { num 6; } } }"), "1:1 seven is not done");
    expect_bad(SLICE("http { other_value x; size 7; }"),
               "1:20 \"other_value\" directive invalid number|1:1 seven is not done");
    expect_bad(SLICE("http { server { unknown; location a { size 7; } } }"),
               "1:17 unknown directive \"unknown\"|1:26 seven is not done");
}

static unsigned spoiled_seen;

static int looking_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                          const void *parent)
{
    spoiled_seen += cf->spoiled;
    return toy_finish(cf, kind, node, conf, parent);
}

static void some_checks_are_made_all_the_same(void **state)
{
    toy.finish = looking_finish;
    toy.finish_spoiled = true;
    spoiled_seen = 0;
    expect_bad(SLICE("http { num x; size 7; }"), "1:12 \"num\" directive invalid number|1:1 seven is not done");
    assert_int_equal(spoiled_seen, 1);
    struct fixture f;
    run(&f, SLICE("http { num 4; }"));
    assert_int_equal(f.result, OK);
    assert_int_equal(spoiled_seen, 1);
    done(&f);
    toy.finish = toy_finish;
    toy.finish_spoiled = false;
}

static void manual(void **state)
{
    struct schema s;
    struct strb a, b;
    assert_int_equal(schema_init(&s, features, 2), OK);
    strb_init(&a, 0);
    strb_init(&b, 0);
    assert_int_equal(schema_manual(&s, &a), OK);
    assert_int_equal(schema_manual(&s, &b), OK);
    assert_true(slice_eq(strb_slice(&a), strb_slice(&b)));
    strb_char(&a, '\0');
    assert_non_null(strstr(a.p, "## toy\n\nA toy.\n\n### flag\n\n- Syntax: `flag VALUE;`\n- Default: `flag on;`\n"
                                "- Context: http, server, location\n\nA flag.\n\n"));
    assert_non_null(strstr(a.p, "- Values: `red`, `green`, `blue`\n"));
    assert_non_null(strstr(a.p, "- `$arg_NAME`: An argument. Known as soon as the request is there.\n"));
    assert_non_null(strstr(a.p, "### Accepted without effect\n\n- `tuning`: Nothing to tune.\n"));
    assert_null(strstr(a.p, "### tuning"));
    strb_done(&a);
    strb_done(&b);
    schema_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),       cmocka_unit_test(values),
        cmocka_unit_test(inheritance),    cmocka_unit_test(shared_slot),
        cmocka_unit_test(wrong_values),   cmocka_unit_test(wrong_lines),
        cmocka_unit_test(hints),          cmocka_unit_test(warnings),
        cmocka_unit_test(refused_value),  cmocka_unit_test(manual),
        cmocka_unit_test(spoiled_levels), cmocka_unit_test(some_checks_are_made_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
