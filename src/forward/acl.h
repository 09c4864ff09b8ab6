/*
 * `acl NAME TYPE value...`: named conditions in Squid's language (squid.conf manual, "acl").
 *
 * A name that comes again adds values. Values of one condition are or-ed (but `all-of`, whose every line is and-ed and
 * whose lines are or-ed). A value in quotes is a file of values, read from the bundle. The same function reads the line
 * of a squid.conf and of a `forward` block: both are conf_nodes.
 *
 * Where we differ from Squid, and -t warns where a file could notice: regular expressions are PCRE2's, not POSIX's;
 * dstdomain and dstdom_regex never ask for the name of an address; a group (any-of, all-of) may only name conditions
 * that were defined before it, which makes cycles impossible.
 *
 * Immutable after fwd_acls_finish; evaluation is pure and may be done by any thread.
 */
#ifndef FORWARD_ACL_H
#define FORWARD_ACL_H

#include "base/map.h"
#include "base/regex.h"
#include "conf/bundle.h"
#include "conf/diag.h"
#include "forward/addr_set.h"
#include "forward/domain_set.h"
#include "forward/request.h"

enum fwd_acl_type {
    ACL_SRC,
    ACL_DST,
    ACL_LOCALIP,
    ACL_DSTDOMAIN,
    ACL_DSTDOM_REGEX,
    ACL_URL_REGEX,
    ACL_URLPATH_REGEX,
    ACL_PORT,
    ACL_METHOD,
    ACL_PROTO,
    ACL_TIME,
    ACL_PROXY_AUTH,
    ACL_BROWSER,
    ACL_REFERER_REGEX,
    ACL_REQ_HEADER,
    ACL_REP_HEADER,
    ACL_REQ_MIME_TYPE,
    ACL_REP_MIME_TYPE,
    ACL_HTTP_STATUS,
    ACL_MAXCONN,
    ACL_ANY_OF,
    ACL_ALL_OF,
    ACL_MANAGER, /* the predefined `manager` */
};

struct fwd_acl;

/* A condition as a rule names it. */
struct fwd_term {
    const struct fwd_acl *acl;
    bool negated;
};

/* One value; which members count is the type's business. */
struct fwd_value {
    struct fwd_value *next;
    struct regex *regex; /* heap */
    slice word;          /* a name, a method, a scheme, a field's name */
    uint32_t from, to;   /* ports, statuses; minutes of a day, both inclusive */
    uint8_t days;        /* bit per tm_wday */
    struct fwd_term *terms;
    uint32_t nterms;
};

struct fwd_acl {
    slice name;
    enum fwd_acl_type type;
    struct conf_pos pos; /* of its first line */
    bool predefined;
    bool icase;     /* names of users */
    uint32_t index; /* in order of definition: groups name lower ones only */
    uint32_t depth; /* of groups */
    struct fwd_value *values, **last;
    struct addr_set addresses;
    struct domain_set domains;
    struct fwd_acl *next;
};

/* Where compiling happens; `errors` counts what was reported. */
struct fwd_compile {
    struct arena *arena;
    struct bundle *bundle;
    struct conf_diag *diag;
    uint32_t errors;
};

enum { FWD_GROUP_DEPTH = 16 };

struct fwd_acls {
    struct map names;
    struct fwd_acl *first, **last;
    uint32_t n;
};

/* With the predefined ones in it. OK or ERR_NOMEM; fwd_acls_done is due in both cases. */
int fwd_acls_init(struct fwd_acls *s, struct fwd_compile *c);
void fwd_acls_done(struct fwd_acls *s);
/* One `acl` line. OK, ERR_SYNTAX (reported) or ERR_NOMEM. */
int fwd_acl_line(struct fwd_acls *s, struct fwd_compile *c, const struct conf_node *node);
/* After the last line: sorts, checks groups. OK or ERR_SYNTAX (reported). */
int fwd_acls_finish(struct fwd_acls *s, struct fwd_compile *c);
/* Is there a condition of that type? */
bool fwd_acls_use(const struct fwd_acls *s, enum fwd_acl_type type);
/*
 * The terms in args[from...] of a line: names, each with `!` before it when negated. OK, ERR_SYNTAX (unknown names are
 * reported with the nearest known one) or ERR_NOMEM.
 */
int fwd_terms(struct fwd_acls *s, struct fwd_compile *c, const struct conf_node *node, uint32_t from,
              struct fwd_term **terms, uint32_t *n);

/* Does the condition hold? */
enum fwd_answer fwd_acl_match(const struct fwd_acl *a, const struct fwd_request *r);
/* Do all of them, asked in order? *last (may be NULL) is the one that was asked last. */
enum fwd_answer fwd_terms_match(const struct fwd_term *terms, uint32_t n, const struct fwd_request *r,
                                const struct fwd_acl **last);

/* Reports an error at an argument (-1: the directive); gives ERR_SYNTAX. */
int fwd_error(struct fwd_compile *c, const struct conf_node *node, int arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void fwd_warn(struct fwd_compile *c, const struct conf_node *node, int arg, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* One value of a line, for the files of this room. */
int fwd_acl_value(struct fwd_acl *a, struct fwd_compile *c, const struct conf_node *node, int arg, slice text,
                  bool icase);
/* Is this a word of the language (a directive or a type)? Such a word among values is likely a lost line end. */
bool fwd_is_keyword(slice word);

#endif
