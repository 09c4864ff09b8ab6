/*
 * Another try: may the failed attempt (why), or the answer of that status (why WHY_NONE), be followed by one at another
 * peer? By proxy_next_upstream with its tries and timeout, by what was sent already, and by whether the body can be
 * sent again (nginx's manual, "proxy_next_upstream"; RFC 9110 §9.2.2).
 */
#include "proxy/next.h"
#include "proxy/proxy.h"

static uint32_t why_flag(enum x_why why, unsigned status)
{
    switch (why) {
    case WHY_CONNECT:
    case WHY_HANDSHAKE:
    case WHY_HOP:
    case WHY_TARGET:
    case WHY_CLOSED:
    case WHY_IO:
        return NEXT_ERROR;
    case WHY_CONNECT_TIMEOUT:
    case WHY_TARGET_TIMEOUT:
    case WHY_SILENCE:
    case WHY_SEND_TIMEOUT:
    case WHY_READ_TIMEOUT:
        return NEXT_TIMEOUT;
    case WHY_BAD_HEAD:
    case WHY_BIG_HEAD:
    case WHY_INTERIMS:
        return NEXT_INVALID_HEADER;
    case WHY_NONE:
        break;
    default:
        return 0;
    }
    switch (status) {
    case 403:
        return NEXT_HTTP_403;
    case 404:
        return NEXT_HTTP_404;
    case 429:
        return NEXT_HTTP_429;
    case 500:
        return NEXT_HTTP_500;
    case 502:
        return NEXT_HTTP_502;
    case 503:
        return NEXT_HTTP_503;
    case 504:
        return NEXT_HTTP_504;
    default:
        return 0;
    }
}

bool status_is_failure(const struct proxy_conf *c, unsigned status)
{
    return status >= 429 && (c->next_upstream & why_flag(WHY_NONE, status));
}

bool next_upstream_allowed(const struct exchange *x, enum x_why why, unsigned status)
{
    const struct proxy_exchange *px = x->proxy;
    const struct proxy_conf *c = px->conf;
    uint32_t flag = why_flag(why, status);
    if (!flag || !(c->next_upstream & flag) || (c->next_upstream & NEXT_OFF))
        return false;
    uint64_t most = px->upstream->nlive;
    if (c->next_tries && c->next_tries < most)
        most = c->next_tries;
    if (px->tries >= most)
        return false;
    if (px->deadline && loop_now(&x->w->loop) >= px->deadline)
        return false;
    /* what was sent may have been done: only an idempotent request may be sent twice, unless told otherwise */
    bool sent = px->last && px->last->bytes_sent > 0;
    if (sent && !method_idempotent(x->origin.method_id) && !(c->next_upstream & NEXT_NON_IDEMPOTENT))
        return false;
    return pipe_can_rewind(&x->req_pipe);
}
