/*
 * rewrite: `rewrite`, `if`, `set`, `return` and `break`, compiled into one small program a level.
 *
 * The lines of a level run in the order in which they were written, first those of the server, then those of the
 * location. They are not inherited (nginx's manual, ngx_http_rewrite_module). A location whose rules changed the URI
 * leads to another search for a location, ten times at most. What `set` assigns stays for the whole exchange.
 *
 * An `if` of a location whose condition holds gives the request the configuration of its block; the last one that holds
 * is the one that counts, and the lines behind it run on. Its block has no rules of its own: they are lines of this
 * program, too.
 */
#include "policy/rewrite.h"

#include "base/err.h"
#include "policy/rewrite_program.h"
#include "policy/types.h"
#include "proxy/redirect.h"

struct run {
    struct exchange *x;
    bool log;     /* rewrite_log */
    bool quote;   /* captures in `set` and `if` are escaped: until a rewrite has matched (as in nginx) */
    bool changed; /* the URI: at a location, another one is to be looked for */
    enum verdict verdict;
};

static const struct op *end_with(struct run *r, enum verdict v)
{
    r->verdict = v;
    return NULL;
}

static const struct op *answered(struct run *r, int rc)
{
    return end_with(r, rc == OK ? VERDICT_REPLY : VERDICT_DROP);
}

static const struct op *failed(struct run *r)
{
    return answered(r, reply_set(r->x, 500, SLICE_NONE, SLICE_NONE, true));
}

/* ---- set, return ---- */

static const struct op *run_set(struct run *r, const struct op *op)
{
    slice value;
    if (value_eval(r->x, &op->value, r->quote, &value) != OK || exchange_var_assign(r->x, op->var, value) != OK)
        return end_with(r, VERDICT_DROP);
    exchange_trace(r->x, &op->pos, "set $%.*s to \"%.*s\"", SLICE_FMT(op->var->name), SLICE_FMT(value));
    return op->next;
}

static bool redirects(unsigned status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static const struct op *redirect(struct run *r, unsigned status, slice text)
{
    slice location;
    int rc = redirect_location(r->x, text, &location);
    return answered(r, rc == OK ? reply_redirect(r->x, status, location) : rc);
}

/* An error without a text is the plain page that error_page may replace; a text is the whole answer. */
static const struct op *run_return(struct run *r, const struct op *op)
{
    struct exchange *x = r->x;
    slice text = SLICE_NONE;
    exchange_trace(x, &op->pos, "return %u", op->status);
    if (op->status == 444)
        return end_with(r, VERDICT_DROP);
    if (!op->text && op->status >= 400)
        return answered(r, reply_set(x, op->status, SLICE_NONE, SLICE_NONE, true));
    if (op->text && exchange_eval(x, &op->value, &text) != OK)
        return end_with(r, VERDICT_DROP);
    if (redirects(op->status))
        return text.n ? redirect(r, op->status, text)
                      : answered(r, reply_set(x, op->status, SLICE_NONE, SLICE_NONE, true));
    return answered(r, reply_set(x, op->status, types_of(x), text, false));
}

/* ---- matching ---- */

/* Matches and says so; a failed match leaves no captures. OK, ERR_NOTFOUND, or something that ends in a 500. */
static int matches(struct run *r, const struct match *m, slice source, slice subject)
{
    struct exchange *x = r->x;
    int rc = match_exec(m, x, subject);
    if (rc == ERR_NOTFOUND)
        x->pass.ncaptures = 0;
    if (r->log && (rc == OK || rc == ERR_NOTFOUND))
        exchange_log(x, LEVEL_NOTICE, rc == OK ? "\"%.*s\" matches \"%.*s\"" : "\"%.*s\" does not match \"%.*s\"",
                     SLICE_FMT(source), SLICE_FMT(subject));
    if (rc == ERR_LIMIT)
        exchange_log(x, LEVEL_ERROR, "the regular expression \"%.*s\" could not be matched against \"%.*s\"",
                     SLICE_FMT(source), SLICE_FMT(subject));
    return rc;
}

/* ---- rewrite ---- */

static const struct op *rewrite_away(struct run *r, const struct op *op)
{
    const struct replacement *p = op->replacement;
    struct exchange *x = r->x;
    slice text;
    int rc = value_eval(x, &p->value, true, &text);
    if (rc == OK)
        rc = value_redirect(x, text, &text);
    if (rc == OK && p->keep_args)
        rc = value_join(x, text, p->has_args ? '&' : '?', x->pass.args, &text);
    if (rc != OK)
        return end_with(r, VERDICT_DROP);
    if (r->log)
        exchange_log(x, LEVEL_NOTICE, "rewritten redirect: \"%.*s\"", SLICE_FMT(text));
    exchange_trace(x, &op->pos, "rewrite redirects to \"%.*s\"", SLICE_FMT(text));
    return redirect(r, p->redirect, text);
}

/* The new URI and arguments, both made before either is changed. */
static int new_uri(struct exchange *x, const struct replacement *p, slice *uri, slice *args)
{
    slice old = p->keep_args ? x->pass.args : SLICE_NONE;
    int rc = value_eval(x, &p->value, false, uri);
    if (rc != OK || !p->has_args) {
        *args = old;
        return rc;
    }
    rc = value_eval(x, &p->args, true, args);
    return rc == OK ? value_join(x, *args, '&', old, args) : rc;
}

static const struct op *run_rewrite(struct run *r, const struct op *op)
{
    const struct replacement *p = op->replacement;
    struct exchange *x = r->x;
    slice uri, args;
    int rc = matches(r, &p->match, p->source, x->pass.uri);
    if (rc == ERR_NOTFOUND)
        return op->next;
    if (rc != OK)
        return failed(r);
    x->pass.internal = x->pass.rewritten = true;
    x->pass.whole = x->pass.whole || p->stop;
    r->changed = !p->stop;
    r->quote = false;
    if (p->redirect)
        return rewrite_away(r, op);
    if (new_uri(x, p, &uri, &args) != OK)
        return end_with(r, VERDICT_DROP);
    x->pass.uri = uri;
    x->pass.args = args;
    x->pass.has_args = args.n > 0;
    if (r->log)
        exchange_log(x, LEVEL_NOTICE, "rewritten data: \"%.*s\", args: \"%.*s\"", SLICE_FMT(uri), SLICE_FMT(args));
    exchange_trace(x, &op->pos, "rewritten to \"%.*s\", arguments \"%.*s\"", SLICE_FMT(uri), SLICE_FMT(args));
    if (uri.n)
        return p->last ? NULL : op->next;
    exchange_log(x, LEVEL_ERROR, "the rewritten URI has a zero length");
    return failed(r);
}

/* ---- if ---- */

/* OK when the test holds, ERR_NOTFOUND when not, another code when it could not be made. */
static int test_holds(struct run *r, const struct test *t)
{
    struct exchange *x = r->x;
    slice value = SLICE_NONE, other;
    int rc = t->var ? exchange_var(x, t->var, &value) : OK;
    if (rc != OK && rc != ERR_NOTFOUND)
        return rc;
    if (t->kind == TEST_VALUE)
        return value.n && !slice_eq(value, SLICE("0")) ? OK : ERR_NOTFOUND;
    bool holds = false;
    if (t->kind == TEST_REGEX) {
        rc = matches(r, &t->match, t->source, value);
        holds = rc == OK;
    } else {
        rc = value_eval(x, &t->value, r->quote, &other);
        if (rc == OK && t->kind == TEST_EQUAL)
            holds = slice_eq(value, other);
        else if (rc == OK) /* a client may not ask about files elsewhere: nothing is there */
            holds = !value_climbs(&t->value, other) && file_test(x, t->file, other);
    }
    if (rc != OK && rc != ERR_NOTFOUND)
        return rc;
    return holds != t->negated ? OK : ERR_NOTFOUND;
}

static const struct op *run_if(struct run *r, const struct op *op)
{
    struct exchange *x = r->x;
    int rc = test_holds(r, op->test);
    if (rc != OK && rc != ERR_NOTFOUND)
        return failed(r);
    exchange_trace(x, &op->pos, rc == OK ? "if holds" : "if does not hold");
    if (rc != OK)
        return *op->otherwise;
    if (op->inside) {
        x->pass.loc = op->inside;
        x->log = op->inside->log;
    }
    return op->next;
}

/* ---- the program ---- */

/* `break` after a rewrite without a flag: the URI stays changed, and so does the location. */
static const struct op *run_break(struct run *r, const struct op *op)
{
    exchange_trace(r->x, &op->pos, "break");
    r->x->pass.whole = r->x->pass.whole || r->changed;
    r->changed = false;
    return NULL;
}

static const struct op *run_op(struct run *r, const struct op *op)
{
    switch (op->kind) {
    case OP_SET:
        return run_set(r, op);
    case OP_RETURN:
        return run_return(r, op);
    case OP_BREAK:
        return run_break(r, op);
    case OP_REWRITE:
        return run_rewrite(r, op);
    case OP_IF:
        return run_if(r, op);
    }
    return NULL;
}

static enum verdict rewrite_request(struct exchange *x, const void *conf)
{
    const struct rewrite *c = conf;
    struct run r = { .x = x, .log = c->log, .quote = true, .verdict = VERDICT_NEXT };
    bool server = x->pass.loc == x->server->base;
    for (const struct op *op = c->program->first; op;)
        op = run_op(&r, op);
    if (r.verdict != VERDICT_NEXT || !r.changed || server)
        return r.verdict; /* after the server's rules a location is looked for anyway */
    if (route_again(x) == OK)
        return VERDICT_PASS;
    x->error_paged = true; /* no page for this one: passes have run out */
    failed(&r);
    return r.verdict;
}

static bool rewrite_active(const void *conf)
{
    return ((const struct rewrite *)conf)->program;
}

const struct policy rewrite_policy = {
    .name = "rewrite",
    .feature = &rewrite_feature,
    .active = rewrite_active,
    .on_request = rewrite_request,
};
