/*
 * What parents may answer: anything, in any pieces, at any time, in the world of exchange_world.h.
 *
 * The first byte chooses a way (a port of the target names it) and whether the client asks for a tunnel or by GET; the
 * rest are steps: bytes of the parent's out of the input or out of what a good one would say, early bytes of the
 * client's, little room, time, ends. What must hold: a client hears 200 only when every hop has granted its part; until
 * then no byte of the client's behind its CONNECT reaches a parent; no credential ever reaches the client; a parent's
 * answer to a GET is never given before the GET was sent; and in the end everything is free.
 */
#define OWN_BLOCKS                                                                                                   \
    "  forward { listen 127.0.0.1:80; connect_ports all; proxy_via off; proxy_buffer_size 1k; proxy_buffers 3 1k;\n" \
    "    proxy_busy_buffers_size 1k;\n"                                                                              \
    "    acl a port 1; acl b port 2; acl c port 3; acl d port 4; acl e port 5; acl f port 6;\n"                      \
    "    parent http { server http://u:SECRET@127.0.0.1:11; }\n"                                                     \
    "    parent connect { server connect://u:SECRET@127.0.0.1:12; }\n"                                               \
    "    parent socks5 { server socks5://u:SECRET@127.0.0.1:13; }\n"                                                 \
    "    parent socks4 { server socks4a://SECRET@127.0.0.1:14; }\n"                                                  \
    "    parent mixed { server socks5://127.0.0.1:15 http://u:SECRET@h.test:1 socks4a://i.test:2; }\n"               \
    "    parent many { server socks5://127.0.0.1:16; server connect://127.0.0.1:17; server http://127.0.0.1:18 "     \
    "backup; }\n"                                                                                                    \
    "    route http a; route connect b; route socks5 c; route socks4 d; route mixed e; route many f; }\n"

#include "exchange_world.h"

#include "proxy/parent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned way;
static bool tunnel;

static const char early[] = "EARLY-BYTES";

/* ---- what must hold ---- */

static bool has(slice s, const char *text)
{
    return s.n && memmem(s.p, s.n, text, strlen(text));
}

static void check_client(const struct sim_sock *c, bool any_asked, bool guessed)
{
    slice out = strb_slice(&c->out);
    CHECK(guessed || (!has(out, "SECRET") && !has(out, "dTpTRUNSRVQ")), "a credential went to the client");
    CHECK(any_asked || !slice_starts(out, SLICE("HTTP/1.1 200")), "granted, and nobody was asked");
}

static void check(void)
{
    bool granted = false, asked = false, guessed = false; /* guessed: a parent says (a part of) the word itself */
    for (unsigned i = 0; i < sim_count; i++) {
        slice out = strb_slice(&sim_socks[i].out);
        if (!sim_socks[i].backend)
            granted = granted || slice_starts(out, SLICE("HTTP/1.1 200 Conn"));
        asked = asked || (sim_socks[i].backend && out.n);
        slice in = strb_slice(&sim_socks[i].in);
        guessed = guessed || (sim_socks[i].backend && (has(in, "SEC") || has(in, "dTp")));
    }
    for (unsigned i = 0; i < sim_count; i++) {
        if (!sim_socks[i].backend)
            check_client(&sim_socks[i], asked, guessed);
        else
            CHECK(granted || !tunnel || !has(strb_slice(&sim_socks[i].out), early), "early bytes went to parent %u", i);
    }
}

static void turn(void)
{
    world_turn(true);
    check();
}

/* ---- what peers do ---- */

static const slice good[] = {
    SLICE("\5\0"),
    SLICE("\5\2"),
    SLICE("\1\0"),
    SLICE("\5\0\0\1\0\0\0\0\0\0"),
    SLICE("\5\0\0\3\1x\0\0"),
    SLICE("\0\x5a\0\0\0\0\0\0"),
    SLICE("HTTP/1.1 200 OK\r\n\r\n"),
    SLICE("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    SLICE("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
    SLICE("HTTP/1.1 100 Continue\r\n\r\n"),
    SLICE("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"),
    SLICE("HTTP/1.1 101 x\r\n\r\n"),
    SLICE("\5\4\0\1\0\0\0\0\0\0"),
    SLICE("hello"),
};

static struct sim_sock *last_of(bool backend)
{
    for (unsigned i = sim_count; i-- > 0;) {
        if (sim_socks[i].backend == backend)
            return &sim_socks[i];
    }
    return NULL;
}

static bool can_send(const struct sim_sock *s)
{
    return s && s->open && !s->fin && !s->reset && !s->connecting;
}

static void open_client(void)
{
    char text[160];
    struct sim_sock *s = sim_new(false);
    world_accept(s, &listeners[0], SLICE("127.0.0.1"));
    int n = tunnel
                ? snprintf(text, sizeof(text), "CONNECT x.test:%u HTTP/1.1\r\nHost: x.test:%u\r\n\r\n", way, way)
                : snprintf(text, sizeof(text), "GET http://x.test:%u/ HTTP/1.1\r\nHost: x.test:%u\r\n\r\n", way, way);
    sim_push(s, slice_of(text, (size_t)n));
}

enum { OP_RAW, OP_GOOD, OP_EARLY, OP_FIN, OP_RST, OP_ROOM, OP_TIME, OP_CONNECT, OPS };

static size_t one_op(const uint8_t *p, size_t n)
{
    struct sim_sock *parent = last_of(true), *client = last_of(false);
    size_t take = 2;
    switch (p[0] % OPS) {
    case OP_RAW:
        take += p[1] < n - 2 ? p[1] : n - 2;
        if (can_send(parent) && take > 2)
            sim_push(parent, slice_of((const char *)p + 2, take - 2));
        break;
    case OP_GOOD:
        if (can_send(parent))
            sim_push(parent, good[p[1] % array_len(good)]);
        break;
    case OP_EARLY:
        if (can_send(client) && tunnel)
            sim_push(client, slice_str(early));
        break;
    case OP_FIN:
        if (can_send(p[1] & 1 ? client : parent))
            sim_fin(p[1] & 1 ? client : parent);
        break;
    case OP_RST:
        if (can_send(p[1] & 1 ? client : parent))
            sim_rst(p[1] & 1 ? client : parent, ECONNRESET);
        break;
    case OP_ROOM:
        if (parent && parent->open)
            sim_room(parent, p[1] == 255 ? SIM_ROOM : p[1]);
        sim_next_room = p[1] == 255 ? SIM_ROOM : p[1];
        break;
    case OP_TIME:
        sim_now += (uint64_t)p[1] * 100;
        break;
    case OP_CONNECT:
        sim_next_connect = (enum sim_connect)(p[1] % 3);
        if (parent && parent->connecting && (p[1] & 8))
            sim_connected(parent);
        break;
    }
    return take;
}

/* ---- the world ---- */

static void begin(void)
{
    world_begin();
    const struct listener_conf *l = listeners[0].conf;
    const struct parent_conf *c = conf_get(l->default_server->base->conf, &parent_feature);
    for (const struct parent *p = c->routes->parents; p; p = p->next) {
        forget_failures(&p->upstream->primary);
        forget_failures(&p->upstream->backup);
    }
}

static void end(void)
{
    world_wait(20000);
    proxy_room.drain(&w);
    loop_reap_now(&w.loop);
    world_check_free();
    world_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 2000)
        return 0;
    way = 1 + data[0] % 6;
    tunnel = data[0] & 0x80;
    begin();
    open_client();
    turn();
    for (data++, size--; size >= 2;) {
        bool wait = data[0] & 0x80;
        size_t n = one_op(data, size);
        data += n;
        size -= n;
        if (!wait)
            turn();
    }
    turn();
    end();
    return 0;
}
