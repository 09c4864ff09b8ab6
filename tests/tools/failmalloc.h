/*
 * Allocation failure on demand, for unit tests.
 *
 * Every unit test is linked with --wrap for the allocator, so that calls from hinge's code pass through here (those
 * from inside shared libraries do not); it works under the sanitizers too, because the wrapped call ends in their
 * allocator. Counting and failing concern the calling thread alone.
 *
 *     for (size_t n = 0;; n++) {
 *         fail_alloc_at(n, false);
 *         run();
 *         if (!fail_alloc_off())
 *             break; // the run made fewer allocations: all of them were tried
 *     }
 */
#ifndef TESTS_FAILMALLOC_H
#define TESTS_FAILMALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the n-th allocation (from 0) fails; with `onward` all later ones fail as well. */
void fail_alloc_at(size_t n, bool onward);
/* Back to normal; was any allocation made to fail? */
bool fail_alloc_off(void);
/* Blocks that this thread allocated minus those it freed. */
long alloc_live(void);

#endif
