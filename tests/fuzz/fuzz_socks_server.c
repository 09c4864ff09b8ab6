/*
 * SOCKS clients of a forward block: handshakes in any pieces, bytes that are no handshake, and then anything that two
 * sides of a tunnel can do to each other, in the world of exchange_world.h.
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
static bool fault;

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
    world_turn(true);
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
    struct sim_sock *s = world_client();
    if (!s)
        return;
    unsigned i = (unsigned)sim_number(s);
    players[i] = (struct player){ .orderly = !(how & 8), .wild = how & 8 };
    if (players[i].orderly)
        compose(i, how & 4, how);
    world_accept(s, &listeners[how & 4 ? 1 : 0], SLICE("127.0.0.1"));
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
    world_rare(what, arg);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1500)
        return 0;
    world_begin();
    CHECK(slice_eq(listeners[0].key, SLICE("127.0.0.1:90")), "the forward blocks come first");
    memset(players, 0, sizeof(players));
    fault = false;
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
    world_wait(1000);
    world_check_free();
    world_end();
    return 0;
}
