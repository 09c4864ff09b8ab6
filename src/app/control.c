#include "app/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"

enum { CONTROL_MAGIC = 0x48474531, CONTROL_VERSION = 1, SEND_TIMEOUT_S = 5, BUNDLE_FDS_MAX = 1 << 20 };

struct head {
    uint32_t magic;
    uint16_t version, type;
    uint64_t id;
    uint32_t len, nfds;
};

void control_limit_send(int fd)
{
    struct timeval tv = { .tv_sec = SEND_TIMEOUT_S };
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

int control_pair(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) < 0)
        return ERR_SYS;
    control_limit_send(fd[0]);
    control_limit_send(fd[1]);
    return OK;
}

union fd_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

static int send_result(ssize_t n)
{
    if (n >= 0)
        return OK;
    if (errno == EPIPE || errno == ECONNRESET)
        return ERR_CLOSED;
    return errno == EAGAIN ? ERR_TIMEOUT : ERR_SYS;
}

int control_send(int fd, enum control_type type, uint64_t id, slice payload, const int *fds, size_t nfds)
{
    if (payload.n > CONTROL_TEXT_MAX || nfds > CONTROL_FDS_MAX)
        return ERR_LIMIT;
    struct head h = { .magic = CONTROL_MAGIC,
                      .version = CONTROL_VERSION,
                      .type = (uint16_t)type,
                      .id = id,
                      .len = (uint32_t)payload.n,
                      .nfds = (uint32_t)nfds };
    struct iovec iov[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)payload.p, payload.n } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = payload.n ? 2 : 1 };
    union fd_space space;
    memset(&space, 0, sizeof(space));
    if (nfds) {
        m.msg_control = space.bytes;
        m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return send_result(n);
}

void control_close(struct control_msg *m)
{
    for (size_t i = 0; i < m->nfds; i++) {
        if (m->fds[i] >= 0)
            close(m->fds[i]);
    }
    m->nfds = 0;
}

static void take_fds(struct msghdr *h, struct control_msg *m)
{
    m->nfds = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (m->nfds < CONTROL_FDS_MAX)
                m->fds[m->nfds++] = fd;
            else
                close(fd);
        }
    }
}

static bool head_ok(const struct head *h, size_t got, const struct control_msg *m)
{
    return h->magic == CONTROL_MAGIC && h->version == CONTROL_VERSION && h->type > 0 && h->type < CONTROL_TYPES &&
           h->len == got - sizeof(*h) && h->nfds == m->nfds;
}

int control_recv(int fd, struct control_msg *m)
{
    struct head h;
    struct iovec iov[2] = { { &h, sizeof(h) }, { m->text, sizeof(m->text) } };
    union fd_space space;
    struct msghdr msg = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = space.bytes, .msg_controllen = sizeof(space.bytes)
    };
    ssize_t n;
    do
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN ? ERR_AGAIN : errno == ECONNRESET ? ERR_CLOSED : ERR_SYS;
    if (n == 0)
        return ERR_CLOSED;
    take_fds(&msg, m);
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || (size_t)n < sizeof(h) || !head_ok(&h, (size_t)n, m)) {
        control_close(m);
        return ERR_SYNTAX;
    }
    m->type = (enum control_type)h.type;
    m->id = h.id;
    m->payload = slice_of(m->text, h.len);
    return OK;
}

int control_send_bundle(int fd, uint64_t id, int memfd, const int *fds, size_t nfds)
{
    if (nfds > BUNDLE_FDS_MAX)
        return ERR_LIMIT;
    struct control_bundle b = { .nfds = (uint32_t)nfds };
    int rc = control_send(fd, CONTROL_BUNDLE, id, slice_of((const char *)&b, sizeof(b)), &memfd, 1);
    for (size_t at = 0; rc == OK && at < nfds;) {
        size_t n = nfds - at < CONTROL_FDS_MAX ? nfds - at : CONTROL_FDS_MAX;
        rc = control_send(fd, CONTROL_FDS, id, SLICE_NONE, fds + at, n);
        at += n;
    }
    return rc;
}

static int begin(struct control_transfer *t, struct control_msg *m)
{
    struct control_bundle b;
    control_transfer_done(t); /* a new one before the old one's end: the old one is void */
    if (m->nfds != 1 || m->payload.n != sizeof(b))
        return ERR_SYNTAX;
    memcpy(&b, m->payload.p, sizeof(b));
    if (b.nfds > BUNDLE_FDS_MAX)
        return ERR_SYNTAX;
    t->fds = b.nfds ? calloc(b.nfds, sizeof(int)) : NULL;
    if (b.nfds && !t->fds)
        return ERR_NOMEM;
    t->id = m->id;
    t->want = b.nfds;
    t->memfd = m->fds[0];
    m->nfds = 0;
    return t->want == 0 ? OK : ERR_MORE;
}

static int add_fds(struct control_transfer *t, struct control_msg *m)
{
    if (t->memfd < 0 || m->id != t->id || m->nfds == 0 || m->nfds > t->want - t->have)
        return ERR_SYNTAX;
    memcpy(t->fds + t->have, m->fds, m->nfds * sizeof(int));
    t->have += m->nfds;
    m->nfds = 0;
    return t->have == t->want ? OK : ERR_MORE;
}

int control_gather(struct control_transfer *t, struct control_msg *m)
{
    int rc = m->type == CONTROL_BUNDLE ? begin(t, m) : add_fds(t, m);
    control_close(m);
    return rc;
}

void control_transfer_done(struct control_transfer *t)
{
    for (size_t i = 0; i < t->have; i++) {
        if (t->fds[i] >= 0)
            close(t->fds[i]);
    }
    if (t->memfd >= 0)
        close(t->memfd);
    free(t->fds);
    *t = (struct control_transfer){ .memfd = -1 };
}
