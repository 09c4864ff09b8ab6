/*
 * auth_basic: who asks must give a name and a password that stand in a file (RFC 7617).
 *
 * Deciding and hashing are apart: what the request says is read here, the password is checked by policy/auth_checks.c,
 * at once or on the job pool. A name that nobody has costs the same work as a wrong password. Answers and texts of the
 * log are nginx's. The Authorization field goes on to backends, as there.
 */
#include "policy/auth_basic.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/units.h"
#include "policy/auth_checks.h"
#include "policy/auth_files.h"

struct realm {
    const struct conf_node *node; /* NULL: no auth_basic */
    struct template text;
};

/* Who is asked for a password is the rules' business (forward blocks). */
struct by_rules {
    bool on, lower;    /* lower: names count in lower case */
    bool has_remember; /* instead of auth_basic_remember */
    uint64_t remember;
};

/* SCOPE_LOCATION */
struct auth_basic {
    struct realm realm;
    const struct auth_file *file;
    struct by_rules by_rules;
};

/* SCOPE_MAIN */
struct auth_main {
    struct auth_files *files;
    struct auth_limits limits;
};

/* Of one pass, while its password is checked. */
struct state {
    struct auth_wait wait;
    slice realm, user, path;
    uint8_t pass;
    bool known;
};

/* ---- answers ---- */

static enum verdict reply(struct exchange *x, unsigned status)
{
    return reply_set(x, status, SLICE_NONE, SLICE_NONE, true) == OK ? VERDICT_REPLY : VERDICT_DROP;
}

/* A quoted-string of RFC 9110 §5.6.4; a realm may hold what a client chose, and then no byte of it ends the field. */
static slice challenge(struct exchange *x, slice realm)
{
    struct strb b;
    slice out = SLICE_NONE;
    strb_init(&b, 0);
    strb_lit(&b, "Basic realm=\"");
    for (size_t i = 0; i < realm.n; i++) {
        char c = realm.p[i];
        if (c == '"' || c == '\\')
            strb_char(&b, '\\');
        strb_char(&b, (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
    }
    strb_char(&b, '"');
    if (b.failed || !arena_dup(&x->arena, strb_slice(&b), &out))
        out = SLICE_NONE;
    strb_done(&b);
    return out;
}

/* Nobody is known: whether that matters is for the rules to say, and this is what they say it with. */
static enum verdict leave_to_rules(struct exchange *x, slice realm)
{
    slice *kept = arena_new(&x->arena, slice);
    if (!kept)
        return VERDICT_DROP;
    *kept = challenge(x, realm);
    x->slots[SLOT_CHALLENGE] = kept;
    return kept->p ? VERDICT_NEXT : VERDICT_DROP;
}

static enum verdict ask_for_password(struct exchange *x, slice realm)
{
    bool proxy = x->server->forward;
    struct field f = { .name = SLICE("WWW-Authenticate"), .token = TOK_WWW_AUTHENTICATE };
    if (proxy)
        f = (struct field){ .name = SLICE("Proxy-Authenticate"), .token = TOK_PROXY_AUTHENTICATE };
    f.value = challenge(x, realm);
    worker_count(x->w, COUNT_AUTH_FAILED);
    enum verdict v = f.value.p ? reply(x, proxy ? 407 : 401) : VERDICT_DROP;
    return v == VERDICT_REPLY && !fields_add(&x->arena, &x->resp.fields, f) ? VERDICT_DROP : v;
}

/* ---- deciding ---- */

/* The login of a SOCKS client asks nothing but whether its password is right: no rule can tell. */
static bool left_to_rules(const struct exchange *x, const struct auth_basic *c)
{
    return c->by_rules.on && !x->req.login;
}

static enum verdict conclude(struct exchange *x, const struct auth_basic *c, struct state *s, enum auth_result result)
{
    switch (result) {
    case AUTH_PENDING:
        return VERDICT_WAIT;
    case AUTH_GOOD:
        x->slots[SLOT_USER] = &s->user;
        exchange_trace(x, &c->realm.node->pos, "auth_basic: \"%.*s\" has given the password", SLICE_FMT(s->user));
        return left_to_rules(x, c) ? leave_to_rules(x, s->realm) : VERDICT_ALLOW;
    case AUTH_BUSY:
        exchange_log(x, LEVEL_ERROR, "too many password checks wait");
        return reply(x, 503);
    case AUTH_BAD:
        break;
    }
    exchange_trace(x, &c->realm.node->pos, "auth_basic: no valid password");
    if (s->known)
        exchange_log(x, LEVEL_ERROR, "user \"%.*s\": password mismatch", SLICE_FMT(s->user));
    else
        exchange_log(x, LEVEL_ERROR, "user \"%.*s\" was not found in \"%.*s\"", SLICE_FMT(s->user), SLICE_FMT(s->path));
    return left_to_rules(x, c) ? leave_to_rules(x, s->realm) : ask_for_password(x, s->realm);
}

static enum verdict file_missing(struct exchange *x, slice path, int error)
{
    char text[128];
    exchange_log(x, error == ENOENT ? LEVEL_ERROR : LEVEL_CRIT, "open() \"%.*s\" failed (%d: %s)", SLICE_FMT(path),
                 error, strerror_r(error, text, sizeof(text)));
    return reply(x, error == ENOENT ? 403 : 500);
}

static enum verdict check(struct exchange *x, const struct auth_basic *c, struct state *s, struct basic *given)
{
    const struct auth_main *m = x->gen->gen->main[auth_basic_feature.id];
    const struct htpasswd *h = NULL;
    if (!c->file) {
        exchange_log(x, LEVEL_ERROR, "there is no \"auth_basic_user_file\" for \"auth_basic\"");
        return reply(x, 403);
    }
    if (auth_file_get(x, c->file, &h, &s->path) != OK)
        return VERDICT_DROP;
    if (!h || h->error)
        return file_missing(x, s->path, h ? h->error : ENOENT);
    const struct htpasswd_user *u = htpasswd_find(h, given->user, &s->known);
    struct auth_limits limits = m->limits;
    if (c->by_rules.has_remember)
        limits.remember = c->by_rules.remember;
    enum auth_result result = u ? auth_check(x, &s->wait, &limits, u, s->known, given) : AUTH_BAD;
    if (given->password.n)
        explicit_bzero((char *)given->password.p, given->password.n); /* decoded into our own arena */
    return conclude(x, c, s, result);
}

/* OK, or ERR_NOTFOUND after logging. A proxy's own credentials are hop by hop, so they never travel on. Two
 * Authorization fields could be two opinions: taken for none. */
static int credentials(struct exchange *x, struct basic *given)
{
    bool proxy = x->server->forward;
    const struct fields *all = proxy ? &x->req.hop : &x->req.fields;
    enum token token = proxy ? TOK_PROXY_AUTHORIZATION : TOK_AUTHORIZATION;
    const struct field *f = fields_find(all, token);
    int rc = f ? basic_parse(&x->arena, f->value, given) : ERR_NOTFOUND;
    for (uint32_t i = 0; f && i < all->n; i++) {
        if (all->v[i].token == token && &all->v[i] != f)
            rc = ERR_NOTFOUND;
    }
    if (rc == ERR_NOTFOUND)
        exchange_log(x, LEVEL_INFO, "no user/password was provided for basic authentication");
    return rc;
}

/* Explained for a user whose password nobody has to know for it. */
static enum verdict assume(struct exchange *x, const struct auth_basic *c)
{
    x->slots[SLOT_USER] = &x->trace->user;
    exchange_trace(x, &c->realm.node->pos, "auth_basic: \"%.*s\" is taken to have given the password",
                   SLICE_FMT(x->trace->user));
    return VERDICT_ALLOW;
}

/* Decoded into our own arena. */
static void lower_case(slice name)
{
    char *p = (char *)(uintptr_t)name.p;
    for (size_t i = 0; i < name.n; i++)
        p[i] = ascii_lower(p[i]);
}

static enum verdict begin(struct exchange *x, const struct auth_basic *c)
{
    struct basic given;
    slice realm;
    if (exchange_eval(x, &c->realm.text, &realm) != OK)
        return VERDICT_DROP;
    if (slice_eq(realm, SLICE("off")))
        return VERDICT_NEXT;
    if (unlikely(x->trace != NULL) && x->trace->user.p)
        return assume(x, c);
    int rc = credentials(x, &given);
    if (rc == ERR_NOTFOUND) {
        exchange_trace(x, &c->realm.node->pos, "auth_basic \"%.*s\": no password was given", SLICE_FMT(realm));
        return left_to_rules(x, c) ? leave_to_rules(x, realm) : ask_for_password(x, realm);
    }
    struct state *s = rc == OK ? arena_new(&x->arena, struct state) : NULL;
    if (!s)
        return VERDICT_DROP;
    if (c->by_rules.lower)
        lower_case(given.user);
    s->realm = realm;
    s->user = given.user;
    s->pass = x->passes;
    x->slots[SLOT_AUTH_BASIC] = s;
    return check(x, c, s, &given);
}

static enum verdict auth_basic_request(struct exchange *x, const void *conf)
{
    struct state *s = x->slots[SLOT_AUTH_BASIC];
    if (!s || s->pass != x->passes)
        return begin(x, conf);
    return conclude(x, conf, s, s->wait.result);
}

/* What asks nobody keeps nobody out; the rules do. */
static bool auth_basic_open(const void *conf)
{
    return ((const struct auth_basic *)conf)->by_rules.on;
}

static bool auth_basic_active(const void *conf)
{
    const struct realm *r = &((const struct auth_basic *)conf)->realm;
    return r->node && !(template_literal(&r->text) && slice_eq(r->text.source, SLICE("off")));
}

/* ---- directives ---- */

static int set_realm(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct auth_basic *c = conf;
    c->realm.node = node;
    return template_compile(cf, &node->args[0], &c->realm.text);
}

static int set_file(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct auth_basic *c = conf;
    struct auth_main *m = conf_scope_own(cf, cf->scope[SCOPE_MAIN], &auth_basic_feature);
    struct auth_file *f = arena_new(cf->arena, struct auth_file);
    if (!m || !f)
        return ERR_NOMEM;
    c->file = f;
    return auth_file_read(cf, node, &m->files, f);
}

/* nginx lets everybody in here; a gate that is closed by mistake is found sooner. */
static int auth_basic_finish(struct conf_ctx *cf, enum conf_scope_kind kind, const struct conf_node *node, void *conf,
                             const void *parent)
{
    const struct auth_basic *c = conf, *outer = parent;
    if (kind != SCOPE_LOCATION || c->file || !auth_basic_active(conf) || (outer && outer->realm.node == c->realm.node))
        return OK;
    conf_warn(
        cf, c->realm.node, -1,
        "\"auth_basic\" without \"auth_basic_user_file\": requests are answered 403 where no inner level names one");
    return OK;
}

static int hash_option(struct conf_ctx *cf, const struct conf_node *node, int arg, struct auth_limits *l)
{
    slice name, value, text = node->args[arg].text;
    uint64_t n;
    bool address = false;
    if (slice_cut(text, '=', &name, &value))
        address = slice_eq(name, SLICE("address"));
    else
        value = text;
    bool running = arg == 0, waiting = !running && !address && value.n < text.n && slice_eq(name, SLICE("waiting"));
    if (running ? value.n < text.n : !address && !waiting)
        return conf_error(cf, node, arg, "invalid parameter \"%.*s\"", SLICE_FMT(text));
    if (slice_to_u64(value, &n) != OK || n == 0 || n > 100000)
        return conf_error(cf, node, arg, "invalid number \"%.*s\"", SLICE_FMT(value));
    *(running ? &l->running : address ? &l->address : &l->waiting) = n;
    return OK;
}

static int set_hashes(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct auth_limits *l = &((struct auth_main *)conf)->limits;
    int rc = OK;
    l->address = 1;
    l->waiting = 256;
    for (uint32_t i = 0; i < node->nargs && rc == OK; i++)
        rc = hash_option(cf, node, (int)i, l);
    return rc;
}

static int set_by_rules(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct by_rules *b = &((struct auth_basic *)conf)->by_rules;
    slice first = node->args[0].text;
    if (!slice_eq(first, SLICE("on")) && !slice_eq(first, SLICE("off")))
        return conf_error(cf, node, 0, "invalid value \"%.*s\": it is on or off", SLICE_FMT(first));
    b->on = first.n == 2;
    for (uint32_t i = 1; i < node->nargs; i++) {
        slice o = node->args[i].text;
        if (slice_eq(o, SLICE("lower_case")))
            b->lower = true;
        else if (slice_starts(o, SLICE("remember=")) && conf_msec(slice_from(o, 9), &b->remember) == OK)
            b->has_remember = true;
        else
            return conf_error(cf, node, (int)i, "invalid parameter \"%.*s\"", SLICE_FMT(o));
    }
    return OK;
}

#define HSLE (CONF_HTTP | CONF_SERVER | CONF_LOCATION | CONF_LIMIT_EXCEPT)

static const struct directive directives[] = {
    {
        .name = "auth_basic",
        .contexts = HSLE,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct auth_basic, realm),
        .size = sizeof(struct realm),
        .set = set_realm,
        .usage = "auth_basic REALM | off;",
        .doc = "Asks for a name and a password, in the words of REALM, which may hold variables. off, or a REALM that "
               "comes to it, cancels what an outer level says.",
    },
    {
        .name = "auth_basic_user_file",
        .contexts = HSLE,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct auth_basic, file),
        .size = sizeof(struct auth_file *),
        .set = set_file,
        .usage = "auth_basic_user_file FILE;",
        .doc =
            "Names and passwords: lines of NAME:PASSWORD[:COMMENT] with the password as crypt(3) of the system has it "
            "(bcrypt, yescrypt, SHA-512, ...), as $apr1$, {SHA}, {SSHA} or {PLAIN}. The file is read when the "
            "configuration is loaded; a change of it takes effect with the next reload. FILE may hold variables behind "
            "the name of a directory: all files that it can mean are read then, each variable standing for a part of "
            "one name without a slash. A relative FILE is looked for beside the configuration file.",
    },
    {
        .name = "auth_basic_by_rules",
        .contexts = CONF_FORWARD,
        .min_args = 1,
        .max_args = 3,
        .type = CONF_CUSTOM,
        .scope = SCOPE_LOCATION,
        .offset = offsetof(struct auth_basic, by_rules),
        .size = sizeof(struct by_rules),
        .set = set_by_rules,
        .usage = "auth_basic_by_rules on | off [lower_case] [remember=TIME];",
        .doc = "On: a request without a good password goes on without a user, and is asked for one (407) only when an "
               "http_access line comes to a proxy_auth condition; off, the default: every request needs one. "
               "lower_case: names are compared in lower case. remember stands for auth_basic_remember.",
    },
    {
        .name = "auth_basic_hashes",
        .contexts = CONF_HTTP,
        .min_args = 1,
        .max_args = 3,
        .type = CONF_CUSTOM,
        .scope = SCOPE_MAIN,
        .offset = offsetof(struct auth_main, limits),
        .set = set_hashes,
        .def = "2 address=1 waiting=256",
        .usage = "auth_basic_hashes NUMBER [address=NUMBER] [waiting=NUMBER];",
        .doc = "How many slow password hashes a worker has under way at once, how many of them for one client address, "
               "and how many wait in line, of which one address may have a quarter. Beyond that the answer is 503. An "
               "IPv6 address counts by its first 64 bits.",
    },
    {
        .name = "auth_basic_remember",
        .contexts = CONF_HTTP,
        .min_args = 1,
        .max_args = 1,
        .type = CONF_MSEC,
        .scope = SCOPE_MAIN,
        .offset = offsetof(struct auth_main, limits.remember),
        .max = 24 * 3600 * 1000ULL,
        .def = "60s",
        .usage = "auth_basic_remember TIME;",
        .doc = "For how long a worker remembers that a name and a password were good, so that further requests need no "
               "slow hash. Neither is kept, only a keyed digest of both; a reload forgets all. 0 remembers nothing.",
    },
};

struct feature auth_basic_feature = {
    .name = "auth_basic",
    .forward = true,
    .doc = "Letting clients in by name and password.",
    .directives = directives,
    .ndirectives = array_len(directives),
    .size = { [SCOPE_MAIN] = sizeof(struct auth_main), [SCOPE_LOCATION] = sizeof(struct auth_basic) },
    .finish = auth_basic_finish,
};

const struct policy auth_basic_policy = {
    .name = "auth_basic",
    .feature = &auth_basic_feature,
    .active = auth_basic_active,
    .open = auth_basic_open,
    .asks = true,
    .on_request = auth_basic_request,
};
