/*
 * When a master has died: how the next one takes over.
 *
 * An engine serves on without its master. So that the next master need not wait for the ports, each master leaves its
 * engine a listening unix socket beside the pid file (PIDFILE.engine, mode 0600). An engine answers there only while it
 * has no master: it hands out its listening sockets, and once the new master's own engine serves, it is told to finish
 * what it has. Neither side believes the other more than it must: the connecting process must be of the master's user,
 * and what is handed out must be sockets that listen on the addresses that they are said to listen on.
 */
#ifndef APP_RESCUE_H
#define APP_RESCUE_H

#include <stdbool.h>

#include "base/slice.h"

struct bundle;
struct engine_listener;

/* The name of the socket for this pid file, in `out`. False when it would be too long. */
bool rescue_path(slice pid_path, char *out, size_t n);

/* The master: opens the socket; a file of that name is replaced. OK or ERR_SYS. */
int rescue_listen(const char *path, int *fd);
/*
 * The next master: asks whoever listens at `path` for its sockets. OK with *found (a bundle of listening sockets, to be
 * freed by the caller) and *conn (to be told CONTROL_QUIT, then closed); ERR_NOTFOUND when nobody answers, which is
 * usual; other errors when the answer cannot be used.
 */
int rescue_ask(const char *path, struct bundle **found, int *conn);

/* The engine: takes the next connection. OK with *conn, or an error code when there is none or it is not the master's
 * user. */
int rescue_accept(int fd, int *conn);
/* The engine: hands out its sockets. OK or an error code. */
int rescue_answer(int conn, const struct engine_listener *listeners);

#endif
