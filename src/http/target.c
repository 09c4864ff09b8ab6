#include "http/target.h"

#include "base/err.h"
#include "http/uri.h"

int target_path(struct request *r, slice rest, struct arena *a, bool merge_slashes)
{
    struct uri_path path;
    if (r->form == TARGET_AUTHORITY || r->form == TARGET_ASTERISK) {
        r->raw_path = r->path = r->normal_path = rest;
        return OK;
    }
    r->raw_path = rest;
    r->has_query = slice_cut(rest, '?', &r->raw_path, &r->query);
    if (r->raw_path.n == 0)
        r->raw_path = SLICE("/");
    int rc = uri_path_parse(a, r->raw_path, merge_slashes, &path);
    if (rc != OK)
        return rc;
    r->path = path.path;
    r->path_changed = path.changed;
    r->normal_path = path.changed ? path.normal : r->raw_path;
    return OK;
}
