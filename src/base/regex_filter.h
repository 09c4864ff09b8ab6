/*
 * A filter in front of many regular expressions that are tried in turn: which of them can match this subject at all.
 *
 * Most patterns of a configuration begin with '^' and some text, or end with text and '$' ("^/user/", "\.(gif|jpg)$").
 * Of each of the first and last few characters of a subject the filter knows which patterns it leaves possible; a few
 * table rows and-ed together leave those that PCRE2 has to be asked about. What a pattern needs is only ever necessary,
 * never sufficient; one that is not plainly understood is always left.
 *
 * It lives in an arena, is made once, and is then only read.
 */
#ifndef BASE_REGEX_FILTER_H
#define BASE_REGEX_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum { REGEX_FILTER_WORDS = 16, REGEX_FILTER_MAX = 64 * REGEX_FILTER_WORDS };

struct regex_filter;

struct regex_pattern {
    slice text;
    bool icase;
};

/* For n patterns, 1 to REGEX_FILTER_MAX, known by their index. NULL when out of memory. */
struct regex_filter *regex_filter_new(struct arena *a, const struct regex_pattern *patterns, unsigned n);

/* Sets the bits of those that may match in `possible` (of REGEX_FILTER_WORDS words); gives how many words it filled. */
unsigned regex_filter_run(const struct regex_filter *f, slice subject, uint64_t *possible);

#endif
