/*
 * What the tester can prove of a configuration that starts (proxy/tester.c).
 */
#ifndef PROXY_TESTER_H
#define PROXY_TESTER_H

#include "proxy/http_block.h"

/* Warns of faults in an http block that was built without errors. Where nothing can be fetched any more it does
 * nothing. */
void tester_run(struct conf_ctx *cf, const struct http_main *m, const struct conf_node *http);
/* Its part that looks at the text of the block alone (proxy/tester_text.c). */
void tester_text(struct conf_ctx *cf, const struct conf_node *http);
/* What travels in the clear (proxy/tester_tls.c): to a backend, and to clients that https waits for. */
struct proxy_conf;
void tester_clear_pass(struct conf_ctx *cf, const struct proxy_conf *c);
void tester_twins(struct conf_ctx *cf, const struct http_main *m);

#endif
