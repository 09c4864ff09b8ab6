/*
 * The feature `client`: directives about how clients are read, answered and kept. Its structs are client_server_conf
 * and client_location_conf of http/route.h.
 */
#ifndef HTTP_CLIENT_CONF_H
#define HTTP_CLIENT_CONF_H

#include "conf/schema.h"
#include "http/route.h"

extern struct feature client_feature;

/*
 * Reads PATH [LEVEL1 [LEVEL2 [LEVEL3]]] of a *_temp_path directive. Levels are checked and not used: files for spilled
 * bodies have no names. OK, ERR_SYNTAX after reporting, or ERR_NOMEM.
 */
int temp_dir_read(struct conf_ctx *cf, const struct conf_node *node, const struct bundle_entry **dir);

#endif
