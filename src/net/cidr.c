#include "net/cidr.h"

#include <string.h>

#include "base/err.h"

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static uint8_t mask_byte(unsigned bits, unsigned at)
{
    unsigned left = bits > 8 * at ? bits - 8 * at : 0;
    return (uint8_t)(0xff00u >> (left < 8 ? left : 8));
}

int cidr_of(const struct sockaddr *sa, struct cidr *out)
{
    struct cidr c = { 0 };
    if (sa->sa_family == AF_INET) {
        memcpy(c.ip, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
        c.bits = 32;
    } else if (sa->sa_family == AF_INET6) {
        memcpy(c.ip, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
        c.bits = 128;
        c.v6 = 1;
    } else {
        return ERR_SYNTAX;
    }
    *out = c;
    return OK;
}

int cidr_parse(slice text, struct cidr *out, bool *loose)
{
    slice ip = text, bits = SLICE_NONE;
    struct addr a;
    struct cidr c;
    uint64_t n;
    bool has_bits = slice_cut(text, '/', &ip, &bits), beyond = false;
    if (slice_starts(ip, SLICE("[")) || addr_parse_ip(ip, 0, &a) != OK || cidr_of(&a.sa, &c) != OK)
        return ERR_SYNTAX;
    if (has_bits) {
        if (slice_to_u64(bits, &n) != OK || n > c.bits)
            return ERR_SYNTAX;
        c.bits = (uint8_t)n;
    }
    for (unsigned i = 0; i < sizeof(c.ip); i++) {
        uint8_t kept = c.ip[i] & mask_byte(c.bits, i);
        beyond = beyond || kept != c.ip[i];
        c.ip[i] = kept;
    }
    *out = c;
    *loose = beyond;
    return OK;
}

static bool covers(const struct cidr *c, const uint8_t *ip)
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;
    return memcmp(c->ip, ip, whole) == 0 && (!rest || ((ip[whole] ^ c->ip[whole]) & mask_byte(c->bits, whole)) == 0);
}

static bool any_covers(const struct cidr_set *s, bool v6, const uint8_t *ip)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->v[i].v6 == v6 && covers(&s->v[i], ip))
            return true;
    }
    return false;
}

bool cidr_set_has(const struct cidr_set *s, const struct sockaddr *sa)
{
    struct cidr c;
    if (cidr_of(sa, &c) != OK)
        return s->unix_domain && sa->sa_family == AF_UNIX;
    if (any_covers(s, c.v6, c.ip))
        return true;
    return c.v6 && memcmp(c.ip, mapped, sizeof(mapped)) == 0 && any_covers(s, false, c.ip + sizeof(mapped));
}
