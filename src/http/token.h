/*
 * Known field names as small numbers.
 *
 * The parser gives every field it reads its token once; everything behind it compares numbers. Names that are not in
 * tokens.def have token 0 and are compared as text. Fewer than 128 tokens, so that a set of them is two words.
 */
#ifndef HTTP_TOKEN_H
#define HTTP_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum token_flags { T_HOP = 1, T_PROT = 2, T_ONE = 4, T_NOTRAIL = 8 };

enum token {
    TOK_NONE,
#define TOKEN(id, name, flags) TOK_##id,
#include "http/tokens.def"
#undef TOKEN
    TOK_COUNT
};

_Static_assert(TOK_COUNT <= 128, "a token_set holds 128");

/* The token of a field name in any letter case; TOK_NONE when it is not known. One hash and one comparison. */
enum token token_find(slice name);
/* The name in lower case. */
slice token_name(enum token t);
extern const uint8_t token_flag_bits[TOK_COUNT];

static inline unsigned token_flags(enum token t)
{
    return token_flag_bits[t];
}

struct token_set {
    uint64_t w[2];
};

static inline void token_set_add(struct token_set *s, enum token t)
{
    s->w[t >> 6] |= 1ull << (t & 63);
}

static inline bool token_set_has(const struct token_set *s, enum token t)
{
    return s->w[t >> 6] >> (t & 63) & 1;
}

#endif
