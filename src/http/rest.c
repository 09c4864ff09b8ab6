#include "http/rest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pack.h"
#include "base/poison.h"

/* The page, packed. On the heap. */
struct rest {
    uint16_t used; /* bytes of the arena on the page */
    uint8_t bytes[];
};

enum { PARTS = 3, WORD = 8 };

struct part {
    char *at;
    size_t n;
};

/* What counts on the page: all but the rings of the two pipes, which are empty, and what the arena has left. */
static void parts_of(struct exchange *x, size_t used, struct part v[PARTS])
{
    v[0] = (struct part){ (char *)x, offsetof(struct exchange, req_pipe.ring) };
    v[1] = (struct part){ (char *)&x->resp_pipe, offsetof(struct pipe, ring) };
    v[2] = (struct part){ (char *)(x + 1), used };
}

_Static_assert(offsetof(struct exchange, req_pipe.ring) % WORD == 0 && offsetof(struct pipe, ring) % WORD == 0 &&
                   sizeof(struct exchange) % WORD == 0,
               "parts of a page are whole words");

/* Once the arena has gone on to another chunk, all of the page counts. */
static size_t used_of(struct exchange *x)
{
    char *begin = (char *)(x + 1), *end = (char *)x + EXCHANGE_PAGE;
    if (x->arena.at < begin || x->arena.at > end)
        return (size_t)(end - begin);
    return ((size_t)(x->arena.at - begin) + WORD - 1) & ~(size_t)(WORD - 1);
}

static bool pipe_rests(const struct pipe *p)
{
    return p->state == PIPE_OPEN && !p->count && !p->stalled && !p->discard && !p->retain && !p->overflow &&
           !p->spilling;
}

/* Nothing will come to the exchange but through its ends. */
static bool is_still(const struct exchange *x)
{
    if (x->run.queued || x->ended != END_NONE || x->front_why != WHY_NONE || (x->events & X_BACK_FAILED) || x->parent ||
        x->trace || x->transforms || x->works || x->spill || x->resp_spill)
        return false;
    for (const struct x_hold *h = x->holds; h; h = h->next) {
        if (!h->still || h->asked)
            return false;
    }
    return pipe_rests(&x->req_pipe) && pipe_rests(&x->resp_pipe);
}

static bool end_rests(struct end *e)
{
    return e && e->ops->may_rest && !e->kick.queued && e->ops->may_rest(e);
}

static struct rest *pack(struct exchange *x)
{
    uint8_t small[PARTS + EXCHANGE_PAGE + EXCHANGE_PAGE / 8];
    struct pack p = { .next = 0 };
    struct part v[PARTS];
    size_t n = 0, used = used_of(x);
    parts_of(x, used, v);
    for (int i = 0; i < PARTS; i++)
        n += pack_add(&p, small + n, v[i].at, v[i].n);
    struct rest *r = malloc(sizeof(*r) + n);
    if (!r)
        return NULL;
    r->used = (uint16_t)used;
    memcpy(r->bytes, small, n);
    return r;
}

/* A page of the exchange's must be one of the kernel's; whether that can be given back is the kernel's say. */
static bool give_back(struct exchange *x)
{
    return sysconf(_SC_PAGESIZE) == EXCHANGE_PAGE && madvise(x, EXCHANGE_PAGE, MADV_DONTNEED) == 0;
}

bool exchange_rest(struct exchange *x)
{
    struct end *front = x->front, *back = x->back;
    struct worker *w = x->w;
    assert(!front->rest);
    if (!is_still(x) || !end_rests(front) || !end_rests(back))
        return false;
    struct rest *r = pack(x);
    if (!r || !give_back(x)) {
        free(r);
        return false;
    }
    poison(x, EXCHANGE_PAGE);
    front->rest = back->rest = r;
    worker_count(w, COUNT_TUNNEL_RESTS);
    return true;
}

void exchange_wake(struct end *e)
{
    struct exchange *x = e->x;
    struct rest *r = e->rest;
    struct pack p = { .next = 0 };
    struct part v[PARTS];
    size_t n = 0;
    unpoison(x, EXCHANGE_PAGE);
    parts_of(x, r->used, v);
    for (int i = 0; i < PARTS; i++)
        n += pack_take(&p, v[i].at, v[i].n, r->bytes + n);
    assert(x->front->rest == r && x->back->rest == r);
    x->front->rest = x->back->rest = NULL;
    free(r);
    task_post(&x->w->loop, &x->front->kick);
}
