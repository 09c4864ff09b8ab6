/*
 * cache_peer and cache_peer_access.
 */
#include "base/attr.h"
#include "base/err.h"
#include "forward/squid_line.h"

/* "%XX" and "%%" (squid.conf manual, "cache_peer", login=). NULL pointer: no memory, or a broken escape. */
static slice unescaped(struct arena *a, slice s)
{
    char *p = arena_bytes(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; p && i < s.n; i++) {
        int hi = s.n - i > 2 ? ascii_hex(s.p[i + 1]) : -1, lo = hi < 0 ? -1 : ascii_hex(s.p[i + 2]);
        bool twice = s.n - i > 1 && s.p[i + 1] == '%';
        if (s.p[i] != '%') {
            p[n++] = s.p[i];
        } else if (twice) {
            p[n++] = '%';
            i++;
        } else if (lo >= 0) {
            p[n++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            return SLICE_NONE;
        }
    }
    return p ? slice_of(p, n) : SLICE_NONE;
}

/* What the client sends as credentials stays here, whatever a line asks for. */
static int peer_login(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i, slice v)
{
    slice user, password;
    if (!slice_cut(v, ':', &user, &password))
        return fwd_error(&p->c, n, (int)i, "\"login=\" takes USER:PASSWORD: a client's own credentials go no further");
    if (slice_eq(user, SLICE("*")))
        return fwd_error(&p->c, n, (int)i, "\"login=*:\" is not supported: parents are not told who the client is");
    peer->user = unescaped(p->c.arena, user);
    peer->password = unescaped(p->c.arena, password);
    return peer->user.n && peer->password.p ? OK : fwd_error(&p->c, n, (int)i, "invalid credentials in \"login=\"");
}

static int peer_number(struct fwd_policy *p, const struct conf_node *n, uint32_t i, slice v, uint32_t *out)
{
    uint64_t number;
    if (slice_to_u64(v, &number) || !number || number > 1 << 20)
        return fwd_error(&p->c, n, (int)i, "invalid number in \"%.*s\"", SLICE_FMT(n->args[i].text));
    *out = (uint32_t)number;
    return OK;
}

/* NAME=VALUE. ERR_NOTFOUND: none that we know. */
static int peer_value(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i, slice o)
{
    const struct {
        slice name;
        slice *text;
        uint32_t *number;
    } known[] = {
        { SLICE("name"), &peer->name, NULL },          { SLICE("tls-cafile"), &peer->ca_file, NULL },
        { SLICE("sslcafile"), &peer->ca_file, NULL },  { SLICE("tls-cert"), &peer->cert_file, NULL },
        { SLICE("sslcert"), &peer->cert_file, NULL },  { SLICE("tls-key"), &peer->key_file, NULL },
        { SLICE("sslkey"), &peer->key_file, NULL },    { SLICE("tls-domain"), &peer->domain, NULL },
        { SLICE("ssldomain"), &peer->domain, NULL },   { SLICE("weight"), NULL, &peer->weight },
        { SLICE("max-conn"), NULL, &peer->max_conns }, { SLICE("connect-fail-limit"), NULL, &peer->fail_limit },
    };
    slice name, v;
    uint32_t seconds = 0;
    if (!slice_cut(o, '=', &name, &v))
        return ERR_NOTFOUND;
    if (slice_eq(name, SLICE("login")))
        return peer_login(p, peer, n, i, v);
    if (slice_eq(name, SLICE("connect-timeout"))) {
        int rc = peer_number(p, n, i, v, &seconds);
        peer->connect_timeout = (uint64_t)seconds * 1000;
        return rc;
    }
    if (slice_eq(name, SLICE("sslflags")) || slice_eq(name, SLICE("tls-flags"))) {
        peer->unverified = slice_eq(v, SLICE("DONT_VERIFY_PEER"));
        return peer->unverified ? OK : ERR_NOTFOUND;
    }
    for (size_t k = 0; k < array_len(known); k++) {
        if (!slice_eq(known[k].name, name))
            continue;
        if (known[k].number)
            return peer_number(p, n, i, v, known[k].number);
        *known[k].text = v;
        return v.n ? OK : ERR_NOTFOUND;
    }
    return ERR_NOTFOUND;
}

static int peer_option(struct fwd_policy *p, struct fwd_peer *peer, const struct conf_node *n, uint32_t i)
{
    static const slice so_anyway[] = { SLICE("no-query"),          SLICE("no-digest"), SLICE("proxy-only"),
                                       SLICE("no-netdb-exchange"), SLICE("no-delay"),  SLICE("no-tproxy"),
                                       SLICE("tls-default-ca"),    SLICE("default") };
    slice o = n->args[i].text;
    int rc = OK;
    if (slice_eq(o, SLICE("round-robin")))
        peer->round_robin = true;
    else if (slice_eq(o, SLICE("tls")) || slice_eq(o, SLICE("ssl")))
        peer->tls = true;
    else
        rc = peer_value(p, peer, n, i, o);
    for (size_t k = 0; k < array_len(so_anyway) && rc == ERR_NOTFOUND; k++)
        rc = slice_eq(o, so_anyway[k]) ? OK : ERR_NOTFOUND;
    peer->default_peer = peer->default_peer || slice_eq(o, SLICE("default"));
    if (rc == ERR_NOTFOUND)
        return fwd_error(&p->c, n, (int)i, "option \"%.*s\" of \"cache_peer\" is not supported", SLICE_FMT(o));
    return rc;
}

/* cache_peer HOST parent PORT ICP-PORT options */
int squid_line_peer(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    uint64_t port, icp;
    if (n->nargs < 4 || !slice_eq(n->args[1].text, SLICE("parent")))
        return fwd_error(&p->c, n, n->nargs > 1 ? 1 : -1, "\"cache_peer\" needs HOST parent PORT ICP-PORT");
    if (slice_to_u64(n->args[2].text, &port) || !port || port > 65535 || slice_to_u64(n->args[3].text, &icp))
        return fwd_error(&p->c, n, 2, "invalid port of \"cache_peer\"");
    if (icp)
        fwd_warn(&p->c, n, 3, "ICP is not spoken: the port has no effect");
    struct fwd_peer *peer = arena_new(p->c.arena, struct fwd_peer), **last = &p->peers;
    if (!peer)
        return ERR_NOMEM;
    *peer = (struct fwd_peer){
        .host = squid_first_arg(n), .name = squid_first_arg(n), .port = (uint16_t)port, .pos = n->pos
    };
    peer->weight = 1;
    peer->fail_limit = 10;
    fwd_rules_init(&peer->access, true);
    for (uint32_t i = 4; i < n->nargs; i++) {
        int rc = peer_option(p, peer, n, i);
        if (rc)
            return rc;
    }
    for (; *last; last = &(*last)->next) {
        if (slice_eq((*last)->name, peer->name))
            return fwd_error(&p->c, n, 0, "a second peer \"%.*s\" needs a name=", SLICE_FMT(peer->name));
    }
    *last = peer;
    return OK;
}

int squid_line_peer_access(struct fwd_policy *p, const struct conf_node *n, uint32_t which)
{
    for (struct fwd_peer *peer = p->peers; peer; peer = peer->next) {
        if (slice_eq(peer->name, squid_first_arg(n)))
            return fwd_rules_line(&peer->access, &p->acls, &p->c, n, 1);
    }
    return fwd_error(&p->c, n, n->nargs ? 0 : -1, "unknown peer \"%.*s\"", SLICE_FMT(squid_first_arg(n)));
}
