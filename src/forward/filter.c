/*
 * Lists of names, and the rules that say when they count.
 */
#include "forward/filter.h"

#include "base/err.h"
#include "base/strb.h"
#include "forward/domain_set.h"
#include "forward/filter_read.h"

int filter_list_open(struct filter_list *l, int fd)
{
    struct domain_table t;
    int rc = domain_table_open(&t, fd);
    if (rc != OK)
        return rc;
    const uint32_t *notes = t.head->notes;
    *l = (struct filter_list){ .names = t, .skipped = notes[0], .first_skipped = notes[1], .first_file = notes[2] };
    return OK;
}

void filter_list_close(struct filter_list *l)
{
    domain_table_close(&l->names);
}

/* All suffixes are asked about: an exception may be of one that is shorter than what is blocked. */
bool filter_list_blocks(const struct filter_list *l, slice host, slice *entry)
{
    char lower[DOMAIN_NAME_MAX];
    slice rest = slice_of(lower, domain_normal(lower, host)), found = SLICE_NONE;
    unsigned wanted = DOMAIN_SELF;
    while (host.n && host.p[host.n - 1] == '.')
        host.n--;
    while (rest.n) {
        unsigned marks = domain_table_get(&l->names, rest);
        if (marks & wanted << FILTER_EXCEPT)
            return false;
        if (marks & wanted && !found.n)
            found = slice_from(host, host.n - rest.n);
        ptrdiff_t dot = slice_find(rest, '.');
        rest = dot < 0 ? SLICE_NONE : slice_from(rest, (size_t)dot + 1);
        wanted = DOMAIN_BELOW;
    }
    if (found.n && entry)
        *entry = found;
    return found.n;
}

/* Does the line speak of the host? */
static bool names_host(const struct filter_rule *rule, slice host, struct filter_decision *d)
{
    for (uint32_t i = 0; i < rule->nlists; i++) {
        if (filter_list_blocks(&rule->lists[i]->list, host, &d->entry)) {
            d->list = rule->lists[i];
            return true;
        }
    }
    return !rule->nlists;
}

struct filter_decision filter_decide(const struct filter_rule *first, const struct fwd_request *r)
{
    for (const struct filter_rule *rule = first; rule; rule = rule->next) {
        struct filter_decision d = { .rule = rule };
        if (!names_host(rule, r->host, &d))
            continue;
        d.answer = fwd_terms_match(rule->terms, rule->nterms, r, NULL);
        if (d.answer == FWD_NO || (rule->allow && (d.answer == FWD_NEED_USER || d.answer == FWD_STUCK)))
            continue;
        if (rule->allow && d.answer == FWD_YES)
            d.answer = FWD_NO;
        return d;
    }
    return (struct filter_decision){ .answer = FWD_NO };
}

/* Nothing that a client chose breaks a line or a word of the log. */
static void put_safe(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
            strb_printf(b, "\\x%02X", c);
        else
            strb_char(b, (char)c);
    }
    if (!s.n)
        strb_char(b, '-');
}

size_t filter_decision_text(char *dst, size_t cap, const struct filter_decision *d, const struct fwd_request *r)
{
    struct strb b;
    char client[ADDR_TEXT_MAX];
    struct addr a = { .len = 0 };
    bool v4 = r->client->sa_family == AF_INET, v6 = r->client->sa_family == AF_INET6;
    memcpy(&a.sa, r->client, v6 ? sizeof(a.in6) : v4 ? sizeof(a.in) : sizeof(a.sa));
    strb_init_fixed(&b, dst, cap);
    strb_lit(&b, "user=");
    put_safe(&b, r->user_known ? r->user : SLICE_NONE);
    strb_lit(&b, " client=");
    if (v4 || v6)
        strb_add(&b, slice_of(client, addr_text_ip(client, &a)));
    else
        strb_lit(&b, "unix:");
    strb_lit(&b, " host=");
    put_safe(&b, r->host);
    if (d->rule) {
        strb_lit(&b, " list=");
        put_safe(&b, d->list ? d->list->name : SLICE_NONE);
        strb_lit(&b, " entry=");
        put_safe(&b, d->entry);
        slice path = d->rule->pos.file ? d->rule->pos.file->path : SLICE_NONE;
        strb_printf(&b, " rule=%.*s:%u", SLICE_FMT(path), d->rule->pos.line);
    }
    return b.n;
}
