/*
 * What several unit tests need: slices compared, and an arena to set up and tear down around them. Behind <cmocka.h>.
 */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/slice.h"

static inline void same(slice got, slice want)
{
    if (!slice_eq(got, want))
        fail_msg("got [%.*s], want [%.*s]", SLICE_FMT(got), SLICE_FMT(want));
}

static struct arena arena ATTR_UNUSED;

static inline int arena_setup(void **state)
{
    arena_init(&arena, NULL, 0, 4096, 0);
    return 0;
}

static inline int arena_teardown(void **state)
{
    arena_done(&arena);
    return 0;
}

#endif
