/*
 * Text of peers made safe to write into logs and JSON. All append to a string builder.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "base/strb.h"

/* nginx's log escaping: '"', '\' and everything outside of printable ASCII become \xHH. */
void escape_log(struct strb *out, slice s);
/* The longest beginning of s that takes at most `room` bytes when escaped so. */
slice escape_log_upto(slice s, size_t room);
/* For a terminal: everything outside of printable ASCII becomes \xHH. */
void escape_terminal(struct strb *out, slice s);
/* JSON string content (RFC 8259 §7). Bytes above 0x7f stay, as in nginx: UTF-8 remains readable. */
void escape_json(struct strb *out, slice s);
/* The same, but bytes above 0x7f become \u00HH: valid JSON whatever comes. */
void escape_json_ascii(struct strb *out, slice s);

#endif
