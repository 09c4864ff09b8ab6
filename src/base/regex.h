/*
 * Regular expressions: PCRE2 behind five functions.
 *
 * Compiled at configuration load and then shared by all threads; each thread keeps one block of match data of its own.
 * Matching is bounded: a pattern that would backtrack without end on some subject gives ERR_LIMIT instead of a stuck
 * worker.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"

struct regex;

/* [0]: the whole match, then groups 1 to 9; groups beyond REGEX_GROUPS match but are not reported. */
enum { REGEX_CAPTURES = 10, REGEX_GROUPS = 32 };

/*
 * Compiles; the caller owns *out (regex_free). OK, ERR_NOMEM, or ERR_SYNTAX with PCRE2's words in `why` and the place
 * in *at (either may be NULL).
 */
int regex_new(slice pattern, bool icase, struct regex **out, char *why, size_t why_size, size_t *at);
void regex_free(struct regex *r);

/*
 * Matches anywhere in the subject. Fills captures[0..max) (groups without part in the match become SLICE_NONE, the rest
 * points into the subject) and returns how many groups there are (at least 1, at most max); max may be 0: then 1.
 * ERR_NOTFOUND, ERR_LIMIT (gave up), ERR_NOMEM.
 */
int regex_match(const struct regex *r, slice subject, slice *captures, unsigned max);

/* The i-th named group (0, 1, ...): its name, alive as long as the regex, and its number; false when there are no more.
 */
bool regex_name(const struct regex *r, unsigned i, slice *name, unsigned *group);
/* Number of capturing groups. */
unsigned regex_groups(const struct regex *r);

/* Might it match a subject that begins with `c`? false is proved: it is anchored, and begins with something else. */
bool regex_may_begin(const struct regex *r, char c);
/* Does matching this subject take more than `steps` of backtracking (without the JIT, which counts differently)? */
bool regex_exceeds(const struct regex *r, slice subject, unsigned steps);

#endif
