#include "h2/hpack.h"

#include <nghttp2/nghttp2.h>

#include "base/err.h"
#include "http/token.h"

int h2_hpack_init(struct h2_hpack *h)
{
    *h = (struct h2_hpack){ 0 };
    if (nghttp2_hd_inflate_new(&h->in) != 0)
        return ERR_NOMEM;
    if (nghttp2_hd_deflate_new(&h->out, H2_TABLE) != 0) {
        h2_hpack_done(h);
        return ERR_NOMEM;
    }
    return OK;
}

void h2_hpack_done(struct h2_hpack *h)
{
    if (h->in)
        nghttp2_hd_inflate_del(h->in);
    if (h->out)
        nghttp2_hd_deflate_del(h->out);
    *h = (struct h2_hpack){ 0 };
}

int h2_hpack_table(struct h2_hpack *h, uint32_t size)
{
    return nghttp2_hd_deflate_change_table_size(h->out, size < H2_TABLE ? size : H2_TABLE) == 0 ? OK : ERR_NOMEM;
}

int h2_hpack_decode(struct h2_hpack *h, slice block, const struct h2_limits *limits, h2_field_fn fn, void *arg,
                    size_t *bytes)
{
    const uint8_t *p = (const uint8_t *)block.p;
    size_t left = block.n, total = 0;
    uint32_t fields = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(h->in, &nv, &flags, p, left, 1);
        if (n < 0)
            return n == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_SYNTAX;
        p += n;
        left -= (size_t)n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            total += nv.namelen + nv.valuelen + 32;
            if (total > limits->bytes || ++fields > limits->fields)
                return ERR_LIMIT;
            if (!fn(arg, slice_of((const char *)nv.name, nv.namelen), slice_of((const char *)nv.value, nv.valuelen)))
                return ERR_NOMEM;
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && left == 0)
            break;
    }
    nghttp2_hd_inflate_end_headers(h->in);
    *bytes = total;
    return OK;
}

/* What is secret is no subject for guessing by compression (RFC 7541 §7.1.3). */
static uint8_t flags_of(const struct field *f)
{
    bool secret =
        f->token == TOK_AUTHORIZATION || f->token == TOK_SET_COOKIE || (f->token == TOK_COOKIE && f->value.n < 20);
    return secret ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
}

static size_t to_nv(const struct field *fields, size_t n, nghttp2_nv *nv)
{
    for (size_t i = 0; i < n; i++) {
        nv[i] = (nghttp2_nv){ .name = (uint8_t *)fields[i].name.p,
                              .value = (uint8_t *)fields[i].value.p,
                              .namelen = fields[i].name.n,
                              .valuelen = fields[i].value.n,
                              .flags = flags_of(&fields[i]) };
    }
    return n;
}

size_t h2_hpack_bound(const struct h2_hpack *h, const struct field *fields, size_t n)
{
    size_t bytes = 12; /* two table size updates */
    for (size_t i = 0; i < n; i++)
        bytes += fields[i].name.n + fields[i].value.n + 13; /* a type byte and two lengths */
    return bytes;
}

ptrdiff_t h2_hpack_encode(struct h2_hpack *h, const struct field *fields, size_t n, char *dst, size_t cap)
{
    nghttp2_nv nv[H2_ENCODE_MAX];
    if (n > H2_ENCODE_MAX)
        return ERR_NOMEM;
    to_nv(fields, n, nv);
    ssize_t len = nghttp2_hd_deflate_hd(h->out, (uint8_t *)dst, cap, nv, n);
    return len < 0 ? ERR_NOMEM : len;
}
