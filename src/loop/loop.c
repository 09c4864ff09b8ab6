#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "loop/timer.h"

static void wake_up(struct io *io, unsigned events);

int loop_init(struct loop *l)
{
    memset(l, 0, sizeof(*l));
    l->run_tail = &l->run_head;
    l->later_tail = &l->later_head;
    list_init(&l->soon);
    for (size_t i = 0; i < LOOP_WHEEL; i++)
        list_init(&l->wheel[i]);
    clock_update(&l->clock);
    l->tick = l->clock.mono / LOOP_TICK_MS;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0)
        return ERR_SYS;
    l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wakefd < 0)
        goto close_epoll;
    io_init(&l->wake, l->wakefd, wake_up);
    if (io_watch(l, &l->wake) < 0)
        goto close_wake;
    return OK;
close_wake:
    close(l->wakefd);
close_epoll:
    close(l->epfd);
    return ERR_SYS;
}

void loop_reap_now(struct loop *l)
{
    while (l->reaps) {
        struct reap *r = l->reaps;
        l->reaps = r->next;
        r->fn(r);
    }
}

void loop_done(struct loop *l)
{
    loop_reap_now(l);
    close(l->wakefd);
    close(l->epfd);
}

/* ---- descriptors ---- */

void io_init(struct io *io, int fd, void (*fn)(struct io *, unsigned))
{
    io->fd = fd;
    io->watched = false;
    io->fn = fn;
    list_init(&io->soon);
}

static int watch(struct loop *l, struct io *io, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = io };
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, io->fd, &ev) < 0)
        return ERR_SYS;
    io->watched = true;
    if (list_linked(&io->soon))
        list_del(&io->soon);
    return OK;
}

int io_watch(struct loop *l, struct io *io)
{
    return watch(l, io, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int io_watch_listener(struct loop *l, struct io *io)
{
    return watch(l, io, EPOLLIN | EPOLLEXCLUSIVE);
}

void io_watch_soon(struct loop *l, struct io *io)
{
    if (io->watched || list_linked(&io->soon))
        return;
    list_add_tail(&l->soon, &io->soon);
}

void io_unwatch(struct loop *l, struct io *io)
{
    if (list_linked(&io->soon))
        list_del(&io->soon);
    if (!io->watched)
        return;
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, io->fd, NULL);
    io->watched = false;
}

void io_close(struct loop *l, struct io *io)
{
    if (list_linked(&io->soon))
        list_del(&io->soon);
    if (io->fd >= 0)
        close(io->fd); /* which also takes it out of epoll: no descriptor of ours is ever duplicated */
    io->fd = -1;
    io->watched = false;
}

/* A tick later what is still unregistered has turned out to need waiting for. */
static void watch_the_late(struct loop *l)
{
    uint64_t tick = l->clock.mono / LOOP_TICK_MS;
    if (list_empty(&l->soon)) {
        l->soon_tick = tick;
        return;
    }
    if (tick < l->soon_tick + 2)
        return;
    l->soon_tick = tick;
    while (!list_empty(&l->soon)) {
        struct io *io = list_entry(l->soon.next, struct io, soon);
        if (io_watch(l, io) < 0) {
            list_del(&io->soon);
            io->fn(io, IO_HUP);
            loop_drain(l);
        }
    }
}

/* ---- tasks ---- */

void task_init(struct task *t, void (*fn)(struct task *))
{
    t->next = NULL;
    t->fn = fn;
    t->queued = false;
}

void task_post(struct loop *l, struct task *t)
{
    if (t->queued)
        return;
    t->queued = true;
    t->next = NULL;
    *l->run_tail = t;
    l->run_tail = &t->next;
}

void task_post_later(struct loop *l, struct task *t)
{
    if (t->queued)
        return;
    t->queued = true;
    t->next = NULL;
    *l->later_tail = t;
    l->later_tail = &t->next;
}

static bool unqueue(struct task **head, struct task ***tail, struct task *t)
{
    for (struct task **at = head; *at; at = &(*at)->next) {
        if (*at != t)
            continue;
        *at = t->next;
        if (!*at)
            *tail = at;
        t->queued = false;
        return true;
    }
    return false;
}

/* Rare (an exchange that ends while it is posted), so a walk over the short queues will do. */
void task_cancel(struct loop *l, struct task *t)
{
    if (!t->queued)
        return;
    if (!unqueue(&l->run_head, &l->run_tail, t))
        unqueue(&l->later_head, &l->later_tail, t);
}

void loop_drain(struct loop *l)
{
    while (l->run_head) {
        struct task *t = l->run_head;
        l->run_head = t->next;
        if (!l->run_head)
            l->run_tail = &l->run_head;
        t->queued = false;
        t->fn(t);
    }
}

/* What asked for "later" joins the run queue now; what it posts later again waits for the next turn. */
static void run_later(struct loop *l)
{
    if (!l->later_head)
        return;
    *l->run_tail = l->later_head;
    l->run_tail = l->later_tail;
    l->later_head = NULL;
    l->later_tail = &l->later_head;
    loop_drain(l);
}

/* ---- freeing ---- */

void loop_reap(struct loop *l, struct reap *r, void (*fn)(struct reap *))
{
    r->fn = fn;
    r->next = l->reaps;
    l->reaps = r;
}

/* ---- mail ---- */

void loop_mail(struct loop *l, struct mail *m, void (*fn)(struct loop *, struct mail *))
{
    m->fn = fn;
    m->next = __atomic_load_n(&l->mail, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&l->mail, &m->next, m, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
    uint64_t one = 1;
    ssize_t rc = write(l->wakefd, &one, sizeof(one));
    (void)rc; /* a full counter wakes as well */
}

static void read_mail(struct loop *l)
{
    struct mail *m = __atomic_exchange_n(&l->mail, NULL, __ATOMIC_ACQUIRE), *in_order = NULL;
    while (m) {
        struct mail *next = m->next;
        m->next = in_order;
        in_order = m;
        m = next;
    }
    while (in_order) {
        struct mail *next = in_order->next;
        in_order->fn(l, in_order);
        loop_drain(l);
        in_order = next;
    }
}

static void wake_up(struct io *io, unsigned events)
{
    uint64_t count;
    ssize_t rc = read(io->fd, &count, sizeof(count));
    (void)rc; /* nothing to read: the wake was spurious */
    (void)events;
    read_mail(container_of(io, struct loop, wake));
}

void loop_wait_mail(struct loop *l)
{
    struct pollfd p = { .fd = l->wakefd, .events = POLLIN };
    poll(&p, 1, -1);
    wake_up(&l->wake, IO_IN);
}

/* ---- the turn ---- */

static unsigned events_of(uint32_t e)
{
    unsigned r = 0;
    if (e & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r |= IO_IN;
    if (e & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        r |= IO_OUT;
    if (e & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r |= IO_HUP;
    return r;
}

static int wait_for(struct loop *l, int max_wait)
{
    int ms = timer_wait(l);
    if (l->run_head || l->later_head)
        return 0;
    if (!list_empty(&l->soon) && (ms < 0 || ms > 2 * LOOP_TICK_MS))
        ms = 2 * LOOP_TICK_MS;
    if (max_wait >= 0 && (ms < 0 || ms > max_wait))
        ms = max_wait;
    return ms;
}

static void heartbeat(struct loop *l, bool busy)
{
    atomic_store_explicit(&l->heartbeat, l->turns * 2 + busy, memory_order_relaxed);
}

void loop_turn(struct loop *l, int max_wait)
{
    struct epoll_event ev[LOOP_EVENTS];
    int ms = wait_for(l, max_wait);
    heartbeat(l, false);
    int n = epoll_wait(l->epfd, ev, LOOP_EVENTS, ms);
    l->turns++;
    l->events = n > 0 ? (uint32_t)n : 0;
    heartbeat(l, true);
    clock_update(&l->clock);
    for (int i = 0; i < n; i++) {
        struct io *io = ev[i].data.ptr;
        if (io->fd < 0)
            continue; /* closed by an earlier callback of this batch; its memory waits to be reaped */
        io->fn(io, events_of(ev[i].events));
        loop_drain(l);
    }
    timer_run(l);
    run_later(l);
    watch_the_late(l);
    if (l->turn_end)
        l->turn_end(l);
    loop_drain(l);
    loop_reap_now(l);
}

void loop_run(struct loop *l)
{
    while (!l->stop)
        loop_turn(l, -1);
    heartbeat(l, false);
}

void loop_stop(struct loop *l)
{
    l->stop = true;
}
