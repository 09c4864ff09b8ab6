/*
 * Lists of names: the same names whole and in two pieces, and what is kept is found again.
 */
#include <unistd.h>

#include "base/err.h"
#include "base/map.h"
#include "forward/domain_set.h"
#include "forward/filter.h"
#include "forward/filter_read.h"
#include "h1/test_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All names in their order. */
struct told {
    uint64_t digest;
    uint32_t names;
    struct domain_build *into;
    const struct filter_list *in;
};

static int on_name(void *ctx, slice name, unsigned marks)
{
    struct told *t = ctx;
    char normal[DOMAIN_NAME_MAX];
    t->digest = t->digest * 31 + hash_bytes(name, false) + marks;
    t->names++;
    TEST_CHECK(slice_eq(slice_of(normal, domain_normal(normal, name)), name));
    if (t->into)
        TEST_CHECK(domain_build_add(t->into, name, marks) == OK);
    if (t->in)
        TEST_CHECK((domain_table_get(&t->in->names, name) & marks) == marks);
    return OK;
}

static uint32_t read_all(struct told *t, slice text, size_t cut)
{
    struct filter_reader r;
    filter_reader_init(&r, on_name, t);
    TEST_CHECK(filter_reader_piece(&r, slice_upto(text, cut)) == OK);
    TEST_CHECK(filter_reader_piece(&r, slice_from(text, cut)) == OK);
    TEST_CHECK(filter_reader_end(&r) == OK);
    TEST_CHECK((r.skipped == 0) == (r.first_skipped == 0));
    filter_reader_done(&r);
    return r.skipped;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t notes[4];
    slice text = slice_of((const char *)data, size);
    struct told whole = { 0 }, cut = { 0 };
    struct domain_build build;
    struct filter_list list;
    int fd;
    if (size > 20000)
        return 0;
    uint32_t skipped = read_all(&whole, text, size);
    TEST_CHECK(domain_build_begin(&build, whole.names) == OK);
    cut.into = &build;
    TEST_CHECK(read_all(&cut, text, size ? data[0] % size : 0) == skipped);
    TEST_CHECK(cut.digest == whole.digest);
    TEST_CHECK(domain_build_end(&build, notes, &fd) == OK);
    TEST_CHECK(filter_list_open(&list, fd) == OK);
    close(fd);
    cut = (struct told){ .in = &list };
    read_all(&cut, text, 0);
    filter_list_blocks(&list, text, NULL);
    filter_list_close(&list);
    return 0;
}
