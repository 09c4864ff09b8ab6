/*
 * The PAC file (proxy auto-configuration): a function that tells browsers to come here. One of our own names the proxy
 * as the request for the file did, because that is a name under which this client reaches it. Whoever has exceptions to
 * make writes a file; it is read with the configuration and served as it is.
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "conf/bundle.h"
#include "http/client.h"
#include "proxy/forward_block.h"

enum { PAC_MAX = 1 << 20 }; /* what browsers take */

struct pac {
    bool file; /* else the text is made for each request */
    slice text;
};

static int own_text(struct exchange *x, slice *out)
{
    struct addr local;
    if (!x->req.host.n || !client_local(x->client, &local)) /* HTTP/1.0 without Host: nothing to call ourselves */
        return ERR_NOTFOUND;
    unsigned port = x->req.port ? x->req.port : addr_port(&local);
    *out = arena_printf(&x->arena,
                        "function FindProxyForURL(url, host) {\n"
                        "    if (isPlainHostName(host))\n"
                        "        return \"DIRECT\";\n"
                        "    return \"%s %.*s:%u\";\n"
                        "}\n",
                        x->client->tls ? "HTTPS" : "PROXY", SLICE_FMT(x->req.host), port);
    return out->p ? OK : ERR_NOMEM;
}

int forward_pac(struct exchange *x, const struct pac *p)
{
    slice text = p->text;
    if (!slice_eq(x->pass.uri, SLICE("/proxy.pac")) && !slice_eq(x->pass.uri, SLICE("/wpad.dat")))
        return ERR_NOTFOUND;
    int rc = p->file ? OK : own_text(x, &text);
    return rc == OK ? reply_set(x, 200, SLICE("application/x-ns-proxy-autoconfig"), text, false) : rc;
}

/* ---- load ---- */

static int read_file(struct conf_ctx *cf, const struct conf_node *node, slice *out)
{
    char why[128];
    slice text = SLICE_NONE, path = bundle_conf_path(cf->bundle, node->args[0].text);
    int rc = path.p ? bundle_file(cf->bundle, path, &text) : ERR_NOMEM;
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK)
        return conf_error(cf, node, 0, "cannot read \"%.*s\": %s", SLICE_FMT(path),
                          rc == ERR_SYS ? strerror_r(errno, why, sizeof(why)) : err_name(rc));
    if (text.n > PAC_MAX)
        return conf_error(cf, node, 0, "a PAC file of more than 1 MB");
    if (!text.n || !memmem(text.p, text.n, "FindProxyForURL", sizeof("FindProxyForURL") - 1))
        conf_warn(cf, node, 0, "no FindProxyForURL is in this file: browsers will not use it");
    return arena_dup(cf->arena, text, out) ? OK : ERR_NOMEM;
}

int forward_pac_line(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    const struct conf_arg *a = &node->args[0];
    struct pac *p = arena_new(cf->arena, struct pac);
    if (!p)
        return ERR_NOMEM;
    if (!a->quoted && slice_eq(a->text, SLICE("off")))
        return OK;
    p->file = a->quoted || !slice_eq(a->text, SLICE("on"));
    int rc = p->file ? read_file(cf, node, &p->text) : OK;
    if (rc == OK)
        ((struct forward_conf *)conf)->pac = p;
    return rc;
}
