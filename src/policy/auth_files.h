/*
 * The password files of a configuration: what `auth_basic_user_file` names, read when it is loaded.
 *
 * With variables in the name, every file that the name could mean is read: the variables stand for parts of one file or
 * directory name each, and what a request asks for is looked up among what was read. So no request can reach a file
 * that the configuration does not name.
 */
#ifndef POLICY_AUTH_FILES_H
#define POLICY_AUTH_FILES_H

#include "conf/generation.h"
#include "http/exchange.h"
#include "policy/htpasswd.h"

enum { AUTH_FILES_MAX = 10000 };

/* Every file of the configuration, each once. */
struct auth_files {
    struct map by_path; /* full path -> struct htpasswd */
    struct gen_cleanup cleanup;
};

/* What one line names. */
struct auth_file {
    const struct conf_node *node;
    const struct htpasswd *fixed; /* without variables */
    struct template name;         /* with variables */
    slice dir;                    /* what relative names begin at, ending in '/' */
    const struct auth_files *all;
};

/* Reads what the argument names into `files` (made on first use). OK, ERR_SYNTAX (reported) or ERR_NOMEM. */
int auth_file_read(struct conf_ctx *cf, const struct conf_node *node, struct auth_files **files, struct auth_file *out);

/* The file for this exchange; *path is its name for the log. NULL in *out: there is none of that name. OK, ERR_NOMEM.
 */
int auth_file_get(struct exchange *x, const struct auth_file *f, const struct htpasswd **out, slice *path);

#endif
