/*
 * Composing a head: pseudo-fields, then fields in lower case, each checked once more on its way out, so that a value
 * that a rule composed cannot become something else (reliability row D3).
 */
#ifndef H2_HEAD_H
#define H2_HEAD_H

#include "http/msg.h"

struct h2_head {
    struct arena *arena;
    struct field *v;
    size_t n, cap;
};

/* Room for n fields; ERR_LIMIT: no block of that many is encoded. All return OK, ERR_SYNTAX or ERR_NOMEM. */
int h2_head_begin(struct h2_head *h, struct arena *a, size_t n);
int h2_head_status(struct h2_head *h, unsigned status);
int h2_head_pseudo(struct h2_head *h, slice name, slice value);
int h2_head_length(struct h2_head *h, uint64_t length);
/* Framing and what belongs to a connection is refused; Host too, in requests. */
int h2_head_fields(struct h2_head *h, const struct fields *from, bool response);

#endif
