/*
 * hinge explain: what a request would meet, without sending anything.
 *
 * The configuration is compiled as at a start, and an exchange is walked by the very steps that serve requests, up to
 * the point where a connection to a backend would be made, or an answer of our own would be sent. Between the steps it
 * is told where the exchange stands; in the steps, decisions tell themselves (http/trace.h). So what is printed cannot
 * differ from what is done.
 */
#ifndef APP_EXPLAIN_H
#define APP_EXPLAIN_H

#include "app/app.h"
#include "base/strb.h"
#include "conf/tree.h"
#include "http/exchange.h"

/* `hinge explain [OPTIONS] [METHOD] URL`; gives the exit code. */
int explain_main(const struct app *app, int argc, char **argv);

/* ---- app/explain_args.c ---- */

enum { EXPLAIN_FIELDS = 64 };

struct explain_args {
    bool help, lenient;
    const char *conf, *squid, *prefix, *globals;
    const char *method, *url, *from, *listen, *user, *to;
    const char *fields[EXPLAIN_FIELDS];
    unsigned nfields;
};

/* OK, or ERR_SYNTAX after telling stderr why. */
int explain_args(struct explain_args *a, int argc, char **argv);

/* What the URL says. */
struct explain_url {
    slice authority, target; /* of a path alone: "localhost"; of a tunnel, both HOST:PORT */
    uint16_t port;           /* 0: none is named, as for a path alone */
    bool tls, tunnel, path;  /* https://; CONNECT or SOCKS; a path alone */
    bool socks;
    bool has_port; /* the authority names it */
};

/* OK, or ERR_SYNTAX after telling. */
int explain_url(const struct explain_args *a, struct explain_url *u);
/* The request's head as a client would send it to a server or to a forward proxy. OK or ERR_NOMEM. */
int explain_head(const struct explain_args *a, const struct explain_url *u, bool forward, struct strb *head);
void explain_usage(void);

/* ---- app/explain_print.c ---- */

/* One finding: a label (may be empty), a text, and the line of the configuration that decided, when there is one. */
void explain_say(const char *label, slice text, const struct conf_pos *pos);
void explain_sayf(const char *label, const struct conf_pos *pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A field on a line of its own. */
void explain_field(const struct field *f);
void explain_request(const struct exchange *x);
/* What becomes of a request body that the head announces. */
void explain_body(const struct exchange *x);
/* Where the request would go, and what would be sent there. */
void explain_origin(struct exchange *x);
/* The answer that hinge gives itself, or what it does to an answer of a backend. */
void explain_answer(const struct exchange *x, bool own);

#endif
