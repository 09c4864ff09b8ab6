/*
 * Sessions of clients: tickets, and the cache that ssl_session_cache asks for.
 *
 * A session belongs to a context: what is asked of clients and with which certificates (tls_conf.policy). OpenSSL
 * resumes none whose context is another, so a session of one virtual host never opens another one with another
 * client-certificate policy (CVE-2025-23419, CVE-2014-3616).
 */
#ifndef TLS_SESSION_H
#define TLS_SESSION_H

#include "tls/worker.h"

int session_install(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out);

#endif
