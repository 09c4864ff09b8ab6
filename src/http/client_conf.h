/*
 * The feature `client`: directives about how clients are read, answered and kept. Its structs are client_server_conf
 * and client_location_conf of http/route.h.
 */
#ifndef HTTP_CLIENT_CONF_H
#define HTTP_CLIENT_CONF_H

#include "conf/schema.h"
#include "http/route.h"

extern struct feature client_feature;

#endif
