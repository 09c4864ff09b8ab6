/*
 * The bundle: everything that a configuration names, read once.
 *
 * A configuration is compiled from a bundle and from nothing else, so start, reload, -t and the restart of a crashed
 * engine are one path and cannot see different files. A bundle is *open* while the master gathers: a resource that it
 * does not hold yet is fetched (from disk, from the resolver) and kept. It is then written to a sealed memory file, and
 * an engine reads it back *closed*: what it does not hold does not exist.
 *
 * Entries are kept by kind and key. Text entries own their bytes. Descriptors are not in the text: the entry holds an
 * array of them, which travels beside the memory file in the order of the entries.
 *
 * What is large is in memory once, whoever has the bundle: a file of BUNDLE_LARGE bytes or more lives in a memory file
 * of its own (base/memfile.h), which the entry has for a descriptor; every process that holds the bundle maps it. And
 * of what is needed only to make something else (a list of a million names), the open bundle keeps what was made of it,
 * a table in a memory file, and not the text.
 *
 * A failed fetch is kept like a successful one, so that the same configuration fails in the same way in the engine.
 * Not thread-safe: a bundle is used by one thread at a time.
 */
#ifndef CONF_BUNDLE_H
#define CONF_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum bundle_kind {
    BUNDLE_FILE,   /* key: full path; text: contents */
    BUNDLE_GLOB,   /* key: pattern; text: matching full paths, sorted, each followed by a NUL */
    BUNDLE_NAME,   /* key: host name; text: addresses as text, each followed by a NUL */
    BUNDLE_LISTEN, /* key: canonical listening address; fds: its sockets */
    BUNDLE_LOG,    /* key: full path; fds: one, opened for appending */
    BUNDLE_DIR,    /* key: full path; fds: one, a directory for files without a name */
    BUNDLE_OPTION, /* key: name; text: a fact of the command line (prefix, pid path, -g text, ...) */
    BUNDLE_TREE,   /* key: full path; fds: one, a directory beneath which files are opened (conf/trees.h) */
    BUNDLE_TABLE,  /* key: its maker's; fds: one, a sealed memory file that was made of files */
};

enum { BUNDLE_LARGE = 64 << 10 }; /* bytes from which a file is not kept as text of its entry */

struct bundle_entry {
    enum bundle_kind kind;
    slice key, text;
    int *fds; /* nfds descriptors (malloc), or NULL; bundle_free closes those that are not negative */
    uint32_t nfds;
    bool mapped; /* `text` and a NUL behind it are the memory file fds[0] */
    int error;   /* errno of a fetch that failed, remembered so that a closed bundle answers the same; 0 else */
    struct bundle_entry *next;
};

struct bundle;

/*
 * How an open bundle finds the addresses of a name: fills `out` (a strb) with addresses as text, each followed by NUL.
 * OK, ERR_NOTFOUND when the name does not exist, or another error.
 */
struct strb;
typedef int (*bundle_resolve_fn)(void *ctx, slice name, struct strb *out);

/* An open, empty bundle, or NULL. Relative paths are taken against `prefix`. */
struct bundle *bundle_new(slice prefix);
void bundle_free(struct bundle *b);
void bundle_set_resolver(struct bundle *b, bundle_resolve_fn fn, void *ctx);
slice bundle_prefix(const struct bundle *b);

/* path made absolute against the prefix; owned by the bundle. SLICE_NONE when out of memory. */
slice bundle_path(struct bundle *b, slice path);

/*
 * path made absolute against the directory of the main configuration file (option "conf_dir", which conf_parse sets;
 * the prefix before that): nginx's rule for includes, certificates and password files.
 */
slice bundle_conf_path(struct bundle *b, slice path);

/* OK; ERR_SYS with errno as the open or read failed; ERR_NOTFOUND when closed and not there; ERR_LIMIT; ERR_NOMEM. */
int bundle_file(struct bundle *b, slice path, slice *text);
/*
 * Hands a file to `take` in pieces and keeps nothing of it: for what goes on as a BUNDLE_TABLE. As bundle_file, but a
 * closed bundle has no such files; what `take` answers other than OK ends it and is returned.
 */
typedef int (*bundle_take_fn)(void *ctx, slice piece);
int bundle_pieces(struct bundle *b, slice path, bundle_take_fn take, void *ctx);
/* Sorted matches of a glob pattern; *paths as in BUNDLE_GLOB. No match is OK with an empty text. */
int bundle_glob(struct bundle *b, slice pattern, slice *paths);
/* ERR_NOTFOUND: the name does not exist; ERR_SYS: it could not be asked for (or there is no resolver). */
int bundle_name(struct bundle *b, slice host, slice *addresses);

/* Keeps a file that does not stand on the disk (the embedded default, tests) under `path`. ERR_REFUSED: there already.
 */
int bundle_file_set(struct bundle *b, slice path, slice text);

/* Finds, or (when open) adds, an entry that carries descriptors; NULL when closed and not there, or out of memory. */
struct bundle_entry *bundle_descriptor(struct bundle *b, enum bundle_kind kind, slice key);
/* Says which of the two a missing entry means: true once nothing can be added any more. */
bool bundle_closed(const struct bundle *b);
int bundle_option_set(struct bundle *b, slice name, slice value);
slice bundle_option(const struct bundle *b, slice name); /* empty when not set */
struct bundle_entry *bundle_first(struct bundle *b);     /* chain of all entries, in the order they were added */

/* Writes everything to a new sealed memfd (*fd), with the descriptors listed in *fds (malloc, *nfds) in their order. */
int bundle_seal(struct bundle *b, int *fd, int **fds, size_t *nfds);
/*
 * A closed bundle from a memfd and its descriptors. On success the bundle owns the descriptors in `fds` (never `fd`
 * itself); on failure the caller keeps them. Hostile bytes are ERR_SYNTAX; ERR_SYS and ERR_NOMEM as usual.
 */
int bundle_load(int fd, const int *fds, size_t nfds, struct bundle **out);
/* The same from bytes in memory, which are copied. */
int bundle_load_bytes(slice bytes, const int *fds, size_t nfds, struct bundle **out);
/* From now on nothing is fetched: what the bundle does not hold does not exist. */
void bundle_close(struct bundle *b);

#endif
