/*
 * Variables of the PROXY header that a connection began with (`listen ... proxy_protocol`).
 */
#include "base/attr.h"
#include "base/err.h"
#include "http/vars.h"
#include "net/proxy_protocol.h"

enum side { SIDE_SRC, SIDE_DST };

static const struct addr *address(const struct exchange *x, const struct var *v)
{
    const struct proxy_header *h = x->client->proxied;
    const struct addr *a = !h ? NULL : v->def->data == SIDE_SRC ? &h->src : &h->dst;
    return a && a->len ? a : NULL;
}

/* Of a unix socket the path too: there is no other way to tell two apart. */
static int get_addr(struct exchange *x, const struct var *v, slice *out)
{
    const struct addr *a = address(x, v);
    char text[ADDR_TEXT_MAX];
    if (!a)
        return ERR_NOTFOUND;
    size_t n = a->sa.sa_family == AF_UNIX ? addr_text(text, a) : addr_text_ip(text, a);
    return arena_dup(&x->arena, slice_of(text, n), out) ? OK : ERR_NOMEM;
}

static int get_port(struct exchange *x, const struct var *v, slice *out)
{
    const struct addr *a = address(x, v);
    return a && addr_port(a) ? var_number(x, addr_port(a), out) : ERR_NOTFOUND;
}

/* ---- further values ---- */

static const struct {
    const char *name;
    unsigned type;
} plain[] = {
    { "alpn", PROXY_TLV_ALPN }, { "authority", PROXY_TLV_AUTHORITY }, { "unique_id", PROXY_TLV_UNIQUE_ID },
    { "ssl", PROXY_TLV_SSL },   { "netns", PROXY_TLV_NETNS },
}, of_tls[] = {
    { "version", PROXY_TLV_SSL_VERSION }, { "cn", PROXY_TLV_SSL_CN },           { "cipher", PROXY_TLV_SSL_CIPHER },
    { "sig_alg", PROXY_TLV_SSL_SIG_ALG }, { "key_alg", PROXY_TLV_SSL_KEY_ALG },
};

/* A type as "0x1f". */
static bool numbered(slice name, unsigned *type)
{
    uint64_t n;
    if (!slice_istarts(name, SLICE("0x")) || slice_hex_to_u64(slice_from(name, 2), &n) != OK || n > UINT8_MAX)
        return false;
    *type = (unsigned)n;
    return true;
}

static bool type_of(slice name, bool tls, unsigned *type)
{
    for (size_t i = 0; !tls && i < array_len(plain); i++) {
        if (slice_ieq(name, slice_str(plain[i].name))) {
            *type = plain[i].type;
            return true;
        }
    }
    for (size_t i = 0; tls && i < array_len(of_tls); i++) {
        if (slice_ieq(name, slice_str(of_tls[i].name))) {
            *type = of_tls[i].type;
            return true;
        }
    }
    return numbered(name, type);
}

static int get_tlv(struct exchange *x, const struct var *v, slice *out)
{
    const struct proxy_header *h = x->client->proxied;
    slice name = v->arg, tlvs = h ? h->tlvs : SLICE_NONE;
    unsigned type;
    uint32_t verify;
    bool tls = slice_istarts(name, SLICE("ssl_"));
    if (tls) {
        name = slice_from(name, 4);
        if (!proxy_tlv_ssl(tlvs, &verify, &tlvs))
            return ERR_NOTFOUND;
        if (slice_ieq(name, SLICE("verify")))
            return var_number(x, verify, out);
    }
    return type_of(name, tls, &type) && proxy_tlv_find(tlvs, type, out) ? OK : ERR_NOTFOUND;
}

static const struct var_def vars[] = {
    { "proxy_protocol_addr", false, VAR_REQUEST, true, SIDE_SRC, get_addr,
      "The client's address by the PROXY header." },
    { "proxy_protocol_port", false, VAR_REQUEST, true, SIDE_SRC, get_port, "The client's port by the PROXY header." },
    { "proxy_protocol_server_addr", false, VAR_REQUEST, true, SIDE_DST, get_addr,
      "The address that the client connected to, by the PROXY header." },
    { "proxy_protocol_server_port", false, VAR_REQUEST, true, SIDE_DST, get_port,
      "The port that the client connected to, by the PROXY header." },
    { "proxy_protocol_tlv_", true, VAR_REQUEST, false, 0, get_tlv,
      "A further value of the PROXY header: alpn, authority, unique_id, ssl, netns, ssl_verify, ssl_version, ssl_cn, "
      "ssl_cipher, ssl_sig_alg, ssl_key_alg, or a type as 0x1f or ssl_0x1f." },
};

struct feature proxy_protocol_vars_feature = {
    .name = "proxy_protocol_vars",
    .doc = "Variables of the PROXY header that a connection began with.",
    .vars = vars,
    .nvars = array_len(vars),
};
