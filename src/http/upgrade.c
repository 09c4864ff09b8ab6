#include "http/upgrade.h"

#include "http/chars.h"

/* Takes an element off the front, trimmed; false at the end. Empty ones are skipped. */
static bool next(slice *rest, slice *element)
{
    while (rest->n) {
        slice tail;
        if (slice_cut(*rest, ',', element, &tail)) {
            *rest = tail;
        } else {
            *element = *rest;
            *rest = SLICE_NONE;
        }
        *element = slice_trim(*element);
        if (element->n)
            return true;
    }
    return false;
}

bool list_has(slice list, slice option)
{
    slice one;
    while (next(&list, &one)) {
        if (slice_ieq(one, option))
            return true;
    }
    return false;
}

/* NAME or NAME/VERSION. */
static bool is_protocol(slice s)
{
    slice name = s, version = SLICE("1");
    slice_cut(s, '/', &name, &version);
    return http_is_token(name) && http_is_token(version);
}

static bool carries_http(slice protocol)
{
    slice name = protocol, version;
    slice_cut(protocol, '/', &name, &version);
    return slice_ieq(name, SLICE("h2c")) || slice_ieq(name, SLICE("h2")) || slice_ieq(name, SLICE("HTTP"));
}

static bool asked_for(const struct fields *asked, slice protocol)
{
    for (uint32_t i = 0; i < asked->n; i++) {
        if (asked->v[i].token == TOK_UPGRADE && list_has(asked->v[i].value, protocol))
            return true;
    }
    return false;
}

slice upgrade_allowed(struct arena *a, slice wanted, const struct fields *asked)
{
    slice rest = wanted, one;
    char *mem = arena_bytes(a, wanted.n + 1); /* what is kept of a list is no longer than the list */
    size_t n = 0;
    if (!mem)
        return SLICE_NONE;
    while (next(&rest, &one)) {
        if (!is_protocol(one))
            return SLICE("");
        if (carries_http(one) || !asked_for(asked, one))
            continue;
        if (n)
            mem[n++] = ',';
        memcpy(mem + n, one.p, one.n);
        n += one.n;
    }
    return slice_of(mem, n);
}

bool upgrade_within(const struct field *fields, uint32_t n, slice wanted)
{
    bool any = false;
    for (uint32_t i = 0; i < n; i++) {
        slice rest = fields[i].value, one;
        if (fields[i].token != TOK_UPGRADE)
            continue;
        while (next(&rest, &one)) {
            if (!list_has(wanted, one))
                return false;
            any = true;
        }
    }
    return any;
}
