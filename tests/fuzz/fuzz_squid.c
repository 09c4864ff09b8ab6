/*
 * squid.conf: whatever the text, reading and compiling end, every refusal has a message, and what compiled can be
 * asked.
 */
#include "base/err.h"
#include "conf/squid.h"
#include "forward/squid_policy.h"
#include "h1/test_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct fwd_policy *p)
{
    struct addr client, far;
    TEST_CHECK(addr_parse_ip(SLICE("10.0.0.1"), 1, &client) == OK && addr_parse_ip(SLICE("192.0.2.1"), 1, &far) == OK);
    struct fwd_request r = { .client = &client.sa,
                             .own = &far.sa,
                             .method = SLICE("GET"),
                             .scheme = SLICE("http"),
                             .host = SLICE("a.example"),
                             .port = 80,
                             .path = SLICE("/a"),
                             .user = SLICE("tom"),
                             .user_known = true,
                             .addresses = &far,
                             .naddresses = 1,
                             .resolved = true,
                             .url = SLICE("http://a.example/a") };
    enum fwd_answer x = fwd_decide(&p->http_access, &r).answer;
    TEST_CHECK(x == FWD_YES || x == FWD_NO || x == FWD_STUCK); /* nothing is left to find out */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct conf_diag d;
    struct fwd_policy p;
    struct conf_node *nodes;
    if (size > 20000)
        return 0;
    arena_init(&a, NULL, 0, 4096, 0);
    conf_diag_init(&d, &a);
    struct bundle *b = bundle_new(SLICE("/p"));
    TEST_CHECK(b && bundle_file_set(b, SLICE("/p/s"), slice_of((const char *)data, size)) == OK);
    bundle_close(b);
    int rc = squid_parse(&a, b, &d, SLICE("s"), (struct conf_pos){ 0 }, &nodes, NULL);
    TEST_CHECK((rc == OK) == (d.errors == 0) && (rc == OK || rc == ERR_SYNTAX));
    TEST_CHECK(fwd_policy_init(&p, &a, b, &d) == OK);
    rc = fwd_policy_nodes(&p, nodes);
    int end = fwd_policy_finish(&p);
    TEST_CHECK((rc || end) == (p.c.errors > 0));
    if (!d.errors)
        ask(&p);
    fwd_policy_done(&p);
    bundle_free(b);
    arena_done(&a);
    return 0;
}
