#include "base/escape.h"

static const char upper_hex[] = "0123456789ABCDEF";

static bool printable(unsigned char c)
{
    return c >= 0x20 && c < 0x7f;
}

static bool log_plain(unsigned char c)
{
    return printable(c) && c != '"' && c != '\\';
}

slice escape_log_upto(slice s, size_t room)
{
    size_t i = 0;
    for (size_t size = 0; i < s.n; i++) {
        size += log_plain((unsigned char)s.p[i]) ? 1 : 4;
        if (size > room)
            break;
    }
    return slice_upto(s, i);
}

static void escape_hex(struct strb *out, slice s, bool quoted)
{
    size_t done = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (quoted ? log_plain(c) : printable(c))
            continue;
        char text[4] = { '\\', 'x', upper_hex[c >> 4], upper_hex[c & 15] };
        strb_add(out, slice_of(s.p + done, i - done));
        strb_add(out, slice_of(text, sizeof(text)));
        done = i + 1;
    }
    strb_add(out, slice_from(s, done));
}

void escape_log(struct strb *out, slice s)
{
    escape_hex(out, s, true);
}

void escape_terminal(struct strb *out, slice s)
{
    escape_hex(out, s, false);
}

/* The short form of a character, or 0. */
static char json_short(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    default:
        return 0;
    }
}

static void json(struct strb *out, slice s, unsigned char plain_from)
{
    size_t done = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        char letter = json_short(c);
        if (!letter && c >= 0x20 && (c < 0x7f || (plain_from && c >= plain_from)))
            continue;
        strb_add(out, slice_of(s.p + done, i - done));
        if (letter) {
            strb_char(out, '\\');
            strb_char(out, letter);
        } else {
            char text[6] = { '\\', 'u', '0', '0', upper_hex[c >> 4], upper_hex[c & 15] };
            strb_add(out, slice_of(text, sizeof(text)));
        }
        done = i + 1;
    }
    strb_add(out, slice_from(s, done));
}

void escape_json(struct strb *out, slice s)
{
    json(out, s, 0x7f);
}

void escape_json_ascii(struct strb *out, slice s)
{
    json(out, s, 0);
}
