#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/base64.h"
#include "base/err.h"

/* RFC 4648 §10 */
static void vectors(void **state)
{
    static const struct {
        const char *text, *plain;
    } v[] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg==", "foob" },
        { "Zm9vYmE=", "fooba" },
        { "Zm9vYmFy", "foobar" },
        { "Zm8", "fo" },
    };
    for (size_t i = 0; i < array_len(v); i++) {
        char out[32];
        ptrdiff_t n = base64_decode(out, slice_str(v[i].text));
        assert_int_equal(n, strlen(v[i].plain));
        assert_memory_equal(out, v[i].plain, (size_t)n);
    }
}

static void encoded(void **state)
{
    static const char *const v[][2] = { { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
                                        { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" },
                                        { "a:b", "YTpi" } };
    for (size_t i = 0; i < array_len(v); i++) {
        char out[16];
        size_t n = base64_encode(out, slice_str(v[i][0]));
        assert_int_equal(n, base64_encoded(strlen(v[i][0])));
        assert_true(slice_eq(slice_of(out, n), slice_str(v[i][1])));
    }
}

static void refused(void **state)
{
    static const char *const v[] = { "Z", "Zg=", "Zh==", "Zm9v=", "Z m9v", "====", "Zm=v", "Zm9vZ" };
    char out[32];
    for (size_t i = 0; i < array_len(v); i++)
        assert_int_equal(base64_decode(out, slice_str(v[i])), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(vectors), cmocka_unit_test(encoded),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
