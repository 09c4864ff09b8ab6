/*
 * The world of fuzz_exchange.c and fuzz_tunnel.c above the wires: what the program is made of, and two configurations
 * to switch between. One worker, wired by hand.
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
#include "loop/job_pool.h"
#include "net/listen.h"
#include "proxy/policy.h"
#include "proxy/pool.h"
#include "proxy/run.h"
#include "proxy/upstream.h"

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

static inline void forget_failures(const struct peer_set *set)
{
    for (uint32_t k = 0; k < set->n; k++)
        memset(set->peers[k].state, 0, sizeof(*set->peers[k].state));
    if (set->cursor)
        *set->cursor = 0;
}

#endif
