/*
 * Fields of requests and answers as Squid's lines want them: forwarded_for, request_header_access and its kin; and
 * which answers pass (http_reply_access).
 *
 * What decides is asked per field: the line of that very field, else of "Other" for one that nobody knows, else of
 * "All" (squid.conf manual, "request_header_access"). What frames a message, Host, and what holds for one hop is never
 * touched.
 */
#ifndef PROXY_FORWARD_FIELDS_H
#define PROXY_FORWARD_FIELDS_H

#include "proxy/forward_block.h"
#include "proxy/policy.h"

/* Once the block was read: is there anything to do with requests? */
bool forward_has_fields(const struct forward_conf *c);
/* The fields of the origin's head (x->origin), once they are otherwise complete. OK or ERR_NOMEM. */
int forward_origin(struct exchange *x);

/* OPTIONS that may go no further: Max-Forwards is 0 (RFC 9110 §7.6.2). TRACE is served nowhere. */
bool forward_ends_here(const struct exchange *x);
/* Of OPTIONS that go on: Max-Forwards is one less in v[0..n). OK or ERR_NOMEM. */
int forward_one_hop_less(struct exchange *x, struct field *v, uint32_t n);

extern const struct policy forward_reply_policy;

#endif
