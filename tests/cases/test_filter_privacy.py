"""strip_referer, strip_trackers, strip_header, egress_source: what targets are told, and from where, by rule."""
import pytest
from tools import dns
from tools.wire import answer, lines

OUT = "egress_allow 127.0.0.0/8; egress_allow ::1; connect_ports all; access_log off;"


def proxy(hinge, rules, outer="", **names):
    return hinge.http(f"{outer} forward {{ listen %%port%%; {OUT} {rules} }}", **names)


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2].split('?')[0]}", "Connection: close", *fields), method=method)


def told(got):
    return {n.lower(): v for n, v in got.json()["headers"]}


def who(conn):
    """A backend that answers with the address it is asked from."""
    while conn.request():
        conn.send(answer(conn.sock.getpeername()[0]))


@pytest.fixture
def origin(backend):
    return backend()


class TestReferer:
    @pytest.mark.parametrize("rules, own, other", [("", True, True), ("strip_referer off;", True, True), ("strip_referer on;", False, False), ("strip_referer cross;", True, False)])
    def test_modes(self, hinge, origin, rules, own, other):
        h, at = proxy(hinge, rules), f"http://127.0.0.1:{origin.port}/"
        assert ("referer" in told(through(h, at, "Referer: http://127.0.0.1/page"))) == own
        assert ("referer" in told(through(h, at, "Referer: https://other.test/page?secret"))) == other

    def test_the_first_line_that_holds_decides(self, hinge, origin):
        h, at = proxy(hinge, "acl keep urlpath_regex ^/keep; strip_referer off keep; strip_referer on;"), f"http://127.0.0.1:{origin.port}"
        assert "referer" in told(through(h, at + "/keep", "Referer: http://x.test/"))
        assert "referer" not in told(through(h, at + "/other", "Referer: http://x.test/"))

    def test_where_nothing_else_is_done_to_fields(self, hinge, origin):
        h = proxy(hinge, "strip_referer on; proxy_via off; proxy_x_forwarded off; proxy_forwarded off;")
        assert "referer" not in told(through(h, f"http://127.0.0.1:{origin.port}/", "Referer: http://x.test/"))


class TestTrackers:
    def test_parameters_and_fields(self, hinge, origin):
        h, at = proxy(hinge, "strip_trackers on;", outer="server { listen %%port2%%; location / { counters; } }"), f"http://127.0.0.1:{origin.port}"
        for sent, goes in [("/a?utm_source=x&b=c&fbclid=1", "/a?b=c"), ("/a?gclid=1", "/a"), ("/a?b=c", "/a?b=c"), ("/a", "/a"), ("?utm_a=1", "/")]:
            got = through(h, at + sent, "X-UIDH: me", "X-Client-Data: me", "X-Other: 1")
            assert got.json()["target"] == goes
            assert "x-uidh" not in told(got) and "x-client-data" not in told(got) and told(got)["x-other"] == "1"
        assert h.get("/", port="port2").json()["trackers_stripped"] == 3

    def test_off(self, hinge, origin):
        h, at = proxy(hinge, "acl here dst 127.0.0.1; strip_trackers off here; strip_trackers on;"), f"http://127.0.0.1:{origin.port}"
        got = through(h, at + "/a?utm_source=x", "X-UIDH: me")
        assert got.json()["target"] == "/a?utm_source=x" and "x-uidh" in told(got)

    def test_the_log_has_what_was_asked_for(self, hinge, origin):
        h = hinge.http(f"log_format t '$request'; forward {{ listen %%port%%; {OUT.replace('access_log off;', '')} access_log %%dir%%/a.log t; strip_trackers on; }}")
        through(h, f"http://127.0.0.1:{origin.port}/a?gclid=1")
        assert "gclid=1" in h.wait_lines("a.log")[0]


class TestHeaders:
    def test_by_rule(self, hinge, origin):
        h, at = proxy(hinge, "acl a urlpath_regex ^/a; strip_header Cookie; strip_header X-One a; strip_header x-two;"), f"http://127.0.0.1:{origin.port}"
        send = "Cookie: c=1", "X-One: 1", "X-Two: 2", "X-Three: 3"
        assert not {"cookie", "x-one", "x-two"} & set(told(through(h, at + "/a", *send)))
        got = told(through(h, at + "/b", *send))
        assert "x-one" in got and "x-three" in got and not {"cookie", "x-two"} & set(got)

    def test_what_is_set_is_sent(self, hinge, origin):
        h = proxy(hinge, "strip_header User-Agent; proxy_set_header User-Agent ours;")
        assert told(through(h, f"http://127.0.0.1:{origin.port}/", "User-Agent: theirs"))["user-agent"] == "ours"


class TestSource:
    def test_by_rule(self, hinge, backend):
        origin = backend(who)
        h = proxy(hinge, "acl a urlpath_regex ^/a; acl b urlpath_regex ^/b; acl t method CONNECT; egress_source 127.0.0.5 a; egress_source off b; egress_source 127.0.0.6;")
        at = f"http://127.0.0.1:{origin.port}"
        assert [through(h, at + p).text for p in ("/a", "/b", "/c")] == ["127.0.0.5", "127.0.0.1", "127.0.0.6"]

    def test_connections_are_kept_apart(self, hinge, backend):
        origin = backend(who)
        h = proxy(hinge, "acl a urlpath_regex ^/a; egress_source 127.0.0.5 a;")
        with h.connect() as c:
            got = [c.ask(lines(f"GET http://127.0.0.1:{origin.port}{p} HTTP/1.1", f"Host: 127.0.0.1:{origin.port}")).text for p in "/a /b /a /b /a /b".split()]
        assert got == ["127.0.0.5", "127.0.0.1"] * 3 and len(origin.connections) == 2

    def test_tunnels(self, hinge, backend):
        origin = backend(who)
        h = proxy(hinge, "egress_source 127.0.0.7;")
        with h.connect() as c:
            to = f"127.0.0.1:{origin.port}"
            assert c.ask(lines(f"CONNECT {to} HTTP/1.1", f"Host: {to}"), method="CONNECT").status == 200
            assert c.ask(lines("GET / HTTP/1.1", f"Host: {to}")).text == "127.0.0.7"

    def test_nothing_leaves_from_elsewhere(self, hinge, backend):
        """An address of the other family is not reached at all."""
        origin = backend(who)
        h = proxy(hinge, "egress_source ::1;")
        assert through(h, f"http://127.0.0.1:{origin.port}/").status == 502
        assert not origin.connections
        h.wait_log("Cannot assign requested address")

    def test_by_address_of_a_name(self, hinge, backend):
        origin, server = backend(who), dns.Server({"site.test": "127.0.0.1"})
        try:
            h = hinge.http(f"resolver %%names%% ipv6=off; forward {{ listen %%port%%; {OUT} acl in dst 127.0.0.0/8; egress_source 127.0.0.8 in; }}", names=server)
            assert through(h, f"http://site.test:{origin.port}/").text == "127.0.0.8"
            assert server.count("site.test") == 1
        finally:
            server.close()


@pytest.mark.parametrize("line, text", [("strip_referer maybe;", 'invalid value "maybe"'), ("strip_trackers cross;", 'invalid value "cross"'), ("strip_header a:b;", "invalid field name"),
                                        ("egress_source here;", 'invalid address "here"'), ("strip_referer on who;", "who")])
def test_what_is_wrong_is_told(hinge, line, text):
    assert text in hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}").run("-t", check=1).stderr


def test_explain(hinge):
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} acl t method CONNECT; egress_source 127.0.0.5 t; }}")
    out = h.explain("CONNECT", "127.0.0.1:443", "--listen", f"127.0.0.1:{h.ports['port']}", check=0).stdout
    assert "egress_source 127.0.0.5 t" in out
