/*
 * Password files, and the passwords in them. Every line is accounted for: it says nothing, is a fault, or is a user;
 * what is found is what a naive reader of nginx's rules finds; and no password matches a stored one that is damaged.
 */
#include "base/err.h"
#include "h1/test_feed.h"
#include "policy/htpasswd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint32_t faults, last;
};

static void note(void *ctx, struct htpasswd_fault f)
{
    struct seen *s = ctx;
    TEST_CHECK(f.line > 0 && f.why);
    s->faults++;
    s->last = f.line;
}

static uint32_t lines_of(slice text)
{
    uint32_t n = 0;
    while (text.n) {
        ptrdiff_t nl = slice_find(text, '\n');
        n++;
        text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
    }
    return n;
}

/* What nginx would take for the stored password of that name: of the first line that begins with "NAME:". */
static bool naive(slice text, slice name, slice *stored)
{
    while (text.n) {
        ptrdiff_t nl = slice_find(text, '\n');
        slice line = nl < 0 ? text : slice_upto(text, (size_t)nl);
        text = nl < 0 ? SLICE_NONE : slice_from(text, (size_t)nl + 1);
        if (line.n <= name.n || !slice_starts(line, name) || line.p[name.n] != ':' || line.p[0] == '#')
            continue;
        *stored = slice_from(line, name.n + 1);
        for (size_t i = 0; i < stored->n; i++) {
            if (stored->p[i] == ':' || stored->p[i] == '\r') {
                stored->n = i;
                break;
            }
        }
        return true;
    }
    return false;
}

static bool in(slice outer, slice s)
{
    return s.p >= outer.p && s.p + s.n <= outer.p + outer.n;
}

static void check_user(slice text, const struct htpasswd *h, const struct htpasswd_user *u, uint32_t lines)
{
    bool known;
    slice stored;
    TEST_CHECK(in(text, u->name) && in(text, u->stored) && u->name.n && u->stored.n);
    TEST_CHECK(u->line > 0 && u->line <= lines);
    TEST_CHECK(password_kind(u->stored) != PASSWORD_UNKNOWN);
    const struct htpasswd_user *found = htpasswd_find(h, u->name, &known);
    TEST_CHECK(known && found->line <= u->line && slice_eq(found->name, u->name));
    TEST_CHECK(naive(text, u->name, &stored)); /* which may be a line that is a fault here */
    if (password_slow(password_kind(u->stored)))
        return;
    TEST_CHECK(!password_matches(u->stored, SLICE("\0x")));
    if (password_kind(u->stored) == PASSWORD_PLAIN) {
        slice own = slice_from(u->stored, 7);
        TEST_CHECK(password_matches(u->stored, own) == (own.n <= PASSWORD_MAX));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct htpasswd h = { 0 };
    struct seen seen = { 0 };
    bool known;
    if (size > 20000)
        return 0;
    slice text = slice_of((const char *)data, size);
    arena_init(&a, NULL, 0, 4096, 0);
    TEST_CHECK(htpasswd_parse(&a, text, note, &seen, &h) == OK);
    uint32_t lines = lines_of(text);
    TEST_CHECK(h.n <= lines && seen.last <= lines);
    for (uint32_t i = 0; i < h.n; i++)
        check_user(text, &h, &h.v[i], lines);
    const struct htpasswd_user *u = htpasswd_find(&h, slice_upto(text, 8), &known);
    TEST_CHECK((u != NULL) == (h.n > 0));
    TEST_CHECK(!known || slice_eq(u->name, slice_upto(text, 8)));
    password_kind(text);
    password_weakness(text);
    if (!password_slow(password_kind(text)))
        password_matches(text, slice_upto(text, 4));
    htpasswd_done(&h);
    arena_done(&a);
    return 0;
}
