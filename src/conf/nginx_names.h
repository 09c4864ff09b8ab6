/*
 * What nginx calls directives and hinge does not know: nginx_names.def, asked by name.
 */
#ifndef CONF_NGINX_NAMES_H
#define CONF_NGINX_NAMES_H

#include "base/arena.h"
#include "base/slice.h"

/*
 * The hint for an unknown directive: that it is nginx's, or a module's for nginx, and not (yet) ours. Empty when nobody
 * known has such a directive, or without memory.
 */
slice nginx_name_hint(struct arena *a, slice name);

#endif
