/*
 * Certificates, keys and lists out of PEM text.
 */
#ifndef TLS_PEM_H
#define TLS_PEM_H

#include <openssl/ssl.h>

#include "base/slice.h"

/* The first certificate, and those behind it as *rest (NULL: none); both are the caller's. NULL: OpenSSL's queue says
 * why. */
X509 *pem_chain(slice text, STACK_OF(X509) * *rest);
/* What decoding many keys keeps between two of them; begins as zeros, belongs to one thread. */
struct pem_reader {
    struct ossl_decoder_ctx_st *decoder;
    EVP_PKEY *found;
};

void pem_reader_done(struct pem_reader *r);
/* A private key; each line of `passwords` is tried. r may be NULL. NULL: OpenSSL's queue says why. */
EVP_PKEY *pem_key(struct pem_reader *r, slice text, slice passwords);
/* Adds all revocation lists. false: there is none, or one is broken. */
bool pem_crls(slice text, X509_STORE *store);
EVP_PKEY *pem_dh(slice text);
/* Does the text hold a block of this name ("CERTIFICATE")? What follows BEGIN may have words before it. */
bool pem_framed(slice text, slice name);

#endif
