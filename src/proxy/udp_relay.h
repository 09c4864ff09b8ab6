/*
 * UDP ASSOCIATE (RFC 1928 §7): the back end of an exchange whose client sends datagrams, each with its destination.
 *
 * The exchange stands for the association, in rules about clients and in the log, and ends with the client's TCP
 * connection or after silence. Datagrams pass outside of its pipes. Each destination is decided once, as the target of
 * a CONNECT would be: socks_ports, http_access and filters, the way (there is only the direct one), the resolver, the
 * guard. Answers are taken only from addresses that were sent to.
 *
 * The relay is on the heap, because its sockets outlive the exchange to the end of the loop's turn.
 */
#ifndef PROXY_UDP_RELAY_H
#define PROXY_UDP_RELAY_H

#include "http/exchange.h"
#include "net/resolver.h"
#include "proxy/endpoint.h"
#include "proxy/proxy.h"
#include "socks/dest.h"

struct forward_conf;
struct udp_relay;

enum udp_state {
    UDP_ASKING,  /* its name is being resolved */
    UDP_OPEN,    /* datagrams go to `to` */
    UDP_REFUSED, /* they are dropped */
};

/* While a name is being resolved; one datagram waits for the answer. */
struct udp_question {
    struct resolve ask;
    struct udp_dest *dest;
    size_t n;
    char held[];
};

struct udp_dest {
    struct list link; /* of the relay, the one used last first */
    struct udp_relay *relay;
    uint64_t used; /* ms */
    enum udp_state state;
    struct addr to, source;        /* of UDP_OPEN: where datagrams go and come from */
    struct udp_question *question; /* UDP_ASKING */
    struct endpoint at;            /* its text is `text` */
    struct socks_dest dest;        /* as the client wrote it */
    char text[SOCKS_DEST_TEXT];
};

struct udp_relay {
    struct exchange *x; /* NULL: it has ended */
    const struct forward_conf *conf;
    const struct proxy_conf *proxy;
    struct list dests;
    uint32_t ndests;
};

enum { UDP_FORGET_MS = 60 * 1000, UDP_REPLACE_MS = 10 * 1000 };

/*
 * From forward_select: makes the relay, attaches it as the back end and prepares the answer, whose reply_body is the
 * address of the relay as text. OK; ERR_UNSUPPORTED: not for this client (logged); ERR_SYS: no sockets (logged);
 * ERR_NOMEM.
 */
int udp_relay_begin(struct exchange *x, const struct forward_conf *c);

/* Sends a datagram to an open destination (udp_relay.c). */
void udp_relay_send(struct udp_relay *r, struct udp_dest *d, slice data);

/* No memory is left for further destinations: the association ends (udp_relay.c). */
void udp_relay_exhausted(struct udp_relay *r);

/* udp_dest.c */

/* The destination of a datagram, decided or about to be. NULL: the datagram is dropped. `data` may wait in it. */
struct udp_dest *udp_dest_of(struct udp_relay *r, const struct socks_dest *dest, slice data);
/* The destination that an answer comes from, or NULL. */
struct udp_dest *udp_dest_from(struct udp_relay *r, const struct addr *from);
void udp_dests_free(struct udp_relay *r);

#endif
