#include "net/resolver_conf.h"

#include "base/err.h"
#include "conf/bundle.h"
#include "net/dns_name.h"

enum { NDOTS_MAX = 15, TRY_MAX_S = 30, TRIES_MAX = 5, HOSTS_ADDRS_MAX = 32 };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; false at its end. */
static bool word(slice *line, slice *out)
{
    while (line->n && is_space(line->p[0]))
        *line = slice_from(*line, 1);
    size_t n = 0;
    while (n < line->n && !is_space(line->p[n]))
        n++;
    *out = slice_upto(*line, n);
    *line = slice_from(*line, n);
    return n > 0;
}

static bool next_line(slice *text, slice *line)
{
    if (text->n == 0)
        return false;
    if (!slice_cut(*text, '\n', line, text)) {
        *line = *text;
        *text = slice_from(*text, text->n);
    }
    return true;
}

/* ---- resolv.conf ---- */

static void option(slice text, struct resolver_conf *c)
{
    uint64_t v;
    slice name, value;
    if (!slice_cut(text, ':', &name, &value) || slice_to_u64(value, &v) != OK)
        return;
    if (slice_eq(name, SLICE("ndots")))
        c->ndots = (uint32_t)(v < NDOTS_MAX ? v : NDOTS_MAX);
    else if (slice_eq(name, SLICE("timeout")) && v)
        c->try_ms = (v < TRY_MAX_S ? v : TRY_MAX_S) * 1000;
    else if (slice_eq(name, SLICE("attempts")) && v)
        c->tries = (unsigned)(v < TRIES_MAX ? v : TRIES_MAX);
}

static int search(struct arena *a, slice line, struct resolver_conf *c)
{
    slice domain;
    c->nsearch = 0; /* the last line counts */
    while (c->nsearch < RESOLVER_SEARCH_MAX && word(&line, &domain)) {
        char text[DNS_NAME_MAX];
        size_t n;
        if (dns_name_normal(domain, text, &n) != OK)
            continue;
        if (!arena_dup(a, slice_of(text, n), &c->search[c->nsearch]))
            return ERR_NOMEM;
        c->nsearch++;
    }
    return OK;
}

static int parse_resolv(struct arena *a, slice text, struct addr *servers, struct resolver_conf *c)
{
    slice line, key, value;
    while (next_line(&text, &line)) {
        if (!word(&line, &key) || key.p[0] == '#' || key.p[0] == ';')
            continue;
        if (slice_eq(key, SLICE("nameserver"))) {
            if (c->nservers < RESOLVER_SERVERS_MAX && word(&line, &value) &&
                addr_parse_ip(value, RESOLVER_PORT, &servers[c->nservers]) == OK)
                c->nservers++;
        } else if (slice_eq(key, SLICE("search")) || slice_eq(key, SLICE("domain"))) {
            int rc = search(a, line, c);
            if (rc != OK)
                return rc;
        } else if (slice_eq(key, SLICE("options"))) {
            while (word(&line, &value))
                option(value, c);
        }
    }
    return OK;
}

/* ---- hosts ---- */

static int add_host(struct arena *a, struct map *hosts, slice name, const struct addr *addr)
{
    char text[DNS_NAME_MAX];
    size_t n;
    slice key;
    if (dns_name_normal(name, text, &n) != OK)
        return OK;
    struct hosts_entry *e = map_get(hosts, slice_of(text, n));
    if (!e) {
        e = arena_new(a, struct hosts_entry);
        if (!e || !arena_dup(a, slice_of(text, n), &key) || map_put(hosts, key, e) != OK)
            return ERR_NOMEM;
    }
    if (e->n >= HOSTS_ADDRS_MAX)
        return OK;
    if ((e->n & (e->n - 1)) == 0) { /* 0, 1, 2, 4, ...: it is full */
        struct addr *more = arena_new_n(a, struct addr, e->n ? 2 * e->n : 1);
        if (!more)
            return ERR_NOMEM;
        if (e->n)
            memcpy(more, e->v, e->n * sizeof(*more));
        e->v = more;
    }
    e->v[e->n++] = *addr;
    return OK;
}

static int parse_hosts(struct arena *a, slice text, struct map *hosts)
{
    slice line, value, comment;
    struct addr addr;
    while (next_line(&text, &line)) {
        slice_cut(line, '#', &line, &comment);
        if (!word(&line, &value) || addr_parse_ip(value, 0, &addr) != OK)
            continue;
        while (word(&line, &value)) {
            int rc = add_host(a, hosts, value, &addr);
            if (rc != OK)
                return rc;
        }
    }
    return OK;
}

int resolver_conf_parse(struct arena *a, slice resolv, slice hosts_text, struct map *hosts, struct resolver_conf *out)
{
    struct resolver_conf c = {
        .stale = RESOLVER_STALE, .try_ms = 5000, .tries = 2, .ipv4 = true, .ipv6 = true, .ndots = 1, .hosts = hosts
    };
    struct addr *servers = arena_new_n(a, struct addr, RESOLVER_SERVERS_MAX);
    if (!servers)
        return ERR_NOMEM;
    c.servers = servers;
    int rc = parse_resolv(a, resolv, servers, &c);
    if (rc == OK && c.nservers == 0) {
        addr_parse_ip(SLICE("127.0.0.1"), RESOLVER_PORT, &servers[0]);
        c.nservers = 1;
    }
    if (rc == OK)
        rc = parse_hosts(a, hosts_text, hosts);
    if (rc != OK)
        return rc;
    c.identity = arena_printf(a, "system %.*s", SLICE_FMT(resolv));
    if (!c.identity.p)
        return ERR_NOMEM;
    *out = c;
    return OK;
}

int resolver_conf_system(struct arena *a, struct bundle *b, struct map *hosts, struct resolver_conf *out)
{
    slice resolv = SLICE_NONE, hosts_text = SLICE_NONE;
    int rc = bundle_file(b, SLICE("/etc/resolv.conf"), &resolv);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        resolv = SLICE_NONE;
    rc = bundle_file(b, SLICE("/etc/hosts"), &hosts_text);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        hosts_text = SLICE_NONE;
    return resolver_conf_parse(a, resolv, hosts_text, hosts, out);
}
