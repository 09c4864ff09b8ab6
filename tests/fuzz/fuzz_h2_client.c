/*
 * Whole connections to backends over HTTP/2, whose frames the input scripts, for requests of ordinary clients.
 *
 * From the event loop up everything is the real thing, as in fuzz_exchange.c. Backends answer heads of all kinds,
 * interim and final ones, DATA, trailers, every other frame with any numbers, and raw bytes; they refuse, leave and
 * break off. What must hold is in h2_script.h for what we write; clients get answers of HTTP/1 that begin as such; in
 * the end everything is free.
 */
#define MORE_LOCATIONS                                                                                                \
    "    location /h2 { proxy_http_version 2; proxy_http2_idle_ping 20s; proxy_pass http://two; }\n"                  \
    "    location /h2/flow { proxy_http_version 2; proxy_pass http://one; proxy_buffering off; proxy_buffer_size 4k;" \
    " proxy_request_buffering off; proxy_pass_trailers on; }\n"                                                       \
    "    location /h2/next { proxy_http_version 2; proxy_pass http://rest; proxy_next_upstream error timeout "        \
    "http_503 non_idempotent; }\n"

#include "h2_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(uint8_t how)
{
    static const char *const paths[] = { "/h2", "/h2/flow", "/h2/next", "/h2/x?y" };
    static char b[40200];
    struct sim_sock *s = open_client();
    size_t body = how & 4 ? how & 8 ? 40000 : 100 : 0;
    if (!s)
        return;
    int n = snprintf(b, 200, "%s %s HTTP/1.1\r\nHost: h\r\nConnection: TE\r\nTE: trailers\r\n",
                     body       ? "POST"
                     : how & 16 ? "HEAD"
                                : "GET",
                     paths[how & 3]);
    if (body)
        n += snprintf(b + n, 100, "Content-Length: %zu\r\n", body);
    n += snprintf(b + n, 3, "\r\n");
    sim_push(s, slice_of(b, (size_t)n + (how & 32 ? body / 2 : body)));
}

/* The stream that is meant: one of those that were asked for, or any. */
static uint32_t which(const struct h2_peer *p, uint8_t arg)
{
    uint32_t back = 2 * (arg & 3u);
    return arg & 0x80 ? arg & 31 : p->highest > back ? p->highest - back : p->highest;
}

static void say_head(unsigned i, uint8_t how, uint8_t arg)
{
    static const char *const statuses[] = { "200", "103", "204", "404", "503", "101", "20", "100" };
    static char b[SCRIPT_MAX];
    char *at = b;
    unsigned flags = how & 0x40 ? 0 : H2_END_HEADERS;
    if (how & 1)
        flags |= H2_END_STREAM;
    if ((how & 0x0e) != 0x0e) /* else: trailers */
        at = put_field(at, ":status", statuses[how >> 1 & 7]);
    if (how & 0x10)
        at = put_field(at, "content-length", how & 0x20 ? "3000" : "0");
    if ((arg & 0x70) == 0x10)
        at = put_field(at, "connection", "close");
    for (int k = 0; (arg & 0x70) == 0x20 && k < 1200; k++)
        at = put_field(at, "a", "b");
    if ((arg & 0x70) == 0x30)
        at = put_field(at, "location", "http://two/x");
    say_frame(&sim_socks[i], H2_HEADERS, flags, which(&peers[i], arg), slice_of(b, (size_t)(at - b)));
}

static void say_any(unsigned i, uint8_t type, uint8_t arg, slice more)
{
    if (type == H2_WINDOW_UPDATE || type == H2_SETTINGS || type == H2_HEADERS || type == H2_DATA)
        type = H2_PING;
    say_frame(&sim_socks[i], type,
              arg & 64   ? H2_ACK
              : arg & 32 ? H2_END_HEADERS
                         : 0,
              type == H2_PING || type == H2_GOAWAY ? 0 : which(&peers[i], arg),
              slice_upto(more, type == H2_PING ? 8 : arg % 12));
}

enum {
    OP_ASK,
    OP_HEAD,
    OP_DATA,
    OP_FRAME,
    OP_RAW,
    OP_WINDOW,
    OP_SETTING,
    OP_GREET,
    OP_END,
    OP_ROOM,
    OP_TIME,
    OP_RARE,
    OP_RESET,
    OP_CONNECT,
    OP_GOAWAY,
    OPS
};

static void backend_op(uint8_t op, unsigned i, uint8_t arg, slice more)
{
    static const uint32_t steps[] = { 0, 1, 100, 5000, 70000, 1u << 20, H2_WINDOW_MAX, 16384 };
    static char zeros[SCRIPT_MAX];
    struct h2_peer *p = &peers[i];
    struct sim_sock *s = &sim_socks[i];
    char b[8];
    if (!s->open || s->fin || s->reset || s->connecting)
        return;
    switch (op) {
    case OP_GREET:
        say_frame(s, H2_SETTINGS, arg & 1, 0, SLICE_NONE);
        return;
    case OP_HEAD:
        say_head(i, arg, more.n ? (uint8_t)more.p[0] : 0);
        return;
    case OP_DATA:
        say_frame(s, H2_DATA, arg & 3 ? 0 : H2_END_STREAM, which(p, more.n ? (uint8_t)more.p[0] : 0),
                  slice_of(zeros, arg < 200 ? arg * 10u : (arg - 199u) * 290));
        return;
    case OP_FRAME:
        say_any(i, (arg & 15) % 12, more.n ? (uint8_t)more.p[0] : 0, slice_from(more, more.n > 0));
        return;
    case OP_RAW:
        p->window = INT64_MAX / 2;
        for (int k = 0; k < STREAMS; k++)
            p->streams[k] = INT64_MAX / 2;
        sim_push(s, slice_upto(more, arg));
        return;
    case OP_WINDOW:
        say_window(p, s, arg & 1 ? 0 : which(p, arg >> 6), steps[arg / 4 % 8]);
        return;
    case OP_SETTING:
        say_initial_window(p, s, steps[arg % 8]);
        return;
    case OP_RESET:
        say_u32(s, H2_RST_STREAM, which(p, arg & 0x83), arg >> 2 & 15);
        return;
    case OP_GOAWAY:
        h2_put_u32(h2_put_u32(b, which(p, arg & 3)), arg >> 4);
        say_frame(s, H2_GOAWAY, 0, 0, slice_of(b, 8));
        return;
    default:
        return;
    }
}

static void meet(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        const struct strb *out = &sim_socks[i].out;
        if (sim_socks[i].backend && !peers[i].on)
            peer_begin(&peers[i], true);
        else if (!sim_socks[i].backend && out->n)
            CHECK(slice_starts(strb_slice((struct strb *)out), slice_upto(SLICE("HTTP/1.1 "), out->n)), "no answer");
    }
}

static void one_op(uint8_t op, uint8_t who, uint8_t arg, slice more)
{
    unsigned i = sim_count ? who % sim_count : 0;
    op %= OPS;
    if (op == OP_ASK)
        ask(arg);
    else if (op == OP_TIME)
        sim_now += (uint64_t)arg * 20;
    else if (op == OP_RARE)
        world_rare(who, arg);
    else if (op == OP_CONNECT)
        sim_next_connect = arg % 3;
    if (!sim_count)
        return;
    if (op == OP_END) {
        if (arg & 1)
            sim_fin(&sim_socks[i]);
        else
            sim_rst(&sim_socks[i], ECONNRESET);
    } else if (op == OP_ROOM) {
        sim_room(&sim_socks[i], arg == 255 ? SIM_ROOM : (size_t)arg * 40);
        turn();
    } else if (op == OP_CONNECT) {
        sim_connected(&sim_socks[i]);
    } else if (sim_socks[i].backend) {
        backend_op(op, i, arg, more);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2000)
        return 0;
    begin();
    for (; size >= 3; data += 3, size -= 3) {
        one_op(data[0] & 0x7f, data[1], data[2], slice_of((const char *)data + 3, size - 3));
        if (!(data[0] & 0x80))
            turn();
        meet();
    }
    turn();
    meet();
    end();
    return 0;
}
