/*
 * Searched from front to back: it is asked once for each line of a file that is refused.
 */
#include "conf/nginx_names.h"

#include "base/attr.h"

static const struct {
    slice whose, names;
} groups[] = {
#define NAMES(whose, names) { { whose, sizeof(whose) - 1 }, { names, sizeof(names) - 1 } },
#include "conf/nginx_names.def"
#undef NAMES
};

static bool has(slice names, slice name)
{
    slice one, rest;
    while (slice_cut(names, ' ', &one, &rest)) {
        if (slice_eq(one, name))
            return true;
        names = rest;
    }
    return slice_eq(names, name);
}

slice nginx_name_hint(struct arena *a, slice name)
{
    for (size_t i = 0; i < array_len(groups); i++) {
        if (!has(groups[i].names, name))
            continue;
        if (!groups[i].whose.n)
            return SLICE("this is a directive of nginx that hinge does not have (yet)");
        if (slice_eq(groups[i].whose, SLICE("mail")))
            return SLICE("mail proxying is not part of hinge");
        return arena_printf(a, "this is a directive of the %.*s module for nginx that hinge does not have (yet)",
                            SLICE_FMT(groups[i].whose));
    }
    return SLICE_NONE;
}
