#include "app/explain.h"

#include <stdio.h>
#include <string.h>

#include "app/program.h"
#include "base/attr.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "h1/parse.h"
#include "proxy/dial.h"
#include "proxy/http_block.h"
#include "proxy/proxy.h"
#include "proxy/run.h"

enum { TURNS_MAX = 50, TURN_MS = 100 };

/* One worker that accepts nothing, one client that sent one request. Static: the process ends with it. */
static struct world {
    const struct app *app;
    struct program program;
    struct generation *generation;
    struct worker w;
    struct gen_ref gen;
    struct end front;
    struct client client;
    struct trace trace;
    struct h1_head parsed;
    const struct location *told; /* the location that was printed last */
    uint8_t pass;
    bool done;
} world;

/* ---- the front end: nobody ---- */

static int front_head(struct end *e, struct exchange *x)
{
    return OK;
}

static void front_exchange(struct end *e, struct exchange *x)
{
}

static void front_nothing(struct end *e)
{
}

static const struct end_ops front_ops = {
    .name = "explain",
    .send_head = front_head,
    .send_interim = front_exchange,
    .kick_out = front_nothing,
    .kick_in = front_nothing,
    .stop_in = front_nothing,
    .switch_protocol = front_head,
    .reset = end_detach,
    .finish = end_detach,
};

/* ---- the walk ---- */

static void on_trace(struct trace *t, struct exchange *x, const struct conf_pos *pos, slice text)
{
    explain_say("", text, pos);
}

static void tell_server(struct exchange *x)
{
    const struct server *s = route_server(x->client->listener, x, x->req.host);
    if (s->forward) {
        explain_say("block", SLICE("forward"), &s->pos);
        return;
    }
    explain_sayf("server", &s->pos, "\"%.*s\" for host \"%.*s\"%s", SLICE_FMT(s->name), SLICE_FMT(x->req.host),
                 s == x->client->listener->default_server ? " (the default of this address)" : "");
}

static void tell_pass(struct exchange *x)
{
    world.pass = x->passes;
    world.told = NULL;
    explain_sayf("pass", NULL, "%u, for \"%.*s\"", x->passes + 1U, SLICE_FMT(x->pass.uri));
}

static void tell_location(struct exchange *x)
{
    const struct location *l = x->pass.loc;
    if (l == world.told || (x->server->forward && !l->name.n))
        return;
    world.told = l;
    if (l == x->server->base || !l->name.n)
        explain_sayf("location", NULL, "none for \"%.*s\"", SLICE_FMT(x->pass.uri));
    else
        explain_sayf("location", &l->pos, "\"%.*s\" for \"%.*s\"", SLICE_FMT(l->name), SLICE_FMT(x->pass.uri));
    if (l->internal && !x->pass.internal)
        explain_sayf("", NULL, "it is internal: clients cannot reach it");
    for (unsigned i = 1; i < x->pass.ncaptures; i++)
        explain_sayf("", NULL, "$%u = \"%.*s\"", i, SLICE_FMT(x->pass.captures[i]));
}

/* What response policies add can be told without an answer: they are given an empty 200. */
static void tell_additions(struct exchange *x)
{
    x->resp = (struct response){ .status = 200, .minor = 1, .keep_alive = true };
    x->known = VAR_UPSTREAM;
    if (step_response_policies(x) == STEP_DELIVER)
        explain_answer(x, false);
}

static bool before(struct exchange *x, enum step at)
{
    switch (at) {
    case STEP_ROUTE:
        if (x->passes == 0)
            tell_server(x);
        return true;
    case STEP_BODY: /* from here on, bytes would move */
        explain_body(x);
        explain_origin(x);
        if (!x->proxy->tunnel)
            tell_additions(x);
        return false;
    case STEP_DELIVER:
        explain_answer(x, true);
        return false;
    case STEP_FINISH:
        explain_sayf("answers", NULL, "nothing: the connection is closed");
        return false;
    default:
        return true;
    }
}

static void after(struct exchange *x, enum step at)
{
    if (x->passes != world.pass)
        tell_pass(x);
    else if (at == STEP_ROUTE || at == STEP_POLICIES)
        tell_location(x);
}

static void walk(struct exchange *x)
{
    while (!world.done) {
        enum step at = x->step;
        if (!before(x, at)) {
            world.done = true;
            return;
        }
        enum step next = run_step(x);
        after(x, at);
        if (next == STEP_WAIT || next == STEP_GONE)
            return;
        x->step = (uint8_t)next;
    }
}

/* ---- the request ---- */

static struct h1_rules rules_of(const struct client_server_conf *k)
{
    return (struct h1_rules){ .bare_lf = k->compat & COMPAT_BARE_LF,
                              .fragment = k->compat & COMPAT_FRAGMENT,
                              .underscores = k->underscores,
                              .ignore_invalid = k->ignore_invalid,
                              .max_fields = (uint32_t)k->max_fields,
                              .max_line = (uint32_t)k->large_buffer_size,
                              .max_name = 128,
                              .max_head = (uint32_t)(k->large_buffers * k->large_buffer_size) };
}

/* The codec's part. False: it refuses the request, which is told. */
static bool read_request(struct exchange *x, slice head)
{
    const struct client_server_conf *k = world.client.listener->default_server->client;
    const struct h1_rules rules = rules_of(k);
    struct h1_scan scan = { 0 };
    enum h1_error e = H1_OK;
    ptrdiff_t len = h1_parse_request(&world.parsed, &scan, head.p, head.n, &rules);
    int rc = len > 0 ? h1_head_request(&world.parsed, slice_upto(head, (size_t)len), &x->arena, k->merge_slashes,
                                       k->compat & COMPAT_FRAGMENT, &x->req, &e)
                     : ERR_SYNTAX;
    if (rc != OK) {
        e = len > 0 ? e : world.parsed.error;
        explain_sayf("answers", NULL, "%u before anything is looked up: %s", h1_error_status(e), h1_error_text(e));
        return false;
    }
    pipe_end(&x->req_pipe, NULL);
    x->events |= X_FRONT_BODY;
    return true;
}

static int explain_exchange(const struct explain_url *u, slice head)
{
    struct exchange *x = exchange_new(&world.w, &world.gen, &world.front, &world.client);
    if (!x)
        return ERR_NOMEM;
    if (!read_request(x, head))
        return OK;
    x->req.socks = u->socks ? 5 : 0; /* whose handshake is the same exchange */
    explain_request(x);
    explain_sayf("from", NULL, "%.*s", SLICE_FMT(exchange_client_text(x)));
    explain_say("listener", world.client.listener->key, &world.client.listener->pos);
    world.trace.line = on_trace;
    x->trace = &world.trace;
    exchange_start(x);
    for (unsigned i = 0; i < TURNS_MAX && !world.done; i++)
        loop_turn(&world.w.loop, TURN_MS);
    if (!world.done && x->proxy && x->proxy->dial && !x->proxy->upstream)
        explain_sayf("waits", NULL, "for DNS, which is not asked: --to ADDRESS says what to take for its answer");
    else if (!world.done)
        explain_sayf("waits", NULL, "for something that only a server under way can get");
    return OK;
}

/* ---- the client and where it came in ---- */

static bool set_peer(const char *text)
{
    struct addr a;
    if (addr_parse(slice_str(text), &a) != OK || a.sa.sa_family == AF_UNIX) {
        fprintf(stderr, "hinge: explain: no address: \"%s\"\n", text);
        return false;
    }
    if (addr_port(&a) == 0)
        addr_set_port(&a, 40000);
    if (a.sa.sa_family == AF_INET6)
        world.client.peer.in6 = a.in6;
    else
        world.client.peer.in = a.in;
    return true;
}

static void set_local(slice key)
{
    struct addr a;
    if (addr_parse(key, &a) != OK)
        return;
    if (a.sa.sa_family == AF_INET6)
        world.client.local.in6 = a.in6;
    else if (a.sa.sa_family == AF_INET)
        world.client.local.in = a.in;
    else
        world.client.local.sa.sa_family = AF_UNIX;
}

/* What was asked for is none of the addresses that are there: these are. */
static void list_listeners(const struct generation *g, const char *named, uint16_t port)
{
    const char *before = "; it listens on ";
    fprintf(stderr, "hinge: explain: no server listens on %s%.0u", named ? named : "port ", named ? 0U : port);
    for (struct bundle_entry *e = bundle_first(g->bundle); e; e = e->next) {
        if (e->kind != BUNDLE_LISTEN)
            continue;
        fprintf(stderr, "%s%.*s", before, SLICE_FMT(e->key));
        before = ", ";
    }
    fputc('\n', stderr);
}

/* By "ADDRESS:PORT" as it is listened on, or by a number: the first with that port. */
static bool is_named(const char *named, slice key, uint16_t port)
{
    uint64_t n;
    return slice_eq(key, slice_str(named)) || (slice_to_u64(slice_str(named), &n) == OK && n == port);
}

/* Does a request for the URL come by this listener? Servers have the URL's port; proxies are asked for what is not
 * there. */
static bool suits(const struct explain_url *u, const struct listener_conf *l, uint16_t port, bool proxies)
{
    if (proxies || u->tunnel)
        return proxies && l->default_server->forward;
    return port == u->port && !l->default_server->forward;
}

/* The one that is named, else one that suits, else (for a path or a tunnel) the first. */
static const struct listener_conf *choose_listener(const struct generation *g, const char *named,
                                                   const struct explain_url *u)
{
    for (int turn = 0; turn < 3; turn++) {
        for (struct bundle_entry *e = bundle_first(g->bundle); e; e = e->next) {
            struct addr a;
            if (e->kind != BUNDLE_LISTEN || addr_parse(e->key, &a) != OK)
                continue;
            const struct listener_conf *l = route_listener(g, e->key);
            if (named       ? is_named(named, e->key, addr_port(&a))
                : turn == 2 ? u->path || u->tunnel
                            : !u->path && suits(u, l, addr_port(&a), turn == 1))
                return l;
        }
    }
    list_listeners(g, named, u->port);
    return NULL;
}

/* ---- the world ---- */

static void gen_idle(struct gen_ref *r)
{
}

static int make_worker(struct generation *g)
{
    world.gen = (struct gen_ref){ .gen = g, .current = true, .idle = gen_idle };
    world.w.gen = &world.gen;
    slab_init(&world.w.pages, EXCHANGE_PAGE, 1);
    if (scratch_init(&world.w.scratch, SCRATCH_SIZE) < 0 || loop_init(&world.w.loop) < 0)
        return ERR_NOMEM;
    world.w.loop.owner = &world.w;
    for (size_t i = 0; i < world.app->nrooms; i++) {
        if (world.app->rooms[i]->init && world.app->rooms[i]->init(&world.w) < 0)
            return ERR_NOMEM;
    }
    end_init(&world.front, &front_ops);
    exchange_run = walk;
    return OK;
}

static int compile(const struct explain_args *a, int argc, char **argv, struct generation **g)
{
    const struct cli cli = { .conf = a->conf,
                             .squid = a->squid,
                             .prefix = a->prefix,
                             .globals = a->globals,
                             .lenient = a->lenient,
                             .error_log = "stderr",
                             .quiet = true };
    int rc = program_init(&world.program, world.app, &cli, argc, argv);
    return rc == OK ? program_compile(&world.program, g) : rc;
}

/* What the trace takes for granted. */
static bool set_suppositions(const struct explain_args *a)
{
    static struct addr to;
    if (a->user && !strchr(a->user, ':'))
        world.trace.user = slice_str(a->user);
    if (!a->to)
        return true;
    if (addr_parse(slice_str(a->to), &to) != OK || to.sa.sa_family == AF_UNIX) {
        fprintf(stderr, "hinge: explain: no address: \"%s\"\n", a->to);
        return false;
    }
    world.trace.to = &to;
    return true;
}

static int explain(const struct explain_args *a, const struct explain_url *u, int argc, char **argv)
{
    struct strb head;
    if (compile(a, argc, argv, &world.generation) < 0)
        return 1;
    struct generation *g = world.generation;
    world.client.fd = -1;
    world.client.listener = choose_listener(g, a->listen, u);
    if (!world.client.listener || !set_peer(a->from ? a->from : "127.0.0.1") || !set_suppositions(a))
        return 1;
    set_local(world.client.listener->key);
    strb_init(&head, 1 << 20);
    int rc = explain_head(a, u, world.client.listener->default_server->forward, &head);
    if (rc == OK)
        rc = make_worker(g);
    if (rc == OK)
        rc = explain_exchange(u, strb_slice(&head));
    strb_done(&head);
    return rc == OK && fflush(stdout) == 0 ? 0 : 1;
}

int explain_main(const struct app *app, int argc, char **argv)
{
    struct explain_args args;
    struct explain_url url;
    world.app = app;
    if (explain_args(&args, argc, argv) < 0)
        return 1;
    if (args.help) {
        explain_usage();
        return 0;
    }
    return explain_url(&args, &url) == OK ? explain(&args, &url, argc, argv) : 1;
}
