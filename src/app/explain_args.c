/*
 * The command line of `hinge explain`, and the request that it describes.
 */
#include <stdio.h>
#include <string.h>

#include "app/explain.h"
#include "base/attr.h"
#include "base/err.h"

void explain_usage(void)
{
    fputs(
        "Usage: hinge explain [-c file | --squid file] [-p prefix] [-g directives] [--lenient] [--listen address] "
        "[--from address]\n"
        "                     [--user name[:password]] [--to address] [-H 'Name: value']... [METHOD] URL\n\n"
        "Tells what a request for URL would meet: listener, server, location, every decision, where it would go and\n"
        "what would be added to the answer, each with its line of the configuration. Nothing is sent.\n\n"
        "  --listen [ADDRESS:]PORT : the listening address it comes by (default: the one with the URL's port, or else\n"
        "                            that of the first forward block)\n"
        "  --from ADDRESS[:PORT]   : the client's address (default: 127.0.0.1)\n"
        "  --user NAME[:PASSWORD]  : who asks; NAME alone is taken for one who has given the password\n"
        "  --to ADDRESS            : what DNS is taken to answer where a name is looked up\n"
        "  -H 'Name: value'        : a field of the request; Host here overrides the URL's\n"
        "\nWith the methods CONNECT and SOCKS the URL is HOST:PORT. A forward block is asked as a proxy is: by the "
        "whole URL, "
        "and\n"
        "for https:// by CONNECT.\n",
        stderr);
}

static int refuse(const char *text, const char *what)
{
    fprintf(stderr, "hinge: explain: %s \"%s\"\n", text, what);
    return ERR_SYNTAX;
}

static const char **slot_of(struct explain_args *a, const char *word)
{
    const struct {
        const char *word;
        const char **slot;
    } options[] = {
        { "--squid", &a->squid },   { "-c", &a->conf },     { "-p", &a->prefix },   { "-g", &a->globals },
        { "--listen", &a->listen }, { "--from", &a->from }, { "--user", &a->user }, { "--to", &a->to },
    };
    for (size_t i = 0; i < array_len(options); i++) {
        if (strcmp(word, options[i].word) == 0)
            return options[i].slot;
    }
    return NULL;
}

static int take_word(struct explain_args *a, const char *word, const char *next, bool *used)
{
    const char **slot = slot_of(a, word);
    bool field = strcmp(word, "-H") == 0;
    if (!slot && !field) {
        a->help |= strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
        a->lenient |= strcmp(word, "--lenient") == 0;
        return a->help || strcmp(word, "--lenient") == 0 ? OK : refuse("invalid option", word);
    }
    if (!next)
        return refuse("no value for option", word);
    *used = true;
    if (!field)
        *slot = next;
    else if (a->nfields == EXPLAIN_FIELDS)
        return refuse("too many fields at", next);
    else
        a->fields[a->nfields++] = next;
    return OK;
}

int explain_args(struct explain_args *a, int argc, char **argv)
{
    *a = (struct explain_args){ 0 };
    for (int i = 2; i < argc; i++) {
        bool used = false;
        if (argv[i][0] == '-' && argv[i][1]) {
            int rc = take_word(a, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
            if (rc < 0)
                return rc;
            i += used;
        } else if (!a->url) {
            a->url = argv[i];
        } else if (!a->method) {
            a->method = a->url;
            a->url = argv[i];
        } else {
            return refuse("one word too many:", argv[i]);
        }
    }
    return a->url || a->help ? OK : refuse("no URL after", "explain");
}

/* ---- the request ---- */

static int port_of(const char *url, struct explain_url *u)
{
    uint64_t n = u->tls ? 443 : 80;
    ptrdiff_t colon = slice_rfind(u->authority, ':');
    u->has_port = colon >= 0 && slice_find(slice_from(u->authority, (size_t)colon), ']') < 0;
    if (u->has_port && (slice_to_u64(slice_from(u->authority, (size_t)colon + 1), &n) < 0 || n == 0 || n > 65535))
        return refuse("no port number in", url);
    u->port = (uint16_t)n;
    return OK;
}

/* "http://HOST[:PORT]/PATH", "https://...", or "/PATH" for the first address that is listened on. */
static int split_url(const char *url, struct explain_url *u)
{
    slice s = slice_str(url), rest;
    u->tls = slice_istarts(s, SLICE("https://"));
    u->path = !u->tls && !slice_istarts(s, SLICE("http://"));
    u->authority = SLICE("localhost");
    if (!u->path) {
        s = slice_from(s, u->tls ? sizeof("https://") - 1 : sizeof("http://") - 1);
        size_t n = 0;
        while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
            n++;
        u->authority = slice_upto(s, n);
        s = slice_from(s, n);
        int rc = port_of(url, u);
        if (rc < 0)
            return rc;
    } else if (s.n && s.p[0] != '/' && !slice_eq(s, SLICE("*"))) {
        return refuse("neither http://HOST/PATH nor /PATH:", url);
    }
    u->target = s;
    if (slice_cut(s, '#', &s, &rest)) /* never leaves a client */
        u->target = s;
    return OK;
}

int explain_url(const struct explain_args *a, struct explain_url *u)
{
    *u = (struct explain_url){ .socks = a->method && strcmp(a->method, "SOCKS") == 0 };
    u->tunnel = u->socks || (a->method && strcmp(a->method, "CONNECT") == 0);
    if (u->tunnel) {
        u->authority = u->target = slice_str(a->url);
        return OK;
    }
    return split_url(a->url, u);
}

static bool is_host(const char *field)
{
    return slice_istarts(slice_str(field), SLICE("Host:"));
}

static void put_base64(struct strb *b, slice s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < s.n ? (unsigned char)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            strb_char(b, i + k <= s.n ? digits[v >> (18 - 6 * k) & 63] : '=');
    }
}

/* A name alone goes with an empty password; that it is the right one is taken for granted (http/trace.h). */
static void put_user(struct strb *head, const char *user, bool forward)
{
    struct strb both;
    if (!user)
        return;
    strb_init(&both, 4096);
    strb_printf(&both, "%s%s", user, strchr(user, ':') ? "" : ":");
    strb_add(head, forward ? SLICE("Proxy-Authorization: Basic ") : SLICE("Authorization: Basic "));
    put_base64(head, strb_slice(&both));
    strb_lit(head, "\r\n");
    head->failed |= both.failed;
    strb_done(&both);
}

int explain_head(const struct explain_args *a, const struct explain_url *u, bool forward, struct strb *head)
{
    bool host = false, tunnel = u->tunnel || (forward && u->tls);
    const char *port = tunnel && !u->tunnel && !u->has_port ? ":443" : "";
    if (tunnel)
        strb_printf(head, "CONNECT %.*s%s", SLICE_FMT(u->authority), port);
    else
        strb_printf(head, "%s %s%.*s%s%.*s", a->method ? a->method : "GET", forward && !u->path ? "http://" : "",
                    forward && !u->path ? (int)u->authority.n : 0, u->authority.p,
                    u->target.n && u->target.p[0] != '?' ? "" : "/", SLICE_FMT(u->target));
    strb_lit(head, " HTTP/1.1\r\n");
    for (unsigned i = 0; i < a->nfields; i++)
        host |= is_host(a->fields[i]);
    if (!host)
        strb_printf(head, "Host: %.*s%s\r\n", SLICE_FMT(u->authority), port);
    put_user(head, a->user, forward);
    for (unsigned i = 0; i < a->nfields; i++)
        strb_printf(head, "%s\r\n", a->fields[i]);
    strb_lit(head, "\r\n");
    return head->failed ? ERR_NOMEM : OK;
}
