/*
 * The PAC file (proxy auto-configuration): a function that tells browsers to come here. It names the proxy as the
 * request for the file did, because that is a name under which this client reaches it.
 */
#include "base/err.h"
#include "http/client.h"
#include "proxy/forward_block.h"

int forward_pac(struct exchange *x)
{
    if (!slice_eq(x->pass.uri, SLICE("/proxy.pac")) && !slice_eq(x->pass.uri, SLICE("/wpad.dat")))
        return ERR_NOTFOUND;
    struct addr local;
    if (!x->req.host.n || !client_local(x->client, &local)) /* HTTP/1.0 without Host: nothing to call ourselves */
        return ERR_NOTFOUND;
    unsigned port = x->req.port ? x->req.port : addr_port(&local);
    slice text = arena_printf(&x->arena,
                              "function FindProxyForURL(url, host) {\n"
                              "    if (isPlainHostName(host))\n"
                              "        return \"DIRECT\";\n"
                              "    return \"PROXY %.*s:%u\";\n"
                              "}\n",
                              SLICE_FMT(x->req.host), port);
    return text.p ? reply_set(x, 200, SLICE("application/x-ns-proxy-autoconfig"), text, false) : ERR_NOMEM;
}
