/*
 * What the reader of a configuration is told: errors, warnings and notices with their place.
 *
 * All of a file's errors are collected, not the first alone. Printing is done at the edge (-t, start, reload): the
 * first line is nginx's own form, `[emerg] text in FILE:LINE`, because tools look for it; on further lines follow the
 * source line with a caret under the column (passwords in it hidden, conf/secrets.h), the directive's usage, and the
 * nearest known name.
 */
#ifndef CONF_DIAG_H
#define CONF_DIAG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/slice.h"
#include "conf/tree.h"

enum conf_severity { CONF_NOTICE, CONF_WARN, CONF_EMERG };

struct conf_message {
    enum conf_severity severity;
    struct conf_pos pos; /* file may be NULL: no place */
    slice text;
    slice source;   /* what the line holds around the column, kept because messages outlive the files */
    uint32_t caret; /* offset of the column in `source` */
    bool numbered;  /* the place is printed with its line number */
    slice hint;     /* further lines (usage, nearest name, why, fix), without a newline at the end; may be empty */
    struct conf_message *next;
};

enum { CONF_MAX_MESSAGES = 200 }; /* more are counted, not kept */

struct conf_diag {
    struct arena *arena;
    struct conf_message *first, **last;
    size_t kept, errors, warnings, dropped;
    bool strict; /* warnings of the tester count as errors */
};

/*
 * Messages own everything they show: they stay printable when the bundle and the generation they speak of are gone.
 * Of a message's place only line, column and the file's path are kept (`pos.file->text` is empty).
 * A message that cannot be kept for want of memory is still counted.
 */

void conf_diag_init(struct conf_diag *d, struct arena *a);
void conf_diag_add(struct conf_diag *d, enum conf_severity sev, struct conf_pos pos, slice hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The whole message as text: nginx's line, then the explaining lines; for a terminal or for the error log. */
slice conf_message_text(struct arena *a, const struct conf_message *m);
/* "[emerg]", "[warn]", "[notice]" */
const char *conf_severity_name(enum conf_severity s);

#endif
