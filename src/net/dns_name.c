#include "net/dns_name.h"

#include "base/err.h"

static bool plain(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_';
}

/* Would a C library take a name with that last label for an IPv4 address? */
static bool numeric(slice label)
{
    size_t i = 0;
    bool hex = label.n > 1 && label.p[0] == '0' && ascii_lower(label.p[1]) == 'x';
    for (i = hex ? 2 : 0; i < label.n; i++)
        if (hex ? ascii_hex(label.p[i]) < 0 : !ascii_digit(label.p[i]))
            return false;
    return true;
}

int dns_name_normal(slice name, char *out, size_t *n)
{
    size_t label = 0;
    if (name.n && name.p[name.n - 1] == '.')
        name.n--;
    if (name.n == 0 || name.n > DNS_NAME_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c == '.' ? i == label : !plain(c) || i - label >= DNS_LABEL_MAX)
            return ERR_SYNTAX;
        if (c == '.')
            label = i + 1;
    }
    if (label == name.n || numeric(slice_from(name, label)))
        return ERR_SYNTAX;
    for (size_t i = 0; i < name.n; i++)
        out[i] = ascii_lower(name.p[i]);
    *n = name.n;
    return OK;
}
