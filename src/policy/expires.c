/*
 * expires: sets Expires and Cache-Control, in place of what the answer had, by the rules of nginx's manual
 * (ngx_http_headers_module, "expires"). Only answers with one of add_header's usual statuses get them.
 */
#include "policy/expires.h"

#include <stddef.h>
#include <time.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "conf/units.h"
#include "http/answer.h"
#include "http/date.h"

enum { DAY = 86400 };

static const uint64_t furthest = 1ull << 33; /* seconds: some 270 years */

/* "max" is what nginx's manual says: 31 December 2037, and ten years. */
static const int64_t max_expires = 2145916555, max_age_of_max = 315360000;

/* SCOPE_LOCATION; `off` without variables: not active. */
struct expires {
    bool modified;
    struct template value; /* when it holds variables */
    struct expires_time time;
    struct conf_pos pos;
};

static int fail(const char **why, const char *text)
{
    *why = text;
    return ERR_SYNTAX;
}

int expires_parse(slice text, bool modified, struct expires_time *out, const char **why)
{
    struct expires_time e = { .kind = modified ? EXPIRES_MODIFIED : EXPIRES_ACCESS };
    uint64_t seconds;
    bool minus = false;
    if (slice_starts(text, SLICE("@"))) {
        if (modified)
            return fail(why, "daily time cannot be used with \"modified\" parameter");
        e.kind = EXPIRES_DAILY;
        text = slice_from(text, 1);
    } else if (slice_starts(text, SLICE("+"))) {
        text = slice_from(text, 1);
    } else if (slice_starts(text, SLICE("-"))) {
        minus = true;
        text = slice_from(text, 1);
    } else if (!modified && slice_eq(text, SLICE("epoch"))) {
        *out = (struct expires_time){ .kind = EXPIRES_EPOCH };
        return OK;
    } else if (!modified && slice_eq(text, SLICE("max"))) {
        *out = (struct expires_time){ .kind = EXPIRES_MAX };
        return OK;
    } else if (!modified && slice_eq(text, SLICE("off"))) {
        *out = (struct expires_time){ .kind = EXPIRES_OFF };
        return OK;
    }
    if (conf_sec(text, &seconds) != OK || seconds > furthest)
        return fail(why, "invalid value");
    if (e.kind == EXPIRES_DAILY && seconds >= DAY)
        return fail(why, "daily time value must be less than 24 hours");
    e.seconds = minus ? -(int64_t)seconds : (int64_t)seconds;
    *out = e;
    return OK;
}

/* The next time at which the local clock shows that second of the day. */
static int64_t next_daily(int64_t second, int64_t now)
{
    time_t t = (time_t)now;
    struct tm tm;
    localtime_r(&t, &tm);
    tm.tm_hour = (int)(second / 3600);
    tm.tm_min = (int)(second / 60 % 60);
    tm.tm_sec = (int)(second % 60);
    tm.tm_isdst = -1;
    int64_t at = (int64_t)mktime(&tm);
    if (at > now)
        return at;
    tm.tm_mday++;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm);
}

void expires_at(const struct expires_time *e, int64_t now, int64_t changed, int64_t *expires, int64_t *max_age)
{
    switch (e->kind) {
    case EXPIRES_OFF:
    case EXPIRES_EPOCH:
        *expires = 1;
        *max_age = -1;
        return;
    case EXPIRES_MAX:
        *expires = max_expires;
        *max_age = max_age_of_max;
        return;
    case EXPIRES_DAILY:
        *expires = next_daily(e->seconds, now);
        *max_age = *expires - now;
        return;
    case EXPIRES_ACCESS:
    case EXPIRES_MODIFIED:
        break;
    }
    /* as nginx: no time at all means now, whatever it is counted from; a negative one is never a max-age */
    bool from_change = e->kind == EXPIRES_MODIFIED && changed >= 0 && e->seconds;
    *expires = (from_change ? changed : now) + e->seconds;
    *max_age = e->seconds < 0 ? -1 : *expires - now;
}

static int64_t last_modified(const struct exchange *x)
{
    int64_t t;
    const struct field *f = fields_find(&x->resp.fields, TOK_LAST_MODIFIED);
    return f && date_parse(f->value, &t) == OK ? t : -1;
}

static int set_fields(struct exchange *x, const struct expires *c, const struct expires_time *e)
{
    int64_t at, age;
    char *date = arena_bytes(&x->arena, 30);
    if (!date)
        return ERR_NOMEM;
    expires_at(e, x->w->loop.clock.sec, last_modified(x), &at, &age);
    clock_http_date(date, at);
    slice cache = age < 0 ? SLICE("no-cache") : arena_printf(&x->arena, "max-age=%lld", (long long)age);
    if (!cache.p)
        return ERR_NOMEM;
    if (!answer_drop(x, TOK_EXPIRES) || !answer_drop(x, TOK_CACHE_CONTROL))
        return ERR_NOMEM;
    exchange_trace(x, &c->pos, "expires: Expires: %s, Cache-Control: %.*s", date, SLICE_FMT(cache));
    bool added = answer_add(x, TOK_EXPIRES, SLICE("Expires"), slice_of(date, 29)) &&
                 answer_add(x, TOK_CACHE_CONTROL, SLICE("Cache-Control"), cache);
    return added ? OK : ERR_NOMEM;
}

static bool applies(unsigned status)
{
    return status == 200 || status == 201 || status == 204 || status == 206 || (status >= 301 && status <= 304) ||
           status == 307 || status == 308;
}

/* A value that a variable gave and that is no time counts as off, as in nginx. */
static int expires_response(struct exchange *x, const void *conf)
{
    const struct expires *c = conf;
    struct expires_time e = c->time;
    const char *why;
    slice text;
    if (!applies(x->resp.status))
        return OK;
    if (!template_literal(&c->value)) {
        if (exchange_eval(x, &c->value, &text) != OK)
            return ERR_NOMEM;
        if (expires_parse(text, c->modified, &e, &why) != OK)
            e.kind = EXPIRES_OFF;
        if (e.kind == EXPIRES_OFF)
            exchange_trace(x, &c->pos, "expires: \"%.*s\" changes nothing", SLICE_FMT(text));
    }
    return e.kind == EXPIRES_OFF ? OK : set_fields(x, c, &e);
}

static bool expires_active(const void *conf)
{
    const struct expires *c = conf;
    return c->time.kind != EXPIRES_OFF || !template_literal(&c->value);
}

/* ---- the directive ---- */

static int set_expires(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct expires *c = conf;
    const char *why;
    c->modified = node->nargs == 2;
    c->pos = node->pos;
    if (c->modified && !slice_eq(node->args[0].text, SLICE("modified")))
        return conf_error(cf, node, 0, "invalid value \"%.*s\"", SLICE_FMT(node->args[0].text));
    const struct conf_arg *arg = &node->args[node->nargs - 1];
    int rc = template_compile(cf, arg, &c->value);
    if (rc != OK || !template_literal(&c->value))
        return rc;
    if (expires_parse(arg->text, c->modified, &c->time, &why) == OK)
        return OK;
    return conf_error(cf, node, (int)node->nargs - 1, "%s", why);
}

static const struct directive directives[] = {
    {
        .name = "expires",
        .contexts = CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LOCATION_IF,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = 0,
        .size = sizeof(struct expires),
        .def = "off",
        .set = set_expires,
        .usage = "expires [modified] TIME | @TIME | epoch | max | off;",
        .doc =
            "Sets Expires and Cache-Control of answers with a status of add_header's list, in place of those that they "
            "have. TIME counts from now, or with modified from Last-Modified; zero or more gives max-age, a negative "
            "one no-cache; @TIME is a time of the day on the local clock. epoch is the beginning of 1970 and no-cache, "
            "max the end of 2037 and ten years. With variables the value is read for each answer; one that is no time "
            "counts as off.",
    },
};

struct feature expires_feature = {
    .name = "expires",
    .doc = "How long answers stay fresh.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct expires) },
};

const struct policy expires_policy = {
    .name = "expires",
    .feature = &expires_feature,
    .active = expires_active,
    .on_response = expires_response,
};
