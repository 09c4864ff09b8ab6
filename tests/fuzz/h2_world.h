/*
 * What the two fuzzers of whole HTTP/2 connections share above the wires and their frames: begin, turn, end.
 */
#ifndef TESTS_FUZZ_H2_WORLD_H
#define TESTS_FUZZ_H2_WORLD_H

#include "exchange_world.h"

#include "h2/client.h"
#include "h2/server.h"
#include "h2_script.h"

static struct h2_peer peers[SIM_SOCKS];
static void (*real_run)(struct exchange *x);

static void watched_run(struct exchange *x)
{
    if (!x->slots[SLOT_BEGUN]) {
        x->slots[SLOT_BEGUN] = x;
        begun++;
    }
    real_run(x);
}

static void turn(void)
{
    int n = 0;
    do {
        loop_turn(&w.loop, 0);
        do_all_jobs();
    } while (++n < 5000 && (!sim_quiet() || w.loop.run_head || w.loop.later_head));
    CHECK(n < 5000, "the loop spins");
    for (unsigned i = 0; i < sim_count; i++)
        hear(&peers[i], &sim_socks[i]);
}

static bool all_free(void)
{
    return w.connections == 0 && w.h1->servers.live == 0 && w.h1->clients.live == 0 && w.h2->servers.live == 0 &&
           w.h2->clients.live == 0 && w.h2->streams.live == 0 && w.pages.live == 0;
}

/* What may happen at any time, whoever talks. */
static void rare(uint8_t what, uint8_t arg)
{
    switch (what % 5) {
    case 0:
        w.gen = w.gen == &refs[0] ? &refs[1] : &refs[0];
        refs[0].current = w.gen == &refs[0];
        refs[1].current = !refs[0].current;
        listeners[0].conf = h1_room.listener_conf(w.gen->gen, listeners[0].key);
        proxy_worker_gen_changed(&w);
        h2_worker_gen_changed(&w);
        return;
    case 1:
        if (w.draining)
            return;
        w.draining = true;
        h1_worker_drain(&w);
        h2_worker_drain(&w);
        proxy_worker_drain(&w);
        return;
    case 2:
        w.budget.limit = (size_t)(arg + 1) * 700;
        return;
    case 3:
        h1_worker_cut(&w, &refs[arg & 1]);
        h2_worker_cut(&w, &refs[arg & 1]);
        return;
    case 4:
        sim_now += (uint64_t)arg * 500;
        return;
    }
}

static struct sim_sock *open_client(void)
{
    struct addr peer;
    struct sim_sock *s = w.draining || sim_count > SIM_SOCKS / 3 ? NULL : sim_new(false);
    if (!s)
        return NULL;
    addr_parse_ip(SLICE("127.0.0.1"), 1234, &peer);
    h1_room.accept(&w, &listeners[0], SIM_FD + sim_number(s), &peer);
    loop_drain(&w.loop);
    return s;
}

static void begin(void)
{
    static const slice names[] = { SLICE("two"), SLICE("one"), SLICE("rest") };
    sim_reset();
    for (unsigned i = 0; i < SIM_SOCKS; i++)
        peer_end(&peers[i]);
    begun = ended = 0;
    memset(&w, 0, sizeof(w));
    CHECK(loop_init(&w.loop) == OK && scratch_init(&w.scratch, SCRATCH_SIZE) == OK, "out of descriptors or memory");
    w.loop.owner = &w;
    slab_init(&w.pages, EXCHANGE_PAGE, 1);
    w.budget.limit = 64 << 20;
    w.max_connections = 1000;
    job_pool_set(0, 64);
    CHECK(h1_worker_init(&w) == OK && h2_worker_init(&w) == OK && proxy_worker_init(&w) == OK, "out of memory");
    w.gen = &refs[0];
    refs[0].current = true;
    refs[1].current = false;
    listeners[0].conf = h1_room.listener_conf(gens[0], listeners[0].key);
    proxy_worker_gen_changed(&w);
    for (size_t i = 0; i < array_len(names); i++) {
        const struct upstream *u = upstream_find(gens[0], names[i]);
        forget_failures(&u->primary);
        forget_failures(&u->backup);
    }
}

static void end(void)
{
    for (unsigned i = 0; i < 4000 && !all_free(); i++) {
        sim_now += 1000;
        turn();
    }
    loop_reap_now(&w.loop);
    CHECK(all_free(), "%llu connections, %zu streams, %zu exchanges are left", (unsigned long long)w.connections,
          w.h2->streams.live, w.pages.live);
    CHECK(w.budget.used == 0, "%zu bytes are queued nowhere", w.budget.used);
    CHECK(begun == ended, "%u exchanges began, %u ended", begun, ended);
    CHECK(refs[0].users == 0 && refs[1].users == 0, "generations are held");
    proxy_worker_done(&w);
    h2_worker_done(&w);
    h1_worker_done(&w);
    CHECK(w.loop.timers == 0, "%u timers are left", w.loop.timers);
    loop_done(&w.loop);
    scratch_done(&w.scratch);
    slab_done(&w.pages);
}

static void once(void)
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

#endif
