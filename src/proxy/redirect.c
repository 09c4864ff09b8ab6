/*
 * nginx's rule (absolute_redirect, port_in_redirect, server_name_in_redirect of its manual): the host is the one that
 * the client named, without its port; the port is that of the listening socket, left out when it is the scheme's own.
 */
#include "proxy/redirect.h"

#include "base/err.h"
#include "http/client.h"
#include "http/vars.h"
#include "proxy/http_block.h"

static slice local_ip(struct exchange *x)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;
    if (!client_local(x->client, &a) || a.sa.sa_family == AF_UNIX)
        return SLICE("localhost");
    size_t n = addr_text_ip(text, &a);
    return a.sa.sa_family == AF_INET6 ? arena_printf(&x->arena, "[%.*s]", (int)n, text)
                                      : arena_printf(&x->arena, "%.*s", (int)n, text);
}

static slice host_of(struct exchange *x, const struct http_level *level)
{
    if (level->server_name_in_redirect && x->server && x->server->name.n)
        return x->server->name;
    return x->req.host.n ? x->req.host : local_ip(x);
}

int redirect_location(struct exchange *x, slice path, slice *out)
{
    const struct http_level *level = exchange_conf(x, &http_feature);
    struct addr local;
    if (!slice_starts(path, SLICE("/")) || !level->absolute_redirect) {
        *out = path;
        return OK;
    }
    slice host = host_of(x, level), url;
    uint16_t port = 0;
    if (level->port_in_redirect && client_local(x->client, &local))
        port = addr_port(&local);
    slice scheme = exchange_scheme(x);
    if (port == 0 || port == (scheme.n == 5 ? 443 : 80))
        url = arena_printf(&x->arena, "%.*s://%.*s%.*s", SLICE_FMT(scheme), SLICE_FMT(host), SLICE_FMT(path));
    else
        url = arena_printf(&x->arena, "%.*s://%.*s:%u%.*s", SLICE_FMT(scheme), SLICE_FMT(host), (unsigned)port,
                           SLICE_FMT(path));
    if (!url.p || !host.p)
        return ERR_NOMEM;
    *out = url;
    return OK;
}
