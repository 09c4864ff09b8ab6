/*
 * The handshake: what a client says, message by message, up to the request, which becomes an exchange.
 *
 * Messages may come in any pieces, and several in one: a client need not wait for our answers, and what it sends behind
 * its request is kept for the target. What is not the protocol gets one line in the log and a closed connection. What
 * is the protocol and refused has a reply of its own and, as it is a request, a line in the access log.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/strb.h"
#include "http/client.h"
#include "http/uri.h"
#include "net/addr.h"
#include "socks/dest.h"
#include "socks/server.h"

/* ---- endings ---- */

void socks_talk_log(const struct socks_server *s, const char *why)
{
    const struct server *server = s->client.listener->default_server;
    char peer[ADDR_TEXT_MAX];
    struct addr a;
    client_peer(&s->client, &a);
    slice text = slice_of(peer, addr_text_ip(peer, &a));
    log_line(server->base->log, LEVEL_INFO, s->client.number, "SOCKS: %s, client: %.*s, server: %.*s", why,
             SLICE_FMT(text), SLICE_FMT(s->client.listener->key));
}

static void malformed(struct socks_server *s, const char *why)
{
    worker_count(s->c.w, COUNT_SOCKS_BAD);
    socks_talk_log(s, why);
    socks_server_close(s);
}

void socks_talk_timed_out(struct socks_server *s)
{
    worker_count(s->c.w, COUNT_TIMEOUT_HEADER);
    socks_talk_log(s, "client timed out in the handshake");
    socks_server_close(s);
}

/* Sends what was said. false: the connection is closed. */
static bool send_said(struct socks_server *s)
{
    size_t bytes, body;
    switch (socks_conn_flush(&s->c, NULL, &bytes, &body)) {
    case SOCKS_FLUSH_DONE:
    case SOCKS_FLUSH_IDLE:
        return true;
    case SOCKS_FLUSH_BLOCKED:
        return socks_server_await(s);
    case SOCKS_FLUSH_BROKEN:
    case SOCKS_FLUSH_ERROR:
        break;
    }
    socks_server_close(s);
    return false;
}

/* Nothing follows the answer that was said. */
static void end_talk(struct socks_server *s)
{
    s->state = SOCKS_ENDING;
    if (send_said(s) && !s->c.blocked)
        socks_server_over(s);
}

/* ---- the request ---- */

static bool fill_target(struct exchange *x, const struct socks_dest *d, bool *good)
{
    struct request *r = &x->req;
    char text[SOCKS_DEST_TEXT];
    slice host = SLICE_NONE;
    uint16_t port = 0;
    if (!arena_dup(&x->arena, socks_dest_text(d, text), &r->authority))
        return false;
    *good = uri_authority(r->authority, &host, &port) == OK && port;
    if (!*good)
        return true;
    r->target = r->authority;
    r->port = port;
    return uri_host_normal(&x->arena, host, &r->host);
}

/* Credentials go the way of a proxy's: who checks them need not know that they came by SOCKS. */
static bool add_credentials(const struct socks_talk *t, struct exchange *x)
{
    struct field f = { .name = SLICE("Proxy-Authorization"), .token = TOK_PROXY_AUTHORIZATION };
    if (!t->basic_n)
        return true;
    return arena_dup(&x->arena, slice_of(t->basic, t->basic_n), &f.value) && fields_add(&x->arena, &x->req.hop, f);
}

/* An exchange, up to its target. NULL: no memory. */
static struct exchange *begin_exchange(struct socks_server *s)
{
    struct exchange *x = exchange_new(s->c.w, s->gen, &s->c.end, &s->client);
    if (!x)
        return NULL;
    x->req = (struct request){
        .method = METHOD_CONNECT,
        .method_text = SLICE("CONNECT"),
        .form = TARGET_AUTHORITY,
        .minor = 1,
        .socks = s->version,
    };
    pipe_end(&x->req_pipe, NULL);
    x->events |= X_FRONT_BODY;
    if (add_credentials(s->talk, x))
        return x;
    end_detach(&s->c.end);
    exchange_free(x);
    return NULL;
}

/* What the log shows as the request line, and what variables say of it. */
static bool fill_request(struct socks_server *s, struct exchange *x, bool *good)
{
    const struct socks_reader *t = &s->talk->reader;
    static const slice names[] = {
        [SOCKS_CONNECT] = SLICE("CONNECT"), [SOCKS_BIND] = SLICE("BIND"), [SOCKS_UDP_ASSOCIATE] = SLICE("UDP-ASSOCIATE")
    };
    bool known = t->command >= SOCKS_CONNECT && t->command <= SOCKS_UDP_ASSOCIATE;
    struct request *r = &x->req;
    if (!fill_target(x, &t->dest, good))
        return false;
    r->line = arena_printf(&x->arena, "%.*s %.*s SOCKS%u", SLICE_FMT(known ? names[t->command] : SLICE("UNKNOWN")),
                           SLICE_FMT(r->authority), s->version);
    return r->line.p;
}

/* A reload may have come: the request goes by the new configuration if its address still is what it was. */
static void follow_generation(struct socks_server *s)
{
    struct worker *w = s->c.w;
    if (s->gen == w->gen || w->draining)
        return;
    const struct listener_conf *l = route_listener(w->gen->gen, s->client.listener->key);
    if (!l || !l->socks || l->ssl != s->client.listener->ssl)
        return;
    gen_use(w->gen);
    gen_drop(s->gen);
    s->gen = w->gen;
    s->client.listener = l;
}

static void talk_over(struct socks_server *s)
{
    worker_gauge_add(&s->c.w->reading, -1);
    worker_gauge_add(&s->c.w->writing, 1);
    explicit_bzero(s->talk, sizeof(*s->talk));
    free(s->talk);
    s->talk = NULL;
    timer_clear(&s->c.in_timer);
}

static void no_memory(struct socks_server *s, struct exchange *x)
{
    worker_count(s->c.w, COUNT_MEMORY_REFUSED);
    if (x) {
        end_detach(&s->c.end);
        exchange_free(x);
    }
    socks_server_close(s);
}

static void refuse(struct socks_server *s, struct exchange *x, unsigned status, const char *why, enum socks_reply code)
{
    worker_count(s->c.w, COUNT_SOCKS_BAD);
    x->refuse = (uint16_t)status;
    x->refuse_text = why;
    s->code = (uint8_t)code;
}

/* There is no target: where datagrams go is for each of them to say. What was named is where they will come from. */
static void associate(struct exchange *x)
{
    struct request *r = &x->req;
    r->target = r->authority;
    r->authority = r->host = SLICE_NONE;
    r->port = 0;
    r->udp = true;
}

static void start(struct socks_server *s, struct exchange *x)
{
    s->state = SOCKS_EXCHANGE;
    io_watch_soon(&s->c.w->loop, &s->c.io);
    exchange_start(x);
    if (s->c.hup) /* its client has left already, and no event will say so again */
        task_post_later(&s->c.w->loop, &s->next);
}

/* The whole request is there, or as much of it as can be read (`rc`). */
static void request(struct socks_server *s, int rc)
{
    unsigned command = s->talk->reader.command;
    bool good = true;
    follow_generation(s);
    struct exchange *x = begin_exchange(s);
    if (!x || !fill_request(s, x, &good)) {
        no_memory(s, x);
        return;
    }
    s->client.requests++;
    talk_over(s);
    worker_count(s->c.w, COUNT_REQUESTS);
    if (rc != OK)
        refuse(s, x, 400, "an address of a type that is not known", SOCKS_BAD_ADDRESS);
    else if (command == SOCKS_UDP_ASSOCIATE && s->version == 5)
        associate(x);
    else if (command != SOCKS_CONNECT)
        refuse(s, x, 405, "a command that is not served", SOCKS_BAD_COMMAND);
    else if (!good)
        refuse(s, x, 400, "the target is no host with a port", SOCKS_FAILURE);
    start(s, x);
}

/* ---- the login ---- */

/* A name with a colon could be read as another name with another password: it is nobody's. */
static void keep_credentials(struct socks_talk *t)
{
    slice user = socks_text(&t->reader.user), password = socks_text(&t->reader.password);
    char plain[2 * SOCKS_TEXT_MAX + 8];
    struct strb b;
    t->basic_n = 0;
    if (slice_find(user, ':') >= 0)
        return;
    strb_init_fixed(&b, plain, sizeof(plain));
    strb_add(&b, user);
    strb_char(&b, ':');
    strb_add(&b, password);
    memcpy(t->basic, "Basic ", 6);
    t->basic_n = 6 + base64_encode(t->basic + 6, strb_slice(&b));
    explicit_bzero(plain, sizeof(plain));
}

/*
 * The client wants to know whether its password is right before it says what it wants. So that the rules are asked
 * which will be asked again, it is an exchange without a target; a good password is remembered for the next.
 */
static void login(struct socks_server *s)
{
    follow_generation(s);
    keep_credentials(s->talk);
    struct exchange *x = begin_exchange(s);
    if (!x) {
        no_memory(s, NULL);
        return;
    }
    x->req.line = SLICE("LOGIN SOCKS5");
    x->req.login = x->aside = true;
    s->login = true;
    timer_clear(&s->c.in_timer);
    start(s, x);
}

void socks_talk_request(struct socks_server *s)
{
    struct worker *w = s->c.w;
    s->login = false;
    s->state = SOCKS_TALK;
    timer_set(&w->loop, &s->c.in_timer, s->client.listener->default_server->client->header_timeout);
    socks_read(&s->talk->reader, SOCKS_REQUEST);
    task_post(&w->loop, &s->next);
}

/* ---- messages ---- */

static void say_choice(struct socks_server *s, enum socks_method m)
{
    uint8_t b[SOCKS_WRITE_MAX];
    socks_conn_say(&s->c, b, socks_write_choice(b, m));
}

/* The methods of SOCKS 5 were offered. */
static void choose(struct socks_server *s)
{
    const struct socks_reader *r = &s->talk->reader;
    enum socks_login asked = (enum socks_login)s->client.listener->socks_login;
    if (r->has_password && asked != SOCKS_LOGIN_NO) {
        say_choice(s, SOCKS_PASSWORD);
        socks_read(&s->talk->reader, SOCKS_LOGIN);
        send_said(s);
        return;
    }
    if (!r->has_none || asked == SOCKS_LOGIN_MUST) {
        worker_count(s->c.w, COUNT_SOCKS_BAD);
        socks_talk_log(s, "client offers no method of authentication that is acceptable");
        say_choice(s, SOCKS_NONE_GOOD);
        end_talk(s);
        return;
    }
    say_choice(s, SOCKS_NO_AUTH);
    socks_read(&s->talk->reader, SOCKS_REQUEST);
    send_said(s);
}

static void message(struct socks_server *s)
{
    const struct socks_reader *r = &s->talk->reader;
    if (r->kind == SOCKS_REQUEST) {
        request(s, OK);
        return;
    }
    if (r->kind == SOCKS_LOGIN) {
        login(s);
        return;
    }
    s->version = r->version;
    if (r->version == 4)
        request(s, OK);
    else
        choose(s);
}

static void feed(struct socks_server *s)
{
    size_t used;
    int rc = socks_feed(&s->talk->reader, slice_of(s->c.in, s->c.in_n), &used);
    socks_conn_consume(&s->c, used);
    if (rc == OK)
        message(s);
    else if (rc == ERR_UNSUPPORTED)
        request(s, rc);
    else if (rc != ERR_MORE)
        malformed(s, rc == ERR_LIMIT ? "client sent a text that is too long" : "client sent what is not the protocol");
}

static void read_on(struct socks_server *s)
{
    while (s->state == SOCKS_TALK) {
        if (s->c.in_n) {
            feed(s);
            continue;
        }
        if (!s->c.readable) {
            socks_server_await(s);
            return;
        }
        ssize_t n = socks_conn_read(&s->c, SOCKS_READ);
        if (n < 0 && n != ERR_AGAIN) {
            socks_server_close(s);
            return;
        }
    }
}

void socks_talk_go_on(struct socks_server *s)
{
    if (s->c.say_n && !send_said(s))
        return;
    if (s->state == SOCKS_TALK)
        read_on(s);
    else if (!s->c.blocked)
        socks_server_over(s);
}
