#include "proxy/squid_block.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "conf/squid.h"
#include "http/chars.h"
#include "proxy/forward_rules.h"

enum { HOST_NAME_ROOM = 256, AUTH_TTL = 2 * 3600 * 1000 /* Squid's credentialsttl, ms */ };
enum { BUFFERS = 8, BUFFER_SIZE = 4096 /* proxy_buffers without a word */ };

struct writer {
    struct conf_ctx *cf;
    const struct conf_node *block;
    struct conf_node **end;
    int rc;
};

static bool block_says(const struct writer *w, slice name)
{
    for (const struct conf_node *n = w->block->children; n; n = n->next) {
        if (slice_eq(n->name, name))
            return true;
    }
    return false;
}

static struct conf_node *add_node(struct writer *w, struct conf_pos pos, const char *name, uint32_t nargs)
{
    struct conf_node *n = conf_node_new(w->cf->arena, slice_str(name), pos, nargs);
    if (!n) {
        w->rc = ERR_NOMEM;
        return NULL;
    }
    n->parent = (struct conf_node *)(uintptr_t)w->block;
    *w->end = n;
    w->end = &n->next;
    return n;
}

/* NAME VALUE, unless the block says otherwise. */
static void put(struct writer *w, struct conf_pos pos, const char *name, slice value)
{
    struct conf_node *n = value.p && !block_says(w, slice_str(name)) ? add_node(w, pos, name, 1) : NULL;
    if (!value.p)
        w->rc = ERR_NOMEM;
    if (n)
        n->args[0].text = value;
}

/* ---- ports ---- */

/* A port alone is on all addresses of both families, as far as this system has them. */
static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Squid's ports speak HTTP and nothing else. */
static void put_listen(struct writer *w, struct conf_pos pos, slice text)
{
    struct conf_node *n = text.p ? add_node(w, pos, "listen", 2) : NULL;
    if (!n) {
        w->rc = ERR_NOMEM;
        return;
    }
    n->args[0].text = text;
    n->args[1].text = SLICE("protocol=http");
}

static void put_ports(struct writer *w, const struct fwd_policy *p)
{
    for (const struct fwd_word *port = p->ports; port; port = port->next) {
        put_listen(w, port->pos, port->text);
        if (slice_find(port->text, ':') < 0 && has_ipv6())
            put_listen(w, port->pos, arena_printf(w->cf->arena, "[::]:%.*s", SLICE_FMT(port->text)));
    }
}

/* ---- times and sizes ---- */

static void put_times(struct writer *w, const struct fwd_policy *p)
{
    static const struct {
        enum fwd_time time;
        const char *name;
    } rows[] = {
        { FWD_CONNECT_TIMEOUT, "proxy_connect_timeout" },
        { FWD_READ_TIMEOUT, "proxy_read_timeout" },
        { FWD_WRITE_TIMEOUT, "proxy_send_timeout" },
        { FWD_WRITE_TIMEOUT, "send_timeout" },
        { FWD_REQUEST_TIMEOUT, "client_header_timeout" },
        { FWD_CLIENT_IDLE_PCONN_TIMEOUT, "keepalive_timeout" },
        { FWD_FORWARD_TIMEOUT, "proxy_next_upstream_timeout" },
        { FWD_DNS_TIMEOUT, "resolver_timeout" },
        { FWD_CLIENT_LIFETIME, "keepalive_time" },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        if (p->time_at[rows[i].time].file)
            put(w, p->time_at[rows[i].time], rows[i].name,
                arena_printf(w->cf->arena, "%llums", (unsigned long long)p->times[rows[i].time]));
    }
}

/* NAME NUMBER SIZE, unless the block says otherwise. */
static void put_buffers(struct writer *w, struct conf_pos pos, const char *name, uint64_t number, uint64_t size)
{
    struct conf_node *n = block_says(w, slice_str(name)) ? NULL : add_node(w, pos, name, 2);
    if (!n)
        return;
    n->args[0].text = arena_printf(w->cf->arena, "%llu", (unsigned long long)number);
    n->args[1].text = arena_printf(w->cf->arena, "%llu", (unsigned long long)size);
    if (!n->args[0].text.p || !n->args[1].text.p)
        w->rc = ERR_NOMEM;
}

/* proxy_buffer_size is no more than half of all proxy_buffers but one (as nginx has it): a long head needs more of
 * them than there are without a word. */
static void put_reply_head(struct writer *w, struct conf_pos pos, uint64_t size)
{
    uint64_t number = 1 + (2 * size + BUFFER_SIZE - 1) / BUFFER_SIZE;
    put(w, pos, "proxy_buffer_size", arena_printf(w->cf->arena, "%llu", (unsigned long long)size));
    if (number > BUFFERS && !block_says(w, SLICE("proxy_buffer_size")))
        put_buffers(w, pos, "proxy_buffers", number, BUFFER_SIZE);
}

static void put_sizes(struct writer *w, const struct fwd_policy *p)
{
    const struct conf_pos *at = p->size_at;
    if (at[FWD_REQUEST_BODY_MAX_SIZE].file)
        put(w, at[FWD_REQUEST_BODY_MAX_SIZE], "client_max_body_size",
            arena_printf(w->cf->arena, "%llu", (unsigned long long)p->sizes[FWD_REQUEST_BODY_MAX_SIZE]));
    if (at[FWD_REQUEST_HEADER_MAX_SIZE].file)
        put_buffers(w, at[FWD_REQUEST_HEADER_MAX_SIZE], "large_client_header_buffers", 1,
                    p->sizes[FWD_REQUEST_HEADER_MAX_SIZE]);
    if (at[FWD_REPLY_HEADER_MAX_SIZE].file)
        put_reply_head(w, at[FWD_REPLY_HEADER_MAX_SIZE], p->sizes[FWD_REPLY_HEADER_MAX_SIZE]);
}

static void put_nameservers(struct writer *w, const struct fwd_policy *p)
{
    uint32_t n = 0;
    for (const struct fwd_word *s = p->nameservers; s; s = s->next)
        n++;
    if (!n || block_says(w, SLICE("resolver")))
        return;
    struct conf_node *node = add_node(w, p->nameservers->pos, "resolver", n);
    n = 0;
    for (const struct fwd_word *s = p->nameservers; node && s; s = s->next) {
        bool v6 = slice_find(s->text, ':') >= 0;
        node->args[n].text = v6 ? arena_printf(w->cf->arena, "[%.*s]", SLICE_FMT(s->text)) : s->text;
        if (!node->args[n++].text.p)
            w->rc = ERR_NOMEM;
    }
}

/* ---- what targets are told ---- */

/* The name of this proxy: what Squid calls itself in Via. Only what may stand there. */
static slice own_name(struct arena *a, const struct fwd_policy *p)
{
    slice name = p->unique_hostname.n ? p->unique_hostname : p->visible_hostname;
    char host[HOST_NAME_ROOM];
    if (!name.n && gethostname(host, sizeof(host) - 1) == 0) {
        host[sizeof(host) - 1] = 0;
        if (!arena_dup(a, slice_str(host), &name))
            return SLICE_NONE;
    }
    return http_is_token(name) ? name : SLICE("on");
}

static void put_told(struct writer *w, struct forward_conf *c)
{
    struct fwd_policy *p = c->policy;
    struct conf_pos via = p->via_at.file ? p->via_at : w->block->pos;
    slice name = own_name(w->cf->arena, p);
    if (!p->hostname.n && name.p)
        p->hostname = name;
    if (c->squid || p->via_at.file)
        put(w, via, "proxy_via", p->via ? name : SLICE("off"));
    if (c->squid || p->forwarded_at.file) {
        struct conf_pos pos = p->forwarded_at.file ? p->forwarded_at : w->block->pos;
        c->forwarded_for = true;
        put(w, pos, "proxy_x_forwarded", SLICE("off"));
        put(w, pos, "proxy_forwarded", SLICE("off"));
    }
}

/* Without a word about it, Squid's defaults are those of a squid.conf: its rules decide, and nothing else. */
static void put_rules(struct writer *w, const struct forward_conf *c)
{
    struct conf_pos pos = c->squid->pos;
    put(w, pos, "connect_ports", SLICE("all"));
    if (!block_says(w, SLICE("egress_deny")))
        put(w, pos, "egress_allow", SLICE("all"));
}

/* auth_param basic: passwords are checked as they are everywhere, but asked for by the rules. */
static void put_auth(struct writer *w, const struct fwd_policy *p)
{
    struct conf_pos pos = p->auth_at;
    if (!p->auth || block_says(w, SLICE("auth_basic")))
        return;
    put(w, pos, "auth_basic", p->auth_realm.n ? p->auth_realm : SLICE("Squid proxy-caching web server"));
    put(w, pos, "auth_basic_user_file", p->auth_file);
    struct conf_node *n = add_node(w, pos, "auth_basic_by_rules", p->auth_case ? 2 : 3);
    if (!n)
        return;
    n->args[0].text = SLICE("on");
    n->args[1].text =
        arena_printf(w->cf->arena, "remember=%llums", (unsigned long long)(p->auth_ttl ? p->auth_ttl : AUTH_TTL));
    if (!n->args[1].text.p)
        w->rc = ERR_NOMEM;
    if (!p->auth_case)
        n->args[2].text = SLICE("lower_case");
}

int squid_lines(struct conf_ctx *cf, const struct conf_node *block, struct forward_conf *c, struct conf_node ***end)
{
    struct writer w = { .cf = cf, .block = block, .end = *end };
    const struct fwd_policy *p = c->policy;
    put_ports(&w, p);
    put_times(&w, p);
    put_sizes(&w, p);
    put_nameservers(&w, p);
    put_told(&w, c);
    put_auth(&w, p);
    if (c->squid)
        put_rules(&w, c);
    *end = w.end;
    return w.rc;
}

/* ---- the directive ---- */

int squid_conf_line(struct conf_ctx *cf, const struct conf_node *node, void *conf)
{
    struct forward_conf *c = conf;
    struct fwd_policy *p = forward_policy(cf, conf);
    struct conf_node *lines = NULL;
    if (!p)
        return ERR_NOMEM;
    int rc =
        squid_parse(cf->arena, cf->bundle, cf->diag, node->args[0].text, node->args[0].pos, &lines, &cf->gen->files);
    if (rc != OK && rc != ERR_SYNTAX)
        return rc;
    c->squid = node;
    int rc2 = fwd_policy_nodes(p, lines);
    return rc2 == OK ? rc : rc2;
}
