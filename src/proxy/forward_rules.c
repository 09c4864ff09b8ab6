#include "proxy/forward_rules.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/escape.h"
#include "conf/generation.h"
#include "http/client.h"
#include "net/guard.h"
#include "proxy/chain.h"
#include "proxy/client_count.h"
#include "proxy/forward_block.h"
#include "proxy/forward_deny.h"
#include "proxy/forward_filter.h"
#include "proxy/forward_limits.h"
#include "proxy/forward_privacy.h"
#include "proxy/proxy.h"

/* ---- the view ---- */

/*
 * What rules match is one spelling of what goes out, as in Squid: the host in lower case without a last dot, an address
 * as addr_text_ip writes it (a mapped one as the IPv4 address that it is), no port that the scheme has anyway, the path
 * normal and decoded. Else whoever a rule names would pass it by writing his target differently.
 */
static int name_host(struct exchange *x, const struct endpoint *e, slice *host, bool *v6)
{
    char text[ADDR_TEXT_MAX];
    struct addr plain;
    *v6 = false;
    *host = e->host;
    if (!e->literal)
        return OK;
    bool mapped = e->addr.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&e->addr.in6.sin6_addr);
    const struct addr *a = mapped && guard_embedded(&e->addr, &plain) ? &plain : &e->addr;
    *v6 = a->sa.sa_family == AF_INET6;
    return arena_dup(&x->arena, slice_of(text, addr_text_ip(text, a)), host) ? OK : ERR_NOMEM;
}

/* Escapes decoded but those of control characters, which would end a line of a pattern's subject. */
static bool decoded(struct arena *a, slice s, slice *out)
{
    *out = s;
    if (slice_find(s, '%') < 0)
        return true;
    char *p = arena_bytes(a, s.n), *at = p;
    if (!p)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        int hi = s.p[i] == '%' && s.n - i > 2 ? ascii_hex(s.p[i + 1]) : -1, lo = hi < 0 ? -1 : ascii_hex(s.p[i + 2]);
        int c = lo < 0 ? 0 : hi << 4 | lo;
        bool escape = c >= 0x20 && c != 0x7f;
        *at++ = escape ? (char)c : s.p[i];
        i += escape ? 2 : 0;
    }
    *out = slice_of(p, (size_t)(at - p));
    return true;
}

int forward_begin(struct exchange *x, const struct forward_conf *c, const struct endpoint *e)
{
    const struct request *r = &x->req;
    struct forward_exchange *f = arena_new(&x->arena, struct forward_exchange);
    bool v6;
    if (!f || name_host(x, e, &f->host, &v6) != OK)
        return ERR_NOMEM;
    f->conf = c;
    f->at = *e;
    x->proxy->forward = f;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
    if (r->form != TARGET_ABSOLUTE) {
        f->url = v6 ? arena_printf(&x->arena, "[%.*s]:%u", SLICE_FMT(f->host), e->port)
                    : endpoint_text(&x->arena, f->host, e->port);
        f->plain_url = f->url;
        return f->url.p ? OK : ERR_NOMEM;
    }
    slice port = e->port == 80 ? SLICE("") : arena_printf(&x->arena, ":%u", e->port);
    f->path =
        arena_printf(&x->arena, "%.*s%s%.*s", SLICE_FMT(r->normal_path), r->has_query ? "?" : "", SLICE_FMT(r->query));
    f->url = arena_printf(&x->arena, "%.*s://%s%.*s%s%.*s%.*s", SLICE_FMT(r->scheme), open, SLICE_FMT(f->host), close,
                          SLICE_FMT(port), SLICE_FMT(f->path));
    bool ok = port.p && f->path.p && f->url.p;
    return ok && decoded(&x->arena, f->url, &f->plain_url) && decoded(&x->arena, f->path, &f->plain_path) ? OK
                                                                                                          : ERR_NOMEM;
}

void forward_view(struct exchange *x, struct fwd_request *v)
{
    const struct request *r = &x->req;
    const struct forward_exchange *f = x->proxy->forward;
    const slice *user = x->slots[SLOT_USER];
    struct addr own;
    *v = (struct fwd_request){
        .client = &x->client->peer.sa,
        .method = r->method_text,
        .scheme = r->scheme,
        .host = f->host,
        .port = f->at.port,
        .url = f->plain_url,
        .path = f->plain_path,
        .fields = &r->fields,
        .user = user ? *user : SLICE_NONE,
        .user_known = user,
        .addresses = f->addresses,
        .naddresses = f->naddresses,
        .resolved = f->resolved,
        .now = (time_t)(x->start_wall / 1000),
        .connections = f->conf->counted ? client_count_of : NULL,
    };
    if (client_local(x->client, &own))
        v->own = &x->client->local.sa;
}

/* ---- deciding ---- */

/* ", user "ann"", so that no name of a client breaks a line of the log; empty when nobody is known. */
static slice user_words(const struct exchange *x, char *dst, size_t cap)
{
    const slice *user = x->slots[SLOT_USER];
    struct strb b;
    strb_init_fixed(&b, dst, cap);
    if (user) {
        strb_lit(&b, ", user \"");
        escape_log(&b, escape_log_upto(*user, cap - 16));
        strb_char(&b, '"');
    }
    return strb_slice(&b);
}

static void tell(struct exchange *x, const struct forward_exchange *f)
{
    char rule[512], user[300];
    const struct fwd_decision *d = &f->rules;
    size_t n = fwd_decision_text(rule, sizeof(rule), &f->conf->policy->http_access, d);
    const char *what = d->answer == FWD_YES         ? "allowed"
                       : d->answer == FWD_STUCK     ? "refused (a pattern gave up)"
                       : d->answer == FWD_NEED_USER ? "refused (no user is known)"
                                                    : "refused";
    exchange_trace(x, d->rule ? &d->rule->pos : NULL, "http_access: %s by %.*s", what, (int)n, rule);
    if (d->answer != FWD_YES)
        exchange_log(x, LEVEL_ERROR, "%.*s is %s by http_access %.*s%.*s", SLICE_FMT(f->at.text), what, (int)n, rule,
                     SLICE_FMT(user_words(x, user, sizeof(user))));
}

static int by_access(struct exchange *x, struct forward_exchange *f, const struct fwd_request *v)
{
    const struct fwd_policy *p = f->conf->policy;
    if (!p->http_access.n && !f->conf->squid)
        return OK;
    f->rules = fwd_decide(&p->http_access, v);
    if (f->rules.answer == FWD_NEED_ADDRESSES) {
        exchange_trace(x, NULL, "http_access is decided by the addresses of %.*s", SLICE_FMT(f->host));
        return ERR_AGAIN;
    }
    tell(x, f);
    if (f->rules.answer == FWD_YES)
        return OK;
    f->verdict = FORWARD_DENIED;
    worker_count(x->w, COUNT_FORWARD_REFUSED);
    return ERR_REFUSED;
}

/* A rule came to a condition on the user, and there is a way to ask for one: 407. False: there is none. */
static bool asks_for_user(const struct exchange *x, const struct forward_exchange *f)
{
    const struct fwd_decision *d = &f->rules;
    bool about_user = d->answer == FWD_NEED_USER || (d->answer == FWD_NO && d->acl && d->acl->type == ACL_PROXY_AUTH);
    if (f->verdict == FORWARD_BLOCKED)
        about_user = f->filter.answer == FWD_NEED_USER;
    return f->verdict != FORWARD_LIMITED && about_user && x->slots[SLOT_CHALLENGE];
}

static int ask_for_user(struct exchange *x)
{
    const slice *challenge = x->slots[SLOT_CHALLENGE];
    const struct field f = { .name = SLICE("Proxy-Authenticate"),
                             .value = *challenge,
                             .token = TOK_PROXY_AUTHENTICATE };
    worker_count(x->w, COUNT_AUTH_FAILED);
    int rc = reply_set(x, 407, SLICE_NONE, SLICE_NONE, true);
    return rc == OK && fields_add(&x->arena, &x->resp.fields, f) ? ERR_REFUSED : ERR_NOMEM;
}

static int refuse(struct exchange *x)
{
    return asks_for_user(x, x->proxy->forward) ? ask_for_user(x) : forward_deny(x);
}

int forward_ask(struct exchange *x)
{
    struct forward_exchange *f = x->proxy->forward;
    struct fwd_request v;
    f->verdict = FORWARD_ALLOWED;
    if (!f->conf->policy->http_access.n && !f->conf->squid && !forward_filters(x) && !forward_privacy_any(x) &&
        !forward_limits_any(x))
        return OK;
    forward_view(x, &v);
    int rc = by_access(x, f, &v);
    if (rc == OK)
        rc = forward_filter_decide(x, &v);
    if (rc == OK)
        rc = forward_privacy_decide(x, &v);
    if (rc == OK)
        rc = forward_limits_enter(x, &v);
    f->undecided = rc == ERR_AGAIN;
    return rc;
}

int forward_decide(struct exchange *x)
{
    int rc = forward_ask(x);
    return rc == ERR_REFUSED ? refuse(x) : rc;
}

/* Rules that are asked once the target is connected to, or has answered. */
static bool has_later_rules(const struct fwd_policy *p)
{
    return p->outgoing.n || p->http_reply_access.n || p->request_headers || p->reply_headers;
}

/* What the dial was told is its own; later rules get a copy. OK or ERR_NOMEM. */
static int keep_addresses(struct exchange *x, struct forward_exchange *f)
{
    struct addr *copy = f->naddresses ? arena_new_n(&x->arena, struct addr, f->naddresses) : NULL;
    if (f->naddresses && !copy)
        return ERR_NOMEM;
    if (copy)
        memcpy(copy, f->addresses, f->naddresses * sizeof(*copy));
    f->addresses = copy;
    f->resolved = true;
    return OK;
}

int forward_judge(struct exchange *x, const struct addr *v, uint32_t n)
{
    struct forward_exchange *f = x->proxy->forward;
    f->addresses = v;
    f->naddresses = n;
    f->resolved = true;
    int rc = f->undecided ? forward_decide(x) : OK;
    if (rc == OK && f->unrouted)
        rc = chain_route(x);
    f->resolved = false; /* `v` is the caller's */
    if (rc >= 0 && has_later_rules(f->conf->policy) && keep_addresses(x, f) != OK)
        return ERR_NOMEM;
    return rc;
}

bool forward_outgoing(struct exchange *x, int family, struct addr *out)
{
    const struct fwd_rules *l = &x->proxy->forward->conf->policy->outgoing;
    struct fwd_request v;
    if (!l->n)
        return false;
    forward_view(x, &v);
    for (const struct fwd_rule *r = l->first; r; r = r->next) {
        if (r->address->sa.sa_family == family && fwd_terms_match(r->terms, r->nterms, &v, NULL) == FWD_YES) {
            exchange_trace(x, &r->pos, "tcp_outgoing_address: %.*s", SLICE_FMT(r->value));
            *out = *r->address;
            return true;
        }
    }
    return false;
}

/* ---- load ---- */

struct held_policy {
    struct gen_cleanup cleanup;
    struct fwd_policy policy;
};

static void let_go(struct gen_cleanup *c)
{
    fwd_policy_done(&container_of(c, struct held_policy, cleanup)->policy);
}

struct fwd_policy *forward_policy(struct conf_ctx *cf, void *conf)
{
    struct forward_conf *c = conf;
    if (c->policy)
        return c->policy;
    struct held_policy *h = arena_new(cf->arena, struct held_policy);
    if (!h)
        return NULL;
    int rc = fwd_policy_init(&h->policy, cf->arena, cf->bundle, cf->diag);
    generation_cleanup(cf->gen, &h->cleanup, let_go);
    if (rc == OK)
        c->policy = &h->policy;
    return c->policy;
}

int forward_line(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct fwd_policy *p = forward_policy(cf, conf);
    return p ? fwd_policy_line(p, node) : ERR_NOMEM;
}
