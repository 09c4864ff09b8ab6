/*
 * What can be proved of a regular expression, for the tester of configurations.
 *
 * Nothing here guesses: what is said to explode was made to explode, and what is said to match everything is one of the
 * few forms that plainly do.
 */
#ifndef BASE_REGEX_PROOF_H
#define BASE_REGEX_PROOF_H

#include <stdbool.h>

#include "base/regex.h"

enum { REGEX_ATTACK_MAX = 128 };

/* Does the pattern match every path ("/...")? Only forms that can be told at sight. */
bool regex_matches_paths(slice pattern);

/* The text that every match must begin with ("^/img/" gives "/img/"), or an empty slice. Points into the pattern. */
slice regex_literal_prefix(slice pattern);

/*
 * Is there a short subject on which matching takes exponentially long? Tries subjects made of the pattern's own
 * characters, when the pattern repeats a group that itself repeats or chooses. On true, attack holds one (*n bytes).
 */
bool regex_explodes(const struct regex *r, slice pattern, char attack[REGEX_ATTACK_MAX], size_t *n);

#endif
