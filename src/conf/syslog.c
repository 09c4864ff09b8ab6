/*
 * Syslog targets of error_log and access_log. Messages and defaults are nginx's ("Logging to syslog" of its manual).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "conf/logs.h"

enum { SYSLOG_PORT = 514 };

/* What is being read, and from where, for messages. */
struct reading {
    struct conf_ctx *cf;
    const struct conf_node *node;
    int arg;
    struct syslog_to *to;
    slice server;
    bool facility, severity, tag, nohostname;
};

bool log_is_syslog(slice target)
{
    return slice_starts(target, SLICE("syslog:"));
}

/* ---- the server ---- */

static int set_unix(struct reading *r, slice path)
{
    struct syslog_to *to = r->to;
    if (path.n == 0 || path.n >= sizeof(to->un.sun_path))
        return conf_error(r->cf, r->node, r->arg, "bad path of a unix socket in \"%.*s\"", SLICE_FMT(r->server));
    to->un.sun_family = AF_UNIX;
    memcpy(to->un.sun_path, path.p, path.n);
    to->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1);
    return OK;
}

static bool set_ip(struct syslog_to *to, const char *text, uint64_t port)
{
    uint16_t net = htons((uint16_t)port);
    if (inet_pton(AF_INET, text, &to->in.sin_addr) == 1) {
        to->in.sin_family = AF_INET;
        to->in.sin_port = net;
        to->len = sizeof(to->in);
        return true;
    }
    if (inet_pton(AF_INET6, text, &to->in6.sin6_addr) == 1) {
        to->in6.sin6_family = AF_INET6;
        to->in6.sin6_port = net;
        to->len = sizeof(to->in6);
        return true;
    }
    return false;
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT */
static bool split(slice s, slice *host, uint64_t *port)
{
    slice rest;
    *port = SYSLOG_PORT;
    if (slice_starts(s, SLICE("["))) {
        if (!slice_cut(slice_from(s, 1), ']', host, &rest))
            return false;
        if (rest.n == 0)
            return host->n > 0;
        return rest.p[0] == ':' && slice_to_u64(slice_from(rest, 1), port) == OK && *port > 0 && *port < 65536;
    }
    if (!slice_cut(s, ':', host, &rest)) {
        *host = s;
        return s.n > 0;
    }
    return host->n > 0 && slice_to_u64(rest, port) == OK && *port > 0 && *port < 65536;
}

static int set_host(struct reading *r)
{
    slice host, addresses;
    uint64_t port;
    if (!split(r->server, &host, &port))
        return conf_error(r->cf, r->node, r->arg, "invalid syslog server \"%.*s\"", SLICE_FMT(r->server));
    slice text = arena_printf(r->cf->arena, "%.*s", SLICE_FMT(host)); /* NUL-terminated */
    if (!text.p)
        return ERR_NOMEM;
    if (set_ip(r->to, text.p, port))
        return OK;
    int rc = bundle_name(r->cf->bundle, host, &addresses);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc != OK || !addresses.n || !set_ip(r->to, addresses.p, port))
        return conf_error(r->cf, r->node, r->arg, "host not found in syslog server \"%.*s\"", SLICE_FMT(r->server));
    return OK;
}

/* ---- parameters ---- */

static int once(struct reading *r, bool *seen, const char *what)
{
    if (*seen)
        return conf_error(r->cf, r->node, r->arg, "duplicate syslog \"%s\"", what);
    *seen = true;
    return OK;
}

static int set_code(struct reading *r, bool *seen, const char *what, int code, slice value, uint8_t *out)
{
    int rc = once(r, seen, what);
    if (rc == OK && code < 0)
        rc = conf_error(r->cf, r->node, r->arg, "unknown syslog %s \"%.*s\"", what, SLICE_FMT(value));
    if (rc == OK)
        *out = (uint8_t)code;
    return rc;
}

static int set_tag(struct reading *r, slice value)
{
    int rc = once(r, &r->tag, "tag");
    if (rc != OK)
        return rc;
    if (value.n == 0 || value.n > SYSLOG_TAG_MAX)
        return conf_error(r->cf, r->node, r->arg, "syslog tag length exceeds %d", SYSLOG_TAG_MAX);
    for (size_t i = 0; i < value.n; i++) {
        char c = ascii_lower(value.p[i]);
        if (c != '_' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z'))
            return conf_error(r->cf, r->node, r->arg,
                              "syslog \"tag\" only allows alphanumeric characters and underscore");
    }
    memcpy(r->to->tag, value.p, value.n);
    r->to->tag[value.n] = '\0';
    return OK;
}

static int set_parameter(struct reading *r, slice text)
{
    slice name, value;
    if (slice_eq(text, SLICE("nohostname")))
        return once(r, &r->nohostname, "nohostname");
    if (!slice_cut(text, '=', &name, &value))
        return conf_error(r->cf, r->node, r->arg, "unknown syslog parameter \"%.*s\"", SLICE_FMT(text));
    if (slice_eq(name, SLICE("server"))) {
        bool seen = r->server.n > 0;
        r->server = value;
        return once(r, &seen, "server");
    }
    if (slice_eq(name, SLICE("facility")))
        return set_code(r, &r->facility, "facility", syslog_facility(value), value, &r->to->facility);
    if (slice_eq(name, SLICE("severity")))
        return set_code(r, &r->severity, "severity", syslog_severity(value), value, &r->to->severity);
    if (slice_eq(name, SLICE("tag")))
        return set_tag(r, value);
    return conf_error(r->cf, r->node, r->arg, "unknown syslog parameter \"%.*s\"", SLICE_FMT(text));
}

static int set_parameters(struct reading *r, slice text)
{
    while (text.n) {
        slice one, rest;
        if (!slice_cut(text, ',', &one, &rest)) {
            one = text;
            rest = SLICE_NONE;
        }
        int rc = set_parameter(r, one);
        if (rc != OK)
            return rc;
        text = rest;
    }
    if (r->server.n == 0)
        return conf_error(r->cf, r->node, r->arg, "no syslog server specified");
    return slice_starts(r->server, SLICE("unix:")) ? set_unix(r, slice_from(r->server, 5)) : set_host(r);
}

/* ---- the socket ---- */

/* One socket a server, which all that log there share. */
static int socket_of(struct reading *r, int *fd)
{
    slice key = arena_printf(r->cf->arena, "syslog:%.*s", SLICE_FMT(r->server));
    struct bundle_entry *e = key.p ? bundle_descriptor(r->cf->bundle, BUNDLE_LOG, key) : NULL;
    if (!e)
        return ERR_NOMEM;
    if (e->nfds == 0) {
        int *fds = malloc(sizeof(*fds));
        if (!fds)
            return ERR_NOMEM;
        fds[0] = syslog_socket(r->to->sa.sa_family);
        if (fds[0] < 0) {
            free(fds);
            return conf_error(r->cf, r->node, r->arg, "socket() for syslog failed (%d: %s)", errno, strerror(errno));
        }
        e->fds = fds;
        e->nfds = 1;
    }
    *fd = e->fds[0];
    return OK;
}

/* A host that does not know its name sends lines without one. */
static void set_own_name(struct syslog_to *to)
{
    if (gethostname(to->host, sizeof(to->host)) < 0)
        to->host[0] = '\0';
    to->host[SYSLOG_HOST_MAX] = '\0';
}

int log_syslog(struct conf_ctx *cf, const struct conf_node *node, int arg, const struct syslog_to **to, int *fd)
{
    struct reading r = { .cf = cf, .node = node, .arg = arg, .to = arena_new(cf->arena, struct syslog_to) };
    if (!r.to)
        return ERR_NOMEM;
    r.to->facility = (uint8_t)syslog_facility(SLICE("local7"));
    r.to->severity = (uint8_t)syslog_severity(SLICE("info"));
    memcpy(r.to->tag, "nginx", sizeof("nginx"));
    int rc = set_parameters(&r, slice_from(node->args[arg].text, sizeof("syslog:") - 1));
    if (rc == OK)
        rc = socket_of(&r, fd);
    if (rc != OK)
        return rc;
    if (!r.nohostname)
        set_own_name(r.to);
    *to = r.to;
    return OK;
}
