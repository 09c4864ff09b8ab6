/* The table of nginx's names: what it says of whom, and that it is in order. */
#include "conf/nginx_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/map.h"

static const char *const groups[] = {
#define NAMES(whose, names) names,
#include "conf/nginx_names.def"
#undef NAMES
};

#define OF_NGINX "this is a directive of nginx that hinge does not have (yet)"

static void hints_say_whose_a_directive_is(void **state)
{
    struct arena a;
    arena_init(&a, NULL, 0, 1024, 0);
    const struct {
        slice name, hint;
    } rows[] = {
        { SLICE("stream"), SLICE(OF_NGINX) },
        { SLICE("fastcgi_pass"), SLICE(OF_NGINX) },
        { SLICE("proxy_cache_purge"), SLICE(OF_NGINX) },
        { SLICE("ssl_certificate_key_"), SLICE_NONE },
        { SLICE("mail"), SLICE("mail proxying is not part of hinge") },
        { SLICE("xclient"), SLICE("mail proxying is not part of hinge") },
        { SLICE("more_set_headers"),
          SLICE("this is a directive of the headers-more module for nginx that hinge does not have (yet)") },
        { SLICE("nonsense"), SLICE_NONE },
        { SLICE(""), SLICE_NONE },
        { SLICE("a b"), SLICE_NONE },
    };
    for (size_t i = 0; i < array_len(rows); i++) {
        slice hint = nginx_name_hint(&a, rows[i].name);
        if (!slice_eq(hint, rows[i].hint))
            fail_msg("%.*s: %.*s", SLICE_FMT(rows[i].name), SLICE_FMT(hint));
    }
    arena_done(&a);
}

/* Byte order, a prefix first; the bytes are letters, digits and underscores. */
static bool stands_before(slice a, slice b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order < 0 || (order == 0 && a.n < b.n);
}

static void check_name(struct map *seen, slice name, slice *before)
{
    bool fine = name.n > 0;
    for (size_t i = 0; i < name.n; i++)
        fine = fine && (ascii_alpha(name.p[i]) || ascii_digit(name.p[i]) || name.p[i] == '_');
    if (!fine)
        fail_msg("\"%.*s\" is no name", SLICE_FMT(name));
    if (before->n && !stands_before(*before, name))
        fail_msg("\"%.*s\" stands behind \"%.*s\"", SLICE_FMT(name), SLICE_FMT(*before));
    if (map_put(seen, name, seen) != 0)
        fail_msg("\"%.*s\" stands there twice", SLICE_FMT(name));
    *before = name;
}

static void names_stand_in_order_and_once(void **state)
{
    struct map seen;
    map_init(&seen, false);
    for (size_t i = 0; i < array_len(groups); i++) {
        slice names = slice_str(groups[i]), one, rest, before = SLICE_NONE;
        for (; slice_cut(names, ' ', &one, &rest); names = rest)
            check_name(&seen, one, &before);
        check_name(&seen, names, &before);
    }
    map_done(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hints_say_whose_a_directive_is),
        cmocka_unit_test(names_stand_in_order_and_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
