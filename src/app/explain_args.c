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
    fputs("Usage: hinge explain [-c file] [-p prefix] [-g directives] [--lenient] [--listen address]\n"
          "                     [--from address] [-H 'Name: value']... [METHOD] URL\n\n"
          "Tells what a request for URL would meet: listener, server, location, every decision, where it would go and\n"
          "what would be added to the answer, each with its line of the configuration. Nothing is sent.\n\n"
          "  --listen ADDRESS:PORT : the listening address it comes by (default: the one with the URL's port)\n"
          "  --from ADDRESS[:PORT] : the client's address (default: 127.0.0.1)\n"
          "  -H 'Name: value'      : a field of the request; Host here overrides the URL's\n"
          "\nWith the method CONNECT the URL is HOST:PORT.\n",
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
        { "-c", &a->conf },         { "-p", &a->prefix },   { "-g", &a->globals },
        { "--listen", &a->listen }, { "--from", &a->from },
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

static int port_of(slice authority, const char *url, bool tls, uint16_t *port)
{
    uint64_t n = tls ? 443 : 80;
    ptrdiff_t colon = slice_rfind(authority, ':');
    if (colon >= 0 && slice_find(slice_from(authority, (size_t)colon), ']') < 0 &&
        (slice_to_u64(slice_from(authority, (size_t)colon + 1), &n) < 0 || n == 0 || n > 65535))
        return refuse("no port number in", url);
    *port = (uint16_t)n;
    return OK;
}

/* "http://HOST[:PORT]/PATH", "https://...", or "/PATH" for the first address that is listened on. */
static int split_url(const char *url, slice *authority, slice *target, uint16_t *port)
{
    slice s = slice_str(url), rest;
    *port = 0;
    *authority = SLICE("localhost");
    bool tls = slice_istarts(s, SLICE("https://"));
    if (tls || slice_istarts(s, SLICE("http://"))) {
        s = slice_from(s, tls ? sizeof("https://") - 1 : sizeof("http://") - 1);
        size_t n = 0;
        while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
            n++;
        *authority = slice_upto(s, n);
        s = slice_from(s, n);
        int rc = port_of(*authority, url, tls, port);
        if (rc < 0)
            return rc;
    } else if (s.n && s.p[0] != '/' && !slice_eq(s, SLICE("*"))) {
        return refuse("neither http://HOST/PATH nor /PATH:", url);
    }
    *target = s;
    if (slice_cut(s, '#', &s, &rest)) /* never leaves a client */
        *target = s;
    return OK;
}

static bool is_host(const char *field)
{
    return slice_istarts(slice_str(field), SLICE("Host:"));
}

int explain_head(const struct explain_args *a, struct strb *head, uint16_t *port)
{
    slice authority, target;
    bool host = false;
    bool tunnel = a->method && strcmp(a->method, "CONNECT") == 0;
    *port = 0;
    authority = target = slice_str(a->url); /* of a tunnel: HOST:PORT */
    int rc = tunnel ? OK : split_url(a->url, &authority, &target, port);
    if (rc < 0)
        return rc;
    strb_printf(head, "%s %s%.*s HTTP/1.1\r\n", a->method ? a->method : "GET",
                target.n && target.p[0] != '?' ? "" : "/", SLICE_FMT(target));
    for (unsigned i = 0; i < a->nfields; i++)
        host |= is_host(a->fields[i]);
    if (!host)
        strb_printf(head, "Host: %.*s\r\n", SLICE_FMT(authority));
    for (unsigned i = 0; i < a->nfields; i++)
        strb_printf(head, "%s\r\n", a->fields[i]);
    strb_lit(head, "\r\n");
    return head->failed ? ERR_NOMEM : OK;
}
