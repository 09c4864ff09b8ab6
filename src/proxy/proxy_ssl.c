#include "proxy/proxy_ssl.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "proxy/proxy.h"
#include "tls/check.h"

#define EVERYWHERE (CONF_HTTP | CONF_SERVER | CONF_LOCATION)

int proxy_ssl_name(struct exchange *x, slice *name)
{
    const struct proxy_ssl_conf *c = exchange_conf(x, &proxy_ssl_feature);
    slice s = x->proxy->host;
    int rc = c->name.source.n ? exchange_eval(x, &c->name, &s) : OK;
    if (rc != OK)
        return rc;
    ptrdiff_t colon = slice_rfind(s, ':'), bracket = slice_rfind(s, ']');
    if (colon > bracket && slice_find(s, ':') == colon)
        s = slice_upto(s, (size_t)colon);
    else if (colon > bracket && bracket > 0)
        s = slice_upto(s, (size_t)colon);
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = slice_of(s.p + 1, s.n - 2);
    *name = s;
    return OK;
}

uint64_t proxy_ssl_key(const struct exchange *x, slice name)
{
    const struct proxy_ssl_conf *c = exchange_conf(x, &proxy_ssl_feature);
    uint64_t key = hash_bytes(slice_of(c->origin.key, TLS_KEY), false) ^ hash_bytes(name, true) * 0x9e3779b97f4a7c15u;
    return key ? key : 1;
}

struct transport *proxy_ssl_begin(struct exchange *x, int fd, slice name, slice peer, slice protocols)
{
    const struct proxy_ssl_conf *c = exchange_conf(x, &proxy_ssl_feature);
    const char *why;
    struct transport *tr = tls_client_new(x->w->tls, fd, &c->origin, name, peer, &why);
    if (tr && protocols.n && tls_client_offer(tr, protocols) != OK) {
        transport_free(tr);
        tr = NULL;
        why = "no memory";
    }
    if (!tr)
        exchange_log(x, LEVEL_ERROR, "no TLS to upstream: %s", why);
    return tr;
}

#define FILE_SETTER(function, member, what)                                                   \
    static int function(struct conf_ctx *cf, const struct conf_node *node, void *conf)        \
    {                                                                                         \
        return tls_file_add(cf, node, &((struct proxy_ssl_conf *)conf)->origin.member, what); \
    }
FILE_SETTER(set_certificate, certs, "certificate")
FILE_SETTER(set_key, keys, "certificate key")
FILE_SETTER(set_passwords, passwords, "password file")
FILE_SETTER(set_trusted, trusted, "certificates of")
FILE_SETTER(set_crl, crl, "CRL")

static int set_command(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return tls_word_add(cf, node, &((struct proxy_ssl_conf *)conf)->origin.commands);
}

static int finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                  const void *parent)
{
    struct proxy_ssl_conf *c = conf;
    if (kind != SCOPE_LOCATION)
        return OK;
    if (c->origin.certs && !c->origin.keys)
        return conf_error(cf, c->origin.certs->node, 0,
                          "no \"proxy_ssl_certificate_key\" is defined for certificate \"%.*s\"",
                          SLICE_FMT(c->origin.certs->path));
    if (c->origin.verify && !c->origin.trusted)
        return conf_error(cf, node, -1, "no proxy_ssl_trusted_certificate for proxy_ssl_verify");
    int rc = tls_origin_finish(cf, &c->origin);
    return rc == OK ? tls_check_origin(cf, node, &c->origin) : rc;
}

#define AT(member) .offset = offsetof(struct proxy_ssl_conf, member)
#define SLOT(name_, type_, member, min_, max_, values_, def_, usage_, doc_)                                           \
    {                                                                                                                 \
        .name = name_, .contexts = EVERYWHERE, .min_args = 1, .max_args = (type_) == CONF_BITS ? CONF_ANY_ARGS : 1,   \
        .type = type_, .scope = SCOPE_LOCATION, AT(member), .min = min_, .max = max_, .values = values_, .def = def_, \
        .usage = usage_, .doc = doc_                                                                                  \
    }
#define FILES(name_, member, setter, usage_, doc_)                                                              \
    {                                                                                                           \
        .name = name_, .contexts = EVERYWHERE, .min_args = 1, .max_args = 1, .type = CONF_CUSTOM,               \
        .scope = SCOPE_LOCATION, AT(member), .size = sizeof(struct tls_file *), .set = setter, .usage = usage_, \
        .doc = doc_                                                                                             \
    }

static const struct directive directives[] = {
    FILES("proxy_ssl_certificate", origin.certs, set_certificate, "proxy_ssl_certificate FILE | data:PEM;",
          "The certificate that backends are shown when they ask for one."),
    FILES("proxy_ssl_certificate_key", origin.keys, set_key, "proxy_ssl_certificate_key FILE | data:PEM;", "Its key."),
    FILES("proxy_ssl_password_file", origin.passwords, set_passwords, "proxy_ssl_password_file FILE;",
          "Passwords of the key, one a line; each is tried."),
    FILES("proxy_ssl_trusted_certificate", origin.trusted, set_trusted, "proxy_ssl_trusted_certificate FILE;",
          "Authorities that backends' certificates are checked against."),
    FILES("proxy_ssl_crl", origin.crl, set_crl, "proxy_ssl_crl FILE;", "Lists of revoked certificates of backends."),
    {
        .name = "proxy_ssl_conf_command",
        .contexts = EVERYWHERE,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .repeat = true,
        AT(origin.commands),
        .size = sizeof(struct tls_word *),
        .set = set_command,
        .usage = "proxy_ssl_conf_command NAME VALUE;",
        .doc = "A configuration command of OpenSSL (SSL_CONF_cmd) for connections to backends.",
    },
    SLOT("proxy_ssl_protocols", CONF_BITS, origin.protocols, 0, 0, tls_protocol_values, "TLSv1.2 TLSv1.3",
         "proxy_ssl_protocols [SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3];",
         "Versions that are spoken with backends."),
    SLOT("proxy_ssl_ciphers", CONF_STRING, origin.ciphers, 0, 0, NULL, "DEFAULT", "proxy_ssl_ciphers LIST;",
         "Ciphers for TLS 1.2 and older, as OpenSSL writes them."),
    SLOT("proxy_ssl_name", CONF_TEMPLATE, name, 0, 0, NULL, NULL, "proxy_ssl_name NAME;",
         "The name that the backend's certificate must hold, and that is asked for with proxy_ssl_server_name; it may "
         "hold variables. Without: the host of proxy_pass."),
    SLOT("proxy_ssl_server_name", CONF_FLAG, origin.server_name, 0, 0, NULL, "off", "proxy_ssl_server_name on | off;",
         "Whether the name is sent to backends (SNI)."),
    SLOT("proxy_ssl_session_reuse", CONF_FLAG, origin.session_reuse, 0, 0, NULL, "on",
         "proxy_ssl_session_reuse on | off;",
         "Whether sessions with backends are resumed, with the same address, name and policy only."),
    SLOT("proxy_ssl_verify", CONF_FLAG, origin.verify, 0, 0, NULL, "off", "proxy_ssl_verify on | off;",
         "Whether the backend's certificate is checked."),
    SLOT("proxy_ssl_verify_depth", CONF_NUM, origin.verify_depth, 0, 100, NULL, "1", "proxy_ssl_verify_depth NUMBER;",
         "How many authorities may stand between it and one that is trusted."),
};

struct feature proxy_ssl_feature = {
    .name = "proxy_ssl",
    .doc = "TLS to backend servers.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct proxy_ssl_conf) },
    .finish = finish,
};
