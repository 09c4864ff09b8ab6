/*
 * Typed values: from arguments to slots, with nginx's words when they are wrong and ours behind them.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "base/strb.h"
#include "conf/nearest.h"
#include "conf/schema_priv.h"
#include "conf/units.h"

static const char *const type_words[] = {
    [CONF_NUM] = "a number",
    [CONF_SIZE] = "a size: bytes, or with k or m",
    [CONF_OFFSET] = "a size: bytes, or with k, m or g",
    [CONF_MSEC] = "a time: seconds, or with units (500ms, 30s, 5m, 1h 30m)",
    [CONF_SEC] = "a time in whole seconds, or with units (30s, 5m, 1h 30m)",
};

static int read_number(enum conf_type type, slice s, uint64_t *v)
{
    switch (type) {
    case CONF_SIZE:
        return conf_size(s, v);
    case CONF_OFFSET:
        return conf_offset(s, v);
    case CONF_MSEC:
        return conf_msec(s, v);
    case CONF_SEC:
        return conf_sec(s, v);
    default:
        return slice_to_u64(s, v);
    }
}

/* A bound as one would write it: 60s rather than 60000. */
static void bound_text(char *dst, size_t n, enum conf_type type, uint64_t v)
{
    if (type == CONF_MSEC)
        snprintf(dst, n, v % 1000 ? "%" PRIu64 "ms" : "%" PRIu64 "s", v % 1000 ? v : v / 1000);
    else if (type == CONF_SEC)
        snprintf(dst, n, "%" PRIu64 "s", v);
    else if (type != CONF_NUM && v >= 1048576 && v % 1048576 == 0)
        snprintf(dst, n, "%" PRIu64 "m", v / 1048576);
    else if (type != CONF_NUM && v >= 1024 && v % 1024 == 0)
        snprintf(dst, n, "%" PRIu64 "k", v / 1024);
    else
        snprintf(dst, n, "%" PRIu64, v);
}

static int out_of_range(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node)
{
    char lo[32], hi[32];
    bound_text(lo, sizeof(lo), d->type, d->min);
    bound_text(hi, sizeof(hi), d->type, d->max);
    if (d->max && d->min)
        return conf_error(cf, node, 0, "value must be between %s and %s", lo, hi);
    if (d->max)
        return conf_error(cf, node, 0, "value must be equal to or less than %s", hi);
    return conf_error(cf, node, 0, "value must be equal to or greater than %s", lo);
}

static int store_number(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot)
{
    uint64_t v;
    int r = read_number(d->type, node->args[0].text, &v);
    if (r == OK && v >= d->min && (d->max == 0 || v <= d->max)) {
        memcpy(slot, &v, sizeof(v));
        return OK;
    }
    if (r == OK || (r == ERR_RANGE && d->max))
        return out_of_range(cf, d, node);
    const char *why = r == ERR_RANGE ? "too large" : type_words[d->type];
    const char *not = r == ERR_RANGE ? "" : "not ";
    slice hint = arena_printf(cf->arena, "\"%.*s\" is %s%s", SLICE_FMT(node->args[0].text), not, why);
    return conf_error_hint(cf, node, 0, hint, "\"%s\" directive invalid %s", d->name,
                           d->type == CONF_NUM ? "number" : "value");
}

static int store_flag(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot)
{
    slice s = node->args[0].text;
    bool on = slice_ieq(s, SLICE("on"));
    if (!on && !slice_ieq(s, SLICE("off")))
        return conf_error(cf, node, 0, "invalid value \"%.*s\" in \"%s\" directive, it must be \"on\" or \"off\"",
                          SLICE_FMT(s), d->name);
    memcpy(slot, &on, sizeof(on));
    return OK;
}

/* "one of: a, b, c", and the nearest of them when there is one. */
static slice values_hint(struct conf_ctx *cf, const struct conf_value *values, slice got)
{
    struct nearest near;
    struct strb b;
    slice out = SLICE_NONE;
    nearest_init(&near, got);
    strb_init(&b, 0);
    for (const struct conf_value *v = values; v->name; v++) {
        strb_printf(&b, "%s%s", v == values ? "one of: " : ", ", v->name);
        nearest_offer(&near, slice_str(v->name));
    }
    if (near.best.n)
        strb_printf(&b, "\ndid you mean \"%.*s\"?", SLICE_FMT(near.best));
    if (!b.failed)
        arena_dup(cf->arena, strb_slice(&b), &out);
    strb_done(&b);
    return out;
}

static int find_value(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, uint32_t arg,
                      uint32_t *out)
{
    slice s = node->args[arg].text;
    for (const struct conf_value *v = d->values; v->name; v++) {
        if (slice_ieq(slice_str(v->name), s)) {
            *out = v->value;
            return OK;
        }
    }
    slice hint = values_hint(cf, d->values, s);
    return conf_error_hint(cf, node, (int)arg, hint, "invalid value \"%.*s\"", SLICE_FMT(s));
}

static int store_enum(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot)
{
    uint32_t v;
    int r = find_value(cf, d, node, 0, &v);
    if (r == OK)
        memcpy(slot, &v, sizeof(v));
    return r;
}

static int store_bits(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot)
{
    uint32_t all = 0, v = 0;
    int result = OK;
    for (uint32_t i = 0; i < node->nargs; i++) {
        int r = find_value(cf, d, node, i, &v);
        if (r < 0) {
            result = r;
            continue;
        }
        if (v && (all & v) == v)
            conf_warn(cf, node, (int)i, "duplicate value \"%.*s\"", SLICE_FMT(node->args[i].text));
        all |= v;
    }
    if (result == OK)
        memcpy(slot, &all, sizeof(all));
    return result;
}

int value_store(struct conf_ctx *cf, const struct directive *d, const struct conf_node *node, void *slot)
{
    struct template t;
    int r;
    switch (d->type) {
    case CONF_FLAG:
        return store_flag(cf, d, node, slot);
    case CONF_ENUM:
        return store_enum(cf, d, node, slot);
    case CONF_BITS:
        return store_bits(cf, d, node, slot);
    case CONF_STRING:
        memcpy(slot, &node->args[0].text, sizeof(slice));
        return OK;
    case CONF_TEMPLATE:
        r = template_compile(cf, &node->args[0], &t);
        if (r == OK)
            memcpy(slot, &t, sizeof(t));
        return r;
    default:
        return store_number(cf, d, node, slot);
    }
}
