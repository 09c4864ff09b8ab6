#include "proxy/squid_log.h"

#include <stdio.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/client.h"
#include "http/vars.h"
#include "proxy/forward_block.h"
#include "proxy/forward_rules.h"
#include "proxy/proxy.h"

enum { WIDTH_MAX = 256, FORMAT_MAX = 16 << 10 };

enum code {
    C_NONE,
    C_CLIENT,
    C_CLIENT_PORT,
    C_LOCAL,
    C_LOCAL_PORT,
    C_PEER,
    C_PEER_NAME,
    C_PEER_PORT,
    C_SECONDS,
    C_SUB,
    C_LOCAL_TIME,
    C_TIME,
    C_USER,
    C_STATUS,
    C_PEER_STATUS,
    C_METHOD,
    C_URL,
    C_PATH,
    C_VERSION,
    C_SCHEME,
    C_HOST,
    C_PORT,
    C_REQUEST_SIZE,
    C_SENT,
    C_TOTAL,
    C_TYPE,
    C_RESULT,
    C_WAY,
    C_ACL_PORT,
};

/* The longest first where one begins another. The word is what the variable is called by. */
static const struct code_row {
    slice code, word;
    enum code what;
} codes[] = {
    { SLICE(">Hs"), SLICE("status"), C_STATUS },
    { SLICE("<Hs"), SLICE("peerstatus"), C_PEER_STATUS },
    { SLICE("Hs"), SLICE("status"), C_STATUS },
    { SLICE(">st"), SLICE("received"), C_REQUEST_SIZE },
    { SLICE("<st"), SLICE("sent"), C_SENT },
    { SLICE("st"), SLICE("total"), C_TOTAL },
    { SLICE(">la"), SLICE("local"), C_LOCAL },
    { SLICE(">lp"), SLICE("localport"), C_LOCAL_PORT },
    { SLICE("la"), SLICE("local"), C_LOCAL },
    { SLICE("lp"), SLICE("localport"), C_LOCAL_PORT },
    { SLICE(">a"), SLICE("client"), C_CLIENT },
    { SLICE(">A"), SLICE("client"), C_CLIENT },
    { SLICE(">p"), SLICE("clientport"), C_CLIENT_PORT },
    { SLICE("<a"), SLICE("peer"), C_PEER },
    { SLICE("<A"), SLICE("peername"), C_PEER_NAME },
    { SLICE("<p"), SLICE("peerport"), C_PEER_PORT },
    { SLICE("ts"), SLICE("ts"), C_SECONDS },
    { SLICE("tu"), SLICE("tu"), C_SUB },
    { SLICE("tl"), SLICE("tl"), C_LOCAL_TIME },
    { SLICE("tr"), SLICE("tr"), C_TIME },
    { SLICE("un"), SLICE("user"), C_USER },
    { SLICE("ul"), SLICE("user"), C_USER },
    { SLICE("ui"), SLICE("none"), C_NONE },
    { SLICE("ue"), SLICE("none"), C_NONE },
    { SLICE("us"), SLICE("none"), C_NONE },
    { SLICE("et"), SLICE("none"), C_NONE },
    { SLICE("ea"), SLICE("none"), C_NONE },
    { SLICE(">rm"), SLICE("method"), C_METHOD },
    { SLICE("<rm"), SLICE("method"), C_METHOD },
    { SLICE("rm"), SLICE("method"), C_METHOD },
    { SLICE(">ru"), SLICE("url"), C_URL },
    { SLICE("<ru"), SLICE("url"), C_URL },
    { SLICE("ru"), SLICE("url"), C_URL },
    { SLICE(">rp"), SLICE("path"), C_PATH },
    { SLICE("<rp"), SLICE("path"), C_PATH },
    { SLICE("rp"), SLICE("path"), C_PATH },
    { SLICE(">rs"), SLICE("scheme"), C_SCHEME },
    { SLICE("<rs"), SLICE("scheme"), C_SCHEME },
    { SLICE(">rd"), SLICE("host"), C_HOST },
    { SLICE("<rd"), SLICE("host"), C_HOST },
    { SLICE(">rP"), SLICE("port"), C_PORT },
    { SLICE("<rP"), SLICE("port"), C_PORT },
    { SLICE(">rv"), SLICE("version"), C_VERSION },
    { SLICE("<rv"), SLICE("version"), C_VERSION },
    { SLICE("rv"), SLICE("version"), C_VERSION },
    { SLICE("mt"), SLICE("type"), C_TYPE },
    { SLICE("Ss"), SLICE("result"), C_RESULT },
    { SLICE("Sh"), SLICE("way"), C_WAY },
};

/* ---- the variables ---- */

static int address_part(struct exchange *x, const struct addr *a, bool port, slice *out)
{
    char text[ADDR_TEXT_MAX];
    if (port)
        return var_number(x, addr_port(a), out);
    return arena_dup(&x->arena, slice_of(text, addr_text_ip(text, a)), out) ? OK : ERR_NOMEM;
}

static const struct attempt *attempt_of(const struct exchange *x)
{
    return x->proxy ? x->proxy->last : NULL;
}

/* As Squid sums up an exchange, as far as the words mean something where nothing is cached. */
static slice result_of(const struct exchange *x)
{
    bool aborted = x->front_why != WHY_NONE;
    if (x->local && (x->logged_status == 403 || x->logged_status == 407))
        return SLICE("TCP_DENIED");
    if (!attempt_of(x))
        return x->logged_status / 100 == 3 ? SLICE("TCP_DENIED")
               : aborted                   ? SLICE("NONE_NONE_ABORTED")
                                           : SLICE("NONE_NONE");
    if (x->req.method == METHOD_CONNECT)
        return aborted ? SLICE("TCP_TUNNEL_ABORTED") : SLICE("TCP_TUNNEL");
    return aborted ? SLICE("TCP_MISS_ABORTED") : SLICE("TCP_MISS");
}

static slice way_of(const struct exchange *x)
{
    const struct forward_exchange *f = x->proxy ? x->proxy->forward : NULL;
    return !attempt_of(x) ? SLICE("HIER_NONE") : f && f->parent ? SLICE("FIRSTUP_PARENT") : SLICE("HIER_DIRECT");
}

/* Squid keeps two things out of its log: passwords in a URL, always, and what stands behind its '?' unless
 * strip_query_terms is off. */
static bool keeps_query(const struct exchange *x)
{
    const struct forward_conf *c = x->pass.loc ? exchange_conf(x, &forward_feature) : NULL;
    return c && c->policy && c->policy->log_query;
}

static slice url_of(struct exchange *x)
{
    const struct request *r = &x->req;
    slice scheme = SLICE("http://"), rest = r->target, query = SLICE_NONE;
    if (r->form == TARGET_AUTHORITY)
        return r->target;
    ptrdiff_t mark = slice_find(rest, '?'), slashes = -1;
    if (mark >= 0) {
        query = keeps_query(x) ? slice_from(rest, (size_t)mark) : SLICE("?");
        rest = slice_upto(rest, (size_t)mark);
    }
    for (size_t i = 0; i + 2 < rest.n && rest.p[i] != '/' && slashes < 0; i++) {
        if (rest.p[i] == ':' && rest.p[i + 1] == '/' && rest.p[i + 2] == '/')
            slashes = (ptrdiff_t)i + 3;
    }
    if (slashes < 0)
        return arena_printf(&x->arena, "%.*s%.*s%.*s%.*s", SLICE_FMT(scheme), SLICE_FMT(r->authority), SLICE_FMT(rest),
                            SLICE_FMT(query));
    scheme = slice_upto(rest, (size_t)slashes);
    rest = slice_from(rest, (size_t)slashes);
    ptrdiff_t slash = slice_find(rest, '/');
    ptrdiff_t at = slice_rfind(slash < 0 ? rest : slice_upto(rest, (size_t)slash), '@');
    return arena_printf(&x->arena, "%.*s%.*s%.*s", SLICE_FMT(scheme), SLICE_FMT(slice_from(rest, (size_t)(at + 1))),
                        SLICE_FMT(query));
}

static int peer_part(struct exchange *x, enum code what, slice *out)
{
    const struct attempt *a = attempt_of(x);
    if (!a || !a->peer)
        return ERR_NOTFOUND;
    if (what == C_PEER_NAME)
        return var_some(x->req.host, out);
    return address_part(x, &a->peer->addr, what == C_PEER_PORT, out);
}

static int end_part(struct exchange *x, enum code what, slice *out)
{
    struct addr a;
    if (what == C_CLIENT) {
        *out = exchange_client_text(x);
        return out->p ? OK : ERR_NOMEM;
    }
    if (what == C_CLIENT_PORT)
        client_peer(x->client, &a);
    else if (!client_local(x->client, &a))
        return ERR_NOTFOUND;
    return address_part(x, &a, what != C_LOCAL, out);
}

static int number_of(struct exchange *x, enum code what, slice *out)
{
    uint64_t wall = x->w->loop.clock.wall_ms;
    const struct attempt *a = attempt_of(x);
    switch (what) {
    case C_SECONDS:
        return var_number(x, wall / 1000, out);
    case C_SUB:
        return var_number(x, wall % 1000, out);
    case C_TIME:
        return var_number(x, loop_now(&x->w->loop) - x->start_mono, out);
    case C_STATUS:
        return var_number(x, x->logged_status, out);
    case C_PEER_STATUS:
        return a && a->status ? var_number(x, a->status, out) : ERR_NOTFOUND;
    case C_REQUEST_SIZE:
        return var_number(x, x->received, out);
    case C_SENT:
        return var_number(x, x->sent, out);
    case C_TOTAL:
        return var_number(x, x->sent + x->received, out);
    default:
        return var_number(x, x->req.port ? x->req.port : 80, out);
    }
}

static int text_of(struct exchange *x, enum code what, slice *out)
{
    const struct request *r = &x->req;
    const slice *user = x->slots[SLOT_USER];
    const struct field *type;
    switch (what) {
    case C_USER:
        return user ? var_some(*user, out) : ERR_NOTFOUND;
    case C_METHOD:
        return var_some(r->method_text, out);
    case C_URL:
        return var_some(url_of(x), out);
    case C_PATH:
        *out = arena_printf(&x->arena, "%.*s%s%.*s", SLICE_FMT(r->raw_path), r->has_query ? "?" : "",
                            SLICE_FMT(keeps_query(x) ? r->query : SLICE_NONE));
        return out->p ? OK : ERR_NOMEM;
    case C_VERSION:
        *out = r->major == 2 ? SLICE("2.0") : r->minor ? SLICE("1.1") : SLICE("1.0");
        return OK;
    case C_SCHEME:
        return var_some(r->scheme, out);
    case C_HOST:
        return var_some(r->host, out);
    case C_TYPE:
        type = r->method == METHOD_CONNECT ? NULL : fields_find(&x->resp.fields, TOK_CONTENT_TYPE);
        if (!type)
            return ERR_NOTFOUND;
        *out = slice_upto(type->value, 0);
        for (size_t n = 0; n < type->value.n && type->value.p[n] != ';' && type->value.p[n] != ' '; n++)
            *out = slice_upto(type->value, n + 1);
        return out->n ? OK : ERR_NOTFOUND;
    case C_RESULT:
        *out = result_of(x);
        return OK;
    case C_WAY:
        *out = way_of(x);
        return OK;
    default:
        return ERR_NOTFOUND;
    }
}

static int value_of(struct exchange *x, enum code what, slice *out)
{
    switch (what) {
    case C_CLIENT:
    case C_CLIENT_PORT:
    case C_LOCAL:
    case C_LOCAL_PORT:
        return end_part(x, what, out);
    case C_PEER:
    case C_PEER_NAME:
    case C_PEER_PORT:
        return peer_part(x, what, out);
    case C_SECONDS:
    case C_SUB:
    case C_TIME:
    case C_STATUS:
    case C_PEER_STATUS:
    case C_REQUEST_SIZE:
    case C_SENT:
    case C_TOTAL:
    case C_PORT:
        return number_of(x, what, out);
    default:
        return text_of(x, what, out);
    }
}

/* "[m][0]WIDTH_" in front of the word: m is to the left, 0 fills with zeros. */
struct shape {
    bool left, zeros;
    unsigned width;
};

static slice take_shape(slice name, struct shape *s)
{
    slice rest, digits;
    *s = (struct shape){ 0 };
    uint64_t width;
    if (!slice_cut(name, '_', &digits, &rest))
        return name;
    s->left = digits.n && digits.p[0] == 'm';
    digits = slice_from(digits, s->left);
    s->zeros = digits.n && digits.p[0] == '0';
    if (slice_to_u64(digits, &width) != OK || width > WIDTH_MAX)
        return name;
    s->width = (unsigned)width;
    return rest;
}

static int shaped(struct exchange *x, const struct shape *s, slice value, slice *out)
{
    if (value.n >= s->width) {
        *out = value;
        return OK;
    }
    char *to = arena_alloc(&x->arena, s->width);
    if (!to)
        return ERR_NOMEM;
    memset(to, s->zeros && !s->left ? '0' : ' ', s->width);
    memcpy(s->left ? to : to + s->width - value.n, value.p, value.n);
    *out = slice_of(to, s->width);
    return OK;
}

/* Does the request belong into the log of that number? Those that were refused before they had a target do. */
static int wanted(struct exchange *x, slice digits, slice *out)
{
    const struct forward_exchange *f = x->proxy ? x->proxy->forward : NULL;
    const struct fwd_word *log = f ? f->conf->policy->logs : NULL;
    struct fwd_request v;
    uint64_t n;
    bool yes = true;
    if (slice_to_u64(digits, &n) != OK)
        return ERR_NOTFOUND;
    while (log && n--)
        log = log->next;
    if (log && log->rules.n) {
        forward_view(x, &v);
        v.status = x->logged_status;
        v.reply = &x->resp.fields;
        yes = fwd_decide(&log->rules, &v).answer == FWD_YES;
    }
    *out = yes ? SLICE("1") : SLICE("0");
    return OK;
}

static int get(struct exchange *x, const struct var *v, slice *out)
{
    struct shape shape;
    slice word, value = SLICE("-"), number;
    if (slice_starts(v->arg, SLICE("log_")))
        return wanted(x, slice_from(v->arg, 4), out);
    if (slice_eq(v->arg, SLICE("dollar"))) {
        *out = SLICE("$");
        return OK;
    }
    word = take_shape(v->arg, &shape);
    number = SLICE_NONE;
    for (size_t i = 0; i < array_len(codes); i++) {
        if (!slice_eq(codes[i].word, word))
            continue;
        int rc = value_of(x, codes[i].what, &number);
        if (rc != OK && rc != ERR_NOTFOUND)
            return rc;
        return shaped(x, &shape, rc == OK ? number : value, out);
    }
    return ERR_NOTFOUND;
}

const struct var_def squid_vars[1] = {
    { .name = "squid_",
      .prefix = true,
      .known = VAR_END,
      .get = get,
      .client = true,
      .doc = "What a code of Squid's logformat gives (squid_url for %ru, squid_6_tr for %6tr): made by squid_conf" },
};

/* ---- formats ---- */

static const struct {
    const char *name, *text;
} known[] = {
    { "squid", "%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt" },
    { "common", "%>a %[ui %[un [%tl] \"%rm %ru HTTP/%rv\" %>Hs %<st %Ss:%Sh" },
    { "combined", "%>a %[ui %[un [%tl] \"%rm %ru HTTP/%rv\" %>Hs %<st \"%{Referer}>h\" \"%{User-Agent}>h\" %Ss:%Sh" },
    { "referrer", "%ts.%03tu %>a %{Referer}>h %ru" },
    { "useragent", "%>a [%tl] \"%{User-Agent}>h\"" },
};

static void add_literal(struct strb *b, char c)
{
    if (c == '$')
        strb_lit(b, "${squid_dollar}");
    else
        strb_char(b, c);
}

/* {Name}>h, {Name}<h: *s stands behind the '%' and what may precede it. */
static bool take_field(struct strb *b, slice *s)
{
    slice name, rest;
    if (!s->n || s->p[0] != '{' || !slice_cut(slice_from(*s, 1), '}', &name, &rest) || !name.n)
        return false;
    bool request = slice_starts(rest, SLICE(">h"));
    if (!request && !slice_starts(rest, SLICE("<h")))
        return false;
    strb_add(b, request ? SLICE("${http_") : SLICE("${sent_http_"));
    for (size_t i = 0; i < name.n; i++)
        strb_char(b, name.p[i] == '-' ? '_' : name.p[i]);
    strb_char(b, '}');
    *s = slice_from(rest, 2);
    return true;
}

/* Quoting marks, width, code; *s stands behind the '%'. */
static bool take_code(struct strb *b, slice *s)
{
    size_t n = 0;
    slice all = *s;
    while (n < all.n && (all.p[n] == '[' || all.p[n] == '"' || all.p[n] == '\'' || all.p[n] == '#' || all.p[n] == '/'))
        n++;
    all = slice_from(all, n);
    if (take_field(b, &all)) {
        *s = all;
        return true;
    }
    bool left = all.n && all.p[0] == '-';
    all = slice_from(all, left);
    for (n = 0; n < all.n && all.p[n] >= '0' && all.p[n] <= '9';)
        n++;
    slice width = slice_upto(all, n), rest = slice_from(all, n);
    for (size_t i = 0; i < array_len(codes); i++) {
        if (!slice_starts(rest, codes[i].code))
            continue;
        if (codes[i].what == C_LOCAL_TIME)
            strb_lit(b, "${time_local}");
        else if (width.n)
            strb_printf(b, "${squid_%s%.*s_%.*s}", left ? "m" : "", SLICE_FMT(width), SLICE_FMT(codes[i].word));
        else
            strb_printf(b, "${squid_%.*s}", SLICE_FMT(codes[i].word));
        *s = slice_from(rest, codes[i].code.n);
        return n < 4;
    }
    return false;
}

int squid_format(struct strb *b, slice s, slice *bad)
{
    while (s.n) {
        char c = s.p[0];
        s = slice_from(s, 1);
        if (c != '%') {
            add_literal(b, c);
        } else if (s.n && s.p[0] == '%') {
            strb_char(b, '%');
            s = slice_from(s, 1);
        } else if (!take_code(b, &s)) {
            *bad = slice_upto(s, s.n < 24 ? s.n : 24);
            return ERR_SYNTAX;
        }
    }
    return b->failed ? ERR_NOMEM : OK;
}

/* ---- load ---- */

static int apply(struct conf_ctx *cf, const struct conf_node *block, struct conf_pos pos, const char *name,
                 const slice *args, uint32_t nargs, enum conf_context context)
{
    struct conf_node outer = { .name = block->name, .pos = block->pos, .block = true, .parent = block->parent };
    struct conf_node *n = conf_node_new(cf->arena, slice_str(name), pos, nargs);
    enum conf_context before = cf->context;
    if (!n)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < nargs; i++)
        n->args[i].text = args[i];
    n->parent = (struct conf_node *)(uintptr_t)block;
    outer.children = n;
    cf->context = context;
    int rc = conf_apply(cf, &outer, context);
    cf->context = before;
    return rc;
}

static int add_format(struct conf_ctx *cf, const struct conf_node *block, struct conf_pos pos, slice name, slice text)
{
    struct strb b;
    slice bad, made, args[2] = { arena_printf(cf->arena, "squid:%.*s", SLICE_FMT(name)), SLICE_NONE };
    strb_init(&b, FORMAT_MAX);
    int rc = squid_format(&b, text, &bad);
    if (rc == ERR_SYNTAX)
        conf_diag_add(cf->diag, CONF_EMERG, pos, SLICE_NONE, "code \"%%%.*s\" of logformat \"%.*s\" is not supported",
                      SLICE_FMT(bad), SLICE_FMT(name));
    bool kept = rc == OK && args[0].p && arena_dup(cf->arena, strb_slice(&b), &made);
    strb_done(&b);
    if (rc != OK)
        return rc;
    if (!kept)
        return ERR_NOMEM;
    args[1] = made;
    return apply(cf, block, pos, "log_format", args, 2, CONF_HTTP);
}

static const struct fwd_word *format_of(const struct fwd_policy *p, slice name)
{
    for (const struct fwd_word *f = p->formats; f; f = f->next) {
        if (slice_eq(f->text, name))
            return f;
    }
    return NULL;
}

/* One that is not defined in the file is Squid's own of that name; made where it is first used. */
static int known_format(struct conf_ctx *cf, const struct conf_node *block, const struct fwd_policy *p,
                        const struct fwd_word *log)
{
    if (format_of(p, log->more))
        return OK;
    for (const struct fwd_word *l = p->logs; l != log; l = l->next) {
        if (slice_eq(l->more, log->more) && !l->none)
            return OK;
    }
    for (size_t i = 0; i < array_len(known); i++) {
        if (slice_eq(slice_str(known[i].name), log->more))
            return add_format(cf, block, log->pos, log->more, slice_str(known[i].text));
    }
    conf_diag_add(cf->diag, CONF_EMERG, log->pos, SLICE_NONE, "unknown logformat \"%.*s\"", SLICE_FMT(log->more));
    return ERR_SYNTAX;
}

static int add_log(struct conf_ctx *cf, const struct conf_node *block, const struct fwd_policy *p,
                   const struct fwd_word *log, uint32_t number)
{
    slice args[3] = { log->text, arena_printf(cf->arena, "squid:%.*s", SLICE_FMT(log->more)),
                      arena_printf(cf->arena, "if=$squid_log_%u", number) };
    int rc = known_format(cf, block, p, log);
    if (rc != OK)
        return rc;
    return args[1].p && args[2].p ? apply(cf, block, log->pos, "access_log", args, log->rules.n ? 3 : 2, CONF_FORWARD)
                                  : ERR_NOMEM;
}

int squid_logs(struct conf_ctx *cf, const struct conf_node *block, const struct fwd_policy *p)
{
    uint32_t number = 0;
    int rc = OK;
    const slice off = SLICE("off");
    for (const struct fwd_word *f = p->formats; f && rc == OK; f = f->next)
        rc = add_format(cf, block, f->pos, f->text, f->more);
    for (const struct fwd_word *l = p->logs; l && rc == OK; l = l->next, number++)
        rc = l->none ? apply(cf, block, l->pos, "access_log", &off, 1, CONF_FORWARD) : add_log(cf, block, p, l, number);
    return rc;
}
