/*
 * `hinge --squid FILE`: a squid.conf as the whole configuration.
 *
 * What Squid keeps in that one file belongs to two levels here: processes, their log and pid file, and the proxy. This
 * makes the outer level as text, around a forward block that names the file; the rest is read there
 * (proxy/squid_block.h). The text is made anew whenever the configuration is loaded.
 */
#ifndef APP_SQUID_H
#define APP_SQUID_H

#include <stdbool.h>

struct bundle;

/*
 * The configuration as text (malloc) for the squid.conf at `path` (absolute), which is fetched into the bundle; what is
 * wrong in it is told when it is compiled. own_paths: logs and pid file stay where they are without -p. NULL: no
 * memory.
 */
char *squid_config(struct bundle *b, const char *path, bool own_paths);

#endif
