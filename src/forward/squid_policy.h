/*
 * What a squid.conf, or the same lines with semicolons in a `forward` block, says: compiled once, then only read.
 *
 * Every known directive of Squid is in one table: compiled, without effect here (a warning says why), or refused. None
 * is skipped in silence. Whoever embeds the policy calls init, then nodes (once or several times), then finish; done
 * frees what is not in the arena (for a gen_cleanup).
 */
#ifndef FORWARD_SQUID_POLICY_H
#define FORWARD_SQUID_POLICY_H

#include "forward/rules.h"

enum fwd_forwarded_for { FORWARDED_ON, FORWARDED_OFF, FORWARDED_TRANSPARENT, FORWARDED_TRUNCATE, FORWARDED_DELETE };

/* Milliseconds; 0: not set. */
enum fwd_time {
    FWD_CONNECT_TIMEOUT,
    FWD_READ_TIMEOUT,
    FWD_WRITE_TIMEOUT,
    FWD_REQUEST_TIMEOUT,
    FWD_CLIENT_LIFETIME,
    FWD_CLIENT_IDLE_PCONN_TIMEOUT,
    FWD_SERVER_IDLE_PCONN_TIMEOUT,
    FWD_FORWARD_TIMEOUT,
    FWD_DNS_TIMEOUT,
    FWD_PEER_CONNECT_TIMEOUT,
    FWD_TIMES
};

/* Bytes, or a plain number; 0: not set. */
enum fwd_size {
    FWD_REQUEST_HEADER_MAX_SIZE,
    FWD_REPLY_HEADER_MAX_SIZE,
    FWD_REQUEST_BODY_MAX_SIZE,
    FWD_CLIENT_IP_MAX_CONNECTIONS,
    FWD_SIZES
};

enum { FWD_DIRECTIVES = 320 };

/* A port, an address or a word that stands for itself; in order. */
struct fwd_word {
    slice text, more; /* more: of logformat its text, of access_log its format, of deny_info its acl */
    struct conf_pos pos;
    struct fwd_rules rules; /* of access_log: which requests it is for; empty: all */
    bool none;              /* access_log none */
    slice page;             /* of deny_info: the page's text; NULL pointer: none */
    struct fwd_word *next;
};

/* request_header_access, reply_header_access, request_header_replace. Token-wise look-up is the user's business. */
struct fwd_header {
    slice name; /* or "All" */
    struct fwd_rules rules;
    slice replace; /* NULL pointer: a refused field is left out */
    struct fwd_header *next;
};

/* A cache_peer. Credentials are decoded; files are named as they are written. */
struct fwd_peer {
    slice host, name, user, password;
    slice ca_file, cert_file, key_file, domain; /* of TLS; domain: the name that its certificate must hold */
    uint16_t port;
    bool round_robin, default_peer, tls, unverified;
    uint32_t weight, max_conns, fail_limit;
    uint64_t connect_timeout; /* ms; 0: FWD_PEER_CONNECT_TIMEOUT's */
    struct fwd_rules access;
    struct conf_pos pos;
    struct fwd_peer *next;
};

struct fwd_policy {
    struct fwd_compile c;
    struct fwd_acls acls;
    struct fwd_rules http_access, http_reply_access, always_direct, never_direct;
    struct fwd_rules outgoing;                                                /* value: an address */
    struct fwd_word *ports, *nameservers, *deny_info, *formats, *logs, *adds; /* adds: text name, more value */
    struct fwd_header *request_headers, *reply_headers;
    struct fwd_peer *peers;
    enum fwd_forwarded_for forwarded_for;
    bool log_query;              /* strip_query_terms off */
    bool nonhierarchical_direct; /* what no cache would keep goes direct when it may */
    bool via, auth, auth_case;   /* auth: an htpasswd file is named */
    slice auth_file, auth_realm, visible_hostname, unique_hostname, error_directory, manager;
    struct conf_pos auth_at;
    uint64_t auth_ttl; /* ms */
    uint64_t times[FWD_TIMES], sizes[FWD_SIZES];
    struct conf_pos time_at[FWD_TIMES], size_at[FWD_SIZES], via_at, forwarded_at; /* file NULL: no line */
    bool warned[FWD_DIRECTIVES];                                                  /* by row of the table */
    slice hostname; /* what this proxy calls itself; made by the block */
};

int fwd_policy_init(struct fwd_policy *p, struct arena *a, struct bundle *b, struct conf_diag *d);
void fwd_policy_done(struct fwd_policy *p);
/* One line. OK, ERR_SYNTAX (reported), ERR_NOMEM; ERR_NOTFOUND: no directive of Squid's (not reported). */
int fwd_policy_line(struct fwd_policy *p, const struct conf_node *node);
/* Lines that squid_parse read: unknown ones are errors, with the nearest known name. */
int fwd_policy_nodes(struct fwd_policy *p, const struct conf_node *first);
int fwd_policy_finish(struct fwd_policy *p);

#endif
