/*
 * An exchange: one request and its answer, between two ends, over two pipes. It knows no protocol.
 *
 * It lives in its own arena, whose first chunk is the page that holds the struct itself. Only its worker's run queue
 * runs it (exchange_run walks the step table of proxy/run.c); everything else posts event bits. It is freed in one
 * place, the finish step. docs/exchange.md tells the whole story.
 */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/log.h"
#include "conf/var.h"
#include "http/end.h"
#include "http/msg.h"
#include "http/pipe.h"
#include "http/route.h"
#include "http/trace.h"
#include "http/worker.h"
#include "net/addr.h"

/* What ends post. They stay set until the step that waits for them clears them. */
enum x_event {
    X_FRONT_BODY = 1 << 0,     /* the request body is complete in the pipe (EOF set) */
    X_FRONT_SENT = 1 << 1,     /* the last byte of the answer was handed to the kernel */
    X_FRONT_FAILED = 1 << 2,   /* the client is gone, broke the framing, or timed out: x->front_why */
    X_BACK_READY = 1 << 3,     /* connected: a head may be sent */
    X_BACK_HEAD = 1 << 4,      /* x->resp is filled */
    X_BACK_INTERIM = 1 << 5,   /* x->interim is filled; kick_in asks for what follows */
    X_BACK_DONE = 1 << 6,      /* the answer was read whole (EOF set) */
    X_BACK_FAILED = 1 << 7,    /* x->back_why */
    X_WAKE = 1 << 8,           /* what a policy waited for is there */
    X_FRONT_FULL = 1 << 10,    /* the request pipe is full and nobody takes from it yet */
    X_BACK_FULL = 1 << 11,     /* the response pipe is full, and has `overflow` set */
    X_BACK_SENT = 1 << 9,      /* the request is with the kernel, whole */
    X_BACK_SWITCHED = 1 << 12, /* x->resp is a 101 to what x->origin.upgrade asked for */
};

/* Why an end failed; the texts for the log are nginx's where it has one. */
enum x_why {
    WHY_NONE,
    WHY_CLIENT_CLOSED,  /* the client left */
    WHY_CLIENT_TIMEOUT, /* client_body_timeout or send_timeout */
    WHY_CLIENT_BODY,    /* broken framing: 400 */
    WHY_CLIENT_BIG,     /* over client_max_body_size: 413 */
    WHY_CONNECT,        /* connect failed; x->back_errno */
    WHY_CONNECT_TIMEOUT,
    WHY_HANDSHAKE, /* TLS with the backend failed: x->back_detail */
    WHY_SEND_TIMEOUT,
    WHY_READ_TIMEOUT,
    WHY_CLOSED,      /* the backend closed before a whole head */
    WHY_CLOSED_BODY, /* ... before the end of the body */
    WHY_IO,          /* recv or send failed; x->back_errno */
    WHY_BAD_HEAD,    /* the backend's head broke the rules: x->back_detail */
    WHY_BAD_BODY,
    WHY_BIG_HEAD, /* over proxy_buffer_size */
    WHY_INTERIMS, /* too many 1xx */
    WHY_NOMEM,
    WHY_SHUTDOWN,
    WHY_LIMIT,          /* a limit of the client's was reached on the way */
    WHY_PARENT,         /* of a child: nobody waits for it any more */
    WHY_HOP,            /* a proxy on the way to the target did not let us through: x->back_detail */
    WHY_TARGET,         /* ... the last one said that the target cannot be reached */
    WHY_TARGET_TIMEOUT, /* ... or did not say whether it can until the time for connecting was over */
    WHY_SILENCE,        /* ... or said nothing at all until then: it may wait for the target, or be dead */
};

/* How an exchange ended; first reason wins. */
enum x_end { END_NONE, END_DONE, END_CLIENT, END_BACKEND, END_DROPPED, END_SHUTDOWN };

struct proxy_header;
struct transport;

/*
 * What is known of whoever asks; embedded in the front end's connection. x->client may be a copy for one exchange, with
 * another peer: the client whom a trusted proxy names (policy/realip.c).
 */
struct client {
    struct addr_ip {
        union {
            struct sockaddr sa;
            struct sockaddr_in in;
            struct sockaddr_in6 in6;
        };
    } peer, local;     /* sa.sa_family AF_UNIX: no more is known. local: filled on first use */
    int fd;            /* for getsockname; -1: none */
    uint32_t requests; /* $connection_requests */
    uint64_t number;   /* $connection */
    uint64_t since;    /* mono ms of accept, $connection_time */
    const struct listener_conf *listener;
    struct transport *tls;              /* of the connection; NULL: plain */
    const struct proxy_header *proxied; /* the connection began with it; NULL: with none */
    const struct client *connected;     /* of a copy: what it was made from, who is connected; else NULL */
    bool trusted;                       /* of a copy: who is connected may tell whom it speaks for */
};

/* One pass through routing; the last one counts (design section 3). */
struct pass {
    enum method method;
    slice method_text;
    slice uri;  /* decoded and normal: $uri, what locations match */
    slice args; /* $args */
    bool has_args;
    bool internal;     /* an internal redirect or a rewrite made the URI: internal locations serve it */
    bool redirected;   /* came from an internal redirect, not from the client */
    bool rewritten;    /* uri is not the client's any more: the origin's target is made from it */
    bool whole;        /* `rewrite ... break` changed it: the URI part of proxy_pass replaces nothing (as in nginx) */
    bool behind_alias; /* try_files: uri stands behind an alias that a regular expression has made */
    const struct location *loc;
    slice captures[10]; /* of the last regular expression that matched; [0] the whole */
    uint8_t ncaptures;
};

/* The head that goes to the origin, derived per attempt by the send step. */
struct origin_head {
    slice method, target, host;
    uint8_t minor;
    struct fields fields;
    struct body_fact body;
    enum method method_id; /* how the answer must be framed */
    bool close;            /* ask for close: the connection is not kept */
    slice upgrade;         /* protocols to switch to; the field is in `fields`; empty: none */
};

struct list;
/* Who keeps state for an exchange in x->slots. */
enum x_slot {
    SLOT_CARRY, /* struct carry, http/answer.h */
    SLOT_SATISFY,
    SLOT_AUTH_BASIC,
    SLOT_AUTH_REQUEST,
    SLOT_USER,       /* slice: the name whose password was checked */
    SLOT_CHALLENGE,  /* slice: with what a rule that needs a user asks for one */
    SLOT_USER_PLACE, /* its place among the users of a forward proxy (proxy/forward_limits.c) */
    SLOTS = 8,
};

struct proxy_exchange;
struct spill;
struct transform;

/*
 * Something beyond its own memory that an exchange holds: a timer, a place in a queue, a child. Embedded. Finish asks
 * each to end, once, and frees the exchange when none is left.
 */
struct x_hold {
    struct x_hold *next;
    void (*end)(struct x_hold *h, struct exchange *x); /* calls exchange_unhold, now or soon */
    bool asked;
    bool still; /* set by its owner: until then it touches neither itself nor an exchange at rest (http/rest.h) */
};

struct exchange {
    struct worker *w;
    struct gen_ref *gen;
    struct task run;
    uint32_t events;
    uint8_t step;
    uint8_t ended;               /* enum x_end */
    uint8_t known;               /* enum var_known: what variables can know by now */
    uint8_t front_why, back_why; /* enum x_why */
    int back_errno;
    const char *back_detail;
    struct end *front, *back;
    struct client *client;
    const struct server *server; /* virtual server */
    struct pass pass;
    uint8_t passes;
    uint8_t phase;    /* of the policy walk */
    uint16_t policy;  /* index in it */
    uint32_t entered; /* policies whose on_end is due: bit = policy number */
    struct request req;
    struct origin_head origin;
    struct response resp;
    struct response *interim; /* the last 1xx; NULL: there was none */
    uint16_t refuse;          /* the codec refused the request with this status; 0: it did not */
    const char *refuse_text;  /* why, for the log */
    bool body_refused;        /* the request body is broken, slow or too large: no pass sends it */
    bool local;               /* resp was made by us, not by a backend */
    bool head_sent;           /* the answer's head went to the front end */
    bool aside;               /* a step on the way to what a client asks for: logged as subrequests are */
    bool plain_page;          /* the local answer is a page of its status alone: error_page may replace it */
    bool error_paged;         /* error_page was used, and may not be used again */
    uint16_t override_status; /* of error_page: what the answer's status becomes; 0: it keeps its own */
    slice reply_body;         /* of a local answer */
    uint16_t logged_status;   /* $status */
    uint64_t start_mono, start_wall;
    uint64_t sent;      /* bytes written to the client, head included */
    uint64_t body_sent; /* of these, body */
    uint64_t received;  /* bytes of the request, head included */
    const struct log *log;
    struct trace *trace; /* NULL in service */
    slice upstream;      /* "http://127.0.0.1:80/path" of the current attempt, for the log */
    slice *values;       /* value table of variables; NULL until used */
    uint8_t *value_state;
    struct transform *transforms;     /* on the response body, the one nearest to the client first; NULL: none */
    struct list *works;               /* under way at the job pool (http/work.h); NULL: none */
    const struct fields *kept;        /* of an answer that error_page replaced; NULL: none */
    struct spill *spill, *resp_spill; /* files of large bodies, or NULL */
    struct proxy_exchange *proxy;     /* attempts and their times; NULL until a backend is selected */
    struct exchange *parent;          /* of a child, which borrows its head (proxy/subrequest.h); else NULL */
    struct x_hold *holds;             /* NULL: none */
    void *slots[SLOTS];               /* state of policies that keep some for an exchange: enum x_slot */
    struct arena arena;
    struct pipe req_pipe, resp_pipe; /* last: their rings are not cleared */
};

/*
 * Makes an exchange on a page of the worker, with its front end attached. NULL when out of memory. The caller fills
 * x->req (from h1_head_request) and then calls exchange_start.
 */
struct exchange *exchange_new(struct worker *w, struct gen_ref *gen, struct end *front, struct client *client);
/* Posts the exchange for its first run. */
void exchange_start(struct exchange *x);
/* Frees it: only the finish step, or a front end that never started it. Both ends are detached. */
void exchange_free(struct exchange *x);

/* The memory of `h` lives until exchange_unhold. */
void exchange_hold(struct exchange *x, struct x_hold *h, void (*end)(struct x_hold *h, struct exchange *x));
/* It has ended, by itself or because finish asked. Nothing when it is not held. */
void exchange_unhold(struct exchange *x, struct x_hold *h);
/* Asks all holds to end; true when none is left. From finish. */
bool exchange_let_go(struct exchange *x);

/* The only upward call. */
void exchange_post(struct exchange *x, uint32_t events);
void exchange_front_failed(struct exchange *x, enum x_why why);
void exchange_back_failed(struct exchange *x, enum x_why why, int err, const char *detail);

/* The step machine; set by proxy/run.c so that this room need not know it. */
extern void (*exchange_run)(struct exchange *x);

/* Reads a variable: minds its cache and when it is known. For template_eval. */
int exchange_var(struct exchange *x, const struct var *v, slice *out);
/* Sets the slot of a variable that may be assigned. false: out of memory. */
bool exchange_var_set(struct exchange *x, const struct var *v, slice value);
/* What `set` does: the variable's own way of being assigned, else its slot. OK or ERR_NOMEM. */
int exchange_var_assign(struct exchange *x, const struct var *v, slice value);
/* Forgets what was cached, for a new pass; what `set` assigned stays. */
void exchange_forget_values(struct exchange *x);
/* What `set` and its kin assigned so far holds in `to` as well, a child of `from`. false: out of memory. */
bool exchange_inherit_values(struct exchange *to, const struct exchange *from);
/* template_eval with this exchange's arena and lookup. */
static inline int exchange_eval(struct exchange *x, const struct template *t, slice *out)
{
    if (template_literal(t)) {
        *out = t->source;
        return 0;
    }
    return template_eval(t, x, exchange_var, &x->arena, out);
}

/* One line in the error log with nginx's suffix: client, server, request, upstream, host. */
void exchange_log(struct exchange *x, enum log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Fixed text for the log. */
const char *exchange_why_text(enum x_why why);
/* The client's address as text, in the exchange's arena: "127.0.0.1", "unix:". */
slice exchange_client_text(struct exchange *x);

/* The request that a client sent: the exchange itself, or what its parents began with. */
static inline struct exchange *exchange_origin(struct exchange *x)
{
    while (x->parent)
        x = x->parent;
    return x;
}

/* Will what follows the answer's head be bytes of another protocol? */
static inline bool exchange_is_tunnel(const struct exchange *x)
{
    return x->resp.status == 101 || (x->req.method == METHOD_CONNECT && x->resp.status / 100 == 2);
}

static inline const void *exchange_conf(const struct exchange *x, const struct feature *f)
{
    return x->pass.loc->conf[f->id];
}

#endif
