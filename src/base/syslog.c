#include "base/syslog.h"

#include <errno.h>
#include <stdio.h>

#include "base/attr.h"

/* In the order of their codes (RFC 3164 §4.1.1). */
static const char *const facilities[] = {
    "kern",   "user",   "mail",     "daemon", "auth",   "intern", "lpr",    "news",
    "uucp",   "clock",  "authpriv", "ftp",    "ntp",    "audit",  "alert",  "cron",
    "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7",
};
static const char *const severities[] = { "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug" };
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

static int find(const char *const *names, size_t n, slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq(name, slice_str(names[i])))
            return (int)i;
    }
    return -1;
}

int syslog_facility(slice name)
{
    return find(facilities, array_len(facilities), name);
}

int syslog_severity(slice name)
{
    return find(severities, array_len(severities), name);
}

int syslog_socket(int family)
{
    return socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* The time is made of the error log's, "1994/11/06 08:49:37", which the clock keeps. */
size_t syslog_header(const struct syslog_to *s, unsigned severity, const struct clock *c, char dst[SYSLOG_HEADER_MAX])
{
    unsigned month = ((unsigned)(c->err[5] - '0') * 10 + (unsigned)(c->err[6] - '0') + 11) % 12;
    char day = c->err[8] == '0' ? ' ' : c->err[8];
    int n = snprintf(dst, SYSLOG_HEADER_MAX, "<%u>%.3s %c%c %.8s %s%s%s: ", s->facility * 8U + severity,
                     months + (size_t)month * 3, day, c->err[9], c->err + 11, s->host, s->host[0] ? " " : "", s->tag);
    return n < 0 ? 0 : (size_t)n < SYSLOG_HEADER_MAX ? (size_t)n : SYSLOG_HEADER_MAX - 1;
}

bool syslog_send(const struct syslog_to *s, int fd, unsigned severity, const struct clock *c, slice text)
{
    char header[SYSLOG_HEADER_MAX];
    struct iovec iov[2] = { { header, syslog_header(s, severity, c, header) }, { (char *)text.p, text.n } };
    struct msghdr m = { .msg_name = (void *)&s->sa, .msg_namelen = s->len, .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t n;
    do
        n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n >= 0;
}
