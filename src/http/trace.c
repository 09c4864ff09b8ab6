#include "http/trace.h"

#include <stdarg.h>
#include <stdio.h>

#include "http/exchange.h"

enum { LINE_MAX_BYTES = 1024 };

void trace_line(struct exchange *x, const struct conf_pos *pos, const char *fmt, ...)
{
    char text[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    x->trace->line(x->trace, x, pos, (slice){ text, len });
}
