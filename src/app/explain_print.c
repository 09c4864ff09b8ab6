/*
 * What `hinge explain` prints: findings in the order in which they are made, each with its line of the configuration.
 */
#include <stdarg.h>
#include <stdio.h>

#include "app/explain.h"
#include "base/escape.h"
#include "base/err.h"
#include "conf/bundle.h"
#include "proxy/forward_rules.h"
#include "proxy/origin.h"
#include "proxy/parent.h"
#include "proxy/step.h"

enum { LABEL = 10, TEXT_MAX = 2048 };

/* The source line without the space around it. */
static slice source_of(const struct conf_pos *pos)
{
    slice text = pos->file->text, line = SLICE_NONE, rest;
    for (uint32_t n = 1; n <= pos->line; n++) {
        if (!slice_cut(text, '\n', &line, &rest)) {
            line = text;
            rest = SLICE_NONE;
        }
        text = rest;
    }
    while (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
        line = slice_from(line, 1);
    while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' '))
        line.n--;
    return line;
}

/* A value may hold anything that a client can send: a terminal gets it escaped. */
static void put(slice text)
{
    struct strb b;
    strb_init(&b, 4 * TEXT_MAX);
    escape_terminal(&b, slice_upto(text, TEXT_MAX));
    fwrite(b.p, 1, b.n, stdout);
    strb_done(&b);
}

void explain_say(const char *label, slice text, const struct conf_pos *pos)
{
    printf("%-*s ", LABEL, label);
    put(text);
    putchar('\n');
    if (!pos || !pos->file)
        return;
    printf("%-*s   at %.*s:%u: ", LABEL, "", SLICE_FMT(pos->file->path), pos->line);
    put(source_of(pos));
    putchar('\n');
}

void explain_sayf(const char *label, const struct conf_pos *pos, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0)
        explain_say(label, slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1), pos);
}

void explain_field(const struct field *f)
{
    explain_sayf("", NULL, "  %.*s: %.*s", SLICE_FMT(f->name), SLICE_FMT(f->value));
}

void explain_request(const struct exchange *x)
{
    explain_say("request", x->req.line, NULL);
    explain_sayf("", NULL, "  Host: %.*s", SLICE_FMT(x->req.authority));
    for (uint32_t i = 0; i < x->req.fields.n; i++)
        explain_field(&x->req.fields.v[i]);
}

void explain_body(const struct exchange *x)
{
    const struct client_location_conf *k = x->pass.loc->client;
    uint64_t n = x->req.body.length, most = k->body_buffer_size;
    bool known = x->req.body.kind == BODY_LENGTH;
    if (x->req.body.kind == BODY_NONE || (known && n == 0))
        return;
    if (!body_is_gathered(x))
        explain_say("body", SLICE("is passed on as it comes"), NULL);
    else if (known && n <= most)
        explain_sayf("body", NULL, "waits in memory until it is whole: %llu bytes", (unsigned long long)n);
    else if (known)
        explain_sayf("body", NULL,
                     "waits in a file in \"%.*s\" until it is whole: %llu bytes are more than "
                     "client_body_buffer_size",
                     SLICE_FMT(k->body_temp_dir->key), (unsigned long long)n);
    else
        explain_sayf("body", NULL, "waits until it is whole, in a file in \"%.*s\" when it has more than %llu bytes",
                     SLICE_FMT(k->body_temp_dir->key), (unsigned long long)most);
}

/* ---- the backend ---- */

static void say_peers(const struct peer_set *set, const char *kind)
{
    for (uint32_t i = 0; i < set->n; i++) {
        const struct peer *p = &set->peers[i];
        slice text = p->chain ? p->chain->text : p->text;
        explain_sayf("", NULL, "  %s %.*s, weight %u%s", kind, SLICE_FMT(text), p->weight, p->down ? ", down" : "");
    }
}

/* The head, composed for a backend that nobody connects to; like every one by HTTP/1.1 it could switch protocols. */
static int build_head(struct exchange *x, const struct peer *peer)
{
    struct end back;
    end_init(&back, x->front->ops);
    end_attach_back(&back, x);
    int rc = origin_build(x, peer);
    end_detach(&back);
    return rc;
}

static void say_head(const struct exchange *x)
{
    const struct origin_head *o = &x->origin;
    explain_sayf("sends", NULL, "%.*s %.*s HTTP/1.%u", SLICE_FMT(o->method), SLICE_FMT(o->target), o->minor);
    if (o->host.n)
        explain_sayf("", NULL, "  Host: %.*s", SLICE_FMT(o->host));
    for (uint32_t i = 0; i < o->fields.n; i++)
        explain_field(&o->fields.v[i]);
    if (o->close)
        explain_sayf("", NULL, "  (and asks for the connection to be closed)");
}

void explain_origin(struct exchange *x)
{
    struct proxy_exchange *p = x->proxy;
    bool dialled = p->forward && !p->forward->parent;
    if (p->forward)
        explain_sayf(p->tunnel ? "tunnels to" : "passes to", NULL, "%.*s", SLICE_FMT(p->upstream->name));
    else
        explain_sayf(p->tunnel ? "tunnels to" : "passes to", &p->conf->node->pos, "upstream \"%.*s\", balanced by %s",
                     SLICE_FMT(p->upstream->name),
                     p->upstream->balance && p->upstream->balance->name[0] ? p->upstream->balance->name
                                                                           : "round robin");
    if (!p->upstream->implicit && p->upstream->pos.file)
        explain_say("upstream", p->upstream->name, &p->upstream->pos);
    for (uint32_t i = 0; dialled && i < p->upstream->primary.n; i++)
        explain_sayf("", NULL, "  at %.*s", SLICE_FMT(p->upstream->primary.peers[i].text));
    if (!dialled) {
        say_peers(&p->upstream->primary, "server");
        say_peers(&p->upstream->backup, "backup");
    }
    x->known = VAR_UPSTREAM;
    const struct peer *peer = upstream_pick(p->upstream, &p->tried, loop_now(&x->w->loop));
    if (!peer) {
        explain_sayf("answers", NULL, "502: no server of the upstream may be used");
        return;
    }
    if (p->tunnel)
        explain_sayf("answers", NULL, "200 as soon as the connection is made, and passes bytes from then on");
    else if (build_head(x, peer) == OK)
        say_head(x);
    else
        explain_sayf("answers", NULL, "500: the request for the upstream cannot be composed");
    peer_release(peer);
}

/* ---- the answer ---- */

void explain_answer(const struct exchange *x, bool own)
{
    if (own)
        explain_sayf("answers", NULL, "%u %.*s", x->resp.status, SLICE_FMT(x->resp.reason));
    else
        explain_sayf("answer", NULL, "%s",
                     x->resp.fields.n ? "gets, when it is a 200, besides its own fields"
                                      : "is passed on with no field added");
    for (uint32_t i = 0; i < x->resp.fields.n; i++)
        explain_field(&x->resp.fields.v[i]);
    if (own && x->reply_body.n)
        explain_say("body", slice_upto(x->reply_body, 200), NULL);
}
