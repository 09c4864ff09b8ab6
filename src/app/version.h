/*
 * What -v, -V and -h print. -V is how scripts find out what the program can do: it names nginx's language level, and
 * which of nginx's modules are there, and its lines have the form that those scripts parse.
 */
#ifndef APP_VERSION_H
#define APP_VERSION_H

#include "base/strb.h"
#include "conf/schema.h"

void version_short(struct strb *out);
void version_long(struct strb *out, const struct schema *s);
void version_help(struct strb *out);

#endif
