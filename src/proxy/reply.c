/*
 * Answers of our own: reply_set prepares one, the reply end delivers it like any backend would.
 *
 * The page of an error is plain and small and holds nothing of the request (CVE-2025-62168).
 */
#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "proxy/step.h"

struct reply_end {
    struct end end;
    slice body;
    bool pushed;
};

static int reply_send_head(struct end *e, struct exchange *x)
{
    return ERR_UNSUPPORTED; /* nothing is ever sent to us */
}

static void reply_kick_out(struct end *e)
{
}

static void reply_kick_in(struct end *e)
{
    struct reply_end *r = container_of(e, struct reply_end, end);
    if (r->pushed)
        return;
    r->pushed = true;
    pipe_put(e->in, PIECE_MEM, r->body);
    pipe_end(e->in, NULL);
    pipe_push(e->in);
    exchange_post(e->x, X_BACK_DONE);
}

static void reply_stop(struct end *e)
{
    pipe_close(e->in);
}

static const struct end_ops reply_ops = {
    .name = "reply",
    .send_head = reply_send_head,
    .kick_out = reply_kick_out,
    .kick_in = reply_kick_in,
    .stop_in = reply_stop,
    .reset = end_detach,
    .finish = end_detach,
};

int reply_attach(struct exchange *x)
{
    struct reply_end *r = arena_new(&x->arena, struct reply_end);
    if (!r)
        return ERR_NOMEM;
    end_init(&r->end, &reply_ops);
    r->body = x->reply_body;
    end_attach_back(&r->end, x);
    return OK;
}

/* What the configuration wrote stands as it is; what variables brought in is text and nothing else. */
static slice page_foot(struct exchange *x)
{
    const struct template *t = &x->pass.loc->client->server_field;
    struct strb b;
    slice value, out;
    if (exchange_eval(x, t, &value) != OK)
        return SLICE_NONE;
    if (template_literal(t))
        return value;
    strb_init(&b, 0);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '<' || value.p[i] == '>' || value.p[i] == '&' || value.p[i] == '"')
            strb_printf(&b, "&#%u;", (unsigned)value.p[i]);
        else
            strb_char(&b, value.p[i]);
    }
    bool kept = !b.failed && arena_dup(&x->arena, strb_slice(&b), &out);
    strb_done(&b);
    return kept ? out : SLICE_NONE;
}

/* nginx's words for its kinds of 400, by which administrators find what they search for. */
static slice kind_words(unsigned status)
{
    static const char *const words[] = { "Request Header Or Cookie Too Large", "The SSL certificate error",
                                         "No required SSL certificate was sent",
                                         "The plain HTTP request was sent to HTTPS port" };
    return status >= 494 && status <= 497 ? slice_str(words[status - 494]) : SLICE_NONE;
}

static slice page_body(struct exchange *x, unsigned status)
{
    slice kind = kind_words(status), foot;
    if (kind.n)
        status = 400;
    slice reason = status_reason(status), title = kind.n ? kind : reason;
    if (status < 300 || !reason.n)
        return SLICE(""); /* a code that nobody knows has no page, as in nginx */
    foot = page_foot(x);
    return arena_printf(
        &x->arena,
        "<html>\r\n<head><title>%u %.*s</title></head>\r\n<body>\r\n<center><h1>%u %.*s</h1></center>\r\n"
        "%s%.*s%s%s%.*s%s</body>\r\n</html>\r\n",
        status, SLICE_FMT(title), status, SLICE_FMT(reason), kind.n ? "<center>" : "", SLICE_FMT(kind),
        kind.n ? "</center>\r\n" : "", foot.n ? "<hr><center>" : "", SLICE_FMT(foot), foot.n ? "</center>\r\n" : "");
}

static bool put_field(struct exchange *x, enum token t, slice name, slice value)
{
    return fields_add(&x->arena, &x->resp.fields, (struct field){ .name = name, .value = value, .token = (uint16_t)t });
}

int reply_set(struct exchange *x, unsigned status, slice type, slice body, bool page)
{
    slice text = page ? page_body(x, status) : body;
    bool has_body = status >= 200 && status != 204 && status != 304;
    if (page && status >= 300 && !text.p)
        return ERR_NOMEM;
    text = has_body ? text : SLICE_NONE;
    x->resp = (struct response){ .status = (uint16_t)status, .minor = 1, .reason = status_reason(status) };
    x->resp.body = (struct body_fact){ text.n ? BODY_LENGTH : BODY_NONE, text.n };
    x->resp.declared = x->resp.body;
    x->reply_body = text;
    x->local = true;
    x->plain_page = page;
    if (page)
        type = text.n ? SLICE("text/html") : SLICE_NONE;
    if (has_body && type.n && !put_field(x, TOK_CONTENT_TYPE, SLICE("Content-Type"), type))
        return ERR_NOMEM;
    return OK;
}

int reply_redirect(struct exchange *x, unsigned status, slice location)
{
    int rc = reply_set(x, status, SLICE_NONE, SLICE_NONE, true);
    if (rc < 0)
        return rc;
    return put_field(x, TOK_LOCATION, SLICE("Location"), location) ? OK : ERR_NOMEM;
}
