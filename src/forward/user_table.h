/*
 * What users of a forward proxy take: open connections, requests, bytes; one table for all workers.
 *
 * A table has a fixed number of places, in shards with a short lock each. A user who takes nothing and owes nothing may
 * lose the place to another one, because a new place would say the same. When all places of a shard are taken by users
 * who do, there is none for another: who asks is told so and refuses. Whoever was let in holds the place until
 * user_leave, so it can be pointed to without a look-up.
 *
 * Tables are kept by name for as long as somebody holds one, so a reload finds what users have taken. Times are
 * microseconds of the monotonic clock; nothing here asks for the time.
 */
#ifndef FORWARD_USER_TABLE_H
#define FORWARD_USER_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* A keyed digest of who it is: 128 bits that nobody outside can aim at. */
struct user_key {
    uint64_t v[2];
};

struct user_key user_key_of(slice text);

/* What one request of a user may be met by; 0: no limit. */
struct user_limits {
    uint32_t connections; /* requests and tunnels under way, this one included */
    uint64_t interval;    /* us that one request costs; `burst` more than one may come at once */
    uint32_t burst;
    uint64_t bytes, period; /* bytes in so many us, counted from the first one */
};

enum user_answer {
    USER_ENTERS,
    USER_TABLE_FULL,
    USER_TOO_MANY,  /* connections */
    USER_TOO_FAST,  /* requests */
    USER_TOO_LARGE, /* bytes */
};

struct user_table;
struct user_place;

/* The table of that name with room for `users`; a new one when there is none of that name and size. NULL: no memory. */
struct user_table *user_table_get(slice name, uint32_t users);
void user_table_drop(struct user_table *t);

/*
 * One request begins. USER_ENTERS: *place is held and counted; else nothing was, and *wait is after how many us it is
 * worth coming again (0: nobody knows). Any thread.
 */
enum user_answer user_enter(struct user_table *t, const struct user_key *key, const struct user_limits *l, uint64_t now,
                            struct user_place **place, uint64_t *wait);
/* So many bytes have gone. false: the user has had all that `l` gives. */
bool user_took(struct user_table *t, struct user_place *place, const struct user_limits *l, uint64_t bytes,
               uint64_t now);
/*
 * How many of `want` bytes may go now when all that the user is sent goes at `rate` bytes a second, of which a second's
 * share may go at once; they are counted. user_unsend takes back what was not sent.
 */
uint64_t user_send(struct user_table *t, struct user_place *place, uint64_t rate, uint64_t want, uint64_t now);
void user_unsend(struct user_table *t, struct user_place *place, uint64_t bytes);
/* It has ended. The place is not to be used any more. */
void user_leave(struct user_table *t, struct user_place *place);

#endif
