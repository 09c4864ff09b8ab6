/*
 * Password files: a line is NAME:STORED, anything behind a second colon is a comment; lines that begin with '#' and
 * empty ones say nothing. Of two lines with one name the first counts, as in nginx.
 */
#ifndef POLICY_HTPASSWD_H
#define POLICY_HTPASSWD_H

#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "policy/password.h"

struct htpasswd_user {
    slice name, stored; /* in the file's text */
    uint32_t line;
};

struct htpasswd {
    slice path;
    int error;        /* errno: the file could not be read, and nobody is in it */
    struct map users; /* name -> struct htpasswd_user */
    struct htpasswd_user *v;
    uint32_t n, cap;
};

enum { HTPASSWD_USERS_MAX = 1 << 20 };

struct htpasswd_fault {
    uint32_t line;
    const char *why;
};

/* Told of each line that is of no use. */
typedef void (*htpasswd_fault_fn)(void *ctx, struct htpasswd_fault f);

/*
 * Reads `text`, which must outlive the result. Lines that are of no use are left out. OK, ERR_NOMEM, or ERR_LIMIT: more
 * than HTPASSWD_USERS_MAX users. htpasswd_done is due in any case.
 */
int htpasswd_parse(struct arena *a, slice text, htpasswd_fault_fn fault, void *ctx, struct htpasswd *out);
void htpasswd_done(struct htpasswd *h);

/*
 * The user of that name. For a name that nobody has: *known is false, and some other user, always the same one for that
 * name, so that the check costs as much as for somebody who exists. NULL when the file has no users at all.
 */
const struct htpasswd_user *htpasswd_find(const struct htpasswd *h, slice name, bool *known);

#endif
