/*
 * From decoded fields to a request: RFC 9113 §8, as strict as HTTP/1's parser is, and with the same result.
 */
#ifndef H2_REQUEST_H
#define H2_REQUEST_H

#include "h2/hpack.h"
#include "http/exchange.h"

/* One head while its fields are decoded; zero it but for `x` and `conf`. */
struct h2_request {
    struct exchange *x;
    const struct client_server_conf *conf;
    unsigned status;  /* 0, or what the request is refused with */
    const char *text; /* why */
    bool malformed;   /* the stream ends with PROTOCOL_ERROR behind that answer */
    bool regular;     /* a field that is no pseudo-field has come */
    bool nomem;
    slice method, scheme, authority, path, host, length, priority;
    uint32_t fields, cookies, dropped;
    size_t bytes;
    struct token_set once;
};

/* A h2_field_fn; arg: struct h2_request. */
bool h2_request_field(void *arg, slice name, slice value);
/*
 * After the last field: completes x->req. `ends`: nothing follows the head. The refusal, if there is one, is in
 * r->status. OK or ERR_NOMEM.
 */
int h2_request_finish(struct h2_request *r, bool ends);

/* A trailer section: only checked. */
struct h2_trailers {
    struct arena *arena; /* NULL: nothing is kept */
    struct fields *out;
    uint32_t fields;
    bool bad;
};
bool h2_trailer_field(void *arg, slice name, slice value);

/* A field name of RFC 9113 §8.2.1: a token without capitals. */
bool h2_name_ok(slice name);
/* A value: no control characters, no white space at its ends. */
bool h2_value_ok(slice value);

#endif
