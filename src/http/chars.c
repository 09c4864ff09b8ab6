/*
 * The table of byte classes; a byte that is not named here is in none.
 */
#include "http/chars.h"

#define VISIBLE (CH_VALUE | CH_TARGET)
#define ALNUM   (VISIBLE | CH_TOKEN | CH_PLAIN | CH_PCHAR | CH_UNRESERVED)

const uint8_t http_chars[256] = {
    ['\t'] = CH_VALUE,
    [' '] = CH_VALUE,
    ['!'] = VISIBLE | CH_TOKEN | CH_PCHAR,
    ['"'] = VISIBLE,
    ['#'] = CH_VALUE | CH_TOKEN,
    ['$'] = VISIBLE | CH_TOKEN | CH_PCHAR,
    ['%'] = VISIBLE | CH_TOKEN,
    ['&'] = VISIBLE | CH_TOKEN | CH_PCHAR,
    ['\''] = VISIBLE | CH_TOKEN | CH_PCHAR,
    ['('] = VISIBLE | CH_PCHAR,
    [')'] = VISIBLE | CH_PCHAR,
    ['*'] = VISIBLE | CH_TOKEN | CH_PCHAR,
    ['+'] = VISIBLE | CH_TOKEN | CH_PCHAR,
    [','] = VISIBLE | CH_PCHAR,
    ['-'] = ALNUM,
    ['.'] = VISIBLE | CH_TOKEN | CH_PCHAR | CH_UNRESERVED,
    ['/'] = VISIBLE | CH_PCHAR,
    ['0' ... '9'] = ALNUM,
    [':'] = VISIBLE | CH_PCHAR,
    [';'] = VISIBLE | CH_PCHAR,
    ['<'] = VISIBLE,
    ['='] = VISIBLE | CH_PCHAR,
    ['>'] = VISIBLE,
    ['?'] = VISIBLE,
    ['@'] = VISIBLE | CH_PCHAR,
    ['A' ... 'Z'] = ALNUM,
    ['['] = VISIBLE,
    ['\\'] = CH_VALUE,
    [']'] = VISIBLE,
    ['^'] = VISIBLE | CH_TOKEN,
    ['_'] = VISIBLE | CH_TOKEN | CH_PCHAR | CH_UNRESERVED,
    ['`'] = VISIBLE | CH_TOKEN,
    ['a' ... 'z'] = ALNUM,
    ['{'] = VISIBLE,
    ['|'] = VISIBLE | CH_TOKEN,
    ['}'] = VISIBLE,
    ['~'] = VISIBLE | CH_TOKEN | CH_PCHAR | CH_UNRESERVED,
    [0x80 ... 0xff] = CH_VALUE,
};
