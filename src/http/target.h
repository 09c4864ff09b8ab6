/*
 * The path of a request's target, whatever protocol it came by: one parse for what rules match and what goes out.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "http/msg.h"

/*
 * Completes r from `rest`, the target without scheme and authority: raw_path, query, path, normal_path. r->form is
 * known. OK, ERR_SYNTAX or ERR_NOMEM.
 */
int target_path(struct request *r, slice rest, struct arena *a, bool merge_slashes);

#endif
