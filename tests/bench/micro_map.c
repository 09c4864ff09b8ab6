/*
 * Prints what a map costs: how long it takes to load, the memory that its generation holds, and a look-up, for ten to a
 * hundred thousand entries; the same for networks of a geo. Nothing is asserted; the figures are for people.
 *
 *   tools/build_tree.sh release tests
 *   cc -O2 -D_GNU_SOURCE -Isrc -Itests/tools tests/bench/micro_map.c build/libhinge.a build/libtest_tools.a \
 *      -Wl,--wrap={malloc,calloc,realloc,aligned_alloc,free} -lcmocka -lpcre2-8 -o /tmp/m && /tmp/m
 */
#include <malloc.h>
#include <time.h>

#include "policy/derived.h"

#define TEST_FEATURES &derived_feature, &map_feature, &geo_feature

#include "proxy/route_test.h"

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

enum what { MAP, MASKS, GEO, RANGES };

static const char *const names[] = { "map", "map, hostnames, masks", "geo", "geo, ranges" };
static const char *const heads[] = { "map $arg_k $v { default none;", "map $arg_k $v { hostnames; default none;",
                                     "geo $arg_k $v { default none;", "geo $arg_k $v { ranges; default none;" };

static void add_line(struct strb *b, enum what what, unsigned i)
{
    unsigned x = 10 + (i >> 16), y = i >> 8 & 255, z = i & 255;
    if (what == GEO)
        strb_printf(b, "%u.%u.%u.0/24 value-%u;\n", x, y, z, i);
    else if (what == RANGES)
        strb_printf(b, "%u.%u.%u.16-%u.%u.%u.200 value-%u;\n", x, y, z, x, y, z, i);
    else
        strb_printf(b, "%skey-%06u.example.com value-%u;\n", what == MASKS ? "*." : "", i, i);
}

static slice key_of(struct arena *a, enum what what, unsigned i)
{
    if (what == GEO || what == RANGES)
        return arena_printf(a, "/?k=%u.%u.%u.77", 10 + (i >> 16), i >> 8 & 255, i & 255);
    return arena_printf(a, "/?k=%skey-%06u.example.com", what == MASKS ? "www." : "", i);
}

static double lookups(struct site *s, struct arena *a, enum what what, unsigned n)
{
    enum { KEYS = 64 };
    double best = 1e18;
    for (unsigned round = 0; round < 7; round++) {
        double all = 0;
        for (unsigned k = 0; k < KEYS; k++) {
            struct visit *v = visit_new(s, SLICE("127.0.0.1:80"), SLICE("h"), key_of(a, what, k * 7919 % n));
            char page[4096];
            arena_done(&v->x.arena);
            double start = now_ns();
            for (unsigned i = 0; i < 1000; i++) {
                arena_init(&v->x.arena, page, sizeof(page), 4096, 0);
                v->x.values = NULL;
                visit_show(v);
            }
            all += now_ns() - start;
            visit_free(v);
        }
        best = all < best ? all : best;
    }
    return best / KEYS / 1000;
}

static void measure(enum what what, unsigned n)
{
    struct strb b;
    struct arena a;
    arena_init(&a, NULL, 0, 4096, 0);
    strb_init(&b, 0);
    strb_printf(&b, "http { %s\n", heads[what]);
    for (unsigned i = 0; i < n; i++)
        add_line(&b, what, i);
    strb_lit(&b, "} server { listen 127.0.0.1; show $v; } }");
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = now_ns();
    struct site *s = site_good(strb_slice(&b));
    double load = now_ns() - start;
    size_t held = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("%-24s %7u lines: loads in %8.2f ms, holds %9.1f KB (%zu a line), a look-up %6.1f ns\n", names[what], n,
           load / 1e6, (double)held / 1024, held / n, lookups(s, &a, what, n));
    site_free(s);
    strb_done(&b);
    arena_done(&a);
}

int main(void)
{
    for (enum what what = MAP; what <= RANGES; what++) {
        measure(what, 10);
        measure(what, 1000);
        measure(what, 100000);
    }
    return 0;
}
