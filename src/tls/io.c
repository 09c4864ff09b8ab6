#include "tls/io.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/attr.h"
#include "base/err.h"

enum {
    OUT_LIMIT = 1 << 20, /* of what waits for the kernel: more than one write takes can only be a peer's mischief */
    RECEIVE_LEAST = 4096,
    SMALL_RECORD = 1369, /* with its framing one segment of an ordinary path */
    SMALL_TOTAL = 4 * SMALL_RECORD,
    SMALL_AFTER_MS = 1000, /* of silence */
    WHOLE_AT_MOST = 4096,
    EVENTS_MOST = 100, /* messages of the protocol's own in a second: new keys, tickets, warnings */
    EVENTS_MS = 1000,
    ASKED_MOST = 16, /* key updates and renegotiations a minute: each costs us more than the peer */
    ASKED_MS = 60000,
};

/* ---- the memory that OpenSSL reads and writes ---- */

static int mem_read(BIO *b, char *dst, size_t want, size_t *got)
{
    struct tls_io *io = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (!io->feed_n) {
        BIO_set_retry_read(b);
        return 0;
    }
    size_t n = want < io->feed_n ? want : io->feed_n;
    memcpy(dst, io->feed, n);
    io->feed += n;
    io->feed_n -= n;
    *got = n;
    return 1;
}

static int mem_write(BIO *b, const char *src, size_t n, size_t *done)
{
    struct tls_io *io = BIO_get_data(b);
    struct tls_worker *w = io->w;
    BIO_clear_retry_flags(b);
    if (n > OUT_LIMIT - w->out_n)
        return 0;
    if (w->out_n + n > w->out_cap) {
        char *p = realloc(w->out, w->out_n + n);
        if (!p)
            return 0;
        w->out = p;
        w->out_cap = w->out_n + n;
    }
    memcpy(w->out + w->out_n, src, n);
    w->out_n += n;
    *done = n;
    return 1;
}

static long mem_ctrl(BIO *b, int cmd, long n, void *p)
{
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hinge");
    if (m && BIO_meth_set_read_ex(m, mem_read) && BIO_meth_set_write_ex(m, mem_write) && BIO_meth_set_ctrl(m, mem_ctrl))
        return m;
    BIO_meth_free(m);
    return NULL;
}

static BIO_METHOD *method(void)
{
    static BIO_METHOD *made;
    BIO_METHOD *m = __atomic_load_n(&made, __ATOMIC_ACQUIRE), *none = NULL;
    if (likely(m))
        return m;
    m = make_method();
    if (m && !__atomic_compare_exchange_n(&made, &none, m, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        BIO_meth_free(m);
        m = none;
    }
    return m;
}

/* ---- what a peer says after the handshake ---- */

/* What else lies in the input would be more of the same, and is not looked at. */
static void enough(struct tls_io *io)
{
    io->broken = true;
    io->feed_n = 0;
}

/* New keys, and renegotiation, which OpenSSL refuses by an alert (SSL_OP_NO_RENEGOTIATION): each costs us more than the
 * peer. */
static void asked(struct tls_io *io, uint64_t *count)
{
    uint64_t now = loop_now(io->w->loop);
    if (count)
        __atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
    if (now - io->asked_at >= ASKED_MS) {
        io->asked_at = now;
        io->asked = 0;
    }
    if (++io->asked > ASKED_MOST)
        enough(io);
}

/*
 * After the handshake a peer may still send what is no data (RFC 8446 section 4.6, KeyUpdate above all), each message
 * with its work and none with an end: a read that waited for data would never come back from a peer that sends nothing
 * else. So the rest of the input is dropped, and the connection with it.
 */
static void on_event(const SSL *ssl, int where, int what)
{
    struct tls_io *io = SSL_get_app_data(ssl);
    if (!io->done)
        return;
    OSSL_HANDSHAKE_STATE s = where & SSL_CB_LOOP ? SSL_get_state(ssl) : TLS_ST_OK;
    if (s == TLS_ST_SR_KEY_UPDATE || s == TLS_ST_CR_KEY_UPDATE)
        asked(io, io->w->count.key_updates);
    if (where == SSL_CB_WRITE_ALERT && (what & 0xff) == SSL_AD_NO_RENEGOTIATION)
        asked(io, io->w->count.renegotiations);
    if (!(where & (SSL_CB_EXIT | SSL_CB_ALERT)))
        return;
    uint64_t now = loop_now(io->w->loop);
    if (now - io->events_at >= EVENTS_MS) {
        io->events_at = now;
        io->events = 0;
    }
    if (++io->events > EVENTS_MOST)
        enough(io);
}

int tls_io_init(struct tls_io *io, const struct transport_ops *ops, struct tls_worker *w, SSL_CTX *ctx, int fd,
                slice early)
{
    BIO_METHOD *m = method();
    BIO *b = m ? BIO_new(m) : NULL;
    io->t.ops = ops;
    io->w = w;
    io->fd = fd;
    io->record = TLS_RECORD;
    io->hello = HELLO_READ;
    io->ssl = b ? SSL_new(ctx) : NULL;
    if (!io->ssl) {
        BIO_free(b);
        return ERR_NOMEM;
    }
    BIO_set_data(b, io);
    BIO_set_init(b, 1);
    SSL_set_bio(io->ssl, b, b);
    SSL_set_app_data(io->ssl, io);
    SSL_set_info_callback(io->ssl, on_event);
    if (early.n) {
        io->kept = malloc(early.n);
        if (!io->kept)
            return ERR_NOMEM;
        memcpy(io->kept, early.p, early.n);
        io->feed = io->kept;
        io->feed_n = early.n;
    }
    return OK;
}

void tls_io_done(struct tls_io *io)
{
    SSL_free(io->ssl);
    transport_free(io->below);
    free(io->kept);
    free(io->out);
    free(io->why);
    ERR_clear_error();
}

void tls_io_fail(struct tls_io *io, const char *text)
{
    if (!io->why)
        io->why = strdup(text);
    io->broken = true;
}

/* ---- the socket ---- */

ssize_t tls_io_receive(struct tls_io *io, size_t want)
{
    ssize_t n;
    if (want < RECEIVE_LEAST)
        want = RECEIVE_LEAST;
    if (want > TLS_IN)
        want = TLS_IN;
    do
        n = io->below ? io->below->ops->read(io->below, io->w->in, want) : recv(io->fd, io->w->in, want, 0);
    while (!io->below && n < 0 && errno == EINTR);
    if (n == 0)
        return ERR_CLOSED;
    if (n < 0 && io->below)
        return n;
    if (n < 0)
        return errno == EAGAIN ? ERR_AGAIN : ERR_SYS;
    io->feed = io->w->in;
    io->feed_n = (size_t)n;
    io->drained = (size_t)n < want && !io->below;
    io->received = io->w->loop->turns;
    return n;
}

/* The last receive emptied the socket, and no event can have told of more since. */
static bool is_drained(const struct tls_io *io)
{
    return io->drained && io->received == io->w->loop->turns;
}

bool tls_io_keep(struct tls_io *io)
{
    if (!io->feed_n) {
        free(io->kept);
        io->kept = NULL;
        return true;
    }
    if (io->feed < io->w->in || io->feed >= io->w->in + TLS_IN)
        return true; /* it is what was kept before */
    char *p = malloc(io->feed_n);
    if (!p)
        return false;
    memcpy(p, io->feed, io->feed_n);
    free(io->kept);
    io->kept = p;
    io->feed = p;
    return true;
}

/* Puts what the worker's buffer holds behind what waits already. */
static bool queue(struct tls_io *io)
{
    struct tls_worker *w = io->w;
    size_t need = io->out_n + w->out_n;
    if (!w->out_n)
        return true;
    if (io->out_at) {
        memmove(io->out, io->out + io->out_at, io->out_n);
        io->out_at = 0;
    }
    if (need > OUT_LIMIT)
        return false;
    if (need > io->out_cap) {
        char *p = realloc(io->out, need);
        if (!p)
            return false;
        io->out = p;
        io->out_cap = need;
    }
    memcpy(io->out + io->out_n, w->out, w->out_n);
    io->out_n = need;
    w->out_n = 0;
    return true;
}

/* What one write of the transport below leaves is no sign of a full socket: it takes its share, and would not tell. */
static ssize_t send_below(struct tls_io *io, const char *p, size_t n, bool last)
{
    size_t sent = 0;
    while (sent < n) {
        struct iovec v = { (char *)(uintptr_t)p + sent, n - sent };
        ssize_t one = io->below->ops->write(io->below, &v, 1, last);
        if (one < 0 && errno != EAGAIN)
            return one;
        if (one <= 0)
            break;
        sent += (size_t)one;
    }
    return (ssize_t)sent;
}

static ssize_t send_bytes(struct tls_io *io, const char *p, size_t n, bool last)
{
    ssize_t sent;
    if (unlikely(io->below))
        return send_below(io, p, n, last);
    do
        sent = send(io->fd, p, n, MSG_NOSIGNAL | (last ? MSG_MORE : 0));
    while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN)
        return 0;
    return sent;
}

/* All of ours was taken: is it with the kernel? */
static int below_flush(struct tls_io *io)
{
    return unlikely(io->below) ? io->below->ops->flush(io->below) : OK;
}

/* OK, ERR_AGAIN (the rest is kept), ERR_SYS. */
static int push(struct tls_io *io, bool last)
{
    struct tls_worker *w = io->w;
    if (!io->out_n) {
        if (!w->out_n)
            return below_flush(io);
        ssize_t n = send_bytes(io, w->out, w->out_n, last);
        if (n < 0) {
            w->out_n = 0;
            return ERR_SYS;
        }
        if ((size_t)n == w->out_n) {
            w->out_n = 0;
            return below_flush(io);
        }
        io->blocked = true;
        memmove(w->out, w->out + n, w->out_n - (size_t)n);
        w->out_n -= (size_t)n;
        if (queue(io))
            return ERR_AGAIN;
        w->out_n = 0;
        errno = ENOMEM;
        return ERR_SYS;
    }
    if (!queue(io)) {
        w->out_n = 0;
        errno = ENOMEM;
        return ERR_SYS;
    }
    ssize_t n = send_bytes(io, io->out + io->out_at, io->out_n, last);
    if (n < 0)
        return ERR_SYS;
    io->out_at += (size_t)n;
    io->out_n -= (size_t)n;
    io->blocked = io->out_n > 0;
    if (io->blocked)
        return ERR_AGAIN;
    free(io->out);
    io->out = NULL;
    io->out_at = io->out_cap = 0;
    return below_flush(io);
}

/* ---- the transport ---- */

static int handshake_failed(struct tls_io *io)
{
    char text[200];
    if (!io->why) {
        tls_error_text(text, sizeof(text));
        tls_io_fail(io, text);
    }
    ERR_clear_error();
    io->broken = true;
    push(io, false); /* the alert, if it goes at once */
    return ERR_SYNTAX;
}

/* Answers that nobody waits for yet (tickets, a client's Finished) go with what is written next. */
static int handshake_over(struct tls_io *io)
{
    io->done = true;
    io->small = SMALL_TOTAL;
    io->wrote = loop_now(io->w->loop);
    if (!tls_io_keep(io) || !queue(io)) {
        tls_io_fail(io, "no memory");
        io->w->out_n = 0;
        return ERR_NOMEM;
    }
    return OK;
}

int tls_io_handshake(struct transport *t)
{
    struct tls_io *io = tls_io_of(t);
    bool more = !io->feed_n || !is_drained(io);
    for (;;) {
        ERR_clear_error();
        int r = SSL_do_handshake(io->ssl);
        if (r == 1)
            return handshake_over(io);
        if (SSL_get_error(io->ssl, r) != SSL_ERROR_WANT_READ || io->broken)
            return handshake_failed(io);
        int rc = push(io, false);
        if (rc == ERR_SYS)
            return rc;
        if (!more)
            return ERR_AGAIN;
        if (!io->hello) {
            tls_io_fail(io, "the client's hello is too large");
            return ERR_SYNTAX;
        }
        ssize_t n = tls_io_receive(io, io->hello < TLS_IN ? io->hello : TLS_IN);
        if (n < 0)
            return (int)n;
        more = n == TLS_IN || io->hello != HELLO_READ || (io->below && io->below->more);
        if (io->hello != HELLO_READ)
            io->hello -= (uint32_t)n < io->hello ? (uint32_t)n : io->hello;
    }
}

/* After SSL_read gave nothing. > 0: it wants more bytes. */
static int read_failed(struct tls_io *io, int r)
{
    switch (SSL_get_error(io->ssl, r)) {
    case SSL_ERROR_WANT_READ:
        return 1;
    case SSL_ERROR_ZERO_RETURN:
        io->ended = true;
        return ERR_CLOSED;
    default:
        ERR_clear_error();
        io->broken = true;
        errno = EPROTO;
        return ERR_SYS;
    }
}

/* Opens records out of the feed until that is empty or dst is full. How much there is, or an error when there is none.
 */
static ssize_t open_records(struct tls_io *io, char *dst, size_t cap)
{
    size_t got = 0;
    int rc = 1;
    while (got < cap && (io->feed_n || SSL_has_pending(io->ssl))) {
        size_t n;
        ERR_clear_error();
        int r = SSL_read_ex(io->ssl, dst + got, cap - got, &n);
        if (r == 1) {
            got += n;
            continue;
        }
        rc = read_failed(io, r);
        if (rc < 0 || !io->feed_n)
            break;
    }
    return got ? (ssize_t)got : rc < 0 ? rc : 0;
}

ssize_t tls_io_read(struct transport *t, char *dst, size_t cap)
{
    struct tls_io *io = tls_io_of(t);
    size_t got = 0;
    ssize_t n = 0;
    bool drained = false, known = io->feed_n && is_drained(io);
    if (io->ended)
        return ERR_CLOSED;
    while (!io->broken && got < cap) {
        n = open_records(io, dst + got, cap - got);
        if (n < 0)
            break;
        got += (size_t)n;
        if (got == cap || drained || (got && known))
            break;
        size_t want = cap - got < TLS_IN ? cap - got : TLS_IN;
        n = tls_io_receive(io, want);
        if (n < 0)
            break;
        drained = (size_t)n < want && !(io->below && io->below->more);
    }
    if (io->w->out_n || (io->out_n && !got)) /* what reading made us say, or what waited for something to go with */
        push(io, false);
    if (!tls_io_keep(io)) {
        errno = ENOMEM;
        return ERR_SYS;
    }
    if (got) {
        t->more = io->ended || io->broken || (n < 0 && n != ERR_AGAIN);
        return (ssize_t)got;
    }
    if (io->broken && n != ERR_SYS) {
        errno = EPROTO; /* found behind what the call before has returned, or by a write */
        return ERR_SYS;
    }
    if (n == ERR_CLOSED && !io->ended) {
        errno = ECONNRESET; /* cut without the end that the protocol has for it (RFC 8446 section 6.1) */
        return ERR_SYS;
    }
    return n < 0 ? n : ERR_AGAIN;
}

/* What is left to be sealed. */
struct cursor {
    const struct iovec *iov;
    int n;
    size_t at, left; /* in the first piece; in all together */
};

static void advance(struct cursor *c, size_t n)
{
    c->at += n;
    c->left -= n;
    while (c->n && c->at == c->iov->iov_len) {
        c->iov++;
        c->n--;
        c->at = 0;
    }
}

static slice gather(struct tls_io *io, struct cursor *c, size_t size)
{
    size_t n = 0;
    while (n < size) {
        size_t here = c->iov->iov_len - c->at, k = here < size - n ? here : size - n;
        memcpy(io->w->gather + n, (const char *)c->iov->iov_base + c->at, k);
        n += k;
        advance(c, k);
    }
    return slice_of(io->w->gather, n);
}

/*
 * One record, or full ones up to `most` bytes, where they lie. A piece that fills no record takes so much of what
 * follows that this then does: no more records for it than there must be, and an answer's head does not drag sixteen
 * kilobytes of body through memory.
 */
static slice next_run(struct tls_io *io, struct cursor *c, size_t size, size_t most)
{
    size_t n = c->iov->iov_len - c->at, after = (c->left - n) % size;
    if (n < size && after && n + after <= size)
        return gather(io, c, n + after);
    slice run = slice_of((const char *)c->iov->iov_base + c->at, n);
    if (n >= size)
        run.n = (n < most ? n : most) / size * size;
    advance(c, run.n);
    return run;
}

/* Small records first: the peer can open what one segment brought. Full ones when it flows. */
static size_t record_size(struct tls_io *io, size_t total)
{
    uint64_t now = loop_now(io->w->loop);
    if (now - io->wrote > SMALL_AFTER_MS)
        io->small = SMALL_TOTAL;
    io->wrote = now;
    if (!io->small || total <= WHOLE_AT_MOST)
        return io->record;
    io->small = io->small > SMALL_RECORD ? io->small - SMALL_RECORD : 0;
    return SMALL_RECORD < io->record ? SMALL_RECORD : io->record;
}

/* The peer is told that nothing follows. */
static void say_end(struct tls_io *io)
{
    ERR_clear_error();
    SSL_shutdown(io->ssl);
    ERR_clear_error();
    io->shut = true;
}

ssize_t tls_io_write(struct transport *t, const struct iovec *iov, int n, bool last)
{
    struct tls_io *io = tls_io_of(t);
    struct cursor c = { iov, n, 0, 0 };
    size_t total = 0, taken = 0;
    if (io->broken || io->shut) {
        errno = EPIPE;
        return -1;
    }
    if (io->blocked && push(io, false) == ERR_AGAIN) {
        errno = EAGAIN;
        return -1;
    }
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    c.left = total;
    advance(&c, 0);
    size_t limit = io->out_n ? TLS_RECORD : TLS_TAKE;
    while (taken < total && taken < limit) {
        size_t size = record_size(io, total), done;
        size_t most = size == TLS_RECORD && size < limit - taken ? limit - taken : size;
        slice r = next_run(io, &c, size, most);
        if (SSL_write_ex(io->ssl, r.p, r.n, &done) != 1 || done != r.n) {
            ERR_clear_error();
            io->broken = true;
            io->w->out_n = 0;
            errno = EPIPE;
            return -1;
        }
        taken += r.n;
    }
    if (last && taken == total)
        say_end(io);
    return push(io, last) == ERR_SYS ? -1 : (ssize_t)taken;
}

int tls_io_flush(struct transport *t)
{
    struct tls_io *io = tls_io_of(t);
    return io->blocked || unlikely(io->below) ? push(io, false) : OK;
}

void tls_io_end_write(struct transport *t)
{
    struct tls_io *io = tls_io_of(t);
    if (io->done && !io->broken && !io->shut) {
        say_end(io);
        push(io, false);
    }
    io->shut = true;
    if (unlikely(io->below))
        io->below->ops->end_write(io->below);
    else
        shutdown(io->fd, SHUT_WR);
}

slice tls_io_protocol(const struct transport *t)
{
    const unsigned char *p = NULL;
    unsigned int n = 0;
    SSL_get0_alpn_selected(tls_io_of(t)->ssl, &p, &n);
    return slice_of((const char *)p, n);
}

const char *tls_io_why(const struct transport *t)
{
    const struct tls_io *io = tls_io_of(t);
    return io->why ? io->why : "no reason known";
}
