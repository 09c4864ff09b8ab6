/*
 * load.c - a closed-loop HTTP/1.1 load client: one thread, epoll.
 *
 *   load [options] IP:PORT PATH
 *     -c N       connections kept busy (default 64)
 *     -s SEC     duration (default 3)
 *     -n N       stop after N requests
 *     -k         a new connection for every request (sends Connection: close)
 *     -b N       POST a body of N bytes
 *     -a AUTH    absolute form: GET http://AUTH/PATH (plain forward proxy)
 *     -t AUTH    CONNECT AUTH first, then talk to the origin in the tunnel
 *     -5         with -t IP:PORT: by SOCKS 5 instead of CONNECT
 *     -H HOST    Host (default bench.test); a "%d" in it is the number of the connection modulo -R
 *     -R N       see -H (default 1)
 *     -z         send Accept-Encoding: gzip
 *     -S         TLS 1.3 to the server (X25519, AES-128-GCM), ALPN http/1.1
 *     -r         with -S -k: resume the last session
 *     -i         hold: one request on every connection, then print "ready", sleep until stdin closes, print "lost N"
 *
 * First every connection is opened and answered once; then it prints "begin" and starts to count, and at the end prints
 * one JSON object, before the connections close: whoever watches a server's CPU reads it at these two lines, and what
 * is under way at the one makes up for what is under way at the other. The object holds requests, errors (from the very
 * start), bytes, seconds, rps, latencies in microseconds, TLS connections resumed, connections that the server closed
 * between requests (stale), size of the last body. Only loopback servers are accepted. New connections rotate over
 * source addresses 127.1.x.y so that ephemeral ports do not run out.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_SIZE = 4096,
    REQUEST_SIZE = 1024,
    ERRORS_MAX = 100000,
    HIST_BITS = 4096,
    RAMP_SECONDS = 30,
    HOLD_BURST = 4, /* requests under way while connections to hold are opened: their memory is not that of idleness */
};

enum state { CONNECTING, TUNNEL, HANDSHAKE, SENDING, RECEIVING, HELD };

enum chunk_state { CHUNK_SIZE, CHUNK_EXT, CHUNK_DATA, CHUNK_DATA_END, CHUNK_LAST };

struct conn {
    int fd;
    enum state state;
    bool wants_write;
    bool used; /* has been answered once, so a close may be a stale keep-alive connection */
    bool warm; /* this slot has been answered once, by this connection or one before it */
    SSL *ssl;
    size_t sent;
    uint64_t began;
    /* the answer */
    bool head_done, chunked, to_eof, close;
    uint64_t left, got;
    enum chunk_state chunk;
    uint64_t chunk_left;
    size_t head_len;
    char head[HEAD_SIZE];
    char *request;
    size_t request_len;
};

static struct {
    int conns;
    bool new_conn, tls, resume, gzip, hold, socks;
    long routes;
    double seconds;
    uint64_t limit;
    size_t post;
    const char *absolute, *tunnel, *host;
    struct sockaddr_in to;
} opt = { .conns = 64, .routes = 1, .seconds = 3, .host = "bench.test" };

static struct {
    uint64_t requests, errors, bytes, resumed, stale, last_body;
} count;

static int epoll_fd;
static bool stopping;
static int warm; /* slots that have been answered */
static struct conn *conns;
static SSL_CTX *tls_ctx;
static SSL_SESSION *session;
static char tunnel_request[256];
static size_t tunnel_request_len;
static char *body;
static uint32_t latency[32][HIST_BITS]; /* log-linear: row e holds microseconds >> e */

static void drive(struct conn *c);

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void latency_add(uint64_t us)
{
    int row = 0;
    for (; us >= HIST_BITS && row < 31; row++)
        us >>= 1;
    latency[row][us < HIST_BITS ? us : HIST_BITS - 1]++;
}

static uint64_t latency_at(double share)
{
    double seen = 0;
    for (int row = 0; row < 32; row++) {
        for (int i = 0; i < HIST_BITS; i++) {
            seen += latency[row][i];
            if (latency[row][i] && seen >= share * (double)count.requests)
                return (uint64_t)i << row;
        }
    }
    return 0;
}

static int keep_session(SSL *ssl, SSL_SESSION *s)
{
    (void)ssl;
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

static void conn_await(struct conn *c, bool write)
{
    if (c->wants_write == write)
        return;
    struct epoll_event e = { .events = write ? EPOLLOUT : EPOLLIN, .data.ptr = c };
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->wants_write = write;
}

static void conn_open(struct conn *c)
{
    static uint32_t turn;
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        perror("load: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    struct sockaddr_in from = { .sin_family = AF_INET };
    turn++;
    from.sin_addr.s_addr = htonl(0x7f010001u + turn % 4 * 256 + turn / 4 % 32);
    if (opt.new_conn || opt.conns > 1000)
        bind(c->fd, (struct sockaddr *)&from, sizeof(from));
    if (connect(c->fd, (struct sockaddr *)&opt.to, sizeof(opt.to)) && errno != EINPROGRESS)
        count.errors++;
    c->state = CONNECTING;
    c->wants_write = true;
    c->used = c->head_done = false;
    c->sent = c->head_len = 0;
    c->began = now();
    struct epoll_event e = { .events = EPOLLOUT, .data.ptr = c };
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
}

static void conn_close(struct conn *c)
{
    if (c->ssl) {
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    close(c->fd);
    c->fd = -1;
}

static void conn_again(struct conn *c)
{
    conn_close(c);
    if (!stopping)
        conn_open(c);
}

static void conn_fail(struct conn *c)
{
    count.errors++;
    if (count.errors >= ERRORS_MAX)
        stopping = true;
    conn_again(c);
}

/* Both return bytes, 0 at the end of the stream, or -1 with errno. */
static ssize_t conn_read(struct conn *c, char *b, size_t n)
{
    if (!c->ssl)
        return recv(c->fd, b, n, 0);
    int r = SSL_read(c->ssl, b, (int)n);
    if (r > 0)
        return r;
    int e = SSL_get_error(c->ssl, r);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
        return 0;
    errno = EAGAIN;
    return -1;
}

static ssize_t conn_write(struct conn *c, const char *b, size_t n)
{
    if (!c->ssl)
        return send(c->fd, b, n, MSG_NOSIGNAL);
    int r = SSL_write(c->ssl, b, (int)n);
    if (r > 0)
        return r;
    int e = SSL_get_error(c->ssl, r);
    errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

static void request_begin(struct conn *c)
{
    if (!opt.new_conn)
        c->began = now();
    c->state = SENDING;
    c->sent = c->head_len = 0;
    c->head_done = c->chunked = c->to_eof = c->close = false;
    c->left = c->got = 0;
    drive(c);
}

static void request_done(struct conn *c)
{
    count.requests++;
    count.last_body = c->got;
    c->used = true;
    if (!c->warm) {
        c->warm = true;
        warm++;
    }
    latency_add((now() - c->began) / 1000);
    if (opt.limit && count.requests >= opt.limit)
        stopping = true;
    if (opt.hold) {
        c->state = HELD;
    } else if (opt.new_conn || c->close) {
        conn_again(c);
    } else if (!stopping) {
        request_begin(c);
    }
}

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
}

/* Takes chunked body bytes; true when the last chunk has gone by. Trailers are not expected here. */
static bool feed_chunked(struct conn *c, const char *p, size_t n)
{
    for (const char *end = p + n; p < end;) {
        switch (c->chunk) {
        case CHUNK_SIZE:
            if (*p == ';' || *p == '\r')
                c->chunk = CHUNK_EXT;
            else
                c->chunk_left = c->chunk_left * 16 + hex(*p);
            p++;
            break;
        case CHUNK_EXT:
            if (*p++ == '\n')
                c->chunk = c->chunk_left ? CHUNK_DATA : CHUNK_LAST;
            break;
        case CHUNK_DATA: {
            uint64_t k = (uint64_t)(end - p) < c->chunk_left ? (uint64_t)(end - p) : c->chunk_left;
            p += k;
            c->got += k;
            c->chunk_left -= k;
            if (!c->chunk_left)
                c->chunk = CHUNK_DATA_END;
            break;
        }
        case CHUNK_DATA_END:
            if (*p++ == '\n')
                c->chunk = CHUNK_SIZE;
            break;
        case CHUNK_LAST:
            if (*p++ == '\n')
                return true;
            break;
        }
    }
    return false;
}

/* Takes body bytes. 1: the answer is complete, 0: more is to come, -1: it is longer than announced. */
static int feed(struct conn *c, const char *p, size_t n)
{
    count.bytes += n;
    if (c->chunked)
        return feed_chunked(c, p, n);
    c->got += n;
    if (c->to_eof)
        return 0;
    if (n > c->left)
        return -1;
    c->left -= n;
    return c->left == 0;
}

static void complain(const struct conn *c, long status)
{
    static bool said;
    if (!said)
        fprintf(stderr, "load: status %ld: %.*s\n", status, 400, c->head);
    said = true;
}

static void read_fields(struct conn *c, const char *end)
{
    for (const char *p = memchr(c->head, '\n', c->head_len); p && ++p < end; p = memchr(p, '\n', (size_t)(end - p))) {
        if (!strncasecmp(p, "content-length:", 15)) {
            c->left = strtoull(p + 15, NULL, 10);
            c->to_eof = false;
        } else if (!strncasecmp(p, "transfer-encoding:", 18)) {
            c->chunked = true;
            c->to_eof = false;
        } else if (!strncasecmp(p, "connection: close", 17)) {
            c->close = true;
        }
    }
}

/* Reads an answer's head from the buffer and leaves what follows it there. 1, 0 (incomplete) or -1 (unusable). */
static int read_head(struct conn *c)
{
    for (;;) {
        char *end = memmem(c->head, c->head_len, "\r\n\r\n", 4);
        if (!end)
            return c->head_len == HEAD_SIZE ? -1 : 0;
        size_t len = (size_t)(end + 4 - c->head);
        long status = len > 12 ? strtol(c->head + 9, NULL, 10) : 0;
        bool good = c->state == TUNNEL ? status / 100 == 2 : status == 200;
        if (status != 100 && !good) {
            complain(c, status);
            return -1;
        }
        if (good) {
            c->head_done = c->to_eof = true;
            c->chunk = CHUNK_SIZE;
            c->chunk_left = 0;
            c->close = c->head[7] == '0' && c->state != TUNNEL; /* HTTP/1.0 */
            read_fields(c, end + 2);
        }
        c->head_len -= len;
        memmove(c->head, c->head + len, c->head_len);
        if (good)
            return 1;
    }
}

/* The steps below return true when the connection can go on at once. */

static bool on_connected(struct conn *c)
{
    int error = 0;
    socklen_t n = sizeof(error);
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error) {
        conn_fail(c);
        return false;
    }
    c->sent = 0;
    c->state = opt.tunnel ? TUNNEL : opt.tls ? HANDSHAKE : SENDING;
    if (c->state == SENDING) {
        request_begin(c);
        return false;
    }
    return true;
}

enum { SOCKS_HELLO = 3, SOCKS_WELCOME = 2, SOCKS_REPLY = 10 };

/* How much of the request may be sent: SOCKS waits for an answer to its greeting. */
static size_t tunnel_part(const struct conn *c)
{
    return opt.socks && c->head_len < SOCKS_WELCOME ? SOCKS_HELLO : tunnel_request_len;
}

/* 1: the tunnel stands; 0: more is to come; -1: it was refused. */
static int tunnel_answer(struct conn *c)
{
    const char *h = c->head;
    if (!opt.socks)
        return read_head(c);
    if (c->head_len < SOCKS_WELCOME + SOCKS_REPLY)
        return c->head_len < SOCKS_WELCOME || (h[0] == 5 && h[1] == 0) ? 0 : -1;
    return c->head_len == SOCKS_WELCOME + SOCKS_REPLY && h[2] == 5 && h[3] == 0 ? 1 : -1;
}

static bool on_tunnel(struct conn *c)
{
    size_t total = tunnel_part(c);
    bool write = c->sent < total;
    ssize_t n = write ? send(c->fd, tunnel_request + c->sent, total - c->sent, MSG_NOSIGNAL)
                      : recv(c->fd, c->head + c->head_len, HEAD_SIZE - c->head_len, 0);
    if (n < 0 && errno == EAGAIN) {
        conn_await(c, write);
        return false;
    }
    if (n <= 0) {
        conn_fail(c);
        return false;
    }
    if (write) {
        c->sent += (size_t)n;
        return true;
    }
    c->head_len += (size_t)n;
    int r = tunnel_answer(c);
    if (r == 0)
        return true;
    if (r < 0)
        conn_fail(c);
    else
        request_begin(c);
    return false;
}

static bool on_handshake(struct conn *c)
{
    if (!c->ssl) {
        c->ssl = SSL_new(tls_ctx);
        SSL_set_fd(c->ssl, c->fd);
        if (!strchr(opt.host, '%'))
            SSL_set_tlsext_host_name(c->ssl, opt.host);
        if (opt.resume && session)
            SSL_set_session(c->ssl, session);
    }
    int r = SSL_connect(c->ssl);
    if (r == 1) {
        count.resumed += (uint64_t)SSL_session_reused(c->ssl);
        request_begin(c);
        return false;
    }
    r = SSL_get_error(c->ssl, r);
    if (r == SSL_ERROR_WANT_READ || r == SSL_ERROR_WANT_WRITE)
        conn_await(c, r == SSL_ERROR_WANT_WRITE);
    else
        conn_fail(c);
    return false;
}

static bool on_send(struct conn *c)
{
    size_t total = c->request_len + opt.post;
    while (c->sent < total) {
        ssize_t n = c->sent < c->request_len ? conn_write(c, c->request + c->sent, c->request_len - c->sent)
                                             : conn_write(c, body + (c->sent - c->request_len), total - c->sent);
        if (n < 0 && errno == EAGAIN) {
            conn_await(c, true);
            return false;
        }
        if (n < 0) {
            conn_fail(c);
            return false;
        }
        c->sent += (size_t)n;
    }
    conn_await(c, false);
    c->state = RECEIVING;
    return false;
}

/* What feed() said, applied; true when more is to come. */
static bool after_feed(struct conn *c, int r)
{
    if (r < 0)
        conn_fail(c);
    else if (r > 0)
        request_done(c);
    return r == 0;
}

static bool on_head(struct conn *c)
{
    ssize_t n = conn_read(c, c->head + c->head_len, HEAD_SIZE - c->head_len);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0 && c->used && !c->head_len) {
        count.stale++;
        conn_again(c);
        return false;
    }
    if (n <= 0)
        return after_feed(c, -1);
    c->head_len += (size_t)n;
    int r = read_head(c);
    if (r <= 0)
        return after_feed(c, r);
    if (c->head_len)
        return after_feed(c, feed(c, c->head, c->head_len));
    return after_feed(c, !c->chunked && !c->to_eof && !c->left);
}

static bool on_body(struct conn *c)
{
    static char buf[1 << 18];
    ssize_t n = conn_read(c, buf, sizeof(buf));
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n == 0 && c->to_eof) {
        c->close = true;
        return after_feed(c, 1);
    }
    if (n <= 0)
        return after_feed(c, -1);
    return after_feed(c, feed(c, buf, (size_t)n)) && (c->ssl || (size_t)n == sizeof(buf));
}

/* A held connection: what comes are TLS tickets, or the end. */
static bool on_held(struct conn *c)
{
    char buf[4096];
    ssize_t n = conn_read(c, buf, sizeof(buf));
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        count.errors++;
    }
    return false;
}

static void drive(struct conn *c)
{
    bool on = true;
    while (on) {
        switch (c->state) {
        case CONNECTING:
            on = on_connected(c);
            break;
        case TUNNEL:
            on = on_tunnel(c);
            break;
        case HANDSHAKE:
            on = on_handshake(c);
            break;
        case SENDING:
            on = on_send(c);
            break;
        case RECEIVING:
            on = c->head_done ? on_body(c) : on_head(c);
            break;
        case HELD:
            on = on_held(c);
            break;
        }
    }
}

static int usage(void)
{
    fprintf(stderr,
            "usage: load [-c N] [-s SEC] [-n N] [-k] [-b N] [-a AUTH] [-t AUTH] [-H HOST] [-R N] [-z] [-S] [-r] "
            "[-i] [-5] IP:PORT PATH\n");
    return 2;
}

static bool read_options(int argc, char **argv)
{
    int o;
    while ((o = getopt(argc, argv, "c:s:n:kb:a:t:H:R:zSri5")) != -1) {
        switch (o) {
        case 'c':
            opt.conns = (int)strtol(optarg, NULL, 10);
            break;
        case 's':
            opt.seconds = strtod(optarg, NULL);
            break;
        case 'n':
            opt.limit = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            opt.new_conn = true;
            break;
        case 'b':
            opt.post = strtoull(optarg, NULL, 10);
            break;
        case 'a':
            opt.absolute = optarg;
            break;
        case 't':
            opt.tunnel = optarg;
            break;
        case 'H':
            opt.host = optarg;
            break;
        case 'R':
            opt.routes = strtol(optarg, NULL, 10);
            break;
        case 'z':
            opt.gzip = true;
            break;
        case 'S':
            opt.tls = true;
            break;
        case 'r':
            opt.resume = true;
            break;
        case 'i':
            opt.hold = true;
            break;
        case '5':
            opt.socks = true;
            break;
        default:
            return false;
        }
    }
    char ip[64];
    unsigned port;
    if (argc - optind != 2 || opt.conns < 1 || opt.routes < 1 || sscanf(argv[optind], "%63[^:]:%u", ip, &port) != 2 ||
        port > 65535)
        return false;
    opt.to.sin_family = AF_INET;
    opt.to.sin_port = htons((uint16_t)port);
    return inet_pton(AF_INET, ip, &opt.to.sin_addr) == 1 && ntohl(opt.to.sin_addr.s_addr) >> 24 == 127;
}

static void tls_prepare(void)
{
    tls_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(tls_ctx, TLS1_3_VERSION);
    SSL_CTX_set_ciphersuites(tls_ctx, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_set1_groups_list(tls_ctx, "X25519");
    SSL_CTX_set_alpn_protos(tls_ctx, (const unsigned char *)"\x08http/1.1", 9);
    SSL_CTX_set_mode(tls_ctx,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (opt.resume)
        SSL_CTX_sess_set_new_cb(tls_ctx, keep_session);
}

/* Replaces the "%d" of a host pattern, if there is one. */
static void host_of(char *out, size_t size, long number)
{
    const char *at = opt.absolute ? NULL : strstr(opt.host, "%d");
    const char *host = opt.absolute ? opt.absolute : opt.host;
    if (at)
        snprintf(out, size, "%.*s%ld%s", (int)(at - host), host, number, at + 2);
    else
        snprintf(out, size, "%s", host);
}

static bool prepare_tunnel(void)
{
    static const unsigned char hello[] = { 5, 1, 0, 5, 1, 0, 1 };
    struct in_addr ip;
    char text[64];
    unsigned port;
    if (!opt.socks) {
        tunnel_request_len =
            (size_t)snprintf(tunnel_request, sizeof(tunnel_request),
                             "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load/1\r\n\r\n", opt.tunnel, opt.tunnel);
        return tunnel_request_len < sizeof(tunnel_request);
    }
    if (sscanf(opt.tunnel, "%63[^:]:%u", text, &port) != 2 || port > 65535 || inet_pton(AF_INET, text, &ip) != 1)
        return false;
    memcpy(tunnel_request, hello, sizeof(hello));
    memcpy(tunnel_request + sizeof(hello), &ip, 4);
    tunnel_request[sizeof(hello) + 4] = (char)(port >> 8);
    tunnel_request[sizeof(hello) + 5] = (char)port;
    tunnel_request_len = sizeof(hello) + 6;
    return true;
}

static void prepare_request(struct conn *c, int number, const char *path)
{
    char host[128], length[64] = "";
    host_of(host, sizeof(host), number % opt.routes);
    if (opt.post)
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", opt.post);
    c->request = malloc(REQUEST_SIZE);
    int n =
        snprintf(c->request, REQUEST_SIZE,
                 "%s %s%s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) load/1\r\n"
                 "Accept: text/html,application/json;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n%s%s%s\r\n",
                 opt.post ? "POST" : "GET", opt.absolute ? "http://" : "", opt.absolute ? opt.absolute : "", path, host,
                 opt.gzip ? "Accept-Encoding: gzip\r\n" : "", length, opt.new_conn ? "Connection: close\r\n" : "");
    if (n < 0 || n >= REQUEST_SIZE)
        exit(usage());
    c->request_len = (size_t)n;
}

/* Holds what ramp_up has opened, and says at the end how many connections the server has closed meanwhile. */
static int hold(void)
{
    char b[8];
    int lost = 0;
    printf("ready\n");
    fflush(stdout);
    while (read(0, b, sizeof(b)) > 0)
        ;
    for (int i = 0; i < opt.conns; i++)
        lost += recv(conns[i].fd, b, sizeof(b), MSG_PEEK | MSG_DONTWAIT) == 0 || errno != EAGAIN;
    printf("lost %d\n", lost);
    return lost > 0;
}

static void turn(void)
{
    struct epoll_event events[256];
    int n = epoll_wait(epoll_fd, events, 256, 100);
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->fd >= 0)
            drive(c);
    }
}

/* Opens all connections and has each answered once; false when that takes too long. */
static bool ramp_up(void)
{
    uint64_t end = now() + (uint64_t)RAMP_SECONDS * 1000000000u;
    int opened = 0, burst = opt.hold ? HOLD_BURST : opt.conns;
    while (warm < opt.conns && !stopping) {
        while (opened < opt.conns && opened - warm < burst)
            conn_open(&conns[opened++]);
        turn();
        if (now() > end) {
            fprintf(stderr, "load: after %d s only %d of %d connections were answered\n", RAMP_SECONDS, warm,
                    opt.conns);
            return false;
        }
    }
    return true;
}

/* Counts from here on. */
static uint64_t begin(void)
{
    uint64_t errors = count.errors;
    memset(&count, 0, sizeof(count));
    memset(latency, 0, sizeof(latency));
    count.errors = errors;
    printf("begin\n");
    fflush(stdout);
    return now();
}

int main(int argc, char **argv)
{
    if (!read_options(argc, argv))
        return usage();
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    if (opt.tls)
        tls_prepare();
    if (opt.tunnel && !prepare_tunnel())
        return usage();
    body = malloc(opt.post + 1);
    conns = calloc((size_t)opt.conns, sizeof(*conns));
    if (!body || !conns)
        abort();
    memset(body, 'x', opt.post);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < opt.conns; i++)
        prepare_request(&conns[i], i, argv[optind + 1]);
    if (!ramp_up())
        return 1;
    if (opt.hold)
        return hold();
    uint64_t began = begin(), end = began + (uint64_t)(opt.seconds * 1e9);
    while (now() < end && !stopping)
        turn();
    double seconds = (double)(now() - began) / 1e9;
    printf("{\"requests\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f,\"rps\":%.0f,"
           "\"p50\":%" PRIu64 ",\"p99\":%" PRIu64 ",\"max\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"stale\":%" PRIu64 ","
           "\"body\":%" PRIu64 "}\n",
           count.requests, count.errors, count.bytes, seconds, (double)count.requests / seconds, latency_at(.5),
           latency_at(.99), latency_at(1), count.resumed, count.stale, count.last_body);
    fflush(stdout);
    return count.errors > count.requests / 100;
}
