"""deny_page, and what the log and variables tell of a forward proxy's decisions."""
import base64
import html
import json
import re

import pytest
from tools.backend import serve
from tools.wire import answer, lines

OUT = "egress_allow 127.0.0.0/8; connect_ports all; resolver 127.0.0.1:1; resolver_timeout 100ms;"
ADS = "filter_list ads ads; filter_block ads;"


def proxy(hinge, rules, outer="", **files):
    h = hinge.prepare_http(f"{outer} forward {{ listen %%port%%; {OUT} {ADS} {rules} }}")
    for name, text in {"ads": "ads.test\n", **files}.items():
        h.write(name, text)
    return h.start()


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields), method=method)


def tunnel(h, target, *fields):
    return h.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}", "Connection: close", *fields), method="CONNECT")


class TestPages:
    def test_the_default_says_why(self, hinge):
        h = proxy(hinge, "")
        for got in through(h, "http://x.ads.test/"), tunnel(h, "x.ads.test:443"):
            assert got.status == 403 and got["Content-Type"] == "text/html; charset=utf-8" and got["Cache-Control"] == "no-store"
            assert "x.ads.test" in got.text and "it is on the list ads" in got.text and "127.0.0.1" in got.text and "$" not in got.text

    def test_access_rules_have_it_too(self, hinge):
        h = proxy(hinge, "acl b dstdomain b.test; http_access deny b; http_access allow localhost;")
        got = through(h, "http://b.test/")
        assert got.status == 403 and "the access rules do not allow it" in got.text

    def test_off(self, hinge):
        got = through(proxy(hinge, "deny_page off;"), "http://ads.test/")
        assert got.status == 403 and "<center><h1>403 Forbidden</h1></center>" in got.text and "ads" not in got.text

    def test_a_page_of_ones_own(self, hinge):
        h = proxy(hinge, "deny_page page.html;", **{"page.html": "<p>$forward_host|${forward_list}|$forward_entry|$forward_reason|$forward_client|$forward_decision|$5|$(x)</p>$forward_rule"})
        got = through(h, "http://a.ads.test/").text
        assert got.startswith("<p>a.ads.test|ads|ads.test|it is on the list ads|127.0.0.1|blocked|$5|$(x)</p>")
        assert re.search(r"nginx.conf:\d+ \(filter_block ads\)$", html.unescape(got))

    def test_what_clients_send_is_text(self, hinge):
        """A user, an address and a name in a list that would be script, in each place of a page."""
        name = "<script>alert(1)</script>\"'>"
        h = proxy(hinge, "auth_basic x; auth_basic_user_file users; deny_page page.html;",
                  **{"page.html": "<a title=$forward_user href='$forward_url'>$forward_user</a><script>var u = \"$forward_user\", v = '$forward_url';</script>", "users": f"{name}:{{PLAIN}}p\n"})
        got = through(h, "http://ads.test/?\"'><script>alert(2)</script>&\\", "Proxy-Authorization: Basic " + base64.b64encode(f"{name}:p".encode()).decode())
        if got.status == 400:
            got = through(h, "http://ads.test/?'%22&x=(2)`", "Proxy-Authorization: Basic " + base64.b64encode(f"{name}:p".encode()).decode())
        assert got.status == 403 and "alert" in got.text
        rest = got.text.replace("<a title=", "").replace("href='", "").replace("'>", "").replace("</a><script>var u = \"", "").replace("\", v = '", "").replace("';</script>", "")
        assert not re.search(r"[<>\"'`=\\]", rest), got.text

    def test_sent_elsewhere(self, hinge):
        h = proxy(hinge, 'deny_page "http://why.test/page?h=$forward_host&r=$forward_reason&u=$forward_url";')
        got = through(h, "http://ads.test/a?b='&c#d".replace("#d", ""))
        assert got.status == 302 and got["Cache-Control"] == "no-store"
        assert got["Location"] == "http://why.test/page?h=ads.test&r=it%20is%20on%20the%20list%20ads&u=http%3A%2F%2Fads.test%2Fa%3Fb%3D%27%26c"
        assert tunnel(h, "ads.test:443").status == 403, "nobody follows the redirect of a tunnel"

    def test_it_is_no_answer_for_error_page(self, hinge):
        """A line in http is meant for servers."""
        got = through(proxy(hinge, "", outer="error_page 403 http://elsewhere.test/;"), "http://ads.test/")
        assert got.status == 403 and "it is on the list ads" in got.text

    @pytest.mark.parametrize("line, text", [("deny_page none.html;", "cannot read"), ("deny_page bad;", 'unknown "$forward_what"'), ('deny_page "http://a b/";', "invalid address"),
                                            ('deny_page "http://a/$forward_x";', "unknown")])
    def test_what_is_wrong_is_told(self, hinge, line, text):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}")
        h.write("bad", "x $forward_what")
        assert text in h.run("-t", check=1).stderr


FORMAT = ("log_format t escape=json '{\"decision\":\"$forward_decision\",\"rule\":\"$forward_rule\",\"list\":\"$forward_list\",\"entry\":\"$forward_entry\",\"user\":\"$forward_user\","
          "\"host\":\"$forward_host\",\"status\":\"$status\",\"addr\":\"$remote_addr\"}';")


class TestLog:
    def test_every_decision_is_logged(self, hinge, backend):
        origin = backend(serve(lambda req: answer(b"x")))
        h = proxy(hinge, "access_log %%dir%%/a.log t; auth_basic x; auth_basic_user_file users; acl b dstdomain b.test; http_access deny b; http_access allow localhost;",
                  outer=FORMAT, users="tom:{PLAIN}t\n")
        tom = "Proxy-Authorization: Basic " + base64.b64encode(b"tom:t").decode()
        through(h, f"http://127.0.0.1:{origin.port}/", tom)
        through(h, "http://ads.test/", tom)
        through(h, "http://b.test/", tom)
        through(h, "http://10.0.0.1/", tom)
        through(h, "http://ads.test/")
        got = [json.loads(line) for line in h.wait_lines("a.log", 5)]
        assert [(g["decision"], g["status"], g["user"]) for g in got] == [("allowed", "200", "tom"), ("blocked", "403", "tom"), ("denied", "403", "tom"), ("guarded", "403", "tom"), ("", "407", "")]
        assert [g["host"] for g in got[:4]] == ["127.0.0.1", "ads.test", "b.test", "10.0.0.1"] and {g["addr"] for g in got} == {"127.0.0.1"}
        assert (got[1]["list"], got[1]["entry"]) == ("ads", "ads.test") and (got[0]["list"], got[0]["entry"]) == ("", "")
        assert got[0]["rule"].endswith("(http_access allow localhost)") and got[1]["rule"].endswith("(filter_block ads)") and got[2]["rule"].endswith("(http_access deny b)")
        h.wait_log(r"\[warn\].*blocked by filter: user=tom client=127.0.0.1 host=ads.test list=ads entry=ads.test rule=\S+")
        h.wait_log(r"b.test:80 is refused by http_access .*\(http_access deny b\), user \"tom\"")

    def test_a_format_for_it(self, hinge):
        h = proxy(hinge, "access_log %%dir%%/a.log forward;")
        through(h, "http://ads.test/x")
        line = h.wait_lines("a.log")[0]
        assert re.match(r'127.0.0.1 - \[.*\] "GET http://ads.test/x HTTP/1.1" 403 \d+ blocked "\S+:\d+ \(filter_block ads\)" "ads" "ads.test"$', line), line

    def test_a_format_of_that_name_may_be_ones_own(self, hinge):
        h = proxy(hinge, "access_log %%dir%%/a.log forward;", outer="log_format forward 'mine $status';")
        through(h, "http://ads.test/")
        assert h.wait_lines("a.log")[0] == "mine 403"

    def test_counted(self, hinge):
        h = proxy(hinge, "acl b dstdomain b.test; http_access deny b; http_access allow localhost;", outer="server { listen %%port2%%; location / { counters; } }")
        for host in "ads.test", "b.test", "b.test":
            through(h, f"http://{host}/")
        got = h.get("/", port="port2").json()
        assert (got["filter_blocked"], got["forward_refused"]) == (1, 2)

    def test_a_rule_of_limits_may_look_at_it(self, hinge, backend):
        """The variables are there for other directives too."""
        h = proxy(hinge, "add_header X-Why $forward_reason always;")
        assert through(h, "http://ads.test/")["X-Why"] == "it is on the list ads"
