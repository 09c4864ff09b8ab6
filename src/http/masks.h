/*
 * Host names by masks: "example.com", "*.example.com", ".example.com" (both of them) and "www.example.*".
 *
 * An exact name wins, then the longest mask with the asterisk in front, then the longest with it behind (nginx's
 * manual, "Server names"). An asterisk stands for one label at least. Thousands of names cost what one costs: a hash
 * look-up, and where there are masks one more for each label of the host, but never more than the longest mask has.
 * Letter case never counts. Keys and values are the caller's.
 */
#ifndef HTTP_MASKS_H
#define HTTP_MASKS_H

#include "base/map.h"

enum mask_kind {
    MASK_EXACT,
    MASK_HEAD, /* "*.example.com" */
    MASK_TAIL, /* "www.example.*" */
    MASK_BOTH, /* ".example.com" */
};

/* What a text stands for, and the part of it to look up, without asterisk and its dot. OK, or ERR_SYNTAX. */
int mask_parse(slice text, enum mask_kind *kind, slice *key);

struct masks {
    struct map exact, head, tail;
    unsigned head_labels, tail_labels; /* of the longest mask of its kind */
};

void masks_init(struct masks *m);
void masks_done(struct masks *m);
/* OK, ERR_NOMEM, or ERR_REFUSED when the name is there already (nothing is changed). */
int masks_put(struct masks *m, enum mask_kind kind, slice key, void *value);
/* The value for a host, or NULL. The empty host is only found as an exact name. */
void *masks_find(const struct masks *m, slice host);

#endif
