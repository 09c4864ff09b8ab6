/*
 * The PROXY protocol, versions 1 and 2, as a receiver: the header in which a proxy before us says for whom it connects
 * (haproxy.org, "The PROXY protocol", 2020/03/05).
 *
 * One strict reader without I/O. The header is the first thing on a connection and stands there once; what is
 * incomplete is parsed again from its beginning, which is cheap, because it is short.
 */
#ifndef NET_PROXY_PROTOCOL_H
#define NET_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "net/addr.h"

enum {
    PROXY_HEADER_V1_MAX = 107, /* with CRLF */
    PROXY_HEADER_MAX = 4096,   /* version 2 with everything in it; nginx's bound */
};

struct proxy_header {
    struct addr src, dst; /* len 0: the header names none (LOCAL, UNKNOWN, UNSPEC, datagrams) */
    slice tlvs;           /* of version 2, well-formed: lengths add up, a checksum was right */
    uint8_t version;
};

/*
 * Reads the header at the front of `in`. Its length (> 0), with *out pointing into `in`; ERR_MORE (incomplete and
 * acceptable so far); ERR_SYNTAX with *why a fixed text for the log: what stands there is no header, or a broken one.
 */
ptrdiff_t proxy_header_parse(slice in, struct proxy_header *out, const char **why);

/* Types of version 2's further values (section 2.2). */
enum proxy_tlv {
    PROXY_TLV_ALPN = 0x01,
    PROXY_TLV_AUTHORITY = 0x02,
    PROXY_TLV_CRC32C = 0x03,
    PROXY_TLV_NOOP = 0x04,
    PROXY_TLV_UNIQUE_ID = 0x05,
    PROXY_TLV_SSL = 0x20,
    PROXY_TLV_SSL_VERSION = 0x21,
    PROXY_TLV_SSL_CN = 0x22,
    PROXY_TLV_SSL_CIPHER = 0x23,
    PROXY_TLV_SSL_SIG_ALG = 0x24,
    PROXY_TLV_SSL_KEY_ALG = 0x25,
    PROXY_TLV_NETNS = 0x30,
};

/* The first value of that type in a well-formed list; false when there is none. */
bool proxy_tlv_find(slice tlvs, unsigned type, slice *value);
/* Of the value of PROXY_TLV_SSL: the result of verifying the client's certificate, and the list inside. */
bool proxy_tlv_ssl(slice tlvs, uint32_t *verify, slice *inside);

#endif
