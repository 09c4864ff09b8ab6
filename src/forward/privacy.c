#include "forward/privacy.h"

#include "base/attr.h"

/* Campaign tags come in families; click identifiers of advertisers and mailers by name. Sorted for the reader. */
static const char *const families[] = { "hsa_", "mtm_", "utm_" };

static const char *const parameters[] = {
    "_hsenc",    "_hsmi",         "_openstat",   "dclid",      "epik",        "fbclid",     "gbraid",     "gclid",
    "gclsrc",    "hsctatracking", "igsh",        "igshid",     "irclickid",   "li_fat_id",  "mc_cid",     "mc_eid",
    "mkt_tok",   "msclkid",       "oly_anon_id", "oly_enc_id", "pk_campaign", "pk_content", "pk_keyword", "pk_kwd",
    "pk_medium", "pk_source",     "rb_clickid",  "s_cid",      "srsltid",     "ttclid",     "twclid",     "vero_conv",
    "vero_id",   "wbraid",        "wickedid",    "yclid",      "ysclid",
};

/* Subscriber numbers that mobile networks add, what a browser tells its maker, and pings of links. */
static const char *const fields[] = {
    "msisdn",   "ping-from",    "ping-to",        "x-acr",  "x-att-deviceid",       "x-client-data",
    "x-imsi",   "x-msisdn",     "x-nokia-msisdn", "x-uidh", "x-up-calling-line-id", "x-up-subno",
    "x-vf-acr", "x-wap-msisdn",
};

static bool listed(const char *const *v, size_t n, slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_ieq(name, slice_str(v[i])))
            return true;
    }
    return false;
}

bool tracker_parameter(slice name)
{
    for (size_t i = 0; i < array_len(families); i++) {
        if (slice_istarts(name, slice_str(families[i])))
            return true;
    }
    return listed(parameters, array_len(parameters), name);
}

bool tracker_field(slice name)
{
    return listed(fields, array_len(fields), name);
}

static slice name_of(slice parameter)
{
    slice name, value;
    return slice_cut(parameter, '=', &name, &value) ? name : parameter;
}

size_t strip_trackers(char *dst, slice target)
{
    slice path, rest, one;
    char *at = dst;
    if (!slice_cut(target, '?', &path, &rest))
        return target.n;
    bool found = false;
    for (slice s = rest; s.n && !found;) {
        if (!slice_cut(s, '&', &one, &s)) {
            one = s;
            s = SLICE_NONE;
        }
        found = tracker_parameter(name_of(one));
    }
    if (!found)
        return target.n;
    if (path.n)
        at = mempcpy(at, path.p, path.n);
    char *query = at; /* '?' stands before the first parameter that stays */
    for (bool more = true; more;) {
        more = slice_cut(rest, '&', &one, &rest);
        if (!more)
            one = rest;
        if (tracker_parameter(name_of(one)))
            continue;
        *at = at == query ? '?' : '&';
        at++;
        if (one.n)
            at = mempcpy(at, one.p, one.n);
    }
    return (size_t)(at - dst);
}

/* The host of an absolute URL; empty when there is none. */
static slice host_of(slice url)
{
    size_t n = 0;
    ptrdiff_t colon = slice_find(url, ':');
    slice s = colon < 0 ? SLICE_NONE : slice_from(url, (size_t)colon + 1);
    if (!slice_starts(s, SLICE("//")))
        return SLICE_NONE;
    s = slice_from(s, 2);
    while (n < s.n && s.p[n] != '/' && s.p[n] != '?' && s.p[n] != '#')
        n++;
    s = slice_upto(s, n);
    ptrdiff_t user = slice_rfind(s, '@');
    s = user < 0 ? s : slice_from(s, (size_t)user + 1);
    if (s.n && s.p[0] == '[') {
        ptrdiff_t end = slice_find(s, ']');
        return end < 0 ? SLICE_NONE : slice_of(s.p + 1, (size_t)end - 1);
    }
    ptrdiff_t port = slice_rfind(s, ':');
    s = port < 0 ? s : slice_upto(s, (size_t)port);
    while (s.n && s.p[s.n - 1] == '.')
        s.n--;
    return s;
}

static bool is_below(slice a, slice b)
{
    if (a.n < b.n)
        return false;
    return slice_ieq(slice_from(a, a.n - b.n), b) && (a.n == b.n || a.p[a.n - b.n - 1] == '.');
}

bool referer_is_foreign(slice referer, slice host)
{
    slice from = host_of(referer);
    return !from.n || !host.n || (!is_below(from, host) && !is_below(host, from));
}
