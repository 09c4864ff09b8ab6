/*
 * The catalogue of desync vectors that a codec decides alone: each row as a request or a response with the error that
 * it must meet, read whole, byte by byte and split at every point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/attr.h"
#include "h1/test_feed.h"

struct row {
    const char *id;
    slice raw;
    enum h1_error error;
};

static struct h1_head head;

/* The parse and, if it holds, the second half of the checks. */
static enum h1_error judge(slice raw, const struct h1_rules *rules, bool response)
{
    struct arena a;
    struct request req;
    struct response resp;
    enum h1_error error = H1_OK;
    ptrdiff_t rc = test_feed(raw, rules, response, &head);
    if (rc == ERR_SYNTAX)
        return head.error;
    assert_true(rc > 0);
    arena_init(&a, NULL, 0, 4096, 0);
    slice taken = slice_of(raw.p, (size_t)rc);
    int done = response ? h1_head_response(&head, taken, &a, &resp)
                        : h1_head_request(&head, taken, &a, true, rules->fragment, &req, &error);
    assert_int_equal(done, error == H1_OK ? OK : ERR_SYNTAX);
    arena_done(&a);
    return error;
}

static void check(const struct row *rows, size_t n, bool response)
{
    struct h1_rules rules = test_rules();
    for (size_t i = 0; i < n; i++) {
        enum h1_error got = judge(rows[i].raw, &rules, response);
        if (got != rows[i].error)
            fail_msg("%s [%.*s]: got \"%s\", want \"%s\"", rows[i].id, SLICE_FMT(rows[i].raw), h1_error_text(got),
                     h1_error_text(rows[i].error));
    }
}

#define START "POST / HTTP/1.1\r\nHost: a\r\n"
#define REQ(id, text, err)        \
    {                             \
        id, SLICE(text), H1_##err \
    }
#define POST(id, text, err)                    \
    {                                          \
        id, SLICE(START text "\r\n"), H1_##err \
    }
#define TEN(id, text, err)                                                \
    {                                                                     \
        id, SLICE("POST / HTTP/1.0\r\nHost: a\r\n" text "\r\n"), H1_##err \
    }

static const struct row framing_rows[] = {
    POST("C1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", E_LENGTH_AND_CODING),
    POST("C2", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", E_LENGTH_AND_CODING),
    POST("C3", "Transfer-Encoding: xchunked\r\n", E_CODING_UNKNOWN),
    POST("C3", "Transfer-Encoding: identity\r\n", E_CODING_UNKNOWN),
    POST("C3", "Transfer-Encoding: gzip\r\n", E_CODING_UNKNOWN),
    POST("C3", "Transfer-Encoding: gzip, chunked\r\n", E_CODING_UNKNOWN),
    POST("C3", "Transfer-Encoding:\r\n", E_CODING),
    POST("C4", "Transfer-Encoding: ,chunked\r\n", E_CODING),
    POST("C4", "Transfer-Encoding: chunked,\r\n", E_CODING),
    POST("C4", "Transfer-Encoding: chunked;a=b\r\n", E_CODING),
    POST("C5", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", E_CODING),
    POST("C5", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", E_CODING),
    POST("C5", "Transfer-Encoding: chunked, chunked\r\n", E_CODING),
    POST("C5", "Transfer-Encoding: chunked, gzip\r\n", E_CODING),
    POST("C6",
         "Transfer-Encoding: \x0b"
         "chunked\r\n",
         E_VALUE),
    POST("C6", "Transfer-Encoding: chunked\x0c\r\n", E_VALUE),
    POST("C6", "Transfer-Encoding: chunked\0\r\n", E_VALUE),
    POST("C6",
         "Transfer-Encoding: \x01"
         "chunked\r\n",
         E_VALUE),
    POST("C6",
         "Transfer-Encoding: \xff"
         "chunked\r\n",
         E_CODING),
    POST("C6", "Transfer-Encoding: \"chunked\"\r\n", E_CODING),
    POST("C6", "Transfer-Encoding: chun\tked\r\n", E_CODING),
    POST("C7", "Transfer-Encoding : chunked\r\n", E_NAME),
    POST("C7", "Transfer-Encoding\t: chunked\r\n", E_NAME),
    REQ("C7", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", E_FOLD),
    REQ("C7", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", E_FOLD),
    POST("C8", "Transfer-Encoding:\r\n chunked\r\n", E_CODING),
    POST("C8", "X-A: b\r\n c\r\n", E_FOLD),
    POST("C8", "X-A: b\r\n\tc\r\n", E_FOLD),
    POST("C8", "X-A: b\r\n \r\n", E_FOLD),
    TEN("C9", "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n", E_CODING_10),
    POST("C10", "Content-Length: 3\r\nContent-Length: 4\r\n", E_LENGTH_TWICE),
    POST("C10", "Content-Length: 3, 4\r\n", E_LENGTH),
    POST("C11", "Content-Length: 3\r\nContent-Length: 3\r\n", E_LENGTH_TWICE),
    POST("C11", "Content-Length: 3, 3\r\n", E_LENGTH),
    POST("C12", "Content-Length: +3\r\n", E_LENGTH),
    POST("C12", "Content-Length: -3\r\n", E_LENGTH),
    POST("C12", "Content-Length: 0x3\r\n", E_LENGTH),
    POST("C12", "Content-Length: 3 3\r\n", E_LENGTH),
    POST("C12", "Content-Length:\r\n", E_LENGTH),
    POST("C12", "Content-Length: 3;\r\n", E_LENGTH),
    POST("C12", "Content-Length: 1_0\r\n", E_LENGTH),
    POST("C12", "Content-Length: 3.0\r\n", E_LENGTH),
    POST("C12", "Content-Length: 003\r\n", OK),
    POST("C13", "Content-Length: 9223372036854775807\r\n", OK),
    POST("C13", "Content-Length: 9223372036854775808\r\n", E_LENGTH),
    POST("C13", "Content-Length: 18446744073709551616\r\n", E_LENGTH),
    POST("C13", "Content-Length: 18446744073709551619\r\n", E_LENGTH),
    POST("C13", "Content-Length: 100000000000000000000\r\n", E_LENGTH),
    POST("C16", "\0Content-Length: 5\r\n", E_NAME),
    POST("C16", "Content-Length\x0b: 5\r\n", E_NAME),
    POST("C16", "Content Length: 5\r\n", E_NAME),
    POST("U5", "", OK),
    REQ("U5", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 0\r\n\r\n", E_CONNECT_BODY),
    REQ("U5", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nTransfer-Encoding: chunked\r\n\r\n", E_CONNECT_BODY),
};

static const struct row line_rows[] = {
    REQ("L1", "GET / HTTP/1.1\r\nHost: a\n\r\n", E_EOL),
    REQ("L1", "GET / HTTP/1.1\nHost: a\r\n\r\n", E_EOL),
    REQ("L1", "GET / HTTP/1.1\r\nHost: a\r\n\n", E_EOL),
    REQ("L2", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", E_EOL),
    REQ("L2", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", E_EOL),
    REQ("L3", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", E_VALUE),
    REQ("L3", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("L3", "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", E_NAME),
    REQ("L3", "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n", E_VALUE),
    REQ("L4", "GET / HTTP/1.1\rHost: a\r\r", E_EOL),
    REQ("L4", "GET / HTTP/1.1\r\nHost: a\r\n  \r\n\r\n", E_FOLD),
    REQ("L4", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("L4", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", E_LINE),
    REQ("L4", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", E_EOL),
    REQ("L4", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", E_EOL),
    REQ("L4", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", E_METHOD),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", E_NAME),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\nnocolon\r\n\r\n", E_COLON),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", E_NAME),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\nX(a): b\r\n\r\n", E_NAME),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa4: b\r\n\r\n", E_NAME),
    REQ("H1", "GET / HTTP/1.1\r\nHost: a\r\n\"x\": b\r\n\r\n", E_NAME),
    REQ("H6", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", E_METHOD),
    REQ("H6", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H6", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", E_LINE),
    REQ("H6", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET HTTP/1.1\r\nHost: a\r\n\r\n", E_LINE),
    REQ("H6", "GET /\r\n\r\n", E_LINE),
    REQ("H6", "GET\r\n\r\n", E_METHOD),
    REQ("H6", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", OK),
    REQ("H6", "GET / HTTP/1.9\r\nHost: a\r\n\r\n", OK),
    REQ("H6", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / http/1.1\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / HTTP/1\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H6", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", E_VERSION_MAJOR),
    REQ("H6", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E_VERSION_MAJOR),
    REQ("H7", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", E_VERSION),
    REQ("H7", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H7", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H7", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H7", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H7", "GET /a\"<>[]^`{|} HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("H8", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", E_PATH),
    REQ("H8", "GET /%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n", E_PATH),
    REQ("H8", "GET /%c0%af HTTP/1.1\r\nHost: a\r\n\r\n", E_PATH),
    REQ("H8", "GET /a/../../x HTTP/1.1\r\nHost: a\r\n\r\n", E_PATH),
    REQ("H8", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", E_PATH),
    REQ("H8", "GET /?%00%zz/../../ HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("H9", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("H9", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", E_FORM),
    REQ("H9", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", OK),
    REQ("H9", "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", E_TARGET),
    REQ("H9", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", E_HOST),
    REQ("H9", "CONNECT http://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n", E_HOST),
    REQ("H10", "G=\":<>(e) / HTTP/1.1\r\nHost: a\r\n\r\n", E_METHOD),
    REQ("H10", "G-_.!~*'|^`+$%&#1 / HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("H10", "AVERYLONGMETHODNAMEWITH33LETTERSX / HTTP/1.1\r\nHost: a\r\n\r\n", E_METHOD),
    REQ("W3", "\x16\x03\x01\x02", E_METHOD),
};

static const struct row host_rows[] = {
    REQ("H2", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", E_HOST_TWICE),
    REQ("H2", "GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", E_HOST_TWICE),
    REQ("H2", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", E_HOST_TWICE),
    REQ("H2", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", E_HOST),
    REQ("H3", "GET / HTTP/1.1\r\n\r\n", E_HOST_NONE),
    REQ("H3", "GET http://a/ HTTP/1.1\r\n\r\n", E_HOST_NONE),
    REQ("H3", "GET / HTTP/1.0\r\n\r\n", OK),
    REQ("H4", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.1\r\nHost:\r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.0\r\nHost: \r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", E_HOST),
    REQ("H4", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", E_HOST),
    REQ("H5", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", OK),
    REQ("H5", "GET http://b/ HTTP/1.1\r\nHost: a/\r\n\r\n", E_HOST),
    REQ("H5", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n", E_HOST),
    REQ("H5", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", E_HOST),
    REQ("S2", "GET / HTTP/1.1\r\nHost: 0x7f.1\r\n\r\n", E_HOST),
    REQ("X2", "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: a\r\nauthorization: b\r\n\r\n", E_FIELD_TWICE),
};

static const struct row other_rows[] = {
    POST("H12", "Connection: close, X-Forwarded-For, Cookie, Host\r\n", OK),
    POST("H12", "Connection: ,, a\r\n", OK),
    POST("H12", "Connection: a b\r\n", E_CONNECTION),
    POST("H12", "Connection: \"close\"\r\n", E_CONNECTION),
    POST("E1", "Expect: 100-continue\r\n", OK),
    POST("E1", "Expect: 100-Continue \r\n", OK),
    POST("E2", "Expect: y 100-continue\r\n", E_EXPECT),
    POST("E2", "Expect: 100-continue, 100-continue\r\n", E_EXPECT),
    POST("E2", "Expect: 100-continue\r\nExpect: 100-continue\r\n", E_EXPECT),
    POST("E2", "Expect:\r\n 100-continue\r\n", E_EXPECT),
    POST("E2", "Expect:\r\n", E_EXPECT),
    REQ("E4", "OPTIONS / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n x\r\n\r\n", E_FOLD),
    TEN("E1", "Expect: anything\r\n", OK),
    TEN("E1", "Expect: a\r\nExpect: b\r\n", OK),
};

#define OK200 "HTTP/1.1 200 OK\r\n"
#define RESP(id, text, err)       \
    {                             \
        id, SLICE(text), H1_##err \
    }
#define RHEAD(id, text, err)                   \
    {                                          \
        id, SLICE(OK200 text "\r\n"), H1_##err \
    }

static const struct row response_rows[] = {
    RHEAD("Q1", "Content-Length: 3\r\nContent-Length: 3\r\n", E_LENGTH_TWICE),
    RHEAD("Q1", "Content-Length: 3\r\nContent-Length: 4\r\n", E_LENGTH_TWICE),
    RHEAD("Q1", "Content-Length: 3, 3\r\n", E_LENGTH),
    RHEAD("Q1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", E_LENGTH_AND_CODING),
    RHEAD("Q1", "Transfer-Encoding: gzip, chunked\r\n", E_CODING_UNKNOWN),
    RHEAD("Q1", "Transfer-Encoding: chunked, gzip\r\n", E_CODING),
    RHEAD("Q1", "Transfer-Encoding: identity\r\n", E_CODING_UNKNOWN),
    RESP("Q1", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", E_CODING_10),
    RHEAD("Q5", "X: a\rb\r\n", E_EOL),
    RHEAD("Q5", "X: a\nb: c\r\n", E_EOL),
    RHEAD("Q5", "X: a\0b\r\n", E_VALUE),
    RHEAD("Q5", "X: a\r\n b\r\n", E_FOLD),
    RHEAD("Q5", "X : a\r\n", E_NAME),
    RHEAD("Q5", "nocolon\r\n", E_COLON),
    RESP("Q5", "HTTP/1.1 2000 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 20 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 20x OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 099 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 600 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 +20 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 200\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 200 \r\n\r\n", OK),
    RESP("Q5", "HTTP/1.1 599 \xc3\xa4\tb\r\n\r\n", OK),
    RESP("Q5", "HTTP/1.1  200 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1\t200 OK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 200\tOK\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 200 O\0K\r\n\r\n", E_STATUS),
    RESP("Q5", "HTTP/1.1 200 O\rK\r\n\r\n", E_EOL),
    RESP("Q5", "HTTP/1.1 200 OK\n\r\n", E_EOL),
    RESP("Q5", "\r\nHTTP/1.1 200 OK\r\n\r\n", E_VERSION),
    RESP("Q7", "<html>0.9</html>", E_VERSION),
    RESP("Q7", "HTTP/2.0 200 OK\r\n\r\n", E_VERSION_MAJOR),
    RESP("Q7", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E_VERSION),
    RESP("Q7", "\x00\x00\x12\x04\x00\x00\x00\x00\x00", E_VERSION),
    RESP("Q7", "\x15\x03\x03\x00\x02\x02\x28", E_VERSION),
    RESP("Q7", "ICY 200 OK\r\n\r\n", E_VERSION),
    /* fields that are of a request only mean nothing here */
    RHEAD("-", "Host: a\r\nHost: b\r\nExpect: x\r\nAuthorization: a\r\nAuthorization: b\r\n", OK),
};

static void test_framing(void **state)
{
    check(framing_rows, array_len(framing_rows), false);
}

static void test_lines(void **state)
{
    check(line_rows, array_len(line_rows), false);
}

static void test_hosts(void **state)
{
    check(host_rows, array_len(host_rows), false);
}

static void test_others(void **state)
{
    check(other_rows, array_len(other_rows), false);
}

static void test_responses(void **state)
{
    check(response_rows, array_len(response_rows), true);
}

/* Rows C7 and L1 to L4 hold for every control character and at every place. */
static void test_controls(void **state)
{
    struct h1_rules rules = test_rules();
    for (int c = 0; c < 256; c++) {
        bool value = c >= 0x20 ? c != 0x7f : c == '\t';
        char in_value[] = "GET / HTTP/1.1\r\nHost: a\r\nX: a?b, and more than a vector\r\n\r\n";
        char in_name[] = "GET / HTTP/1.1\r\nHost: a\r\nName-Longer-Than-A-Vector?: b\r\n\r\n";
        char in_target[] = "GET /? HTTP/1.1\r\nHost: a\r\n\r\n";
        *strchr(in_value, '?') = (char)c;
        *strchr(in_name, '?') = (char)c;
        *strchr(in_target, '?') = (char)c;
        assert_int_equal(judge(slice_of(in_value, sizeof(in_value) - 1), &rules, false) == H1_OK, value);
        bool token =
            c == ':' || ascii_digit((char)c) || ascii_alpha((char)c) || (c && strchr("!#$%&'*+-.^_`|~", c) != NULL);
        assert_int_equal(judge(slice_of(in_name, sizeof(in_name) - 1), &rules, false) == H1_OK, token);
        bool target = c > 0x20 && c < 0x7f && c != '#' && c != '\\' && c != '%';
        assert_int_equal(judge(slice_of(in_target, sizeof(in_target) - 1), &rules, false) == H1_OK, target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing), cmocka_unit_test(test_lines),     cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_others),  cmocka_unit_test(test_responses), cmocka_unit_test(test_controls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
