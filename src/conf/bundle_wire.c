/*
 * The sealed form of a bundle: what the master hands to an engine.
 *
 * One header, the prefix, then the entries in their order, all little-endian whatever the machine, without alignment.
 * Both sides are the same program, yet a reader checks every length: the version lets a new engine refuse an old
 * master's bundle, and a fuzzer feeds it anything. Descriptors travel beside the file in the order of the entries.
 *
 *   header  "HINGEBDL" version:4 nentries:4 prefix:4 reserved:4 prefix-bytes
 *   entry   kind:4 error:4 nfds:4 key:4 text:8 key-bytes text-bytes
 *
 * A file with a descriptor has its text there.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/err.h"
#include "base/memfile.h"
#include "base/strb.h"
#include "conf/bundle.h"
#include "conf/bundle_priv.h"

enum { WIRE_VERSION = 2, WIRE_MAX_FDS = 1 << 16 };
#define WIRE_MAGIC    SLICE("HINGEBDL")
#define WIRE_MAX_SIZE ((size_t)1 << 32)

static void put(struct strb *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        strb_char(b, (char)(v >> (8 * i) & 0xff));
}

static void put_entry(struct strb *b, const struct bundle_entry *e)
{
    put(b, (uint64_t)e->kind, 4);
    put(b, (uint64_t)(uint32_t)e->error, 4);
    put(b, e->nfds, 4);
    put(b, e->key.n, 4);
    slice text = e->mapped ? SLICE_NONE : e->text;
    put(b, text.n, 8);
    strb_add(b, e->key);
    strb_add(b, text);
}

static int encode(struct bundle *b, struct strb *out)
{
    strb_init(out, WIRE_MAX_SIZE);
    strb_add(out, WIRE_MAGIC);
    put(out, WIRE_VERSION, 4);
    put(out, b->nentries, 4);
    put(out, b->prefix.n, 4);
    put(out, 0, 4);
    strb_add(out, b->prefix);
    for (const struct bundle_entry *e = b->first; e; e = e->next)
        put_entry(out, e);
    return out->failed ? ERR_NOMEM : OK;
}

/* A memory file that nobody can change any more. */
static int sealed_file(slice bytes, int *out)
{
    int fd;
    if (memfile_new("hinge-bundle", &fd) < 0)
        return ERR_SYS;
    if (memfile_put(fd, bytes) < 0 || memfile_seal(fd) < 0) {
        int keep = errno;
        close(fd);
        errno = keep;
        return ERR_SYS;
    }
    *out = fd;
    return OK;
}

/* All descriptors in one array; one more slot than needed, so that "none" is no special case. */
static int list_fds(struct bundle *b, int **out, size_t *n)
{
    size_t total = 0, at = 0;
    for (const struct bundle_entry *e = b->first; e; e = e->next)
        total += e->nfds;
    int *fds = calloc(total + 1, sizeof(*fds));
    if (!fds)
        return ERR_NOMEM;
    for (const struct bundle_entry *e = b->first; e; e = e->next) {
        for (uint32_t i = 0; i < e->nfds; i++) {
            assert(at < total);
            fds[at++] = e->fds[i];
        }
    }
    *out = fds;
    *n = total;
    return OK;
}

int bundle_seal(struct bundle *b, int *fd, int **fds, size_t *nfds)
{
    struct strb bytes;
    int *list = NULL, file = -1;
    size_t n = 0;
    int r = encode(b, &bytes);
    if (r == OK)
        r = list_fds(b, &list, &n);
    if (r == OK)
        r = sealed_file(strb_slice(&bytes), &file);
    int keep = errno;
    strb_done(&bytes);
    if (r < 0) {
        free(list);
        errno = keep;
        return r;
    }
    *fd = file;
    *fds = list;
    *nfds = n;
    return OK;
}

/* Little-endian number from the front of *s; false when it is too short. */
static bool get(slice *s, size_t bytes, uint64_t *v)
{
    if (s->n < bytes)
        return false;
    *v = 0;
    for (size_t i = 0; i < bytes; i++)
        *v |= (uint64_t)(unsigned char)s->p[i] << (8 * i);
    *s = slice_from(*s, bytes);
    return true;
}

static bool get_bytes(slice *s, uint64_t n, slice *out)
{
    if (s->n < n)
        return false;
    *out = slice_upto(*s, (size_t)n);
    *s = slice_from(*s, (size_t)n);
    return true;
}

/* What remains of the caller's descriptors while entries claim theirs. */
struct fd_list {
    const int *at;
    size_t n;
};

static int claim_fds(struct bundle_entry *e, uint32_t n, struct fd_list *fds)
{
    if (n > fds->n)
        return ERR_SYNTAX;
    if (n == 0)
        return OK;
    e->fds = malloc(n * sizeof(*e->fds));
    if (!e->fds)
        return ERR_NOMEM;
    memcpy(e->fds, fds->at, n * sizeof(*e->fds));
    e->nfds = n;
    fds->at += n;
    fds->n -= n;
    return OK;
}

static int map_text(struct bundle_entry *e)
{
    slice all;
    if (e->nfds != 1 || e->text.n || e->error)
        return ERR_SYNTAX;
    int r = memfile_map(e->fds[0], &all);
    if (r < 0)
        return r;
    if (all.p[all.n - 1]) {
        memfile_unmap(all.p, all.n);
        return ERR_SYNTAX;
    }
    e->text = slice_upto(all, all.n - 1);
    e->mapped = true;
    return OK;
}

static int load_entry(struct bundle *b, slice *s, struct fd_list *fds)
{
    uint64_t kind, error, nfds, nkey, ntext;
    slice key, text, copy;
    if (!get(s, 4, &kind) || !get(s, 4, &error) || !get(s, 4, &nfds) || !get(s, 4, &nkey) || !get(s, 8, &ntext))
        return ERR_SYNTAX;
    if (kind >= BUNDLE_KINDS || error > 4095 || nfds > WIRE_MAX_FDS)
        return ERR_SYNTAX;
    if (!get_bytes(s, nkey, &key) || !get_bytes(s, ntext, &text))
        return ERR_SYNTAX;
    if (map_get(&b->by_key[kind], key))
        return ERR_SYNTAX;
    if (!arena_dup(&b->arena, text, &copy))
        return ERR_NOMEM;
    struct bundle_entry *e = bundle_add(b, (enum bundle_kind)kind, key, copy, (int)error);
    int r = e ? claim_fds(e, (uint32_t)nfds, fds) : ERR_NOMEM;
    return r == OK && kind == BUNDLE_FILE && nfds ? map_text(e) : r;
}

static int load_entries(struct bundle *b, slice s, uint64_t n, struct fd_list fds)
{
    int r = OK;
    for (uint64_t i = 0; r == OK && i < n; i++)
        r = load_entry(b, &s, &fds);
    if (r == OK && (s.n || fds.n))
        r = ERR_SYNTAX;
    return r;
}

/* A bundle that failed to load must not close what its caller keeps. */
static void forget_fds(struct bundle *b)
{
    for (struct bundle_entry *e = b->first; e; e = e->next)
        e->nfds = 0;
}

int bundle_load_bytes(slice bytes, const int *fds, size_t nfds, struct bundle **out)
{
    uint64_t version, n, nprefix, reserved;
    slice prefix, magic;
    if (!get_bytes(&bytes, WIRE_MAGIC.n, &magic) || !slice_eq(magic, WIRE_MAGIC) || !get(&bytes, 4, &version) ||
        version != WIRE_VERSION)
        return ERR_SYNTAX;
    if (!get(&bytes, 4, &n) || !get(&bytes, 4, &nprefix) || !get(&bytes, 4, &reserved) || reserved != 0)
        return ERR_SYNTAX;
    if (!get_bytes(&bytes, nprefix, &prefix) || slice_find(prefix, '\0') >= 0)
        return ERR_SYNTAX;
    struct bundle *b = bundle_new(prefix);
    if (!b)
        return ERR_NOMEM;
    int r = load_entries(b, bytes, n, (struct fd_list){ fds, nfds });
    if (r < 0) {
        forget_fds(b);
        bundle_free(b);
        return r;
    }
    b->closed = true;
    *out = b;
    return OK;
}

int bundle_load(int fd, const int *fds, size_t nfds, struct bundle **out)
{
    slice bytes;
    int r = memfile_map(fd, &bytes);
    if (r < 0)
        return r;
    r = bytes.n > WIRE_MAX_SIZE ? ERR_SYNTAX : bundle_load_bytes(bytes, fds, nfds, out);
    memfile_unmap(bytes.p, bytes.n);
    return r;
}
