/*
 * Lists in every form, names beyond ASCII, exceptions, rules with conditions, the record.
 */
#include "forward/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/err.h"
#include "forward/punycode.h"

static void forms(void **state)
{
    struct filter_list l = { 0 };
    slice entry;
    assert_int_equal(filter_list_read(&l, SLICE("\xef\xbb\xbf# comment\n! other\n[Adblock Plus 2.0]\n\n"
                                                "Plain.Example.\r\n*.below.example\n"
                                                "0.0.0.0 host.example other.example # two\n127.0.0.1 localhost\n"
                                                "||rule.example^\n@@||good.rule.example^\n||x.example^$third-party\n"
                                                "/banner/*\nb\xc3\xbc"
                                                "cher.example\n")),
                     OK);
    assert_int_equal(l.skipped, 2);
    assert_int_equal(l.first_skipped, 11);
    assert_true(filter_list_blocks(&l, SLICE("plain.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("A.plain.example."), &entry));
    assert_true(slice_eq(entry, SLICE("plain.example")));
    assert_false(filter_list_blocks(&l, SLICE("explain.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("below.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("a.below.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("other.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("a.other.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("localhost"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("a.rule.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("a.good.rule.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("xn--bcher-kva.example"), NULL));
    assert_int_equal(l.first_file, 0);
    assert_int_equal(filter_list_read(&l, SLICE("second.example\n")), OK);
    filter_list_finish(&l);
    assert_true(filter_list_blocks(&l, SLICE("second.example"), NULL));
    assert_true(filter_list_memory(&l) > 0);
    filter_list_done(&l);
}

static void names(void **state)
{
    static const struct {
        const char *name, *form;
    } rows[] = {
        { "b\xc3\xbc"
          "cher",
          "xn--bcher-kva" },
        { "B\xc3\x9c"
          "CHER.Example",
          "xn--bcher-kva.example" },
        { "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xbc\xd0\xb5\xd1\x80", "xn--e1afmkfd" },
        { "\xe4\xbe\x8b\xe5\xad\x90", "xn--fsqu00a" },
        { "plain", "plain" },
        { "\xc3", "" },
        { "\xc0\xaf", "" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char form[100];
        size_t n = punycode_name(form, sizeof(form), slice_str(rows[i].name));
        if (!slice_eq(slice_of(form, n), slice_str(rows[i].form)))
            fail_msg("row %zu: %.*s", i, (int)n, form);
    }
}

static void rules(void **state)
{
    struct filter_list l = { 0 };
    struct filter_named named = { .name = SLICE("games"), .list = &l };
    const struct filter_named *lists[] = { &named };
    struct fwd_value ports = { .from = 80, .to = 80 };
    struct fwd_acl acl = { .type = ACL_PORT, .values = &ports }, user = { .type = ACL_PROXY_AUTH };
    struct fwd_term terms[] = { { &acl, false }, { &user, false } };
    struct filter_rule rest = { .terms = terms + 1, .nterms = 1, .pos.line = 8 };
    struct filter_rule r = { .lists = lists, .nlists = 1, .terms = terms, .nterms = 1, .pos.line = 7 };
    struct filter_rule pass = { .allow = true, .lists = lists, .nlists = 1, .terms = terms, .nterms = 1, .next = &r };
    struct addr client;
    struct sockaddr local = { .sa_family = AF_UNIX };
    char text[300];
    assert_int_equal(addr_parse_ip(SLICE("10.0.0.1"), 0, &client), OK);
    assert_int_equal(filter_list_read(&l, SLICE("play.example")), OK);
    struct fwd_request q = {
        .client = &client.sa, .host = SLICE("a.play.example"), .port = 80, .user_known = true, .user = SLICE("to m\n")
    };
    struct filter_decision d = filter_decide(&r, &q);
    assert_int_equal(d.answer, FWD_YES);
    size_t n = filter_decision_text(text, sizeof(text), &d, &q);
    assert_true(slice_eq(slice_of(text, n), SLICE("user=to\\x20m\\x0A client=10.0.0.1 host=a.play.example list=games "
                                                  "entry=play.example rule=:7")));
    q.client = &local;
    n = filter_decision_text(text, sizeof(text), &d, &q);
    assert_true(slice_starts(slice_of(text, n), SLICE("user=to\\x20m\\x0A client=unix: host=")));
    d = filter_decide(&pass, &q); /* the first line decides */
    assert_int_equal(d.answer, FWD_NO);
    assert_ptr_equal(d.rule, &pass);
    q.port = 443;
    d = filter_decide(&pass, &q);
    assert_int_equal(d.answer, FWD_NO);
    assert_null(d.rule);
    r.next = &rest; /* of any host */
    q.user_known = false;
    d = filter_decide(&r, &q);
    assert_int_equal(d.answer, FWD_NEED_USER);
    assert_ptr_equal(d.rule, &rest);
    assert_null(d.list);
    r.nterms = 2;
    q.port = 80;
    assert_ptr_equal(filter_decide(&r, &q).rule, &r);
    pass.terms = terms + 1; /* nobody knows who asks: that lets nobody through */
    assert_ptr_equal(filter_decide(&pass, &q).rule, &r);
    filter_list_done(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(forms), cmocka_unit_test(names), cmocka_unit_test(rules) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
