#include "forward/filter_store.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/map.h"
#include "forward/domain_table.h"
#include "forward/filter.h"
#include "forward/filter_read.h"

/* Keyed digests under the process's random key: nobody who writes a list can make two of them meet. */
struct content {
    uint64_t digest, bytes;
    uint32_t files;
};

struct filter_held {
    int fd;
    struct content content;
    uint32_t refs;
    struct filter_held *next;
};

static struct filter_held *all;

static bool same(const struct content *a, const struct content *b)
{
    return a->digest == b->digest && a->bytes == b->bytes && a->files == b->files;
}

/* One more reference, or NULL. */
static struct filter_held *find(const struct content *c)
{
    struct filter_held *h = all;
    while (h && !same(&h->content, c))
        h = h->next;
    if (h)
        h->refs++;
    return h;
}

/* ---- one reading ---- */

struct reading {
    struct filter_reader lines;
    struct content content;
    struct domain_build *into; /* NULL: names are counted */
    uint64_t names;
};

static int on_name(void *ctx, slice name, unsigned marks)
{
    struct reading *r = ctx;
    r->names++;
    if (!r->into)
        return OK;
    return domain_build_add(r->into, name, marks) == OK ? OK : ERR_AGAIN; /* more than were counted */
}

static void digest(struct content *c, uint64_t more)
{
    const uint64_t both[2] = { c->digest, more };
    c->digest = hash_bytes(slice_of((const char *)both, sizeof(both)), false);
}

static int on_piece(void *ctx, slice piece)
{
    struct reading *r = ctx;
    digest(&r->content, hash_bytes(piece, false));
    r->content.bytes += piece.n;
    return filter_reader_piece(&r->lines, piece);
}

static int on_end(void *ctx)
{
    struct reading *r = ctx;
    digest(&r->content, r->content.files++);
    return filter_reader_end(&r->lines);
}

static int read_all(struct reading *r, filter_files_fn read, void *files, struct domain_build *into)
{
    const struct filter_sink sink = { on_piece, on_end, r };
    *r = (struct reading){ .into = into };
    filter_reader_init(&r->lines, on_name, r);
    int rc = read(files, &sink);
    filter_reader_done(&r->lines);
    return rc;
}

/* ---- the store ---- */

static int keep(const struct content *c, int fd, struct filter_held **out)
{
    struct filter_held *h = malloc(sizeof(*h));
    if (!h) {
        close(fd);
        return ERR_NOMEM;
    }
    *h = (struct filter_held){ .fd = fd, .content = *c, .refs = 1, .next = all };
    all = h;
    *out = h;
    return OK;
}

/* ERR_AGAIN: the second reading was not of what the first one saw (a file was written to, or can be read but once). */
static int compile(filter_files_fn read, void *files, const struct reading *first, struct filter_held **out)
{
    struct domain_build build;
    struct reading r;
    int fd, rc = first->names > UINT32_MAX ? ERR_LIMIT : domain_build_begin(&build, (uint32_t)first->names);
    if (rc != OK)
        return rc;
    rc = read_all(&r, read, files, &build);
    if (rc == OK && !same(&r.content, &first->content))
        rc = ERR_AGAIN;
    if (rc != OK) {
        domain_build_drop(&build);
        return rc;
    }
    const uint32_t notes[4] = { r.lines.skipped, r.lines.first_skipped, r.lines.first_file, r.lines.files };
    rc = domain_build_end(&build, notes, &fd);
    return rc == OK ? keep(&r.content, fd, out) : rc;
}

int filter_store_get(filter_files_fn read, void *files, struct filter_held **out)
{
    struct reading first;
    int rc = read_all(&first, read, files, NULL);
    if (rc != OK)
        return rc;
    struct filter_held *h = find(&first.content);
    if (!h)
        return compile(read, files, &first, out);
    *out = h;
    return OK;
}

void filter_store_drop(struct filter_held *h)
{
    struct filter_held **at = &all;
    while (*at && *at != h)
        at = &(*at)->next;
    assert(*at && h->refs);
    if (--h->refs)
        return;
    *at = h->next;
    close(h->fd);
    free(h);
}

int filter_held_fd(const struct filter_held *h)
{
    return h->fd;
}

uint32_t filter_store_count(uint32_t *refs)
{
    uint32_t n = 0;
    *refs = 0;
    for (const struct filter_held *h = all; h; h = h->next, n++)
        *refs += h->refs;
    return n;
}
