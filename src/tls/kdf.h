/*
 * Keys of TLS 1.3 derived by a provider of ours inside OpenSSL, because that is a seventh of a resumed handshake: kdf.c
 * says why and how. Contexts of TLS ask for it when they are made.
 */
#ifndef TLS_KDF_H
#define TLS_KDF_H

/*
 * The property query for SSL_CTX_new_ex that has TLS 1.3 keys derived by our provider, which the first call registers;
 * NULL when it could not be, or does not agree with OpenSSL's own, or was left out of the build (option tls13_kdf):
 * that one serves then. Any thread may call it.
 */
#ifdef HAVE_TLS13_KDF
const char *tls_kdf_query(void);
#else
static inline const char *tls_kdf_query(void)
{
    return 0;
}
#endif

#endif
