/*
 * The proxy_* directives of a location, compiled: what the select, send and respond steps work from.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/var.h"
#include "http/exchange.h"
#include "http/match.h"
#include "http/token.h"
#include "proxy/announce.h"
#include "proxy/cookie.h"
#include "proxy/policy.h"
#include "proxy/upstream.h"

/* A proxy_set_header line. An empty result sends no field. */
struct set_field {
    slice name; /* as written */
    uint16_t token;
    struct template value;
    struct conf_pos pos;
};

/* The proxy_set_header lines that hold at a level, as written. */
struct set_list {
    struct set_field *v;
    uint32_t n;
};

/* Field names: those with a token as a set, the others as text. */
struct name_set {
    struct token_set tokens;
    const slice *names;
    uint32_t n;
};

struct name_list {
    slice *v;
    uint32_t n;
};

enum next_upstream {
    NEXT_ERROR = 1 << 0,
    NEXT_TIMEOUT = 1 << 1,
    NEXT_INVALID_HEADER = 1 << 2,
    NEXT_HTTP_500 = 1 << 3,
    NEXT_HTTP_502 = 1 << 4,
    NEXT_HTTP_503 = 1 << 5,
    NEXT_HTTP_504 = 1 << 6,
    NEXT_HTTP_403 = 1 << 7,
    NEXT_HTTP_404 = 1 << 8,
    NEXT_HTTP_429 = 1 << 9,
    NEXT_NON_IDEMPOTENT = 1 << 10,
    NEXT_OFF = 1 << 11,
};

/* One replacement in Location and Refresh. */
struct bundle_entry;

struct redirect_rule {
    bool is_default; /* proxy_redirect default: from and to follow from proxy_pass */
    bool is_regex;
    struct match match;   /* when is_regex */
    struct template from; /* else: a prefix */
    struct template to;
    struct conf_pos pos;
};

struct dial;

struct redirect_list {
    struct redirect_rule *v;
    uint32_t n;
    bool off, given;
};

/* An address of ours to connect from. One that holds variables is read for each attempt. */
struct proxy_bind {
    struct template text;
    struct addr addr; /* when text holds none */
};

struct proxy_conf {
    /* proxy_pass; not inherited */
    bool set;
    const struct conf_node *node;    /* where it stands */
    slice pass;                      /* as written, for messages */
    bool tls;                        /* https://, when not dynamic */
    bool dynamic;                    /* holds variables: address or upstream name is found per request */
    struct template target;          /* whole value when dynamic */
    bool client_chosen;              /* the target is the client's choice (design section 6) */
    const struct upstream *upstream; /* when not dynamic */
    slice host_header;               /* $proxy_host: host[:port] as written, or the upstream's name */
    slice port_text;                 /* $proxy_port */
    bool has_uri;                    /* a URI part: replaces the matched prefix of the location */
    slice uri;
    slice location; /* that prefix; empty for a regular expression or a name */

    /* fields, as written; see struct header_rules for what they come to */
    struct set_list set_header;
    struct name_list hide, pass_headers;
    struct announce announce;
    const struct header_rules *headers; /* made from these four at load */

    uint32_t http_version;                                /* 0 or 1: minor; 2: HTTP/2 */
    uint64_t idle_ping;                                   /* proxy_http2_idle_ping, ms; 0: none */
    struct template method;                               /* proxy_method; empty: the client's */
    uint64_t connect_timeout, read_timeout, send_timeout; /* ms */
    bool buffering, request_buffering;
    uint64_t buffer_size, buffers_n, buffers_size, busy_size;
    uint64_t busy; /* busy_size, or what it is by default at this very level */
    uint64_t max_temp_file_size;
    const struct bundle_entry *temp_dir; /* proxy_temp_path */
    bool pass_trailers;
    uint32_t next_upstream;
    uint64_t next_tries, next_timeout;
    struct redirect_list redirect;         /* as written */
    const struct redirect_rule *redirects; /* what holds here, `default` resolved */
    uint32_t nredirects;
    struct cookie_rules cookies;
    uint32_t ignored;              /* proxy_ignore_headers: enum ignore of proxy/accel.h */
    struct token_set special;      /* fields of answers that are more than passed on or hidden */
    bool pass_fields, pass_body;   /* of the client */
    bool own_body;                 /* what the backend gets as body is not the client's */
    const struct template *body;   /* proxy_set_body; NULL: none */
    bool plain_fields;             /* the client's fields travel as they are */
    struct template limit_rate;    /* proxy_limit_rate */
    const struct proxy_bind *bind; /* proxy_bind; NULL: none */
    bool intercept_errors;
    bool socket_keepalive;
    bool ignore_client_abort;
    const struct var *body_var; /* $request_body, when the configuration uses it; else NULL */
};

extern struct feature proxy_feature;
extern const struct content proxy_content;

/*
 * proxy_content.select: makes x->proxy (upstream, host, target) in the exchange's arena; on a later pass or try it is
 * made anew. VERDICT_NEXT: a peer may be picked. VERDICT_REPLY: no target (reply_set was called, the log says why).
 */
enum verdict proxy_select(struct exchange *x, const void *conf);

/* One attempt on a peer, for $upstream_*. Times in ms; UINT64_MAX: did not get that far. */
struct attempt {
    const struct peer *peer;
    slice addr;
    uint16_t status; /* 0: no answer */
    uint64_t start, connect, header, end;
    uint64_t bytes_received, bytes_sent, body_received;
    bool reused;
    bool group_end; /* an internal redirect came behind it */
    struct attempt *next;
};

/* State of the select, connect, send and respond steps. Made in the exchange's arena by proxy_content.select. */
struct proxy_exchange {
    const struct proxy_conf *conf;
    struct dial *dial;                    /* the target was found at run time; else NULL */
    struct forward_exchange *forward;     /* of a forward block (proxy/forward_rules.h); else NULL */
    const struct resolver_conf *resolver; /* where no `resolver` was written; NULL: none */
    bool foreign;                         /* a target of a client: groups of the configuration are not meant */
    const struct upstream *upstream;
    const struct peer *peer; /* of the current attempt */
    struct tried tried;
    slice host, port;                   /* $proxy_host, $proxy_port */
    slice target;                       /* what goes out */
    struct attempt *first, *last;       /* of all passes */
    uint32_t tries;                     /* attempts begun; counted by who begins them */
    uint64_t deadline;                  /* of proxy_next_upstream_timeout; 0: none */
    const struct response *intercepted; /* an answer that error_page has replaced, for $upstream_http_; or NULL */
    slice accel_redirect;               /* X-Accel-Redirect of the answer; empty: none */
    struct tunnel_life *life;           /* of a tunnel with tunnel_lifetime; else NULL */
    bool tls;                           /* https:// */
    bool buffering;                     /* proxy_buffering, or what X-Accel-Buffering said */
    bool tunnel;                        /* CONNECT: the peer is given the client's bytes, and no request */
    bool guarded;                       /* the client chose the target: whom we are connected to is looked at */
    bool chained;                       /* given to a parent: every peer has a chain */
    bool silence;                       /* a parent said nothing when it was asked for this target */
    bool race_retried;                  /* the stale keep-alive race was replayed once on a fresh connection */
};

#endif
