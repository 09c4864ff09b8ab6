#include "tls/pem.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static BIO *bio_over(slice text)
{
    return text.n && text.n <= INT32_MAX ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
}

/* Reading stopped because there is no further block. */
static bool at_end(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

X509 *pem_chain(slice text, STACK_OF(X509) * *rest)
{
    BIO *b = bio_over(text);
    STACK_OF(X509) *all = NULL;
    X509 *leaf = b ? PEM_read_bio_X509_AUX(b, NULL, NULL, NULL) : NULL, *next;
    if (!b)
        ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
    bool ok = leaf != NULL;
    while (ok && (next = PEM_read_bio_X509(b, NULL, NULL, NULL))) {
        if (!all)
            all = sk_X509_new_null();
        if (!all || !sk_X509_push(all, next)) {
            X509_free(next);
            ok = false;
        }
    }
    if (ok && at_end())
        ERR_clear_error();
    else
        ok = false;
    BIO_free(b);
    if (!ok) {
        sk_X509_pop_free(all, X509_free);
        X509_free(leaf);
        return NULL;
    }
    *rest = all;
    return leaf;
}

static int give_password(char *buf, int size, int rwflag, void *arg)
{
    const slice *line = arg;
    if (!line->n || line->n > (size_t)size)
        return 0;
    memcpy(buf, line->p, line->n);
    return (int)line->n;
}

static EVP_PKEY *key_with(slice text, slice password)
{
    BIO *b = bio_over(text);
    if (!b) {
        ERR_raise(ERR_LIB_PEM, PEM_R_NO_START_LINE);
        return NULL;
    }
    EVP_PKEY *k = PEM_read_bio_PrivateKey(b, NULL, give_password, &password);
    BIO_free(b);
    return k;
}

void pem_reader_done(struct pem_reader *r)
{
    OSSL_DECODER_CTX_free(r->decoder);
    *r = (struct pem_reader){ 0 };
}

/*
 * OpenSSL 3 finds out anew for every key which of its decoders could be meant, which costs some eight times what the
 * decoding does; a decoder that is kept knows. What it does not open is left to the slow way, which also finds the
 * words for what is wrong.
 */
static EVP_PKEY *key_quickly(struct pem_reader *r, slice text)
{
    BIO *b = bio_over(text);
    if (!r->decoder)
        r->decoder =
            OSSL_DECODER_CTX_new_for_pkey(&r->found, "PEM", NULL, NULL, OSSL_KEYMGMT_SELECT_KEYPAIR, NULL, NULL);
    r->found = NULL;
    if (b && r->decoder)
        OSSL_DECODER_from_bio(r->decoder, b);
    BIO_free(b);
    ERR_clear_error();
    EVP_PKEY *k = r->found;
    r->found = NULL;
    return k;
}

EVP_PKEY *pem_key(struct pem_reader *r, slice text, slice passwords)
{
    slice line, rest = passwords;
    EVP_PKEY *quick = r && !pem_framed(text, SLICE("ENCRYPTED")) && !memmem(text.p, text.n, "Proc-Type:", 10)
                          ? key_quickly(r, text)
                          : NULL;
    if (quick)
        return quick;
    if (!passwords.n)
        return key_with(text, SLICE_NONE);
    while (rest.n) {
        if (!slice_cut(rest, '\n', &line, &rest)) {
            line = rest;
            rest = SLICE_NONE;
        }
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        ERR_clear_error();
        EVP_PKEY *k = key_with(text, line);
        if (k)
            return k;
    }
    return NULL;
}

bool pem_crls(slice text, X509_STORE *store)
{
    BIO *b = bio_over(text);
    X509_CRL *crl;
    int n = 0;
    if (!b)
        return false;
    while ((crl = PEM_read_bio_X509_CRL(b, NULL, NULL, NULL))) {
        n += X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    BIO_free(b);
    bool ok = n > 0 && at_end();
    if (ok)
        ERR_clear_error();
    return ok;
}

EVP_PKEY *pem_dh(slice text)
{
    BIO *b = bio_over(text);
    EVP_PKEY *k = b ? PEM_read_bio_Parameters(b, NULL) : NULL;
    BIO_free(b);
    return k;
}

bool pem_framed(slice text, slice name)
{
    const char *begin = text.n ? memmem(text.p, text.n, "-----BEGIN ", 11) : NULL;
    while (begin) {
        slice rest = slice_from(text, (size_t)(begin - text.p) + 11);
        const char *end = memmem(rest.p, rest.n, "-----", 5);
        if (end && memmem(rest.p, (size_t)(end - rest.p), name.p, name.n))
            return memmem(rest.p, rest.n, "-----END ", 9) != NULL;
        begin = memmem(rest.p, rest.n, "-----BEGIN ", 11);
    }
    return false;
}
