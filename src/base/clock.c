#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char *const months[] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
};

void clock_http_date(char *dst, int64_t t)
{
    time_t tt = (time_t)t;
    struct tm tm;
    gmtime_r(&tt, &tm);
    snprintf(dst, 30, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday], (unsigned)tm.tm_mday % 100,
             months[tm.tm_mon], (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
             (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

static void make_texts(struct clock *c)
{
    time_t t = (time_t)c->sec;
    struct tm tm;
    localtime_r(&t, &tm);
    long off = tm.tm_gmtoff / 60;
    char sign = off < 0 ? '-' : '+';
    unsigned aoff = (unsigned)(off < 0 ? -off : off) % 6000;
    unsigned y = (unsigned)(tm.tm_year + 1900) % 10000, mo = (unsigned)(tm.tm_mon + 1) % 100,
             d = (unsigned)tm.tm_mday % 100;
    unsigned h = (unsigned)tm.tm_hour % 100, mi = (unsigned)tm.tm_min % 100, s = (unsigned)tm.tm_sec % 100;
    clock_http_date(c->http, c->sec);
    snprintf(c->log, sizeof(c->log), "%02u/%s/%04u:%02u:%02u:%02u %c%02u%02u", d, months[tm.tm_mon], y, h, mi, s, sign,
             aoff / 60, aoff % 60);
    snprintf(c->iso, sizeof(c->iso), "%04u-%02u-%02uT%02u:%02u:%02u%c%02u:%02u", y, mo, d, h, mi, s, sign, aoff / 60,
             aoff % 60);
    snprintf(c->err, sizeof(c->err), "%04u/%02u/%02u %02u:%02u:%02u", y, mo, d, h, mi, s);
}

void clock_set(struct clock *c, uint64_t mono, uint64_t wall_ms)
{
    c->mono = mono;
    c->wall_ms = wall_ms;
    int64_t sec = (int64_t)(wall_ms / 1000);
    if (sec != c->sec || !c->http[0]) {
        c->sec = sec;
        make_texts(c);
    }
}

/* The coarse clocks cost a tenth of the exact ones and are exact to a few milliseconds, as all our timers are. */
void clock_update(struct clock *c)
{
    struct timespec m, w;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &m);
    clock_gettime(CLOCK_REALTIME_COARSE, &w);
    clock_set(c, (uint64_t)m.tv_sec * 1000 + (uint64_t)m.tv_nsec / 1000000,
              (uint64_t)w.tv_sec * 1000 + (uint64_t)w.tv_nsec / 1000000);
}
