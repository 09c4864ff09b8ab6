/*
 * Serving files: what the files of this feature share, and what other policies may ask of it.
 *
 *   files_conf.c   the directives, and what a configuration makes of them
 *   file_place.c   from a URI to a path of the file system: root, alias, and the tree that it lies in
 *   file_open.c    opening beneath a tree, and what links may do
 *   file_cache.c   open_file_cache
 *   file_end.c     the end that reads a file into the response pipe
 *   files.c        the content of a location where nobody else answers: index, autoindex, a file
 *
 * Nothing here opens a path by its name. A configuration names directories (the literal front of each root and alias),
 * each is a descriptor of the bundle (conf/trees.h), and the rest of a path, where requests have their say, is opened
 * beneath that descriptor: ".." in it is refused, and links that lead out of the tree are, unless the configuration
 * says otherwise. So no spelling of a URI reaches anything outside.
 *
 * Files are opened and read on the worker's thread, as nginx does: what is asked for often is in the page cache. The
 * two places that may wait for a disk are open_now (file_open.c) and read_some (file_end.c).
 */
#ifndef POLICY_FILES_H
#define POLICY_FILES_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "conf/generation.h"
#include "http/exchange.h"
#include "http/range.h"
#include "proxy/policy.h"

/* ---- configuration ---- */

struct bundle_entry;

/* A directory that the configuration names. */
struct file_tree {
    const struct bundle_entry *entry;
    slice path;           /* with a '/' at its end */
    _Atomic uint64_t due; /* when somebody has to look whether the path means another directory by now; loop ms */
    struct file_tree *next;
};

enum file_root_kind { ROOT_PLAIN, ROOT_ALIAS, ROOT_ALIAS_REGEX };

/* `root` or `alias`: both directives write this slot. */
struct file_root {
    struct template text;   /* the path as written, absolute */
    struct file_tree *tree; /* the literal directory at its front */
    struct file_tree *self; /* an alias without a slash at its end may be a directory itself; NULL: else */
    slice location;         /* alias: the part of the URI whose place it takes */
    uint8_t kind;           /* enum file_root_kind */
    struct conf_pos pos;
};

/* One file of `index`. */
struct file_index {
    struct template name;
    struct file_index *next;
};

enum file_links { LINKS_WITHIN, LINKS_FOLLOW, LINKS_NONE, LINKS_OWNER };

struct file_links_conf {
    uint8_t mode;           /* enum file_links */
    struct template beyond; /* from=: the part of the path that is not looked at */
};

/* open_file_cache; NULL in files_conf: off. */
struct file_cache_conf {
    uint64_t max, inactive; /* ms */
    uint32_t number;        /* of the caches of a configuration */
};

enum ims { IMS_OFF, IMS_EXACT, IMS_BEFORE };

/* SCOPE_LOCATION of the feature `files`. */
struct files_conf {
    struct file_root root;
    struct file_index *index;
    bool etag, log_not_found;
    uint32_t if_modified_since; /* enum ims */
    struct file_links_conf links;
    const struct file_cache_conf *cache;
    uint64_t cache_valid, cache_min_uses; /* ms; times */
    bool cache_errors;
    bool autoindex, autoindex_exact, autoindex_local;
    uint32_t autoindex_format; /* enum autoindex_format */
};

/* SCOPE_MAIN */
struct files_main {
    struct file_tree *trees;
    uint32_t caches;
};

enum autoindex_format { AUTOINDEX_HTML, AUTOINDEX_JSON, AUTOINDEX_JSONP, AUTOINDEX_XML };

extern struct feature files_feature;

/* From a set function: the tree of a literal directory, made if need be; NULL when out of memory or descriptors. */
struct file_tree *file_tree_use(struct conf_ctx *cf, slice dir);

/* ---- places ---- */

/* A path and where it is opened. */
struct file_place {
    slice path;             /* whole, NUL-terminated */
    size_t root;            /* bytes of it that root or alias gave */
    struct file_tree *tree; /* NULL: nowhere */
};

/*
 * The place of the current URI, with `tail` behind it. OK; ERR_NOTFOUND (an alias whose location the URI has left, or
 * that is a directory of which the URI names a sibling; logged); ERR_NOMEM.
 */
int file_place(struct exchange *x, slice tail, struct file_place *out);
/* The place of `name` beneath the root, or beneath the alias: for try_files. */
int file_place_named(struct exchange *x, slice name, struct file_place *out);
/* root or alias with its variables. OK or ERR_NOMEM. */
int file_root_text(struct exchange *x, slice *out);

/* The path with all links resolved, in the exchange's arena. false: nothing there, or not to be reached. */
bool file_real_path(struct exchange *x, const struct file_place *p, slice *out);

enum { FILE_VARS = 3 };
extern const struct var_def file_vars[FILE_VARS];

/* ---- files ---- */

/* Something that was opened or looked at. It belongs to its worker. */
struct file {
    int fd; /* -1: not a regular file, or only looked at */
    uint32_t refs;
    mode_t mode;
    uint64_t size, inode, device;
    int64_t mtime;
    uint8_t etag_n;
    char etag[40];     /* "mtime-size" in hexadecimal, quoted, as nginx's */
    char modified[32]; /* the date of Last-Modified */
};

static inline bool file_is_dir(const struct file *f)
{
    return S_ISDIR(f->mode);
}

/*
 * Opens a file for reading, or looks at what else is there; through open_file_cache where it is on. The caller owns a
 * reference. OK, ERR_SYS with errno (ELOOP: a link that is not allowed; EXDEV: a link or ".." that leaves the tree), or
 * ERR_NOMEM.
 */
int file_open(struct exchange *x, const struct file_place *p, struct file **out);
/* The same for somebody who asks only whether it is there (index, try_files): what cannot be read is there as well. If
 * the exchange opens it next, without waiting for anything, it is open already. */
int file_look(struct exchange *x, const struct file_place *p, struct file **out);
void file_unref(struct worker *w, struct file *f);
/* A directory, for reading its entries: a descriptor, or -1 and errno. */
int file_open_dir(struct exchange *x, const struct file_place *p);
/* Opens without any cache. A descriptor or -1 and errno; with O_PATH only that. */
int file_open_fd(struct exchange *x, const struct file_place *p, int flags);
/* What errno of file_open means to the client: 403, 404 or 500; says so in the log as nginx does. */
unsigned file_error(struct exchange *x, const struct file_place *p, int err);

/*
 * For tests of paths (`if (-f ...)`): looks at a whole path, in the tree of the configuration that it lies in, the
 * current location's first. OK, ERR_SYS with errno, ERR_NOTFOUND (it lies in no tree), ERR_NOMEM.
 */
int file_probe(struct exchange *x, slice path, struct stat *st);

/* ---- open_file_cache ---- */

/* As file_open. `c` has a cache, and is of the current configuration: what was dropped with it stays dropped. */
int file_cache_open(struct exchange *x, const struct files_conf *c, const struct file_place *p, struct file **out);
/* Forgets everything: a new configuration, or the end of the worker. */
void file_caches_drop(struct worker *w);

/* file_open.c: opens for real, with a reference for the caller. */
int file_open_now(struct exchange *x, const struct file_place *p, struct file **out);
/* disable_symlinks ... from=: how many bytes of the path it exempts; 0: none, or all of them. */
size_t file_links_unchecked(struct exchange *x, const struct files_conf *c, const struct file_place *p);
/* Is there a directory under the path of the tree by now? */
bool file_tree_is_dir(struct exchange *x, struct file_tree *t);

/* What a worker keeps; struct worker.files. */
struct files_worker {
    struct slab files;    /* struct file */
    struct list caches;   /* struct file_cache */
    struct file *seen;    /* what file_look found, until the exchange has run */
    struct exchange *who; /* and for whom */
    slice path;           /* and where: of its arena */
    const struct file_tree *tree;
    const char *beyond; /* disable_symlinks: from=, as the configuration has it */
    uint8_t links;      /* enum file_links */
    struct task forget;
    struct worker *w;
};

extern const struct room_hooks files_room;
/* Made on first use; NULL when out of memory. */
struct files_worker *files_worker(struct worker *w);

/* ---- answering ---- */

/*
 * Makes the file the body of the answer that x->resp describes, and attaches its end as back end. Takes over the
 * reference on success. OK or ERR_NOMEM.
 */
int file_end_attach(struct exchange *x, struct file *f, slice path);
/* The same for a text on the heap, which it frees. */
int file_end_text(struct exchange *x, char *text, size_t n);
/* Does a file answer? Then ranges of it can. */
bool file_answers(const struct exchange *x);
/* One part of an answer: bytes that go before it, and a range of the file. */
struct file_part {
    slice before;
    struct range range;
};
/* What is sent instead of the whole file; all of it lives as long as the exchange. Before the head is sent. */
void file_answer_parts(struct exchange *x, const struct file_part *parts, uint32_t n, slice last);

/* The answer of a location where nobody else answers; with NULL: 404. */
extern const struct content files_content;

/* An answer with its plain page; for select functions. */
enum verdict files_error(struct exchange *x, unsigned status);
/* An internal redirect, or the error that there were too many. */
enum verdict files_redirect(struct exchange *x, slice uri, slice args, bool has_args);

/* autoindex.c: lists the directory. */
enum verdict autoindex_answer(struct exchange *x, const struct files_conf *c, const struct file_place *p);

#endif
