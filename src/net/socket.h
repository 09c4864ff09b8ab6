/*
 * Stream sockets: making, connecting, tuning. All are non-blocking and close-on-exec. Nothing here waits.
 */
#ifndef NET_SOCKET_H
#define NET_SOCKET_H

#include <stdbool.h>

#include "net/addr.h"

/*
 * Starts connecting to `peer`, from `bind_to` when that is not NULL (its port may be 0). OK when connected already,
 * ERR_AGAIN when it will be writable once decided; *fd is the caller's in both cases. ERR_SYS else, errno tells.
 */
int socket_connect(const struct addr *peer, const struct addr *bind_to, int *fd);
/* The error that the kernel holds for the socket (0: none) and clears by being asked: how a connect ended. */
int socket_error(int fd);
/* Send at once; a no-op on sockets that know no such thing. */
void socket_nodelay(int fd);
/* The next close sends RST and frees the socket without TIME_WAIT. */
void socket_reset_on_close(int fd);
/* TCP keep-alive; a value of 0 keeps the system's. idle and interval in seconds. OK or ERR_SYS. */
int socket_keepalive(int fd, bool on, int idle, int interval, int count);
/* The address of our side. OK or ERR_SYS. */
int socket_local(int fd, struct addr *out);

#endif
