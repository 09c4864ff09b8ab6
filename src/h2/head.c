#include "h2/head.h"

#include "base/err.h"
#include "h2/hpack.h"
#include "http/chars.h"
#include "http/token.h"

int h2_head_begin(struct h2_head *h, struct arena *a, size_t n)
{
    if (n > H2_ENCODE_MAX)
        return ERR_LIMIT;
    *h = (struct h2_head){ .arena = a, .cap = n, .v = arena_new_n(a, struct field, n) };
    return h->v ? OK : ERR_NOMEM;
}

static int add(struct h2_head *h, struct field f)
{
    if (h->n == h->cap)
        return ERR_NOMEM;
    h->v[h->n++] = f;
    return OK;
}

int h2_head_pseudo(struct h2_head *h, slice name, slice value)
{
    if (!http_is_value(value))
        return ERR_SYNTAX;
    return add(h, (struct field){ .name = name, .value = value });
}

int h2_head_status(struct h2_head *h, unsigned status)
{
    slice text = arena_printf(h->arena, "%03u", status);
    if (!text.p)
        return ERR_NOMEM;
    return status < 100 || status > 999 ? ERR_SYNTAX : h2_head_pseudo(h, SLICE(":status"), text);
}

int h2_head_length(struct h2_head *h, uint64_t length)
{
    char *p = arena_bytes(h->arena, 20);
    if (!p)
        return ERR_NOMEM;
    return add(h, (struct field){ .name = SLICE("content-length"), .value = slice_of(p, u64_to_dec(p, length)) });
}

static bool may_write(enum token t, bool response)
{
    return t != TOK_CONTENT_LENGTH && t != TOK_TRANSFER_ENCODING && t != TOK_CONNECTION && (response || t != TOK_HOST);
}

/* RFC 9113 §8.2.2: of no meaning here, so not sent; a rule may well have set them for HTTP/1. */
static bool means_nothing(enum token t)
{
    return t == TOK_KEEP_ALIVE || t == TOK_PROXY_CONNECTION || t == TOK_UPGRADE || t == TOK_TE;
}

static int lower(struct h2_head *h, slice name, slice *out)
{
    size_t i = 0;
    while (i < name.n && ascii_lower(name.p[i]) == name.p[i])
        i++;
    *out = name;
    if (i == name.n)
        return OK;
    char *p = arena_bytes(h->arena, name.n);
    if (!p)
        return ERR_NOMEM;
    for (i = 0; i < name.n; i++)
        p[i] = ascii_lower(name.p[i]);
    *out = slice_of(p, name.n);
    return OK;
}

int h2_head_fields(struct h2_head *h, const struct fields *from, bool response)
{
    for (uint32_t i = 0; i < from->n; i++) {
        struct field f = from->v[i];
        enum token t = f.token != TOK_NONE ? (enum token)f.token : token_find(f.name);
        if (!http_is_token(f.name) || !http_is_value(f.value) || !may_write(t, response))
            return ERR_SYNTAX;
        if (means_nothing(t))
            continue;
        f.token = (uint16_t)t;
        f.value = slice_trim(f.value);
        int rc = OK;
        if (t != TOK_NONE)
            f.name = token_name(t);
        else
            rc = lower(h, f.name, &f.name);
        if (rc == OK)
            rc = add(h, f);
        if (rc != OK)
            return rc;
    }
    return OK;
}
