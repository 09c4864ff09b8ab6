/*
 * Whole connections of clients over HTTP/2, whose frames the input scripts, with backends that answer simply.
 *
 * From the event loop up everything is the real thing, as in fuzz_exchange.c. Clients send heads of all kinds, DATA,
 * every other frame with any numbers, and raw bytes; they close, break off and stop reading; time passes, reloads come.
 * What must hold is in h2_script.h for what we write, and in the end everything is free.
 */
#define MORE_LOCATIONS                                                                                           \
    "    location /buffered { client_max_body_size 5000; client_body_buffer_size 1k; proxy_pass http://one; }\n" \
    "    http2 on; http2_idle_ping 20s; http2_max_concurrent_streams 5; http2_body_preread_size 2k;\n"           \
    "    keepalive_requests 30; http2_chunk_size 2k;\n"                                                          \
    "    proxy_connect; proxy_connect_allow all; proxy_connect_address 127.0.0.1:3;\n"

#include "h2_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool answered[SIM_SOCKS];

static const char *const paths[] = {
    "/own", "/stream", "/flow", "/buffered", "/none", "/trail", "/asked", "/", "*", ""
};

static void greet(void)
{
    struct sim_sock *s = open_client();
    if (!s)
        return;
    peer_begin(&peers[sim_number(s)], false);
    sim_push(s, H2_PREFACE);
    say_frame(s, H2_SETTINGS, 0, 0, SLICE_NONE);
}

/* A head, mostly a good one. */
static void say_head(unsigned i, uint8_t how, uint8_t what)
{
    struct h2_peer *p = &peers[i];
    static char b[2000];
    char *at = b;
    uint32_t stream = how & 0x40 ? (uint32_t)(what % 16) : p->next;
    unsigned flags = how & 0x20 ? 0 : H2_END_HEADERS;
    if (how & 1)
        flags |= H2_END_STREAM;
    if (!(how & 0x40))
        p->next += 2;
    if (stream > p->highest && (stream & 1))
        p->highest = stream;
    if ((how & 0x1e) == 0x1e) {
        at = put_field(at, ":method", "CONNECT");
        at = put_field(at, ":authority", "h:443");
    } else if ((how & 0x1e) == 0x1c) { /* trailers, or no request */
        at = put_field(at, "x-trailer", "1");
    } else {
        at = put_field(at, ":method", how & 2 ? "POST" : how & 4 ? "HEAD" : "GET");
        at = put_field(at, ":scheme", "http");
        at = put_field(at, ":path", paths[what % array_len(paths)]);
        at = put_field(at, ":authority", "h");
        if (how & 8)
            at = put_field(at, "content-length", what & 1 ? "100" : "70000");
        if (how & 0x10)
            at = put_field(at, "expect", "100-continue");
        if (what & 0x80)
            at = put_field(at, what & 0x40 ? "Upper" : "x-more", what & 0x20 ? "a\nb" : "v");
    }
    say_frame(&sim_socks[i], H2_HEADERS, flags, stream, slice_of(b, (size_t)(at - b)));
}

static void say_data(unsigned i, uint8_t stream, uint8_t arg)
{
    static char zeros[SCRIPT_MAX];
    size_t n = arg < 200 ? arg : (size_t)(arg - 199) * 250;
    zeros[0] = (char)(arg & 0x20 ? arg : 0);
    say_frame(&sim_socks[i], H2_DATA,
              (arg & 7) == 7   ? H2_END_STREAM
              : (arg & 7) == 6 ? H2_PADDED
                               : 0,
              stream & 1 ? peers[i].next - 2 : stream % 32, slice_of(zeros, n));
}

static void answer(unsigned i, uint8_t how)
{
    static char body[40000];
    struct sim_sock *s = &sim_socks[i];
    if (!s->open || s->fin || s->reset)
        return;
    if (s->connecting) {
        sim_connected(s);
        return;
    }
    if (answered[i] || (how & 0xf0) == 0xf0) { /* goes on */
        sim_push(s, slice_of(body, (size_t)how * 50));
        return;
    }
    if (!s->out.n)
        return;
    answered[i] = how & 1;
    if (how & 2)
        sim_push(s, SLICE("HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"));
    if (how & 4) {
        sim_push(s, SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"));
    } else {
        sim_push(s, SLICE("HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n"));
        sim_push(s, slice_of(body, how & 1 ? (size_t)how * 100 : sizeof(body)));
    }
}

enum {
    OP_OPEN,
    OP_HEAD,
    OP_DATA,
    OP_FRAME,
    OP_RAW,
    OP_WINDOW,
    OP_SETTING,
    OP_ANSWER,
    OP_END,
    OP_ROOM,
    OP_TIME,
    OP_RARE,
    OP_RESET,
    OPS
};

static void say_any(unsigned i, uint8_t type, uint8_t arg, slice more)
{
    struct h2_peer *p = &peers[i];
    uint32_t stream = arg & 1 ? p->next - 2 : arg & 2 ? 0 : arg / 4;
    if (type % 12 == H2_WINDOW_UPDATE || type % 12 == H2_SETTINGS || type % 12 == H2_HEADERS)
        type = H2_PING; /* these are counted elsewhere */
    if (type % 12 == H2_CONTINUATION || type % 12 == H2_DATA)
        stream = p->next - 2;
    say_frame(&sim_socks[i], type % 12,
              arg & 8    ? H2_ACK
              : arg & 16 ? H2_END_HEADERS
                         : 0,
              stream, slice_upto(more, type % 12 == 6 ? 8 : arg % 12));
}

static void client_op(uint8_t op, unsigned i, uint8_t arg, slice more)
{
    static const uint32_t steps[] = { 0, 1, 100, 5000, 70000, 1u << 20, H2_WINDOW_MAX, 16384 };
    struct h2_peer *p = &peers[i];
    struct sim_sock *s = &sim_socks[i];
    if (!s->open || s->fin || s->reset)
        return;
    switch (op) {
    case OP_HEAD:
        say_head(i, arg, more.n ? (uint8_t)more.p[0] : 0);
        return;
    case OP_DATA:
        say_data(i, more.n ? (uint8_t)more.p[0] : 1, arg);
        return;
    case OP_FRAME:
        say_any(i, arg & 15, arg >> 2, more);
        return;
    case OP_RAW:
        p->window = p->streams[0] = INT64_MAX / 2; /* whatever it says about windows */
        for (int k = 0; k < STREAMS; k++)
            p->streams[k] = INT64_MAX / 2;
        p->highest = H2_STREAM_MAX;
        sim_push(s, slice_upto(more, arg));
        return;
    case OP_WINDOW:
        say_window(p, s, arg & 1 ? 0 : p->next - 2 - (arg & 2), steps[arg / 4 % 8]);
        return;
    case OP_SETTING:
        say_initial_window(p, s, steps[arg % 8]);
        return;
    case OP_RESET:
        say_u32(s, H2_RST_STREAM, p->next - 2 - 2 * (arg & 3), arg >> 4);
        return;
    default:
        return;
    }
}

static void one_op(uint8_t op, uint8_t who, uint8_t arg, slice more)
{
    unsigned i = sim_count ? who % sim_count : 0;
    if (op % OPS == OP_OPEN)
        greet();
    else if (op % OPS == OP_TIME) {
        sim_now += (uint64_t)arg * 20;
        sim_next_connect = who % 3;
    } else if (op % OPS == OP_RARE)
        world_rare(who, arg);
    if (!sim_count)
        return;
    if (op % OPS == OP_END) {
        if (arg & 1)
            sim_fin(&sim_socks[i]);
        else
            sim_rst(&sim_socks[i], ECONNRESET);
    } else if (op % OPS == OP_ROOM) {
        sim_room(&sim_socks[i], arg == 255 ? SIM_ROOM : (size_t)arg * 40);
        turn();
    } else if (op % OPS == OP_ANSWER) {
        for (unsigned k = 0; k < sim_count; k++) {
            if (sim_socks[k].backend)
                answer(k, arg);
        }
    } else if (!sim_socks[i].backend) {
        client_op(op % OPS, i, arg, more);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2000)
        return 0;
    begin();
    memset(answered, 0, sizeof(answered));
    greet();
    for (; size >= 3; data += 3, size -= 3) {
        one_op(data[0] & 0x7f, data[1], data[2], slice_of((const char *)data + 3, size - 3));
        if (!(data[0] & 0x80))
            turn();
    }
    turn();
    end();
    return 0;
}
