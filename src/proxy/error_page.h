/*
 * error_page: what becomes of an answer with a certain status. Data only; the respond step acts on it.
 */
#ifndef PROXY_ERROR_PAGE_H
#define PROXY_ERROR_PAGE_H

#include "conf/var.h"
#include "http/route.h"

struct error_page {
    uint16_t status;
    struct conf_pos pos;
    int overwrite;       /* -1: the status stays; 0 ("="): that of what answers now; else this code */
    struct template uri; /* its value is a path ("/..."), a named location ("@..."), or what the client is sent to */
    struct error_page *next;
};

extern struct feature error_page_feature;

/* Does the location name any? */
bool error_page_any(const struct location *l);
/* recursive_error_pages: may an error on the way to a page have a page of its own? */
bool error_page_recursive(const struct location *l);
/* The first error_page of the location that names the status, or NULL. */
const struct error_page *error_page_find(const struct location *l, unsigned status);

#endif
