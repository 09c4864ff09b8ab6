/*
 * Forwarding fields: lists in which each proxy on the way has noted from whom it got the request. X-Forwarded-For and
 * its kin (addresses alone) and Forwarded (RFC 7239).
 *
 * Such a list is read from its right end: what the proxy next to us wrote stands last, and everything left of an entry
 * was that proxy's input and is worth no more than that proxy is trusted. So both readers take one element off the
 * right, and nothing that a client put in front (an open quote, an endless list) can change what they find there.
 */
#ifndef HTTP_FORWARDED_H
#define HTTP_FORWARDED_H

#include "http/exchange.h"
#include "net/cidr.h"

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80"; a port 0 is none. OK or ERR_SYNTAX. */
int forwarded_address(slice text, struct addr_ip *out);

/* Takes the last element off a list of addresses; separators are commas and spaces (as in nginx). */
bool forwarded_last_address(slice *list, slice *element);
/* Takes the last element off a Forwarded field: what stands behind the last comma outside of quotes, untrimmed. */
bool forwarded_last_element(slice *list, slice *element);

/* An element of Forwarded, quotes taken off; a parameter that is not there has p NULL. */
struct forwarded {
    slice by, for_, host, proto;
};

/* OK, or ERR_SYNTAX (RFC 7239 §4; also for a parameter that comes twice). */
int forwarded_parse(slice element, struct forwarded *out);
/* The address of a node; ERR_SYNTAX for "unknown" and obfuscated ones too. IPv6 needs its brackets (§6). */
int forwarded_node(slice node, struct addr_ip *out);

/* The walk from the peer towards the client. */
struct forwarded_walk {
    struct addr_ip addr; /* in: the peer; out: who the client is */
    const struct cidr_set *trusted;
    bool recursive; /* go on while the address found is a trusted one */
    bool found;     /* addr came from a field */
    bool over;
};

enum forwarded_form { FORWARDED_ADDRESSES, FORWARDED_ELEMENTS };

/* One field, the last first, until `over`. As nginx does it: who cannot be read ends the walk. */
void forwarded_walk(struct forwarded_walk *w, enum forwarded_form form, slice value);

/* Is it a field in which proxies state who the client is, or how it reached them? '_' counts as '-'. */
bool forwarded_is_field(const struct field *f);
/* Whether a field is of that name, '_' written for '-' included: many backends do not tell the two apart. */
bool forwarded_is_named(const struct field *f, slice name);

#endif
