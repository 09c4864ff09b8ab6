/*
 * Squid's lines that say what directives of ours say too: ports, times, sizes, name servers, what targets are told.
 *
 * They are put into the block as if they stood there in our words, each with its place in the squid.conf, so that there
 * is one meaning of each and errors name that place. A line of the block itself wins. What has no words of ours (rules,
 * fields, pages) stays in the policy and is asked there.
 */
#ifndef PROXY_SQUID_BLOCK_H
#define PROXY_SQUID_BLOCK_H

#include "conf/schema.h"
#include "proxy/forward_block.h"

/* The directive squid_conf: reads the file into the block's policy. */
int squid_conf_line(struct conf_ctx *cf, const struct conf_node *node, void *conf);
/*
 * Appends the lines at *end, which moves. Once the block's own lines were applied. OK, ERR_SYNTAX (reported) or
 * ERR_NOMEM.
 */
int squid_lines(struct conf_ctx *cf, const struct conf_node *block, struct forward_conf *c, struct conf_node ***end);

#endif
