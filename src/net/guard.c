/*
 * The special-purpose address registries as two tables, and the IPv6 forms that embed an IPv4 address.
 *
 * Looked at numerically and after parsing, so no spelling of an address can pass by. What IANA marks "globally
 * reachable" inside a special range (for example 192.0.0.9/32) is refused with its range: nobody needs it as a web
 * target.
 */
#include "net/guard.h"

#include <arpa/inet.h>

#include "base/attr.h"

struct range4 {
    uint32_t net;
    uint8_t bits;
    const char *name;
};

#define NET4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

static const struct range4 ranges4[] = {
    { NET4(0, 0, 0, 0), 8, "this network" },            /* RFC 791 */
    { NET4(10, 0, 0, 0), 8, "private" },                /* RFC 1918 */
    { NET4(100, 64, 0, 0), 10, "shared" },              /* RFC 6598 */
    { NET4(127, 0, 0, 0), 8, "loopback" },              /* RFC 1122 */
    { NET4(169, 254, 0, 0), 16, "link-local" },         /* RFC 3927; cloud metadata */
    { NET4(172, 16, 0, 0), 12, "private" },             /* RFC 1918 */
    { NET4(192, 0, 0, 0), 24, "protocol assignments" }, /* RFC 6890 */
    { NET4(192, 0, 2, 0), 24, "documentation" },        /* RFC 5737 */
    { NET4(192, 31, 196, 0), 24, "AS112" },             /* RFC 7535 */
    { NET4(192, 52, 193, 0), 24, "AMT" },               /* RFC 7450 */
    { NET4(192, 88, 99, 0), 24, "6to4 relay" },         /* RFC 7526 */
    { NET4(192, 168, 0, 0), 16, "private" },            /* RFC 1918 */
    { NET4(192, 175, 48, 0), 24, "AS112" },             /* RFC 7534 */
    { NET4(198, 18, 0, 0), 15, "benchmarking" },        /* RFC 2544 */
    { NET4(198, 51, 100, 0), 24, "documentation" },     /* RFC 5737 */
    { NET4(203, 0, 113, 0), 24, "documentation" },      /* RFC 5737 */
    { NET4(224, 0, 0, 0), 4, "multicast" },             /* RFC 5771 */
    { NET4(240, 0, 0, 0), 4, "reserved" },              /* RFC 1112; holds the limited broadcast */
};

struct range6 {
    uint8_t net[16];
    uint8_t bits;
    const char *name;
};

/* Ranges that are special as they are; the embedding forms are in guard_special6. */
static const struct range6 ranges6[] = {
    { { 0x01 }, 64, "discard" },                                         /* 100::/64, RFC 6666 */
    { { 0x01, 0, 0, 0, 0, 0, 0, 1 }, 64, "dummy" },                      /* 100:0:0:1::/64, RFC 9780 */
    { { 0x20, 0x01, 0x00 }, 23, "protocol assignments" },                /* 2001::/23, RFC 2928; Teredo */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation" },                 /* RFC 3849 */
    { { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48, "AS112" },             /* RFC 7534 */
    { { 0x3f, 0xff }, 20, "documentation" },                             /* 3fff::/20, RFC 9637 */
    { { 0x5f, 0x00 }, 16, "segment routing" },                           /* 5f00::/16, RFC 9602 */
    { { 0xfc }, 7, "unique local" },                                     /* RFC 4193 */
    { { 0xfe, 0x80 }, 10, "link-local" },                                /* RFC 4291 */
    { { 0xfe, 0xc0 }, 10, "site-local" },                                /* RFC 3879 */
    { { 0xff }, 8, "multicast" },                                        /* RFC 4291 */
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, "local translation" }, /* 64:ff9b:1::/48, RFC 8215 */
};

static const char *special4(uint32_t ip)
{
    for (size_t i = 0; i < array_len(ranges4); i++)
        if ((ip ^ ranges4[i].net) >> (32 - ranges4[i].bits) == 0)
            return ranges4[i].name;
    return NULL;
}

static bool prefix6(const uint8_t *ip, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    return memcmp(ip, net, whole) == 0 && (rest == 0 || (ip[whole] ^ net[whole]) >> (8 - rest) == 0);
}

static uint32_t embedded(const uint8_t *p)
{
    return NET4(p[0], p[1], p[2], p[3]);
}

static const uint8_t zero[16];

static bool is_compatible(const uint8_t *ip) /* ::a.b.c.d, deprecated; :: and ::1 are none */
{
    return memcmp(ip, zero, 12) == 0 && !(memcmp(ip, zero, 15) == 0 && ip[15] <= 1);
}

/* Where in the address an IPv4 one stands; NULL: nowhere. */
static const uint8_t *carried(const uint8_t *ip)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };   /* ::ffff:0:0/96, RFC 4291 */
    static const uint8_t translated[12] = { [8] = 0xff, [9] = 0xff }; /* ::ffff:0:0:0/96, RFC 2765 */
    static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };      /* 64:ff9b::/96, RFC 6052 */
    static const uint8_t six_to_four[2] = { 0x20, 0x02 };             /* 2002::/16, RFC 3056 */

    if (memcmp(ip, mapped, 12) == 0 || memcmp(ip, translated, 12) == 0 || memcmp(ip, nat64, 12) == 0)
        return ip + 12;
    if (memcmp(ip, six_to_four, 2) == 0)
        return ip + 2;
    if (is_compatible(ip))
        return ip + 12;
    /* an interface identifier of ISATAP: ...:0[02]00:5efe:a.b.c.d, RFC 5214 */
    if ((ip[8] & 0xfd) == 0 && ip[9] == 0 && ip[10] == 0x5e && ip[11] == 0xfe)
        return ip + 12;
    return NULL;
}

static const char *special6(const uint8_t *ip)
{
    if (memcmp(ip, zero, 15) == 0 && ip[15] <= 1)
        return ip[15] ? "loopback" : "unspecified";
    if (is_compatible(ip)) /* nothing public is reached by it */
        return "IPv4-compatible";
    for (size_t i = 0; i < array_len(ranges6); i++)
        if (prefix6(ip, ranges6[i].net, ranges6[i].bits))
            return ranges6[i].name;
    const uint8_t *inner = carried(ip);
    return inner ? special4(embedded(inner)) : NULL;
}

bool guard_embedded(const struct addr *a, struct addr *out)
{
    const uint8_t *inner = a->sa.sa_family == AF_INET6 ? carried(a->in6.sin6_addr.s6_addr) : NULL;
    if (!inner)
        return false;
    *out = (struct addr){ .len = sizeof(struct sockaddr_in),
                          .in = { .sin_family = AF_INET, .sin_port = a->in6.sin6_port } };
    memcpy(&out->in.sin_addr, inner, 4);
    return true;
}

const char *guard_special(const struct addr *a)
{
    switch (a->sa.sa_family) {
    case AF_INET:
        return special4(ntohl(a->in.sin_addr.s_addr));
    case AF_INET6:
        return special6(a->in6.sin6_addr.s6_addr);
    default:
        return "unix";
    }
}
