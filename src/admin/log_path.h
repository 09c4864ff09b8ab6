/*
 * Logs whose path holds variables: `access_log /var/log/sites/$host.log`.
 *
 * The literal directory at the front of the path is a tree of the bundle; what variables make of the rest is opened
 * beneath it by the engine, so no value leads out of that directory (policy/files.h says the same of roots). As in
 * nginx, such a log is not buffered, and nothing is written for a request whose root directory does not exist, so that
 * names that clients make up do not become files.
 *
 * Files are opened for each line, or kept by open_log_file_cache: one cache a worker, shared by all levels that have
 * one, because a file is the same file whoever names it. A level's own numbers hold for the lines that it writes.
 */
#ifndef ADMIN_LOG_PATH_H
#define ADMIN_LOG_PATH_H

#include "admin/log_format.h"
#include "base/list.h"
#include "conf/bundle.h"

struct log_path {
    struct template text; /* absolute */
    const struct bundle_entry *tree;
    size_t front; /* bytes of the text that are the tree's */
};

/* open_log_file_cache */
struct log_cache_conf {
    uint64_t max, inactive, valid, min_uses; /* max 0: off; times in ms */
};

enum { LOG_PATH_BUCKETS = 128 };

/* The files that a worker keeps open. */
struct log_paths {
    struct loop *loop;
    struct list used; /* struct open_log, the last used first */
    struct open_log *buckets[LOG_PATH_BUCKETS];
    uint64_t count, epoch;
    struct timer timer; /* when the one that was not used for the longest time is closed */
};

void log_paths_init(struct log_paths *p, struct loop *loop);
void log_paths_done(struct log_paths *p);

/*
 * From the set function of access_log: argument 0 has variables. *out is in the configuration's arena. OK, ERR_SYNTAX
 * after reporting, ERR_NOMEM.
 */
int log_path_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_path **out);
/* One open_log_file_cache directive into *out. OK or ERR_SYNTAX after reporting. */
int log_cache_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_cache_conf *out);

/* Writes the line of an exchange that has ended. `c` may be NULL: the file is opened for the line alone. */
void log_path_line(struct exchange *x, const struct log_path *p, const struct log_cache_conf *c,
                   const struct log_format *f);

#endif
