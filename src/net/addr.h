/*
 * Socket addresses: IPv4, IPv6 and unix, parsed from configuration text and printed for logs. No name is ever looked up
 * here.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "base/slice.h"

struct addr {
    socklen_t len;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    };
};

enum { ADDR_TEXT_MAX = 128 };

/* A strict dotted quad or an IPv6 literal (with or without brackets), no port. OK or ERR_SYNTAX. */
int addr_parse_ip(slice text, uint16_t port, struct addr *out);
/* "IP:PORT", "[IP6]:PORT", "IP" (port 0), "unix:PATH". OK, ERR_SYNTAX, ERR_RANGE (path too long). */
int addr_parse(slice text, struct addr *out);

bool addr_eq(const struct addr *a, const struct addr *b);
bool addr_is_any(const struct addr *a);      /* 0.0.0.0, [::] */
bool addr_is_loopback(const struct addr *a); /* 127.0.0.0/8, ::1 */
uint16_t addr_port(const struct addr *a);    /* 0 for unix */
void addr_set_port(struct addr *a, uint16_t port);
/* "127.0.0.1:80", "[::1]:80", "unix:/path" (nginx's form). Returns the length; dst holds ADDR_TEXT_MAX. */
size_t addr_text(char *dst, const struct addr *a);
/* The address alone: "127.0.0.1", "::1", "unix:". */
size_t addr_text_ip(char *dst, const struct addr *a);

#endif
