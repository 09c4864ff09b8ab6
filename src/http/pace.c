#include "http/pace.h"

#include "base/attr.h"
#include "base/checked.h"
#include "base/err.h"
#include "conf/units.h"
#include "http/exchange.h"

/* Less than this part of a second's share is not worth a write. */
enum { SHARES = 10 };

struct pace {
    struct transform t;
    struct timer timer;
    struct loop *loop;
    uint64_t rate, after;
    uint64_t passed;
    uint64_t start;           /* ms; 0: nothing has come yet */
    struct pace_share *share; /* of a shared one */
};

uint64_t pace_allowed(uint64_t rate, uint64_t after, uint64_t ms)
{
    uint64_t time, bytes;
    if (!checked_add_u64(ms, 1000, &time) || !checked_mul_u64(rate, time, &bytes) ||
        !checked_add_u64(bytes / 1000, after, &bytes))
        return UINT64_MAX;
    return bytes;
}

/* The milliseconds until `need` more bytes are allowed. */
static uint64_t wait_for(const struct pace *p, uint64_t need)
{
    uint64_t scaled;
    if (!checked_mul_u64(need, 1000, &scaled))
        return 1000;
    return scaled / p->rate + 1;
}

static enum transform_result pace_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    struct pace *p = container_of(t, struct pace, t);
    uint64_t now = loop_now(p->loop), share = p->rate / SHARES + 1;
    if (!in->queued)
        return TRANSFORM_NEED_INPUT;
    if (!p->start)
        p->start = now ? now : 1;
    uint64_t allowed = pace_allowed(p->rate, p->after, now - p->start);
    uint64_t room = allowed > p->passed ? allowed - p->passed : 0;
    uint64_t least = in->queued < share ? in->queued : share;
    if (room < least) {
        timer_set(p->loop, &p->timer, wait_for(p, least - room));
        return TRANSFORM_NEED_INPUT;
    }
    size_t n = pipe_move(in, out, room < SIZE_MAX ? (size_t)room : SIZE_MAX);
    p->passed += n;
    return n ? TRANSFORM_MOVED : TRANSFORM_NEED_ROOM;
}

static void on_timer(struct timer *timer)
{
    transform_wake(&container_of(timer, struct pace, timer)->t);
}

static void pace_done(struct transform *t)
{
    struct pace *p = container_of(t, struct pace, t);
    timer_drop(p->loop, &p->timer);
}

static bool has_one(const struct exchange *x, enum transform_order order)
{
    for (const struct transform *t = x->transforms; t; t = t->next) {
        if (t->order == order)
            return true;
    }
    return false;
}

static struct pace *pace_new(struct exchange *x, enum transform_order order,
                             enum transform_result (*step)(struct transform *, struct pipe *, struct pipe *),
                             uint64_t rate)
{
    struct pace *p = arena_new(&x->arena, struct pace);
    if (!p)
        return NULL;
    p->t = (struct transform){ .order = (uint8_t)order, .step = step, .done = pace_done };
    p->loop = &x->w->loop;
    p->rate = rate;
    timer_init(&p->timer, on_timer);
    transform_insert(x, &p->t);
    p->t.in->burst = p->t.in->capacity < PIPE_FLOOR ? PIPE_FLOOR : p->t.in->capacity;
    return p;
}

int pace_insert(struct exchange *x, enum transform_order order, uint64_t rate, uint64_t after)
{
    if (!rate || exchange_is_tunnel(x) || has_one(x, order)) /* a tunnel is nobody's answer */
        return OK;
    struct pace *p = pace_new(x, order, pace_step, rate);
    if (!p)
        return ERR_NOMEM;
    p->after = after;
    return OK;
}

/* So little that it is not worth a write waits until there is more, and others may have it meanwhile. */
static enum transform_result shared_step(struct transform *t, struct pipe *in, struct pipe *out)
{
    struct pace *p = container_of(t, struct pace, t);
    uint64_t part = p->rate / SHARES + 1, least = in->queued < part ? in->queued : part;
    if (!in->queued)
        return TRANSFORM_NEED_INPUT;
    uint64_t room = p->share->take(p->share, loop_now(p->loop), in->queued);
    if (room < least) {
        p->share->give(p->share, room);
        timer_set(p->loop, &p->timer, wait_for(p, least - room));
        return TRANSFORM_NEED_INPUT;
    }
    size_t n = pipe_move(in, out, (size_t)room);
    p->share->give(p->share, room - n);
    return n ? TRANSFORM_MOVED : TRANSFORM_NEED_ROOM;
}

int pace_shared(struct exchange *x, struct pace_share *s)
{
    if (has_one(x, TRANSFORM_SHARE))
        return OK;
    struct pace *p = pace_new(x, TRANSFORM_SHARE, shared_step, s->rate);
    if (!p)
        return ERR_NOMEM;
    p->share = s;
    return OK;
}

int pace_size(struct exchange *x, const struct template *t, uint64_t *out)
{
    slice text;
    uint64_t size = 0;
    int rc = exchange_eval(x, t, &text);
    if (rc != OK)
        return rc;
    if (text.n && conf_size(text, &size) != OK) {
        exchange_log(x, LEVEL_ERROR, "invalid size \"%.*s\"", SLICE_FMT(text));
        size = 0;
    }
    *out = size;
    return OK;
}

int pace_client(struct exchange *x, uint64_t rate)
{
    uint64_t after;
    if (!rate)
        return OK;
    int rc = pace_size(x, &x->pass.loc->client->limit_rate_after, &after);
    return rc == OK ? pace_insert(x, TRANSFORM_PACE, rate, after) : rc;
}
