#include "tls/session.h"

#include <string.h>

#include "base/err.h"
#include "tls/ticket.h"

enum { BUILTIN_DEFAULT = 20480 };

int session_install(SSL_CTX *ctx, const struct tls_conf *c, struct tls_context *out)
{
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)c->policy, SSL_MAX_SSL_SESSION_ID_LENGTH);
    SSL_CTX_set_timeout(ctx, (long)(c->session_timeout / 1000));
    SSL_CTX_set_num_tickets(ctx, 1);
    if (c->cache.mode == TLS_CACHE_BUILTIN) {
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
        SSL_CTX_sess_set_cache_size(ctx, (long)(c->cache.size ? c->cache.size : BUILTIN_DEFAULT));
    } else {
        /* none: as if there were one, and nothing is in it; off: no session id is given out */
        SSL_CTX_set_session_cache_mode(ctx, c->cache.mode == TLS_CACHE_OFF
                                                ? SSL_SESS_CACHE_OFF
                                                : SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL);
    }
    if (!c->tickets) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        if (c->cache.mode == TLS_CACHE_OFF || c->cache.mode == TLS_CACHE_NONE)
            SSL_CTX_set_num_tickets(ctx, 0);
    }
    /* also without tickets: OpenSSL asks the callback of the address's default server on behalf of every other one */
    return tickets_install(ctx, c);
}
