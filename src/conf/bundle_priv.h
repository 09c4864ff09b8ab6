/* What the files of the bundle share. */
#ifndef CONF_BUNDLE_PRIV_H
#define CONF_BUNDLE_PRIV_H

#include "base/arena.h"
#include "base/map.h"
#include "conf/bundle.h"

enum { BUNDLE_KINDS = BUNDLE_TABLE + 1 };

struct bundle {
    struct arena arena; /* entries, keys, texts */
    slice prefix;       /* ends in '/' */
    bool closed;
    bundle_resolve_fn resolve;
    void *resolve_ctx;
    struct map by_key[BUNDLE_KINDS];
    struct bundle_entry *first, **last;
    size_t nentries;
};

/* A new entry with a copy of the key; `text` is taken as it is. NULL when out of memory or when the key is there. */
struct bundle_entry *bundle_add(struct bundle *b, enum bundle_kind kind, slice key, slice text, int error);

#endif
