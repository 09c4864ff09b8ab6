#include "proxy/squid_deny.h"

#include "base/attr.h"
#include "base/err.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "http/client.h"
#include "http/date.h"
#include "proxy/forward_rules.h"
#include "proxy/policy.h"
#include "proxy/proxy.h"

enum { ANSWER_MAX = 1 << 20 };

/* Where Debian's squid keeps its pages. */
#define PAGES "/usr/share/squid/errors/templates/"

/* "302:http://...", "404:ERR_X", "http://...", "ERR_X" */
struct said {
    unsigned status; /* 0: of a redirect, as the method wants it */
    bool url;
    slice rest;
};

static bool is_url(slice s)
{
    return slice_istarts(s, SLICE("http://")) || slice_istarts(s, SLICE("https://")) ||
           slice_istarts(s, SLICE("ftp://")) || slice_istarts(s, SLICE("mailto:"));
}

static struct said read_said(slice text)
{
    slice number, rest;
    uint64_t n;
    struct said s = { .status = 403, .rest = text };
    if (slice_cut(text, ':', &number, &rest) && number.n == 3 && slice_to_u64(number, &n) == OK && n >= 200 &&
        n < 600) {
        s.status = (unsigned)n;
        s.rest = rest;
        s.url = n / 100 == 3;
    } else if (is_url(text)) {
        s.status = 0;
        s.url = true;
    }
    return s;
}

/* ---- codes ---- */

static void add_html(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
            strb_printf(b, "&#%u;", (unsigned)(unsigned char)c);
        else
            strb_char(b, c);
    }
}

/* What may stand in a part of a URL (RFC 1738 §2.2 as Squid takes it): the rest is escaped. */
static void add_url(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                     c == '-' || c == '_' || c == '$' || c == '+' || c == '!' || c == '*' || c == '(' || c == ')' ||
                     c == ',' || c == '\'';
        if (plain)
            strb_char(b, (char)c);
        else
            strb_printf(b, "%%%02X", c);
    }
}

static slice own_address(struct exchange *x)
{
    char text[ADDR_TEXT_MAX];
    struct addr a;
    slice out;
    return client_local(x->client, &a) && arena_dup(&x->arena, slice_of(text, addr_text_ip(text, &a)), &out)
               ? out
               : SLICE("");
}

/* As the client asked for it; `bare`: without what stands behind its '?', which is nobody else's business. */
static slice url_of(struct exchange *x, bool bare)
{
    const struct forward_exchange *f = x->proxy->forward;
    ptrdiff_t mark = slice_find(f->url, '?');
    if (x->proxy->tunnel)
        return arena_printf(&x->arena, "https://%.*s/*", SLICE_FMT(f->url));
    return bare && mark >= 0 ? slice_upto(f->url, (size_t)mark + 1) : f->url;
}

static slice value_of(struct exchange *x, const struct fwd_policy *p, char code)
{
    const struct forward_exchange *f = x->proxy->forward;
    const slice *user = x->slots[SLOT_USER];
    switch (code) {
    case 'a':
        return user ? *user : SLICE("-");
    case 'A':
        return own_address(x);
    case 'h':
        return p->hostname;
    case 'H':
        return f->host;
    case 'i':
        return exchange_client_text(x);
    case 'm':
    case 'o':
    case 'O':
        return SLICE("");
    case 'M':
        return x->req.method_text;
    case 'p':
        return arena_printf(&x->arena, "%u", f->at.port);
    case 'P':
        return x->req.scheme.n ? x->req.scheme : SLICE("https");
    case 'R':
        return f->path.n ? f->path : SLICE("/");
    case 's':
        return SLICE("hinge");
    case 'T':
        return arena_printf(&x->arena, "%s", x->w->loop.clock.http);
    case 'u':
        return url_of(x, false);
    case 'U':
        return url_of(x, !p->log_query);
    case 'w':
        return p->manager.n ? p->manager : SLICE("webmaster");
    default:
        return SLICE_NONE;
    }
}

/* Codes that nobody knows stay as they are. A path keeps its marks in a URL. */
static int expand(struct exchange *x, const struct fwd_policy *p, slice text, bool url, slice *out)
{
    struct strb b;
    strb_init(&b, ANSWER_MAX);
    for (size_t i = 0; i < text.n; i++) {
        slice value = SLICE_NONE;
        if (text.p[i] != '%' || i + 1 == text.n) {
            strb_char(&b, text.p[i]);
            continue;
        }
        char code = text.p[++i];
        if (code == '%') {
            strb_char(&b, '%');
            continue;
        }
        value = value_of(x, p, code);
        if (!value.p)
            strb_add(&b, slice_of(text.p + i - 1, 2));
        else if (url && code == 'R')
            strb_add(&b, value);
        else if (url)
            add_url(&b, value);
        else
            add_html(&b, value);
    }
    bool kept = !b.failed && arena_dup(&x->arena, strb_slice(&b), out);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

/* ---- answering ---- */

static const struct fwd_word *line_for(const struct fwd_policy *p, const struct fwd_decision *d)
{
    const struct fwd_word *w = d->acl ? p->deny_info : NULL;
    while (w && !slice_eq(w->more, d->acl->name))
        w = w->next;
    return w;
}

/* What was to be done is not done by asking for the page in the same way. */
static unsigned redirect_status(const struct exchange *x)
{
    return x->req.method == METHOD_GET || x->req.method == METHOD_HEAD ? 302 : 307;
}

int squid_deny(struct exchange *x, const struct fwd_policy *p, const struct fwd_decision *d)
{
    const struct fwd_word *w = line_for(p, d);
    slice text;
    int rc;
    if (!w)
        return ERR_NOTFOUND;
    struct said s = read_said(w->text);
    exchange_trace(x, &w->pos, "deny_info: %.*s", SLICE_FMT(w->text));
    if (s.url) {
        rc = expand(x, p, s.rest, true, &text);
        return rc == OK ? reply_redirect(x, s.status ? s.status : redirect_status(x), text) : rc;
    }
    if (!w->page.p)
        return reply_set(x, s.status, SLICE_NONE, SLICE_NONE, true);
    rc = expand(x, p, w->page, false, &text);
    return rc == OK ? reply_set(x, s.status, SLICE("text/html;charset=utf-8"), text, false) : rc;
}

/* ---- load ---- */

int squid_deny_pages(struct conf_ctx *cf, struct fwd_policy *p)
{
    for (struct fwd_word *w = p->deny_info; w; w = w->next) {
        struct said s = read_said(w->text);
        if (s.url)
            continue;
        slice dir = p->error_directory.n ? p->error_directory : SLICE(PAGES);
        slice path = s.rest.n && s.rest.p[0] == '/'
                         ? s.rest
                         : arena_printf(cf->arena, "%.*s/%.*s", SLICE_FMT(dir), SLICE_FMT(s.rest));
        int rc = path.p ? bundle_file(cf->bundle, path, &w->page) : ERR_NOMEM;
        if (rc == ERR_NOMEM)
            return rc;
        if (rc != OK) {
            w->page = SLICE_NONE;
            conf_diag_add(cf->diag, CONF_WARN, w->pos, SLICE_NONE, "page \"%.*s\" cannot be read: a plain one is sent",
                          SLICE_FMT(path));
        }
    }
    return OK;
}
