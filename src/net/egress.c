#include "net/egress.h"

#include <unistd.h>

#include "base/err.h"
#include "net/guard.h"

/* The smaller value decides where networks overlap: a longer prefix, and of equals the refusal. */
static uint32_t value_of(const struct egress_line *l)
{
    return (uint32_t)(128 - l->net.bits) * 2 + !l->deny;
}

static int build_family(struct arena *a, const struct egress_line *first, bool v6, struct net_table *out)
{
    size_t n = 0;
    for (const struct egress_line *l = first; l; l = l->next)
        n += l->net.v6 == v6;
    struct net_entry *lines = arena_new_n(a, struct net_entry, n + 1);
    if (!lines)
        return ERR_NOMEM;
    n = 0;
    for (const struct egress_line *l = first; l; l = l->next)
        if (l->net.v6 == v6)
            lines[n++] = net_entry_of(&l->net, value_of(l));
    return net_table_build(a, lines, n, out);
}

int egress_build(struct arena *a, const struct egress_line *first, struct egress *out)
{
    struct egress e;
    int rc = build_family(a, first, false, &e.v4);
    if (rc == OK)
        rc = build_family(a, first, true, &e.v6);
    if (rc == OK)
        *out = e;
    return rc;
}

enum opinion { NONE, ALLOWED, DENIED };

static enum opinion look_up(const struct egress *e, const struct addr *a)
{
    if (!e)
        return NONE;
    uint32_t v = a->sa.sa_family == AF_INET ? net_table_find(&e->v4, net_number_of4(&a->in.sin_addr))
                                            : net_table_find(&e->v6, net_number_of6(&a->in6.sin6_addr));
    return v == NET_NONE ? NONE : (v & 1) ? ALLOWED : DENIED;
}

const char *egress_refuses(const struct egress *e, const struct addr *to)
{
    struct addr inner;
    if (to->sa.sa_family != AF_INET && to->sa.sa_family != AF_INET6)
        return guard_special(to);
    if (addr_port(to) == 0)
        return "port 0";
    enum opinion o = look_up(e, to), in = NONE;
    bool holds = guard_embedded(to, &inner);
    if (holds)
        in = look_up(e, &inner);
    if (o == DENIED || in == DENIED)
        return "egress_deny";
    /* a mapped address is an IPv4 one for the kernel too; other forms go where a translator sends them */
    if (o == ALLOWED || (in == ALLOWED && IN6_IS_ADDR_V4MAPPED(&to->in6.sin6_addr)))
        return NULL;
    return guard_special(to);
}

bool egress_verify(int fd, const struct addr *to)
{
    struct addr peer = { .len = sizeof(peer.un) };
    return getpeername(fd, &peer.sa, &peer.len) == 0 && addr_eq(&peer, to);
}

/* An address of another machine cannot be bound to. */
static bool is_local(const struct addr *to)
{
    struct addr a = *to;
    addr_set_port(&a, 0);
    int fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    bool local = bind(fd, &a.sa, a.len) == 0;
    close(fd);
    return local;
}

bool egress_is_own(const struct egress_own *own, const struct addr *to)
{
    struct addr plain;
    bool mapped = to->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&to->in6.sin6_addr);
    if (mapped && guard_embedded(to, &plain))
        to = &plain;
    for (uint32_t i = 0; i < own->n; i++) {
        const struct addr *l = &own->v[i];
        if (l->sa.sa_family == AF_UNIX || addr_port(l) != addr_port(to))
            continue;
        if (addr_eq(l, to))
            return true;
        if (addr_is_any(l) && (addr_is_any(to) || addr_is_loopback(to) || is_local(to)))
            return true;
        if (addr_is_any(to)) /* connects to the loopback address */
            return true;
    }
    return false;
}
