/*
 * What is done to the fields of an answer on its way to the client: added, replaced, and handed on to the answer of a
 * later pass.
 *
 * Fields that we add are marked as ours, and what they replace moves to the list of those that do not travel, so that
 * $upstream_http_NAME goes on telling what the backend sent.
 */
#ifndef HTTP_ANSWER_H
#define HTTP_ANSWER_H

#include "http/exchange.h"

/* Adds a field of ours to x->resp; the slices live as long as the exchange. false: no memory. */
bool answer_add(struct exchange *x, enum token t, slice name, slice value);
/* Takes every field of the token off the answer. false: no memory, and nothing was changed. */
bool answer_drop(struct exchange *x, enum token t);

/*
 * What the answer of one pass leaves to that of the next (X-Accel-Redirect, error_page): fields, and how fast the
 * client may be sent to.
 */
struct carry {
    struct fields fields;
    bool rated;
    uint64_t rate; /* bytes a second, 0: as fast as it goes; only when rated */
};

/* The exchange's, made on first use; NULL: no memory. */
struct carry *answer_carry(struct exchange *x);
/* The same, if there is one. */
static inline const struct carry *answer_carried(const struct exchange *x)
{
    return x->slots[SLOT_CARRY];
}
/* Copies the answer's fields of that token for the next pass. false: no memory. */
bool answer_carry_fields(struct exchange *x, enum token t);
/*
 * Gives the answer at hand what was carried: cookies and Cache-Control beside its own, a type in place of the one that
 * a good answer of our own got by its name, anything else if it has none. OK or ERR_NOMEM.
 */
int answer_take_carried(struct exchange *x);

#endif
