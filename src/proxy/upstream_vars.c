/*
 * $upstream_* and $proxy_*: what is known of the attempts that an exchange made.
 *
 * One value per attempt, in nginx's form: attempts at servers of one group are separated by ", ", groups (after an
 * internal redirect) by " : ", and what an attempt did not get to is "-". Values change from attempt to attempt, so
 * none of them is cached.
 */
#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "http/vars.h"
#include "proxy/proxy.h"

enum { TEXT_LIMIT = 64 << 10 };

/* Hands a builder's text over to the exchange. */
static int finish_text(struct exchange *x, struct strb *b, slice *out)
{
    bool ok = !b->failed && arena_dup(&x->arena, strb_slice(b), out);
    strb_done(b);
    return ok ? OK : ERR_NOMEM;
}

static const struct attempt *first_attempt(const struct exchange *x)
{
    return x->proxy ? x->proxy->first : NULL;
}

/* ---- one value per attempt ---- */

enum attempt_value {
    V_ADDR,
    V_STATUS,
    V_CONNECT_TIME,
    V_HEADER_TIME,
    V_RESPONSE_TIME,
    V_RESPONSE_LENGTH,
    V_RECEIVED,
    V_SENT
};

static void add_time(struct strb *b, const struct attempt *a, uint64_t until)
{
    if (until == UINT64_MAX) {
        strb_char(b, '-');
        return;
    }
    uint64_t ms = until > a->start ? until - a->start : 0;
    strb_printf(b, "%llu.%03llu", (unsigned long long)(ms / 1000), (unsigned long long)(ms % 1000));
}

static void add_value(struct strb *b, const struct attempt *a, enum attempt_value what)
{
    switch (what) {
    case V_ADDR:
        strb_add(b, a->addr);
        break;
    case V_STATUS:
        if (a->status)
            strb_dec(b, a->status);
        else
            strb_char(b, '-');
        break;
    case V_CONNECT_TIME:
        add_time(b, a, a->connect);
        break;
    case V_HEADER_TIME:
        add_time(b, a, a->header);
        break;
    case V_RESPONSE_TIME:
        add_time(b, a, a->end);
        break;
    case V_RESPONSE_LENGTH:
        strb_dec(b, a->body_received);
        break;
    case V_RECEIVED:
        strb_dec(b, a->bytes_received);
        break;
    case V_SENT:
        strb_dec(b, a->bytes_sent);
        break;
    }
}

static int get_attempts(struct exchange *x, const struct var *v, slice *out)
{
    const struct attempt *a = first_attempt(x);
    struct strb b;
    if (!a)
        return ERR_NOTFOUND;
    strb_init(&b, TEXT_LIMIT);
    for (; a; a = a->next) {
        add_value(&b, a, (enum attempt_value)v->def->data);
        if (a->next)
            strb_add(&b, a->group_end ? SLICE(" : ") : SLICE(", "));
    }
    return finish_text(x, &b, out);
}

/* ---- fields of the backend's answer ---- */

/* A field of the backend's, of a name as variables write it: '_' stands for '-'. */
static bool is_named(const struct field *f, slice var)
{
    slice name = f->name;
    if (f->ours || name.n != var.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = ascii_lower(name.p[i]);
        if ((c == '-' ? '_' : c) != ascii_lower(var.p[i]))
            return false;
    }
    return true;
}

/* The answer of the backend, once there is one; still known when error_page has another one made. NULL: none. */
static const struct response *backends_answer(struct exchange *x)
{
    if (!first_attempt(x))
        return NULL;
    return x->known >= VAR_RESPONSE && !x->local ? &x->resp : x->proxy->intercepted;
}

/*
 * All fields of that name, joined by ", ". What was hidden, or replaced on the way to the client, stands in hop as it
 * came; then what travels is not looked at.
 */
static int get_field(struct exchange *x, const struct var *v, slice *out)
{
    const struct response *r = backends_answer(x);
    struct strb b;
    if (!r)
        return ERR_NOTFOUND;
    const struct fields *lists[] = { &r->hop, &r->fields };
    for (size_t l = 0; l < array_len(lists); l++) {
        const struct field *only = NULL;
        uint32_t n = 0;
        for (uint32_t i = 0; i < lists[l]->n; i++) {
            if (is_named(&lists[l]->v[i], v->arg)) {
                only = &lists[l]->v[i];
                n++;
            }
        }
        if (n == 1) {
            *out = only->value;
            return OK;
        }
        if (n == 0)
            continue;
        strb_init(&b, TEXT_LIMIT);
        for (uint32_t i = 0; i < lists[l]->n; i++) {
            if (!is_named(&lists[l]->v[i], v->arg))
                continue;
            if (b.n)
                strb_lit(&b, ", ");
            strb_add(&b, lists[l]->v[i].value);
        }
        return finish_text(x, &b, out);
    }
    return ERR_NOTFOUND;
}

/* The value of the cookie of that name in the first Set-Cookie that sets it; spaces at its end belong to it (nginx). */
static bool cookie_value(const struct fields *f, slice name, slice *out)
{
    for (uint32_t i = 0; i < f->n; i++) {
        slice pair = f->v[i].value, attributes, key, value;
        if (f->v[i].token != TOK_SET_COOKIE || f->v[i].ours)
            continue;
        slice_cut(pair, ';', &pair, &attributes);
        if (slice_cut(pair, '=', &key, &value) && slice_ieq(slice_trim(key), name)) {
            while (value.n && value.p[0] == ' ')
                value = slice_from(value, 1);
            *out = value;
            return true;
        }
    }
    return false;
}

/* Trailers are read when they are passed on (proxy_pass_trailers, and a client that asks for them). */
static int get_trailer(struct exchange *x, const struct var *v, slice *out)
{
    const struct fields *f = backends_answer(x) == &x->resp ? x->resp_pipe.trailers : NULL;
    return f ? var_fields(x, f, NULL, v->arg, SLICE(", "), out) : ERR_NOTFOUND;
}

/* Answers are not cached, so there is never a status of a cache. */
static int get_no_cache(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND;
}

static int get_cookie(struct exchange *x, const struct var *v, slice *out)
{
    const struct response *r = backends_answer(x);
    return r && (cookie_value(&r->hop, v->arg, out) || cookie_value(&r->fields, v->arg, out)) ? OK : ERR_NOTFOUND;
}

/* ---- $proxy_ ---- */

static int get_proxy_host(struct exchange *x, const struct var *v, slice *out)
{
    if (!x->proxy)
        return ERR_NOTFOUND;
    *out = x->proxy->host;
    return OK;
}

static int get_proxy_port(struct exchange *x, const struct var *v, slice *out)
{
    if (!x->proxy || !x->proxy->port.n)
        return ERR_NOTFOUND;
    *out = x->proxy->port;
    return OK;
}

static int get_add_forwarded(struct exchange *x, const struct var *v, slice *out)
{
    const struct fields *f = &x->req.fields;
    struct strb b;
    if (!fields_find(f, TOK_X_FORWARDED_FOR)) {
        *out = exchange_client_text(x);
        return out->p ? OK : ERR_NOMEM;
    }
    strb_init(&b, TEXT_LIMIT);
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->v[i].token == TOK_X_FORWARDED_FOR) {
            strb_add(&b, f->v[i].value);
            strb_lit(&b, ", ");
        }
    }
    strb_add(&b, exchange_client_text(x));
    return finish_text(x, &b, out);
}

#define ATTEMPT(text, what, about)                                                                                     \
    {                                                                                                                  \
        .name = text, .known = VAR_UPSTREAM, .data = what, .get = get_attempts, .doc = about " One value per attempt." \
    }

static const struct var_def vars[] = {
    ATTEMPT("upstream_addr", V_ADDR, "Addresses of the backends that were tried."),
    ATTEMPT("upstream_status", V_STATUS, "Status of their answers; 502 or 504 where one failed."),
    ATTEMPT("upstream_connect_time", V_CONNECT_TIME, "Seconds until the connection stood."),
    ATTEMPT("upstream_header_time", V_HEADER_TIME, "Seconds until the head of the answer was there."),
    ATTEMPT("upstream_response_time", V_RESPONSE_TIME, "Seconds until the answer had ended."),
    ATTEMPT("upstream_response_length", V_RESPONSE_LENGTH, "Bytes of the answer's body."),
    ATTEMPT("upstream_bytes_received", V_RECEIVED, "Bytes received."),
    ATTEMPT("upstream_bytes_sent", V_SENT, "Bytes sent."),
    { .name = "upstream_http_",
      .prefix = true,
      .known = VAR_UPSTREAM,
      .get = get_field,
      .doc = "A field of the backend's answer, as it came; the name in lower case with '_' for '-'." },
    { .name = "upstream_cookie_",
      .prefix = true,
      .known = VAR_UPSTREAM,
      .get = get_cookie,
      .doc = "A cookie that the backend's answer sets." },
    { .name = "upstream_trailer_",
      .prefix = true,
      .known = VAR_END,
      .get = get_trailer,
      .doc = "A trailer field of the backend's answer, if trailers are passed on." },
    { .name = "upstream_cache_status",
      .known = VAR_UPSTREAM,
      .get = get_no_cache,
      .doc = "Empty: answers are not cached." },
    { .name = "proxy_host",
      .known = VAR_ROUTE,
      .get = get_proxy_host,
      .doc = "Name and port of the backend as proxy_pass has them; without the port when it is 80." },
    { .name = "proxy_port",
      .known = VAR_ROUTE,
      .get = get_proxy_port,
      .doc = "Port of the backend as proxy_pass has it, or 80." },
    { .name = "proxy_add_x_forwarded_for",
      .known = VAR_REQUEST,
      .get = get_add_forwarded,
      .client = true,
      .doc = "The client's X-Forwarded-For with $remote_addr appended, or $remote_addr alone." },
};

struct feature upstream_vars_feature = {
    .name = "upstream_vars",
    .doc = "What is known of the backends that a request was handed to.",
    .vars = vars,
    .nvars = array_len(vars),
};
