/* Squid's format codes as texts of variables. */
#include "conf/conf_test.h"

#include "base/err.h"
#include "proxy/squid_log.h"

static void formats(void **state)
{
    static const struct {
        const char *codes, *text;
    } rows[] = {
        { "%>a %Ss/%03>Hs", "${squid_client} ${squid_result}/${squid_03_status}" },
        { "%6tr|%-9rm|%[un|%\"ru", "${squid_6_tr}|${squid_m9_method}|${squid_user}|${squid_url}" },
        { "%{User-Agent}>h %{X-A}<h", "${http_User_Agent} ${sent_http_X_A}" },
        { "100%% $x [%tl]", "100% ${squid_dollar}x [${time_local}]" },
        { "", "" },
        { "%ts.%03tu", "${squid_ts}.${squid_03_tu}" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct strb b;
        slice bad = SLICE_NONE;
        strb_init(&b, 0);
        assert_int_equal(squid_format(&b, slice_str(rows[i].codes), &bad), OK);
        if (!slice_eq(strb_slice(&b), slice_str(rows[i].text)))
            fail_msg("%s: %.*s", rows[i].codes, SLICE_FMT(strb_slice(&b)));
        strb_done(&b);
    }
}

/* Whatever a file says behind a '%', also cut off at every point. */
static void faults(void **state)
{
    static const char *const rows[] = { "%",      "%>",      "%{", "%{a", "%{}>h",      "%{a}",
                                        "%{a}>x", "%9999ts", "%[", "%-",  "%ssl::>sni", "%\"" };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct strb b;
        slice bad = SLICE_NONE;
        strb_init(&b, 0);
        if (squid_format(&b, slice_str(rows[i]), &bad) != ERR_SYNTAX)
            fail_msg("%s", rows[i]);
        strb_done(&b);
    }
    const slice whole = SLICE("%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt %{Referer}>h");
    for (size_t n = 0; n <= whole.n; n++) {
        struct strb b;
        slice bad;
        strb_init(&b, 0);
        int rc = squid_format(&b, slice_upto(whole, n), &bad);
        assert_true(rc == OK || rc == ERR_SYNTAX);
        strb_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(formats), cmocka_unit_test(faults) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
