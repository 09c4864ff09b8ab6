/*
 * The front end for SOCKS 4, 4a and 5: one client connection, handed over by HTTP/1 (http/handover.h) at its first
 * byte.
 *
 * What a client asks for becomes an exchange with the method CONNECT and the authority that it named, so that rules,
 * logs, limits and the way to the target are those of HTTP's CONNECT; only the answer has another form. The outcome of
 * the exchange becomes a reply code. A connection serves one request, as the protocol has it.
 */
#ifndef SOCKS_SERVER_H
#define SOCKS_SERVER_H

#include "base/attr.h"
#include "base/list.h"
#include "base/slab.h"
#include "http/handover.h"
#include "socks/conn.h"
#include "socks/socks.h"

enum socks_state {
    SOCKS_TALK,     /* the handshake, up to the whole request */
    SOCKS_EXCHANGE, /* an exchange is attached: its outcome is awaited, or its refusal is being sent */
    SOCKS_TUNNEL,   /* ... and bytes flow both ways */
    SOCKS_ENDING,   /* the last answer of a handshake that failed is being sent */
    SOCKS_LINGER,   /* our side is shut; what the client still sends is dropped until it closes */
    SOCKS_CLOSED,
};

/* "Basic " and NAME:PASSWORD in base64. */
enum { SOCKS_BASIC_MAX = 6 + (2 * SOCKS_TEXT_MAX + 1 + 2) / 3 * 4 };

/* What is needed only until the request is whole. */
struct socks_talk {
    struct socks_reader reader;
    char basic[SOCKS_BASIC_MAX]; /* the name and the password that were given, as a field has them */
    size_t basic_n;              /* 0: none, or such that no field can have */
};

struct socks_server {
    struct socks_conn c;
    struct client client;
    struct gen_ref *gen; /* that client.listener belongs to */
    struct task next;    /* looks at the connection again */
    struct list link;    /* socks_worker.connections */
    struct socks_talk *talk;
    uint64_t linger_until;
    uint8_t state;
    uint8_t version;
    uint8_t code; /* the reply whatever the exchange says, when not SOCKS_DONE */
    bool login;   /* the exchange is about the name and the password; the request comes behind it */
    bool good;    /* ... which were right */
    bool relays;  /* datagrams pass beside the connection, which only holds the association */
    bool sending; /* something of this exchange is on its way to the client */
    bool broken;  /* the answer could not be ended well: cut, do not linger */
};

struct socks_worker {
    struct slab servers;
    struct list connections;
};

extern const struct room_hooks socks_room;

void socks_server_take(struct worker *w, const struct handover *h);
/* No exchange may be attached. */
void socks_server_close(struct socks_server *s);
/* After the exchange: reads what the client still sends until it has seen our end, or closes at once. */
void socks_server_over(struct socks_server *s);
/* Nothing to read or no room: from now on the kernel must tell. false: it cannot, and the connection is closed, or its
 * exchange told. */
bool socks_server_await(struct socks_server *s);

/* talk.c: the handshake. */
void socks_talk_go_on(struct socks_server *s);
/* The exchange of a login is over: the request may come. */
void socks_talk_request(struct socks_server *s);
/* client_header_timeout ran out. */
void socks_talk_timed_out(struct socks_server *s);
/* One line about a handshake that failed. */
void socks_talk_log(const struct socks_server *s, const char *why);

/* server_end.c: the exchange's side. */
extern const struct end_ops socks_front_ops;
void socks_front_io(struct socks_server *s, unsigned events);
void socks_front_timer(struct socks_server *s);
/* The reply that tells the client how its exchange ended. */
enum socks_reply socks_reply_of(const struct exchange *x);

static inline struct socks_server *socks_server_of(struct end *e)
{
    return container_of(e, struct socks_server, c.end);
}

#endif
