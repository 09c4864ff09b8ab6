/*
 * Lines on their way to log files: one buffer a worker and file, written whole.
 *
 * A log without `buffer=` is written at the end of the loop turn in which its lines were made, one with it when the
 * buffer is full, when `flush=` has passed, or when the generation that named it is no longer current. While a buffer
 * holds lines it holds the generation too, because the descriptor belongs to that. Lines that a full disk or a reader
 * that does not keep up did not take are lost and counted; nobody waits for a log. With `gzip=` every buffer becomes
 * one member of a gzip file.
 */
#ifndef ADMIN_LOG_BUFFER_H
#define ADMIN_LOG_BUFFER_H

#include "base/strb.h"
#include "base/syslog.h"
#include "http/worker.h"

/* A file, or a syslog server, as a configuration names it. */
struct log_file {
    slice path;
    int fd;
    const struct syslog_to *syslog; /* lines leave one by one, as datagrams; NULL: a file */
    uint64_t buffer;                /* bytes; 0: write each turn */
    uint64_t flush;                 /* ms; 0: never by time */
    uint8_t gzip;                   /* level 1 to 9: what is written is a member of a gzip file; 0: text */
    struct log_file *next;
};

/* The builder to append one line of this exchange's generation to, or NULL when out of memory. */
struct strb *log_buffer_begin(struct worker *w, struct gen_ref *gen, const struct log_file *f);
/* The line is whole: writes if it is time. */
void log_buffer_end(struct worker *w, struct strb *line);

/* Lines for `path` were lost: counted, and told now and then. */
void log_buffer_lost(struct worker *w, slice path, int err);
/* The files of log_path.h. */
struct log_paths;
struct log_paths *log_buffer_paths(struct worker *w);

extern const struct room_hooks admin_room;

#endif
