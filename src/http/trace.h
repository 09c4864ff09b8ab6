/*
 * A trace: what an exchange tells about its way, for whoever asked to be told (`hinge explain`).
 *
 * In service no exchange has one, and a decision costs the test of one pointer. The lines are plain sentences about
 * what was decided, each with the place of the configuration that decided it.
 */
#ifndef HTTP_TRACE_H
#define HTTP_TRACE_H

#include "base/slice.h"
#include "conf/tree.h"
#include "net/addr.h"

struct exchange;

struct trace {
    /* `pos` may be NULL: no line of the configuration decided. `text` is good during the call only. */
    void (*line)(struct trace *t, struct exchange *x, const struct conf_pos *pos, slice text);
    slice user;            /* taken for somebody who has given the password; none: passwords are asked for */
    const struct addr *to; /* taken for what DNS answers; NULL: names are not resolved */
};

/* Use exchange_trace. */
void trace_line(struct exchange *x, const struct conf_pos *pos, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define exchange_trace(x, pos, ...)                  \
    do {                                             \
        if (__builtin_expect((x)->trace != NULL, 0)) \
            trace_line((x), (pos), __VA_ARGS__);     \
    } while (0)

#endif
