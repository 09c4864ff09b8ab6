/*
 * The sealed form of a bundle. What loads is sealed again and loaded again, and must be the same; and every entry is
 * asked for as its readers would. The descriptors that travel with it are of a sealed text, so that entries may be
 * files which live in one.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/err.h"
#include "base/memfile.h"
#include "conf/bundle.h"

#define CHECK(x)     \
    do {             \
        if (!(x))    \
            abort(); \
    } while (0)

enum { NFDS = 3 };

/* Each call gives descriptors of its own: a bundle that loads keeps them. */
static void descriptors(int fds[NFDS])
{
    static int text = -1;
    if (text < 0)
        CHECK(memfile_new("text", &text) == OK && memfile_put(text, slice_of("text", 5)) == OK &&
              memfile_seal(text) == OK);
    for (int i = 0; i < NFDS; i++)
        CHECK((fds[i] = dup(text)) >= 0);
}

static void close_all(const int fds[NFDS])
{
    for (int i = 0; i < NFDS; i++)
        close(fds[i]);
}

static void ask(struct bundle *b)
{
    slice text;
    for (struct bundle_entry *e = bundle_first(b); e; e = e->next) {
        CHECK(e->key.p[e->key.n] == '\0' && e->text.p[e->text.n] == '\0');
        switch (e->kind) {
        case BUNDLE_FILE:
            bundle_file(b, e->key, &text);
            break;
        case BUNDLE_GLOB:
            bundle_glob(b, e->key, &text);
            break;
        case BUNDLE_NAME:
            bundle_name(b, e->key, &text);
            break;
        case BUNDLE_OPTION:
            CHECK(bundle_option(b, e->key).p == e->text.p);
            break;
        default:
            CHECK(bundle_descriptor(b, e->kind, e->key) == e);
        }
    }
}

/* A bundle as the engine has it can travel once more. */
static void again(struct bundle *b)
{
    struct bundle *c;
    int fd, *fds, own[NFDS];
    size_t n;
    CHECK(bundle_seal(b, &fd, &fds, &n) == OK);
    CHECK(n == NFDS || n == 0);
    descriptors(own);
    CHECK(bundle_load(fd, own, n, &c) == OK);
    if (!n)
        close_all(own);
    const struct bundle_entry *x = bundle_first(b), *y = bundle_first(c);
    for (; x && y; x = x->next, y = y->next)
        CHECK(x->kind == y->kind && slice_eq(x->key, y->key) && slice_eq(x->text, y->text) && x->nfds == y->nfds);
    CHECK(!x && !y);
    bundle_free(c);
    free(fds);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fds[NFDS];
    struct bundle *b;
    slice input = slice_of((const char *)data, size);
    descriptors(fds);
    int r = bundle_load_bytes(input, fds, NFDS, &b);
    if (r != OK)
        close_all(fds);
    if (r == ERR_SYNTAX)
        r = bundle_load_bytes(input, NULL, 0, &b);
    CHECK(r == OK || r == ERR_SYNTAX);
    if (r == OK) {
        ask(b);
        again(b);
        bundle_free(b);
    }
    return 0;
}
