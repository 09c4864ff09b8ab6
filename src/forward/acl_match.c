/*
 * Conditions, asked: pure functions over a view of the request.
 */
#include <stdlib.h>

#include "base/err.h"
#include "forward/acl.h"
#include "net/guard.h"

/* A client must not choose a subject on which a pattern gives up to pass a `deny`, nor to meet an `allow`. */
static enum fwd_answer one_regex(const struct regex *re, slice subject)
{
    int rc = regex_match(re, subject, NULL, 0);
    return rc >= 0 ? FWD_YES : rc == ERR_NOTFOUND ? FWD_NO : FWD_STUCK;
}

static enum fwd_answer any_regex(const struct fwd_acl *a, slice subject)
{
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        enum fwd_answer x = one_regex(v->regex, subject);
        if (x != FWD_NO)
            return x;
    }
    return FWD_NO;
}

static enum fwd_answer any_field(const struct fields *f, slice name, const struct regex *re)
{
    for (uint32_t i = 0; f && i < f->n; i++) {
        if (!slice_ieq(f->v[i].name, name))
            continue;
        enum fwd_answer x = one_regex(re, f->v[i].value);
        if (x != FWD_NO)
            return x;
    }
    return FWD_NO;
}

/* A body without a type is one of the empty type, as for Squid; other fields that are not there match nothing. */
static enum fwd_answer any_type(const struct fwd_acl *a, const struct fields *f)
{
    bool typed = f && fields_find(f, TOK_CONTENT_TYPE);
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        enum fwd_answer x = typed ? any_field(f, v->word, v->regex) : one_regex(v->regex, SLICE(""));
        if (x != FWD_NO)
            return x;
    }
    return FWD_NO;
}

static enum fwd_answer any_named_field(const struct fwd_acl *a, const struct fields *f)
{
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        enum fwd_answer x = any_field(f, v->word, v->regex);
        if (x != FWD_NO)
            return x;
    }
    return FWD_NO;
}

static bool any_word(const struct fwd_acl *a, slice word)
{
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        if (slice_ieq(v->word, word))
            return true;
    }
    return false;
}

static bool any_number(const struct fwd_acl *a, uint32_t n)
{
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        if (n >= v->from && n <= v->to)
            return true;
    }
    return false;
}

static bool any_time(const struct fwd_acl *a, time_t now)
{
    struct tm tm;
    if (!localtime_r(&now, &tm))
        return false;
    uint32_t minute = (uint32_t)(tm.tm_hour * 60 + tm.tm_min);
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        if ((v->days & (1u << tm.tm_wday)) && minute >= v->from && minute <= v->to)
            return true;
    }
    return false;
}

static enum fwd_answer user(const struct fwd_acl *a, const struct fwd_request *r)
{
    if (!r->user_known)
        return FWD_NEED_USER;
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        if (slice_eq(v->word, SLICE("REQUIRED")) ||
            (a->icase ? slice_ieq(v->word, r->user) : slice_eq(v->word, r->user)))
            return FWD_YES;
    }
    return FWD_NO;
}

/* An IPv6 address that carries an IPv4 one (NAT64, 6to4, ...) leads to that one too. */
static bool leads_into(const struct fwd_acl *a, const struct addr *to)
{
    struct addr inner;
    return addr_set_has(&a->addresses, &to->sa) ||
           (to->sa.sa_family == AF_INET6 && guard_embedded(to, &inner) && addr_set_has(&a->addresses, &inner.sa));
}

static enum fwd_answer destination(const struct fwd_acl *a, const struct fwd_request *r)
{
    struct addr literal;
    if (addr_parse_ip(r->host, 0, &literal) == OK)
        return leads_into(a, &literal) ? FWD_YES : FWD_NO;
    if (!r->resolved)
        return FWD_NEED_ADDRESSES;
    for (uint32_t i = 0; i < r->naddresses; i++) {
        if (leads_into(a, &r->addresses[i]))
            return FWD_YES;
    }
    return FWD_NO;
}

/* Strictly more than the number (squid.conf manual, "maxconn"). */
static bool too_many(const struct fwd_acl *a, const struct fwd_request *r)
{
    uint32_t open = r->connections ? r->connections(r->ctx, r->client) : 1;
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        if (open > v->from)
            return true;
    }
    return false;
}

static enum fwd_answer group(const struct fwd_acl *a, const struct fwd_request *r)
{
    for (const struct fwd_value *v = a->values; v; v = v->next) {
        enum fwd_answer x = fwd_terms_match(v->terms, v->nterms, r, NULL);
        if (x != FWD_NO)
            return x;
    }
    return FWD_NO;
}

static bool plain(const struct fwd_acl *a, const struct fwd_request *r)
{
    switch (a->type) {
    case ACL_SRC:
        return addr_set_has(&a->addresses, r->client);
    case ACL_LOCALIP:
        return r->own && addr_set_has(&a->addresses, r->own);
    case ACL_DSTDOMAIN:
        return domain_set_has(&a->domains, r->host, NULL);
    case ACL_PORT:
        return any_number(a, r->port);
    case ACL_METHOD:
        return any_word(a, r->method);
    case ACL_PROTO:
        return r->scheme.n && any_word(a, r->scheme);
    case ACL_TIME:
        return any_time(a, r->now);
    case ACL_HTTP_STATUS:
        return r->status && any_number(a, r->status);
    case ACL_MAXCONN:
        return too_many(a, r);
    case ACL_MANAGER:
        return slice_eq(r->scheme, SLICE("cache_object")) || slice_starts(r->path, SLICE("/squid-internal-mgr/"));
    default:
        abort(); /* a type that was added without its answer */
    }
}

/* fwd_acls_finish has bounded how deep groups name groups (FWD_GROUP_DEPTH). */
enum fwd_answer fwd_acl_match(const struct fwd_acl *a, const struct fwd_request *r)
{
    switch (a->type) {
    case ACL_ANY_OF:
    case ACL_ALL_OF:
        return group(a, r);
    case ACL_PROXY_AUTH:
        return user(a, r);
    case ACL_DST:
        return destination(a, r);
    case ACL_DSTDOM_REGEX:
        return any_regex(a, r->host);
    case ACL_URL_REGEX:
        return any_regex(a, r->url);
    case ACL_URLPATH_REGEX:
        return r->path.n ? any_regex(a, r->path) : FWD_NO;
    case ACL_BROWSER:
    case ACL_REFERER_REGEX:
    case ACL_REQ_HEADER:
        return any_named_field(a, r->fields);
    case ACL_REQ_MIME_TYPE:
        return any_type(a, r->fields);
    case ACL_REP_HEADER:
        return any_named_field(a, r->reply);
    case ACL_REP_MIME_TYPE:
        return r->reply ? any_type(a, r->reply) : FWD_NO;
    default:
        return plain(a, r) ? FWD_YES : FWD_NO;
    }
}

enum fwd_answer fwd_terms_match(const struct fwd_term *terms, uint32_t n, const struct fwd_request *r,
                                const struct fwd_acl **last)
{
    for (uint32_t i = 0; i < n; i++) {
        if (last)
            *last = terms[i].acl;
        enum fwd_answer x = fwd_acl_match(terms[i].acl, r);
        if (terms[i].negated && x <= FWD_YES)
            x = x == FWD_YES ? FWD_NO : FWD_YES;
        if (x != FWD_YES)
            return x;
    }
    return FWD_YES;
}
