#include "forward/deny_text.h"

#include "base/err.h"

static const char *const names[DENY_VALUES] = {
    [DENY_DECISION] = "forward_decision", [DENY_REASON] = "forward_reason", [DENY_HOST] = "forward_host",
    [DENY_URL] = "forward_url",           [DENY_RULE] = "forward_rule",     [DENY_LIST] = "forward_list",
    [DENY_ENTRY] = "forward_entry",       [DENY_USER] = "forward_user",     [DENY_CLIENT] = "forward_client",
};

const char *deny_value_name(enum deny_value v)
{
    return v < DENY_VALUES ? names[v] : NULL;
}

/* ---- compiling ---- */

static bool name_byte(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_';
}

/* What stands behind a '$': the name, and how many bytes it takes with its braces. */
static slice name_at(slice rest, size_t *taken)
{
    bool braced = rest.n && rest.p[0] == '{';
    size_t n = 0;
    slice s = slice_from(rest, braced);
    while (n < s.n && name_byte(s.p[n]))
        n++;
    if (braced && (n == s.n || s.p[n] != '}'))
        n = 0;
    *taken = n + (braced ? 2 : 0);
    return slice_upto(s, n);
}

static enum deny_value find(slice name)
{
    for (enum deny_value v = 0; v < DENY_VALUES; v++) {
        if (slice_eq(slice_str(names[v]), name))
            return v;
    }
    return DENY_LITERAL;
}

static bool add(struct arena *a, struct deny_part ***end, slice literal, enum deny_value value)
{
    if (value == DENY_LITERAL && !literal.n)
        return true;
    struct deny_part *p = arena_new(a, struct deny_part);
    if (!p)
        return false;
    p->literal = literal;
    p->value = value;
    **end = p;
    *end = &p->next;
    return true;
}

int deny_text_compile(struct arena *a, slice text, struct deny_text *out, slice *bad)
{
    struct deny_text t = { .first = NULL };
    struct deny_part **end = &t.first;
    size_t from = 0, taken;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '$')
            continue;
        slice name = name_at(slice_from(text, i + 1), &taken);
        if (!slice_starts(name, SLICE("forward_")))
            continue;
        enum deny_value v = find(name);
        if (v == DENY_LITERAL) {
            *bad = name;
            return ERR_SYNTAX;
        }
        if (!add(a, &end, slice_of(text.p + from, i - from), DENY_LITERAL) || !add(a, &end, SLICE_NONE, v))
            return ERR_NOMEM;
        i += taken;
        from = i + 1;
    }
    if (!add(a, &end, slice_from(text, from), DENY_LITERAL))
        return ERR_NOMEM;
    *out = t;
    return OK;
}

/* ---- writing ---- */

/* What means nothing to HTML between tags, in attributes with quotes or without, and in the strings of scripts. */
static void put_html(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (ascii_alpha(c) || ascii_digit(c) || (uint8_t)c >= 0x80 || (c && strchr(" .,:;-_/()", c)))
            strb_char(b, c);
        else if ((uint8_t)c < 0x20 || c == 0x7f)
            strb_char(b, ' ');
        else
            strb_printf(b, "&#%u;", (unsigned)c);
    }
}

static void put_address(struct strb *b, slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (ascii_alpha(c) || ascii_digit(c) || (c && strchr("-._~", c)))
            strb_char(b, c);
        else
            strb_printf(b, "%%%02X", (unsigned)(uint8_t)c);
    }
}

void deny_text_write(struct strb *b, const struct deny_text *t, const slice values[DENY_VALUES], enum deny_escape how)
{
    for (const struct deny_part *p = t->first; p; p = p->next) {
        if (p->value == DENY_LITERAL)
            strb_add(b, p->literal);
        else if (how == DENY_HTML)
            put_html(b, values[p->value]);
        else
            put_address(b, values[p->value]);
    }
}
