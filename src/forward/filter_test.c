/*
 * Look-ups and exceptions, rules with conditions, the record.
 */
#include "forward/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "forward/filter_read.h"

static int add(void *ctx, slice name, unsigned marks)
{
    return domain_build_add(ctx, name, marks);
}

static void list_of(struct filter_list *l, slice text)
{
    static const uint32_t notes[4] = { 2, 11, 0, 1 };
    struct filter_reader r;
    struct domain_build b;
    int fd;
    assert_int_equal(domain_build_begin(&b, 100), OK);
    filter_reader_init(&r, add, &b);
    assert_int_equal(filter_reader_piece(&r, text), OK);
    assert_int_equal(filter_reader_end(&r), OK);
    filter_reader_done(&r);
    assert_int_equal(domain_build_end(&b, notes, &fd), OK);
    assert_int_equal(filter_list_open(l, fd), OK);
    close(fd);
}

static void lookups(void **state)
{
    struct filter_list l;
    slice entry;
    list_of(&l, SLICE("plain.example\n*.below.example\n0.0.0.0 host.example other.example\n||rule.example^\n"
                      "@@||good.rule.example^\n@@||fine.example^\nbad.fine.example\nb\xc3\xbc"
                      "cher.example\nstar.example\n*.star.example\n"));
    assert_int_equal(l.skipped, 2);
    assert_int_equal(l.first_skipped, 11);
    assert_true(filter_list_blocks(&l, SLICE("plain.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("A.plain.example."), &entry));
    assert_true(slice_eq(entry, SLICE("plain.example")));
    assert_false(filter_list_blocks(&l, SLICE("explain.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("plain.example.org"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("below.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("a.below.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("other.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("a.other.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("a.rule.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("a.good.rule.example"), NULL));
    assert_false(filter_list_blocks(&l, SLICE("bad.fine.example"), NULL)); /* the exception is the shorter one */
    assert_true(filter_list_blocks(&l, SLICE("xn--bcher-kva.example"), NULL));
    assert_true(filter_list_blocks(&l, SLICE("x.y.star.example"), &entry));
    assert_true(slice_eq(entry, SLICE("star.example")));
    assert_false(filter_list_blocks(&l, SLICE(""), NULL));
    assert_false(filter_list_blocks(&l, SLICE("."), NULL));
    assert_false(filter_list_blocks(&l, SLICE("no host"), NULL));
    filter_list_close(&l);
}

static void rules(void **state)
{
    struct filter_named named = { .name = SLICE("games") };
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
    list_of(&named.list, SLICE("play.example"));
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
    filter_list_close(&named.list);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lookups), cmocka_unit_test(rules) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
