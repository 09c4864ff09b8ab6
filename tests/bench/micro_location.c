/*
 * Prints what finding a location costs: one location, then a thousand beside 200 regular expressions. Nothing is
 * asserted; the figures are for people.
 *
 *   tools/build_tree.sh release tests
 *   cc -O2 -D_GNU_SOURCE -Isrc -Itests/tools tests/bench/micro_location.c build/libhinge.a build/libtest_tools.a \
 *      -Wl,--wrap={malloc,calloc,realloc,aligned_alloc,free} -lcmocka -lpcre2-8 -o /tmp/m && /tmp/m
 */
#include <time.h>

#include "proxy/error_page.h"

#define TEST_FEATURES &error_page_feature

#include "proxy/route_test.h"

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Regular expressions as sites have them: by extension, by a prefix with a group, some of them with neither. */
static slice site_text(struct arena *a, unsigned locations, unsigned regexes)
{
    static const char *const forms[] = { "~ ^/user%u/([^/]+)/edit$", "~* \\.ext%u$", "~ ^/api/v%u/(?<id>\\d+)",
                                         "~ /x%u\\.(gif|jpg)$" };
    struct strb b;
    slice out;
    strb_init(&b, 0);
    strb_printf(&b, "http { server { listen 127.0.0.1; location /hit/ { answer; } location = /exact { answer; }\n");
    for (unsigned i = 0; i < locations; i++)
        strb_printf(&b, "location %s/site%u/part%u/ { answer; }\n", i % 10 ? "" : "= ", i / 7, i);
    for (unsigned i = 0; i < regexes; i++) {
        strb_printf(&b, "location ");
        strb_printf(&b, forms[i % 16 == 15 ? 3 : i % 3], i);
        strb_printf(&b, " { answer; }\n");
    }
    strb_printf(&b, "} }");
    arena_dup(a, strb_slice(&b), &out);
    strb_done(&b);
    return out;
}

static void measure(const char *what, struct site *s, const char *target)
{
    struct visit *v = visit_new(s, SLICE("127.0.0.1:80"), SLICE("h"), slice_str(target));
    double best = 1e18;
    for (unsigned round = 0; round < 7; round++) {
        double start = now_ns();
        for (unsigned i = 0; i < 20000; i++)
            visit_location(v);
        double each = (now_ns() - start) / 20000;
        best = each < best ? each : best;
    }
    printf("%-32s %-44s %8.1f ns\n", what, target, best);
    visit_free(v);
}

int main(void)
{
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    static const unsigned sizes[][2] = { { 0, 0 }, { 1000, 0 }, { 1000, 200 } };
    for (unsigned i = 0; i < 3; i++) {
        char what[64];
        struct site *s = site_good(site_text(&a, sizes[i][0], sizes[i][1]));
        snprintf(what, sizeof(what), "%u locations, %u expressions", sizes[i][0] + 2, sizes[i][1]);
        measure(what, s, "/exact");
        measure(what, s, "/hit/some/longer/path/to/a/page.html");
        measure(what, s, "/site100/part700/");
        site_free(s);
    }
    arena_done(&a);
    return 0;
}
