/*
 * Browsers of the past that break kept connections, by their User-Agent: what nginx's keepalive_disable names.
 *
 *   msie6    Internet Explorer 4 to 6 before Windows XP's second service pack; it may wait in vain for the answer to a
 *            POST on a kept connection
 *   safari   Safari on macOS, and what says the same of itself; it may send a POST on a connection that is closed
 *
 * Recognised as nginx does it (ngx_http_core_module's manual, and its answers to such clients): see the test.
 */
#ifndef HTTP_OLD_BROWSER_H
#define HTTP_OLD_BROWSER_H

#include <stdbool.h>

#include "base/slice.h"
#include "http/msg.h"

enum { OLD_MSIE6 = 1, OLD_SAFARI = 2 };

/* Whether one of `browsers` (OLD_*, or-ed) must be met with a closed connection after this request. */
bool old_browser_breaks(const struct request *r, uint32_t browsers);

#endif
