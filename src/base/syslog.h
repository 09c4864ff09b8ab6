/*
 * Syslog: log lines as datagrams (RFC 3164) to a server of the network or to a socket of this host.
 *
 * The socket is not connected: a syslog server that is started anew is found again without anybody noticing. A line
 * that the socket does not take at once is lost and counted by the caller, never waited for.
 */
#ifndef BASE_SYSLOG_H
#define BASE_SYSLOG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/slice.h"

enum { SYSLOG_TAG_MAX = 32, SYSLOG_HOST_MAX = 64, SYSLOG_HEADER_MAX = 160 };

/* One destination with the properties of its lines. */
struct syslog_to {
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
    socklen_t len;
    uint8_t facility, severity; /* as in RFC 3164 §4.1.1; severity: of lines that have none of their own */
    char tag[SYSLOG_TAG_MAX + 1];
    char host[SYSLOG_HOST_MAX + 1]; /* empty: no host name in the header */
};

/* By name ("local7", "info"), or -1. */
int syslog_facility(slice name);
int syslog_severity(slice name);

/* A socket for addresses of that family, not blocking; -1 and errno. */
int syslog_socket(int family);

/* Writes "<PRI>Nov  6 08:49:37 host tag: " into dst; returns its length. */
size_t syslog_header(const struct syslog_to *s, unsigned severity, const struct clock *c, char dst[SYSLOG_HEADER_MAX]);

/* Sends one line (without its newline). False: it was not taken, errno tells why. */
bool syslog_send(const struct syslog_to *s, int fd, unsigned severity, const struct clock *c, slice text);

#endif
