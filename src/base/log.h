/*
 * The error log: levels, targets, one line per event.
 *
 * A line is nginx's: `2026/11/21 02:00:00 [error] 12#13: *7 text`. It is composed in one buffer and written with one
 * call, so lines of several threads do not mix. Bytes that are not printable are written as \xHH: nothing that a peer
 * sends can forge a line or move a cursor. A target is a descriptor that stays the same for life: reopening a file puts
 * the new file under the old number (dup2), so nobody who holds a log has to be told.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/syslog.h"

enum log_level {
    LEVEL_EMERG = 1,
    LEVEL_ALERT,
    LEVEL_CRIT,
    LEVEL_ERROR,
    LEVEL_WARN,
    LEVEL_NOTICE,
    LEVEL_INFO,
    LEVEL_DEBUG
};

enum { LOG_TARGETS_MAX = 8, LOG_LINE_MAX = 4096 };

struct log_target {
    int fd;
    enum log_level level; /* this level and more urgent ones */
    bool careful;         /* a pipe, a terminal: asked for room before each line, so that a stuck reader stops nobody */
    const struct syslog_to *syslog; /* fd is a socket for datagrams to there; NULL: a file */
};

/* A set of targets, as one `error_log` level of a configuration names them. Immutable once in use. */
struct log {
    struct log_target target[LOG_TARGETS_MAX];
    uint32_t n;
    enum log_level level; /* the least urgent of all targets: what is beyond is not even composed */
};

/* Where lines go that belong to no server: stderr until the configuration says otherwise. One per process. */
extern struct log *_Atomic log_main;

/*
 * Makes log_main write where `l` writes (at least one target), on duplicates of its descriptors that belong to the
 * process: `l` may be freed afterwards. Called again after `l`'s descriptors were replaced. From any thread. False when
 * a target could not be taken over; the others are in use then.
 */
bool log_main_set(const struct log *l);

static inline bool log_on(const struct log *l, enum log_level level)
{
    return level <= l->level;
}

const char *log_level_name(enum log_level level);
/* The level of that name (emerg ... debug), or 0. */
enum log_level log_level_find(slice name);

/* Appends a target; false when there are too many. */
bool log_add(struct log *l, int fd, enum log_level level);
/* The same with a socket (syslog_socket) and where its datagrams go; `to` lives as long as the log. */
bool log_add_syslog(struct log *l, int fd, enum log_level level, const struct syslog_to *to);

/* Writes one line if a target wants it. conn: connection number, 0 for none. */
void log_line(const struct log *l, enum log_level level, uint64_t conn, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same from parts: text, then suffix (", client: ..."), both escaped. */
void log_text(const struct log *l, enum log_level level, uint64_t conn, slice text, slice suffix);

/* Lines that a full disk or a broken pipe swallowed. */
uint64_t log_lost(void);

#endif
