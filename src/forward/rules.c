/*
 * Lists of rules: compiled, and asked.
 */
#include "forward/rules.h"

#include "base/err.h"
#include "base/strb.h"

void fwd_rules_init(struct fwd_rules *l, bool allows_empty)
{
    *l = (struct fwd_rules){ .allows_empty = allows_empty };
    l->last = &l->first;
}

static int line_text(struct fwd_compile *c, const struct conf_node *node, slice *text)
{
    struct strb b;
    strb_init(&b, 0);
    strb_add(&b, node->name);
    for (uint32_t i = 0; i < node->nargs; i++) {
        strb_char(&b, ' ');
        strb_add(&b, node->args[i].text);
    }
    bool kept = !b.failed && arena_dup(c->arena, strb_slice(&b), text);
    strb_done(&b);
    return kept ? OK : ERR_NOMEM;
}

int fwd_rules_value(struct fwd_rules *l, struct fwd_acls *acls, struct fwd_compile *c, const struct conf_node *node,
                    uint32_t at, slice value)
{
    struct fwd_rule *r = arena_new(c->arena, struct fwd_rule);
    if (!r)
        return ERR_NOMEM;
    int rc = fwd_terms(acls, c, node, at, &r->terms, &r->nterms);
    if (rc || (rc = line_text(c, node, &r->text)))
        return rc;
    r->allow = true;
    r->value = value;
    r->pos = node->pos;
    *l->last = r;
    l->last = &r->next;
    l->n++;
    return OK;
}

int fwd_rules_line(struct fwd_rules *l, struct fwd_acls *acls, struct fwd_compile *c, const struct conf_node *node,
                   uint32_t at)
{
    slice verb = at < node->nargs ? node->args[at].text : SLICE_NONE;
    bool allow = slice_eq(verb, SLICE("allow"));
    if (!allow && !slice_eq(verb, SLICE("deny")))
        return fwd_error(c, node, at < node->nargs ? (int)at : -1, "\"%.*s\" needs \"allow\" or \"deny\" here",
                         SLICE_FMT(node->name));
    if (node->nargs == at + 1)
        return fwd_error(c, node, (int)at, "\"%.*s\" names no acl", SLICE_FMT(node->name));
    struct fwd_rule **made = l->last;
    int rc = fwd_rules_value(l, acls, c, node, at + 1, SLICE_NONE);
    if (rc == OK)
        (*made)->allow = allow;
    return rc;
}

struct fwd_decision fwd_decide(const struct fwd_rules *l, const struct fwd_request *r)
{
    struct fwd_decision d = { .answer = l->allows_empty ? FWD_YES : FWD_NO };
    for (const struct fwd_rule *rule = l->first; rule; rule = rule->next) {
        enum fwd_answer x = fwd_terms_match(rule->terms, rule->nterms, r, &d.acl);
        if (x != FWD_NO) {
            d.rule = rule;
            d.answer = x != FWD_YES ? x : rule->allow ? FWD_YES : FWD_NO;
            return d;
        }
        d.answer = rule->allow ? FWD_NO : FWD_YES;
    }
    d.acl = NULL;
    return d;
}

/* Does it hold for a stranger? */
enum for_stranger { NEVER, PERHAPS, ALWAYS };

static enum for_stranger terms_for_stranger(const struct fwd_term *terms, uint32_t n);

/* Depth of groups: FWD_GROUP_DEPTH. */
static enum for_stranger acl_for_stranger(const struct fwd_acl *a)
{
    enum for_stranger best = NEVER;
    switch (a->type) {
    case ACL_SRC:
        return addr_set_is_all(&a->addresses) ? ALWAYS : addr_set_is_world(&a->addresses) ? PERHAPS : NEVER;
    case ACL_PROXY_AUTH:
        return NEVER;
    case ACL_ANY_OF:
    case ACL_ALL_OF:
        for (const struct fwd_value *v = a->values; v; v = v->next) {
            enum for_stranger one = terms_for_stranger(v->terms, v->nterms);
            best = one > best ? one : best;
        }
        return best;
    default:
        return PERHAPS;
    }
}

static enum for_stranger terms_for_stranger(const struct fwd_term *terms, uint32_t n)
{
    enum for_stranger worst = ALWAYS;
    for (uint32_t i = 0; i < n; i++) {
        enum for_stranger one = acl_for_stranger(terms[i].acl);
        if (terms[i].negated)
            one = one == NEVER ? ALWAYS : one == ALWAYS ? NEVER : PERHAPS;
        worst = one < worst ? one : worst;
    }
    return worst;
}

bool fwd_rules_open(const struct fwd_rules *l)
{
    bool last = !l->allows_empty;
    for (const struct fwd_rule *r = l->first; r; r = r->next) {
        enum for_stranger s = terms_for_stranger(r->terms, r->nterms);
        if (r->allow && s != NEVER)
            return true;
        if (!r->allow && s == ALWAYS)
            return false;
        last = r->allow;
    }
    return !last;
}

slice fwd_line_words(struct arena *a, const struct conf_pos *pos, slice text)
{
    slice path = pos->file ? pos->file->path : SLICE_NONE;
    return arena_printf(a, "%.*s:%u (%.*s)", SLICE_FMT(path), pos->line, SLICE_FMT(text));
}

size_t fwd_decision_text(char *dst, size_t cap, const struct fwd_rules *l, const struct fwd_decision *d)
{
    struct strb b;
    strb_init_fixed(&b, dst, cap);
    if (d->rule) {
        slice path = d->rule->pos.file ? d->rule->pos.file->path : SLICE_NONE;
        strb_printf(&b, "%.*s:%u (%.*s)", SLICE_FMT(path), d->rule->pos.line, SLICE_FMT(d->rule->text));
    } else {
        strb_add(&b, l->n ? SLICE("no line matched: the opposite of the last one") : SLICE("no lines"));
    }
    return b.n;
}
