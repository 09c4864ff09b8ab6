/*
 * The world above the wires of all fuzzers of whole connections (fuzz_exchange.c, fuzz_tunnel.c, fuzz_chain.c,
 * fuzz_socks_server.c, fuzz_h2_*.c): what the program is made of, two configurations to switch between, and one worker
 * with its beginning, turns and end. What is said over the wires, and what must hold of it, is each fuzzer's own.
 */
#ifndef TESTS_FUZZ_EXCHANGE_WORLD_H
#define TESTS_FUZZ_EXCHANGE_WORLD_H

#include <fcntl.h>

#include "sim.h"

#include "app/app.h"
#include "base/attr.h"
#include "base/err.h"
#include "base/slab.h"
#include "conf/bundle.h"
#include "conf/generation.h"
#include "h1/conn.h"
#include "h1/server.h"
#include "h2/client.h"
#include "h2/server.h"
#include "loop/job_pool.h"
#include "net/listen.h"
#include "proxy/policy.h"
#include "proxy/run.h"
#include "proxy/upstream.h"
#include "socks/server.h"

/* ---- what the program is made of, and a probe that counts how exchanges end ---- */

extern struct feature proxy_feature;

enum { SLOT_BEGUN = 6, SLOT_ENDED = 7 };
static unsigned begun, ended;

static bool probe_active(const void *conf)
{
    return true;
}

static void probe_end(struct exchange *x, const void *conf)
{
    CHECK(x->slots[SLOT_BEGUN] && !x->slots[SLOT_ENDED], "on_end is run a second time");
    x->slots[SLOT_ENDED] = x;
    ended++;
}

static const struct policy probe_policy = {
    .name = "probe", .feature = &proxy_feature, .active = probe_active, .on_end = probe_end
};

#define EXTRA_POLICIES { &probe_policy, PHASE_RESPONSE },
#include "app/features_tables.h"

uint64_t worker_connection_number(void)
{
    static uint64_t last;
    return ++last;
}

/* ---- the configuration ---- */

#define LEVELS                                                                                         \
    "error_log /dev/null info;\n"                                                                      \
    "events { }\n"                                                                                     \
    "http {\n"                                                                                         \
    "  client_body_temp_path /dev/shm;\n"                                                              \
    "  client_header_timeout 30s; client_body_timeout 30s; send_timeout 30s; keepalive_timeout 45s;\n" \
    "  proxy_connect_timeout 30s; proxy_read_timeout 40s; proxy_send_timeout 30s;\n"                   \
    "  upstream two { server 127.0.0.1:1; server 127.0.0.1:2; keepalive 2; keepalive_timeout 50s; }\n" \
    "  upstream one { server 127.0.0.1:3; keepalive 1; keepalive_requests 3; }\n"                      \
    "  upstream rest { server 127.0.0.1:4 max_fails=1; server 127.0.0.1:5 backup; keepalive 0; }\n"

/* A fuzzer may have locations of its own. */
#ifndef MORE_LOCATIONS
#define MORE_LOCATIONS ""
#endif

/* ... or servers, whose addresses come first. */
#ifndef MORE_SERVERS
#define MORE_SERVERS ""
#endif

/* Where its files are. */
#ifndef PREFIX
#define PREFIX "/"
#endif

#define SERVER_ONE                                                                                                     \
    "  server { listen 127.0.0.1:80;\n"                                                                                \
    "    location / { proxy_pass http://two; }\n"                                                                      \
    "    location /stream { proxy_request_buffering off; proxy_buffering off; proxy_buffer_size 4k; proxy_pass "       \
    "http://one; }\n"                                                                                                  \
    "    location /flow { proxy_request_buffering off; proxy_buffers 2 4k; proxy_busy_buffers_size 4k; "               \
    "proxy_buffer_size 4k;\n"                                                                                          \
    "      proxy_pass http://two; }\n"                                                                                 \
    "    location /spill { client_body_buffer_size 2k; proxy_pass http://two;\n"                                       \
    "      proxy_next_upstream error timeout invalid_header http_500 http_503 non_idempotent; }\n"                     \
    "    location /disk { proxy_buffers 2 4k; proxy_busy_buffers_size 4k; proxy_buffer_size 4k; "                      \
    "proxy_max_temp_file_size 64k;\n"                                                                                  \
    "      proxy_pass http://two; }\n"                                                                                 \
    "    location /next { proxy_pass http://rest; proxy_next_upstream error timeout http_404 http_500 http_503; }\n"   \
    "    location /limit { client_max_body_size 1500; proxy_pass http://one; }\n"                                      \
    "    location /page { proxy_pass http://two; proxy_intercept_errors on; error_page 404 500 502 503 504 =200 "      \
    "/instead;\n"                                                                                                      \
    "      error_page 413 @named; client_max_body_size 4k; }\n"                                                        \
    "    location /method { proxy_method GET; proxy_buffers 2 4k; proxy_buffer_size 4k; proxy_busy_buffers_size 4k;\n" \
    "      proxy_pass http://two; }\n"                                                                                 \
    "    location /none { return 404; error_page 404 =204 /instead; }\n"                                               \
    "    location /instead { internal; proxy_pass http://one; }\n"                                                     \
    "    location @named { return 200 named; }\n"                                                                      \
    "    location /old { proxy_http_version 1.0; proxy_pass http://rest; }\n"                                          \
    "    location /trail { add_trailer X-T $uri always; add_header X-H 1; proxy_cookie_flags ~. secure; proxy_pass "   \
    "http://two; "                                                                                                     \
    "}\n"                                                                                                              \
    "    location /own { return 200 \"an answer of our own\"; }\n"                                                     \
    "    location /rewritten { rewrite ^/rewritten/(.*)$ /$1?$1 last; rewrite ^ /stream break; proxy_pass "            \
    "http://two; }\n"                                                                                                  \
    "    location /choose { limit_except GET POST { proxy_pass http://rest; } if ($request_method = POST) { "          \
    "proxy_pass "                                                                                                      \
    "http://one; }\n"                                                                                                  \
    "      if ($arg_a ~ ^(.)(.)) { set $b $2$1; error_page 502 504 =200 @named; } proxy_pass http://two; }\n"          \
    "    location /again { recursive_error_pages on; proxy_intercept_errors on; error_page 404 500 502 504 /again;\n"  \
    "      proxy_pass http://two; }\n"                                                                                 \
    "    location /moved { return 302 /own; }\n"                                                                       \
    "    location /merge { proxy_pass http://one/other/; proxy_set_header X-Sum $request_length; }\n" MORE_LOCATIONS   \
    "    location /asked { auth_request /judge; auth_request_set $judged $upstream_status; proxy_pass http://two; }\n" \
    "    location /any { satisfy any; deny all; auth_request /judge; proxy_pass http://one;\n"                         \
    "      error_page 401 403 500 /instead; }\n"                                                                       \
    "    location /judge { internal; proxy_pass http://rest; }\n"                                                      \
    "  }\n"

#define SERVER_TWO                                                                                                   \
    "  server { listen 127.0.0.1:81; error_page 400 414 431 /; error_page 405 501 @none; http1_compat bare_lf "      \
    "fragment; lingering_close always; lingering_time 20s;\n"                                                        \
    "    keepalive_requests 3; reset_timedout_connection on; large_client_header_buffers 2 1k; server_tokens off;\n" \
    "    keepalive_timeout 40s 30s;\n"                                                                               \
    "    location / { proxy_pass http://one; }\n"                                                                    \
    "    location /flow { proxy_request_buffering off; proxy_pass http://two; }\n"                                   \
    "    location /trail { add_trailer X-T $uri always; add_header X-H 1; proxy_cookie_flags ~. secure; proxy_pass " \
    "http://two; "                                                                                                   \
    "}\n"                                                                                                            \
    "    location /own { return 404; error_page 404 /instead; }\n"                                                   \
    "  }\n"

/* ... or blocks of its own instead of all servers. */
#ifdef OWN_BLOCKS
static const char *const texts[] = { LEVELS OWN_BLOCKS "}\n", LEVELS OWN_BLOCKS "}\n" };
#else
static const char *const texts[] = { LEVELS MORE_SERVERS SERVER_ONE SERVER_TWO "}\n",
                                     LEVELS MORE_SERVERS SERVER_ONE "}\n" };
#endif

static struct schema schema;
static struct generation *gens[2];
static struct gen_ref refs[2];
static struct worker w;
static struct listener listeners[2];

static void idle(struct gen_ref *r)
{
}

static void open_dir(struct bundle_entry *e)
{
    e->fds = malloc(sizeof(*e->fds));
    CHECK(e->fds, "out of memory");
    e->fds[0] = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(e->fds[0] >= 0, "there is no /dev/shm");
    e->nfds = 1;
}

static void load(unsigned k)
{
    struct arena messages;
    struct conf_diag diag;
    struct bundle *b = bundle_new(slice_str(PREFIX));
    arena_init(&messages, NULL, 0, 4096, 0);
    conf_diag_init(&diag, &messages);
    bundle_option_set(b, SLICE("conf-text"), slice_str(texts[k]));
    int rc = generation_compile(&schema, b, &diag, &gens[k]);
    CHECK(rc == OK, "%.*s", diag.first ? (int)diag.first->text.n : 0, diag.first ? diag.first->text.p : "");
    refs[k] = (struct gen_ref){ .gen = gens[k], .idle = idle };
    unsigned n = 0;
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        if (e->kind == BUNDLE_DIR)
            open_dir(e);
        else if (e->kind == BUNDLE_LISTEN && k == 0 && n < 2)
            listeners[n++] = (struct listener){ .key = e->key, .worker = &w };
    }
    arena_done(&messages);
}

/* ---- the job pool: no threads, jobs are done when the script says so ---- */

/* The kernel in memory does not know the loop's eventfd: the letter is fetched by hand. */
static bool do_job(unsigned k)
{
    if (!job_pool_step(k))
        return false;
    loop_wait_mail(&w.loop);
    return true;
}

static inline void do_all_jobs(void)
{
    while (do_job(0)) {
    }
}

/* ---- the worker ---- */

/* In the order of app/features.def: the rooms that connections live in. None of the others is used. */
static const struct room_hooks *const world_rooms[] = { &files_room, &h1_room,    &h2_room,
                                                        &socks_room, &proxy_room, &gzip_room };

/* Each fuzzer's own: world_turn, and then what must hold whenever nothing is under way. */
static void turn(void);

static void (*world_began)(struct exchange *x); /* a fuzzer's, or NULL: an exchange is run for the first time */
static void (*real_run)(struct exchange *x);

static void watched_run(struct exchange *x)
{
    if (!x->slots[SLOT_BEGUN]) {
        x->slots[SLOT_BEGUN] = x;
        begun++;
        if (world_began)
            world_began(x);
    }
    real_run(x);
}

/* What is the same for all runs. */
static void world_once(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    sim_trace = getenv("EXCHANGE_TRACE") != NULL;
    sim_reset();
    CHECK(schema_init(&schema, features, array_len(features)) == OK, "schema");
    load(0);
    load(1);
    log_main_set(&gens[0]->log);
    run_init();
    real_run = exchange_run;
    exchange_run = watched_run;
}

/* The generation k is the current one, as after a reload; the other's connections go on. */
static void world_take(unsigned k)
{
    bool first = !w.gen;
    w.gen = &refs[k];
    refs[k].current = true;
    for (size_t i = 0; i < array_len(listeners); i++)
        listeners[i].conf = listeners[i].key.n ? h1_room.listener_conf(gens[k], listeners[i].key) : NULL;
    for (size_t i = 0; i < array_len(world_rooms) && !first; i++) {
        if (world_rooms[i]->gen_changed)
            world_rooms[i]->gen_changed(&w);
    }
    refs[1 - k].current = false;
}

static void world_drain(void)
{
    if (w.draining)
        return;
    w.draining = true;
    for (size_t i = 0; i < array_len(world_rooms); i++) {
        if (world_rooms[i]->drain)
            world_rooms[i]->drain(&w);
    }
}

static void world_cut(struct gen_ref *r)
{
    for (size_t i = 0; i < array_len(world_rooms); i++) {
        if (world_rooms[i]->cut)
            world_rooms[i]->cut(&w, r);
    }
}

/* What may happen to a worker at any time, whoever talks. Only the first of these leaves connections alone. */
static inline void world_rare(uint8_t what, uint8_t arg)
{
    switch (what % 5) {
    case 0:
        world_take(w.gen == &refs[0] ? 1 : 0);
        return;
    case 1:
        world_drain();
        return;
    case 2:
        w.budget.limit = (size_t)(arg + 1) * 700;
        return;
    case 3:
        world_cut(&refs[arg & 1]);
        return;
    case 4:
        sim_now += (uint64_t)arg * 1000;
        return;
    }
}

/* A socket for one more client, or NULL: nobody is accepted any more, or the others are for backends. */
static inline struct sim_sock *world_client(void)
{
    return w.draining || sim_count > SIM_SOCKS / 3 ? NULL : sim_new(false);
}

static inline void world_accept(struct sim_sock *s, struct listener *l, slice from)
{
    struct addr peer;
    addr_parse_ip(from, 1234, &peer);
    h1_room.accept(&w, l, SIM_FD + sim_number(s), &peer);
    loop_drain(&w.loop);
}

/* Until nothing happens by itself any more; `jobs`: those of the pool are done at once. */
static void world_turn(bool jobs)
{
    int n = 0;
    do
        loop_turn(&w.loop, 0);
    while (++n < 5000 && (!sim_quiet() || w.loop.run_head || w.loop.later_head || (jobs && do_job(0))));
    CHECK(n < 5000, "the loop spins");
}

static bool world_free(void)
{
    return w.connections == 0 && w.h1->servers.live == 0 && w.h1->clients.live == 0 && w.h2->servers.live == 0 &&
           w.h2->clients.live == 0 && w.h2->streams.live == 0 && w.socks->servers.live == 0 && w.pages.live == 0;
}

/* The byte i of the stream that client `number` sends through a tunnel, or its backend. */
static inline char stream_byte(int number, bool backend, size_t i)
{
    return (char)(number * 37 + (backend ? 101 : 0) + (int)(i * 7 + (i >> 8) * 13 + (i >> 16) * 5));
}

static inline void forget_failures(const struct peer_set *set)
{
    for (uint32_t k = 0; k < set->n; k++)
        memset(set->peers[k].state, 0, sizeof(*set->peers[k].state));
    if (set->cursor)
        *set->cursor = 0;
}

static void world_begin(void)
{
    static const slice names[] = { SLICE("two"), SLICE("one"), SLICE("rest") };
    world_once();
    sim_reset();
    begun = ended = 0;
    memset(&w, 0, sizeof(w));
    CHECK(loop_init(&w.loop) == OK && scratch_init(&w.scratch, SCRATCH_SIZE) == OK, "out of descriptors or memory");
    w.loop.owner = &w;
    slab_init(&w.pages, EXCHANGE_PAGE, 1);
    w.budget.limit = 64 << 20;
    w.max_connections = 1000;
    job_pool_set(0, JOB_QUEUE);
    for (size_t i = 0; i < array_len(world_rooms); i++)
        CHECK(!world_rooms[i]->init || world_rooms[i]->init(&w) == OK, "out of memory");
    world_take(0);
    for (size_t i = 0; i < array_len(names); i++) {
        const struct upstream *u = upstream_find(gens[0], names[i]);
        forget_failures(&u->primary);
        forget_failures(&u->backup);
    }
}

/* Time passes, `ms` at once, until all that a deadline ends has ended. */
static void world_wait(uint64_t ms)
{
    for (unsigned i = 0; i < 4000 && !world_free(); i++) {
        sim_now += ms;
        turn();
    }
    loop_reap_now(&w.loop);
}

static void world_check_free(void)
{
    CHECK(world_free(), "%llu connections, %zu clients, %zu backends, %zu streams, %zu exchanges are left",
          (unsigned long long)w.connections, w.h1->servers.live, w.h1->clients.live, w.h2->streams.live, w.pages.live);
    CHECK(w.reading == 0 && w.writing == 0, "%llu are read, %llu written", (unsigned long long)w.reading,
          (unsigned long long)w.writing);
    CHECK(w.budget.used == 0, "%zu bytes are queued nowhere", w.budget.used);
    CHECK(begun == ended, "%u exchanges began, %u ended", begun, ended);
    CHECK(refs[0].users == 0 && refs[1].users == 0, "generations are held");
}

static void world_end(void)
{
    for (size_t i = array_len(world_rooms); i-- > 0;) {
        if (world_rooms[i]->done)
            world_rooms[i]->done(&w);
    }
    CHECK(w.loop.timers == 0, "%u timers are left", w.loop.timers);
    CHECK(w.loop.jobs == 0, "%zu jobs are left", w.loop.jobs);
    loop_done(&w.loop);
    scratch_done(&w.scratch);
    slab_done(&w.pages);
}

#endif
