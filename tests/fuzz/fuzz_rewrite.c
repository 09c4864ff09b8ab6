/*
 * rewrite: a pattern, a replacement with overlapping captures, and a request, compared with a plain reading of the
 * replacement, byte by byte.
 *
 * The input: one byte that chooses the flag, then three lines: pattern, replacement, target.
 */
#include <stdlib.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/regex.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "h2/conf.h"
#include "http/chars.h"
#include "http/client_conf.h"
#include "http/uri.h"
#include "http/vars.h"
#include "policy/rewrite.h"
#include "policy/types.h"
#include "proxy/http_block.h"
#include "proxy/location.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

const struct policy_entry policy_table[] = { { &rewrite_policy, PHASE_REWRITE }, { NULL, PHASES } };
const size_t policy_count = 1;

static struct feature *const features[] = {
    &http_feature,          &client_feature,  &h2_feature,   &request_vars_feature, &connection_vars_feature,
    &response_vars_feature, &rewrite_feature, &types_feature
};
static struct schema schema;

struct input {
    slice pattern, replacement, target;
    const char *flag;
    bool redirect, fixed; /* fixed: break, the program stops here */
};

/* ---- the plain reading ---- */

static const char hex[] = "0123456789ABCDEF";

static void put_escaped(struct strb *out, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = c > 0x20 && c < 0x7f && slice_find(SLICE("\"#%&+;<>?\\^`{|}"), (char)c) < 0;
        if (plain) {
            strb_char(out, (char)c);
        } else {
            strb_char(out, '%');
            strb_char(out, hex[c >> 4]);
            strb_char(out, hex[c & 15]);
        }
    }
}

/* The replacement's bytes with its captures put in; `quote` from the first byte on, or from the first '?' on. */
static void put_replaced(struct strb *out, slice text, const slice *group, unsigned n, bool encoded, bool quote)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '$') {
            quote = quote || text.p[i] == '?';
            strb_char(out, text.p[i]);
            continue;
        }
        unsigned g = (unsigned)(text.p[++i] - '0');
        slice value = g < n ? group[g] : SLICE_NONE;
        if (quote && encoded)
            put_escaped(out, value);
        else
            strb_add(out, value);
    }
}

/* A state machine after nginx's, for the text of a redirect up to its first '?'. */
static void put_unescaped(struct strb *out, slice s)
{
    enum { USUAL, FIRST, SECOND } state = USUAL;
    int high = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int digit = ascii_hex(c), value = high << 4 | digit;
        if (state == USUAL && c == '%') {
            state = FIRST;
        } else if (state == USUAL) {
            strb_char(out, c);
        } else if (state == FIRST) {
            state = digit < 0 ? USUAL : SECOND;
            high = digit;
            if (digit < 0)
                strb_char(out, c);
            continue;
        } else {
            state = USUAL;
            if (digit >= 0 && value > '%' && value < 0x7f)
                strb_char(out, (char)value);
            else if (digit >= 0)
                strb_add(out, slice_of(s.p + i - 2, 3));
            c = digit >= 0 && value == '?' ? '?' : '\0';
        }
        if (state == USUAL && c == '?') {
            strb_add(out, slice_from(s, i + 1));
            return;
        }
    }
}

/* Only $1 to $9. */
static bool understood(slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '$' && (i + 1 == text.n || text.p[i + 1] < '1' || text.p[i + 1] > '9'))
            return false;
    }
    return true;
}

/* "URI?ARGS", or the Location, that nginx would make of it. */
static void expected(const struct input *in, const struct exchange *x, slice path, const slice *group, unsigned n,
                     struct strb *out)
{
    slice text = in->replacement, args = x->req.query;
    bool encoded = slice_find(x->req.raw_path, '%') >= 0 || slice_find(x->req.raw_path, '+') >= 0;
    bool keep = text.p[text.n - 1] != '?', has;
    struct strb made;
    if (!keep)
        text = slice_upto(text, text.n - 1);
    has = slice_find(text, '?') >= 0;
    strb_init(&made, 0);
    put_replaced(&made, text, group, n, encoded, in->redirect);
    if (in->redirect) {
        put_unescaped(out, strb_slice(&made));
        if (keep && args.n)
            strb_char(out, has ? '&' : '?');
    } else {
        strb_add(out, strb_slice(&made));
        if (!has)
            strb_char(out, '?');
        else if (keep && args.n)
            strb_char(out, '&');
    }
    if (keep)
        strb_add(out, args);
    strb_done(&made);
}

/* ---- the real thing ---- */

static void put_quoted(struct strb *b, slice s)
{
    strb_char(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            strb_char(b, '\\');
        strb_char(b, s.p[i]);
    }
    strb_lit(b, "\" ");
}

static struct generation *compile(const struct input *in, struct bundle *bundle)
{
    struct generation *g = NULL;
    struct conf_diag d;
    struct arena a;
    struct strb b;
    strb_init(&b, 0);
    strb_printf(&b, "http { error_log /dev/null emerg; server { listen 127.0.0.1; location / { rewrite ");
    put_quoted(&b, in->pattern);
    put_quoted(&b, in->replacement);
    strb_printf(&b, "%s; if ($uri ~ ", in->flag);
    put_quoted(&b, in->pattern);
    strb_printf(&b, ") { set $c \"$1$2$9\"; } if ($c = $1) { set $d $c$1; } return 200 $c$d; } } }");
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    CHECK(bundle_option_set(bundle, SLICE("conf-text"), strb_slice(&b)) == OK);
    if (generation_compile(&schema, bundle, &d, &g) != OK)
        g = NULL;
    arena_done(&a);
    strb_done(&b);
    return g;
}

/* A target that a codec lets in. */
static bool set_request(struct exchange *x, slice target)
{
    struct request *r = &x->req;
    struct uri_path path;
    for (size_t i = 0; i < target.n; i++) {
        if (!ch_is(target.p[i], CH_TARGET))
            return false;
    }
    r->method = METHOD_GET;
    r->method_text = SLICE("GET");
    r->target = r->raw_path = target;
    r->host = r->authority = SLICE("h");
    r->has_query = slice_cut(target, '?', &r->raw_path, &r->query);
    if (!slice_starts(r->raw_path, SLICE("/")) || uri_path_parse(&x->arena, r->raw_path, true, &path) != OK)
        return false;
    r->path = path.path;
    x->pass = (struct pass){ .uri = r->path, .args = r->query, .has_args = r->has_query };
    return true;
}

/* What has become of the request, in the form of `expected`; false: something else (500, no memory). */
static bool outcome(const struct input *in, const struct exchange *x, struct strb *out)
{
    if (!in->redirect) {
        strb_add(out, x->pass.uri);
        strb_char(out, '?');
        strb_add(out, x->pass.args);
        return x->pass.uri.n;
    }
    const struct field *f = fields_find(&x->resp.fields, TOK_LOCATION);
    if (!f || !x->plain_page)
        return false;
    slice value = f->value;
    if (slice_starts(value, SLICE("http://h:8080/"))) /* made absolute */
        value = slice_from(value, sizeof("http://h:8080") - 1);
    strb_add(out, value);
    return true;
}

static void judge(const struct input *in, const struct exchange *x, slice path)
{
    struct regex *r;
    slice group[REGEX_GROUPS];
    struct strb want, got;
    CHECK(regex_new(in->pattern, false, &r, NULL, 0, NULL) == OK);
    int n = regex_match(r, path, group, REGEX_CAPTURES);
    strb_init(&want, 0);
    strb_init(&got, 0);
    if (n > 0 && understood(in->replacement)) {
        expected(in, x, path, group, (unsigned)n, &want);
        bool host = slice_starts(strb_slice(&want), SLICE("http://h:8080/"));
        if (outcome(in, x, &got) && !host)
            CHECK(slice_eq(strb_slice(&got), strb_slice(&want)));
    } else if (n == ERR_NOTFOUND) {
        CHECK(slice_eq(x->pass.uri, path));
    }
    strb_done(&want);
    strb_done(&got);
    regex_free(r);
}

static void visit(const struct input *in, struct generation *g)
{
    static struct worker w;
    static struct exchange x;
    struct gen_ref ref = { .gen = g, .users = 1, .current = true };
    struct client client = { .fd = -1, .listener = route_listener(g, SLICE("127.0.0.1:80")) };
    memset(&x, 0, sizeof(x));
    arena_init(&x.arena, NULL, 0, 4096, 8 << 20);
    client.local.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(8080) };
    x.w = &w;
    x.gen = &ref;
    x.client = &client;
    x.log = &g->log;
    x.known = VAR_ROUTE;
    if (set_request(&x, in->target)) {
        slice path = x.pass.uri;
        x.server = client.listener->default_server;
        x.pass.loc = route_location(x.server, &x, path);
        enum verdict v = rewrite_policy.on_request(&x, x.pass.loc->policies->conf);
        CHECK(v == VERDICT_REPLY || v == VERDICT_PASS || v == VERDICT_NEXT || v == VERDICT_DROP);
        if (v != VERDICT_DROP)
            judge(in, &x, path);
    }
    arena_done(&x.arena);
}

static bool is_url(slice s)
{
    return slice_starts(s, SLICE("http://")) || slice_starts(s, SLICE("https://")) || slice_starts(s, SLICE("$scheme"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const flags[] = { "", "last", "break", "redirect", "permanent" };
    struct input in;
    slice rest;
    if (!schema.nfeatures)
        CHECK(schema_init(&schema, features, array_len(features)) == OK);
    if (size < 2 || size > 2048)
        return 0;
    in.flag = flags[data[0] % array_len(flags)];
    rest = slice_of((const char *)data + 1, size - 1);
    if (!slice_cut(rest, '\n', &in.pattern, &rest) || !slice_cut(rest, '\n', &in.replacement, &in.target) ||
        !in.replacement.n)
        return 0;
    in.redirect = data[0] % array_len(flags) > 2 || is_url(in.replacement);
    struct bundle *bundle = bundle_new(SLICE("/p"));
    CHECK(bundle);
    struct generation *g = compile(&in, bundle);
    if (!g) {
        bundle_free(bundle);
        return 0;
    }
    visit(&in, g);
    generation_unref(g);
    return 0;
}
