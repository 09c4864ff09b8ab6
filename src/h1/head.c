/*
 * From a parsed head, which lies in a read buffer, to a message that an exchange keeps.
 *
 * The bytes are copied once, as one block, and every slice is moved over into the copy. Then the target is taken apart:
 * its form, its authority, its path (RFC 9112 §3.2).
 */
#include "base/checked.h"
#include "base/err.h"
#include "h1/parse.h"
#include "http/target.h"
#include "http/uri.h"

struct copy {
    const char *from;
    const char *to;
};

static slice moved(const struct copy *c, slice s)
{
    return s.p ? slice_of(c->to + (s.p - c->from), s.n) : s;
}

static bool copy_bytes(struct arena *a, slice head, struct copy *c)
{
    char *mem = arena_bytes(a, head.n);
    if (!mem)
        return false;
    memcpy(mem, head.p, head.n);
    *c = (struct copy){ .from = head.p, .to = mem };
    return true;
}

static void move_fields(const struct copy *c, const struct field *from, uint32_t n, struct field *to,
                        struct fields *out)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = from[i];
        to[i].name.p = c->to + (from[i].name.p - c->from);
        to[i].value.p = c->to + (from[i].value.p - c->from);
    }
    *out = (struct fields){ .v = to, .n = n, .cap = n };
}

static bool copy_fields(const struct h1_head *h, const struct copy *c, struct arena *a, struct fields *fields,
                        struct fields *hop)
{
    size_t bytes;
    *fields = *hop = (struct fields){ 0 };
    if (h->nfields + h->nhop == 0)
        return true;
    if (!checked_mul((size_t)h->nfields + h->nhop, sizeof(struct field), &bytes))
        return false;
    struct field *v = arena_alloc(a, bytes);
    if (!v)
        return false;
    move_fields(c, h->fields, h->nfields, v, fields);
    move_fields(c, h->hop, h->nhop, v + h->nfields, hop);
    return true;
}

static int fail(enum h1_error *error, enum h1_error e)
{
    *error = e;
    return ERR_SYNTAX;
}

/* Takes the scheme and the authority off an absolute target; `rest` begins with '/', '?' or is empty. */
static int split_absolute(struct request *r, slice target, slice *rest, enum h1_error *error)
{
    static const slice schemes[] = { SLICE("http"), SLICE("https") };
    for (size_t i = 0; i < 2; i++) {
        slice s = schemes[i];
        if (!slice_istarts(target, s) || !slice_starts(slice_from(target, s.n), SLICE("://")))
            continue;
        *rest = slice_from(target, s.n + 3);
        size_t n = 0;
        while (n < rest->n && rest->p[n] != '/' && rest->p[n] != '?')
            n++;
        r->scheme = s;
        r->authority = slice_upto(*rest, n);
        *rest = slice_from(*rest, n);
        r->form = TARGET_ABSOLUTE;
        return OK;
    }
    return fail(error, H1_E_FORM);
}

/* Row H9: `*` is for OPTIONS, an authority is for CONNECT and nothing else is. `rest`: path and query. */
static int split_form(struct request *r, slice *rest, enum h1_error *error)
{
    slice target = r->target;
    *rest = target;
    if (r->method == METHOD_CONNECT) {
        r->form = TARGET_AUTHORITY;
        r->authority = target;
        *rest = SLICE_NONE;
        return OK;
    }
    if (target.n && target.p[0] == '/') {
        r->form = TARGET_ORIGIN;
        return OK;
    }
    if (target.n == 1 && target.p[0] == '*') {
        r->form = TARGET_ASTERISK;
        return r->method == METHOD_OPTIONS ? OK : fail(error, H1_E_FORM);
    }
    return split_absolute(r, target, rest, error);
}

/* Do Host and the target's authority name one server? A port that Host leaves out is the scheme's, or the target's. */
static bool agrees(const struct request *r, slice text, slice host, uint16_t port)
{
    slice other;
    uint16_t other_port;
    if (uri_authority(text, &other, &other_port) != OK)
        return false;
    uint16_t own = slice_eq(r->scheme, SLICE("https")) ? 443 : 80;
    if (r->form == TARGET_AUTHORITY)
        own = port;
    return slice_ieq(host, other) && (port ? port : own) == (other_port ? other_port : own);
}

/*
 * Rows H2 to H5. Host is checked even where the target's authority wins over it: a request with a Host that we would
 * not accept is not a request that we pass on under another name.
 */
static int settle_authority(const struct h1_head *h, const struct copy *c, struct arena *a, struct request *r,
                            enum h1_error *error)
{
    slice host = SLICE_NONE;
    uint16_t port = 0;
    bool named = h->host.p;
    if (named) {
        slice text = moved(c, h->host);
        if (uri_authority(text, &host, &port) != OK)
            return fail(error, H1_E_HOST);
        if (r->form == TARGET_ORIGIN || r->form == TARGET_ASTERISK)
            r->authority = text;
    }
    if (r->form == TARGET_ABSOLUTE || r->form == TARGET_AUTHORITY) {
        if (uri_authority(r->authority, &host, &port) != OK)
            return fail(error, H1_E_HOST);
        if (r->form == TARGET_AUTHORITY && port == 0)
            return fail(error, H1_E_TARGET);
    }
    r->port = port;
    if (named && (r->form == TARGET_ABSOLUTE || r->form == TARGET_AUTHORITY))
        r->host_differs = !agrees(r, moved(c, h->host), host, port);
    return uri_host_normal(a, host, &r->host) ? OK : ERR_NOMEM;
}

static int settle_path(struct request *r, slice rest, struct arena *a, bool merge_slashes, enum h1_error *error)
{
    int rc = target_path(r, rest, a, merge_slashes);
    return rc == ERR_SYNTAX ? fail(error, H1_E_PATH) : rc;
}

int h1_head_request(const struct h1_head *h, slice head, struct arena *a, bool merge_slashes, bool fragment,
                    struct request *out, enum h1_error *error)
{
    struct copy c;
    slice rest, cut;
    if (!copy_bytes(a, head, &c))
        return ERR_NOMEM;
    *out = (struct request){
        .method = h->method,
        .method_text = moved(&c, h->method_text),
        .minor = h->minor,
        .line = moved(&c, h->line),
        .target = moved(&c, h->target),
        .body = h->body,
        .keep_alive = h->keep_alive,
        .expect_continue = h->expect_continue,
        .te_trailers = h->te_trailers,
        .upgrade = h->has_upgrade,
        .head_size = head.n,
    };
    if (!copy_fields(h, &c, a, &out->fields, &out->hop))
        return ERR_NOMEM;
    if (slice_cut(out->target, '#', &out->target, &cut) && !fragment)
        return fail(error, H1_E_TARGET);
    int rc = split_form(out, &rest, error);
    if (rc == OK)
        rc = settle_authority(h, &c, a, out, error);
    return rc == OK ? settle_path(out, rest, a, merge_slashes, error) : rc;
}

int h1_head_response(const struct h1_head *h, slice head, struct arena *a, struct response *out)
{
    struct copy c;
    struct fields fields, hop;
    if (!copy_bytes(a, head, &c) || !copy_fields(h, &c, a, &fields, &hop))
        return ERR_NOMEM;
    *out = (struct response){
        .status = h->status,
        .minor = h->minor,
        .reason = moved(&c, h->reason),
        .fields = fields,
        .hop = hop,
        .body = h->body,
        .declared = h->body,
        .keep_alive = h->keep_alive,
        .head_size = head.n,
    };
    return OK;
}
