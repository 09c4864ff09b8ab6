/*
 * The neutral model of a request and a response.
 *
 * Every protocol decodes into these and is encoded from these. Framing and hop-by-hop fields are not in `fields`, the
 * list that travels: the codec that read them keeps them in `hop`, where variables and logs can see them, and states
 * the one fact that they add up to: whether there is a body and how long it is. So no second opinion on a message's
 * length can pass through the program.
 *
 * All slices and arrays belong to the exchange's arena.
 */
#ifndef HTTP_MSG_H
#define HTTP_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"
#include "http/token.h"

struct field {
    slice name, value; /* name as received; value without surrounding white space */
    uint16_t token;    /* enum token */
    bool ours;         /* of an answer: not the backend's */
};

struct fields {
    struct field *v;
    uint32_t n, cap;
};

/* Appends; false when out of memory. */
bool fields_add(struct arena *a, struct fields *f, struct field field);
/* Makes room in an empty list, for n fields where more are hardly ever added. Nothing when out of memory. */
void fields_expect(struct arena *a, struct fields *f, uint32_t n);
/* The first field of that token (must not be TOK_NONE), or NULL. */
const struct field *fields_find(const struct fields *f, enum token t);
/* The first field of that name in any letter case, or NULL. */
const struct field *fields_named(const struct fields *f, slice name);
/* Removes every field of the token; keeps the order of the rest. */
void fields_remove(struct fields *f, enum token t);

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_UNKNOWN };

/* The one fact about a body. */
struct body_fact {
    enum body_kind kind;
    uint64_t length; /* BODY_LENGTH */
};

enum method {
    METHOD_OTHER,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_PATCH,
    METHOD_TRACE,
    METHOD_CONNECT,
    METHOD_PROPFIND,
    METHOD_PROPPATCH,
    METHOD_MKCOL,
    METHOD_COPY,
    METHOD_MOVE,
    METHOD_LOCK,
    METHOD_UNLOCK,
    METHOD_PURGE,
    METHOD_COUNT
};

enum method method_find(slice name); /* case-sensitive, RFC 9110 §9.1 */
slice method_name(enum method m);
/* May be sent again when nothing tells whether the first try arrived (RFC 9110 §9.2.2). METHOD_OTHER: no. */
bool method_idempotent(enum method m);

enum target_form { TARGET_ORIGIN, TARGET_ABSOLUTE, TARGET_AUTHORITY, TARGET_ASTERISK };

struct request {
    enum method method;
    enum target_form form;
    slice method_text;
    slice line;           /* the request line as received, for $request */
    slice target;         /* as received */
    slice scheme;         /* of an absolute target, lower case; else empty */
    slice authority;      /* of the absolute target, else of Host; as received, checked; may be empty (HTTP/1.0) */
    slice host;           /* authority without port, lower case, without the trailing dot */
    slice raw_path;       /* path of the target as received, without the query; "/" when absent */
    slice query;          /* behind '?', without it */
    slice path;           /* decoded, dot segments resolved, slashes merged when configured: what rules match */
    slice normal_path;    /* raw_path, or its normal form when path_changed: what goes out */
    struct fields fields; /* what travels; without Host */
    struct fields hop;    /* what does not */
    struct body_fact body;
    size_t head_size;  /* bytes of the head on the wire, for $request_length */
    uint16_t port;     /* of the authority; 0 when it names none */
    uint8_t minor;     /* HTTP/1.minor; other protocols count as 1 */
    uint8_t major;     /* 2 of HTTP/2; 0: HTTP/1 */
    uint8_t socks;     /* 4 or 5: it came by SOCKS of that version; 0: by HTTP */
    bool udp;          /* of SOCKS: datagrams shall be relayed; `target` is where they will come from */
    bool login;        /* of SOCKS: no target yet, only whether this name and password let in */
    bool has_query;    /* the target has a '?' */
    bool path_changed; /* raw_path had dot segments or merged slashes: the normal form goes out instead */
    bool keep_alive;   /* the peer would keep the connection; with the answer's head on its way: it is kept */
    bool expect_continue;
    bool te_trailers;
    bool host_differs; /* Host names another server than the target does */
    bool upgrade;      /* the connection may switch to a protocol that its Upgrade (in hop) names */
    bool pipelined;    /* it had begun to come before the answer to the one before was sent */
};

struct response {
    uint16_t status;
    uint8_t minor;
    bool keep_alive;
    slice reason; /* as received; may be empty */
    struct fields fields;
    struct fields hop;
    struct body_fact body;     /* what follows on the wire */
    struct body_fact declared; /* what a Content-Length says although no body follows (HEAD, 304); else as body */
    size_t head_size;
};

/* The standard reason phrase, or an empty slice. */
slice status_reason(unsigned status);

#endif
