/* What the program is made of, against what it says of nginx's directives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/app.h"
#include "base/err.h"
#include "conf/nginx_names.h"

/* A directive that has come must go from conf/nginx_names.def, else the table says what is not true. */
static void what_is_there_is_not_called_missing(void **state)
{
    struct arena a;
    unsigned stale = 0;
    arena_init(&a, NULL, 0, 1024, 0);
    for (size_t f = 0; f < app_hinge.nfeatures; f++) {
        const struct feature *feature = app_hinge.features[f];
        for (size_t i = 0; i < feature->ndirectives; i++) {
            const char *name = feature->directives[i].name;
            if (!nginx_name_hint(&a, slice_str(name)).n)
                continue;
            print_error("\"%s\" is a directive of hinge: take it out of src/conf/nginx_names.def\n", name);
            stale++;
        }
    }
    arena_done(&a);
    assert_int_equal(stale, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_there_is_not_called_missing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
