#include "net/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static int close_failed(int fd)
{
    int err = errno;
    close(fd);
    errno = err;
    return ERR_SYS;
}

int socket_connect(const struct addr *peer, const struct addr *bind_to, int *fd)
{
    int s = socket(peer->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0)
        return ERR_SYS;
    if (bind_to) {
        int on = 1;
        if (addr_port(bind_to) == 0) /* the port is chosen at connect, by the whole four-tuple */
            setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        else
            setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(s, &bind_to->sa, bind_to->len) < 0)
            return close_failed(s);
    }
    int rc = connect(s, &peer->sa, peer->len);
    if (rc < 0 && errno != EINPROGRESS && errno != EINTR)
        return close_failed(s); /* a unix socket with a full queue says EAGAIN and will never become writable */
    *fd = s;
    return rc == 0 ? OK : ERR_AGAIN;
}

int socket_error(int fd)
{
    int err = 0;
    socklen_t len = sizeof(err);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return errno;
    return err;
}

void socket_nodelay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void socket_reset_on_close(int fd)
{
    struct linger l = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

static int set_tcp(int fd, int name, int value)
{
    if (value == 0)
        return OK;
    return setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value)) < 0 ? ERR_SYS : OK;
}

int socket_keepalive(int fd, bool on, int idle, int interval, int count)
{
    int v = on;
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)) < 0)
        return ERR_SYS;
    if (!on)
        return OK;
    int rc = set_tcp(fd, TCP_KEEPIDLE, idle);
    if (rc == OK)
        rc = set_tcp(fd, TCP_KEEPINTVL, interval);
    if (rc == OK)
        rc = set_tcp(fd, TCP_KEEPCNT, count);
    return rc;
}

int socket_local(int fd, struct addr *out)
{
    struct addr a;
    memset(&a, 0, sizeof(a));
    a.len = sizeof(a.un);
    if (getsockname(fd, &a.sa, &a.len) < 0)
        return ERR_SYS;
    *out = a;
    return OK;
}
