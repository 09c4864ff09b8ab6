#include "base/base64.h"

#include "base/err.h"

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ptrdiff_t base64_decode(char *dst, slice text)
{
    unsigned bits = 0, have = 0;
    size_t n = 0, end = text.n;
    while (end && text.n - end < 2 && text.p[end - 1] == '=')
        end--;
    if (end != text.n && text.n % 4 != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < end; i++) {
        int d = digit(text.p[i]);
        if (d < 0)
            return ERR_SYNTAX;
        bits = bits << 6 | (unsigned)d;
        have += 6;
        if (have >= 8) {
            have -= 8;
            dst[n++] = (char)(bits >> have & 0xff);
        }
    }
    if (have == 6 || (bits & ((1u << have) - 1)))
        return ERR_SYNTAX;
    return (ptrdiff_t)n;
}

size_t base64_encode(char *dst, slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < bytes.n; i += 3) {
        unsigned have = bytes.n - i < 3 ? (unsigned)(bytes.n - i) : 3, bits = 0;
        for (unsigned k = 0; k < 3; k++)
            bits = bits << 8 | (k < have ? (unsigned char)bytes.p[i + k] : 0u);
        for (unsigned k = 0; k < 4; k++)
            dst[n++] = k <= have ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    return n;
}
