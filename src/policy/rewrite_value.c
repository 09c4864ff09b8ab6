/*
 * Values as the rewrite lines see them: which captures are escaped, and what a redirect's text becomes.
 *
 * A capture of the decoded path may hold anything. Where it goes into arguments, or into the text of a redirect, bytes
 * that would mean something there are escaped again. nginx does so only when the path as received held an escape or a
 * '+', because otherwise nothing in it can need it but what the client wrote that way.
 */
#include "base/err.h"
#include "base/strb.h"
#include "http/uri.h"
#include "policy/rewrite_program.h"

enum { VALUE_MAX = 1 << 20 }; /* bytes of one value */

bool value_encoded(const struct exchange *x)
{
    return slice_find(x->req.raw_path, '%') >= 0 || slice_find(x->req.raw_path, '+') >= 0;
}

/* $1 to $9. */
static bool is_capture(const struct template_part *p)
{
    return p->var && p->var->name.n == 1 && ascii_digit(p->var->name.p[0]);
}

static bool has_capture(const struct template *t)
{
    for (uint32_t i = 0; i < t->nparts; i++) {
        if (is_capture(&t->parts[i]))
            return true;
    }
    return false;
}

static int add_part(struct exchange *x, struct strb *b, const struct template_part *p)
{
    slice value = p->literal;
    if (p->var) {
        int rc = exchange_var(x, p->var, &value);
        if (rc == ERR_NOTFOUND)
            return OK;
        if (rc != OK)
            return rc;
    }
    if (is_capture(p) && !uri_escape(&x->arena, value, URI_ESCAPE_ARGS, &value))
        return ERR_NOMEM;
    strb_add(b, value);
    return OK;
}

/* Keeps what was built; the builder is done with. */
static int keep(struct exchange *x, struct strb *b, slice *out)
{
    bool kept = !b->failed && arena_dup(&x->arena, strb_slice(b), out);
    strb_done(b);
    return kept ? OK : ERR_NOMEM;
}

int value_eval(struct exchange *x, const struct template *t, bool quote, slice *out)
{
    struct strb b;
    if (!quote || !has_capture(t) || !value_encoded(x))
        return exchange_eval(x, t, out);
    strb_init(&b, VALUE_MAX);
    for (uint32_t i = 0; i < t->nparts; i++) {
        int rc = add_part(x, &b, &t->parts[i]);
        if (rc != OK) {
            strb_done(&b);
            return rc;
        }
    }
    return keep(x, &b, out);
}

int value_join(struct exchange *x, slice a, char separator, slice b, slice *out)
{
    struct strb text;
    if (!b.n) {
        *out = a;
        return OK;
    }
    strb_init(&text, VALUE_MAX);
    strb_add(&text, a);
    strb_char(&text, separator);
    strb_add(&text, b);
    return keep(x, &text, out);
}

/* Segments that are "..". */
static size_t climbs(slice path)
{
    size_t n = 0;
    slice one;
    bool more = true;
    while (more) {
        one = path;
        more = slice_cut(path, '/', &one, &path);
        n += slice_eq(one, SLICE(".."));
    }
    return n;
}

bool value_climbs(const struct template *t, slice path)
{
    size_t written = 0;
    for (uint32_t i = 0; i < t->nparts; i++)
        written += t->parts[i].var ? 0 : climbs(t->parts[i].literal);
    return !template_literal(t) && climbs(path) > written;
}

/* One '%' and what follows, at the front of *s; true when the rest is not to be touched any more. */
static bool decode_one(struct strb *b, slice *s)
{
    slice in = *s;
    int high = in.n > 1 ? ascii_hex(in.p[1]) : -1, low = in.n > 2 ? ascii_hex(in.p[2]) : -1;
    if (high < 0) {
        if (in.n > 1)
            strb_char(b, in.p[1]);
        *s = slice_from(in, in.n > 1 ? 2 : 1);
        return false;
    }
    *s = slice_from(in, in.n > 2 ? 3 : in.n);
    if (low < 0)
        return false;
    int c = high << 4 | low;
    if (c > '%' && c < 0x7f)
        strb_char(b, (char)c);
    else
        strb_add(b, slice_upto(in, 3));
    return c == '?';
}

int value_redirect(struct exchange *x, slice text, slice *out)
{
    struct strb b;
    bool end = false;
    if (slice_find(text, '%') < 0) {
        *out = text;
        return OK;
    }
    strb_init(&b, VALUE_MAX);
    while (text.n && !end) {
        if (text.p[0] == '%') {
            end = decode_one(&b, &text);
            continue;
        }
        end = text.p[0] == '?';
        strb_char(&b, text.p[0]);
        text = slice_from(text, 1);
    }
    strb_add(&b, text);
    return keep(x, &b, out);
}
