/*
 * Who the engine runs as.
 *
 * Names are looked up while the bundle is open (by the master); what was found travels in the bundle as numbers, so
 * that the engine reads no file to drop its rights, and a restart drops to the very same ones.
 */
#ifndef APP_USER_H
#define APP_USER_H

#include "base/slice.h"

struct bundle;

/* Finds out, once, who `user` and `group` are. OK, ERR_NOTFOUND, ERR_NOMEM. In a closed bundle: was it found? */
int user_known(struct bundle *b, slice user, slice group);
/* Says in the bundle that the engine is to run as this user and group (user_known must have said OK before). */
int user_choose(struct bundle *b, slice user, slice group);
/* Gives the file behind fd to whom the bundle names; nothing when it names nobody. OK or ERR_SYS. */
int user_own(const struct bundle *b, int fd);
/*
 * Becomes whom the bundle names, for good: groups, gid, uid, no_new_privs. Does nothing when the bundle names nobody.
 * OK, ERR_SYNTAX (not our bundle), ERR_SYS.
 */
int user_drop(const struct bundle *b);

#endif
