/* Rewriting cookies: a table of values through each kind of rule, and every allocation failing once. */
#include "proxy/proxy_test.h"

#include "failmalloc.h"
#include "proxy/cookie.h"

static const char text[] =
    "http { server {\n"
    "location /d { proxy_pass http://127.0.0.1; proxy_cookie_domain .a.example .b.example;\n"
    "  proxy_cookie_domain $backend ''; proxy_cookie_domain ~^(.+)\\.c\\.example$ $1.d; }\n"
    "location /p { proxy_pass http://127.0.0.1; proxy_cookie_path /x/ /y/; proxy_cookie_path ~*^/re(.)$ /$1$host; }\n"
    "location /f { proxy_pass http://127.0.0.1; proxy_cookie_flags a secure httponly samesite=lax;\n"
    "  proxy_cookie_flags ~^b nosecure nohttponly nosamesite; proxy_cookie_flags c $backend; }\n"
    "location /n { proxy_pass http://127.0.0.1; } } }";

struct row {
    const char *location, *value, *want; /* want NULL: the very same bytes */
};

static const struct row rows[] = {
    { "/d", "k=v; Domain=a.example", "k=v; Domain=b.example" },
    { "/d", "k=v;Domain=.A.EXAMPLE;  x", "k=v; Domain=.b.example; x" },
    { "/d", "k=v; Domain=two.example; Path=/", "k=v; Domain=; Path=/" },
    { "/d", "k=v; domain=x.y.c.example", "k=v; domain=x.y.d" },
    { "/d", "k=v;Domain=aa.example", NULL },
    { "/d", "k=v;Domain", NULL },
    { "/d", "Domain=a.example", NULL },
    { "/p", "k=v; Path=/x/z; PATH=/x/", "k=v; Path=/y/z; PATH=/y/" },
    { "/p", "k=v;Path=/X/z", NULL },
    { "/p", "k=v; path=/REq", "k=v; path=/qh.example" },
    { "/p", "k=v;path=/re12", NULL },
    { "/p", "no value; Path=/x/", NULL },
    { "/f", "a=", "a=; Secure; HttpOnly; SameSite=Lax" },
    { "/f", "A=1;secure;SAMESITE;HttpOnly=x", "A=1; secure; SameSite=Lax; HttpOnly=x" },
    { "/f", "b1=1; Secure; HttpOnly; SameSite=x; secure; p=q", "b1=1; p=q" },
    { "/f", "c=1; Path=/", "c=1; Path=/" },
    { "/f", "d=1;  Path=/", NULL },
    { "/f", "a", NULL },
    { "/n", "a=1;  Path=/x/", NULL },
    { "/f", "", NULL },
};

static struct config *compile(void)
{
    struct config *c = config_new(slice_str(text));
    if (!c->gen)
        fail_msg("%.*s", SLICE_FMT(c->diag.first->text));
    return c;
}

static void try_row(struct config *c, const struct row *r)
{
    struct talk *t = talk_new(c, slice_str(r->location), SLICE("/"));
    const struct proxy_conf *conf = t->x.pass.loc->conf[proxy_feature.id];
    slice value = slice_str(r->value), out, want = r->want ? slice_str(r->want) : value;
    assert_int_equal(cookie_rewrite(&t->x, &conf->cookies, value, &out), OK);
    if (!slice_eq(out, want) || (!r->want && out.p != value.p))
        fail_msg("%s %s gives %.*s", r->location, r->value, SLICE_FMT(out));
    talk_free(t);
}

static void values(void **state)
{
    struct config *c = compile();
    test_backend = SLICE("two.example");
    test_host = SLICE("h.example");
    for (size_t i = 0; i < array_len(rows); i++)
        try_row(c, &rows[i]);
    test_backend = SLICE("httponly");
    try_row(c, &(struct row){ "/f", "c=1", "c=1; HttpOnly" });
    test_backend = SLICE("no flag");
    try_row(c, &(struct row){ "/f", "c=1", "c=1" });
    test_host = SLICE("; Domain=evil");
    try_row(c, &(struct row){ "/p", "k=v; path=/req", NULL });
    test_host = SLICE("a\nb");
    try_row(c, &(struct row){ "/p", "k=v; path=/req", NULL });
    config_free(c);
}

static void any_number_of_attributes(void **state)
{
    struct config *c = compile();
    struct talk *t = talk_new(c, SLICE("/f"), SLICE("/"));
    const struct proxy_conf *conf = t->x.pass.loc->conf[proxy_feature.id];
    struct strb b;
    slice out;
    strb_init(&b, 0);
    strb_lit(&b, "a=1");
    for (int i = 0; i < 5000; i++)
        strb_lit(&b, "; x");
    assert_int_equal(cookie_rewrite(&t->x, &conf->cookies, strb_slice(&b), &out), OK);
    assert_true(slice_ends(out, SLICE("; x; Secure; HttpOnly; SameSite=Lax")));
    strb_done(&b);
    talk_free(t);
    config_free(c);
}

static void without_memory(void **state)
{
    struct config *c = compile();
    bool failed = true;
    for (size_t n = 0; failed; n++) {
        struct talk *t = talk_new(c, SLICE("/f"), SLICE("/"));
        const struct proxy_conf *conf = t->x.pass.loc->conf[proxy_feature.id];
        char value[3000] = "a=1; ";
        memset(value + 5, ';', sizeof(value) - 6);
        slice out = SLICE("untouched");
        fail_alloc_at(n, false);
        int rc = cookie_rewrite(&t->x, &conf->cookies, slice_str(value), &out);
        failed = fail_alloc_off();
        assert_int_equal(rc, failed ? ERR_NOMEM : OK);
        if (failed)
            assert_slice(out, "untouched");
        talk_free(t);
    }
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(any_number_of_attributes),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
