/*
 * The pid file: how scripts find the master, and how they see that it is ready.
 */
#ifndef APP_PIDFILE_H
#define APP_PIDFILE_H

#include <sys/types.h>

/* Writes our number, whole or not at all. OK or ERR_SYS. */
int pidfile_write(const char *path);
/* The number in the file. OK, ERR_SYS (cannot be read), ERR_SYNTAX (holds no number). */
int pidfile_read(const char *path, pid_t *pid);

#endif
