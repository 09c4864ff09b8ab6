/*
 * What the files of the tester share: reading the text of an http block. Nothing of it is for others.
 */
#ifndef PROXY_TESTER_PRIV_H
#define PROXY_TESTER_PRIV_H

#include "conf/schema.h"

#define TESTER_WARN(cf, pos, hint, ...) conf_diag_add((cf)->diag, CONF_WARN, (pos), (hint), __VA_ARGS__)

bool text_is(const struct conf_node *n, const char *name);
/* Argument i as written, or an empty slice. */
slice text_arg(const struct conf_node *n, uint32_t i);
/* The first line of that name directly in the block; NULL: none. */
const struct conf_node *text_child(const struct conf_node *block, const char *name);
/* "line 3", or "FILE:3" when it is not in the file of `from`. In cf's arena. */
slice text_place(struct conf_ctx *cf, const struct conf_node *n, const struct conf_node *from);
/* The line behind n in the order of the file, blocks included; NULL behind the last one of `top`. */
const struct conf_node *text_next(const struct conf_node *n, const struct conf_node *top);

/* proxy/tester_if.c: what an `if` block, in a server or a location, does not do although it looks so. */
void tester_if(struct conf_ctx *cf, const struct conf_node *n);

#endif
