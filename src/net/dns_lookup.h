/*
 * One look-up of a name: its questions (A, AAAA or both) on the wire, by c-ares, on the loop of one worker.
 *
 * Each look-up has a channel of its own. c-ares keeps the socket of a channel while anything is asked through it, so
 * a shared one would ask everything from one port; with one a look-up, port and ids are random every time, and giving
 * up is destroying it. Ids come from the kernel, not from the library. c-ares does the rest: repeats, the next server
 * upon silence or a refusal, TCP when an answer was cut. It is given all its options, so it reads no file.
 *
 * Answers are read by dns_answer.h. Nothing here waits.
 */
#ifndef NET_DNS_LOOKUP_H
#define NET_DNS_LOOKUP_H

#include "loop/loop.h"
#include "net/addr.h"
#include "net/dns_answer.h"

struct dns_servers {
    const struct addr *v; /* IPv4 or IPv6, with their ports */
    uint32_t n;
    uint64_t try_ms; /* for one server to answer before the next is asked */
    unsigned tries;  /* rounds over all servers, each with twice the time */
};

struct dns_lookup;

/* What came of both questions: `ok` of those asked and answered; else status says what failed. */
struct dns_found {
    struct dns_answer a, aaaa;
    bool asked_a, asked_aaaa;
    bool silent; /* a server did not answer in time: begin with another */
};

/* Called once, from a task; the look-up is gone after it. */
typedef void (*dns_found_fn)(void *ctx, const struct dns_found *f);

/* `first` numbers the server that is asked first. NULL: out of memory or of descriptors. `name` is normal and copied.
 */
struct dns_lookup *dns_lookup_start(struct loop *l, const struct dns_servers *s, uint32_t first, slice name, bool a,
                                    bool aaaa, dns_found_fn fn, void *ctx);
/* Gives up; `fn` is not called. */
void dns_lookup_cancel(struct dns_lookup *k);

#endif
