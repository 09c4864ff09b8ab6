/*
 * Names beyond ASCII in the form that travels: "xn--" and Punycode (RFC 3492, RFC 5890 §2.3.2.1).
 *
 * Letters of Latin-1, Greek and Cyrillic are lowered first; no other mapping is done, as lists hold mapped names.
 */
#ifndef FORWARD_PUNYCODE_H
#define FORWARD_PUNYCODE_H

#include "base/slice.h"

/* A whole name, label by label, into dst of cap bytes; its length, or 0: not UTF-8, or it does not fit. */
size_t punycode_name(char *dst, size_t cap, slice name);

#endif
