/*
 * Opening listening sockets: the master's part of net/listen.h.
 *
 * The texts of the messages are nginx's, and so is the patience: an address in use is tried five times, half a second
 * apart, because the usual reason is a predecessor that is just leaving.
 */
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "net/socket.h"

enum { BIND_TRIES = 5, BIND_PAUSE_MS = 500 };

static void report(const struct listen_how *how, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void report(const struct listen_how *how, enum log_level level, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    how->report(how->ctx, level, text);
}

/* nginx's form of a failed call on an address; errno says why. */
static int failed(const struct listen_how *how, const char *what, slice key)
{
    int err = errno;
    report(how, LEVEL_EMERG, "%s %.*s failed (%d: %s)", what, SLICE_FMT(key), err, strerror(err));
    errno = err;
    return ERR_SYS;
}

static bool is_unix(const struct listen_opts *o)
{
    return o->addr.sa.sa_family == AF_UNIX;
}

static bool set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) == 0;
}

/* A bound socket, or ERR_SYS after a report; "in use" is left to the caller (errno EADDRINUSE, no report). */
static int bound(const struct listen_how *how, slice key, const struct listen_opts *o, bool share, int *out)
{
    int fd = socket(o->addr.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(how, "socket()", key);
    const char *what = NULL;
    if (!is_unix(o) && !set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1))
        what = "setsockopt(SO_REUSEADDR)";
    else if (share && !set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1))
        what = "setsockopt(SO_REUSEPORT)";
    else if (o->addr.sa.sa_family == AF_INET6 && !set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->ipv6only))
        what = "setsockopt(IPV6_V6ONLY)";
    else if (bind(fd, &o->addr.sa, o->addr.len) < 0)
        what = "bind() to";
    if (!what) {
        *out = fd;
        return OK;
    }
    if (errno != EADDRINUSE)
        failed(how, what, key);
    int err = errno;
    close(fd);
    errno = err;
    return ERR_SYS;
}

/* What can be set on an open socket, and set anew when a reload changes it. Failures are told and survived, as in
 * nginx. */
static void tune(const struct listen_how *how, slice key, const struct listen_opts *o, int fd)
{
    if ((o->set & LISTEN_RCVBUF) && !set_int(fd, SOL_SOCKET, SO_RCVBUF, o->rcvbuf))
        report(how, LEVEL_WARN, "setsockopt(SO_RCVBUF) %.*s failed, ignored", SLICE_FMT(key));
    if ((o->set & LISTEN_SNDBUF) && !set_int(fd, SOL_SOCKET, SO_SNDBUF, o->sndbuf))
        report(how, LEVEL_WARN, "setsockopt(SO_SNDBUF) %.*s failed, ignored", SLICE_FMT(key));
    if (is_unix(o))
        return;
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted connections have it from here: no call for each */
    if ((o->set & LISTEN_KEEPALIVE) && socket_keepalive(fd, o->keepalive, o->keepidle, o->keepintvl, o->keepcnt) < 0)
        report(how, LEVEL_WARN, "setsockopt(SO_KEEPALIVE) %.*s failed, ignored", SLICE_FMT(key));
    if ((o->set & LISTEN_FASTOPEN) && !set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen))
        report(how, LEVEL_WARN, "setsockopt(TCP_FASTOPEN) %.*s failed, ignored", SLICE_FMT(key));
    if (!set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, o->deferred) && o->deferred)
        report(how, LEVEL_WARN, "setsockopt(TCP_DEFER_ACCEPT) %.*s failed, ignored", SLICE_FMT(key));
}

static int start_listening(const struct listen_how *how, slice key, const struct listen_opts *o, int fd)
{
    tune(how, key, o, fd);
    if (listen(fd, o->backlog) == 0)
        return OK;
    report(how, LEVEL_EMERG, "listen() to %.*s, backlog %d failed (%d: %s)", SLICE_FMT(key), o->backlog, errno,
           strerror(errno));
    return ERR_SYS;
}

static int keep_fd(struct bundle_entry *e, int fd)
{
    int *fds = realloc(e->fds, (e->nfds + 1) * sizeof(int));
    if (!fds)
        return ERR_NOMEM;
    fds[e->nfds++] = fd;
    e->fds = fds;
    return OK;
}

static int open_one(const struct listen_how *how, struct bundle_entry *e, const struct listen_opts *o)
{
    int fd = -1;
    int rc = bound(how, e->key, o, !is_unix(o), &fd);
    if (rc < 0)
        return rc;
    if (is_unix(o))
        chmod(o->addr.un.sun_path, 0666);
    rc = start_listening(how, e->key, o, fd);
    if (rc == OK)
        rc = keep_fd(e, fd);
    if (rc < 0)
        close(fd);
    return rc;
}

/*
 * Removes a socket file that nobody listens on any more: what a killed predecessor leaves behind. Nothing but a socket
 * is ever removed, and only after a connect was refused.
 */
static void remove_stale(const struct listen_opts *o)
{
    struct stat st;
    if (lstat(o->addr.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd;
    int rc = socket_connect(&o->addr, NULL, &fd);
    if (rc == OK || rc == ERR_AGAIN)
        close(fd);
    else if (errno == ECONNREFUSED)
        unlink(o->addr.un.sun_path);
}

/* Do two addresses of one port stand in each other's way? A wildcard does with every address of its family. */
static bool overlap(const struct addr *a, const struct addr *b)
{
    if (addr_port(a) != addr_port(b) || a->sa.sa_family == AF_UNIX || b->sa.sa_family == AF_UNIX)
        return false;
    static const struct in6_addr any6 = IN6ADDR_ANY_INIT;
    bool any_a =
        a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == 0 : memcmp(&a->in6.sin6_addr, &any6, sizeof(any6)) == 0;
    bool any_b =
        b->sa.sa_family == AF_INET ? b->in.sin_addr.s_addr == 0 : memcmp(&b->in6.sin6_addr, &any6, sizeof(any6)) == 0;
    return any_a || any_b || addr_eq(a, b);
}

/* Is it one of our own sockets that makes the address look taken? */
static bool taken_by_us(struct bundle *b, const struct listen_opts *o)
{
    if (!b)
        return false;
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        struct addr other;
        if (e->kind == BUNDLE_LISTEN && e->nfds > 0 && addr_parse(e->key, &other) == OK && overlap(&other, &o->addr))
            return true;
    }
    return false;
}

/* Is the address free? Asked without SO_REUSEPORT, which would let us join another instance of ourselves. */
static int probe(struct bundle *b, const struct listen_how *how, slice key, const struct listen_opts *o)
{
    int fd;
    if (is_unix(o) && !how->test)
        remove_stale(o);
    if (is_unix(o) && !how->test)
        return OK; /* the bind itself tells */
    int rc = bound(how, key, o, false, &fd);
    if (rc < 0)
        return errno == EADDRINUSE && (taken_by_us(b, o) || taken_by_us(how->previous, o)) ? OK : rc;
    close(fd);
    if (is_unix(o))
        unlink(o->addr.un.sun_path);
    return OK;
}

/* Takes the sockets over that the previous bundle had for the address. */
static int inherit(struct bundle_entry *e, struct bundle *previous)
{
    if (!previous)
        return OK;
    for (struct bundle_entry *p = bundle_first(previous); p; p = p->next) {
        if (p->kind != BUNDLE_LISTEN || !slice_eq(p->key, e->key))
            continue;
        for (uint32_t i = 0; i < p->nfds; i++) {
            int fd = fcntl(p->fds[i], F_DUPFD_CLOEXEC, 0);
            if (fd < 0)
                return ERR_SYS;
            if (keep_fd(e, fd) < 0) {
                close(fd);
                return ERR_NOMEM;
            }
        }
    }
    return OK;
}

static int grow(const struct listen_how *how, struct bundle_entry *e, const struct listen_opts *o)
{
    uint32_t want = is_unix(o) ? 1 : how->workers;
    int rc = OK;
    while (rc == OK && e->nfds < want)
        rc = open_one(how, e, o);
    return rc;
}

static int take_over(struct bundle *b, const struct listen_how *how)
{
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        struct listen_opts o;
        if (e->kind != BUNDLE_LISTEN || e->nfds > 0)
            continue;
        int rc = inherit(e, how->previous);
        if (rc < 0)
            return failed(how, "dup() of", e->key);
        rc = listen_options(b, e->key, &o);
        for (uint32_t i = 0; rc == OK && i < e->nfds; i++)
            rc = start_listening(how, e->key, &o, e->fds[i]);
        if (rc == OK && e->nfds > 0)
            rc = grow(how, e, &o);
        if (rc < 0)
            return rc;
    }
    return OK;
}

/* One try at everything that has no socket yet. *busy: some address is in use, which may pass. */
static int open_new(struct bundle *b, const struct listen_how *how, bool *busy)
{
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        struct listen_opts o;
        if (e->kind != BUNDLE_LISTEN || e->nfds > 0)
            continue;
        int rc = listen_options(b, e->key, &o);
        if (rc < 0)
            return rc;
        rc = probe(b, how, e->key, &o);
        if (rc == OK && !how->test)
            rc = grow(how, e, &o);
        if (rc == OK)
            continue;
        if (errno != EADDRINUSE)
            return ERR_SYS;
        if (how->test)
            continue;
        failed(how, "bind() to", e->key);
        *busy = true;
    }
    return OK;
}

int listen_open_all(struct bundle *b, const struct listen_how *how)
{
    unsigned tries = how->tries ? how->tries : BIND_TRIES;
    int rc = take_over(b, how);
    for (unsigned try = 1; rc == OK; try++) {
        bool busy = false;
        rc = open_new(b, how, &busy);
        if (rc < 0 || !busy)
            return rc;
        if (try >= tries)
            break;
        report(how, LEVEL_NOTICE, "try again to bind() after %dms", BIND_PAUSE_MS);
        nanosleep(&(struct timespec){ .tv_nsec = BIND_PAUSE_MS * 1000000L }, NULL);
    }
    if (rc == OK)
        report(how, LEVEL_EMERG, "still could not bind()");
    return ERR_SYS;
}

static bool has_key(struct bundle *b, slice key)
{
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        if (e->kind == BUNDLE_LISTEN && e->nfds > 0 && slice_eq(e->key, key))
            return true;
    }
    return false;
}

void listen_unlink(struct bundle *b, struct bundle *keep)
{
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        struct addr a;
        if (e->kind != BUNDLE_LISTEN || e->nfds == 0 || (keep && has_key(keep, e->key)))
            continue;
        if (addr_parse(e->key, &a) == OK && a.sa.sa_family == AF_UNIX)
            unlink(a.un.sun_path);
    }
}
