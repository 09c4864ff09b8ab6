/*
 * Variables of the answer that the client gets.
 */
#include "base/attr.h"
#include "http/vars.h"

/* While error_page makes another answer, the status that the client will see, as in nginx; before any answer, 000. */
static int get_status(struct exchange *x, const struct var *v, slice *out)
{
    unsigned status = x->override_status;
    if (x->known >= VAR_RESPONSE)
        status = x->logged_status ? x->logged_status : x->resp.status;
    slice s = arena_printf(&x->arena, "%03u", status);
    if (!s.p)
        return ERR_NOMEM;
    *out = s;
    return OK;
}

static int get_body_bytes_sent(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, x->body_sent, out);
}

static int get_bytes_sent(struct exchange *x, const struct var *v, slice *out)
{
    return var_number(x, x->sent, out);
}

static int get_completion(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->ended == END_DONE ? SLICE("OK") : SLICE("");
    return OK;
}

/* Fields that the codec writes are not in the list: they follow from facts. */
static int get_sent_length(struct exchange *x, const struct var *v, slice *out)
{
    const struct body_fact *b = x->req.method == METHOD_HEAD ? &x->resp.declared : &x->resp.body;
    return b->kind == BODY_LENGTH ? var_number(x, b->length, out) : ERR_NOTFOUND;
}

static int get_sent_encoding(struct exchange *x, const struct var *v, slice *out)
{
    bool chunked = x->resp.body.kind == BODY_UNKNOWN && x->req.minor >= 1 && x->req.method != METHOD_HEAD;
    return chunked ? var_some(SLICE("chunked"), out) : ERR_NOTFOUND;
}

static int get_sent_connection(struct exchange *x, const struct var *v, slice *out)
{
    *out = x->resp.status == 101 ? SLICE("upgrade") : x->req.keep_alive ? SLICE("keep-alive") : SLICE("close");
    return OK;
}

static int get_sent_field(struct exchange *x, const struct var *v, slice *out)
{
    return var_fields(x, &x->resp.fields, NULL, v->arg, SLICE(", "), out);
}

/* Trailers go out with a body in chunks alone. */
static int get_sent_trailer(struct exchange *x, const struct var *v, slice *out)
{
    slice chunked;
    const struct pipe *p = x->front ? x->front->out : NULL;
    if (!p || !p->trailers || get_sent_encoding(x, v, &chunked) != OK)
        return ERR_NOTFOUND;
    return var_fields(x, p->trailers, NULL, v->arg, SLICE(", "), out);
}

static const struct var_def vars[] = {
    { "status", false, VAR_REQUEST, false, 0, get_status, "The status of the answer." },
    { "body_bytes_sent", false, VAR_RESPONSE, false, 0, get_body_bytes_sent,
      "Bytes sent to the client, without the head." },
    { "bytes_sent", false, VAR_RESPONSE, false, 0, get_bytes_sent, "Bytes sent to the client." },
    { "request_completion", false, VAR_END, false, 0, get_completion,
      "\"OK\" when the request ended well, else empty." },
    { "sent_http_content_length", false, VAR_RESPONSE, false, 0, get_sent_length, "The answer's Content-Length." },
    { "sent_http_transfer_encoding", false, VAR_RESPONSE, false, 0, get_sent_encoding,
      "\"chunked\" when the answer is sent so." },
    { "sent_http_connection", false, VAR_RESPONSE, false, 0, get_sent_connection,
      "What becomes of the connection: close, keep-alive or upgrade." },
    { "sent_trailer_", true, VAR_END, false, 0, get_sent_trailer, "The trailer field of that name of the answer." },
    { "sent_http_", true, VAR_RESPONSE, false, 0, get_sent_field,
      "The answer's field of that name ('_' for '-'); several are joined." },
};

struct feature response_vars_feature = {
    .name = "response_vars",
    .doc = "Variables of the answer.",
    .vars = vars,
    .nvars = array_len(vars),
};
