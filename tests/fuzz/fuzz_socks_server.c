/*
 * SOCKS clients of a forward block: handshakes in any pieces, bytes that are no handshake, and then anything that two
 * sides of a tunnel can do to each other, in the world of fuzz_tunnel.c.
 *
 * An orderly client says a whole handshake for a target whose port is its number, in pieces or at once, with the
 * beginning of a stream behind it that follows from its number; a target answers with a stream that does, too. What
 * must hold: an orderly client gets exactly the answers of its handshake and behind them a beginning of the target's
 * stream; the target gets a beginning of the client's stream and nothing else; after a clean end in both directions
 * each has got all; and in the end everything is free, whatever was said. Names are refused by a rule, so that nothing
 * is asked of DNS.
 */
#define MORE_SERVERS                                                                                     \
    "  map $remote_addr $realm { default off; }\n"                                                       \
    "  forward { listen 127.0.0.1:90; egress_allow 127.0.0.0/8; acl number dstdom_regex ^[0-9.]+$;\n"    \
    "    http_access allow number; http_access deny all; tunnel_lifetime 0; proxy_read_timeout 40s; }\n" \
    "  forward { listen 127.0.0.1:91; egress_allow 127.0.0.0/8; acl number dstdom_regex ^[0-9.]+$;\n"    \
    "    http_access allow number; http_access deny all; auth_basic $realm; proxy_read_timeout 40s;\n"   \
    "    lingering_close always; client_header_timeout 3s; }\n"

#include "exchange_world.h"

#include "socks/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 300000, FIRST_PORT = 1000, SAY_MAX = 200 };

struct player {
    int number;   /* a target: of the client that asked for it */
    bool orderly; /* a client: what it has said and will say is a handshake */
    bool wild;    /* ... or not */
    char say[SAY_MAX];
    size_t say_n, said;
    char hear[40]; /* the answers to it */
    size_t hear_n;
    size_t sent; /* of its stream */
    bool fin;
};

static struct player players[SIM_SOCKS];
static void (*real_run)(struct exchange *x);
static bool fault;

static void watched_run(struct exchange *x)
{
    if (!x->slots[SLOT_BEGUN]) {
        x->slots[SLOT_BEGUN] = x;
        begun++;
    }
    real_run(x);
}

static char stream_byte(int number, bool backend, size_t i)
{
    return (char)(number * 37 + (backend ? 101 : 0) + (int)(i * 7 + (i >> 8) * 13 + (i >> 16) * 5));
}

/* ---- what is on the wires ---- */

static int number_of(unsigned i)
{
    return sim_socks[i].backend ? ntohs(sim_socks[i].to.sin_port) - FIRST_PORT : (int)i;
}

/* How much of the other side's stream has come; what has come is that and nothing else. */
static size_t check_stream(unsigned i)
{
    const struct player *p = &players[i];
    slice out = strb_slice(&sim_socks[i].out);
    bool backend = sim_socks[i].backend;
    int number = number_of(i);
    if (backend && (number < 0 || number >= (int)sim_count || !players[number].orderly))
        return 0; /* of a client that says anything */
    if (!backend && !p->orderly)
        return 0;
    if (!backend) {
        size_t n = out.n < p->hear_n ? out.n : p->hear_n;
        CHECK(fault || !n || memcmp(out.p, p->hear, n) == 0, "client %u is told something else", i);
        if (fault && n && memcmp(out.p, p->hear, n) != 0)
            return 0; /* refused, for want of memory say */
        out = slice_from(out, n);
    }
    for (size_t k = 0; k < out.n; k++)
        CHECK(out.p[k] == stream_byte(number, !backend, k), "byte %zu to %u is wrong", k, i);
    return out.n;
}

static int backend_of(int number)
{
    for (unsigned i = 0; i < sim_count; i++) {
        if (sim_socks[i].backend && number_of(i) == number)
            return (int)i;
    }
    return -1;
}

/* ---- what peers do ---- */

static void turn(void)
{
    int n = 0;
    do
        loop_turn(&w.loop, 0);
    while (++n < 5000 && (!sim_quiet() || w.loop.run_head || w.loop.later_head));
    CHECK(n < 5000, "the loop spins");
    for (unsigned i = 0; i < sim_count; i++)
        check_stream(i);
}

static void put(struct player *p, const void *bytes, size_t n)
{
    CHECK(p->say_n + n <= SAY_MAX, "no room");
    memcpy(p->say + p->say_n, bytes, n);
    p->say_n += n;
}

static void will_hear(struct player *p, const void *bytes, size_t n)
{
    memcpy(p->hear + p->hear_n, bytes, n);
    p->hear_n += n;
}

static void compose(unsigned i, bool asks, uint8_t how)
{
    struct player *p = &players[i];
    const uint8_t port[2] = { (uint8_t)((FIRST_PORT + i) >> 8), (uint8_t)((FIRST_PORT + i) & 255) };
    if (!asks && (how & 1)) {
        put(p, "\4\1", 2);
        put(p, port, 2);
        put(p,
            how & 2 ? "\x7f\0\0\1me\0"
                    : "\0\0\0\7\0"
                      "127.0.0.1\0",
            how & 2 ? 7 : 15);
        will_hear(p, "\0\x5a\0\0\0\0\0\0", 8);
        return;
    }
    put(p, "\5\2\0\2", 4);
    will_hear(p, asks ? "\5\2" : "\5\0", 2);
    if (asks) {
        put(p, "\1\2me\3you", 8);
        will_hear(p, "\1\0", 2);
    }
    put(p, "\5\1\0", 3);
    put(p,
        how & 2 ? "\1\x7f\0\0\1"
                : "\3\x09"
                  "127.0.0.1",
        how & 2 ? 5 : 11);
    put(p, port, 2);
    will_hear(p, "\5\0\0\1\0\0\0\0\0\0", 10);
}

static void open_client(uint8_t how)
{
    struct addr peer;
    struct sim_sock *s = w.draining || sim_count > SIM_SOCKS / 3 ? NULL : sim_new(false);
    if (!s)
        return;
    unsigned i = (unsigned)sim_number(s);
    players[i] = (struct player){ .orderly = !(how & 8), .wild = how & 8 };
    if (players[i].orderly)
        compose(i, how & 4, how);
    addr_parse_ip(SLICE("127.0.0.1"), 1234, &peer);
    h1_room.accept(&w, &listeners[how & 4 ? 1 : 0], SIM_FD + (int)i, &peer);
    loop_drain(&w.loop);
}

static void say(unsigned i, size_t n)
{
    struct player *p = &players[i];
    size_t left = p->say_n - p->said;
    if (n > left)
        n = left;
    sim_push(&sim_socks[i], slice_of(p->say + p->said, n));
    p->said += n;
}

static void send_stream(unsigned i, size_t n)
{
    struct player *p = &players[i];
    struct sim_sock *s = &sim_socks[i];
    static char bytes[STREAM_MAX];
    if (p->wild || p->said < p->say_n || p->fin || !s->open || s->fin || s->reset || s->connecting ||
        p->sent + n > STREAM_MAX)
        return;
    for (size_t k = 0; k < n; k++)
        bytes[k] = stream_byte(number_of(i), s->backend, p->sent + k);
    sim_push(s, slice_of(bytes, n));
    p->sent += n;
}

static void finish(unsigned i)
{
    players[i].fin = true;
    sim_fin(&sim_socks[i]);
}

static void rare(uint8_t what, uint8_t arg)
{
    fault |= what % 5 != 0;
    switch (what % 5) {
    case 0: /* a reload; the old generation's tunnels go on */
        w.gen = w.gen == &refs[0] ? &refs[1] : &refs[0];
        refs[0].current = w.gen == &refs[0];
        refs[1].current = !refs[0].current;
        for (unsigned k = 0; k < 2; k++)
            listeners[k].conf = h1_room.listener_conf(w.gen->gen, listeners[k].key);
        proxy_worker_gen_changed(&w);
        return;
    case 1:
        if (!w.draining) {
            w.draining = true;
            h1_worker_drain(&w);
            socks_room.drain(&w);
            proxy_worker_drain(&w);
        }
        return;
    case 2:
        w.budget.limit = (size_t)(arg + 1) * 700;
        return;
    case 3:
        h1_worker_cut(&w, &refs[arg & 1]);
        socks_room.cut(&w, &refs[arg & 1]);
        return;
    case 4:
        sim_now += (uint64_t)arg * 1000;
        return;
    }
}

enum { OP_OPEN, OP_SAY, OP_SEND, OP_FIN, OP_RST, OP_ROOM, OP_TIME, OP_RARE, OP_CONNECT, OP_WILD, OPS };

static void one_op(uint8_t op, uint8_t who, uint8_t arg)
{
    unsigned i = sim_count ? who % sim_count : 0;
    bool client = sim_count && !sim_socks[i].backend;
    switch (op % OPS) {
    case OP_OPEN:
        open_client(arg);
        return;
    case OP_CONNECT:
        fault |= arg % 3 == 2;
        sim_next_connect = arg % 3 == 0 ? SIM_AT_ONCE : arg % 3 == 1 ? SIM_LATER : SIM_REFUSED;
        return;
    case OP_RARE:
        rare(who, arg);
        return;
    case OP_TIME:
        sim_now += arg;
        return;
    default:
        break;
    }
    if (!sim_count)
        return;
    switch (op % OPS) {
    case OP_SAY:
        if (client)
            say(i, arg);
        return;
    case OP_SEND:
        send_stream(i, arg < 200 ? arg : (size_t)(arg - 199) * 1500);
        return;
    case OP_FIN:
        fault |= client && strb_slice(&sim_socks[i].out).n < players[i].hear_n; /* before the answer: gone */
        finish(i);
        return;
    case OP_RST:
        fault = true;
        sim_rst(&sim_socks[i], ECONNRESET);
        return;
    case OP_ROOM:
        sim_room(&sim_socks[i], arg == 255 ? SIM_ROOM : (size_t)arg * 40);
        turn(); /* room that is there does not shrink before it was seen */
        return;
    case OP_WILD:
        if (client && players[i].wild)
            sim_push(&sim_socks[i], slice_of((const char *)&arg, 1));
        return;
    default:
        return;
    }
}

/* ---- the end ---- */

static bool all_free(void)
{
    return w.connections == 0 && w.h1->servers.live == 0 && w.h1->clients.live == 0 && w.socks->servers.live == 0 &&
           w.pages.live == 0;
}

/* Every peer says what it has to, reads and closes; no time passes that a deadline could see. */
static void settle(void)
{
    for (unsigned round = 0; round < 14; round++) {
        for (unsigned i = 0; i < sim_count; i++) {
            sim_connected(&sim_socks[i]);
            sim_room(&sim_socks[i], SIM_ROOM);
            if (!sim_socks[i].backend)
                say(i, SAY_MAX);
        }
        turn();
        for (unsigned i = 0; i < sim_count && round > 7; i++)
            finish(i);
        turn();
    }
}

static void check_whole(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        int b = sim_socks[i].backend || !players[i].orderly ? -1 : backend_of((int)i);
        if (b < 0)
            continue;
        CHECK(check_stream(i) == players[b].sent, "client %u got %zu bytes of %zu", i, check_stream(i),
              players[b].sent);
        CHECK(check_stream((unsigned)b) == players[i].sent, "target %d got %zu bytes of %zu", b,
              check_stream((unsigned)b), players[i].sent);
        CHECK(!sim_socks[i].aborted && !sim_socks[b].aborted, "a clean end was made a reset");
    }
}

static void begin(void)
{
    sim_reset();
    memset(players, 0, sizeof(players));
    begun = ended = 0;
    fault = false;
    memset(&w, 0, sizeof(w));
    CHECK(loop_init(&w.loop) == OK && scratch_init(&w.scratch, SCRATCH_SIZE) == OK, "out of descriptors or memory");
    w.loop.owner = &w;
    slab_init(&w.pages, EXCHANGE_PAGE, 1);
    w.budget.limit = 64 << 20;
    w.max_connections = 1000;
    CHECK(h1_worker_init(&w) == OK && socks_room.init(&w) == OK && proxy_worker_init(&w) == OK, "out of memory");
    w.gen = &refs[0];
    refs[0].current = true;
    refs[1].current = false;
    for (unsigned k = 0; k < 2; k++)
        listeners[k].conf = h1_room.listener_conf(gens[0], listeners[k].key);
    proxy_worker_gen_changed(&w);
}

static void end(void)
{
    for (unsigned i = 0; i < 2000 && !all_free(); i++) {
        sim_now += 1000;
        turn();
    }
    loop_reap_now(&w.loop);
    CHECK(all_free(), "%llu connections, %zu exchanges are left", (unsigned long long)w.connections, w.pages.live);
    CHECK(w.reading == 0 && w.writing == 0, "%llu are read, %llu written", (unsigned long long)w.reading,
          (unsigned long long)w.writing);
    CHECK(w.budget.used == 0, "%zu bytes are queued nowhere", w.budget.used);
    CHECK(begun == ended, "%u exchanges began, %u ended", begun, ended);
    CHECK(refs[0].users == 0 && refs[1].users == 0, "generations are held");
    proxy_worker_done(&w);
    socks_room.done(&w);
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
    CHECK(slice_eq(listeners[0].key, SLICE("127.0.0.1:90")), "the forward blocks come first");
    log_main_set(&gens[0]->log);
    run_init();
    real_run = exchange_run;
    exchange_run = watched_run;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1500)
        return 0;
    once();
    begin();
    for (; size >= 3; data += 3, size -= 3) {
        one_op(data[0] & 0x7f, data[1], data[2]);
        if (!(data[0] & 0x80))
            turn();
    }
    if (!fault) {
        settle();
        if (!fault)
            check_whole();
    }
    end();
    return 0;
}
