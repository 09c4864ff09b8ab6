/*
 * Prints what a head costs: parsing, copying into an arena, writing. Nothing is asserted; the figures are for people.
 *
 *   cc -O2 -D_GNU_SOURCE -Isrc tests/bench/micro_h1.c src/h1/{errors,framing,head,parse,write}.c \
 *      src/http/{chars,msg,token,uri}.c src/base/{arena,slice,strb}.c -o /tmp/micro_h1 && /tmp/micro_h1
 */
#include <stdio.h>
#include <time.h>

#include "base/err.h"
#include "h1/parse.h"
#include "h1/write.h"

static const char browser[] =
    "GET /static/app/main.js?v=20240611 HTTP/1.1\r\nHost: www.example.com\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nReferer: https://www.example.com/\r\nConnection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef; theme=dark\r\n\r\n";

static const char small[] = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

static const char answer[] =
    "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/html\r\n"
    "Content-Length: 1024\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: keep-alive\r\n"
    "ETag: \"65f1a2b3-400\"\r\nAccept-Ranges: bytes\r\n\r\n";

static const struct h1_rules rules = {
    .ignore_invalid = true, .max_fields = 100, .max_line = 8192, .max_name = 128, .max_head = 32768
};

static struct h1_head head;
static struct request request;
static char page[16384];
static struct strb out;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void parse_request(slice in)
{
    struct h1_scan scan = { 0 };
    h1_parse_request(&head, &scan, in.p, in.n, &rules);
}

static void parse_response(slice in)
{
    struct h1_scan scan = { 0 };
    h1_parse_response(&head, &scan, in.p, in.n, &rules);
}

static void parse_and_copy(slice in)
{
    enum h1_error error;
    struct arena a;
    parse_request(in);
    arena_init(&a, page, sizeof(page), 4096, 0);
    h1_head_request(&head, in, &a, true, false, &request, &error);
    arena_done(&a);
}

static void write_request(slice in)
{
    out.n = 0;
    h1_write_request(&out, request.method_text, request.target, 1, request.authority, &request.fields, &request.body,
                     H1_CONN_NONE);
}

static void bench(const char *what, void (*fn)(slice), slice in)
{
    enum { ROUNDS = 200, N = 5000 }; /* the best of short rounds: other work on the machine falls out */
    double best = 1e18;
    for (int r = 0; r < ROUNDS; r++) {
        double t = now_ns();
        for (int i = 0; i < N; i++) {
            fn(in);
            __asm__ volatile("" ::: "memory");
        }
        t = (now_ns() - t) / N;
        best = t < best ? t : best;
    }
    printf("%-28s %4zu bytes %7.1f ns\n", what, in.n, best);
}

int main(void)
{
    slice b = slice_of(browser, sizeof(browser) - 1), s = slice_of(small, sizeof(small) - 1);
    strb_init(&out, 0);
    bench("parse request", parse_request, b);
    bench("parse small request", parse_request, s);
    bench("parse response", parse_response, slice_of(answer, sizeof(answer) - 1));
    bench("parse request and copy", parse_and_copy, b);
    bench("write request", write_request, b);
    bench("parse small and copy", parse_and_copy, s);
    strb_done(&out);
    return 0;
}
