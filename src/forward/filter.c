/*
 * Lists of names, and the rules that say when they count.
 */
#include "forward/filter.h"

#include "base/err.h"
#include "base/strb.h"
#include "forward/punycode.h"

void filter_list_done(struct filter_list *l)
{
    domain_set_done(&l->block);
    domain_set_done(&l->allow);
}

static int add(struct domain_set *set, slice name, enum domain_scope scope)
{
    char form[DOMAIN_NAME_MAX + 1];
    for (size_t i = 0; i < name.n; i++) {
        if ((uint8_t)name.p[i] >= 0x80) {
            name = slice_of(form, punycode_name(form, sizeof(form), name));
            break;
        }
    }
    return domain_set_add(set, name, scope);
}

/* Names that hosts files hold for the machine itself. */
static bool own_name(slice s)
{
    return slice_istarts(s, SLICE("localhost")) || slice_istarts(s, SLICE("ip6-")) || slice_ieq(s, SLICE("local")) ||
           slice_ieq(s, SLICE("broadcasthost")) || slice_eq(s, SLICE("0.0.0.0"));
}

static slice word_of(slice *rest)
{
    slice s = slice_trim(*rest);
    size_t n = 0;
    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t')
        n++;
    *rest = slice_from(s, n);
    return slice_upto(s, n);
}

static int hosts_line(struct filter_list *l, slice rest)
{
    for (slice name = word_of(&rest); name.n && name.p[0] != '#'; name = word_of(&rest)) {
        int rc = own_name(name) ? OK : add(&l->block, name, DOMAIN_SELF);
        if (rc)
            return rc;
    }
    return OK;
}

/* "||name^", perhaps with options that change nothing for a whole site. */
static int blocker_line(struct domain_set *set, slice line)
{
    slice name, options;
    line = slice_from(line, 2);
    if (!slice_cut(line, '^', &name, &options))
        return ERR_SYNTAX;
    if (options.n && !slice_eq(options, SLICE("$important")) && !slice_eq(options, SLICE("$all")) &&
        !slice_eq(options, SLICE("$document")))
        return ERR_SYNTAX;
    return add(set, name, DOMAIN_BOTH);
}

static int one_line(struct filter_list *l, slice line)
{
    struct addr a;
    if (!line.n || line.p[0] == '#' || line.p[0] == '!' || line.p[0] == '[')
        return OK;
    if (slice_starts(line, SLICE("@@||")))
        return blocker_line(&l->allow, slice_from(line, 2));
    if (slice_starts(line, SLICE("||")))
        return blocker_line(&l->block, line);
    slice rest = line, first = word_of(&rest), more = slice_trim(rest);
    if (more.n && more.p[0] != '#')
        return addr_parse_ip(first, 0, &a) ? ERR_SYNTAX : hosts_line(l, more);
    if (slice_starts(first, SLICE("*.")))
        return add(&l->block, slice_from(first, 2), DOMAIN_BELOW);
    return add(&l->block, first, DOMAIN_BOTH);
}

int filter_list_read(struct filter_list *l, slice text)
{
    slice mark = SLICE("\xef\xbb\xbf");
    if (slice_starts(text, mark))
        text = slice_from(text, mark.n);
    for (uint32_t number = 1; text.n; number++) {
        ptrdiff_t nl = slice_find(text, '\n');
        slice line = nl < 0 ? text : slice_upto(text, (size_t)nl);
        text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        int rc = one_line(l, slice_trim(line));
        if (rc == ERR_SYNTAX) {
            if (!l->skipped++) {
                l->first_skipped = number;
                l->first_file = l->files;
            }
        } else if (rc) {
            return rc;
        }
    }
    l->files++;
    return OK;
}

void filter_list_finish(struct filter_list *l)
{
    domain_set_trim(&l->block);
    domain_set_trim(&l->allow);
}

size_t filter_list_memory(const struct filter_list *l)
{
    return domain_set_memory(&l->block) + domain_set_memory(&l->allow);
}

bool filter_list_blocks(const struct filter_list *l, slice host, slice *entry)
{
    return domain_set_has(&l->block, host, entry) && !domain_set_has(&l->allow, host, NULL);
}

/* Does the line speak of the host? */
static bool names_host(const struct filter_rule *rule, slice host, struct filter_decision *d)
{
    for (uint32_t i = 0; i < rule->nlists; i++) {
        if (filter_list_blocks(rule->lists[i]->list, host, &d->entry)) {
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
