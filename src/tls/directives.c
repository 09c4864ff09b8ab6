/*
 * The ssl_* directives (ngx_http_ssl_module of nginx's manual).
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/units.h"
#include "tls/client.h"
#include "tls/conf.h"

#define HS (CONF_HTTP | CONF_SERVER)

/* ---- files ---- */

int tls_file_add(struct conf_ctx *cf, const struct conf_node *node, struct tls_file **list, const char *what)
{
    slice name = node->args[0].text;
    struct tls_file *f = arena_new(cf->arena, struct tls_file);
    if (!f || !arena_dup(cf->arena, name, &f->path))
        return ERR_NOMEM;
    f->node = node;
    if (slice_find(name, '$') >= 0)
        return conf_error(cf, node, 0, "variables are not supported in \"%.*s\"", SLICE_FMT(node->name));
    if (slice_starts(name, SLICE("data:"))) {
        f->text = slice_from(f->path, 5);
        f->path = SLICE("data:...");
    } else if (slice_starts(name, SLICE("engine:")) || slice_starts(name, SLICE("store:"))) {
        return conf_error(cf, node, 0, "\"%.*s\" is not supported: a file or data:", SLICE_FMT(name));
    } else {
        slice path = bundle_conf_path(cf->bundle, name);
        int rc = path.p ? bundle_file(cf->bundle, path, &f->text) : ERR_NOMEM;
        if (rc == ERR_NOMEM)
            return rc;
        if (rc != OK)
            return conf_error(cf, node, 0, "cannot load %s \"%.*s\": %s", what, SLICE_FMT(path),
                              rc == ERR_SYS ? strerror(errno) : err_name(rc));
    }
    while (*list)
        list = &(*list)->next;
    *list = f;
    return OK;
}

#define FILE_SETTER(function, member, what)                                            \
    static int function(struct conf_ctx *cf, const struct conf_node *node, void *conf) \
    {                                                                                  \
        return tls_file_add(cf, node, &((struct tls_conf *)conf)->member, what);       \
    }
FILE_SETTER(set_certificate, certs, "certificate")
FILE_SETTER(set_key, keys, "certificate key")
FILE_SETTER(set_passwords, passwords, "password file")
FILE_SETTER(set_client_ca, client_ca, "certificates of")
FILE_SETTER(set_trusted, trusted, "certificates of")
FILE_SETTER(set_crl, crl, "CRL")
FILE_SETTER(set_dhparam, dhparam, "DH parameters")
FILE_SETTER(set_staple, staple_file, "OCSP response")
FILE_SETTER(set_ticket_key, ticket_keys, "ticket key")

int tls_word_add(struct conf_ctx *cf, const struct conf_node *node, struct tls_word **at)
{
    struct tls_word *w = arena_new(cf->arena, struct tls_word);
    if (!w || !arena_dup(cf->arena, node->args[0].text, &w->a) || !arena_dup(cf->arena, node->args[1].text, &w->b))
        return ERR_NOMEM;
    w->node = node;
    while (*at)
        at = &(*at)->next;
    *at = w;
    return OK;
}

static int set_command(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    return tls_word_add(cf, node, &((struct tls_conf *)conf)->commands);
}

/* ---- sessions ---- */

/* off | none | builtin[:SIZE] | shared:NAME:SIZE; builtin and shared may stand together, the larger reach wins. */
static int set_cache(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct tls_conf *c = conf;
    c->cache = (struct tls_cache){ 0 };
    for (uint32_t i = 0; i < node->nargs; i++) {
        slice word = node->args[i].text, kind = word, rest = SLICE_NONE, name, size;
        uint64_t n = 0;
        slice_cut(word, ':', &kind, &rest);
        if (slice_eq(word, SLICE("off"))) {
            c->cache.mode = TLS_CACHE_OFF;
        } else if (slice_eq(word, SLICE("none"))) {
            c->cache.mode = TLS_CACHE_NONE;
        } else if (slice_eq(kind, SLICE("builtin")) && (!rest.n || (slice_to_u64(rest, &n) == OK && n))) {
            c->cache.mode = TLS_CACHE_BUILTIN;
            c->cache.size = n;
        } else if (slice_eq(kind, SLICE("shared")) && slice_cut(rest, ':', &name, &size) && name.n &&
                   conf_size(size, &n) == OK) {
            if (n < 8 * 4096)
                return conf_error(cf, node, (int)i, "session cache \"%.*s\" is too small", SLICE_FMT(word));
            c->cache.mode = TLS_CACHE_BUILTIN;
            c->cache.size = n / 256; /* a megabyte holds about 4000 sessions (manual) */
            c->cache.name = name;
        } else {
            return conf_error(cf, node, (int)i, "invalid session cache \"%.*s\"", SLICE_FMT(word));
        }
    }
    return OK;
}

static int check_early_data(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    if (!((struct tls_conf *)conf)->early_data)
        return OK;
    return conf_error(cf, node, 0, "early data is not supported: a request in it could be replayed by anybody");
}

static int check_buffer(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct tls_conf *c = conf;
    if (c->buffer_size < 512)
        return conf_error(cf, node, 0, "\"ssl_buffer_size\" must be at least 512");
    if (c->buffer_size > 16384)
        c->buffer_size = 16384; /* the largest record */
    return OK;
}

const struct conf_value tls_protocol_values[] = {
    { "SSLv2", TLS_OLD },    { "SSLv3", TLS_OLD },    { "TLSv1", TLS_V1_0 }, { "TLSv1.1", TLS_V1_1 },
    { "TLSv1.2", TLS_V1_2 }, { "TLSv1.3", TLS_V1_3 }, { NULL, 0 },
};

static const struct conf_value verify_values[] = {
    { "off", TLS_VERIFY_OFF },
    { "on", TLS_VERIFY_ON },
    { "optional", TLS_VERIFY_OPTIONAL },
    { "optional_no_ca", TLS_VERIFY_NO_CA },
    { NULL, 0 },
};

static int check_protocols(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    const struct tls_conf *c = conf;
    if (!(c->protocols & ~(uint32_t)TLS_OLD))
        return conf_error(cf, node, 0, "SSLv2 and SSLv3 cannot be spoken: name a TLS version");
    return OK;
}

#define SLOT(name_, type_, member, min_, max_, values_, def_, check, usage_, doc_)                                   \
    {                                                                                                                \
        .name = name_, .contexts = HS, .min_args = 1, .max_args = (type_) == CONF_BITS ? CONF_ANY_ARGS : 1,          \
        .type = type_, .scope = SCOPE_SERVER, .offset = offsetof(struct tls_conf, member), .min = min_, .max = max_, \
        .values = values_, .def = def_, .set = check, .usage = usage_, .doc = doc_                                   \
    }
#define FILES(name_, member, many, setter, usage_, doc_)                                                               \
    {                                                                                                                  \
        .name = name_, .contexts = HS, .min_args = 1, .max_args = 1, .type = CONF_CUSTOM, .scope = SCOPE_SERVER,       \
        .repeat = many, .offset = offsetof(struct tls_conf, member), .size = sizeof(struct tls_file *), .set = setter, \
        .usage = usage_, .doc = doc_                                                                                   \
    }

static const struct directive directives[] = {
    FILES("ssl_certificate", certs, true, set_certificate, "ssl_certificate FILE | data:PEM;",
          "A certificate in PEM, followed by the intermediate ones. Several lines name certificates of several kinds "
          "(RSA and ECDSA): each client gets one that it can check. Needed by every server that listens with ssl."),
    FILES("ssl_certificate_key", keys, true, set_key, "ssl_certificate_key FILE | data:PEM;",
          "The private key of the ssl_certificate that stands at the same place among its lines."),
    FILES("ssl_password_file", passwords, false, set_passwords, "ssl_password_file FILE;",
          "Passwords of private keys, one a line; each is tried."),
    FILES("ssl_client_certificate", client_ca, false, set_client_ca, "ssl_client_certificate FILE;",
          "Certificates of authorities that clients' certificates are checked against; their names are sent to "
          "clients."),
    FILES("ssl_trusted_certificate", trusted, false, set_trusted, "ssl_trusted_certificate FILE;",
          "As ssl_client_certificate, but their names are not sent."),
    FILES("ssl_crl", crl, false, set_crl, "ssl_crl FILE;", "Lists of revoked clients' certificates, in PEM."),
    FILES("ssl_dhparam", dhparam, false, set_dhparam, "ssl_dhparam FILE;",
          "Parameters for DHE ciphers. Without, no DHE cipher is used."),
    FILES("ssl_session_ticket_key", ticket_keys, true, set_ticket_key, "ssl_session_ticket_key FILE;",
          "A file of 48 or 80 random bytes that session tickets are sealed with, the same on all servers of a cluster. "
          "Of several the first seals, all open. Without, keys are generated, shared by workers and reloads, and "
          "replaced after each ssl_session_timeout."),
    FILES("ssl_stapling_file", staple_file, false, set_staple, "ssl_stapling_file FILE;",
          "An OCSP response (DER) that is sent to clients that ask for one, with ssl_stapling on."),
    {
        .name = "ssl_conf_command",
        .contexts = HS,
        .min_args = 2,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_SERVER,
        .repeat = true,
        .offset = offsetof(struct tls_conf, commands),
        .size = sizeof(struct tls_word *),
        .set = set_command,
        .usage = "ssl_conf_command NAME VALUE;",
        .doc = "A configuration command of OpenSSL (SSL_CONF_cmd), after everything else.",
    },
    SLOT("ssl_protocols", CONF_BITS, protocols, 0, 0, tls_protocol_values, "TLSv1.2 TLSv1.3", check_protocols,
         "ssl_protocols [SSLv2] [SSLv3] [TLSv1] [TLSv1.1] [TLSv1.2] [TLSv1.3];",
         "Versions that are spoken. SSLv2 and SSLv3 are known as names only."),
    SLOT("ssl_ciphers", CONF_STRING, ciphers, 0, 0, NULL, "ECDHE+AESGCM:ECDHE+CHACHA20", NULL, "ssl_ciphers LIST;",
         "Ciphers for TLS 1.2 and older, as OpenSSL writes them. The default has forward secrecy and authenticated "
         "encryption only (nginx: HIGH:!aNULL:!MD5)."),
    SLOT("ssl_ecdh_curve", CONF_STRING, curves, 0, 0, NULL, "auto", NULL, "ssl_ecdh_curve CURVE[:CURVE ...];",
         "Groups for the key exchange. auto: OpenSSL's own list."),
    SLOT("ssl_prefer_server_ciphers", CONF_FLAG, prefer_server, 0, 0, NULL, "off", NULL,
         "ssl_prefer_server_ciphers on | off;",
         "Whether the server's order of ciphers counts instead of the client's."),
    {
        .name = "ssl_session_cache",
        .contexts = HS,
        .min_args = 1,
        .max_args = 2,
        .type = CONF_CUSTOM,
        .scope = SCOPE_SERVER,
        .offset = offsetof(struct tls_conf, cache),
        .size = sizeof(struct tls_cache),
        .set = set_cache,
        .def = "none",
        .usage = "ssl_session_cache off | none | [builtin[:SIZE]] [shared:NAME:SIZE];",
        .doc = "Where sessions are kept for clients that take no tickets. builtin and shared: in each worker, which "
               "is where resumption by number works; tickets (ssl_session_tickets) work everywhere.",
    },
    SLOT("ssl_session_tickets", CONF_FLAG, tickets, 0, 0, NULL, "on", NULL, "ssl_session_tickets on | off;",
         "Whether sessions are resumed by tickets that clients keep."),
    SLOT("ssl_session_timeout", CONF_MSEC, session_timeout, 1000, 0, NULL, "5m", NULL, "ssl_session_timeout TIME;",
         "How long a session may be resumed."),
    SLOT("ssl_buffer_size", CONF_SIZE, buffer_size, 0, 0, NULL, "16k", check_buffer, "ssl_buffer_size SIZE;",
         "The largest record. After a silence a few small ones go first, whatever this says."),
    SLOT("ssl_reject_handshake", CONF_FLAG, reject, 0, 0, NULL, "off", NULL, "ssl_reject_handshake on | off;",
         "Whether handshakes for this server are rejected: for a default server that no name may reach."),
    SLOT("ssl_verify_client", CONF_ENUM, verify, 0, 0, verify_values, "off", NULL,
         "ssl_verify_client on | off | optional | optional_no_ca;",
         "Whether clients are asked for certificates. on: a request without a valid one is answered 400; optional: "
         "only a wrong one is; optional_no_ca: whoever signed it, $ssl_client_verify tells."),
    SLOT("ssl_verify_depth", CONF_NUM, verify_depth, 0, 100, NULL, "1", NULL, "ssl_verify_depth NUMBER;",
         "How many authorities may stand between a client's certificate and one that is trusted."),
    SLOT("ssl_stapling", CONF_FLAG, stapling, 0, 0, NULL, "off", NULL, "ssl_stapling on | off;",
         "Whether the OCSP response of ssl_stapling_file is sent. Responses are not fetched."),
    SLOT("ssl_early_data", CONF_FLAG, early_data, 0, 0, NULL, "off", check_early_data, "ssl_early_data off;",
         "Requests in the first flight of a resumed handshake: not supported, because they can be replayed."),
};

struct feature ssl_feature = {
    .name = "ssl",
    .doc = "TLS for clients.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct tls_main), [SCOPE_SERVER] = sizeof(struct tls_conf) },
    .forward = true,
    .finish = tls_conf_finish,
};
