/*
 * Templates and units: what compiles is evaluated and compared with a plain reading of the same text, byte by byte.
 */
#include <stdlib.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/schema.h"
#include "conf/units.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

struct exchange {
    unsigned reads;
};

static int get_nothing(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static const struct var_def vars[] = {
    { .name = "host", .get = get_nothing, .doc = "." },
    { .name = "1", .get = get_nothing, .doc = "." },
    { .name = "arg_", .prefix = true, .get = get_nothing, .doc = "." },
};
static struct feature feature = { .name = "fuzz", .doc = ".", .vars = vars, .nvars = 3 };
static struct feature *const features[] = { &feature };
static struct schema schema;

/* The value of a variable is its name in brackets. */
static int lookup(struct exchange *x, const struct var *v, slice *out)
{
    static char mem[1 << 17];
    static size_t at;
    if (at + v->name.n + 2 > sizeof(mem))
        at = 0;
    if (v->name.n + 2 > sizeof(mem))
        return ERR_NOTFOUND;
    char *p = mem + at;
    p[0] = '[';
    memcpy(p + 1, v->name.p, v->name.n);
    p[v->name.n + 1] = ']';
    at += v->name.n + 2;
    *out = slice_of(p, v->name.n + 2);
    return OK;
}

static bool is_name(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_';
}

/* The same by a state machine of its own, for a text that is known to be right. */
static void expected(slice s, struct strb *out)
{
    size_t i = 0;
    while (i < s.n) {
        if (s.p[i] != '$') {
            strb_char(out, s.p[i++]);
            continue;
        }
        bool brace = s.p[++i] == '{';
        i += brace;
        size_t from = i;
        strb_char(out, '[');
        while (i < s.n && is_name(s.p[i])) {
            strb_char(out, ascii_lower(s.p[i++]));
            if (!brace && i - from == 1 && s.p[from] >= '1' && s.p[from] <= '9')
                break;
        }
        strb_char(out, ']');
        i += brace;
    }
}

static void try_template(slice text)
{
    struct arena a;
    struct conf_diag d;
    struct conf_ctx cf;
    struct template t;
    struct exchange x = { 0 };
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    CHECK(conf_ctx_init(&cf, &schema, &a, NULL, &d) == OK);
    struct conf_arg arg = { .text = text };
    int r = template_compile(&cf, &arg, &t);
    CHECK(r == OK || (r == ERR_SYNTAX && d.errors == 1));
    if (r == OK) {
        slice got;
        struct strb want;
        strb_init(&want, 0);
        vars_check(&cf);
        expected(text, &want);
        CHECK(template_eval(&t, &x, lookup, &a, &got) == OK);
        CHECK(slice_eq(got, strb_slice(&want)));
        strb_done(&want);
    }
    conf_ctx_done(&cf);
    arena_done(&a);
}

static void try_units(slice text)
{
    uint64_t v, w;
    if (conf_size(text, &v) == OK)
        CHECK(conf_offset(text, &w) == OK && v == w);
    if (conf_sec(text, &v) == OK)
        CHECK(conf_msec(text, &w) == OK && w == v * 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice text = slice_of((const char *)data, size);
    if (!schema.nfeatures)
        CHECK(schema_init(&schema, features, 1) == OK);
    if (size > 8192)
        return 0;
    try_template(text);
    try_units(text);
    return 0;
}
