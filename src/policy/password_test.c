/*
 * Vectors of openssl passwd, htpasswd, mkpasswd and Python's hashlib; and that nothing else matches.
 */
#include "policy/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

#define UMLAUT "p\xc3\xa4 ss:w\xc3\xb6rd"

static const struct vector {
    const char *stored, *password;
    enum password_kind kind;
} vectors[] = {
    { "{PLAIN}secret", "secret", PASSWORD_PLAIN },
    { "{PLAIN}", "", PASSWORD_PLAIN },
    { "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret", PASSWORD_SHA },
    { "{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "", PASSWORD_SHA },
    { "{SHA}fG6JOT+U4BWCxHUIDugxX5F9oIE=", UMLAUT, PASSWORD_SHA },
    { "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "secret", PASSWORD_SSHA },
    { "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0", "secret", PASSWORD_SSHA },
    { "{SSHA}s8kVDu8KhXhMO7ogYNDMQmvClEoA/zEyMzQ1Njc4", "secret", PASSWORD_SSHA },
    { "{SSHA}rYZDN57UoUS8LqPq/R5gmtlNg9hzYWx0", UMLAUT, PASSWORD_SSHA },
    { "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", "secret", PASSWORD_APR1 },
    { "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie.", "", PASSWORD_APR1 },
    { "$apr1$abcdefgh$/pmyVcAXFpK8UcyxbCh3F1", UMLAUT, PASSWORD_APR1 },
    { "$apr1$abcdefgh$G8IsPsylW5ROvIKsQMRG61", "a", PASSWORD_APR1 },
    { "$apr1$abcdefgh$sxHfOFLANAYXeGF./FBFh.", "0123456789abcdef", PASSWORD_APR1 },
    { "$apr1$abcdefgh$1EmOoQBtUQ/xoE6y2eLUr/", "0123456789abcdefg", PASSWORD_APR1 },
    { "$apr1$GmIK9G1F$Jfvk0PvDYOHCLBRrd2PEU0", "secret", PASSWORD_APR1 },
    { "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "secret", PASSWORD_CRYPT },
    { "$1$abcdefgh$M55TzYaaccxVGbptZWaxX/", "", PASSWORD_CRYPT },
    { "$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", "secret", PASSWORD_CRYPT },
    { "$6$saltstring$AIsRs/Ee56G/tC8MEHhvReZTfx8u3rXXMl6eYrjCG9ibix19DxoMBLogdTET5Ukw9Sf7eZTITsuk0Ry5qulYz.", "secret",
      PASSWORD_CRYPT },
    { "$6$rounds=1000$/ZoiuyueNsQTMGg0$8NjlCh7Ir.XQXPLCsS0gjpYhEXgYGcTZIIbe.tywG7BJryhEU/"
      "ehOVuSCnGlZ9QLQHuwgwMMjLseCshjvDvzj/",
      "", PASSWORD_CRYPT },
    { "$2y$04$cMYWAa/ZBIDhF2N9pRtsLejvj5NBtdmJlczczrMDzyNOcBWTpk4d.", "secret", PASSWORD_CRYPT },
    { "$2y$04$AO2l2z9X/M7Jm0e4leLKIOnNbNPNP4Sq06cR6vdBGZg8KO4MWk/Na", UMLAUT, PASSWORD_CRYPT },
    { "$2a$05$C6lXyOvX6dkHz7c9mPVX4.4CHEzLm5bGnSDkS7zV3t.d2xy1ua0gW", "secret", PASSWORD_CRYPT },
    { "$y$j75$UktCWc2I3vs3aGhEL9vKG/$8q5WSTePcfoKWIDF3.i3kRXi9U7MW85QpKbsMPNjng7", "secret", PASSWORD_CRYPT },
    { "$gy$j75$DW.uS14fFuWXYNQDdsyIj1$xrtyEgJPBKrj9R6gNgaU0JD9bXxwd/NXNQFRLLDpmH9", "secret", PASSWORD_CRYPT },
    { "7YPZxgGzxdL7s", "secret", PASSWORD_CRYPT },
};

static void known_passwords(void **state)
{
    for (size_t i = 0; i < array_len(vectors); i++) {
        const struct vector *v = &vectors[i];
        slice stored = slice_str(v->stored), password = slice_str(v->password);
        char longer[64] = { 0 };
        if (password_kind(stored) != v->kind || !password_matches(stored, password))
            fail_msg("%s", v->stored);
        memcpy(longer, password.p, password.n);
        longer[password.n] = 'x';
        bool des = stored.n == 13;
        if (!des || password.n < 8)
            assert_false(password_matches(stored, slice_of(longer, password.n + 1)));
        assert_false(password_matches(stored, slice_of(longer, password.n + 2))); /* "...x\0" */
        longer[password.n] = '\0';
        assert_false(password_matches(stored, slice_of(longer, password.n + 1))); /* no NUL cuts it short */
        if (password.n)
            assert_false(password_matches(stored, slice_upto(password, password.n - 1)));
        assert_false(password_matches(stored, stored));
    }
}

/* Cut or changed anywhere, a stored password matches no more. */
static void damaged(void **state)
{
    for (size_t i = 0; i < array_len(vectors); i++) {
        slice stored = slice_str(vectors[i].stored), password = slice_str(vectors[i].password);
        if (i == 0 || i == 1)
            continue; /* {PLAIN}: every text is a password */
        assert_false(password_matches(slice_upto(stored, stored.n - 2), password)); /* more than a padding '=' */
        assert_false(password_matches(slice_upto(stored, stored.n / 2), password));
        char text[200];
        memcpy(text, stored.p, stored.n);
        text[stored.n] = 'x';
        if (vectors[i].kind != PASSWORD_SHA && vectors[i].kind != PASSWORD_SSHA)
            assert_false(password_matches(slice_of(text, stored.n + 1), password));
        size_t middle = stored.n - 5;
        text[middle] = text[middle] == 'A' ? 'B' : 'A';
        assert_false(password_matches(slice_of(text, stored.n), password));
    }
}

static void nothing_known(void **state)
{
    static const char *const unknown[] = {
        "",        "secret",        "hello, world!", "!",         "*",      "*0",     "x",          "$",
        "$$",      "$9$a$b",        "{SHA}",         "{SHA}!!!!", "{SSHA}", "{sha}x", "{SSHA}AAAA", "$apr1$",
        "$apr1$a", "$apr1$a$short", "a:b",           "!$6$a$b"
    };
    for (size_t i = 0; i < array_len(unknown); i++) {
        slice s = slice_str(unknown[i]);
        if (password_kind(s) != PASSWORD_UNKNOWN)
            fail_msg("%s", unknown[i]);
        assert_false(password_matches(s, SLICE("")));
        assert_false(password_matches(s, s));
        assert_null(password_weakness(s));
    }
}

static void put(char *at, slice s)
{
    memcpy(at, s.p, s.n);
}

static void sizes(void **state)
{
    char text[PASSWORD_STORED_MAX + 2];
    memset(text, 'a', sizeof(text));
    put(text, SLICE("{PLAIN}"));
    slice stored = slice_of(text, 7 + PASSWORD_MAX);
    assert_true(password_matches(stored, slice_of(text + 7, PASSWORD_MAX)));
    stored.n++;
    assert_false(password_matches(stored, slice_of(text + 7, PASSWORD_MAX + 1)));
    assert_int_equal(password_kind(slice_of(text, sizeof(text))), PASSWORD_UNKNOWN);
    put(text, SLICE("$6$"));
    assert_false(password_matches(slice_of(text, PASSWORD_STORED_MAX), slice_of(text, PASSWORD_MAX)));
    put(text, SLICE("{SSHA}"));
    assert_false(password_matches(slice_of(text, PASSWORD_STORED_MAX), slice_of(text, PASSWORD_MAX)));
}

static void weak_ones(void **state)
{
    assert_string_equal(password_weakness(SLICE("{PLAIN}x")), "in plain text");
    assert_string_equal(password_weakness(SLICE("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=")), "as SHA-1 without a salt");
    assert_non_null(password_weakness(SLICE("{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0")));
    assert_non_null(password_weakness(SLICE("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/")));
    assert_non_null(password_weakness(SLICE("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1")));
    assert_non_null(password_weakness(SLICE("7YPZxgGzxdL7s")));
    assert_null(password_weakness(SLICE("$2y$04$cMYWAa/ZBIDhF2N9pRtsLejvj5NBtdmJlczczrMDzyNOcBWTpk4d.")));
    assert_null(password_weakness(SLICE("$y$j75$UktCWc2I3vs3aGhEL9vKG/$8q5WSTePcfoKWIDF3.i3kRXi9U7MW85QpKbsMPNjng7")));
    assert_null(password_weakness(SLICE("$6$saltstring$AIs")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_passwords), cmocka_unit_test(damaged),   cmocka_unit_test(nothing_known),
        cmocka_unit_test(sizes),           cmocka_unit_test(weak_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
