#include "policy/conditional.h"

#include "base/err.h"
#include "http/date.h"

static slice without_weak(slice tag)
{
    return slice_starts(tag, SLICE("W/")) ? slice_from(tag, 2) : tag;
}

/* One entity tag from the front of a list, quotes and all; between its quotes it may hold commas. */
static slice take_tag(slice *list)
{
    slice s = *list;
    bool quoted = false;
    size_t n = 0;
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == ','))
        s = slice_from(s, 1);
    while (n < s.n && (quoted || s.p[n] != ','))
        quoted ^= s.p[n++] == '"';
    *list = slice_from(s, n);
    return slice_trim(slice_upto(s, n));
}

static bool names_tag(slice list, slice etag, bool weak)
{
    if (slice_eq(list, SLICE("*")))
        return true;
    if (!etag.n)
        return false;
    if (!weak && slice_starts(etag, SLICE("W/")))
        return false;
    etag = weak ? without_weak(etag) : etag;
    while (list.n) {
        slice tag = take_tag(&list);
        if (slice_eq(weak ? without_weak(tag) : tag, etag))
            return true;
    }
    return false;
}

/* Several lines of the field are one list. */
static bool field_names_tag(const struct exchange *x, enum token t, slice etag, bool weak)
{
    for (uint32_t i = 0; i < x->req.fields.n; i++) {
        const struct field *f = &x->req.fields.v[i];
        if (f->token == t && names_tag(f->value, etag, weak))
            return true;
    }
    return false;
}

/* A date that cannot be read makes no condition. */
static bool date_of(const struct exchange *x, enum token t, int64_t *out)
{
    const struct field *f = fields_find(&x->req.fields, t);
    return f && date_parse(f->value, out) == OK;
}

static bool unmodified_since(const struct exchange *x, int64_t modified, enum ims ims)
{
    int64_t since;
    if (modified == NO_MODIFIED || ims == IMS_OFF || !date_of(x, TOK_IF_MODIFIED_SINCE, &since))
        return false;
    return since == modified || (ims == IMS_BEFORE && since > modified);
}

unsigned conditional_test(const struct exchange *x, slice etag, int64_t modified, enum ims ims)
{
    const struct fields *f = &x->req.fields;
    int64_t since;
    if (fields_find(f, TOK_IF_MATCH)) {
        if (!field_names_tag(x, TOK_IF_MATCH, etag, false))
            return 412;
    } else if (modified != NO_MODIFIED && date_of(x, TOK_IF_UNMODIFIED_SINCE, &since) && since < modified) {
        return 412;
    }
    if (fields_find(f, TOK_IF_NONE_MATCH))
        return field_names_tag(x, TOK_IF_NONE_MATCH, etag, true) ? 304 : 200;
    return unmodified_since(x, modified, ims) ? 304 : 200;
}

bool conditional_range(const struct exchange *x, slice etag, int64_t modified)
{
    const struct field *f = fields_find(&x->req.fields, TOK_IF_RANGE);
    int64_t since;
    if (!f)
        return true;
    if (slice_ends(f->value, SLICE("\"")))
        return etag.n && !slice_starts(etag, SLICE("W/")) && slice_eq(f->value, etag);
    return modified != NO_MODIFIED && date_parse(f->value, &since) == OK && since == modified;
}
