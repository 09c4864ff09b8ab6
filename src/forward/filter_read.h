/*
 * Reading block and allow lists: lines in every form that people have, from bytes in pieces.
 *
 * A list is a text of lines, each in whichever form it has: a domain ("ads.example": it and what is below it;
 * "*.ads.example": what is below it), a line of a hosts file ("0.0.0.0 ads.example": that host alone), or a rule of ad
 * blockers ("||ads.example^", with "@@" before it an exception). Names may be in UTF-8; they are told in the form that
 * travels (RFC 3492). Rules that look at more than a name cannot be decided here; they are counted, not guessed at.
 */
#ifndef FORWARD_FILTER_READ_H
#define FORWARD_FILTER_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strb.h"

/* What a name stands for: bits of enum domain_scope, and these for an exception. */
enum { FILTER_EXCEPT = 2 }; /* a scope of an exception is shifted by so many bits */

/* Gets each name, in normal form (domain_normal). OK, or a code that ends the reading. */
typedef int (*filter_name_fn)(void *ctx, slice name, unsigned marks);

struct filter_reader {
    filter_name_fn name;
    void *ctx;
    struct strb line;                   /* the beginning of a line whose end is in the next piece */
    uint32_t number;                    /* of the line, in this file */
    uint32_t files;                     /* that were read to their ends */
    uint32_t skipped;                   /* lines that are no rule for a name */
    uint32_t first_skipped, first_file; /* number of the first one, 0: none; which file, from 0 */
};

void filter_reader_init(struct filter_reader *r, filter_name_fn name, void *ctx);
void filter_reader_done(struct filter_reader *r);
/* Some bytes of a file. OK, ERR_NOMEM, or what `name` answered. */
int filter_reader_piece(struct filter_reader *r, slice piece);
/* The end of a file. */
int filter_reader_end(struct filter_reader *r);

#endif
