#include "loop/scratch.h"

#include <stdlib.h>

#include "base/err.h"

int scratch_init(struct scratch *s, size_t size)
{
    char *p = aligned_alloc(4096, size);
    if (!p)
        return ERR_NOMEM;
    *s = (struct scratch){ p, size, NULL };
    return OK;
}

void scratch_done(struct scratch *s)
{
    free(s->p);
    *s = (struct scratch){ NULL, 0, NULL };
}
