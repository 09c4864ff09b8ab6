#include "app/rescue.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/control.h"
#include "app/engine_priv.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "net/socket.h"

enum { ANSWER_MS = 500 };

bool rescue_path(slice pid_path, char *out, size_t n)
{
    struct sockaddr_un un;
    int len = snprintf(out, n, "%.*s.engine", SLICE_FMT(pid_path));
    return pid_path.n && len > 0 && (size_t)len < n && (size_t)len < sizeof(un.sun_path);
}

static int unix_socket(const char *path, struct sockaddr_un *un)
{
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strnlen(path, sizeof(un->sun_path) - 1));
    return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int rescue_listen(const char *path, int *fd)
{
    struct sockaddr_un un;
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    int s = unix_socket(path, &un);
    mode_t mask = umask(0177);
    bool ok = s >= 0 && bind(s, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(s, 4) == 0;
    int err = errno;
    umask(mask);
    if (!ok) {
        if (s >= 0)
            close(s);
        errno = err;
        return ERR_SYS;
    }
    *fd = s;
    return OK;
}

/* Is the process at the other end of our user, or root? For a connecting side: the process that made the listener. */
static bool is_trusted(int fd, uid_t user)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && (cred.uid == user || cred.uid == 0);
}

/* ---- the engine ---- */

/* Who may ask: the user who made the listener. The kernel remembers the creator's identity, not ours. */
int rescue_accept(int fd, int *conn)
{
    struct ucred maker;
    socklen_t len = sizeof(maker);
    int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (c < 0)
        return ERR_SYS;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len) < 0 || !is_trusted(c, maker.uid)) {
        close(c);
        return ERR_REFUSED;
    }
    control_limit_send(c);
    *conn = c;
    return OK;
}

int rescue_answer(int conn, const struct engine_listener *listeners)
{
    int rc = OK;
    for (const struct engine_listener *l = listeners; rc == OK && l; l = l->next) {
        for (uint32_t at = 0; rc == OK && at < l->nfds;) {
            uint32_t n = l->nfds - at < CONTROL_FDS_MAX ? l->nfds - at : CONTROL_FDS_MAX;
            rc = control_send(conn, CONTROL_SOCKETS, 0, l->key, l->fds + at, n);
            at += n;
        }
    }
    return rc == OK ? control_send(conn, CONTROL_SOCKETS_END, 0, SLICE_NONE, NULL, 0) : rc;
}

/* ---- the next master ---- */

/* A stream socket that listens, and listens where it is said to. */
static bool is_listener(int fd, slice key)
{
    struct addr want, is;
    int type = 0, listens = 0;
    socklen_t len = sizeof(int), len2 = sizeof(int);
    return addr_parse(key, &want) == OK && socket_local(fd, &is) == OK && addr_eq(&want, &is) &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len2) == 0 && listens;
}

static int keep_sockets(struct bundle *b, struct control_msg *m)
{
    struct bundle_entry *e = bundle_descriptor(b, BUNDLE_LISTEN, m->payload);
    if (!e)
        return ERR_NOMEM;
    int *fds = realloc(e->fds, (e->nfds + m->nfds) * sizeof(int));
    if (!fds)
        return ERR_NOMEM;
    e->fds = fds;
    for (size_t i = 0; i < m->nfds; i++) {
        if (!is_listener(m->fds[i], m->payload))
            return ERR_SYNTAX;
        fds[e->nfds++] = m->fds[i];
        m->fds[i] = -1;
    }
    return OK;
}

static int next_message(int conn, struct control_msg *m)
{
    struct pollfd p = { .fd = conn, .events = POLLIN };
    int n = poll(&p, 1, ANSWER_MS);
    return n <= 0 ? ERR_TIMEOUT : control_recv(conn, m);
}

static int gather(int conn, struct bundle *b)
{
    static struct control_msg m; /* large */
    int rc = next_message(conn, &m);
    if (rc == ERR_TIMEOUT || rc == ERR_CLOSED)
        return ERR_NOTFOUND; /* an engine that has its master does not answer */
    while (rc == OK) {
        if (m.type == CONTROL_SOCKETS_END)
            return OK;
        rc = m.type == CONTROL_SOCKETS && m.nfds ? keep_sockets(b, &m) : ERR_SYNTAX;
        control_close(&m);
        if (rc == OK)
            rc = next_message(conn, &m);
    }
    return rc;
}

int rescue_ask(const char *path, struct bundle **found, int *conn)
{
    struct sockaddr_un un;
    int s = unix_socket(path, &un);
    if (s < 0)
        return ERR_SYS;
    if (connect(s, (struct sockaddr *)&un, sizeof(un)) < 0 || !is_trusted(s, geteuid())) {
        close(s);
        return ERR_NOTFOUND;
    }
    struct bundle *b = bundle_new(SLICE("/"));
    int rc = b ? gather(s, b) : ERR_NOMEM;
    if (rc < 0) {
        bundle_free(b);
        close(s);
        return rc;
    }
    control_limit_send(s);
    *found = b;
    *conn = s;
    return OK;
}
