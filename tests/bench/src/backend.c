/*
 * backend.c - the cheapest useful HTTP/1.1 origin: one thread, epoll, keep-alive.
 *
 *   backend PORT        listens on 127.0.0.1 only
 *
 * The last path component is the size of the answer's body: 0, 1k, 16k, 64k, 1m (any number with an optional k or m, up
 * to 4m). An earlier component "c" marks the answer cacheable, "json" makes its body compressible JSON. A request body
 * (Content-Length or chunked) is read and dropped before the answer. "Connection: close" is honoured.
 *
 * Every answer is one send() of a block that is composed once for its size and kind, so the origin stays far below the
 * cost of any proxy in front of it. It talks to well-behaved proxies on loopback and checks no more than that needs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_SIZE = 16384,
    MAX_FD = 70000,
    MAX_BODY = 4 << 20,
    CACHE_SLOTS = 1024,
    HEAD_SIZE = 1024,
};

enum kind { KIND_CACHEABLE = 1, KIND_JSON = 2 };

struct answer {
    uint32_t size;
    unsigned kind;
    bool close;
    char *block; /* head and body */
    size_t len;
    struct answer *next;
};

struct conn {
    int fd;
    bool waits_to_write;
    bool closing;
    bool chunked;       /* dropping a chunked body until "0\r\n\r\n" has gone by */
    unsigned matched;   /* characters of that end seen so far */
    uint64_t body_left; /* bytes of a body of known length still to drop */
    const struct answer *out;
    size_t out_at;
    size_t have; /* bytes in buf */
    char buf[READ_SIZE];
};

static struct conn *conns[MAX_FD];
static struct answer *answers[CACHE_SLOTS];
static int epoll_fd;

static uint32_t next_random(uint32_t *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static void fill_json(char *body, uint32_t size)
{
    uint32_t at = 0, x = 12345;
    if (size)
        body[at++] = '[';
    while (at < size) {
        char row[256];
        uint32_t r = next_random(&x);
        int n = snprintf(row, sizeof(row),
                         "{\"id\":%u,\"name\":\"user-%x\",\"email\":\"u%u@example.com\",\"active\":%s,"
                         "\"score\":%u.%02u,\"tags\":[\"alpha\",\"%c%c%c\"]},",
                         r >> 8, r & 0xffff, r % 9973, r & 4096 ? "true" : "false", r % 1000, (r >> 9) % 100,
                         'a' + r % 26, 'a' + (r >> 5) % 26, 'a' + (r >> 10) % 26);
        uint32_t k = (uint32_t)n < size - at ? (uint32_t)n : size - at;
        memcpy(body + at, row, k);
        at += k;
    }
}

static void fill_text(char *body, uint32_t size)
{
    uint32_t x = 12345;
    for (uint32_t i = 0; i < size; i++)
        body[i] = (char)('!' + (next_random(&x) >> 24) % 90);
}

static const struct answer *answer_get(uint32_t size, unsigned kind, bool close)
{
    struct answer **slot = &answers[(size * 31u + kind * 7u + close) % CACHE_SLOTS];
    for (struct answer *a = *slot; a; a = a->next)
        if (a->size == size && a->kind == kind && a->close == close)
            return a;
    struct answer *a = calloc(1, sizeof(*a));
    char *block = malloc(size + HEAD_SIZE);
    if (!a || !block)
        abort();
    int n = snprintf(block, HEAD_SIZE,
                     "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 06 Nov 2033 08:49:37 GMT\r\n"
                     "Content-Type: %s\r\nContent-Length: %u\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                     "ETag: \"b-%x\"\r\nCache-Control: %s\r\n%s\r\n",
                     kind & KIND_JSON ? "application/json" : "text/plain", size, size,
                     kind & KIND_CACHEABLE ? "public, max-age=3600" : "no-store", close ? "Connection: close\r\n" : "");
    (kind & KIND_JSON ? fill_json : fill_text)(block + n, size);
    *a = (struct answer){ size, kind, close, block, (size_t)n + size, *slot };
    *slot = a;
    return a;
}

static void conn_drop(struct conn *c)
{
    close(c->fd);
    conns[c->fd] = NULL;
    free(c);
}

static void conn_await(struct conn *c, bool write)
{
    if (c->waits_to_write == write)
        return;
    struct epoll_event e = { .events = write ? EPOLLOUT : EPOLLIN, .data.fd = c->fd };
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->waits_to_write = write;
}

/* Sends what is due. 1: all of it, 0: the socket is full, -1: the connection is over. */
static int conn_flush(struct conn *c)
{
    while (c->out) {
        ssize_t n = send(c->fd, c->out->block + c->out_at, c->out->len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            conn_await(c, true);
            return 0;
        }
        if (n < 0)
            return -1;
        c->out_at += (size_t)n;
        if (c->out_at == c->out->len) {
            c->out = NULL;
            if (c->closing)
                return -1;
        }
    }
    conn_await(c, false);
    return 1;
}

/* The value of a field between two places of a head, or NULL. `name` ends in a colon. */
static const char *field(const char *from, const char *end, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = memchr(from, '\n', (size_t)(end - from)); p; p = memchr(p, '\n', (size_t)(end - p))) {
        p++;
        if ((size_t)(end - p) <= n)
            return NULL;
        if (strncasecmp(p, name, n) == 0) {
            for (p += n; *p == ' ';)
                p++;
            return p;
        }
    }
    return NULL;
}

static void consume(struct conn *c, size_t n)
{
    c->have -= n;
    memmove(c->buf, c->buf + n, c->have);
}

/* Drops body bytes that are in the buffer; says whether the body is over. */
static bool drop_body(struct conn *c)
{
    static const char end[] = "0\r\n\r\n";
    if (c->body_left) {
        size_t n = c->have < c->body_left ? c->have : (size_t)c->body_left;
        c->body_left -= n;
        consume(c, n);
        return !c->body_left;
    }
    size_t i = 0;
    for (; i < c->have && c->chunked; i++) {
        if (c->buf[i] == end[c->matched])
            c->matched++;
        else
            c->matched = c->buf[i] == '0';
        if (c->matched == sizeof(end) - 1) {
            c->chunked = false;
            c->matched = 0;
        }
    }
    consume(c, i);
    return !c->chunked;
}

static void read_target(const char *p, const char *end, uint64_t *size, unsigned *kind)
{
    const char *last = p;
    *size = 0;
    *kind = 0;
    for (const char *s = p; s < end && *s != '?'; s++) {
        if (*s != '/')
            continue;
        if (s[1] == 'c' && s[2] == '/')
            *kind |= KIND_CACHEABLE;
        if (strncmp(s + 1, "json/", 5) == 0)
            *kind |= KIND_JSON;
        last = s + 1;
    }
    for (; *last >= '0' && *last <= '9' && *size <= MAX_BODY; last++)
        *size = *size * 10 + (uint64_t)(*last - '0');
    if (*last == 'k')
        *size <<= 10;
    else if (*last == 'm')
        *size <<= 20;
    if (*size > MAX_BODY)
        *size = MAX_BODY;
}

/* Reads one request head. 1: there was one, 0: it is not complete, -1: it is none. */
static int read_head(struct conn *c)
{
    const char *end = memmem(c->buf, c->have, "\r\n\r\n", 4);
    if (!end)
        return c->have == READ_SIZE ? -1 : 0;
    size_t len = (size_t)(end + 4 - c->buf);
    const char *target = memchr(c->buf, ' ', len);
    const char *version = target ? memchr(target + 1, ' ', (size_t)(end - target - 1)) : NULL;
    if (!version)
        return -1;
    uint64_t size;
    unsigned kind;
    read_target(target + 1, version, &size, &kind);
    end += 2;
    const char *connection = field(version, end, "connection:"), *length = field(version, end, "content-length:");
    c->closing = connection && strncasecmp(connection, "close", 5) == 0;
    if (strncmp(version, " HTTP/1.0", 9) == 0 && !(connection && strncasecmp(connection, "keep", 4) == 0))
        c->closing = true;
    if (length)
        c->body_left = strtoull(length, NULL, 10);
    else
        c->chunked = field(version, end, "transfer-encoding:") != NULL;
    if (field(version, end, "expect:"))
        (void)!write(c->fd, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    c->out = answer_get((uint32_t)size, kind, c->closing);
    c->out_at = 0;
    consume(c, len);
    return 1;
}

/* Works through the buffer; false when the connection is over. */
static bool conn_step(struct conn *c)
{
    for (;;) {
        if (c->body_left || c->chunked) {
            if (!drop_body(c))
                return true;
        } else if (!c->out) {
            int r = c->have ? read_head(c) : 0;
            if (r <= 0)
                return r == 0;
            if (c->body_left || c->chunked)
                continue;
        }
        int r = conn_flush(c);
        if (r <= 0)
            return r == 0;
    }
}

/* Bodies of known length are dropped in big bites past the buffer. */
static ssize_t conn_recv(struct conn *c)
{
    static char sink[1 << 18];
    if (!c->body_left || c->have) {
        ssize_t n = recv(c->fd, c->buf + c->have, READ_SIZE - c->have, 0);
        if (n > 0)
            c->have += (size_t)n;
        return n;
    }
    ssize_t n = recv(c->fd, sink, c->body_left < sizeof(sink) ? (size_t)c->body_left : sizeof(sink), 0);
    if (n > 0)
        c->body_left -= (uint64_t)n;
    return n;
}

static void conn_event(struct conn *c, uint32_t events)
{
    if (events & EPOLLOUT) {
        int r = conn_flush(c);
        if (r < 0 || (r == 1 && !conn_step(c)))
            conn_drop(c);
        return;
    }
    ssize_t n = conn_recv(c);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || !conn_step(c))
        conn_drop(c);
}

static int listen_on(uint16_t port)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    if (bind(s, (struct sockaddr *)&a, sizeof(a)) || listen(s, 4096)) {
        perror("backend: listen");
        exit(1);
    }
    return s;
}

static void accept_some(int listener)
{
    for (int k = 0; k < 64; k++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct conn *c = fd < MAX_FD ? malloc(sizeof(*c)) : NULL;
        if (!c) {
            close(fd);
            continue;
        }
        memset(c, 0, offsetof(struct conn, buf));
        c->fd = fd;
        conns[fd] = c;
        struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e);
    }
}

int main(int argc, char **argv)
{
    long port = argc == 2 ? strtol(argv[1], NULL, 10) : 0;
    if (port < 1 || port > 65535) {
        fprintf(stderr, "usage: backend PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on((uint16_t)port);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN, .data.fd = listener }, events[256];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_some(listener);
            else if (conns[fd])
                conn_event(conns[fd], events[i].events);
        }
    }
}
