/*
 * Log files as configurations name them: the error_log directive, and the descriptors behind every log.
 *
 * Logs are opened by whoever holds the open bundle (the master, with its rights) at the moment a directive names them;
 * a closed bundle brings the descriptor along. A log entry's descriptor keeps its number while the bundle lives:
 * reopening puts the new file under it.
 */
#ifndef CONF_LOGS_H
#define CONF_LOGS_H

#include "base/log.h"
#include "conf/bundle.h"
#include "conf/schema.h"

/*
 * One `error_log TARGET [LEVEL];`, at whatever level it stands: appends the target to *out. Several lines at one level
 * add up. Targets: a path, `stderr`. Returns OK or the code that conf_error returned.
 */
int log_directive(struct conf_ctx *cf, const struct conf_node *node, struct log *out);

/*
 * The descriptor of the log file `path` (relative: against the prefix), opened for appending when the bundle is open.
 * For error_log, access_log and their like. OK; ERR_SYS (errno as the open failed), ERR_NOTFOUND (closed), ERR_NOMEM.
 * Errors are the caller's to report.
 */
int log_file(struct bundle *b, slice path, int *fd);

/*
 * The target `syslog:server=ADDRESS[,facility=NAME][,severity=NAME][,tag=TEXT][,nohostname]` of an argument (nginx's
 * manual, "Logging to syslog"). *to is in the configuration's arena, *fd a socket of the bundle. OK, ERR_SYNTAX after
 * reporting, ERR_NOMEM. (conf/syslog.c)
 */
int log_syslog(struct conf_ctx *cf, const struct conf_node *node, int arg, const struct syslog_to **to, int *fd);
/* Is this text, or the key of this entry, a syslog target? */
bool log_is_syslog(slice target);

/* Opens `path` for appending; -1 and errno. */
int log_open(const char *path);
/*
 * How often logs were told to open their files anew (USR1), for who keeps files open that no bundle names; any thread
 * may ask.
 */
uint64_t logs_epoch(void);
void logs_next_epoch(void);
/* Puts the file behind `fd` under the number that the bundle's entry for `path` has. False: no such entry. */
bool logs_replace(struct bundle *b, slice path, int fd);

#endif
