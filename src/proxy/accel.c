/*
 * X-Accel-Redirect makes another location answer, with the fields of nginx's list kept; X-Accel-Buffering and
 * X-Accel-Limit-Rate stand in for proxy_buffering and limit_rate. Only what a backend sent in an answer that was taken
 * is looked at: a client's fields of these names are fields like any other.
 *
 * A URI with dot segments is refused (404), as in nginx: a backend that glues a client's text behind "/protected/"
 * must not be led elsewhere.
 */
#include "proxy/accel.h"

#include "base/err.h"
#include "http/answer.h"
#include "http/uri.h"
#include "proxy/next.h"

void accel_tokens(struct token_set *set, uint32_t ignored)
{
    if (!(ignored & IGNORE_REDIRECT))
        token_set_add(set, TOK_X_ACCEL_REDIRECT);
    if (!(ignored & IGNORE_BUFFERING))
        token_set_add(set, TOK_X_ACCEL_BUFFERING);
    if (!(ignored & IGNORE_LIMIT_RATE))
        token_set_add(set, TOK_X_ACCEL_LIMIT_RATE);
}

/* A number of bytes and nothing else, as in nginx; what is none is ignored. The first field counts. */
static int note_rate(struct exchange *x, slice value)
{
    uint64_t rate;
    struct carry *c;
    if (slice_to_u64(value, &rate) != OK)
        return OK;
    c = answer_carry(x);
    if (!c)
        return ERR_NOMEM;
    c->rated = true;
    c->rate = rate;
    exchange_trace(x, NULL, "X-Accel-Limit-Rate: %llu bytes a second", (unsigned long long)rate);
    return OK;
}

int accel_note(struct exchange *x, const struct field *f)
{
    struct proxy_exchange *px = x->proxy;
    switch ((enum token)f->token) {
    case TOK_X_ACCEL_REDIRECT:
        if (!px->accel_redirect.n)
            px->accel_redirect = f->value;
        return OK;
    case TOK_X_ACCEL_BUFFERING:
        if (slice_ieq(f->value, SLICE("yes")) || slice_ieq(f->value, SLICE("no"))) {
            px->buffering = slice_ieq(f->value, SLICE("yes"));
            exchange_trace(x, NULL, "X-Accel-Buffering: %.*s", SLICE_FMT(f->value));
        }
        return OK;
    case TOK_X_ACCEL_LIMIT_RATE:
        return note_rate(x, f->value);
    default:
        return OK;
    }
}

/* nginx's list; hidden fields are gone already, and cookies have been rewritten. */
static bool carry_fields(struct exchange *x)
{
    static const enum token kept[] = { TOK_CONTENT_TYPE, TOK_CONTENT_DISPOSITION, TOK_ACCEPT_RANGES,
                                       TOK_SET_COOKIE,   TOK_CACHE_CONTROL,       TOK_EXPIRES };
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (!answer_carry_fields(x, kept[i]))
            return false;
    }
    return true;
}

/* An answer without a body is whole, so that its connection may serve the pass that follows. */
static void leave_back(struct exchange *x)
{
    const struct body_fact *b = &x->resp.body;
    if (b->kind == BODY_NONE || (b->kind == BODY_LENGTH && b->length == 0))
        step_give_back(x);
}

/* OK, ERR_SYNTAX (no path, or an unsafe one), ERR_LIMIT, ERR_NOMEM. */
static int go_to_uri(struct exchange *x, slice target)
{
    struct uri_path path;
    slice raw = target, args = SLICE_NONE;
    bool has = slice_cut(target, '?', &raw, &args);
    if (!slice_starts(raw, SLICE("/")))
        return ERR_SYNTAX;
    int rc = uri_path_parse(&x->arena, raw, false, &path);
    if (rc != OK)
        return rc;
    if (path.changed)
        return ERR_SYNTAX;
    x->pass.method = x->req.method == METHOD_HEAD ? METHOD_HEAD : METHOD_GET;
    x->pass.method_text = method_name(x->pass.method);
    return route_redirect(x, path.path, args, has);
}

enum step accel_redirect(struct exchange *x)
{
    slice target = x->proxy->accel_redirect;
    exchange_trace(x, NULL, "X-Accel-Redirect: %.*s", SLICE_FMT(target));
    if (!carry_fields(x))
        return step_error(x, 500);
    leave_back(x);
    int rc = slice_starts(target, SLICE("@")) ? route_named(x, target) : go_to_uri(x, target);
    if (rc == OK)
        return (enum step)x->step;
    if (rc == ERR_SYNTAX)
        exchange_log(x, LEVEL_ERROR, "unsafe URI \"%.*s\" was detected in X-Accel-Redirect", SLICE_FMT(target));
    return step_error(x, rc == ERR_SYNTAX ? 404 : 500);
}
