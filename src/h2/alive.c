/*
 * Is the peer still there? A connection that has been silent for a time is sent a PING, and is given up when it stays
 * silent for as long again, whatever TCP believes (http2_idle_ping, proxy_http2_idle_ping).
 */
#include "base/attr.h"
#include "h2/conn.h"

static void on_timer(struct timer *t)
{
    struct h2_conn *c = container_of(t, struct h2_conn, alive.timer);
    struct h2_alive *a = &c->alive;
    uint64_t silent = loop_now(&c->w->loop) - a->heard;
    if (c->failing || c->closed)
        return;
    if (silent < a->every) {
        timer_set(&c->w->loop, t, a->every - silent);
    } else if (!a->asked) {
        a->asked = true;
        h2_out_frame(c, H2_PING, 0, 0, SLICE("awake?.."));
        timer_set(&c->w->loop, t, a->every);
    } else {
        c->role->silent(c);
    }
}

void h2_alive_init(struct h2_conn *c)
{
    timer_init(&c->alive.timer, on_timer);
    c->alive.heard = loop_now(&c->w->loop);
}

void h2_alive_watch(struct h2_conn *c, uint64_t every)
{
    c->alive.every = every;
    if (every)
        timer_set(&c->w->loop, &c->alive.timer, every);
    else
        timer_clear(&c->alive.timer);
}
