#include "app/watchdog.h"

#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { STUCK_MS = SANITIZED ? 30000 : 5000, STUCK_TICKS = STUCK_MS / WATCHDOG_TICK_MS, FRAMES = 48 };

static volatile sig_atomic_t dumped;

/* Everything below runs in signal handlers: no memory is allocated, no lock taken. */
static void dump_stack(const char *title)
{
    void *frames[FRAMES];
    const struct log *l = log_main;
    int n = backtrace(frames, FRAMES);
    for (uint32_t i = 0; i < l->n; i++) {
        ssize_t rc = write(l->target[i].fd, title, strlen(title));
        (void)rc; /* there is nobody left to tell */
        backtrace_symbols_fd(frames, n, l->target[i].fd);
    }
}

static void on_dump(int number)
{
    (void)number;
    dump_stack("the stack of the worker that does not come back:\n");
    dumped = 1;
}

static void on_fatal(int number)
{
    char title[] = "fatal signal 00, the stack:\n";
    title[13] = (char)('0' + number / 10 % 10);
    title[14] = (char)('0' + number % 10);
    dump_stack(title);
    raise(number); /* the handler is gone already (SA_RESETHAND), so this ends the process the usual way */
}

static int handle(int number, void (*fn)(int), int flags)
{
    struct sigaction sa;
    memset(&sa, 0, sizeof(sa));
    sa.sa_handler = fn;
    sa.sa_flags = flags;
    sigemptyset(&sa.sa_mask);
    return sigaction(number, &sa, NULL) < 0 ? ERR_SYS : OK;
}

int watchdog_init(void)
{
    static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
    void *frame;
    backtrace(&frame, 1); /* loads what it needs now, not in a handler */
    if (handle(SIGRTMIN, on_dump, SA_RESTART) < 0)
        return ERR_SYS;
    for (size_t i = 0; !SANITIZED && i < array_len(fatal); i++) { /* sanitizers tell more by themselves */
        if (handle(fatal[i], on_fatal, (int)SA_RESETHAND | SA_NODEFER) < 0)
            return ERR_SYS;
    }
    return OK;
}

static void ATTR_NORETURN end_stuck(struct worker_thread *t)
{
    log_line(log_main, LEVEL_CRIT, 0, "worker %u has not come back to its loop for %d s, ending the engine", t->w.index,
             STUCK_MS / 1000);
    pthread_kill(t->thread, SIGRTMIN);
    for (int i = 0; i < 100 && !dumped; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    handle(SIGABRT, SIG_DFL, 0); /* the main thread's own stack is of no interest */
    abort();
}

void watchdog_tick(struct worker_thread *threads)
{
    for (struct worker_thread *t = threads; t; t = t->next) {
        uint64_t beat = atomic_load_explicit(&t->w.loop.heartbeat, memory_order_relaxed);
        bool same = beat == t->beat && (beat & 1);
        t->beat = beat;
        t->stuck = same ? t->stuck + 1 : 0;
        if (t->stuck >= (unsigned)STUCK_TICKS)
            end_stuck(t);
    }
}
