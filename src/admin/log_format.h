/*
 * Log formats: templates whose variables are escaped for the log that they go to.
 */
#ifndef ADMIN_LOG_FORMAT_H
#define ADMIN_LOG_FORMAT_H

#include "base/strb.h"
#include "conf/schema.h"
#include "conf/var.h"
#include "http/exchange.h"

enum log_escape { LOG_ESCAPE_DEFAULT, LOG_ESCAPE_JSON, LOG_ESCAPE_NONE };

struct log_format {
    slice name;
    enum log_escape escape;
    struct template text;
    struct log_format *next;
};

/* One log_format directive. *out is in the configuration's arena. OK, ERR_SYNTAX after reporting, ERR_NOMEM. */
int log_format_parse(struct conf_ctx *cf, const struct conf_node *node, struct log_format **out);
/* nginx's "combined", "forward", and Squid's "squid". ERR_NOTFOUND: another name. */
int log_format_predefined(struct conf_ctx *cf, slice name, struct log_format **out);
/* Appends the line with its newline. */
void log_format_line(const struct log_format *f, struct exchange *x, struct strb *out);

#endif
