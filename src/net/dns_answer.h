/*
 * An answer of a DNS server, read as what it is: bytes from a stranger (RFC 1035 §4, RFC 2308).
 *
 * Only records are taken that the question leads to: those of the name asked for, or of a name that a chain of CNAMEs
 * from it reaches within this very message. Whatever else a server puts in is passed over. Every walk is bounded: by
 * the records of a message, the links of a chain, the jumps of a compressed name (which only lead backwards), and the
 * addresses kept.
 */
#ifndef NET_DNS_ANSWER_H
#define NET_DNS_ANSWER_H

#include <stdint.h>

#include "base/slice.h"
#include "net/dns_name.h"

enum dns_type { DNS_A = 1, DNS_CNAME = 5, DNS_SOA = 6, DNS_AAAA = 28 };

/* Result codes of RFC 1035 §4.1.1; the last is ours and nginx's for no answer in time. */
enum dns_status {
    DNS_OK = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_SHARE = 11, /* never asked: who wants it has enough under way (net/resolver.h) */
    DNS_TIMEDOUT = 110,
};

enum { DNS_ADDRS_MAX = 32, DNS_CHAIN_MAX = 16, DNS_RECORDS_MAX = 128 };

struct dns_ip {
    bool v6;
    uint8_t b[16]; /* the first 4 of IPv4 */
};

struct dns_answer {
    unsigned status; /* enum dns_status, or a code that we do not know */
    uint32_t ttl;    /* seconds: the least of all records used; without addresses what the zone's SOA says, else 0 */
    uint32_t n;
    struct dns_ip v[DNS_ADDRS_MAX];
};

/*
 * `name` is normal (dns_name_normal). OK; ERR_SYNTAX: not an answer to that question, or broken; ERR_LIMIT: the chain
 * of CNAMEs is too long or runs in a circle.
 */
int dns_answer_parse(slice msg, slice name, enum dns_type type, struct dns_answer *out);

/* nginx's words: "Host not found". */
const char *dns_status_text(unsigned status);

#endif
