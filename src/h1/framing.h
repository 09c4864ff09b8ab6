/*
 * Inside the HTTP/1 parser: the state of one parse, and what the fields that frame a message or concern this hop only
 * add up to. For parse.c and framing.c.
 */
#ifndef H1_FRAMING_H
#define H1_FRAMING_H

#include "base/err.h"
#include "h1/parse.h"

struct h1_parse {
    struct h1_head *h;
    const struct h1_rules *rules;
    const char *end;  /* of what may be read: the input, but max_head bytes at most */
    const char *line; /* begin of the current line */
    uint32_t lines;   /* field lines read */
    bool response;
    bool has_coding, has_expect, has_upgrade;
    bool close, keep_alive, upgrade; /* Connection options */
    uint32_t noptions, nother;
    struct token_set once;  /* T_ONE fields seen */
    struct token_set named; /* known fields named in Connection */
    bool any_named;
    slice other[H1_OPTIONS_MAX]; /* unknown ones */
};

static inline int h1_fail(struct h1_parse *s, enum h1_error e)
{
    s->h->error = e;
    return ERR_SYNTAX;
}

/* Takes note of a field that has T_HOP or T_ONE; does not store it. OK or ERR_SYNTAX. */
int h1_note_field(struct h1_parse *s, const struct field *f);

/* At the end of the head: states the body fact, keep_alive and upgrade, and sorts out what Connection named. */
int h1_finish(struct h1_parse *s);

#endif
