/*
 * The inside of a map, from anybody: read, and asked for its own words, their parts and their neighbours.
 */
#include "block_world.h"

#include "http/masks.h"

/* How well a line fits a key, as masks_test.c has it: exact over a mask in front over one behind, the longer the
 * better; 0: not at all. */
static size_t fits(const struct conf_node *line, bool hostnames, slice key)
{
    enum mask_kind kind = MASK_EXACT;
    slice text = slice_from(line->name, slice_starts(line->name, SLICE("\\"))), part = text;
    if (hostnames)
        CHECK(mask_parse(text, &kind, &part) == OK);
    if (kind == MASK_EXACT || (kind == MASK_BOTH && slice_ieq(part, key)))
        return slice_ieq(part, key) ? SIZE_MAX : 0;
    if (key.n <= part.n)
        return 0;
    if (kind == MASK_TAIL)
        return slice_istarts(key, part) && key.p[part.n] == '.' && part.n ? 1 + part.n : 0;
    return key.n > part.n && slice_ieq(slice_from(key, key.n - part.n), part) && key.p[key.n - part.n - 1] == '.'
               ? SIZE_MAX / 2 + part.n
               : 0;
}

/* The line that counts, found by looking at each. */
static const struct conf_node *expected(const struct conf_node *block, slice key, bool *regexes)
{
    const struct conf_node *best = NULL, *fallback = NULL;
    size_t how = 0;
    bool hostnames = false, any = false;
    for (const struct conf_node *l = block->children; l; l = l->next)
        any = any || (l->nargs == 0 && slice_eq(l->name, SLICE("hostnames")));
    if (any && slice_ends(key, SLICE(".")))
        key = slice_upto(key, key.n - 1);
    for (const struct conf_node *l = block->children; l; l = l->next) {
        if (l->nargs == 0) {
            hostnames = hostnames || slice_eq(l->name, SLICE("hostnames"));
        } else if (slice_eq(l->name, SLICE("default"))) {
            fallback = l;
        } else if (slice_starts(l->name, SLICE("~"))) {
            *regexes = true;
        } else if (fits(l, hostnames, key) > how) {
            how = fits(l, hostnames, key);
            best = l;
        }
    }
    *regexes = *regexes && !best;
    return best ? best : fallback;
}

static void ask(struct world *w, slice key)
{
    bool regexes = false;
    slice got = world_read(w, key);
    const struct conf_node *line = expected(w->conf->block, key, &regexes);
    if (regexes || (line && slice_find(line->args[0].text, '$') >= 0))
        return;
    CHECK(slice_eq(got, line ? line->args[0].text : SLICE("")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    slice input = slice_of((const char *)data, size), rest = input, word;
    if (size > 4096)
        return 0;
    world_open(&w, "map $key $v", input);
    if (w.gen) {
        ask(&w, SLICE(""));
        ask(&w, SLICE("."));
        for (unsigned n = 0; n < 40 && next_word(&rest, &word); n++) {
            slice label, behind;
            ask(&w, word);
            ask(&w, slice_from(word, 1));
            ask(&w,
                arena_printf(&w.arena, "x.%.*s", SLICE_FMT(slice_from(word, slice_starts(word, SLICE("*.")) ? 2 : 0))));
            ask(&w, arena_printf(&w.arena, "%.*s.y.", SLICE_FMT(word)));
            if (slice_cut(word, '.', &label, &behind))
                ask(&w, behind);
        }
    }
    world_close(&w);
    return 0;
}
