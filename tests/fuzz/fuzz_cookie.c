/*
 * Set-Cookie rewriting: any value through several sets of rules, held against a second reading of both. What no rule is
 * about keeps its place and its bytes; what a rule is about has become what it says; no attribute appears that nobody
 * asked for; and what went in as a field value comes out as one.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "h2/conf.h"
#include "http/chars.h"
#include "proxy/http_block.h"
#include "proxy/proxy.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

const struct policy_entry policy_table[1];
const size_t policy_count;

extern struct feature client_feature, upstream_feature;
static struct feature *const features[] = { &http_feature, &client_feature, &h2_feature, &upstream_feature,
                                            &proxy_feature };

static const char text[] =
    "http { server {\n"
    "location /0 { proxy_pass http://127.0.0.1; proxy_cookie_flags ~. secure httponly samesite=lax; }\n"
    "location /1 { proxy_pass http://127.0.0.1; proxy_cookie_flags ~. nosecure nohttponly nosamesite; }\n"
    "location /2 { proxy_pass http://127.0.0.1; proxy_cookie_path ~^.*$ /p; proxy_cookie_domain ~^.*$ d.example; }\n"
    "location /3 { proxy_pass http://127.0.0.1; proxy_cookie_path / /p/; proxy_cookie_domain a b; }\n"
    "location /4 { proxy_pass http://127.0.0.1; }\n"
    "} }";
enum { SETS = 5, ATTRS = 600 };

static const struct location *locations[SETS];
static struct generation *gen;
static struct worker w;

static void load(void)
{
    static struct schema schema;
    static struct arena messages;
    static struct conf_diag diag;
    struct bundle *b = bundle_new(SLICE("/"));
    CHECK(schema_init(&schema, features, array_len(features)) == OK);
    arena_init(&messages, NULL, 0, 4096, 0);
    conf_diag_init(&diag, &messages);
    CHECK(bundle_option_set(b, SLICE("conf-text"), slice_str(text)) == OK);
    CHECK(generation_compile(&schema, b, &diag, &gen) == OK);
    const struct http_main *m = gen->main[http_feature.id];
    for (const struct location_build *l = m->servers->base.children; l; l = l->next)
        locations[l->path.p[1] - '0'] = l->loc;
}

struct attr {
    slice name, value;
    bool has;
};

static slice trim(slice s)
{
    while (s.n && s.p[0] == ' ')
        s = slice_from(s, 1);
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

static size_t cut(slice s, struct attr *v)
{
    size_t n = 0, from = 0;
    for (size_t i = 0; i <= s.n; i++) {
        if (i < s.n && s.p[i] != ';')
            continue;
        CHECK(n < ATTRS);
        slice one = slice_of(s.p + from, i - from), name = one, value = SLICE_NONE;
        ptrdiff_t eq = slice_find(one, '=');
        if (eq >= 0) {
            name = slice_upto(one, (size_t)eq);
            value = slice_from(one, (size_t)eq + 1);
        }
        v[n++] = (struct attr){ trim(name), trim(value), eq >= 0 };
        from = i + 1;
    }
    return n;
}

static bool is(const struct attr *a, const char *name)
{
    return slice_ieq(a->name, slice_str(name));
}

static bool is_flag(const struct attr *a)
{
    return is(a, "secure") || is(a, "httponly") || is(a, "samesite");
}

static bool same(const struct attr *a, const struct attr *b)
{
    return slice_eq(a->name, b->name) && a->has == b->has && slice_eq(a->value, b->value);
}

/* What rule set 2 or 3 makes of an attribute's value. */
static slice rewritten(unsigned set, const struct attr *a, char *mem)
{
    bool path = is(a, "path"), domain = is(a, "domain");
    if (!a->has || (!path && !domain))
        return a->value;
    if (set == 2)
        return path ? SLICE("/p") : SLICE("d.example");
    if (path && slice_starts(a->value, SLICE("/"))) {
        memcpy(mem, "/p/", 3);
        memcpy(mem + 3, a->value.p + 1, a->value.n - 1);
        return slice_of(mem, a->value.n + 2);
    }
    bool dot = slice_starts(a->value, SLICE("."));
    if (domain && slice_ieq(slice_from(a->value, dot), SLICE("a")))
        return dot ? SLICE(".b") : SLICE("b");
    return a->value;
}

static void check_values(unsigned set, const struct attr *in, size_t nin, const struct attr *out, size_t nout)
{
    static char mem[8192];
    CHECK(nin == nout && same(&in[0], &out[0]));
    for (size_t i = 1; i < nin; i++)
        CHECK(slice_eq(in[i].name, out[i].name) && in[i].has == out[i].has &&
              slice_eq(out[i].value, rewritten(set, &in[i], mem)));
}

static void check_flags(bool on, const struct attr *in, size_t nin, const struct attr *out, size_t nout)
{
    size_t secure = 0, httponly = 0, samesite = 0, lax = 0, k = 1;
    CHECK(same(&in[0], &out[0]));
    for (size_t i = 1; i < nin; i++) { /* what is no flag stays, in its order */
        if (is_flag(&in[i]))
            continue;
        while (k < nout && is_flag(&out[k]))
            k++;
        CHECK(k < nout && same(&in[i], &out[k]));
        k++;
    }
    for (size_t i = 1; i < nout; i++) {
        secure += is(&out[i], "secure");
        httponly += is(&out[i], "httponly");
        samesite += is(&out[i], "samesite");
        lax += is(&out[i], "samesite") && slice_eq(out[i].value, SLICE("Lax"));
        CHECK(is_flag(&out[i]) || k >= i);
    }
    if (on)
        CHECK(secure && httponly && lax);
    else
        CHECK(!secure && !httponly && !samesite);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct attr in[ATTRS], out[ATTRS];
    static struct exchange x;
    struct gen_ref ref = { 0 };
    slice value, result;
    if (!gen)
        load();
    if (size < 1 || size > 4000)
        return 0;
    unsigned set = data[0] % SETS;
    value = slice_of((const char *)data + 1, size - 1);
    if (!http_is_value(value))
        return 0;
    size_t semicolons = 0;
    for (size_t i = 0; i < value.n; i++)
        semicolons += value.p[i] == ';';
    if (semicolons > ATTRS - 10)
        return 0;
    memset(&x, 0, sizeof(x));
    arena_init(&x.arena, NULL, 0, 4096, 0);
    ref.gen = gen;
    x.w = &w;
    x.gen = &ref;
    x.pass.loc = locations[set];
    const struct proxy_conf *c = locations[set]->conf[proxy_feature.id];
    CHECK(cookie_rewrite(&x, &c->cookies, value, &result) == OK);
    CHECK(http_is_value(result));
    size_t nin = cut(value, in), nout = cut(result, out);
    if (set == 4 || !in[0].has)
        CHECK(slice_eq(value, result));
    else if (set >= 2)
        check_values(set, in, nin, out, nout);
    else if (in[0].name.n)
        check_flags(set == 0, in, nin, out, nout);
    arena_done(&x.arena);
    return 0;
}
