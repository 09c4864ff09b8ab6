/*
 * Limits of users: the lines, who the user is, and the place in the table (forward/user_table.h) that an exchange holds
 * from the decision until it is freed.
 *
 * Bytes are those between the client and us, both ways. They are taken from the exchange's own counts, every few
 * seconds while it runs and at its end, so passing them costs nothing.
 */
#include "proxy/forward_limits.h"

#include <stddef.h>

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/generation.h"
#include "conf/schema.h"
#include "conf/units.h"
#include "forward/user_table.h"
#include "http/pace.h"
#include "proxy/forward_block.h"
#include "proxy/forward_deny.h"
#include "proxy/forward_filter.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"

enum { LOOK_MS = 5000, SECOND = 1000000 };

enum kind { CONNECTIONS, RATE, BYTES, SPEED, KINDS };

struct limit_rule {
    bool off;
    struct user_limits limits; /* what its kind says of them */
    uint64_t speed;            /* of SPEED: bytes a second */
    struct fwd_term *terms;
    uint32_t nterms;
    struct conf_pos pos;
    slice text;
    struct limit_rule *next;
};

struct limit_lines {
    struct limit_rule *first[KINDS], **last[KINDS];
    struct user_table *table;
    struct gen_cleanup cleanup;
};

/* A place of one exchange; in its arena, and so gone before its generation lets the table go. */
struct user_hold {
    struct x_hold hold;
    struct timer timer;
    struct exchange *x;
    struct user_table *table;
    struct user_place *place;
    struct user_limits limits;
    uint64_t counted;
    slice line; /* of user_bytes */
    struct pace_share share;
    bool left;
};

static uint64_t now_us(const struct exchange *x)
{
    return loop_now(&x->w->loop) * 1000;
}

/* ---- while it runs ---- */

static bool count_bytes(struct user_hold *h)
{
    uint64_t all = h->x->sent + h->x->received, more = all - h->counted;
    h->counted = all;
    return user_took(h->table, h->place, &h->limits, more, now_us(h->x));
}

static void on_timer(struct timer *t)
{
    struct user_hold *h = container_of(t, struct user_hold, timer);
    struct exchange *x = h->x;
    if (count_bytes(h)) {
        timer_set(&x->w->loop, &h->timer, LOOK_MS);
        return;
    }
    exchange_log(x, LEVEL_WARN, "ended: the user has had all bytes of \"%.*s\"", SLICE_FMT(h->line));
    worker_count(x->w, COUNT_USER_LIMITED);
    x->ended = END_DROPPED;
    exchange_front_failed(x, WHY_LIMIT);
}

static void let_go(struct x_hold *hold, struct exchange *x)
{
    struct user_hold *h = container_of(hold, struct user_hold, hold);
    timer_drop(&x->w->loop, &h->timer);
    if (h->limits.bytes)
        count_bytes(h);
    user_leave(h->table, h->place);
    h->left = true;
    exchange_unhold(x, hold);
}

/* What is left of a body when its place was given back is nobody's. */
static uint64_t share_take(struct pace_share *s, uint64_t now, uint64_t want)
{
    struct user_hold *h = container_of(s, struct user_hold, share);
    return h->left ? want : user_send(h->table, h->place, s->rate, want, now * 1000);
}

static void share_give(struct pace_share *s, uint64_t n)
{
    struct user_hold *h = container_of(s, struct user_hold, share);
    if (n && !h->left)
        user_unsend(h->table, h->place, n);
}

static int pace_response(struct exchange *x, const void *conf)
{
    struct user_hold *h = x->slots[SLOT_USER_PLACE];
    return h && h->share.rate ? pace_shared(x, &h->share) : OK;
}

static bool pace_active(const void *conf)
{
    const struct limit_level *l = conf;
    return l->lines && l->lines->first[SPEED];
}

/* ---- who ---- */

/* An IPv6 network of 64 bits is one client: its owner has all of its addresses. */
static void put_address(struct strb *b, const struct sockaddr *sa)
{
    const struct sockaddr_in6 *six = (const void *)sa;
    const uint8_t *bytes = six->sin6_addr.s6_addr;
    if (sa->sa_family == AF_INET) {
        strb_char(b, '4');
        strb_add(b, slice_of((const char *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4));
    } else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        strb_char(b, '4');
        strb_add(b, slice_of((const char *)bytes + 12, 4));
    } else if (sa->sa_family == AF_INET6) {
        strb_char(b, '6');
        strb_add(b, slice_of((const char *)bytes, 8));
    }
}

/* Names and addresses never meet. By name, all who have none are one user, so that nobody is without a limit. */
static int key_of(const struct limit_level *l, const struct fwd_request *v, struct user_key *key)
{
    char room[512];
    struct strb b;
    strb_init_fixed(&b, room, sizeof(room));
    bool name = l->by == USER_BY_NAME || (l->by == USER_BY_ANY && v->user_known);
    if (name && v->user.n > sizeof(room) - 1) {
        *key = user_key_of(v->user);
        return OK;
    }
    strb_char(&b, name ? 'n' : 'a');
    if (name && v->user_known)
        strb_add(&b, v->user);
    else if (!name)
        put_address(&b, v->client);
    if (b.failed)
        return ERR_LIMIT;
    *key = user_key_of(strb_slice(&b));
    return OK;
}

/* ---- deciding ---- */

/* The line of a kind that holds; one whose conditions cannot be told limits. OK (NULL: none) or ERR_AGAIN. */
static int line_of(const struct limit_lines *l, enum kind k, const struct fwd_request *v, const struct limit_rule **out)
{
    const struct limit_rule *r = l->first[k];
    for (; r; r = r->next) {
        enum fwd_answer a = fwd_terms_match(r->terms, r->nterms, v, NULL);
        if (a == FWD_NEED_ADDRESSES)
            return ERR_AGAIN;
        if (a == FWD_YES || (a != FWD_NO && !r->off))
            break;
    }
    *out = r && !r->off ? r : NULL;
    return OK;
}

static int lines_of(const struct limit_lines *l, const struct fwd_request *v, const struct limit_rule *lines[KINDS])
{
    int rc = OK;
    for (enum kind k = 0; k < KINDS && rc == OK; k++)
        rc = line_of(l, k, v, &lines[k]);
    return rc;
}

static struct user_limits limits_of(const struct limit_rule *const lines[KINDS])
{
    struct user_limits l = { 0 };
    if (lines[CONNECTIONS])
        l.connections = lines[CONNECTIONS]->limits.connections;
    if (lines[RATE]) {
        l.interval = lines[RATE]->limits.interval;
        l.burst = lines[RATE]->limits.burst;
    }
    if (lines[BYTES]) {
        l.bytes = lines[BYTES]->limits.bytes;
        l.period = lines[BYTES]->limits.period;
    }
    return l;
}

static void explain(struct exchange *x, const struct limit_rule *const lines[KINDS])
{
    for (enum kind k = 0; k < KINDS; k++) {
        if (lines[k])
            exchange_trace(x, &lines[k]->pos, "%.*s limits the user; what the user has taken is known at run time",
                           SLICE_FMT(lines[k]->text));
    }
}

static const struct limit_rule *reason(struct forward_exchange *f, enum user_answer a,
                                       const struct limit_rule *const lines[KINDS])
{
    f->limit_status = a == USER_TABLE_FULL ? 503 : 429;
    switch (a) {
    case USER_TOO_MANY:
        f->limit_reason = "too many requests and tunnels are open";
        return lines[CONNECTIONS];
    case USER_TOO_FAST:
        f->limit_reason = "requests come too fast";
        return lines[RATE];
    case USER_TOO_LARGE:
        f->limit_reason = "all bytes of the period have been taken";
        return lines[BYTES];
    default:
        f->limit_reason = "too many users are there";
        return NULL;
    }
}

static int refuse(struct exchange *x, enum user_answer a, const struct limit_rule *const lines[KINDS], uint64_t wait,
                  const struct fwd_request *v)
{
    struct forward_exchange *f = x->proxy->forward;
    const struct limit_rule *r = reason(f, a, lines);
    const struct filter_decision none = { .answer = FWD_NO };
    char who[512];
    f->verdict = FORWARD_LIMITED;
    f->limit_wait = wait / SECOND + 1;
    f->limit_rule = SLICE("");
    if (r)
        f->limit_rule = fwd_line_words(&x->arena, &r->pos, r->text);
    size_t n = filter_decision_text(who, sizeof(who), &none, v);
    exchange_log(x, a == USER_TABLE_FULL ? LEVEL_ERROR : LEVEL_WARN, "limited: %s: %.*s rule=%.*s", f->limit_reason,
                 (int)n, who, SLICE_FMT(f->limit_rule));
    worker_count(x->w, a == USER_TABLE_FULL ? COUNT_USER_TABLE_FULL : COUNT_USER_LIMITED);
    return ERR_REFUSED;
}

static int hold(struct exchange *x, struct user_hold *h, const struct limit_rule *bytes, const struct limit_rule *speed)
{
    x->slots[SLOT_USER_PLACE] = h;
    h->share = (struct pace_share){ .rate = speed ? speed->speed : 0, .take = share_take, .give = share_give };
    timer_init(&h->timer, on_timer);
    exchange_hold(x, &h->hold, let_go);
    h->hold.still = !bytes;
    if (bytes) {
        h->line = bytes->text;
        timer_set(&x->w->loop, &h->timer, LOOK_MS);
    }
    return OK;
}

int forward_limits_enter(struct exchange *x, const struct fwd_request *v)
{
    const struct limit_level *level = exchange_conf(x, &forward_limits_feature);
    const struct limit_rule *lines[KINDS];
    struct user_key key;
    uint64_t wait;
    if (likely(!level->lines) || x->slots[SLOT_USER_PLACE]) /* of an association, each destination asks */
        return OK;
    int rc = lines_of(level->lines, v, lines);
    if (rc != OK)
        return rc;
    if (x->trace) {
        explain(x, lines);
        return OK;
    }
    if (!lines[CONNECTIONS] && !lines[RATE] && !lines[BYTES] && !lines[SPEED])
        return OK;
    struct user_hold *h = arena_new(&x->arena, struct user_hold);
    if (!h || key_of(level, v, &key) != OK)
        return ERR_NOMEM;
    h->x = x;
    h->table = level->lines->table;
    h->limits = limits_of(lines);
    enum user_answer a = user_enter(h->table, &key, &h->limits, now_us(x), &h->place, &wait);
    return a == USER_ENTERS ? hold(x, h, lines[BYTES], lines[SPEED]) : refuse(x, a, lines, wait, v);
}

/* ---- load ---- */

static void drop_table(struct gen_cleanup *c)
{
    user_table_drop(container_of(c, struct limit_lines, cleanup)->table);
}

int forward_limits_attach(struct conf_ctx *cf, struct limit_level *l, slice name)
{
    if (!l->lines)
        return OK;
    l->lines->table = user_table_get(name, (uint32_t)l->places);
    if (!l->lines->table)
        return ERR_NOMEM;
    generation_cleanup(cf->gen, &l->lines->cleanup, drop_table);
    return OK;
}

static bool option(const struct conf_node *node, uint32_t at, slice name, slice *value)
{
    slice left;
    return at < node->nargs && slice_cut(node->args[at].text, '=', &left, value) && slice_eq(left, name);
}

/* "10r/s", "30r/m" as in nginx's limit_req. */
static int read_rate(struct conf_ctx *cf, const struct conf_node *node, struct limit_rule *r)
{
    slice text = node->args[0].text;
    uint64_t n, unit = slice_ends(text, SLICE("r/s")) ? SECOND : slice_ends(text, SLICE("r/m")) ? 60ULL * SECOND : 0;
    if (!unit || slice_to_u64(slice_upto(text, text.n - 3), &n) != OK || !n || n > unit)
        return conf_error(cf, node, 0, "invalid rate \"%.*s\"", SLICE_FMT(text));
    r->limits.interval = unit / n;
    return OK;
}

static int read_limit(struct conf_ctx *cf, const struct conf_node *node, enum kind k, struct limit_rule *r,
                      uint32_t *at)
{
    slice text = node->args[0].text, value;
    uint64_t n;
    if (k == CONNECTIONS) {
        if (slice_to_u64(text, &n) != OK || !n || n > 1000000)
            return conf_error(cf, node, 0, "invalid number \"%.*s\"", SLICE_FMT(text));
        r->limits.connections = (uint32_t)n;
        return OK;
    }
    if (k == RATE) {
        int rc = read_rate(cf, node, r);
        if (rc != OK || !option(node, 1, SLICE("burst"), &value))
            return rc;
        if (slice_to_u64(value, &n) != OK || n > 1000000)
            return conf_error(cf, node, 1, "invalid number \"%.*s\"", SLICE_FMT(value));
        r->limits.burst = (uint32_t)n;
        *at = 2;
        return OK;
    }
    if (k == SPEED) {
        if (conf_size(text, &r->speed) != OK || !r->speed)
            return conf_error(cf, node, 0, "invalid size \"%.*s\"", SLICE_FMT(text));
        return OK;
    }
    if (conf_offset(text, &r->limits.bytes) != OK || !r->limits.bytes)
        return conf_error(cf, node, 0, "invalid size \"%.*s\"", SLICE_FMT(text));
    n = 24 * 3600 * 1000ULL;
    if (option(node, 1, SLICE("per"), &value)) {
        if (conf_msec(value, &n) != OK || n < 1000 || n > 366 * 24 * 3600 * 1000ULL)
            return conf_error(cf, node, 1, "invalid time \"%.*s\"", SLICE_FMT(value));
        *at = 2;
    }
    r->limits.period = n * 1000;
    return OK;
}

static struct limit_lines *lines_at(struct conf_ctx *cf, struct limit_level *l)
{
    if (l->lines)
        return l->lines;
    l->lines = arena_new(cf->arena, struct limit_lines);
    for (enum kind k = 0; l->lines && k < KINDS; k++)
        l->lines->last[k] = &l->lines->first[k];
    return l->lines;
}

static int set_limit(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    enum kind k = slice_eq(node->name, SLICE("user_connections"))  ? CONNECTIONS
                  : slice_eq(node->name, SLICE("user_limit_rate")) ? SPEED
                  : slice_eq(node->name, SLICE("user_rate"))       ? RATE
                                                                   : BYTES;
    struct limit_lines *l = lines_at(cf, conf);
    struct limit_rule *r = arena_new(cf->arena, struct limit_rule);
    uint32_t at = 1;
    if (!l || !r)
        return ERR_NOMEM;
    r->pos = node->pos;
    r->off = slice_eq(node->args[0].text, SLICE("off"));
    int rc = r->off ? OK : read_limit(cf, node, k, r, &at);
    if (rc == OK)
        rc = forward_terms(cf, node, at, &r->terms, &r->nterms);
    if (rc != OK)
        return rc;
    r->text = forward_line_text(cf, node);
    *l->last[k] = r;
    l->last[k] = &r->next;
    return r->text.p ? OK : ERR_NOMEM;
}

static const struct conf_value bys[] = {
    { "any", USER_BY_ANY }, { "user", USER_BY_NAME }, { "address", USER_BY_ADDRESS }, { NULL, 0 }
};

#define LINE(text, args, about)                                                                                \
    {                                                                                                          \
        .name = text, .contexts = CONF_FORWARD, .min_args = 1, .max_args = CONF_ANY_ARGS, .type = CONF_CUSTOM, \
        .scope = SCOPE_LOCATION, .repeat = true, .offset = offsetof(struct limit_level, lines),                \
        .size = sizeof(struct limit_lines *), .set = set_limit, .usage = text " " args " [[!]ACL ...];",       \
        .doc = about " The first line whose conditions all hold counts; off: no limit.",                       \
    }

static const struct directive directives[] = {
    LINE("user_connections", "NUMBER | off",
         "How many requests and tunnels of one user (user_by) may be under way, over all workers; one more is answered "
         "with "
         "429. A tunnel counts for as long as it stands."),
    LINE(
        "user_rate", "RATE [burst=NUMBER] | off",
        "How many requests of one user may come in a second or minute (10r/s, 30r/m), NUMBER more at once; beyond that "
        "the answer is 429 with Retry-After. A tunnel is one request."),
    LINE(
        "user_bytes", "SIZE [per=TIME] | off",
        "How many bytes may pass between one user and the proxy, both ways, in TIME (1d) from the first one on; then "
        "the answer is 429 with Retry-After. What runs is looked at every five seconds and at its end, and is cut when "
        "all have been taken."),
    LINE("user_limit_rate", "SIZE | off",
         "How many bytes a second go to all requests and tunnels of one user together; a second's share goes at once. "
         "What "
         "the user sends, and datagrams, are not slowed. limit_rate holds for each answer besides."),
    { .name = "user_by",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_ENUM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct limit_level, by),
      .values = bys,
      .def = "any",
      .usage = "user_by any | user | address;",
      .doc =
          "Who is one user for user_connections, user_rate, user_bytes and user_limit_rate. any: a name whose password "
          "was checked, "
          "else the client's address. user: the name; all who have none are one user. address: the client's address, "
          "of IPv6 its first 64 bits." },
    { .name = "user_table",
      .contexts = CONF_FORWARD,
      .min_args = 1,
      .max_args = 1,
      .type = CONF_NUM,
      .scope = SCOPE_LOCATION,
      .offset = offsetof(struct limit_level, places),
      .min = 16,
      .max = 10000000,
      .def = "16384",
      .usage = "user_table NUMBER;",
      .doc = "How many users of a block are remembered, 80 bytes each. Users with nothing open and nothing taken make "
             "room "
             "for others; where there is none, requests are answered with 503 and counted (user_table_full). A reload "
             "keeps what users have taken while this number and the block's first listen stay." },
};

struct feature forward_limits_feature = {
    .name = "forward_limits",
    .doc = "What one user of a forward proxy may take.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_LOCATION] = sizeof(struct limit_level) },
};

const struct policy user_pace_policy = {
    .name = "user_limit_rate",
    .feature = &forward_limits_feature,
    .active = pace_active,
    .on_response = pace_response,
};
