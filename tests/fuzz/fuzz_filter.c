/*
 * Lists of names: every line is kept or counted, and what is kept is found again.
 */
#include "base/err.h"
#include "forward/filter.h"
#include "h1/test_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void find_all(const struct domain_set *s)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < s->used; at += 2 + (uint8_t)s->bytes[at], n++) {
        slice name = slice_of(s->bytes + at + 2, (uint8_t)s->bytes[at]), entry;
        if (s->bytes[at + 1] & DOMAIN_SELF)
            TEST_CHECK(domain_set_has(s, name, &entry) && slice_eq(entry, name));
    }
    TEST_CHECK(n == s->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct filter_list l = { 0 };
    slice text = slice_of((const char *)data, size);
    if (size > 20000)
        return 0;
    TEST_CHECK(filter_list_read(&l, text) == OK);
    TEST_CHECK((l.skipped == 0) == (l.first_skipped == 0));
    find_all(&l.block);
    find_all(&l.allow);
    filter_list_blocks(&l, text, NULL);
    filter_list_done(&l);
    return 0;
}
