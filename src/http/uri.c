/*
 * Authorities, hosts and paths.
 *
 * A path is read as components, each a separator ('/' or `%2F`) and what follows it, and both results, the decoded path
 * that rules match and the encoded normal form that may go out, are built in the same walk over the same components:
 * they cannot come to disagree about where a segment ends. A segment is taken back when it turns out to be "." or "..".
 */
#include "http/uri.h"

#include <arpa/inet.h>

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "http/chars.h"

/* 1*DIGIT, 1 to 65535, no leading zero. */
static int parse_port(slice s, uint16_t *out)
{
    unsigned v = 0;
    if (s.n == 0 || s.n > 5 || s.p[0] == '0')
        return ERR_SYNTAX;
    for (size_t i = 0; i < s.n; i++) {
        if (!ascii_digit(s.p[i]))
            return ERR_SYNTAX;
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    if (v > 65535)
        return ERR_SYNTAX;
    *out = (uint16_t)v;
    return OK;
}

/* Four decimal numbers below 256 without leading zeros. */
static bool is_dotted_quad(slice s)
{
    unsigned parts = 0;
    while (s.n) {
        unsigned v = 0, digits = 0;
        while (s.n && ascii_digit(s.p[0]) && digits < 4) {
            v = v * 10 + (unsigned)(s.p[0] - '0');
            digits++;
            s = slice_from(s, 1);
        }
        if (digits == 0 || digits > 3 || v > 255 || (digits > 1 && s.p[-(ptrdiff_t)digits] == '0'))
            return false;
        parts++;
        if (s.n == 0)
            return parts == 4;
        if (s.p[0] != '.')
            return false;
        s = slice_from(s, 1);
    }
    return false;
}

/*
 * A last label of digits, or of 0x and hexadecimal digits, is how programs recognise an IPv4 address in one of its many
 * spellings (0177.0.0.1, 2130706433, 0x7f.1): only the strict quad may pass.
 */
static bool looks_numeric(slice host)
{
    if (host.p[host.n - 1] == '.')
        host.n--;
    ptrdiff_t dot = slice_rfind(host, '.');
    slice last = slice_from(host, (size_t)(dot + 1));
    if (slice_istarts(last, SLICE("0x"))) {
        last = slice_from(last, 2);
        for (size_t i = 0; i < last.n; i++) {
            if (ascii_hex(last.p[i]) < 0)
                return false;
        }
        return true;
    }
    for (size_t i = 0; i < last.n; i++) {
        if (!ascii_digit(last.p[i]))
            return false;
    }
    return true;
}

/* Letters, digits, '-', '_', in labels of which only one behind a last dot may be empty. */
static int check_name(slice host)
{
    bool label = false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (c == '.') {
            if (!label)
                return ERR_SYNTAX;
            label = false;
        } else if (ch_is(c, CH_PLAIN) || c == '_') {
            label = true;
        } else {
            return ERR_SYNTAX;
        }
    }
    if (host.n == 0)
        return ERR_SYNTAX;
    if (looks_numeric(host) && !is_dotted_quad(host))
        return ERR_SYNTAX;
    return OK;
}

/* `inner`: what stands between the brackets. */
static int check_ipv6(slice inner)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr addr;
    if (inner.n == 0 || inner.n >= sizeof(text) || memchr(inner.p, 0, inner.n))
        return ERR_SYNTAX;
    memcpy(text, inner.p, inner.n);
    text[inner.n] = 0;
    return inet_pton(AF_INET6, text, &addr) == 1 ? OK : ERR_SYNTAX;
}

int uri_authority(slice text, slice *host, uint16_t *port)
{
    slice name, rest;
    uint16_t number = 0;
    int rc;
    if (text.n && text.p[0] == '[') {
        ptrdiff_t close = slice_find(text, ']');
        if (close < 0)
            return ERR_SYNTAX;
        name = slice_upto(text, (size_t)close + 1);
        rc = check_ipv6(slice_of(text.p + 1, (size_t)close - 1));
    } else {
        ptrdiff_t colon = slice_find(text, ':');
        name = slice_upto(text, colon < 0 ? text.n : (size_t)colon);
        rc = check_name(name);
    }
    rest = slice_from(text, name.n);
    if (rc == OK && rest.n)
        rc = rest.p[0] == ':' ? parse_port(slice_from(rest, 1), &number) : ERR_SYNTAX;
    if (rc != OK)
        return rc;
    *host = name;
    *port = number;
    return OK;
}

void uri_hide_password(char *text, size_t n)
{
    slice all = slice_of(text, n), s = all;
    ptrdiff_t space = n ? slice_find(s, ' ') : -1;
    if (space >= 0) /* behind the method, up to the version */
        s = slice_from(s, (size_t)space + 1);
    size_t from = 0, to = 0;
    if (s.n && (s.p[0] == '/' || s.p[0] == '*'))
        return;
    for (size_t i = 0; i + 2 < s.n && !from; i++)
        from = s.p[i] == ':' && s.p[i + 1] == '/' && s.p[i + 2] == '/' ? i + 3 : 0;
    s = slice_from(s, from);
    while (to < s.n && s.p[to] != '/' && s.p[to] != '?' && s.p[to] != '#' && s.p[to] != ' ')
        to++;
    ptrdiff_t at = slice_rfind(slice_upto(s, to), '@');
    ptrdiff_t colon = at < 0 ? -1 : slice_find(slice_upto(s, (size_t)at), ':');
    if (colon >= 0)
        memset(text + (s.p - all.p) + colon + 1, '*', (size_t)(at - colon) - 1);
}

bool uri_host_normal(struct arena *a, slice host, slice *out)
{
    size_t i = 0;
    if (host.n && host.p[host.n - 1] == '.')
        host.n--;
    while (i < host.n && ascii_lower(host.p[i]) == host.p[i])
        i++;
    if (i == host.n) {
        *out = host;
        return true;
    }
    char *p = arena_bytes(a, host.n);
    if (!p)
        return false;
    for (i = 0; i < host.n; i++)
        p[i] = ascii_lower(host.p[i]);
    *out = slice_of(p, host.n);
    return true;
}

static char *put_escape(char *to, char c)
{
    *to++ = '%';
    *to++ = "0123456789ABCDEF"[(uint8_t)c >> 4];
    *to++ = "0123456789ABCDEF"[(uint8_t)c & 15];
    return to;
}

/* Returns the unused end of the latest allocation to the arena. */
static void give_back(struct arena *a, const char *reserved_end, char *used_end)
{
    if (a->at == reserved_end)
        a->at = used_end;
}

struct walk {
    const char *in, *end;
    char *path, *path_at;     /* decoded */
    char *normal, *normal_at; /* encoded */
    bool changed;
};

/* The overlong UTF-8 forms of NUL, '.' and '/' (two to six bytes), ending at the byte just written. */
static bool ends_overlong(const char *segment, const char *at)
{
    const uint8_t *p = (const uint8_t *)at - 1;
    size_t before = (size_t)((const char *)p - segment);
    if (*p != 0x80 && *p != 0xae && *p != 0xaf)
        return false;
    static const uint8_t leads[] = { 0xc0, 0xe0, 0xf0, 0xf8, 0xfc };
    for (size_t i = 0; i < array_len(leads) && i < before; i++) {
        if (p[-1 - (ptrdiff_t)i] == leads[i])
            return true;
        if (p[-1 - (ptrdiff_t)i] != 0x80)
            return false;
    }
    return false;
}

/* A separator into both forms. The normal form begins with '/', whatever was taken back before it. */
static void put_separator(struct walk *w, bool escaped)
{
    if (escaped && w->path_at > w->path)
        w->normal_at = put_escape(w->normal_at, '/');
    else
        *w->normal_at++ = '/';
    *w->path_at++ = '/';
}

/* One separator, '/' or %2F; ERR_SYNTAX when there is none here. */
static int take_separator(struct walk *w, bool *escaped)
{
    *escaped = *w->in == '%';
    if (*w->in != '/' && !(w->end - w->in >= 3 && w->in[0] == '%' && w->in[1] == '2' && (w->in[2] | 0x20) == 'f'))
        return ERR_SYNTAX;
    w->in += *escaped ? 3 : 1;
    put_separator(w, *escaped);
    return OK;
}

/*
 * The decoded bytes up to the next separator. In the normal form an escape stays one unless it stands for an unreserved
 * character: `%3B` is data where ';' may be a delimiter (RFC 3986 §2.2, §6.2.2.2).
 */
static int take_segment(struct walk *w)
{
    const char *segment = w->path_at;
    while (w->in < w->end) {
        char c = *w->in;
        unsigned literal = CH_PCHAR;
        if (c == '/')
            return OK;
        if (c == '%') {
            int hi = w->end - w->in >= 3 ? ascii_hex(w->in[1]) : -1, lo = hi < 0 ? -1 : ascii_hex(w->in[2]);
            if (lo < 0)
                return ERR_SYNTAX;
            c = (char)(hi << 4 | lo);
            if (c == '/')
                return OK;
            w->in += 2;
            literal = CH_UNRESERVED;
        }
        w->in++;
        if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f)
            return ERR_SYNTAX; /* it could be written into no field */
        *w->path_at++ = c;
        if (unlikely((c & 0x80) && ends_overlong(segment, w->path_at)))
            return ERR_SYNTAX;
        if (ch_is(c, literal))
            *w->normal_at++ = c;
        else
            w->normal_at = put_escape(w->normal_at, c);
    }
    return OK;
}

/* Cuts the last component off both forms; false when there is none. */
static bool drop_component(struct walk *w)
{
    char *p = w->path_at, *q = w->normal_at;
    if (p == w->path)
        return false;
    while (*--p != '/') {
    }
    do
        q--;
    while (*q != '/' && !(*q == '%' && q[1] == '2' && q[2] == 'F'));
    w->path_at = p;
    w->normal_at = q;
    return true;
}

enum segment { SEG_NAME, SEG_EMPTY, SEG_DOT, SEG_DOTS, SEG_REFUSED };

/*
 * ".." with a parameter behind it ("/..;x/") is a name in RFC 3986 and a dot segment to some servers behind us: no good
 * request has one, so it is refused.
 */
static enum segment segment_kind(slice s)
{
    size_t dots = 0;
    if (s.n == 0)
        return SEG_EMPTY;
    while (dots < s.n && s.p[dots] == '.')
        dots++;
    if (dots == 0 || dots > 2)
        return SEG_NAME;
    if (dots == s.n)
        return dots == 1 ? SEG_DOT : SEG_DOTS;
    return s.p[dots] == ';' ? SEG_REFUSED : SEG_NAME;
}

static int walk_component(struct walk *w, bool merge)
{
    char *path = w->path_at, *normal = w->normal_at;
    bool escaped;
    int rc = take_separator(w, &escaped);
    char *segment = w->path_at;
    if (rc == OK)
        rc = take_segment(w);
    if (rc != OK)
        return rc;
    bool last = w->in == w->end;
    enum segment kind = segment_kind(slice_of(segment, (size_t)(w->path_at - segment)));
    if (kind == SEG_REFUSED)
        return ERR_SYNTAX;
    if (kind == SEG_NAME || (kind == SEG_EMPTY && (last || !merge)))
        return OK;
    w->changed = true;
    w->path_at = path;
    w->normal_at = normal;
    if (kind == SEG_DOTS && !drop_component(w))
        return ERR_SYNTAX;
    if (last)
        put_separator(w, escaped);
    return OK;
}

/* Nothing to decode, to merge, to resolve or to refuse. */
static bool is_plain(slice raw)
{
    char prev = 0;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];
        if (c == '%' || (prev == '/' && (c == '/' || c == '.')) || !ch_is(c, CH_TARGET))
            return false;
        prev = c;
    }
    return true;
}

int uri_path_parse(struct arena *a, slice raw, bool merge_slashes, struct uri_path *out)
{
    size_t room;
    if (raw.n == 0 || raw.p[0] != '/')
        return ERR_SYNTAX;
    if (is_plain(raw)) {
        *out = (struct uri_path){ .path = raw };
        return OK;
    }
    if (!checked_mul(raw.n, 4, &room))
        return ERR_NOMEM;
    char *mem = arena_bytes(a, room); /* the decoded form shrinks, the normal form at most triples */
    if (!mem)
        return ERR_NOMEM;
    struct walk w = { .in = raw.p, .end = raw.p + raw.n, .path = mem, .normal = mem + raw.n };
    w.path_at = w.path;
    w.normal_at = w.normal;
    while (w.in < w.end) {
        int rc = walk_component(&w, merge_slashes);
        if (rc != OK) {
            give_back(a, mem + room, mem);
            return rc;
        }
    }
    *out = (struct uri_path){ .path = slice_of(w.path, (size_t)(w.path_at - w.path)), .changed = w.changed };
    if (w.changed)
        out->normal = slice_of(w.normal, (size_t)(w.normal_at - w.normal));
    give_back(a, mem + room, w.changed ? w.normal_at : w.path_at);
    return OK;
}

/* What nginx escapes in a path and in arguments; in a component, all but unreserved characters. */
static bool must_escape(char c, enum uri_escape kind)
{
    if ((uint8_t)c <= 0x20 || (uint8_t)c >= 0x7f)
        return true;
    if (kind == URI_ESCAPE_COMPONENT)
        return !ch_is(c, CH_UNRESERVED);
    if (slice_find(SLICE("\"#%<>?\\^`{|}"), c) >= 0)
        return true;
    return kind == URI_ESCAPE_ARGS && (c == '&' || c == '+' || c == ';');
}

bool uri_escape(struct arena *a, slice s, enum uri_escape kind, slice *out)
{
    size_t i = 0, room;
    while (i < s.n && !must_escape(s.p[i], kind))
        i++;
    if (i == s.n) {
        *out = s;
        return true;
    }
    if (!checked_mul(s.n, 3, &room))
        return false;
    char *mem = arena_bytes(a, room), *at = mem;
    if (!mem)
        return false;
    memcpy(at, s.p, i);
    for (at += i; i < s.n; i++) {
        if (must_escape(s.p[i], kind))
            at = put_escape(at, s.p[i]);
        else
            *at++ = s.p[i];
    }
    *out = slice_of(mem, (size_t)(at - mem));
    give_back(a, mem + room, at);
    return true;
}
