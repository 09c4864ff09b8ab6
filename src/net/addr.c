#include "net/addr.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/err.h"

static void set_len(struct addr *a, socklen_t len)
{
    a->len = len;
}

static bool copy_text(char *dst, size_t cap, slice s)
{
    if (s.n == 0 || s.n >= cap || memchr(s.p, 0, s.n))
        return false;
    memcpy(dst, s.p, s.n);
    dst[s.n] = 0;
    return true;
}

int addr_parse_ip(slice text, uint16_t port, struct addr *out)
{
    struct addr a;
    char buf[INET6_ADDRSTRLEN + 1];
    memset(&a, 0, sizeof(a));
    bool bracketed = text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']';
    if (bracketed)
        text = slice_of(text.p + 1, text.n - 2);
    if (!copy_text(buf, sizeof(buf), text))
        return ERR_SYNTAX;
    if (!bracketed && inet_pton(AF_INET, buf, &a.in.sin_addr) == 1) {
        a.in.sin_family = AF_INET;
        a.in.sin_port = htons(port);
        set_len(&a, sizeof(a.in));
    } else if (inet_pton(AF_INET6, buf, &a.in6.sin6_addr) == 1) {
        a.in6.sin6_family = AF_INET6;
        a.in6.sin6_port = htons(port);
        set_len(&a, sizeof(a.in6));
    } else {
        return ERR_SYNTAX;
    }
    *out = a;
    return OK;
}

static int parse_unix(slice path, struct addr *out)
{
    struct addr a;
    memset(&a, 0, sizeof(a));
    if (path.n == 0 || memchr(path.p, 0, path.n))
        return ERR_SYNTAX;
    if (path.n >= sizeof(a.un.sun_path))
        return ERR_RANGE;
    a.un.sun_family = AF_UNIX;
    memcpy(a.un.sun_path, path.p, path.n);
    set_len(&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1));
    *out = a;
    return OK;
}

static int parse_port(slice s, uint16_t *port)
{
    uint64_t v;
    int rc = slice_to_u64(s, &v);
    if (rc < 0)
        return rc;
    if (v > 65535)
        return ERR_RANGE;
    *port = (uint16_t)v;
    return OK;
}

int addr_parse(slice text, struct addr *out)
{
    if (slice_istarts(text, SLICE("unix:")))
        return parse_unix(slice_from(text, 5), out);
    ptrdiff_t colon = slice_rfind(text, ':');
    bool v6 = text.n > 0 && text.p[0] == '[';
    bool has_port = v6 ? colon > 0 && text.p[colon - 1] == ']' : colon >= 0 && slice_find(text, ':') == colon;
    if (!has_port)
        return addr_parse_ip(text, 0, out);
    uint16_t port;
    int rc = parse_port(slice_from(text, (size_t)colon + 1), &port);
    return rc < 0 ? rc : addr_parse_ip(slice_upto(text, (size_t)colon), port, out);
}

/* The path of a unix address; peers may have none, and the kernel need not end it with a NUL. */
static slice unix_path(const struct addr *a)
{
    size_t off = offsetof(struct sockaddr_un, sun_path);
    if (a->len <= off)
        return SLICE_NONE;
    size_t n = a->len - off;
    return slice_of(a->un.sun_path, strnlen(a->un.sun_path, n < sizeof(a->un.sun_path) ? n : sizeof(a->un.sun_path)));
}

bool addr_eq(const struct addr *a, const struct addr *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    switch (a->sa.sa_family) {
    case AF_INET:
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    case AF_INET6:
        return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
               memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(a->in6.sin6_addr)) == 0;
    case AF_UNIX:
        return slice_eq(unix_path(a), unix_path(b));
    default:
        return false;
    }
}

bool addr_is_any(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

bool addr_is_loopback(const struct addr *a)
{
    if (a->sa.sa_family == AF_INET)
        return ntohl(a->in.sin_addr.s_addr) >> 24 == 127;
    return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

uint16_t addr_port(const struct addr *a)
{
    switch (a->sa.sa_family) {
    case AF_INET:
        return ntohs(a->in.sin_port);
    case AF_INET6:
        return ntohs(a->in6.sin6_port);
    default:
        return 0;
    }
}

void addr_set_port(struct addr *a, uint16_t port)
{
    if (a->sa.sa_family == AF_INET)
        a->in.sin_port = htons(port);
    else if (a->sa.sa_family == AF_INET6)
        a->in6.sin6_port = htons(port);
}

/* inet_ntop goes by way of sprintf: forty times as long. */
static size_t ip4_text(char *dst, const struct in_addr *ip)
{
    uint8_t b[4];
    char *p = dst;
    memcpy(b, ip, sizeof(b));
    for (int i = 0; i < 4; i++) {
        if (i)
            *p++ = '.';
        if (b[i] >= 100)
            *p++ = (char)('0' + b[i] / 100);
        if (b[i] >= 10)
            *p++ = (char)('0' + b[i] / 10 % 10);
        *p++ = (char)('0' + b[i] % 10);
    }
    *p = '\0';
    return (size_t)(p - dst);
}

size_t addr_text_ip(char *dst, const struct addr *a)
{
    const char *ok = NULL;
    if (a->sa.sa_family == AF_INET)
        return ip4_text(dst, &a->in.sin_addr);
    if (a->sa.sa_family == AF_INET6)
        ok = inet_ntop(AF_INET6, &a->in6.sin6_addr, dst, ADDR_TEXT_MAX);
    if (ok)
        return strlen(dst);
    memcpy(dst, "unix:", 6);
    return 5;
}

size_t addr_text(char *dst, const struct addr *a)
{
    size_t n = 0;
    if (a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6) {
        bool v6 = a->sa.sa_family == AF_INET6;
        char ip[ADDR_TEXT_MAX];
        size_t len = addr_text_ip(ip, a);
        if (v6)
            dst[n++] = '[';
        memcpy(dst + n, ip, len);
        n += len;
        if (v6)
            dst[n++] = ']';
        dst[n++] = ':';
        n += u64_to_dec(dst + n, addr_port(a));
    } else {
        slice path = a->sa.sa_family == AF_UNIX ? unix_path(a) : SLICE_NONE;
        memcpy(dst, "unix:", 5);
        if (path.n)
            memcpy(dst + 5, path.p, path.n);
        n = 5 + path.n;
    }
    dst[n] = 0;
    return n;
}
