#include "http/masks.h"

#include "base/err.h"

int mask_parse(slice text, enum mask_kind *kind, slice *key)
{
    enum mask_kind k = MASK_EXACT;
    slice rest = text;
    if (text.n > 2 && slice_starts(text, SLICE("*."))) {
        k = MASK_HEAD;
        rest = slice_from(text, 2);
    } else if (text.n > 1 && slice_starts(text, SLICE("."))) {
        k = MASK_BOTH;
        rest = slice_from(text, 1);
    } else if (text.n > 2 && slice_ends(text, SLICE(".*"))) {
        k = MASK_TAIL;
        rest = slice_upto(text, text.n - 2);
    }
    if (slice_find(rest, '*') >= 0 || slice_find(rest, '\0') >= 0)
        return ERR_SYNTAX;
    for (size_t i = 1; i < text.n; i++) {
        if (text.p[i] == '.' && text.p[i - 1] == '.')
            return ERR_SYNTAX;
    }
    *kind = k;
    *key = rest;
    return OK;
}

void masks_init(struct masks *m)
{
    *m = (struct masks){ 0 };
    map_init(&m->exact, true);
    map_init(&m->head, true);
    map_init(&m->tail, true);
}

void masks_done(struct masks *m)
{
    map_done(&m->exact);
    map_done(&m->head);
    map_done(&m->tail);
}

static unsigned labels(slice s)
{
    unsigned n = 1;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '.';
    return n;
}

static int put_longest(struct map *m, unsigned *longest, slice key, void *value)
{
    int rc = map_put(m, key, value);
    if (rc == OK && labels(key) > *longest)
        *longest = labels(key);
    return rc;
}

int masks_put(struct masks *m, enum mask_kind kind, slice key, void *value)
{
    switch (kind) {
    case MASK_EXACT:
        return map_put(&m->exact, key, value);
    case MASK_HEAD:
        return put_longest(&m->head, &m->head_labels, key, value);
    case MASK_TAIL:
        return put_longest(&m->tail, &m->tail_labels, key, value);
    case MASK_BOTH:
        break;
    }
    if (map_get(&m->exact, key) || map_get(&m->head, key))
        return ERR_REFUSED;
    int rc = put_longest(&m->head, &m->head_labels, key, value);
    return rc == OK ? map_put(&m->exact, key, value) : rc;
}

/* The longest suffix of whole labels that is a key. */
static void *find_head(const struct masks *m, slice host)
{
    unsigned have = labels(host);
    slice rest = host, label;
    while (have > 1 && slice_cut(rest, '.', &label, &rest)) {
        have--;
        void *value = have > m->head_labels ? NULL : map_get(&m->head, rest);
        if (value)
            return value;
    }
    return NULL;
}

/* The longest prefix of whole labels that is a key. */
static void *find_tail(const struct masks *m, slice host)
{
    unsigned have = labels(host);
    slice rest = host;
    for (ptrdiff_t dot = slice_rfind(rest, '.'); dot > 0; dot = slice_rfind(rest, '.')) {
        rest = slice_upto(rest, (size_t)dot);
        have--;
        void *value = have > m->tail_labels ? NULL : map_get(&m->tail, rest);
        if (value)
            return value;
    }
    return NULL;
}

void *masks_find(const struct masks *m, slice host)
{
    void *value = map_get(&m->exact, host);
    if (!value && m->head_labels)
        value = find_head(m, host);
    if (!value && m->tail_labels)
        value = find_tail(m, host);
    return value;
}
