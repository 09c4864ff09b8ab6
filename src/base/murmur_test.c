/* MurmurHash2: numbers that are known, for every length of the rest. */
#include "base/murmur.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/attr.h"

static void known(void **state)
{
    static const struct {
        const char *text;
        uint32_t hash;
    } table[] = { { "", 0x00000000 },
                  { "a", 0x92685f5e },
                  { "ab", 0x1aa14063 },
                  { "abc", 0x13577c9b },
                  { "abcd", 0x26873021 },
                  { "abcde", 0x5f09a8de },
                  { "127.0.0.1", 0xb6131d91 },
                  { "192.0.2.1AAA", 0xcd5e5fff },
                  { "the quick brown fox", 0xb3528f7c } };
    for (size_t i = 0; i < array_len(table); i++) {
        if (murmur_hash2(slice_str(table[i].text)) != table[i].hash)
            fail_msg("%s: %08x", table[i].text, murmur_hash2(slice_str(table[i].text)));
    }
}

static void bytes_count_without_sign(void **state)
{
    assert_int_equal(murmur_hash2(SLICE("\xff\xfe\x80")), 0xa30efe85);
    assert_int_equal(murmur_hash2(slice_of("a\0b\0", 4)), 0x707b211d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known),
        cmocka_unit_test(bytes_count_without_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
