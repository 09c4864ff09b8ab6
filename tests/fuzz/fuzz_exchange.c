/*
 * Whole exchanges between clients and backends that the input scripts.
 *
 * Everything from the event loop up is the real thing: timers, run queue, pipes, HTTP/1 ends, step machine, pools, and
 * generations compiled from a configuration. Below it lies a kernel in memory (sim.h). The input is a list of
 * operations: who sends what, up to which byte, who closes or resets, how much may be written, how a connect ends, when
 * time passes, a reload, a shortage of memory, when a job of the pool is done and in which order, how the disk is.
 *
 * What must hold, whatever happens: every request that a backend got and every answer that a client got is canonical,
 * and its body is the right one (exchange_check.h); an answer that is not whole ends in a cut connection; a POST is not
 * sent twice; every exchange runs its on_end once; when peers are gone, or just when time passes, every exchange,
 * connection, page and queued byte is free again. And when nothing went wrong, every request is answered without any
 * deadline having to help.
 *
 * A few files, made once in a directory of memory, are answers too: whole, in ranges, compressed, out of a cache.
 *
 * EXCHANGE_TRACE=1 in the environment prints what goes over the wires.
 */
#include <sys/stat.h>

#define PREFIX "/dev/shm/hinge-fuzz_exchange"
#define MORE_LOCATIONS                                                                                                 \
    "    location ~ ^/file/(f(\\d+))$ { alias f/$1; add_header X-Ans $2; }\n"                                          \
    "    location ~ ^/kept/(f(\\d+))$ { alias f/$1; add_header X-Ans $2; open_file_cache max=2 inactive=5s; "          \
    "open_file_cache_errors on;\n"                                                                                     \
    "      max_ranges 2; etag off; }\n"                                                                                \
    "    location ~ ^/zip/(f(\\d+))$ { alias f/$1; add_header X-Ans $2; gzip on; gzip_types *; gzip_min_length 1; }\n" \
    "    location /list/ { alias f/; autoindex on; gzip on; gzip_min_length 1; }\n"                                    \
    "    location /try { root f; try_files /none $uri /file/f102; }\n"                                                 \
    "    location /zipped { gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; proxy_pass http://two; }\n"    \
    "    location /zipflow { gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any; gzip_comp_level 9; "          \
    "proxy_buffering off;\n"                                                                                           \
    "      proxy_buffer_size 4k; proxy_pass http://one; }\n"                                                           \
    "    location /ranges { proxy_force_ranges on; proxy_pass http://two; }\n"
#include "exchange_check.h"
#include "exchange_texts.h"
#include "exchange_world.h"

#include "policy/files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what was made, and what was seen ---- */

enum { MADE_MAX = 100, MADE_PER_CLIENT = 40, PER_SOCK = 512 };

/* The numbers of files are those behind MADE_MAX. Some are read and some are sent by the kernel. */
static const size_t file_sizes[] = { 0, 1, 1000, 20000, 30000, 150000 };
enum { FILES = array_len(file_sizes) };

struct made_request {
    const char *method;
    size_t body;
    bool repeatable; /* may be sent to backends more than once */
    unsigned sightings;
};

struct made_answer {
    int request;
    size_t body;
};

/* What stands behind a socket of the same index. */
struct player {
    struct strb todo; /* to be sent */
    size_t at;
    bool raw;      /* sent bytes of the input's own */
    bool fin_next; /* ends when everything was sent: a body until close */
    bool tight;    /* could not always write */
    bool interims;
    unsigned made;  /* requests by a client, answers by a backend */
    unsigned n;     /* exchanges of a client, request heads that a backend got */
    unsigned whole; /* of these, requests that a backend got whole */
    int numbers[PER_SOCK];
    bool heads[PER_SOCK]; /* HEAD */
    size_t parsed;        /* of a backend's input */
};

static struct made_request requests[MADE_MAX];
static struct made_answer answers[MADE_MAX + FILES];
static unsigned nrequests, nanswers;
static struct player players[SIM_SOCKS];
static bool raw_clients, raw_backends, fault;
static bool jobs_wait; /* for the script: else each is done at once */

static int number_of(const struct exchange *x)
{
    const struct field *f = fields_named(&x->req.fields, SLICE("X-Id"));
    uint64_t v;
    return f && f->value.n < 5 && slice_to_u64(f->value, &v) == OK ? (int)v : -1;
}

static void note_exchange(struct exchange *x)
{
    struct player *p = &players[x->client->fd - SIM_FD];
    if (x->parent) /* of no client */
        return;
    CHECK(p->n < PER_SOCK, "too many exchanges for the test");
    p->numbers[p->n] = number_of(x);
    p->heads[p->n++] = x->req.method == METHOD_HEAD;
}

static slice unread_out(unsigned i, size_t at)
{
    return slice_from(strb_slice(&sim_socks[i].out), at);
}

/* Reads what a backend got since the last time. */
static void scan_backend(unsigned i)
{
    struct player *p = &players[i];
    for (;;) {
        struct wire_msg m;
        slice in = unread_out(i, p->parsed);
        wire_read(in, false, false, !raw_clients, &m);
        if (m.head_done && p->n == p->whole) {
            CHECK(p->n < PER_SOCK, "too many requests for the test");
            p->numbers[p->n] = m.number;
            p->heads[p->n++] = strcmp(m.method, "HEAD") == 0;
            struct made_request *r = raw_clients || m.number < 0 ? NULL : &requests[m.number];
            if (r && strcmp(r->method, m.method) == 0) { /* else error_page has made a GET of it */
                CHECK(++r->sightings == 1 || r->repeatable, "request %d is sent twice", m.number);
            }
        }
        if (!m.complete || !in.n)
            return;
        if (!raw_clients && m.number >= 0)
            CHECK(m.body == requests[m.number].body || m.body == 0, "body %d has %zu bytes", m.number, m.body);
        p->whole++;
        p->parsed += m.used;
    }
}

/* How many final answers a client got whole; *last: the last of them closes. */
static unsigned check_client(unsigned i, bool *last)
{
    const struct player *p = &players[i];
    const struct sim_sock *s = &sim_socks[i];
    size_t at = 0;
    unsigned k = 0;
    *last = false;
    while (at < s->out.n) {
        struct wire_msg m;
        CHECK(!*last, "bytes behind the last answer");
        wire_read(unread_out(i, at), true, k < p->n && p->heads[k], !raw_backends, &m);
        if (m.head_done && m.status >= 200) {
            CHECK(k < p->n, "an answer without a request");
            *last = m.close;
        }
        bool known = m.head_done && m.status >= 200 && !raw_backends && m.number >= 0;
        if (known && !raw_clients && answers[m.number].request >= 0) /* else it was sent before it was asked for */
            CHECK(answers[m.number].request == p->numbers[k], "the answer to request %d went to request %d",
                  answers[m.number].request, p->numbers[k]);
        if (!m.complete)
            break;
        size_t expected = known && m.framing != WIRE_NONE ? answers[m.number].body : m.body;
        if (known && m.ranged) {
            CHECK(m.total == answers[m.number].body, "a range of %zu bytes, not %zu", m.total, answers[m.number].body);
            expected = m.framing != WIRE_NONE ? m.stop - m.start : m.body;
        } else if (m.parts) {
            expected = m.body;
        }
        CHECK(m.body == expected || (m.framing == WIRE_CLOSE && (s->aborted || s->reset || s->open)),
              "a clean end of answer %d behind %zu bytes", m.number, m.body);
        at += m.used;
        k += m.status >= 200;
    }
    return k;
}

/* ---- making messages ---- */

static void make_request(unsigned client, uint8_t how, uint8_t where, uint8_t what)
{
    struct player *p = &players[client];
    const char *method = methods[how & 7], *path = paths[where % array_len(paths)];
    size_t n = sizes[what & 15];
    bool old = what & 0x40, chunked = (what & 0x10) && !old, asks = (what & 0x20) && (n || chunked);
    int number = (int)nrequests;
    if (nrequests == MADE_MAX || p->made == MADE_PER_CLIENT)
        return;
    bool idempotent = (how & 7) != 1 && (how & 7) != 6;
    requests[nrequests++] =
        (struct made_request){ .method = method, .body = n, .repeatable = idempotent || strcmp(path, "/spill") == 0 };
    p->made++;
    p->interims |= asks;
    strb_printf(&p->todo, "%s %s HTTP/1.%d\r\nHost: h\r\nX-Id: %d\r\n", method, path, !old, number);
    if (what & 0x80)
        strb_printf(&p->todo, "Connection: %s\r\n", old ? "keep-alive" : "close");
    if ((how & 0x80) && !(what & 0x80))
        strb_lit(&p->todo, "TE: trailers\r\nConnection: TE\r\n");
    strb_add(&p->todo, slice_str(wishes[how >> 3 & 7]));
    if (chunked)
        strb_lit(&p->todo, "Transfer-Encoding: chunked\r\n");
    else if (n)
        strb_printf(&p->todo, "Content-Length: %zu\r\n", n);
    if (asks)
        strb_lit(&p->todo, "Expect: 100-continue\r\n");
    strb_lit(&p->todo, "\r\n");
    add_body(&p->todo, number, n, chunked, how & 0x40);
}

static void add_interims(struct player *p, uint8_t how)
{
    if (how & 0x10)
        strb_lit(&p->todo, "HTTP/1.1 100 Continue\r\n\r\n");
    if (how & 0x08)
        strb_lit(&p->todo, "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n");
    for (unsigned i = 0; (how & 0x08) && i < sim_count; i++)
        players[i].interims = true;
}

static void make_answer(unsigned backend, uint8_t how, uint8_t what)
{
    static const unsigned statuses[8] = { 200, 201, 204, 304, 404, 500, 503, 302 };
    struct player *p = &players[backend];
    scan_backend(backend);
    if (p->made >= p->whole)
        fault = true; /* comes too early, or nobody asked */
    if (nanswers == MADE_MAX || p->fin_next)
        return;
    bool head = p->made < p->n && p->heads[p->made], old = how & 0x20;
    unsigned status = statuses[how & 7], framing = what >> 4 & 3;
    size_t n = sizes[what & 15];
    int number = (int)nanswers;
    bool chunked = framing == 1 && !old;
    bool empty = status == 204 || status == 304, bodiless = head || empty;
    answers[nanswers++] =
        (struct made_answer){ .request = p->made < p->n ? p->numbers[p->made] : -1, .body = empty ? 0 : n };
    p->made++;
    add_interims(p, how);
    strb_printf(&p->todo, "HTTP/1.%d %u Some Reason\r\nX-Ans: %d\r\nX-Other: \r\n", !old, status, number);
    if (status == 302)
        strb_lit(&p->todo, "Location: http://one/other/place\r\n");
    if (how & 0x40)
        strb_lit(&p->todo, "Connection: close\r\n");
    if (!chunked && framing != 2 && status != 204)
        strb_printf(&p->todo, "Content-Length: %zu\r\n", n);
    if (chunked && status != 204)
        strb_lit(&p->todo, "Transfer-Encoding: chunked\r\n");
    strb_lit(&p->todo, "\r\n");
    if (!bodiless)
        add_body(&p->todo, number, n, chunked, how & 0x80);
    p->fin_next = !bodiless && !chunked && framing == 2;
}

/* ---- moving ---- */

static void deliver(unsigned i, size_t n)
{
    struct player *p = &players[i];
    struct sim_sock *s = &sim_socks[i];
    slice left = slice_from(strb_slice(&p->todo), p->at);
    if (!s->open || s->fin || s->reset)
        return;
    sim_push(s, slice_upto(left, n));
    if (s->connecting)
        return;
    p->at += n < left.n ? n : left.n;
    if (p->fin_next && p->at == p->todo.n)
        sim_fin(s);
}

static void deliver_all(void)
{
    for (unsigned i = 0; i < sim_count; i++)
        deliver(i, SIZE_MAX);
}

static void turn(void)
{
    world_turn(!jobs_wait);
}

static void pass_time(uint64_t ms)
{
    sim_now += ms;
    turn();
}

static void open_client(uint8_t how)
{
    struct listener *l = &listeners[how & 1];
    struct sim_sock *s = !l->conf || w.draining ? NULL : sim_new(false);
    if (!s)
        return;
    world_accept(s, l, how & 2 ? SLICE("::1") : SLICE("127.0.0.1"));
}

/* ---- the script ---- */

struct script {
    const uint8_t *p;
    size_t n;
};

static uint8_t next_byte(struct script *in)
{
    if (!in->n)
        return 0;
    in->n--;
    return *in->p++;
}

/* The k-th socket of a kind, counted modulo how many there are; -1: there is none. */
static int pick(struct script *in, bool backend)
{
    unsigned n = 0, k = next_byte(in);
    for (unsigned i = 0; i < sim_count; i++)
        n += sim_socks[i].backend == backend;
    if (!n)
        return -1;
    k = n - 1 - k % n; /* 0: the newest */
    for (unsigned i = 0;; i++) {
        if (sim_socks[i].backend == backend && k-- == 0)
            return (int)i;
    }
}

static void raw_bytes(struct script *in, unsigned i)
{
    size_t n = next_byte(in);
    if (n > in->n)
        n = in->n;
    players[i].raw = true;
    if (sim_socks[i].backend)
        raw_backends = fault = true;
    else
        raw_clients = true;
    strb_add(&players[i].todo, slice_of((const char *)in->p, n));
    in->p += n;
    in->n -= n;
}

static void set_room(unsigned i, uint8_t class)
{
    players[i].tight = true;
    sim_room(&sim_socks[i], class == 255 ? SIM_ROOM : class < 128 ? class : (size_t)(class - 127) * 1000);
}

/* A FIN would make a body until close whole: such a one breaks off by a reset. */
static void peer_fin(unsigned i)
{
    if (players[i].fin_next)
        sim_rst(&sim_socks[i], ECONNRESET);
    else
        sim_fin(&sim_socks[i]);
}

enum { PEER_SENDS, PEER_FIN, PEER_RST, PEER_ROOM, PEER_RAW, PEER_OPS };

static void peer_op(struct script *in, unsigned op, int i)
{
    uint8_t arg;
    if (i < 0)
        return;
    switch (op) {
    case PEER_SENDS:
        arg = next_byte(in);
        deliver((unsigned)i, arg == 255 ? SIZE_MAX : arg < 200 ? arg : (size_t)(arg - 199) * 1500);
        return;
    case PEER_FIN:
        fault = true;
        peer_fin((unsigned)i);
        return;
    case PEER_RST:
        fault = true;
        sim_rst(&sim_socks[i], ECONNRESET);
        return;
    case PEER_ROOM:
        set_room((unsigned)i, next_byte(in));
        return;
    case PEER_RAW:
        raw_bytes(in, (unsigned)i);
        return;
    }
}

static void connect_op(struct script *in)
{
    uint8_t how = next_byte(in);
    sim_next_connect = how & 1 ? SIM_LATER : how & 2 ? SIM_REFUSED : SIM_AT_ONCE;
    fault |= sim_next_connect == SIM_REFUSED;
    sim_next_room = how & 4 ? how >> 3 : SIM_ROOM;
}

static void connected_op(struct script *in)
{
    int i = pick(in, true);
    bool well = next_byte(in) & 1;
    if (i < 0 || !sim_socks[i].connecting)
        return;
    fault |= !well;
    if (well)
        sim_connected(&sim_socks[i]);
    else
        sim_rst(&sim_socks[i], ECONNREFUSED);
}

static void time_op(struct script *in)
{
    uint8_t how = next_byte(in);
    fault |= how >= 64;
    pass_time(how < 64 ? how : (uint64_t)(how - 63) * 1000);
}

static void rare_op(struct script *in)
{
    uint8_t what = next_byte(in), arg;
    switch (what % 5) {
    case 0:
        if (!w.draining)
            world_take(w.gen == &refs[0] ? 1 : 0);
        return;
    case 1:
        fault = true;
        world_drain();
        return;
    case 2:
        arg = next_byte(in);
        fault = true;
        w.budget.limit = (size_t)(arg + 1) * 700;
        return;
    case 3:
        fault = true;
        world_cut(&refs[what >> 7]);
        return;
    case 4:
        fault = true; /* descriptors run out */
        for (unsigned n = next_byte(in) & 31; n; n--) {
            struct sim_sock *s = sim_new(true);
            if (s)
                s->open = false;
        }
        return;
    }
}

/* The script's jobs: one is done; the disk or the queue is full from now on, or not any more. */
static void job_op(struct script *in)
{
    uint8_t what = next_byte(in);
    switch (what & 3) {
    case 0:
    case 1:
        do_job(what >> 2);
        return;
    case 2:
        sim_disk = next_byte(in);
        return;
    case 3:
        job_pool_set(0, what >> 2);
        return;
    }
}

enum {
    OP_CLIENT,
    OP_REQUEST,
    OP_ANSWER,
    OP_CONNECT,
    OP_CONNECTED,
    OP_TIME,
    OP_RARE,
    OP_CLIENT_PEER,
    OP_BACKEND_PEER = OP_CLIENT_PEER + PEER_OPS,
    OPS = OP_BACKEND_PEER + PEER_OPS
};
enum { OP_MASK = 0x3f, OP_JOB = OP_MASK, OP_HOLD = 0x40, OP_NO_TURN = 0x80 };

static void one_op(struct script *in)
{
    uint8_t b = next_byte(in);
    unsigned op = (b & OP_MASK) == OP_JOB ? OP_JOB : (b & OP_MASK) % OPS;
    int i;
    uint8_t x, y, z;
    switch (op) {
    case OP_CLIENT:
        open_client(next_byte(in));
        break;
    case OP_REQUEST:
        i = pick(in, false), x = next_byte(in), y = next_byte(in), z = next_byte(in);
        if (i >= 0)
            make_request((unsigned)i, x, y, z);
        break;
    case OP_ANSWER:
        i = pick(in, true), x = next_byte(in), y = next_byte(in);
        if (i >= 0)
            make_answer((unsigned)i, x, y);
        break;
    case OP_CONNECT:
        connect_op(in);
        break;
    case OP_CONNECTED:
        connected_op(in);
        break;
    case OP_TIME:
        time_op(in);
        break;
    case OP_RARE:
        rare_op(in);
        break;
    case OP_JOB:
        job_op(in);
        break;
    default:
        if (op < OP_BACKEND_PEER)
            peer_op(in, op - OP_CLIENT_PEER, pick(in, false));
        else
            peer_op(in, op - OP_BACKEND_PEER, pick(in, true));
    }
    if (!(b & OP_HOLD))
        deliver_all();
    if (!(b & OP_NO_TURN))
        turn();
}

/* ---- the end ---- */

static uint64_t all_moved(void)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < sim_count; i++)
        n += sim_socks[i].out.n + sim_socks[i].in_at + players[i].at + sim_socks[i].open;
    return n;
}

/* Every peer does its duty, and no deadline is reached. */
static void settle(void)
{
    uint64_t before = 0;
    jobs_wait = false;
    for (unsigned still = 0; still < 5; still++) {
        for (unsigned i = 0; i < sim_count; i++) {
            struct sim_sock *s = &sim_socks[i];
            sim_connected(s);
            sim_room(s, SIM_ROOM);
            if (!s->backend)
                continue;
            scan_backend(i);
            while (s->open && !players[i].raw && players[i].made < players[i].whole && nanswers < MADE_MAX &&
                   !players[i].fin_next)
                make_answer(i, 0, 4);
        }
        deliver_all();
        pass_time(16);
        if (all_moved() != before)
            still = 0;
        before = all_moved();
    }
}

static void check_answered(void)
{
    for (unsigned i = 0; i < sim_count; i++) {
        const struct player *p = &players[i];
        bool closes;
        if (sim_socks[i].backend || fault || raw_clients || (p->tight && p->interims) || nanswers == MADE_MAX ||
            sim_count == SIM_SOCKS)
            continue;
        unsigned n = check_client(i, &closes);
        CHECK(n == p->made || (n < p->made && n && closes), "client %u has %u of %u answers", i, n, p->made);
    }
}

static void check_all(void)
{
    static const slice names[] = { SLICE("two"), SLICE("one"), SLICE("rest") };
    world_check_free();
    for (unsigned i = 0; i < sim_count; i++) {
        bool closes;
        CHECK(!sim_socks[i].open, "socket %u is left open", i);
        if (sim_socks[i].backend)
            scan_backend(i);
        else
            check_client(i, &closes);
    }
    for (size_t i = 0; i < array_len(names); i++) {
        const struct upstream *u = upstream_find(gens[0], names[i]);
        for (uint32_t k = 0; k < u->primary.n; k++)
            CHECK(u->primary.peers[k].state->active == 0, "a peer counts attempts that are over");
        for (uint32_t k = 0; k < u->backup.n; k++)
            CHECK(u->backup.peers[k].state->active == 0, "a peer counts attempts that are over");
    }
}

enum { FINALE_TIME, FINALE_FIN, FINALE_RST, FINALE_STOP };

static void finale(uint8_t how)
{
    jobs_wait = jobs_wait && how % 4 == FINALE_STOP;
    for (unsigned i = 0; i < sim_count; i++) {
        if (how % 4 == FINALE_FIN)
            peer_fin(i);
        else if (how % 4 == FINALE_RST)
            sim_rst(&sim_socks[i], ECONNRESET);
    }
    if (how % 4 == FINALE_STOP) {
        proxy_room.done(&w); /* rooms end in reverse order, with whatever is under way */
        while (!list_empty(&w.h1->connections))
            h1_worker_cut(&w, list_entry(w.h1->connections.next, struct h1_server, link)->gen);
    } else {
        turn();
        world_wait(1000);
    }
    do_all_jobs();
    loop_reap_now(&w.loop);
    check_all();
}

/* ---- a worker ---- */

static void make_files(void)
{
    char name[100];
    mkdir(PREFIX, 0700);
    mkdir(PREFIX "/f", 0700);
    for (int i = 0; i < FILES; i++) {
        struct strb text;
        strb_init(&text, 0);
        add_body(&text, MADE_MAX + i, file_sizes[i], false, false);
        snprintf(name, sizeof(name), PREFIX "/f/f%d", MADE_MAX + i);
        int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* others that run now write the same */
        CHECK(fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n, "cannot make %s", name);
        struct timespec then[2] = { { 0 }, { .tv_sec = 1 } };
        futimens(fd, then);
        close(fd);
        strb_done(&text);
    }
}

static void once(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    make_files();
    CHECK(inflateInit2(&wire_zip, 15 + 16) == Z_OK, "zlib");
    world_began = note_exchange;
}

static void begin(void)
{
    once();
    world_begin();
    for (unsigned i = 0; i < SIM_SOCKS; i++) {
        strb_done(&players[i].todo);
        memset(&players[i], 0, sizeof(players[i]));
        strb_init(&players[i].todo, 0);
    }
    nrequests = nanswers = 0;
    for (int i = 0; i < FILES; i++)
        answers[MADE_MAX + i] = (struct made_answer){ .request = -1, .body = file_sizes[i] };
    raw_clients = raw_backends = fault = false;
}

static void end(void)
{
    CHECK(!w.files || w.files->files.live <= FILES, "%zu files are held", w.files ? w.files->files.live : 0);
    world_end();
    CHECK(sim_temporary_files() == 0, "%u temporary files are left", sim_temporary_files());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script in = { data, size };
    if (size > 4096)
        return 0;
    begin();
    uint8_t how = next_byte(&in);
    jobs_wait = how & 8;
    for (unsigned n = 0; in.n && n < 200; n++)
        one_op(&in);
    if (how & 4) {
        settle();
        check_answered();
    }
    finale(how);
    end();
    return 0;
}
