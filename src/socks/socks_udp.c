/*
 * Datagrams of UDP ASSOCIATE (RFC 1928 §7): two bytes of nothing, the fragment, and the destination, which is read as
 * that of a request is.
 */
#include "base/err.h"
#include "socks/socks.h"

enum { HEADER = 3 };

int socks_udp_read(slice d, struct socks_dest *out, slice *data)
{
    static const char request[] = { 5, SOCKS_UDP_ASSOCIATE, 0 };
    struct socks_reader r;
    size_t used;
    if (d.n <= HEADER || d.p[0] || d.p[1])
        return ERR_SYNTAX;
    if (d.p[2])
        return ERR_UNSUPPORTED;
    socks_read(&r, SOCKS_REQUEST);
    socks_feed(&r, slice_of(request, sizeof(request)), &used);
    if (socks_feed(&r, slice_from(d, HEADER), &used) != OK)
        return ERR_SYNTAX;
    *out = r.dest;
    *data = slice_from(d, HEADER + used);
    return OK;
}

size_t socks_udp_write(uint8_t *out, const struct socks_dest *dest)
{
    size_t n = socks_write_request(out, SOCKS_UDP_ASSOCIATE, dest);
    if (n)
        memset(out, 0, HEADER);
    return n;
}
