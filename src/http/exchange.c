#include "http/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/escape.h"
#include "base/strb.h"
#include "http/transform.h"
#include "http/work.h"

void (*exchange_run)(struct exchange *x);

_Static_assert(sizeof(struct exchange) < EXCHANGE_PAGE - 1024, "an exchange leaves room for a head on its page");

enum { ARENA_CHUNK = 8 << 10, ARENA_LIMIT = 4 << 20, DEFAULT_CAPACITY = 64 << 10 };

static void run(struct task *t)
{
    exchange_run(container_of(t, struct exchange, run));
}

struct exchange *exchange_new(struct worker *w, struct gen_ref *gen, struct end *front, struct client *client)
{
    struct exchange *x = slab_take(&w->pages);
    if (!x)
        return NULL;
    memset(x, 0, offsetof(struct exchange, arena));
    x->w = w;
    x->gen = gen_use(gen);
    task_init(&x->run, run);
    x->client = client;
    x->start_mono = loop_now(&w->loop);
    x->start_wall = w->loop.clock.wall_ms;
    x->log = log_main;
    arena_init(&x->arena, (char *)x + sizeof(*x), EXCHANGE_PAGE - sizeof(*x), ARENA_CHUNK, ARENA_LIMIT);
    pipe_init(&x->req_pipe, &w->loop, &w->budget, DEFAULT_CAPACITY);
    pipe_init(&x->resp_pipe, &w->loop, &w->budget, DEFAULT_CAPACITY);
    end_attach_front(front, x);
    return x;
}

void exchange_start(struct exchange *x)
{
    task_post(&x->w->loop, &x->run);
}

void exchange_free(struct exchange *x)
{
    struct worker *w = x->w;
    assert(!x->front && !x->back && !x->holds);
    task_cancel(&w->loop, &x->run);
    works_detach(x);
    transforms_done(x);
    pipe_done(&x->req_pipe);
    pipe_done(&x->resp_pipe);
    gen_drop(x->gen);
    arena_done(&x->arena);
    slab_give(&w->pages, x);
}

void exchange_hold(struct exchange *x, struct x_hold *h, void (*end)(struct x_hold *h, struct exchange *x))
{
    *h = (struct x_hold){ .next = x->holds, .end = end };
    x->holds = h;
}

void exchange_unhold(struct exchange *x, struct x_hold *h)
{
    struct x_hold **at = &x->holds;
    while (*at && *at != h)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = h->next;
    if (h->asked)
        exchange_post(x, 0); /* finish waits for it */
}

bool exchange_let_go(struct exchange *x)
{
    for (struct x_hold *h = x->holds, *next; h; h = next) {
        next = h->next;
        if (!h->asked) {
            h->asked = true;
            h->end(h, x);
        }
    }
    return !x->holds;
}

void exchange_post(struct exchange *x, uint32_t events)
{
    x->events |= events;
    task_post(&x->w->loop, &x->run);
}

void exchange_front_failed(struct exchange *x, enum x_why why)
{
    if (x->front_why == WHY_NONE)
        x->front_why = (uint8_t)why;
    exchange_post(x, X_FRONT_FAILED);
}

void exchange_back_failed(struct exchange *x, enum x_why why, int err, const char *detail)
{
    if (x->events & X_BACK_FAILED)
        return;
    x->back_why = (uint8_t)why;
    x->back_errno = err;
    x->back_detail = detail;
    exchange_post(x, X_BACK_FAILED);
}

/* ---- variables ---- */

enum value_state { VALUE_NONE, VALUE_CACHED, VALUE_ABSENT, VALUE_ASSIGNED };

static bool table_ready(struct exchange *x)
{
    uint32_t n = x->gen->gen->nvars;
    if (x->values || n == 0)
        return x->values;
    slice *values = arena_new_n(&x->arena, slice, n);
    uint8_t *state = arena_new_n(&x->arena, uint8_t, n);
    if (!values || !state)
        return false;
    x->values = values;
    x->value_state = state;
    return true;
}

static const char *known_text(enum var_known known)
{
    static const char *const texts[] = { "with the request", "when a location is found", "when a backend is tried",
                                         "when the answer is there", "at the end" };
    return texts[known];
}

/* Said once a variable and pass, as in nginx: it then counts as read. */
static int unassigned(struct exchange *x, const struct var *v)
{
    if (!v->by_set || !x->pass.loc || !x->pass.loc->warns_uninitialized)
        return ERR_NOTFOUND;
    exchange_log(x, LEVEL_WARN, "using uninitialized \"%.*s\" variable", SLICE_FMT(v->name));
    if (table_ready(x))
        x->value_state[v->index] = VALUE_ABSENT;
    return ERR_NOTFOUND;
}

int exchange_var(struct exchange *x, const struct var *v, slice *out)
{
    bool table = x->values != NULL;
    if (table && x->value_state[v->index] != VALUE_NONE) {
        if (x->value_state[v->index] == VALUE_ABSENT)
            return ERR_NOTFOUND;
        *out = x->values[v->index];
        return OK;
    }
    if (v->settable)
        return unassigned(x, v);
    if (v->def->known > x->known) {
        exchange_trace(x, NULL, "$%.*s is known only %s", SLICE_FMT(v->name), known_text(v->def->known));
        return ERR_NOTFOUND;
    }
    int rc = v->def->get(x, v, out);
    if (rc == OK)
        exchange_trace(x, NULL, "$%.*s = \"%.*s\"", SLICE_FMT(v->name), SLICE_FMT(*out));
    if (!v->def->cached || (rc != OK && rc != ERR_NOTFOUND))
        return rc;
    if (!table_ready(x))
        return ERR_NOMEM;
    x->value_state[v->index] = rc == OK ? VALUE_CACHED : VALUE_ABSENT;
    if (rc == OK)
        x->values[v->index] = *out;
    return rc;
}

bool exchange_var_set(struct exchange *x, const struct var *v, slice value)
{
    if (!table_ready(x))
        return false;
    x->values[v->index] = value;
    x->value_state[v->index] = VALUE_ASSIGNED;
    return true;
}

int exchange_var_assign(struct exchange *x, const struct var *v, slice value)
{
    if (v->def && v->def->set)
        return v->def->set(x, v, value);
    return exchange_var_set(x, v, value) ? OK : ERR_NOMEM;
}

void exchange_forget_values(struct exchange *x)
{
    if (!x->values)
        return;
    for (uint32_t i = 0; i < x->gen->gen->nvars; i++) {
        if (x->value_state[i] != VALUE_ASSIGNED)
            x->value_state[i] = VALUE_NONE;
    }
}

bool exchange_inherit_values(struct exchange *to, const struct exchange *from)
{
    if (!from->values)
        return true;
    if (!table_ready(to))
        return false;
    for (uint32_t i = 0; i < to->gen->gen->nvars; i++) {
        if (from->value_state[i] == VALUE_ASSIGNED) {
            to->values[i] = from->values[i];
            to->value_state[i] = VALUE_ASSIGNED;
        }
    }
    return true;
}

/* ---- the log ---- */

static const char *const why_texts[] = {
    [WHY_NONE] = "unknown reason",
    [WHY_CLIENT_CLOSED] = "client prematurely closed connection",
    [WHY_CLIENT_TIMEOUT] = "client timed out",
    [WHY_CLIENT_BODY] = "client sent invalid body",
    [WHY_CLIENT_BIG] = "client intended to send too large body",
    [WHY_CONNECT] = "connect() failed",
    [WHY_CONNECT_TIMEOUT] = "upstream timed out",
    [WHY_HANDSHAKE] = "SSL_do_handshake() failed",
    [WHY_SEND_TIMEOUT] = "upstream timed out",
    [WHY_READ_TIMEOUT] = "upstream timed out",
    [WHY_CLOSED] = "upstream prematurely closed connection",
    [WHY_CLOSED_BODY] = "upstream prematurely closed connection",
    [WHY_IO] = "upstream connection failed",
    [WHY_BAD_HEAD] = "upstream sent invalid header",
    [WHY_BAD_BODY] = "upstream sent invalid body",
    [WHY_BIG_HEAD] = "upstream sent too big header",
    [WHY_INTERIMS] = "upstream sent too many interim responses",
    [WHY_NOMEM] = "out of memory",
    [WHY_SHUTDOWN] = "shutting down",
    [WHY_LIMIT] = "a limit of the client was reached",
    [WHY_PARENT] = "the request has ended",
    [WHY_HOP] = "no way through a parent",
    [WHY_TARGET] = "a parent refused the target",
    [WHY_TARGET_TIMEOUT] = "a parent did not reach the target in time",
    [WHY_SILENCE] = "a parent said nothing in time",
};

const char *exchange_why_text(enum x_why why)
{
    return why < array_len(why_texts) && why_texts[why] ? why_texts[why] : why_texts[WHY_NONE];
}

slice exchange_client_text(struct exchange *x)
{
    char text[ADDR_TEXT_MAX];
    struct addr a = { .len = sizeof(a.in6) };
    slice out = SLICE("unix:");
    if (x->client->peer.sa.sa_family == AF_UNIX)
        return out;
    memcpy(&a.in6, &x->client->peer.in6, sizeof(a.in6));
    if (!arena_dup(&x->arena, slice_of(text, addr_text_ip(text, &a)), &out))
        return SLICE_NONE;
    return out;
}

enum { QUOTED_MAX = 1024 };

/* What a peer sent, so that its end and what follows cannot be mistaken: escaped as in an access log. */
static void add_quoted(struct strb *b, const char *name, slice value)
{
    if (!value.n)
        return;
    strb_printf(b, ", %s: \"", name);
    escape_log(b, escape_log_upto(value, QUOTED_MAX));
    strb_char(b, '"');
}

void exchange_log(struct exchange *x, enum log_level level, const char *fmt, ...)
{
    char text[1024], tail[LOG_LINE_MAX];
    struct strb b;
    va_list ap;
    if (!log_on(x->log, level) && !x->trace)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    if (x->trace) {
        exchange_trace(x, NULL, "error log: [%s] %s", log_level_name(level), text);
        return;
    }
    strb_init_fixed(&b, tail, sizeof(tail));
    strb_printf(&b, ", client: %.*s", SLICE_FMT(exchange_client_text(x)));
    strb_lit(&b, ", server: "); /* as nginx: there even when it has no name */
    strb_add(&b, x->server ? x->server->name : SLICE_NONE);
    add_quoted(&b, "request", x->req.line);
    if (x->parent)
        add_quoted(&b, "subrequest", x->pass.uri);
    add_quoted(&b, "upstream", x->upstream);
    add_quoted(&b, "host", x->req.authority);
    log_text(x->log, level, x->client->number, slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1),
             strb_slice(&b));
}
