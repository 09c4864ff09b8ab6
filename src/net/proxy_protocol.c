#include "net/proxy_protocol.h"

#include <string.h>

#include "base/err.h"

static const slice v1_start = { "PROXY ", 6 };
static const slice v2_start = { "\r\n\r\n\0\r\nQUIT\n", 12 };

enum { V2_FIXED = 16, TLV_HEAD = 3, SSL_HEAD = 5, PORT_DIGITS = 5 };

static ptrdiff_t refuse(const char **why, const char *text)
{
    *why = text;
    return ERR_SYNTAX;
}

/* ---- version 1: a line of text ---- */

/* 0 to 65535 in decimal, without leading zeros (section 2.1). */
static bool parse_port(slice s, uint16_t *port)
{
    uint64_t v;
    if (s.n == 0 || s.n > PORT_DIGITS || (s.n > 1 && s.p[0] == '0') || slice_to_u64(s, &v) != OK || v > UINT16_MAX)
        return false;
    *port = (uint16_t)v;
    return true;
}

static bool parse_ip(slice ip, slice port, int family, struct addr *out)
{
    uint16_t n;
    return !slice_starts(ip, SLICE("[")) && parse_port(port, &n) && addr_parse_ip(ip, n, out) == OK &&
           out->sa.sa_family == family;
}

/* "SRC DST SPORT DPORT", one space between each. */
static bool parse_endpoints(slice rest, int family, struct proxy_header *out)
{
    slice src, dst, sport, dport;
    return slice_cut(rest, ' ', &src, &rest) && slice_cut(rest, ' ', &dst, &rest) &&
           slice_cut(rest, ' ', &sport, &dport) && parse_ip(src, sport, family, &out->src) &&
           parse_ip(dst, dport, family, &out->dst);
}

static ptrdiff_t parse_v1(slice in, struct proxy_header *out, const char **why)
{
    slice window = slice_upto(in, PROXY_HEADER_V1_MAX);
    ptrdiff_t end = slice_find(window, '\n');
    if (end < 0)
        return window.n < PROXY_HEADER_V1_MAX ? ERR_MORE : refuse(why, "the line is too long");
    if (in.p[end - 1] != '\r')
        return refuse(why, "the line does not end in CRLF");
    slice line = slice_from(slice_of(in.p, (size_t)end - 1), v1_start.n);
    struct proxy_header h = { .version = 1 };
    bool good = slice_eq(line, SLICE("UNKNOWN")) || slice_starts(line, SLICE("UNKNOWN "));
    if (slice_starts(line, SLICE("TCP4 ")))
        good = parse_endpoints(slice_from(line, 5), AF_INET, &h);
    else if (slice_starts(line, SLICE("TCP6 ")))
        good = parse_endpoints(slice_from(line, 5), AF_INET6, &h);
    if (!good)
        return refuse(why, "invalid addresses");
    *out = h;
    return end + 1;
}

/* ---- version 2: binary ---- */

static uint32_t be16(const char *p)
{
    return (uint32_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

static uint32_t be32(const char *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* CRC-32C (RFC 9260, appendix A), a bit at a time: a header is short, and few senders add one. */
static uint32_t crc32c(uint32_t crc, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        crc ^= (uint8_t)s.p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return crc;
}

/* The checksum is that of the whole header with its own four bytes as zeros. */
static bool checksum_right(slice header, slice value)
{
    size_t at = (size_t)(value.p - header.p);
    uint32_t crc = crc32c(0xffffffffu, slice_upto(header, at));
    crc = crc32c(crc, slice_of("\0\0\0\0", 4));
    crc = crc32c(crc, slice_from(header, at + 4));
    return ~crc == be32(value.p);
}

/* Takes one type, length and value off the front; false: they do not fit. */
static bool next_tlv(slice *rest, unsigned *type, slice *value)
{
    if (rest->n < TLV_HEAD)
        return false;
    size_t n = be16(rest->p + 1);
    if (n > rest->n - TLV_HEAD)
        return false;
    *type = (uint8_t)rest->p[0];
    *value = slice_of(rest->p + TLV_HEAD, n);
    *rest = slice_from(*rest, TLV_HEAD + n);
    return true;
}

static bool tlvs_fit(slice rest)
{
    unsigned type;
    slice value;
    while (rest.n) {
        if (!next_tlv(&rest, &type, &value))
            return false;
    }
    return true;
}

static const char *check_tlvs(slice header, slice rest)
{
    unsigned type;
    slice value;
    while (rest.n) {
        if (!next_tlv(&rest, &type, &value))
            return "a value does not fit";
        if (type == PROXY_TLV_CRC32C && (value.n != 4 || !checksum_right(header, value)))
            return "wrong checksum";
        if (type == PROXY_TLV_SSL && (value.n < SSL_HEAD || !tlvs_fit(slice_from(value, SSL_HEAD))))
            return "a value about TLS does not fit";
    }
    return NULL;
}

static void set_v4(struct addr *a, const char *ip, const char *port)
{
    *a = (struct addr){ .len = sizeof(a->in) };
    a->in.sin_family = AF_INET;
    memcpy(&a->in.sin_addr, ip, 4);
    memcpy(&a->in.sin_port, port, 2);
}

static void set_v6(struct addr *a, const char *ip, const char *port)
{
    *a = (struct addr){ .len = sizeof(a->in6) };
    a->in6.sin6_family = AF_INET6;
    memcpy(&a->in6.sin6_addr, ip, 16);
    memcpy(&a->in6.sin6_port, port, 2);
}

enum { UNIX_PATH = 108 };

static void set_unix(struct addr *a, const char *path)
{
    *a = (struct addr){ .len = sizeof(a->un) };
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path, UNIX_PATH);
}

_Static_assert(UNIX_PATH <= sizeof(((struct sockaddr_un *)0)->sun_path), "a path of the protocol fits a unix address");

/* Family and transport; of the latter only streams mean something here. */
static ptrdiff_t parse_addresses(slice header, struct proxy_header *out, const char **why)
{
    static const uint8_t sizes[] = { 0, 12, 36, 2 * UNIX_PATH };
    unsigned family = (uint8_t)header.p[13] >> 4, transport = (uint8_t)header.p[13] & 15;
    const char *p = header.p + V2_FIXED;
    if (family > 3 || transport > 2)
        return refuse(why, "unknown address family or transport");
    if (family == 0 || transport != 1)
        return OK; /* nothing that could be used: the connection's own addresses hold */
    if (header.n - V2_FIXED < sizes[family])
        return refuse(why, "too short for its addresses");
    slice tlvs = slice_from(header, V2_FIXED + (size_t)sizes[family]);
    *why = check_tlvs(header, tlvs);
    if (*why)
        return ERR_SYNTAX;
    out->tlvs = tlvs;
    if (family == 1) {
        set_v4(&out->src, p, p + 8);
        set_v4(&out->dst, p + 4, p + 10);
    } else if (family == 2) {
        set_v6(&out->src, p, p + 32);
        set_v6(&out->dst, p + 16, p + 34);
    } else {
        set_unix(&out->src, p);
        set_unix(&out->dst, p + UNIX_PATH);
    }
    return OK;
}

static ptrdiff_t parse_v2(slice in, struct proxy_header *out, const char **why)
{
    struct proxy_header h = { .version = 2 };
    if (in.n > 12 && (uint8_t)in.p[12] >> 4 != 2)
        return refuse(why, "unknown version");
    if (in.n > 12 && ((uint8_t)in.p[12] & 15) > 1)
        return refuse(why, "unknown command");
    if (in.n < V2_FIXED)
        return ERR_MORE;
    size_t n = V2_FIXED + (size_t)be16(in.p + 14);
    if (n > PROXY_HEADER_MAX)
        return refuse(why, "too large");
    if (in.n < n)
        return ERR_MORE;
    if ((in.p[12] & 15) == 1) { /* else LOCAL: the sender speaks for itself, and everything else is to be ignored */
        ptrdiff_t rc = parse_addresses(slice_upto(in, n), &h, why);
        if (rc < 0)
            return rc;
    }
    *out = h;
    return (ptrdiff_t)n;
}

/* ---- */

/* Whether `in` is, or can still become, something that begins with `start`. */
static bool may_start(slice in, slice start)
{
    size_t n = in.n < start.n ? in.n : start.n;
    return memcmp(in.p, start.p, n) == 0;
}

ptrdiff_t proxy_header_parse(slice in, struct proxy_header *out, const char **why)
{
    if (in.n == 0)
        return ERR_MORE;
    if (may_start(in, v1_start))
        return in.n < v1_start.n ? ERR_MORE : parse_v1(in, out, why);
    if (may_start(in, v2_start))
        return in.n < v2_start.n ? ERR_MORE : parse_v2(in, out, why);
    return refuse(why, "there is none");
}

bool proxy_tlv_find(slice tlvs, unsigned type, slice *value)
{
    unsigned t;
    slice v;
    while (next_tlv(&tlvs, &t, &v)) {
        if (t == type) {
            *value = v;
            return true;
        }
    }
    return false;
}

bool proxy_tlv_ssl(slice tlvs, uint32_t *verify, slice *inside)
{
    slice value;
    if (!proxy_tlv_find(tlvs, PROXY_TLV_SSL, &value) || value.n < SSL_HEAD)
        return false;
    *verify = be32(value.p + 1);
    *inside = slice_from(value, SSL_HEAD);
    return true;
}
