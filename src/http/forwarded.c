#include "http/forwarded.h"

#include <string.h>

#include "base/attr.h"
#include "base/err.h"
#include "http/chars.h"

/* ---- addresses ---- */

int forwarded_address(slice text, struct addr_ip *out)
{
    struct addr a;
    struct addr_ip ip;
    if (slice_istarts(text, SLICE("unix:")) || addr_parse(text, &a) != OK)
        return ERR_SYNTAX;
    memset(&ip, 0, sizeof(ip));
    if (a.sa.sa_family == AF_INET)
        ip.in = a.in;
    else
        ip.in6 = a.in6;
    *out = ip;
    return OK;
}

static bool separates(char c)
{
    return c == ',' || c == ' ';
}

bool forwarded_last_address(slice *list, slice *element)
{
    size_t end = list->n;
    while (end && separates(list->p[end - 1]))
        end--;
    size_t start = end;
    while (start && !separates(list->p[start - 1]))
        start--;
    if (start == end)
        return false;
    *element = slice_of(list->p + start, end - start);
    *list = slice_upto(*list, start);
    return true;
}

/* ---- elements of RFC 7239 ---- */

/*
 * Where the quoted string begins that ends at `close`. Its opening quote stands behind a '='; a quote inside is
 * escaped, so it stands behind a backslash and never behind a '='. `close` itself when there is none.
 */
static size_t opening_quote(slice s, size_t close)
{
    for (size_t i = close; i-- > 1;) {
        if (s.p[i] == '"' && s.p[i - 1] == '=')
            return i;
    }
    return close;
}

bool forwarded_last_element(slice *list, slice *element)
{
    size_t at = list->n;
    bool quotes = true; /* once there was no opening quote, there is none further left either */
    if (at == 0)
        return false;
    while (at && list->p[at - 1] != ',') {
        at--;
        if (list->p[at] == '"' && quotes) {
            size_t open = opening_quote(*list, at);
            quotes = open != at;
            at = open;
        }
    }
    *element = slice_from(*list, at);
    *list = slice_upto(*list, at ? at - 1 : 0);
    return true;
}

/* A quoted string at the front, without its quotes; escapes stay. */
static int cut_quoted(slice *rest, slice *value)
{
    for (size_t i = 1; i < rest->n; i++) {
        if (rest->p[i] == '\\') {
            i++;
        } else if (rest->p[i] == '"') {
            *value = slice_of(rest->p + 1, i - 1);
            *rest = slice_from(*rest, i + 1);
            return OK;
        }
    }
    return ERR_SYNTAX;
}

static slice cut_token(slice *rest)
{
    slice token = slice_upto(*rest, (size_t)(scan_class(rest->p, rest->p + rest->n, CH_TOKEN) - rest->p));
    *rest = slice_from(*rest, token.n);
    return token;
}

/* The slot of a parameter; others (extensions) go to `other`. */
static slice *slot_of(struct forwarded *f, slice name, slice *other)
{
    if (slice_ieq(name, SLICE("for")))
        return &f->for_;
    if (slice_ieq(name, SLICE("by")))
        return &f->by;
    if (slice_ieq(name, SLICE("host")))
        return &f->host;
    if (slice_ieq(name, SLICE("proto")))
        return &f->proto;
    *other = SLICE_NONE;
    return other;
}

/* NAME=VALUE. */
static int cut_pair(slice *rest, struct forwarded *f)
{
    slice name = cut_token(rest), value, other;
    if (!name.n || !rest->n || rest->p[0] != '=')
        return ERR_SYNTAX;
    *rest = slice_from(*rest, 1);
    if (rest->n && rest->p[0] == '"') {
        if (cut_quoted(rest, &value) != OK)
            return ERR_SYNTAX;
    } else {
        value = cut_token(rest);
        if (!value.n)
            return ERR_SYNTAX;
    }
    slice *slot = slot_of(f, name, &other);
    if (slot->p)
        return ERR_SYNTAX;
    *slot = value;
    return OK;
}

int forwarded_parse(slice element, struct forwarded *out)
{
    struct forwarded f = { SLICE_NONE, SLICE_NONE, SLICE_NONE, SLICE_NONE };
    slice rest = slice_trim(element);
    for (;;) {
        if (cut_pair(&rest, &f) != OK)
            return ERR_SYNTAX;
        if (!rest.n)
            break;
        if (rest.p[0] != ';')
            return ERR_SYNTAX;
        rest = slice_from(rest, 1);
    }
    *out = f;
    return OK;
}

int forwarded_node(slice node, struct addr_ip *out)
{
    if (slice_find(node, ':') != slice_rfind(node, ':') && !slice_starts(node, SLICE("[")))
        return ERR_SYNTAX;
    return forwarded_address(node, out);
}

/* ---- the walk ---- */

static int next_hop(enum forwarded_form form, slice *list, struct addr_ip *out)
{
    slice element;
    struct forwarded f;
    if (form == FORWARDED_ADDRESSES)
        return forwarded_last_address(list, &element) ? forwarded_address(element, out) : ERR_SYNTAX;
    if (!forwarded_last_element(list, &element) || forwarded_parse(element, &f) != OK || !f.for_.p)
        return ERR_SYNTAX;
    return forwarded_node(f.for_, out);
}

void forwarded_walk(struct forwarded_walk *w, enum forwarded_form form, slice value)
{
    do {
        if (!cidr_set_has(w->trusted, &w->addr.sa) || next_hop(form, &value, &w->addr) != OK) {
            w->over = true;
            return;
        }
        w->found = true;
        w->over = !w->recursive;
    } while (!w->over && value.n);
}

/* ---- which fields ---- */

static const slice names[] = {
    SLICE("Forwarded"),        SLICE("X-Real-IP"),           SLICE("True-Client-IP"),
    SLICE("Client-IP"),        SLICE("X-Client-IP"),         SLICE("X-Cluster-Client-IP"),
    SLICE("CF-Connecting-IP"), SLICE("CF-Connecting-IPv6"),  SLICE("Fastly-Client-IP"),
    SLICE("X-Azure-ClientIP"), SLICE("X-Azure-SocketIP"),    SLICE("X-Envoy-External-Address"),
    SLICE("X-Forwarded"),      SLICE("Forwarded-For"),       SLICE("Forwarded-For-IP"),
    SLICE("X-Remote-IP"),      SLICE("X-Remote-Addr"),       SLICE("Remote-Addr"),
    SLICE("X-Originating-IP"), SLICE("Proxy-Client-IP"),     SLICE("WL-Proxy-Client-IP"),
    SLICE("X-ProxyUser-IP"),   SLICE("X-AppEngine-User-IP"),
};

/* Every name that begins so: -For, -Host, -Proto, -Port, -Server, -Prefix, -Ssl, ...; -Forwarded-For, -Host, -URL. */
static const slice families[] = { SLICE("X-Forwarded-"), SLICE("X-Original-"), SLICE("X-Rewrite-") };

static bool same_start(slice name, slice start)
{
    if (name.n < start.n)
        return false;
    for (size_t i = 0; i < start.n; i++) {
        char c = name.p[i] == '_' ? '-' : ascii_lower(name.p[i]);
        if (c != ascii_lower(start.p[i]))
            return false;
    }
    return true;
}

bool forwarded_is_named(const struct field *f, slice name)
{
    return f->name.n == name.n && same_start(f->name, name);
}

bool forwarded_is_field(const struct field *f)
{
    for (size_t i = 0; i < array_len(families); i++) {
        if (same_start(f->name, families[i]))
            return true;
    }
    for (size_t i = 0; i < array_len(names); i++) {
        if (forwarded_is_named(f, names[i]))
            return true;
    }
    return false;
}
