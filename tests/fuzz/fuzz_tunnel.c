/*
 * Tunnels: clients that ask to switch protocols, backends that do, and then anything that two sides of a connection can
 * do to each other, in the world of exchange_world.h.
 *
 * Each client sends one request that asks for an upgrade and then a stream of bytes that follows from its number, some
 * of it before the answer. Each backend answers by 101 and then sends a stream that follows from the number of the
 * request it read. What must hold: behind our head each side gets a beginning of exactly the other's stream, and
 * nothing before the 101; after a clean end in both directions it has got all of it; without an accident no deadline is
 * needed; and in the end everything is free.
 */
#define MORE_LOCATIONS                                                                                              \
    "    location /chat { proxy_pass http://one; proxy_set_header Upgrade $http_upgrade;\n"                         \
    "      proxy_set_header Connection upgrade; proxy_buffer_size 1k; proxy_buffers 3 1k; proxy_busy_buffers_size " \
    "1k; lingering_time 20s; }\n"                                                                                   \
    "    location /raw { proxy_pass http://two; proxy_set_header Upgrade foo; proxy_set_header Connection "         \
    "$http_connection;\n"                                                                                           \
    "      lingering_close off; proxy_request_buffering off; }\n"

#include "exchange_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_MAX = 300000 };

struct player {
    int number;  /* of the client whose tunnel it is in; -1: not known yet */
    bool asked;  /* a client: its request was sent; a backend: it has switched */
    size_t sent; /* of its stream */
    size_t head; /* bytes of our head on its wire, once it is whole */
    bool fin, gone, raw;
};

static struct player players[SIM_SOCKS];
static bool fault, tight;

/* ---- what is on the wires ---- */

/* The head that matters: interim answers before it are passed over. 0: it is not whole yet. */
static size_t find_head(slice out, size_t *start)
{
    size_t at = 0;
    for (;;) {
        slice rest = slice_from(out, at);
        const char *end = rest.n ? memmem(rest.p, rest.n, "\r\n\r\n", 4) : NULL;
        if (!end)
            return 0;
        *start = at;
        at = (size_t)(end - out.p) + 4;
        if (!slice_starts(rest, SLICE("HTTP/1.1 103 ")))
            return at;
    }
}

static void read_head(unsigned i)
{
    struct player *p = &players[i];
    slice out = strb_slice(&sim_socks[i].out);
    size_t start = 0;
    const char *id;
    if (p->head || !(p->head = find_head(out, &start)))
        return;
    slice head = slice_from(slice_upto(out, p->head), start);
    bool switches = memmem(head.p, head.n, "foo\r\n", 5) && memmem(head.p, head.n, "Connection: upgrade\r\n", 21);
    if (!sim_socks[i].backend) {
        bool is_101 = slice_starts(head, SLICE("HTTP/1.1 101 "));
        CHECK(!is_101 || switches, "a 101 without its fields");
        CHECK(is_101 || fault, "no tunnel for client %u", i);
        if (!is_101)
            p->gone = true; /* what follows is no stream */
        return;
    }
    CHECK(switches, "a request that does not ask: [%.*s]", (int)head.n, head.p);
    id = memmem(head.p, head.n, "X-Id: ", 6);
    CHECK(id, "a request without its number");
    uint64_t number;
    slice line = slice_from(head, (size_t)(id - head.p) + 6);
    CHECK(slice_to_u64(slice_upto(line, (size_t)slice_find(line, '\r')), &number) == OK, "a broken number");
    p->number = (int)number;
}

/* Behind the head comes a beginning of the other side's stream. */
static size_t check_stream(unsigned i)
{
    const struct player *p = &players[i];
    read_head(i);
    slice out = slice_from(strb_slice(&sim_socks[i].out), p->head);
    if (!p->head || p->gone)
        return 0;
    if (sim_socks[i].backend && !p->asked)
        CHECK(out.n == 0, "%zu bytes before the 101", out.n);
    for (size_t k = 0; k < out.n; k++)
        CHECK(out.p[k] == stream_byte(p->number, !sim_socks[i].backend, k), "byte %zu to %u is wrong", k, i);
    return out.n;
}

static int backend_of(int number)
{
    for (unsigned i = 0; i < sim_count; i++) {
        if (sim_socks[i].backend && players[i].asked && players[i].number == number)
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

static void send_stream(unsigned i, size_t n)
{
    struct player *p = &players[i];
    struct sim_sock *s = &sim_socks[i];
    static char bytes[STREAM_MAX];
    if (!p->asked || p->fin || !s->open || s->fin || s->reset || s->connecting || p->sent + n > STREAM_MAX)
        return;
    for (size_t k = 0; k < n; k++)
        bytes[k] = stream_byte(p->number, s->backend, p->sent + k);
    sim_push(s, slice_of(bytes, n));
    p->sent += n;
}

static void ask(unsigned i, bool raw)
{
    char text[200];
    if (players[i].asked)
        return;
    int n = snprintf(
        text, sizeof(text),
        "GET /%s HTTP/1.1\r\nHost: h\r\nX-Id: %u\r\nConnection: keep-alive, Upgrade\r\nUpgrade: bar, foo\r\n\r\n",
        raw ? "raw" : "chat", i);
    sim_push(&sim_socks[i], slice_of(text, (size_t)n));
    players[i].asked = true;
    players[i].raw = raw;
    players[i].number = (int)i;
}

static void answer(unsigned i, uint8_t how)
{
    struct player *p = &players[i];
    read_head(i);
    if (!p->head || p->asked || !sim_socks[i].open)
        return;
    fault |= tight && (how & 1); /* who cannot take an interim answer at once is not listening */
    if (how & 1)
        sim_push(&sim_socks[i], SLICE("HTTP/1.1 103 Early Hints\r\n\r\n"));
    if (how == 255) { /* refuses */
        fault = true;
        sim_push(&sim_socks[i], SLICE("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"));
        p->gone = true;
        return;
    }
    sim_push(&sim_socks[i], SLICE("HTTP/1.1 101 Yes\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n"));
    p->asked = true;
    send_stream(i, how >> 1);
}

static void finish(unsigned i)
{
    players[i].fin = true;
    sim_fin(&sim_socks[i]);
}

static void open_client(void)
{
    struct sim_sock *s = world_client();
    if (!s)
        return;
    players[sim_number(s)] = (struct player){ .number = -1 };
    world_accept(s, &listeners[0], SLICE("127.0.0.1"));
}

static void rare(uint8_t what, uint8_t arg)
{
    fault |= what % 5 != 0;
    world_rare(what, arg);
}

enum { OP_OPEN, OP_ASK, OP_ANSWER, OP_SEND, OP_FIN, OP_RST, OP_ROOM, OP_TIME, OP_RARE, OP_CONNECT, OPS };

static void one_op(uint8_t op, uint8_t who, uint8_t arg)
{
    unsigned i = sim_count ? who % sim_count : 0;
    bool backend = sim_count && sim_socks[i].backend;
    if (op % OPS == OP_OPEN)
        open_client();
    else if (op % OPS == OP_CONNECT)
        sim_next_connect = arg & 1 ? SIM_LATER : SIM_AT_ONCE;
    else if (op % OPS == OP_RARE)
        rare(who, arg);
    else if (op % OPS == OP_TIME)
        sim_now += arg;
    if (!sim_count)
        return;
    switch (op % OPS) {
    case OP_ASK:
        if (!backend)
            ask(i, arg & 1);
        return;
    case OP_ANSWER:
        if (backend)
            answer(i, arg);
        return;
    case OP_SEND:
        send_stream(i, arg < 200 ? arg : (size_t)(arg - 199) * 1500);
        return;
    case OP_FIN:
        fault |= !players[i].asked || !players[i].head; /* who closes before the answer is taken for gone */
        if (players[i].asked || (arg & 1))
            finish(i);
        return;
    case OP_RST:
        fault = true;
        sim_rst(&sim_socks[i], ECONNRESET);
        return;
    case OP_ROOM:
        turn(); /* an interim answer that is on its way still finds the room that there was */
        tight = true;
        sim_room(&sim_socks[i], arg == 255 ? SIM_ROOM : (size_t)arg * 40);
        turn(); /* room that is there does not shrink before it was seen */
        return;
    default:
        return;
    }
}

/* ---- the end ---- */

/* Every peer reads, answers and closes when it is told that the other has; no time passes that a deadline could see. */
static void settle(void)
{
    for (unsigned round = 0; round < 12; round++) {
        for (unsigned i = 0; i < sim_count; i++) {
            sim_connected(&sim_socks[i]);
            sim_room(&sim_socks[i], SIM_ROOM);
            if (sim_socks[i].backend)
                answer(i, 4);
        }
        turn();
        for (unsigned i = 0; i < sim_count && round > 6; i++)
            finish(i);
        turn();
    }
}

static void check_whole(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        int b = sim_socks[i].backend || !players[i].asked ? -1 : backend_of((int)i);
        if (b < 0)
            continue;
        CHECK(check_stream(i) == players[b].sent, "client %u got %zu bytes of %zu", i, check_stream(i),
              players[b].sent);
        /* with lingering_close off nothing is read of a client whose backend has closed */
        CHECK(check_stream((unsigned)b) == players[i].sent || players[i].raw, "backend %d got %zu bytes of %zu", b,
              check_stream((unsigned)b), players[i].sent);
        CHECK(!sim_socks[i].aborted && !sim_socks[b].aborted, "a clean end was made a reset");
    }
    CHECK(world_free(), "a tunnel that both sides have closed is still there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1500)
        return 0;
    world_begin();
    memset(players, 0, sizeof(players));
    fault = tight = false;
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
