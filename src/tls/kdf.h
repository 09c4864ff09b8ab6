#ifndef TLS_KDF_H
#define TLS_KDF_H

/*
 * The property query for SSL_CTX_new_ex that has TLS 1.3 keys derived by our provider, which the first call registers;
 * NULL when it could not be: OpenSSL's own serves then. Any thread may call it.
 */
const char *tls_kdf_query(void);

#endif
