/*
 * Trees: the directories beneath which a configuration has files opened (root, alias).
 *
 * A tree is opened by whoever holds the open bundle (the master, with its rights) at the moment a directive names it,
 * as a place to start from and no more (O_PATH): what lies beneath is opened by the engine, with the engine's rights. A
 * closed bundle brings the descriptor along. A tree that is not there is no error: its descriptor then is one that
 * nothing lies beneath, and keeps its number, so that a directory that appears later can be put under it.
 */
#ifndef CONF_TREES_H
#define CONF_TREES_H

#include "conf/bundle.h"

/*
 * The entry of the directory `path` (relative: against the prefix; slashes at its end do not count), with one
 * descriptor. entry->error holds the errno when there was none. OK, ERR_NOTFOUND (closed), ERR_SYS (no descriptor to be
 * had at all), ERR_NOMEM.
 */
int tree_entry(struct bundle *b, slice path, struct bundle_entry **out);

/*
 * Looks at the path again, with the rights of whoever calls, and puts what is there now under the entry's descriptor:
 * a directory that was replaced (a link that points to the next release) or that has appeared, or nothing when it has
 * gone. What cannot be looked at stays as it is. Any thread may call it while others open files beneath.
 */
void tree_renew(const struct bundle_entry *e);

#endif
