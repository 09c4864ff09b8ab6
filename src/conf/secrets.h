/*
 * Passwords in what is shown of a configuration.
 *
 * A message shows the line that it speaks of, and quotes words of it; both end up on terminals, in logs and in tickets.
 * Which words are secret is told by their form and not by the directive they belong to: a line holds several
 * directives, and one that could not be read belongs to none. Hidden are the password before the host of a URL (or of
 * what was meant to be one), what follows `login=`, `password=` and `secret=`, and credentials of the field
 * Authorization. Too much is hidden rather than too little.
 */
#ifndef CONF_SECRETS_H
#define CONF_SECRETS_H

#include "base/strb.h"

/* Appends the line with "***" for each secret. *at, an offset in `line`, becomes one of what was appended. */
void secrets_mask(struct strb *out, slice line, size_t *at);

#endif
