/*
 * Variables of the client's TLS connection (ngx_http_ssl_module). All are unknown on a plain one.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/attr.h"
#include "base/escape.h"
#include "base/strb.h"
#include "http/vars.h"
#include "tls/server.h"

static SSL *ssl_of(const struct exchange *x)
{
    return x->client->tls ? tls_server_ssl(x->client->tls) : NULL;
}

static int keep(struct exchange *x, const char *text, size_t n, slice *out)
{
    slice kept;
    if (!arena_dup(&x->arena, slice_of(text, n), &kept))
        return ERR_NOMEM;
    return var_some(kept, out);
}

static int keep_text(struct exchange *x, const char *text, slice *out)
{
    return text ? keep(x, text, strlen(text), out) : ERR_NOTFOUND;
}

static int keep_hex(struct exchange *x, const unsigned char *p, size_t n, slice *out)
{
    char *text = arena_bytes(&x->arena, 2 * n);
    if (!text)
        return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        text[2 * i] = "0123456789abcdef"[p[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
    }
    return var_some(slice_of(text, 2 * n), out);
}

static int keep_bio(struct exchange *x, BIO *b, slice *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(b, &p);
    return n > 0 ? keep(x, p, (size_t)n, out) : ERR_NOTFOUND;
}

/* ---- the connection ---- */

static int get_protocol(struct exchange *x, const struct var *v, slice *out)
{
    const SSL *s = ssl_of(x);
    return s ? keep_text(x, SSL_get_version(s), out) : ERR_NOTFOUND;
}

static int get_cipher(struct exchange *x, const struct var *v, slice *out)
{
    const SSL *s = ssl_of(x);
    return s ? keep_text(x, SSL_get_cipher_name(s), out) : ERR_NOTFOUND;
}

static int get_ciphers(struct exchange *x, const struct var *v, slice *out)
{
    const SSL *s = ssl_of(x);
    STACK_OF(SSL_CIPHER) *all = s ? SSL_get_client_ciphers(s) : NULL;
    struct strb b;
    if (!all)
        return ERR_NOTFOUND;
    strb_init(&b, 8192);
    for (int i = 0; i < sk_SSL_CIPHER_num(all); i++)
        strb_printf(&b, "%s%s", i ? ":" : "", SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)));
    int rc = b.failed ? ERR_NOTFOUND : keep(x, b.p, b.n, out);
    strb_done(&b);
    return rc;
}

static int get_curve(struct exchange *x, const struct var *v, slice *out)
{
    SSL *s = ssl_of(x);
    int nid = s ? (int)SSL_get_negotiated_group(s) : 0;
    return nid ? keep_text(x, OBJ_nid2sn(nid), out) : ERR_NOTFOUND;
}

static int get_curves(struct exchange *x, const struct var *v, slice *out)
{
    SSL *s = ssl_of(x);
    int nids[64], n = s ? (int)SSL_get1_groups(s, NULL) : 0;
    struct strb b;
    if (n <= 0 || n > 64)
        return ERR_NOTFOUND;
    n = (int)SSL_get1_groups(s, nids);
    strb_init(&b, 4096);
    for (int i = 0; i < n; i++) {
        const char *name = nids[i] & TLSEXT_nid_unknown ? NULL : OBJ_nid2sn(nids[i]);
        if (name)
            strb_printf(&b, "%s%s", i ? ":" : "", name);
        else
            strb_printf(&b, "%s0x%04x", i ? ":" : "", (unsigned)nids[i] & 0xffff);
    }
    int rc = b.failed ? ERR_NOTFOUND : keep(x, b.p, b.n, out);
    strb_done(&b);
    return rc;
}

static int get_session_id(struct exchange *x, const struct var *v, slice *out)
{
    const SSL *s = ssl_of(x);
    unsigned int n = 0;
    const unsigned char *p = s && SSL_get_session(s) ? SSL_SESSION_get_id(SSL_get_session(s), &n) : NULL;
    return n ? keep_hex(x, p, n, out) : ERR_NOTFOUND;
}

static int get_reused(struct exchange *x, const struct var *v, slice *out)
{
    SSL *s = ssl_of(x);
    if (!s)
        return ERR_NOTFOUND;
    *out = SSL_session_reused(s) ? SLICE("r") : SLICE(".");
    return OK;
}

static int get_server_name(struct exchange *x, const struct var *v, slice *out)
{
    return x->client->tls ? var_some(tls_server_name(x->client->tls), out) : ERR_NOTFOUND;
}

static int get_alpn(struct exchange *x, const struct var *v, slice *out)
{
    return x->client->tls ? var_some(x->client->tls->ops->protocol(x->client->tls), out) : ERR_NOTFOUND;
}

static int get_early(struct exchange *x, const struct var *v, slice *out)
{
    return ERR_NOTFOUND; /* none is taken */
}

/* ---- the client's certificate ---- */

static X509 *cert_of(const struct exchange *x)
{
    const SSL *s = ssl_of(x);
    return s ? SSL_get0_peer_certificate(s) : NULL;
}

static int get_verify(struct exchange *x, const struct var *v, slice *out)
{
    const SSL *s = ssl_of(x);
    if (!s)
        return ERR_NOTFOUND;
    if (!cert_of(x)) {
        *out = SLICE("NONE");
        return OK;
    }
    long r = SSL_get_verify_result(s);
    *out = r == X509_V_OK ? SLICE("SUCCESS") : arena_printf(&x->arena, "FAILED:%s", X509_verify_cert_error_string(r));
    return out->p ? OK : ERR_NOMEM;
}

enum cert_form { FORM_RAW, FORM_TABS, FORM_ESCAPED };

/* nginx indents the lines of $ssl_client_cert with a tab, so that they are one header field. */
static int get_cert(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    BIO *b = c ? BIO_new(BIO_s_mem()) : NULL;
    char *p = NULL;
    struct strb t;
    if (!c)
        return ERR_NOTFOUND;
    if (!b || !PEM_write_bio_X509(b, c)) {
        BIO_free(b);
        return ERR_NOMEM;
    }
    long n = BIO_get_mem_data(b, &p);
    strb_init(&t, 0);
    for (long i = 0; i < n; i++) {
        bool plain = (p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') ||
                     p[i] == '-' || p[i] == '.' || p[i] == '_' || p[i] == '~';
        if (v->def->data == FORM_ESCAPED && !plain)
            strb_printf(&t, "%%%02X", (unsigned)(unsigned char)p[i]);
        else if (v->def->data == FORM_TABS && i == n - 1)
            break;
        else
            strb_char(&t, p[i]);
        if (v->def->data == FORM_TABS && p[i] == '\n')
            strb_char(&t, '\t');
    }
    BIO_free(b);
    int rc = t.failed ? ERR_NOMEM : keep(x, t.p, t.n, out);
    strb_done(&t);
    return rc;
}

enum { NAME_ISSUER = 1, NAME_LEGACY = 2 };

static int get_dn(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    if (!c)
        return ERR_NOTFOUND;
    X509_NAME *name = v->def->data & NAME_ISSUER ? X509_get_issuer_name(c) : X509_get_subject_name(c);
    if (v->def->data & NAME_LEGACY) {
        char *line = X509_NAME_oneline(name, NULL, 0);
        int rc = keep_text(x, line, out);
        OPENSSL_free(line);
        return rc;
    }
    BIO *b = BIO_new(BIO_s_mem());
    int rc = b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0 ? keep_bio(x, b, out) : ERR_NOMEM;
    BIO_free(b);
    return rc;
}

static int get_serial(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    BIO *b = c ? BIO_new(BIO_s_mem()) : NULL;
    if (!c)
        return ERR_NOTFOUND;
    int rc = b && i2a_ASN1_INTEGER(b, X509_get_serialNumber(c)) >= 0 ? keep_bio(x, b, out) : ERR_NOMEM;
    BIO_free(b);
    return rc;
}

static int get_fingerprint(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned int n = 0;
    return c && X509_digest(c, EVP_sha1(), sum, &n) ? keep_hex(x, sum, n, out) : ERR_NOTFOUND;
}

static int get_sigalg(struct exchange *x, const struct var *v, slice *out)
{
    SSL *s = ssl_of(x);
    int nid = 0;
    return s && cert_of(x) && SSL_get_peer_signature_type_nid(s, &nid) ? keep_text(x, OBJ_nid2sn(nid), out)
                                                                       : ERR_NOTFOUND;
}

static int get_date(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    BIO *b = c ? BIO_new(BIO_s_mem()) : NULL;
    if (!c)
        return ERR_NOTFOUND;
    const ASN1_TIME *t = v->def->data ? X509_get0_notAfter(c) : X509_get0_notBefore(c);
    int rc = b && ASN1_TIME_print(b, t) ? keep_bio(x, b, out) : ERR_NOMEM;
    BIO_free(b);
    return rc;
}

/* Days until the certificate ends; 0 when it has. */
static int get_remain(struct exchange *x, const struct var *v, slice *out)
{
    X509 *c = cert_of(x);
    int days = 0, seconds = 0;
    if (!c || !ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(c)))
        return ERR_NOTFOUND;
    return var_number(x, days > 0 ? (uint64_t)days : 0, out);
}

static const struct var_def vars[] = {
    { "ssl_protocol", false, VAR_REQUEST, true, 0, get_protocol, "The protocol of the TLS connection: TLSv1.3." },
    { "ssl_cipher", false, VAR_REQUEST, true, 0, get_cipher, "The cipher of the TLS connection." },
    { "ssl_ciphers", false, VAR_REQUEST, true, 0, get_ciphers, "The ciphers that the client offered." },
    { "ssl_curve", false, VAR_REQUEST, true, 0, get_curve, "The group of the key exchange." },
    { "ssl_curves", false, VAR_REQUEST, true, 0, get_curves, "The groups that the client offered." },
    { "ssl_session_id", false, VAR_REQUEST, true, 0, get_session_id, "The session's number, hexadecimal." },
    { "ssl_session_reused", false, VAR_REQUEST, true, 0, get_reused, "r when the session was resumed, else a dot." },
    { "ssl_server_name", false, VAR_REQUEST, true, 0, get_server_name, "The name that the client asked for (SNI).",
      true },
    { "ssl_alpn_protocol", false, VAR_REQUEST, true, 0, get_alpn, "The protocol that ALPN chose." },
    { "ssl_early_data", false, VAR_REQUEST, true, 0, get_early, "Empty: early data is not taken." },
    { "ssl_client_verify", false, VAR_REQUEST, true, 0, get_verify,
      "SUCCESS, FAILED:REASON, or NONE without a certificate." },
    { "ssl_client_cert", false, VAR_REQUEST, true, FORM_TABS, get_cert,
      "The client's certificate in PEM, its lines indented by a tab." },
    { "ssl_client_raw_cert", false, VAR_REQUEST, true, FORM_RAW, get_cert, "The client's certificate in PEM." },
    { "ssl_client_escaped_cert", false, VAR_REQUEST, true, FORM_ESCAPED, get_cert,
      "The client's certificate in PEM, as part of a URL." },
    { "ssl_client_s_dn", false, VAR_REQUEST, true, 0, get_dn, "The subject of the client's certificate (RFC 2253).",
      true },
    { "ssl_client_i_dn", false, VAR_REQUEST, true, NAME_ISSUER, get_dn, "Its issuer (RFC 2253).", true },
    { "ssl_client_s_dn_legacy", false, VAR_REQUEST, true, NAME_LEGACY, get_dn, "The subject, in the old form.", true },
    { "ssl_client_i_dn_legacy", false, VAR_REQUEST, true, NAME_LEGACY | NAME_ISSUER, get_dn,
      "The issuer, in the old form.", true },
    { "ssl_client_serial", false, VAR_REQUEST, true, 0, get_serial, "The serial number of the client's certificate." },
    { "ssl_client_fingerprint", false, VAR_REQUEST, true, 0, get_fingerprint, "Its SHA-1 fingerprint." },
    { "ssl_client_sigalg", false, VAR_REQUEST, true, 0, get_sigalg, "The kind of signature that the client made." },
    { "ssl_client_v_start", false, VAR_REQUEST, true, 0, get_date, "From when the client's certificate holds." },
    { "ssl_client_v_end", false, VAR_REQUEST, true, 1, get_date, "Until when it holds." },
    { "ssl_client_v_remain", false, VAR_REQUEST, true, 0, get_remain, "For how many days it still holds." },
};

struct feature ssl_vars_feature = {
    .name = "ssl_vars",
    .doc = "Variables of the client's TLS connection.",
    .vars = vars,
    .nvars = array_len(vars),
};
