/*
 * SOCKS 4, 4a and 5 as bytes: what clients of a SOCKS server say, and what it answers; and the other way round, for a
 * parent that is one. A pure codec: no I/O, no memory, no decision.
 *
 * SOCKS 4: the protocol's memo (D. Koblas) and its extension 4a; SOCKS 5: RFC 1928; username and password: RFC 1929.
 * A reader takes bytes as they come, any number at a time, and can stop anywhere: it keeps what it needs in itself. It
 * never takes a byte beyond its message, so what a client sends early stays with the caller. Every field has a limit
 * that the format itself gives, or, for the texts of SOCKS 4 that have none, SOCKS_TEXT_MAX.
 */
#ifndef SOCKS_SOCKS_H
#define SOCKS_SOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { SOCKS_TEXT_MAX = 255, SOCKS_METHODS_MAX = 255, SOCKS_WRITE_MAX = 3 + 2 * SOCKS_TEXT_MAX + 4 };

enum socks_command { SOCKS_CONNECT = 1, SOCKS_BIND = 2, SOCKS_UDP_ASSOCIATE = 3 };
enum socks_method { SOCKS_NO_AUTH = 0, SOCKS_PASSWORD = 2, SOCKS_NONE_GOOD = 0xff };
enum socks_atyp { SOCKS_IPV4 = 1, SOCKS_NAME = 3, SOCKS_IPV6 = 4 };

/* REP of RFC 1928 §6. */
enum socks_reply {
    SOCKS_DONE = 0,
    SOCKS_FAILURE = 1,
    SOCKS_NOT_ALLOWED = 2,
    SOCKS_NET_UNREACHABLE = 3,
    SOCKS_HOST_UNREACHABLE = 4,
    SOCKS_REFUSED = 5,
    SOCKS_TTL_EXPIRED = 6,
    SOCKS_BAD_COMMAND = 7,
    SOCKS_BAD_ADDRESS = 8,
};

/* CD of a SOCKS 4 answer. */
enum socks4_reply { SOCKS4_GRANTED = 90, SOCKS4_REJECTED = 91, SOCKS4_NO_IDENT = 92, SOCKS4_OTHER_USER = 93 };

/* A text that grows byte by byte. */
struct socks_text {
    uint8_t n;
    char p[SOCKS_TEXT_MAX];
};

static inline slice socks_text(const struct socks_text *t)
{
    return slice_of(t->p, t->n);
}

/* A destination: an address as its bytes, or a name as it came (who uses it checks it). */
struct socks_dest {
    uint8_t type; /* enum socks_atyp */
    uint8_t ip[16];
    struct socks_text name;
    uint16_t port;
};

/* What a client may be saying; which of them is the caller's to know. */
enum socks_kind {
    SOCKS_GREETING, /* of either version, told apart by the first byte: a SOCKS 4 request, or the methods of SOCKS 5 */
    SOCKS_LOGIN,    /* RFC 1929 */
    SOCKS_REQUEST,  /* of SOCKS 5 */
    /* ... and a server, read by us as its client */
    SOCKS_CHOICE,       /* the method it chose */
    SOCKS_LOGIN_ANSWER, /* RFC 1929 */
    SOCKS_ANSWER,       /* to a request of SOCKS 5 */
    SOCKS4_ANSWER,
};

/* A reader, and what it has read. */
struct socks_reader {
    uint8_t kind, at, left, of;
    bool done, failed;
    uint8_t version;             /* GREETING: 4 or 5 */
    uint8_t command;             /* of requests; of answers: the reply code, the method chosen, the status of a login */
    bool has_none, has_password; /* GREETING of SOCKS 5: methods offered */
    struct socks_dest dest;      /* of requests; of answers: the bound address */
    struct socks_text user, password; /* SOCKS 4: the user id */
    bool is_4a;
};

void socks_read(struct socks_reader *r, enum socks_kind kind);
/*
 * Takes bytes up to the end of the message; *used tells how many. OK: the message is whole; ERR_MORE: all were taken
 * and more are needed; ERR_SYNTAX: not the protocol; ERR_LIMIT: a text is too long; ERR_UNSUPPORTED: an address type
 * that we do not know (SOCKS_BAD_ADDRESS answers it). An error stays.
 */
int socks_feed(struct socks_reader *r, slice bytes, size_t *used);

/*
 * Writers: each gives the length of what it wrote to `out` (SOCKS_WRITE_MAX bytes), 0 when a text is longer than the
 * format can hold or empty where it must not be.
 */
size_t socks_write_choice(uint8_t *out, enum socks_method m);
size_t socks_write_login_answer(uint8_t *out, bool good);
/* To a SOCKS 5 request; `bound` NULL: 0.0.0.0:0. */
size_t socks_write_answer(uint8_t *out, enum socks_reply code, const struct socks_dest *bound);
size_t socks4_write_answer(uint8_t *out, enum socks4_reply code, const struct socks_dest *bound);
/* As a client. */
size_t socks_write_greeting(uint8_t *out, bool password);
size_t socks_write_login(uint8_t *out, slice user, slice password);
size_t socks_write_request(uint8_t *out, enum socks_command command, const struct socks_dest *dest);
/* SOCKS 4, or 4a when dest is a name; IPv6 has no form there (0). */
size_t socks4_write_request(uint8_t *out, enum socks_command command, const struct socks_dest *dest, slice user);

/* The SOCKS 4 answer that says what a SOCKS 5 one would. */
enum socks4_reply socks4_reply_of(enum socks_reply code);

/*
 * The header of a UDP datagram (RFC 1928 §7). Reading: OK, and *data is what follows it; ERR_SYNTAX; ERR_UNSUPPORTED:
 * a fragment, which may be dropped (§7: an implementation that does not support it must). Writing as above.
 */
int socks_udp_read(slice datagram, struct socks_dest *dest, slice *data);
size_t socks_udp_write(uint8_t *out, const struct socks_dest *dest);

#endif
