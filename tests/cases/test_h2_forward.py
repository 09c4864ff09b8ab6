"""HTTP/2 to a forward proxy: targets by :scheme and :authority, tunnels by CONNECT on a stream (RFC 9113 sections 8.3.1 and 8.5)."""
import socket
import struct

import pytest
from tools import h2
from tools.backend import echo
from tools.certs import certificate
from tools.h2 import H2, request
from tools.times import PATIENCE, wait_until

pytestmark = pytest.mark.shared_servers


def proxy(hinge, origin, rules="", listen="%%port%%; http2 on", **names):
    return hinge.http(f"forward {{ listen {listen}; egress_allow 127.0.0.0/8; connect_ports {origin.port}; {rules} }}", **names)


def shout(conn):
    """Answers bytes with the same bytes in capitals until the client has no more."""
    while data := conn._more():
        conn.send(data.upper())


def ask(target, *fields):
    return [(":method", "CONNECT"), (":authority", str(target)), *fields]


def opened(c, target, *fields, end=False):
    s = c.headers(ask(target, *fields), end=end)
    a = c.answers.setdefault(s, h2.Answer())
    c.until(lambda: a.status is not None or a.reset is not None)
    return s, a


def flow(c, s, a, data, answer):
    """Sends all of it as the windows allow, and reads as much."""
    at, windows = 0, {0: 65535, s: 65535}
    for f in c.frames:
        if f.kind == h2.SETTINGS and not f.flags & h2.ACK:
            for i in range(0, len(f.payload), 6):
                if f.payload[i:i + 2] == b"\0\4":
                    windows[s] = struct.unpack(">I", f.payload[i + 2:i + 6])[0]
    seen = 0
    while at < len(data) or len(a.body) < len(answer):
        for f in c.frames[seen:]:
            if f.kind == h2.WINDOW_UPDATE and f.stream in windows:
                windows[f.stream] += struct.unpack(">I", f.payload)[0]
        seen = len(c.frames)
        n = min(16384, windows[0], windows[s], len(data) - at)
        if n > 0:
            c.data(s, data[at:at + n], end=False)
            at += n
            for w in windows:
                windows[w] -= n
        else:
            assert c.read() is not None
    assert a.body == answer


class TestTunnels:
    def test_bytes_pass_both_ways(self, hinge, backend):
        o = backend(shout)
        with H2(proxy(hinge, o).address) as c:
            s, a = opened(c, o)
            assert a.status == 200 and "content-length" not in dict(a.fields) and not a.ended
            c.data(s, b"hello", end=False).until(lambda: a.body == b"HELLO")
            c.data(s, b" again", end=True)
            c.answer(s)
            assert a.body == b"HELLO AGAIN" and a.ended and a.reset is None
            assert c.ping() and not c.goaways

    def test_over_tls(self, hinge, backend):
        o, a_ = backend(shout), certificate("a.test")
        with H2(proxy(hinge, o, a_.lines, listen="%%port%% ssl; http2 on").address, tls="a.test") as c:
            s, a = opened(c, o)
            c.data(s, b"hello", end=True)
            assert c.answer(s).body == b"HELLO"

    def test_several_on_one_connection(self, hinge, backend):
        o = backend(shout)
        with H2(proxy(hinge, o).address) as c:
            all_ = [opened(c, o) for _ in range(5)]
            for i, (s, _) in enumerate(all_):
                c.data(s, b"n%d" % i, end=True)
            assert [c.answer(s).body for s, _ in all_] == [b"N%d" % i for i in range(5)]

    def test_what_comes_before_the_answer_waits(self, hinge, backend):
        o = backend(shout)
        with H2(proxy(hinge, o).address) as c:
            s = c.headers(ask(o), end=False)
            c.data(s, b"early", end=True)
            assert c.answer(s).body == b"EARLY"

    def test_much_both_ways(self, hinge, backend):
        o = backend(shout)
        data = bytes(b"abcdefghijklmnop"[i % 16] for i in range(5000)) * 300
        with H2(proxy(hinge, o).address) as c:
            s, a = opened(c, o)
            flow(c, s, a, data, data.upper())
            c.data(s, b"", end=True)
            assert c.answer(s).ended

    def test_a_target_that_speaks_first_and_closes(self, hinge, backend):
        o = backend(lambda conn: conn.send(b"220 hello"))
        with H2(proxy(hinge, o, "lingering_timeout 300ms;").address) as c:
            s, a = opened(c, o)
            c.until(lambda: a.ended)
            assert a.body == b"220 hello"
            c.until(lambda: a.reset is not None)
            assert a.reset == h2.NO_ERROR, "it had the time to say its last words"

    def test_a_half_close_of_the_target(self, hinge, backend):
        said = []

        def script(conn):
            conn.send(b"bye")
            conn.sock.shutdown(socket.SHUT_WR)
            while data := conn._more():
                said.append(data)
            said.append(None)

        o = backend(script)
        with H2(proxy(hinge, o).address) as c:
            s, a = opened(c, o)
            c.until(lambda: a.ended)
            c.data(s, b"last words", end=True)
            wait_until(lambda: said and said[-1] is None, "the end")
            assert b"".join(said[:-1]) == b"last words"
            assert c.ping() and a.reset is None

    def test_a_connect_that_says_nothing_more(self, hinge, backend):
        o = backend(lambda conn: (conn._more(), conn.send(b"so be it")))
        with H2(proxy(hinge, o).address) as c:
            s, a = opened(c, o, end=True)
            assert c.answer(s).body == b"so be it" and a.ended

    def test_a_target_that_breaks_off(self, hinge, backend):
        o = backend(lambda conn: (conn._more(), conn.reset()))
        h = proxy(hinge, o)
        h.allow("recv|reset")
        with H2(h.address) as c:
            s, a = opened(c, o)
            c.data(s, b"x", end=False).until(lambda: a.reset is not None)
            assert a.reset == h2.CONNECT_ERROR

    def test_a_client_that_breaks_off(self, hinge, backend):
        gone = []
        o = backend(lambda conn: (conn._more(), gone.append(1)))
        with H2(proxy(hinge, o).address) as c:
            s, a = opened(c, o)
            c.reset(s)
            wait_until(lambda: gone, "the end of the tunnel")
            s, a = opened(c, o)
            assert a.status == 200

    def test_a_connection_that_closes(self, hinge, backend):
        gone = []
        o = backend(lambda conn: (conn._more(), gone.append(1)))
        with H2(proxy(hinge, o).address) as c:
            opened(c, o)
        wait_until(lambda: gone, "the end of the tunnel")

    def test_an_idle_one_ends(self, hinge, backend):
        o = backend(lambda conn: conn.hang())
        h = proxy(hinge, o, "proxy_read_timeout 300ms;")
        h.allow("timed out")
        with H2(h.address) as c:
            s, a = opened(c, o)
            c.until(lambda: a.ended or a.reset is not None)

    def test_refusals(self, hinge, backend):
        o = backend(shout)
        h = proxy(hinge, o)
        h.allow("refused")
        with H2(h.address) as c:
            assert opened(c, "127.0.0.1:1")[1].status == 403
            assert opened(c, "10.0.0.1:%d" % o.port)[1].status == 403
            assert opened(c, o)[1].status == 200

    def test_a_target_that_is_not_there(self, hinge, backend):
        o = backend(shout)
        h = proxy(hinge, o)
        o.stop_listening()
        h.allow("connect")
        with H2(h.address) as c:
            s = c.headers(ask(o), end=False)
            a = c.answer(s)
            assert a.status == 502

    @pytest.mark.parametrize("fields", [
        [(":method", "CONNECT"), (":authority", "a.test")],
        [(":method", "CONNECT"), (":authority", "a.test:1"), (":path", "/")],
        [(":method", "CONNECT"), (":authority", "a.test:1"), (":scheme", "http")],
        [(":method", "CONNECT")],
        [(":method", "CONNECT"), (":authority", "a.test:1"), ("content-length", "3")],
        [(":method", "CONNECT"), (":authority", "a.test:1"), ("host", "b.test:1")],
        [(":method", "CONNECT"), (":authority", "a.test:1"), (":protocol", "websocket")],
    ])
    def test_malformed(self, hinge, backend, fields):
        with H2(proxy(hinge, backend(shout)).address) as c:
            a = c.answer(c.headers(fields, end=False))
            assert a.status == 400
            c.until(lambda: a.reset is not None)
            assert a.reset == h2.PROTOCOL_ERROR

    def test_elsewhere_it_is_refused(self, hinge, backend):
        h = hinge.http("server { listen %%port%%; http2 on; return 200 ok; }")
        h.allow("CONNECT")
        with H2(h.address) as c:
            assert opened(c, "127.0.0.1:443")[1].status == 405


class TestTargets:
    def test_by_scheme_and_authority(self, hinge, backend):
        o = backend(echo)
        h = proxy(hinge, o, access_log="log_format l '$request|$request_uri|$uri|$status'; access_log access.log l;")
        with H2(h.address) as c:
            got = c.get("/a//b?c", authority=str(o))
            assert got.status == 200
            seen = o.requests[-1]
            assert (seen.target, seen["host"]) == ("/a//b?c", str(o))
        assert h.wait_lines("access.log")[0] == f"GET http://{o}/a//b?c HTTP/2.0|/a//b?c|/a//b|200"

    def test_with_a_body(self, hinge, backend):
        o = backend(echo)
        with H2(proxy(hinge, o).address) as c:
            assert c.get("/", method="POST", body=b"x" * 16000, authority=str(o)).status == 200
            assert o.requests[-1].body == b"x" * 16000

    def test_targets_are_guarded(self, hinge, backend):
        h = proxy(hinge, backend(echo))
        h.allow("refused|may not be reached")
        with H2(h.address) as c:
            assert c.get("/", authority="10.0.0.1").status == 403

    @pytest.mark.parametrize("scheme", ["https", "ftp"])
    def test_other_schemes(self, hinge, backend, scheme):
        o = backend(echo)
        h = proxy(hinge, o)
        with H2(h.address) as c:
            assert c.get("/", authority=str(o), scheme=scheme).status == 400
        assert not o.requests


class TestHost:
    @pytest.mark.parametrize("authority, host, status", [
        ("a.test", "a.test", 200), ("a.test", "A.Test", 200), ("a.test:80", "a.test", 200), ("a.test", "a.test:80", 200), ("a.test:81", "a.test", 400),
        ("a.test", "b.test", 400), ("a.test", "a.test:81", 400), ("a.test", "a.test@b", 400), ("a.test", "", 400)])
    def test_against_authority(self, hinge, authority, host, status):
        h = hinge.http("server { listen %%port%%; http2 on; return 200 ok; }")
        with H2(h.address) as c:
            assert c.get("/", ("host", host), authority=authority).status == status
