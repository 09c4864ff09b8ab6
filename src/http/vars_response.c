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
    return x->resp.body.kind == BODY_LENGTH ? var_number(x, x->resp.body.length, out) : ERR_NOTFOUND;
}

static int get_sent_encoding(struct exchange *x, const struct var *v, slice *out)
{
    bool chunked = x->resp.body.kind == BODY_UNKNOWN && x->req.minor >= 1 && x->req.method != METHOD_HEAD;
    return chunked ? var_some(SLICE("chunked"), out) : ERR_NOTFOUND;
}

static int get_sent_field(struct exchange *x, const struct var *v, slice *out)
{
    slice joint = slice_ieq(v->arg, SLICE("set_cookie")) ? SLICE("; ") : SLICE(", ");
    return var_fields(x, &x->resp.fields, NULL, v->arg, joint, out);
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
    { "sent_http_", true, VAR_RESPONSE, false, 0, get_sent_field,
      "The answer's field of that name ('_' for '-'); several are joined." },
};

struct feature response_vars_feature = {
    .name = "response_vars",
    .doc = "Variables of the answer.",
    .vars = vars,
    .nvars = array_len(vars),
};
