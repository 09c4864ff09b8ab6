/*
 * What the rules of the forward side may look at.
 *
 * A view, made on the stack by whoever asks (the forward block, `explain`, a test): it owns nothing. Two things may not
 * be known yet when a rule asks for them: who the user is, and which addresses the host has. The rule then answers
 * which of the two it needs; the asker finds it out (407, the resolver) and asks again.
 */
#ifndef FORWARD_REQUEST_H
#define FORWARD_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "http/msg.h"
#include "net/addr.h"

/* An answer that may be wanting something. */
enum fwd_answer {
    FWD_NO,
    FWD_YES,
    FWD_NEED_USER,      /* no valid user yet: 407 */
    FWD_NEED_ADDRESSES, /* the host must be resolved */
    FWD_STUCK,          /* a pattern gave up on this subject: neither yes nor no, and never a pass */
};

struct fwd_request {
    const struct sockaddr *client, *own; /* of the connection; own may be NULL */
    slice method;                        /* as received; "CONNECT" for SOCKS */
    slice scheme;                        /* lower case; empty for CONNECT */
    slice host;                          /* lower case, no port, no brackets, no last dot */
    uint16_t port;                       /* never 0: the scheme's when the target names none */
    slice url;                           /* whole, as Squid shows it: "host:port" for CONNECT */
    slice path;                          /* with the query; empty for CONNECT */
    const struct fields *fields;         /* may be NULL (SOCKS) */
    slice user;                          /* checked; */
    bool user_known;
    const struct addr *addresses; /* of the host, when `resolved`; none: it has none */
    uint32_t naddresses;
    bool resolved;
    time_t now;                                                        /* wall clock; rules look at local time */
    uint32_t (*connections)(void *ctx, const struct sockaddr *client); /* open ones of that client; may be NULL: 1 */
    void *ctx;
    unsigned status; /* of the answer, for reply rules; 0 before */
    const struct fields *reply;
};

#endif
