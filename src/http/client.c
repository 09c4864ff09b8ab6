#include "http/client.h"

#include <string.h>

static void copy(const struct addr_ip *ip, struct addr *out)
{
    memset(out, 0, sizeof(*out));
    switch (ip->sa.sa_family) {
    case AF_INET:
        out->in = ip->in;
        out->len = sizeof(out->in);
        break;
    case AF_INET6:
        out->in6 = ip->in6;
        out->len = sizeof(out->in6);
        break;
    default:
        out->sa.sa_family = AF_UNIX;
        out->len = sizeof(out->sa.sa_family);
        break;
    }
}

void client_peer(const struct client *c, struct addr *out)
{
    copy(&c->peer, out);
}

bool client_local(struct client *c, struct addr *out)
{
    if (c->local.sa.sa_family == AF_UNSPEC) {
        struct addr a = { .sa.sa_family = AF_UNSPEC };
        socklen_t n = sizeof(a.un);
        if (c->fd < 0 || getsockname(c->fd, &a.sa, &n) != 0)
            return false;
        c->local.sa.sa_family = AF_UNIX;
        if (a.sa.sa_family == AF_INET)
            c->local.in = a.in;
        else if (a.sa.sa_family == AF_INET6)
            c->local.in6 = a.in6;
    }
    copy(&c->local, out);
    return true;
}
