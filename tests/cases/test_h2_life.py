"""The life of client connections over HTTP/2: silence and PING, and what a reload means to them."""
import time

import pytest
from tools import h2
from tools.certs import certificate
from tools.h2 import H2, request

pytestmark = pytest.mark.shared_servers


def hang(c):
    c.request()
    c.hang()


class TestIdlePing:
    def start(self, hinge, origin="127.0.0.1:1", text=""):
        return hinge.http("trusted_proxies none; server { listen %%port%%; http2 on; http2_idle_ping 200ms; " + text +
                          " location / { proxy_pass http://%%origin%%; } location /local { return 200 ok; } }", origin=origin)

    def pings(self, c):
        return [f for f in c.frames if f.kind == h2.PING and not f.flags & h2.ACK]

    def test_a_client_that_answers_stays(self, hinge):
        h = self.start(hinge)
        with H2(h.address) as c:
            assert c.get("/local").status == 200
            c.until(lambda: len(self.pings(c)) >= 4)
            assert c.get("/local").status == 200 and not c.goaways

    def test_one_that_does_not_is_dead(self, hinge, backend):
        h = self.start(hinge, backend(hang))
        with H2(h.address) as c:
            c.get("/local")
            c.headers(request("/"))
            c.auto = False
            c.end()
            assert len(self.pings(c)) == 1
        with H2(h.address) as other:
            assert other.get("/local").status == 200

    def test_whatever_comes_is_a_sign_of_life(self, hinge):
        h = self.start(hinge)
        with H2(h.address) as c:
            c.auto = False
            for _ in range(20):
                time.sleep(0.05)
                assert c.get("/local").status == 200
            assert not self.pings(c)

    def test_a_connection_still_ends_by_keepalive_timeout(self, hinge):
        h = self.start(hinge, text="keepalive_timeout 700ms;")
        with H2(h.address) as c:
            assert c.get("/local").status == 200
            assert c.end() == h2.NO_ERROR and self.pings(c)

    def test_none_is_sent_without(self, hinge):
        h = hinge.http("server { listen %%port%%; http2 on; keepalive_timeout 600ms; return 200 ok; }")
        with H2(h.address) as c:
            assert c.get("/").status == 200
            c.end()
            assert not self.pings(c)

    def test_its_answer_is_not_that_to_a_goaway(self, hinge):
        """The PING of an orderly end has an answer of its own; until that comes requests are served."""
        h = self.start(hinge, text="keepalive_requests 2;")
        with H2(h.address) as c:
            assert c.get("/local").status == 200
            c.auto = False
            c.until(lambda: self.pings(c))
            s = c.headers(request("/local"))
            c.until(lambda: c.goaways)
            c.frame(h2.PING, h2.ACK, 0, self.pings(c)[0].payload)
            assert c.answer(s).status == 200
            assert c.get("/local").status == 200, "on its way when the end was announced"


def test_a_backend_that_is_asked_to_the_end_when_its_client_is_gone(hinge, backend):
    answered = []

    def slow(c):
        c.request()
        time.sleep(0.4)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        answered.append(1)

    h = hinge.http("trusted_proxies none; server { listen %%port%%; http2 on; location / { proxy_pass http://%%origin%%; proxy_ignore_client_abort on; } }",
                   origin=backend(slow), access_log="log_format l '$request_uri|$status|$upstream_status'; access_log access.log l;")
    with H2(h.address) as c:
        s = c.headers(request("/reset"))
        c.ping().reset(s)
        c.ping().headers(request("/closed"))
        c.ping()
    lines = sorted(h.wait_lines("access.log", 2))
    assert [line.split("|")[0::2] for line in lines] == [["/closed", "200"], ["/reset", "200"]] and len(answered) == 2


class TestReload:
    def text(self, a, more="", listen=""):
        return f"server {{ listen %%port%% ssl {listen}; http2 on; server_name a.test; {a.lines} {more} return 200 $server_name; }}" \
               f"server {{ listen %%port%% ssl {listen}; http2 on; server_name b.test; {certificate('b.test').lines} return 200 $server_name; }}"

    def over(self, c):
        assert c.end() == h2.NO_ERROR
        assert len(c.goaways) == 2 and c.goaways[0].payload[:4] == b"\x7f\xff\xff\xff", "two steps"

    def test_a_connection_stays_when_nothing_changed(self, hinge):
        a = certificate("a.test")
        h = hinge.http(self.text(a))
        with H2(h.address, tls="a.test") as c:
            assert c.get("/", authority="a.test").status == 200
            h.rewrite_http(self.text(a, "ssl_session_timeout 3m; add_header X-New 1;"))
            h.reload()
            h.wait_log("generation 2 serves")
            assert c.get("/", authority="a.test")["x-new"] == "1" and not c.goaways

    @pytest.mark.parametrize("more", ["ssl_protocols TLSv1.3;", "ssl_verify_client on; ssl_client_certificate %%ca%%;", "http2 off;"])
    def test_an_idle_one_leaves_when_its_policy_is_gone(self, hinge, more):
        a = certificate("a.test")
        h = hinge.http(self.text(a))
        with H2(h.address, tls="a.test") as c:
            assert c.get("/", authority="a.test").status == 200
            text = self.text(a, more.replace("%%ca%%", a.cert))
            h.rewrite_http(text.replace("http2 on; ", "", 1) if "http2" in more else text)
            h.reload()
            self.over(c)

    def test_so_does_one_with_another_certificate(self, hinge):
        h = hinge.http(self.text(certificate("a.test")))
        with H2(h.address, tls="a.test") as c:
            assert c.get("/", authority="a.test").status == 200
            h.rewrite_http(self.text(certificate("a.test", rsa=True)))
            h.reload()
            self.over(c)

    def test_the_policy_is_that_of_the_name(self, hinge):
        a = certificate("a.test")
        h = hinge.http(self.text(a))
        with H2(h.address, tls="b.test") as b, H2(h.address, tls="a.test") as c:
            assert b.get("/", authority="b.test").status == 200 and c.get("/", authority="a.test").status == 200
            h.rewrite_http(self.text(a, "ssl_prefer_server_ciphers on;"))
            h.reload()
            self.over(c)
            assert b.get("/", authority="b.test").status == 200 and not b.goaways

    def test_an_idle_one_leaves_with_its_listener(self, hinge):
        h = hinge.http("server { listen %%port%%; http2 on; return 200 a; }")
        with H2(h.address) as c:
            assert c.get("/").status == 200
            h.rewrite_http("server { listen %%port2%%; http2 on; return 200 a; }")
            h.reload()
            self.over(c)

    def test_a_request_under_way_is_served(self, hinge, backend):
        def slow(c):
            c.request()
            time.sleep(0.6)
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        h = hinge.http("trusted_proxies none; server { listen %%port%%; http2 on; location / { proxy_pass http://%%origin%%; } }", origin=backend(slow))
        with H2(h.address) as c:
            s = c.headers(request("/"))
            c.ping()
            h.rewrite_http("server { listen %%port2%%; return 200 a; }")
            h.reload()
            assert c.answer(s).body == b"ok"
            self.over(c)
