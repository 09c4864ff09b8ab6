/*
 * A kernel for sockets, in memory: what fuzz_exchange.c puts under the event loop and the HTTP/1 ends.
 *
 * The calls that hinge makes on sockets (socket, connect, recv, send, sendmsg, sendfile, shutdown, close, socket
 * options, epoll) are defined here and so take the place of libc's. Descriptors from SIM_FD on are sockets of this
 * kernel; all others go to the real one. A script plays the peers: it pushes bytes, ends or resets a connection, says
 * how many bytes may be written, and how a connect ends. So a write can stop at any byte and an event can come at any
 * moment, and the same input always runs the same way. Time stands still unless sim_now is moved.
 *
 * Files are real, but making temporary ones can fail and writing to them stop short or fail (sim_disk).
 *
 * epoll is edge-triggered as in Linux: a descriptor is reported once after something has changed for it, with all that
 * holds for it at that time.
 */
#ifndef TESTS_FUZZ_SIM_H
#define TESTS_FUZZ_SIM_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/strb.h"

#define CHECK(condition, ...)                                                               \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: (%s) does not hold: ", __FILE__, __LINE__, #condition); \
            fprintf(stderr, __VA_ARGS__);                                                   \
            fputc('\n', stderr);                                                            \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

enum { SIM_FD = 1 << 20, SIM_SOCKS = 40, SIM_DISK_FULL = 255, SIM_DISK_GONE = 254 };
#define SIM_ROOM ((size_t)1 << 30)

struct sim_sock {
    bool used; /* was made in this run */
    bool open; /* hinge holds it */
    bool backend;
    bool connecting;
    bool watched, ready; /* in epoll; to be reported */
    void *data;
    struct strb in; /* towards hinge, from in_at on not read yet */
    size_t in_at;
    bool fin, reset;       /* by the peer, behind `in` */
    int error;             /* SO_ERROR */
    struct strb out;       /* all that hinge ever wrote */
    size_t room;           /* bytes that may still be written */
    bool nospace;          /* a write was cut short: more room is an event */
    bool shut;             /* hinge has shut its side */
    bool aborted;          /* hinge has closed with a reset */
    struct sockaddr_in to; /* whom it was connected to */
};

enum sim_connect { SIM_AT_ONCE, SIM_LATER, SIM_REFUSED };

static struct sim_sock sim_socks[SIM_SOCKS];
static unsigned sim_count;
static uint64_t sim_now; /* ms */
static enum sim_connect sim_next_connect;
static size_t sim_next_room;
static uint8_t sim_disk;    /* writes to files: 0 go well, SIM_DISK_FULL and SIM_DISK_GONE fail, else they stop short */
static bool sim_temp[1024]; /* descriptors of temporary files */
static bool sim_trace;      /* EXCHANGE_TRACE is set: what happens is printed */

#define SIM_SAY(...) (sim_trace ? (void)fprintf(stderr, __VA_ARGS__) : (void)0)

static struct sim_sock *sim_of(int fd)
{
    if (fd < SIM_FD)
        return NULL;
    CHECK(fd < SIM_FD + (int)sim_count && sim_socks[fd - SIM_FD].open, "descriptor %d is closed", fd - SIM_FD);
    return &sim_socks[fd - SIM_FD];
}

static int sim_number(const struct sim_sock *s)
{
    return (int)(s - sim_socks);
}

/* A new socket, or NULL: no descriptors left. */
static struct sim_sock *sim_new(bool backend)
{
    if (sim_count == SIM_SOCKS)
        return NULL;
    struct sim_sock *s = &sim_socks[sim_count++];
    memset(s, 0, sizeof(*s));
    s->used = s->open = true;
    s->backend = backend;
    s->room = SIM_ROOM;
    strb_init(&s->in, 0);
    strb_init(&s->out, 0);
    return s;
}

static void sim_reset(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        strb_done(&sim_socks[i].in);
        strb_done(&sim_socks[i].out);
    }
    sim_count = 0;
    sim_now = 1000000;
    sim_next_connect = SIM_AT_ONCE;
    sim_next_room = SIM_ROOM;
    sim_disk = 0;
}

static uint32_t sim_mask(const struct sim_sock *s)
{
    uint32_t e = 0;
    if (s->connecting)
        return 0;
    if (s->in_at < s->in.n || s->fin || s->reset)
        e |= EPOLLIN;
    if (s->room || s->reset)
        e |= EPOLLOUT;
    if (s->fin || s->reset)
        e |= EPOLLRDHUP;
    if (s->reset || (s->fin && s->shut))
        e |= EPOLLHUP;
    if (s->error)
        e |= EPOLLERR;
    return e;
}

/* ---- the peers' side ---- */

static void sim_push(struct sim_sock *s, slice bytes)
{
    if (!s->open || s->fin || s->reset || s->connecting || !bytes.n)
        return;
    SIM_SAY("%10llu  %d <- %zu bytes [%.*s]\n", (unsigned long long)sim_now, sim_number(s), bytes.n,
            (int)(bytes.n < 400 ? bytes.n : 400), bytes.p);
    strb_add(&s->in, bytes);
    s->ready = true;
}

static void sim_fin(struct sim_sock *s)
{
    if (!s->open || s->fin || s->reset || s->connecting)
        return;
    SIM_SAY("%10llu  %d <- FIN\n", (unsigned long long)sim_now, sim_number(s));
    s->fin = s->ready = true;
}

/* What was sent and not read stays readable, as in Linux. */
static void sim_rst(struct sim_sock *s, int error)
{
    if (!s->open || s->reset)
        return;
    SIM_SAY("%10llu  %d <- RST\n", (unsigned long long)sim_now, sim_number(s));
    s->reset = s->ready = true;
    s->connecting = false;
    s->error = error;
}

static void sim_room(struct sim_sock *s, size_t room)
{
    s->room = room;
    if (room && s->nospace)
        s->ready = true;
}

static void sim_connected(struct sim_sock *s)
{
    if (!s->open || !s->connecting)
        return;
    SIM_SAY("%10llu  %d <- connected\n", (unsigned long long)sim_now, sim_number(s));
    s->connecting = false;
    s->ready = true;
}

/* ---- what hinge calls ---- */

int socket(int domain, int type, int protocol)
{
    if ((type & 0xf) != SOCK_STREAM || domain == AF_UNIX)
        return (int)syscall(SYS_socket, domain, type, protocol);
    CHECK((type & SOCK_NONBLOCK) && (type & SOCK_CLOEXEC), "socket type %x", type);
    struct sim_sock *s = sim_new(true);
    if (!s) {
        errno = EMFILE;
        return -1;
    }
    return SIM_FD + sim_number(s);
}

int connect(int fd, const struct sockaddr *a, socklen_t n)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_connect, fd, a, n);
    enum sim_connect how = sim_next_connect;
    if (n >= sizeof(s->to))
        memcpy(&s->to, a, sizeof(s->to));
    SIM_SAY("%10llu  %d -> connect\n", (unsigned long long)sim_now, sim_number(s));
    sim_next_connect = SIM_AT_ONCE;
    s->room = sim_next_room;
    sim_next_room = SIM_ROOM;
    if (how == SIM_AT_ONCE)
        return 0;
    s->connecting = how == SIM_LATER;
    errno = how == SIM_LATER ? EINPROGRESS : ECONNREFUSED;
    return -1;
}

int getpeername(int fd, struct sockaddr *restrict a, socklen_t *restrict n)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_getpeername, fd, a, n);
    *n = sizeof(s->to);
    memcpy(a, &s->to, sizeof(s->to));
    return 0;
}

static int sim_take_error(struct sim_sock *s)
{
    int e = s->error;
    s->error = 0;
    return e;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return syscall(SYS_recvfrom, fd, buf, n, flags, NULL, NULL);
    size_t there = s->in.n - s->in_at;
    CHECK(!s->connecting && n > 0, "recv on a socket that is being connected, or of nothing");
    if (there) {
        if (n > there)
            n = there;
        memcpy(buf, s->in.p + s->in_at, n);
        if (!(flags & MSG_PEEK))
            s->in_at += n;
        return (ssize_t)n;
    }
    if (s->error) {
        errno = sim_take_error(s);
        return -1;
    }
    if (s->fin || s->reset)
        return 0;
    errno = EAGAIN;
    return -1;
}

/* How many of n bytes may be written now; -1 and errno when none. */
static ssize_t sim_may_write(struct sim_sock *s, size_t n)
{
    CHECK(!s->connecting && n > 0, "a write on a socket that is being connected, or of nothing");
    CHECK(!s->shut, "a write behind shutdown");
    if (s->reset) {
        errno = s->error ? sim_take_error(s) : EPIPE;
        return -1;
    }
    if (n <= s->room)
        return (ssize_t)n;
    s->nospace = true;
    if (s->room)
        return (ssize_t)s->room;
    errno = EAGAIN;
    return -1;
}

static void sim_write(struct sim_sock *s, slice bytes)
{
    SIM_SAY("%10llu  %d -> %zu bytes [%.*s]\n", (unsigned long long)sim_now, sim_number(s), bytes.n,
            (int)(bytes.n < 400 ? bytes.n : 400), bytes.p);
    strb_add(&s->out, bytes);
    s->room -= bytes.n;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct sim_sock *s = sim_of(fd);
    size_t total = 0;
    if (!s)
        return syscall(SYS_sendmsg, fd, m, flags);
    CHECK(flags & MSG_NOSIGNAL, "a write that may raise SIGPIPE");
    for (size_t i = 0; i < m->msg_iovlen; i++)
        total += m->msg_iov[i].iov_len;
    ssize_t n = sim_may_write(s, total);
    for (size_t i = 0, left = n > 0 ? (size_t)n : 0; left; i++) {
        slice part = slice_upto(slice_of(m->msg_iov[i].iov_base, m->msg_iov[i].iov_len), left);
        sim_write(s, part);
        left -= part.n;
    }
    return n;
}

/* Between a socket of ours and a pipe of the kernel's, which is a real one. */
ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
    static char bytes[1 << 16];
    struct sim_sock *from = sim_of(in), *to = sim_of(out);
    if (!from && !to)
        return syscall(SYS_splice, in, in_at, out, out_at, n, flags);
    CHECK(!from != !to && n, "a splice between sockets, or of nothing");
    n = n < sizeof(bytes) ? n : sizeof(bytes);
    if (from) {
        ssize_t there = recv(in, bytes, n, MSG_PEEK);
        if (there <= 0)
            return there;
        ssize_t put = write(out, bytes, (size_t)there);
        return put > 0 ? recv(in, bytes, (size_t)put, 0) : put;
    }
    ssize_t room = sim_may_write(to, n);
    if (room <= 0)
        return room;
    ssize_t got = read(in, bytes, (size_t)room);
    if (got > 0)
        sim_write(to, slice_of(bytes, (size_t)got));
    return got;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    struct iovec v = { (void *)p, n };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
    if (fd < SIM_FD)
        return syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
    return sendmsg(fd, &m, flags);
}

ssize_t sendfile(int fd, int from, off_t *offset, size_t n)
{
    struct sim_sock *s = sim_of(fd);
    char part[4096];
    if (!s)
        return syscall(SYS_sendfile, fd, from, offset, n);
    ssize_t may = sim_may_write(s, n), done = 0;
    while (done < may) {
        size_t want = (size_t)(may - done) < sizeof(part) ? (size_t)(may - done) : sizeof(part);
        ssize_t got = pread(from, part, want, *offset);
        if (got <= 0)
            break;
        sim_write(s, slice_of(part, (size_t)got));
        *offset += got;
        done += got;
    }
    return may < 0 ? may : done;
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    bool temporary = (flags & O_TMPFILE) == O_TMPFILE;
    if (temporary && sim_disk == SIM_DISK_GONE) {
        errno = EIO;
        return -1;
    }
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    CHECK(fd < (int)(sizeof(sim_temp) / sizeof(*sim_temp)), "descriptor %d", fd);
    if (fd >= 0)
        sim_temp[fd] = temporary;
    return fd;
}

static inline unsigned sim_temporary_files(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < sizeof(sim_temp) / sizeof(*sim_temp); i++)
        n += sim_temp[i];
    return n;
}

/* A short write is a part of the first piece, as small as sim_disk says, or all of it and a part of the second. */
ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    CHECK(n > 0 && n <= 1024, "pwritev of %d pieces", n);
    if (sim_disk == SIM_DISK_FULL || sim_disk == SIM_DISK_GONE) {
        errno = ENOSPC;
        return -1;
    }
    if (sim_disk == 0)
        return syscall(SYS_pwritev, fd, iov, n, at, 0);
    struct iovec part[2] = { iov[0], n > 1 ? iov[1] : (struct iovec){ 0 } };
    unsigned last = n > 1 && (sim_disk & 1);
    part[last].iov_len = (part[last].iov_len + sim_disk - 1) / sim_disk;
    return syscall(SYS_pwritev, fd, part, last + 1, at, 0);
}

int shutdown(int fd, int how)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_shutdown, fd, how);
    SIM_SAY("%10llu  %d -> shutdown\n", (unsigned long long)sim_now, sim_number(s));
    s->shut = true;
    if (how == SHUT_RDWR)
        s->fin = s->ready = true;
    return 0;
}

int close(int fd)
{
    struct sim_sock *s = sim_of(fd);
    if (!s) {
        if (fd >= 0 && fd < (int)sizeof(sim_temp))
            sim_temp[fd] = false;
        return (int)syscall(SYS_close, fd);
    }
    SIM_SAY("%10llu  %d -> close\n", (unsigned long long)sim_now, sim_number(s));
    s->open = s->watched = s->ready = false;
    return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t n)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_setsockopt, fd, level, name, value, n);
    if (level == SOL_SOCKET && name == SO_LINGER)
        s->aborted = true;
    return 0;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict n)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_getsockopt, fd, level, name, value, n);
    if (level != SOL_SOCKET || name != SO_ERROR) {
        errno = ENOPROTOOPT;
        return -1;
    }
    *(int *)value = sim_take_error(s);
    return 0;
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    struct sim_sock *s = sim_of(fd);
    if (!s)
        return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
    CHECK(op == (s->watched ? EPOLL_CTL_DEL : EPOLL_CTL_ADD), "epoll_ctl %d", op);
    s->watched = op == EPOLL_CTL_ADD;
    if (s->watched) {
        s->data = ev->data.ptr;
        s->ready = sim_mask(s) != 0;
    }
    return 0;
}

/* The loop sleeps nowhere here: what is ready is reported, and time is the script's. */
int epoll_wait(int epfd, struct epoll_event *ev, int max, int ms)
{
    int n = 0;
    (void)epfd;
    (void)ms;
    for (unsigned i = 0; i < sim_count && n < max; i++) {
        struct sim_sock *s = &sim_socks[i];
        uint32_t events = s->open && s->watched && s->ready ? sim_mask(s) : 0;
        if (!events)
            continue;
        s->ready = false;
        if (events & EPOLLOUT)
            s->nospace = false; /* room that goes before it was reported must be reported again */
        ev[n++] = (struct epoll_event){ .events = events, .data.ptr = s->data };
    }
    return n;
}

static bool sim_quiet(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        const struct sim_sock *s = &sim_socks[i];
        if (s->open && s->watched && s->ready && sim_mask(s))
            return false;
    }
    return true;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (id != CLOCK_MONOTONIC_COARSE && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, t);
    uint64_t ms = id == CLOCK_REALTIME_COARSE ? sim_now + 1700000000000ull : sim_now;
    t->tv_sec = (time_t)(ms / 1000);
    t->tv_nsec = (long)(ms % 1000) * 1000000;
    return 0;
}

#endif
