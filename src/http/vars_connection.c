/*
 * Variables of the client's connection, of time and of the process.
 */
#include <netinet/tcp.h>
#include <pthread.h>
#include <unistd.h>

#include "base/attr.h"
#include "http/client.h"
#include "http/vars.h"

/* ---- addresses ---- */

static int get_remote_addr(struct exchange *x, const struct var *v, slice *out)
{
    slice text = exchange_client_text(x);
    return text.p ? var_some(text, out) : ERR_NOMEM;
}

/* 4 or 16 bytes in network order: a short key for tables. */
static int get_binary_remote_addr(struct exchange *x, const struct var *v, slice *out)
{
    const struct addr_ip *ip = &x->client->peer;
    if (ip->sa.sa_family == AF_INET)
        *out = slice_of((const char *)&ip->in.sin_addr, sizeof(ip->in.sin_addr));
    else if (ip->sa.sa_family == AF_INET6)
        *out = slice_of((const char *)&ip->in6.sin6_addr, sizeof(ip->in6.sin6_addr));
    else
        *out = SLICE("unix:");
    return OK;
}

static int get_remote_port(struct exchange *x, const struct var *v, slice *out)
{
    struct addr a;
    client_peer(x->client, &a);
    *out = SLICE(""); /* nginx knows an empty one on unix sockets */
    return addr_port(&a) ? var_number(x, addr_port(&a), out) : OK;
}

static int get_server_addr(struct exchange *x, const struct var *v, slice *out)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;
    slice kept;
    if (!client_local(x->client, &a))
        return ERR_NOTFOUND;
    if (a.sa.sa_family == AF_UNIX)
        return var_some(x->client->listener->key, out);
    if (!arena_dup(&x->arena, slice_of(text, addr_text_ip(text, &a)), &kept))
        return ERR_NOMEM;
    return var_some(kept, out);
}

static int get_server_port(struct exchange *x, const struct var *v, slice *out)
{
    struct addr a;
    if (!client_local(x->client, &a))
        return ERR_NOTFOUND;
    *out = SLICE("");
    return addr_port(&a) ? var_number(x, addr_port(&a), out) : OK;
}

/* ---- the connection ---- */

static int get_connection(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, x->client->number, out);
}

static int get_connection_requests(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, x->client->requests, out);
}

static int get_connection_time(struct exchange *x, const struct var *v, slice *out)
{
    return var_seconds(x, loop_now(&x->w->loop) - x->client->since, out);
}

enum tcpinfo { TCPINFO_RTT, TCPINFO_RTTVAR, TCPINFO_CWND, TCPINFO_RCV_SPACE };

static int get_tcpinfo(struct exchange *x, const struct var *v, slice *out)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);
    if (x->client->fd < 0 || getsockopt(x->client->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
        return ERR_NOTFOUND;
    switch (v->def->data) {
    case TCPINFO_RTT:
        return var_number(x, info.tcpi_rtt, out);
    case TCPINFO_RTTVAR:
        return var_number(x, info.tcpi_rttvar, out);
    case TCPINFO_CWND:
        return var_number(x, info.tcpi_snd_cwnd, out);
    default:
        return var_number(x, info.tcpi_rcv_space, out);
    }
}

/* ---- time ---- */

static int get_msec(struct exchange *x, const struct var *v, slice *out)
{
    return var_seconds(x, x->w->loop.clock.wall_ms, out);
}

static int clock_text(struct exchange *x, const char *text, slice *out)
{
    slice kept;
    if (!arena_dup(&x->arena, slice_str(text), &kept))
        return ERR_NOMEM;
    *out = kept;
    return OK;
}

static int get_time_local(struct exchange *x, const struct var *v, slice *out)
{
    return clock_text(x, x->w->loop.clock.log, out);
}

static int get_time_iso8601(struct exchange *x, const struct var *v, slice *out)
{
    return clock_text(x, x->w->loop.clock.iso, out);
}

static int get_request_time(struct exchange *x, const struct var *v, slice *out)
{
    return var_seconds(x, loop_now(&x->w->loop) - x->start_mono, out);
}

/* ---- the process ---- */

static char hostname[256];

static void read_hostname(void)
{
    if (gethostname(hostname, sizeof(hostname) - 1) != 0)
        hostname[0] = '\0';
    for (char *p = hostname; *p; p++)
        *p = ascii_lower(*p);
}

static int get_hostname(struct exchange *x, const struct var *v, slice *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_hostname);
    return var_some(slice_str(hostname), out);
}

static int get_pid(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, (uint64_t)getpid(), out);
}

static int get_text(struct exchange *x, const struct var *v, slice *out)
{
    *out = slice_str((const char *)v->def->data);
    return OK;
}

static const struct var_def vars[] = {
    { "remote_addr", false, VAR_REQUEST, true, 0, get_remote_addr, "The client's address." },
    { "binary_remote_addr", false, VAR_REQUEST, false, 0, get_binary_remote_addr,
      "The client's address as 4 or 16 bytes." },
    { "remote_port", false, VAR_REQUEST, true, 0, get_remote_port, "The client's port." },
    { "server_addr", false, VAR_REQUEST, true, 0, get_server_addr, "The address on which the connection came in." },
    { "server_port", false, VAR_REQUEST, true, 0, get_server_port, "The port on which the connection came in." },
    { "connection", false, VAR_REQUEST, true, 0, get_connection, "The connection's number, as in the error log." },
    { "connection_requests", false, VAR_REQUEST, false, 0, get_connection_requests,
      "How many requests the connection has carried, this one included." },
    { "connection_time", false, VAR_REQUEST, false, 0, get_connection_time,
      "How long the connection is open, in seconds with milliseconds." },
    { "tcpinfo_rtt", false, VAR_REQUEST, false, TCPINFO_RTT, get_tcpinfo, "Round-trip time, microseconds (TCP_INFO)." },
    { "tcpinfo_rttvar", false, VAR_REQUEST, false, TCPINFO_RTTVAR, get_tcpinfo, "Its variance, microseconds." },
    { "tcpinfo_snd_cwnd", false, VAR_REQUEST, false, TCPINFO_CWND, get_tcpinfo, "Congestion window, segments." },
    { "tcpinfo_rcv_space", false, VAR_REQUEST, false, TCPINFO_RCV_SPACE, get_tcpinfo, "Receive space, bytes." },
    { "msec", false, VAR_REQUEST, false, 0, get_msec, "The time in seconds since 1970, with milliseconds." },
    { "time_local", false, VAR_REQUEST, false, 0, get_time_local, "The time in the form of the Common Log Format." },
    { "time_iso8601", false, VAR_REQUEST, false, 0, get_time_iso8601, "The time in the form of ISO 8601." },
    { "request_time", false, VAR_REQUEST, false, 0, get_request_time,
      "How long the request has taken since its first bytes, in seconds with milliseconds." },
    { "hostname", false, VAR_REQUEST, false, 0, get_hostname, "The name of this host, in lower case." },
    { "pid", false, VAR_REQUEST, true, 0, get_pid, "The process that serves the request." },
    { "nginx_version", false, VAR_REQUEST, false, (uintptr_t) "1.31.5", get_text,
      "The level of nginx's configuration language that is understood." },
    { "hinge_version", false, VAR_REQUEST, false, (uintptr_t)HINGE_VERSION, get_text, "The version of this program." },
};

struct feature connection_vars_feature = {
    .name = "connection_vars",
    .doc = "Variables of the connection, of time and of the process.",
    .vars = vars,
    .nvars = array_len(vars),
};
