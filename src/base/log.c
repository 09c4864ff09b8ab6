#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/clock.h"

static struct log log_stderr = { .target = { { .fd = 2, .level = LEVEL_NOTICE, .careful = true } },
                                 .n = 1,
                                 .level = LEVEL_NOTICE };
struct log *_Atomic log_main = &log_stderr;

static _Atomic uint64_t lost;

static const char *const names[] = { "", "emerg", "alert", "crit", "error", "warn", "notice", "info", "debug" };

const char *log_level_name(enum log_level level)
{
    return names[level];
}

enum log_level log_level_find(slice name)
{
    for (unsigned i = LEVEL_EMERG; i < array_len(names); i++) {
        if (slice_eq(name, slice_str(names[i])))
            return (enum log_level)i;
    }
    return 0;
}

/* Whatever is no plain file may be full for as long as its reader likes. */
static bool may_block(int fd)
{
    struct stat st;
    return fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
}

bool log_add(struct log *l, int fd, enum log_level level)
{
    if (l->n == LOG_TARGETS_MAX)
        return false;
    l->target[l->n++] = (struct log_target){ .fd = fd, .level = level, .careful = may_block(fd) };
    if (level > l->level)
        l->level = level;
    return true;
}

bool log_add_syslog(struct log *l, int fd, enum log_level level, const struct syslog_to *to)
{
    if (!log_add(l, fd, level))
        return false;
    l->target[l->n - 1].syslog = to;
    return true;
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

/* ---- the process's own log ---- */

/*
 * Threads read log_main without a lock, so a log that was published is never freed and its numbers are never closed:
 * the descriptors are duplicated onto numbers of our own that stay for life, and the structs take turns. A thread would
 * have to sleep inside log_line for seven reloads to see one change.
 */
bool log_main_set(const struct log *from)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct log ring[8];
    static struct syslog_to to[8][LOG_TARGETS_MAX];
    static unsigned turn;
    static int own[LOG_TARGETS_MAX] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    bool ok = true;
    pthread_mutex_lock(&lock);
    unsigned at = turn++ % array_len(ring);
    struct log *l = &ring[at];
    l->n = 0;
    l->level = 0;
    for (uint32_t i = 0; i < from->n; i++) {
        int fd = from->target[i].fd;
        if (own[i] < 0)
            fd = own[i] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
        else
            fd = dup3(fd, own[i], O_CLOEXEC);
        if (fd < 0 || !log_add(l, fd, from->target[i].level)) {
            ok = false;
            continue;
        }
        if (from->target[i].syslog) {
            to[at][i] = *from->target[i].syslog;
            l->target[l->n - 1].syslog = &to[at][i];
        }
    }
    if (l->n > 0)
        atomic_store(&log_main, l);
    pthread_mutex_unlock(&lock);
    return ok;
}

/* ---- one line ---- */

struct line {
    char p[LOG_LINE_MAX];
    size_t n;
};

static void put(struct line *b, const char *p, size_t n)
{
    size_t room = sizeof(b->p) - 1 - b->n; /* the newline always fits */
    if (n > room)
        n = room;
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_escaped(struct line *b, slice s)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n && b->n < sizeof(b->p) - 5; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 0x20 && c < 0x7f) {
            b->p[b->n++] = (char)c;
            continue;
        }
        char e[4] = { '\\', 'x', hex[c >> 4], hex[c & 15] };
        put(b, e, 4);
    }
}

static void put_number(struct line *b, uint64_t v)
{
    char digits[20];
    put(b, digits, u64_to_dec(digits, v));
}

static _Thread_local struct clock line_clock;

static void begin(struct line *b, enum log_level level, uint64_t conn)
{
    static _Thread_local uint64_t tid, tid_of; /* the latter: a fork takes the number of another thread along */
    uint64_t pid = (uint64_t)getpid();
    if (tid_of != pid) {
        tid = (uint64_t)syscall(SYS_gettid);
        tid_of = pid;
    }
    clock_update(&line_clock);
    b->n = 0;
    put(b, line_clock.err, strlen(line_clock.err));
    put(b, " [", 2);
    put(b, names[level], strlen(names[level]));
    put(b, "] ", 2);
    put_number(b, pid);
    put(b, "#", 1);
    put_number(b, tid);
    put(b, ": ", 2);
    if (conn) {
        put(b, "*", 1);
        put_number(b, conn);
        put(b, " ", 1);
    }
}

static void count_lost(void)
{
    atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
}

/* A severity of syslog is one less than our level; the line goes without its newline. */
static void emit_syslog(const struct log_target *t, enum log_level level, const struct line *b)
{
    if (!syslog_send(t->syslog, t->fd, level - 1U, &line_clock, slice_of(b->p, b->n - 1)))
        count_lost();
}

/* One write; a line that the target does not take now is lost and counted, never waited for. */
static void emit(const struct log_target *t, const struct line *b)
{
    struct pollfd p = { .fd = t->fd, .events = POLLOUT };
    if (t->careful && (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))) {
        count_lost();
        return;
    }
    ssize_t n;
    do
        n = write(t->fd, b->p, b->n);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)b->n)
        count_lost();
}

static void finish(const struct log *l, enum log_level level, struct line *b)
{
    b->p[b->n++] = '\n';
    for (uint32_t i = 0; i < l->n; i++) {
        const struct log_target *t = &l->target[i];
        if (level <= t->level && t->syslog)
            emit_syslog(t, level, b);
        else if (level <= t->level)
            emit(t, b);
    }
}

void log_text(const struct log *l, enum log_level level, uint64_t conn, slice text, slice suffix)
{
    if (!log_on(l, level))
        return;
    int err = errno;
    struct line b;
    begin(&b, level, conn);
    put_escaped(&b, text);
    put_escaped(&b, suffix);
    finish(l, level, &b);
    errno = err;
}

void log_line(const struct log *l, enum log_level level, uint64_t conn, const char *fmt, ...)
{
    if (!log_on(l, level))
        return;
    int err = errno;
    char text[LOG_LINE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0)
        log_text(l, level, conn, slice_of(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1), SLICE_NONE);
    errno = err;
}
