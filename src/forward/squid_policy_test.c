/*
 * Whole squid.conf files: Debian's own, what each line becomes, and lines that are refused.
 */
#include "forward/squid_policy.h"
#include "conf/conf_test.h"
#include <stdio.h>

#include "base/attr.h"
#include "conf/squid.h"

struct whole {
    struct bench b;
    struct fwd_policy p;
    int rc;
};

static void whole_open(struct whole *w, const char *text)
{
    bench_init(&w->b);
    bench_file(&w->b, "squid.conf", slice_str(text));
    bench_file(&w->b, "conf.d/debian.conf", SLICE("logfile_rotate 0\n#http_access allow localnet\n"));
    bundle_close(w->b.bundle);
    assert_int_equal(squid_parse(&w->b.arena, w->b.bundle, &w->b.diag, SLICE("squid.conf"), (struct conf_pos){ 0 },
                                 &w->b.root, NULL),
                     OK);
    assert_int_equal(fwd_policy_init(&w->p, &w->b.arena, w->b.bundle, &w->b.diag), OK);
    w->rc = fwd_policy_nodes(&w->p, w->b.root);
    fwd_policy_finish(&w->p);
}

static void whole_close(struct whole *w)
{
    fwd_policy_done(&w->p);
    bench_done(&w->b);
}

static enum fwd_answer asks(struct whole *w, const char *client, const char *method, uint16_t port)
{
    struct addr a;
    assert_int_equal(addr_parse_ip(slice_str(client), 1, &a), OK);
    struct fwd_request r = { .client = &a.sa,
                             .method = slice_str(method),
                             .scheme = SLICE("http"),
                             .port = port,
                             .host = SLICE("a.example"),
                             .path = SLICE("/"),
                             .url = SLICE("http://a.example/") };
    return fwd_decide(&w->p.http_access, &r).answer;
}

/* The rules that Debian's package comes with; `include` of its directory stands as one file. */
static void packaged(void **state)
{
    struct whole w;
    whole_open(&w, "acl localnet src 0.0.0.1-0.255.255.255\t# RFC 1122\nacl localnet src 10.0.0.0/8\n"
                   "acl localnet src fc00::/7\nacl localnet src fe80::/10\nacl SSL_ports port 443\n"
                   "acl Safe_ports port 80\t\t# http\nacl Safe_ports port 443\nacl Safe_ports port 1025-65535\n"
                   "http_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n"
                   "http_access allow localhost manager\nhttp_access deny manager\n"
                   "include conf.d/debian.conf\nhttp_access allow localhost\nhttp_access deny all\n"
                   "http_port 3128\ncoredump_dir /var/spool/squid\nrefresh_pattern ^ftp:\t\t1440\t20%\t10080\n"
                   "refresh_pattern -i (/cgi-bin/|\\?) 0\t0%\t0\n");
    assert_int_equal(w.rc, OK);
    assert_int_equal(w.b.diag.warnings, 3); /* of refresh_pattern one */
    assert_true(w.p.ports && slice_eq(w.p.ports->text, SLICE("3128")));
    assert_int_equal(asks(&w, "127.0.0.1", "GET", 80), FWD_YES);
    assert_int_equal(asks(&w, "::1", "GET", 8080), FWD_YES);
    assert_int_equal(asks(&w, "10.0.0.1", "GET", 80), FWD_NO);
    assert_int_equal(asks(&w, "127.0.0.1", "GET", 25), FWD_NO);
    assert_int_equal(asks(&w, "127.0.0.1", "CONNECT", 80), FWD_NO);
    assert_int_equal(asks(&w, "127.0.0.1", "CONNECT", 443), FWD_YES);
    whole_close(&w);
}

static void peers(void **state)
{
    static const char *const refused[] = { "login=PASS",   "login=PASSTHRU", "login=*:x",
                                           "login=:x",     "login=a%4:b",    "login=nobody",
                                           "originserver", "carp",           "weight=0",
                                           "weight=",      "name",           "tls-cafile=",
                                           "sslflags=",    "htcp",           "connect-timeout=x" };
    struct whole w;
    char text[128];
    whole_open(&w, "cache_peer a.example parent 3128 0 login=t%20m%%:p:%41 weight=3 max-conn=7 connect-fail-limit=2 "
                   "connect-timeout=5 no-query default tls tls-cafile=/ca ssldomain=up.example\n"
                   "cache_peer a.example parent 3129 0 name=two sslflags=DONT_VERIFY_PEER ssl\n"
                   "nonhierarchical_direct off\npeer_connect_timeout 1 minute\nprefer_direct off\n");
    assert_int_equal(w.rc, OK);
    const struct fwd_peer *one = w.p.peers, *two = one->next;
    assert_true(slice_eq(one->user, SLICE("t m%")) && slice_eq(one->password, SLICE("p:A")));
    assert_true(one->weight == 3 && one->max_conns == 7 && one->fail_limit == 2 && one->connect_timeout == 5000);
    assert_true(one->default_peer && one->tls && !one->unverified && !one->round_robin);
    assert_true(slice_eq(one->ca_file, SLICE("/ca")) && slice_eq(one->domain, SLICE("up.example")));
    assert_true(slice_eq(two->name, SLICE("two")) && two->tls && two->unverified && !two->user.n);
    assert_true(two->weight == 1 && two->fail_limit == 10);
    assert_true(!w.p.nonhierarchical_direct && w.p.times[FWD_PEER_CONNECT_TIMEOUT] == 60000);
    whole_close(&w);
    for (size_t i = 0; i < array_len(refused); i++) {
        snprintf(text, sizeof(text), "cache_peer a.example parent 3128 0 %s\n", refused[i]);
        whole_open(&w, text);
        if (w.rc != ERR_SYNTAX)
            fail_msg("%s is taken", refused[i]);
        whole_close(&w);
    }
    whole_open(&w, "prefer_direct on\n");
    assert_int_equal(w.rc, ERR_SYNTAX);
    whole_close(&w);
}

static void lines(void **state)
{
    struct whole w;
    whole_open(&w, "cache_peer up.example parent 8080 0 no-query round-robin login=tom:secret name=one\n"
                   "cache_peer_access one deny CONNECT\nnever_direct allow all\n"
                   "tcp_outgoing_address 192.0.2.1 localhost\nvia off\nforwarded_for delete\n"
                   "request_header_access Referer deny all\nrequest_header_replace User-Agent Nobody 1.0\n"
                   "auth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/squid/passwd\n"
                   "auth_param basic realm our proxy\nauth_param basic credentialsttl 2 hours\n"
                   "connect_timeout 30 seconds\nread_timeout 15 minutes\nrequest_body_max_size 2 MB\n"
                   "access_log none\ndeny_info http://x.example/ all\nvisible_hostname here\n");
    assert_int_equal(w.rc, OK);
    assert_int_equal(w.b.diag.warnings, 0);
    assert_true(w.p.peers->round_robin && slice_eq(w.p.peers->password, SLICE("secret")));
    assert_int_equal(w.p.peers->access.n, 1);
    assert_true(slice_eq(w.p.outgoing.first->value, SLICE("192.0.2.1")));
    assert_true(!w.p.via && w.p.forwarded_for == FORWARDED_DELETE);
    assert_true(slice_eq(w.p.request_headers->next->replace, SLICE("Nobody 1.0")));
    assert_true(slice_eq(w.p.auth_file, SLICE("/etc/squid/passwd")) && slice_eq(w.p.auth_realm, SLICE("our proxy")));
    assert_int_equal(w.p.auth_ttl, 7200000);
    assert_int_equal(w.p.times[FWD_CONNECT_TIMEOUT], 30000);
    assert_int_equal(w.p.times[FWD_READ_TIMEOUT], 900000);
    assert_int_equal(w.p.sizes[FWD_REQUEST_BODY_MAX_SIZE], 2 << 20);
    whole_close(&w);
}

static void refused(void **state)
{
    static const char *const rows[] = {
        "http_port 3128 intercept",
        "http_port 3128 tproxy",
        "ssl_bump bump all",
        "delay_pools 1",
        "htp_access deny all",
        "external_acl_type x /bin/x",
        "url_rewrite_program /bin/x",
        "auth_param ntlm program /bin/x",
        "via perhaps",
        "cache_peer a sibling 1 1",
        "cache_peer_access nobody allow all",
        "http_port 0",
        "deny_info x nothing",
        "deny_info 304:ERR_ACCESS_DENIED all",
        "deny_info 301:foo all",
        "deny_info 404:http://x.example/ all",
        "deny_info 700:ERR_ACCESS_DENIED all",
        "deny_info 99:ERR_ACCESS_DENIED all",
        "deny_info 100:ERR_ACCESS_DENIED all",
        "auth_param basic program /bin/pam x",
        "connect_timeout 3 fortnights",
        "nonsense",
        "http_port",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct whole w;
        whole_open(&w, rows[i]);
        if (w.rc != ERR_SYNTAX || w.b.diag.errors != 1)
            fail_msg("%s: %d, %zu errors", rows[i], w.rc, w.b.diag.errors);
        whole_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(packaged), cmocka_unit_test(peers), cmocka_unit_test(lines),
                                        cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
