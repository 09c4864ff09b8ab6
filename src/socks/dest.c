#include "socks/dest.h"

#include "base/err.h"
#include "base/strb.h"

static bool address_of(const struct socks_dest *d, struct addr *out)
{
    struct addr a = { .len = sizeof(a.in), .in = { .sin_family = AF_INET, .sin_port = htons(d->port) } };
    if (d->type == SOCKS_NAME)
        return addr_parse_ip(socks_text(&d->name), d->port, out) == OK;
    if (d->type == SOCKS_IPV4) {
        memcpy(&a.in.sin_addr, d->ip, 4);
    } else {
        a = (struct addr){ .len = sizeof(a.in6), .in6 = { .sin6_family = AF_INET6, .sin6_port = htons(d->port) } };
        memcpy(&a.in6.sin6_addr, d->ip, 16);
    }
    *out = a;
    return true;
}

slice socks_dest_text(const struct socks_dest *d, char *dst)
{
    struct addr a;
    struct strb b;
    if (address_of(d, &a))
        return slice_of(dst, addr_text(dst, &a));
    strb_init_fixed(&b, dst, SOCKS_DEST_TEXT);
    strb_add(&b, socks_text(&d->name));
    strb_printf(&b, ":%u", d->port);
    return strb_slice(&b);
}

void socks_dest_of(const struct addr *a, struct socks_dest *out)
{
    struct socks_dest d = { .type = SOCKS_IPV4, .port = addr_port(a) };
    if (a->sa.sa_family == AF_INET) {
        memcpy(d.ip, &a->in.sin_addr, 4);
    } else if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr)) {
        memcpy(d.ip, &a->in6.sin6_addr.s6_addr[12], 4);
    } else if (a->sa.sa_family == AF_INET6) {
        d.type = SOCKS_IPV6;
        memcpy(d.ip, &a->in6.sin6_addr, 16);
    }
    *out = d;
}
