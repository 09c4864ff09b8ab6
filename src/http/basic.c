#include "http/basic.h"

#include "base/base64.h"
#include "base/err.h"

int basic_parse(struct arena *a, slice value, struct basic *out)
{
    static const slice scheme = SLICE("Basic ");
    struct basic b;
    if (!slice_istarts(value, scheme))
        return ERR_NOTFOUND;
    slice text = slice_trim(slice_from(value, scheme.n));
    char *plain = arena_bytes(a, base64_decoded_max(text.n));
    if (!plain)
        return ERR_NOMEM;
    ptrdiff_t n = base64_decode(plain, text);
    if (n < 0 || !slice_cut(slice_of(plain, (size_t)n), ':', &b.user, &b.password) || b.user.n == 0)
        return ERR_NOTFOUND;
    *out = b;
    return OK;
}
