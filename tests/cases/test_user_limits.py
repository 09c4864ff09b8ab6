"""user_connections, user_rate, user_bytes: what one user of a forward proxy may take, over all workers."""
import base64
import contextlib
import socket
import threading
import time

import pytest
from tools import socks
from tools.backend import serve
from tools.h2 import H2
from tools.raw import Client
from tools.times import wait_until
from tools.wire import Ended, answer, lines

OUT = "egress_allow 127.0.0.0/8; connect_ports all; access_log off;"
COUNTERS = "server { listen %%port2%%; location / { counters; } }"
USERS = "ann:{PLAIN}a\nbob:{PLAIN}b\n"
AUTH = "auth_basic x; auth_basic_user_file users;"


def text(rules, outer=COUNTERS):
    return f"{outer} forward {{ listen %%port%%; {OUT} {rules} }}"


def proxy(hinge, rules, workers=2, outer=COUNTERS):
    h = hinge.prepare_http(text(rules, outer), workers=workers)
    h.write("users", USERS)
    return h.start()


def by(who):
    return f"Proxy-Authorization: Basic {base64.b64encode(who.encode()).decode()}"


ANN, BOB = by("ann:a"), by("bob:b")


def get(at, *fields):
    return lines(f"GET {at} HTTP/1.1", f"Host: {at.split('/')[2]}", "Connection: close", *fields)


def counters(h):
    return h.get("/", port="port2").json()


def tunnel(stack, h, origin, *fields):
    c = stack.enter_context(h.connect())
    to = f"127.0.0.1:{origin.port}"
    return c, c.ask(lines(f"CONNECT {to} HTTP/1.1", f"Host: {to}", *fields), method="CONNECT")


@pytest.fixture
def origin(backend):
    return backend(serve(lambda req: answer(b"x" * int(req.target.strip("/") or 1))))


class TestConnections:
    def test_tunnels_count_for_their_whole_life(self, hinge, origin):
        h = proxy(hinge, f"{AUTH} user_connections 2;")
        at = f"http://127.0.0.1:{origin.port}/"
        with contextlib.ExitStack() as stack:
            held = [tunnel(stack, h, origin, ANN) for _ in range(2)]
            assert [got.status for _, got in held] == [200, 200]
            got = h.ask(get(at, ANN))
            assert got.status == 429 and got["Retry-After"] == "1" and "too many requests and tunnels are open" in got.text
            assert tunnel(stack, h, origin, ANN)[1].status == 429
            assert h.ask(get(at, BOB)).status == 200, "another user"
            held[0][0].close()
            wait_until(lambda: h.ask(get(at, ANN)).status == 200, "the place of the tunnel that ended is free")
        assert counters(h)["user_limited"] >= 2
        h.wait_log(r"\[warn\].*limited: too many requests and tunnels are open: user=ann client=127.0.0.1 host=127.0.0.1 rule=\S+nginx.conf:\d+ \(user_connections 2\)")

    def test_over_all_workers(self, hinge, origin):
        h = proxy(hinge, "user_connections 8;", workers=4)
        with contextlib.ExitStack() as stack:
            got = [tunnel(stack, h, origin)[1].status for _ in range(20)]
        assert got.count(200) == 8 and got.count(429) == 12

    def test_requests_that_end_give_back(self, hinge, origin):
        h = proxy(hinge, "user_connections 1;")
        with h.connect() as c:
            for _ in range(20):
                assert c.ask(lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}")).status == 200
        for _ in range(5):  # also those that come to nothing; a place is free a moment after its client has the last byte
            wait_until(lambda: h.ask(get("http://127.0.0.1:1/")).status == 502, "the place is free again")

    def test_conditions(self, hinge, origin):
        h = proxy(hinge, f"{AUTH} acl boss proxy_auth bob; user_connections off boss; user_connections 1;")
        with contextlib.ExitStack() as stack:
            assert [tunnel(stack, h, origin, BOB)[1].status for _ in range(3)] == [200] * 3
            assert [tunnel(stack, h, origin, ANN)[1].status for _ in range(3)] == [200, 429, 429]


    def test_socks(self, hinge, origin):
        h = proxy(hinge, "user_connections 2;")
        with contextlib.ExitStack() as stack:
            got = [socks.ask(stack.enter_context(h.connect()), 5, "127.0.0.1", origin.port) for _ in range(4)]
        assert got[:2] == [socks.DONE] * 2 and socks.DONE not in got[2:]


class TestRate:
    def test_a_burst_and_no_more(self, hinge, origin):
        h = proxy(hinge, "user_rate 1r/m burst=3;")
        at = f"http://127.0.0.1:{origin.port}/"
        got = [h.ask(get(at)) for _ in range(8)]
        assert [g.status for g in got] == [200] * 4 + [429] * 4
        assert all(50 <= int(g["Retry-After"]) <= 61 for g in got[4:]) and "requests come too fast" in got[4].text

    def test_users_are_counted_apart(self, hinge, origin):
        h = proxy(hinge, f"{AUTH} user_rate 1r/m;")
        at = f"http://127.0.0.1:{origin.port}/"
        assert [h.ask(get(at, who)).status for who in (ANN, ANN, BOB, BOB)] == [200, 429, 200, 429]

    @pytest.mark.parametrize("how, second", [("any", 200), ("user", 200), ("address", 429)])
    def test_who_is_one_user(self, hinge, origin, how, second):
        h = proxy(hinge, f"{AUTH} user_rate 1r/m; user_by {how};")
        at = f"http://127.0.0.1:{origin.port}/"
        assert (h.ask(get(at, ANN)).status, h.ask(get(at, BOB)).status) == (200, second)

    @pytest.mark.parametrize("how, second", [("any", 200), ("user", 429), ("address", 200)])
    def test_clients_without_a_name(self, hinge, origin, how, second):
        """By name, all who have none are one user."""
        h = hinge.http(f"forward {{ listen %%port%%; {OUT} allow all; user_rate 1r/m; user_by {how}; }}")
        at = f"http://127.0.0.1:{origin.port}/"
        got = []
        for source in "127.0.0.1", "127.0.0.3":
            with Client(("127.0.0.1", h.ports["port"]), source=source) as c:
                got.append(c.ask(get(at)).status)
        assert got == [200, second]

    def test_it_outlives_a_reload(self, hinge, origin):
        h = proxy(hinge, "user_rate 1r/m;")
        at = f"http://127.0.0.1:{origin.port}/"
        assert h.ask(get(at)).status == 200
        h.rewrite_http(text("user_rate 1r/m; add_header X-New 1 always;"))
        h.reload_until(lambda: h.ask(get(at))["X-New"] == "1")
        assert h.ask(get(at)).status == 429

    def test_tunnels_across_a_reload(self, hinge, origin):
        h = proxy(hinge, "user_connections 1;")
        at = f"http://127.0.0.1:{origin.port}/"
        with contextlib.ExitStack() as stack:
            c, got = tunnel(stack, h, origin)
            assert got.status == 200
            h.rewrite_http(text("user_connections 1; add_header X-New 1 always;"))
            h.reload_until(lambda: h.ask(get(at))["X-New"] == "1")
            assert h.ask(get(at)).status == 429
            c.close()
            wait_until(lambda: h.ask(get(at)).status == 200, "the tunnel of the old generation gave its place back")


class TestBytes:
    def test_both_ways_until_all_are_taken(self, hinge, origin):
        h = proxy(hinge, "user_bytes 300k per=1h;")
        at = f"http://127.0.0.1:{origin.port}/100000"
        got = [h.ask(get(at)) for _ in range(6)]
        assert [g.status for g in got] == [200, 200, 200, 200, 429, 429] or [g.status for g in got] == [200, 200, 200, 429, 429, 429]
        assert 3500 < int(got[-1]["Retry-After"]) <= 3601 and "all bytes of the period have been taken" in got[-1].text

    def test_tunnels_are_counted_as_they_flow(self, hinge, origin):
        """Not at their end only: others of the user are refused while it stands, and it is cut."""
        h = proxy(hinge, "user_bytes 1m per=1h;")
        with contextlib.ExitStack() as stack:
            c, got = tunnel(stack, h, origin)
            assert got.status == 200
            assert len(c.ask(lines("GET /3000000 HTTP/1.1", "Host: x")).body) == 3000000
            with pytest.raises((Ended, ConnectionResetError)):
                c.reader.line()
            assert h.ask(get(f"http://127.0.0.1:{origin.port}/")).status == 429
        h.wait_log(r'ended: the user has had all bytes of "user_bytes 1m per=1h"')

    def test_an_upload_that_nobody_answers_is_cut_too(self, hinge):
        """A target that only reads must not be a way to send as much as one likes."""
        with socket.create_server(("127.0.0.1", 0)) as target:
            h = proxy(hinge, "user_bytes 1m per=1h;")
            at = f"127.0.0.1:{target.getsockname()[1]}"
            with h.connect() as c:
                c.send(f"POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 100000000\r\n\r\n".encode())
                there, _ = target.accept()
                with there:
                    with pytest.raises((BrokenPipeError, ConnectionResetError)):
                        for _ in range(600):
                            c.send(b"x" * 65536)
                            there.recv(1 << 20)
                            time.sleep(0.05)
        h.wait_log(r'ended: the user has had all bytes of "user_bytes 1m per=1h"')

    def test_a_new_period(self, hinge, origin):
        h = proxy(hinge, "user_bytes 1k per=2s;")
        at = f"http://127.0.0.1:{origin.port}/2000"
        assert h.ask(get(at)).status == 200
        assert h.ask(get(at)).status == 429
        wait_until(lambda: h.ask(get(at)).status == 200, "the period is over")


class TestSpeed:
    """How long it takes at least: a machine may be slower, and may not be faster than the limit."""

    def fetch(self, h, at, fields, sizes):
        got = []
        threads = [threading.Thread(target=lambda: got.append(len(h.ask(get(at, *fields)).body))) for _ in range(sizes)]
        since = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return got, time.monotonic() - since

    def test_answers_of_a_user_share_it(self, hinge, origin):
        """Three answers of 200 kB at 200 kB a second, the first second's share at once: two seconds in any case."""
        h = proxy(hinge, f"{AUTH} user_limit_rate 200k;", workers=2)
        got, took = self.fetch(h, f"http://127.0.0.1:{origin.port}/204800", [ANN], 3)
        assert got == [204800] * 3 and took > 1.8, took

    def test_others_are_not_slowed(self, hinge, origin):
        h = proxy(hinge, f"{AUTH} acl slow proxy_auth ann; user_limit_rate 10k slow; user_connections 10;")
        assert len(h.ask(get(f"http://127.0.0.1:{origin.port}/3000000", BOB)).body) == 3000000

    def test_beside_limit_rate(self, hinge, origin):
        """Both hold."""
        h = proxy(hinge, "user_limit_rate 10m; limit_rate 100k;")
        got, took = self.fetch(h, f"http://127.0.0.1:{origin.port}/256000", [], 1)
        assert got == [256000] and took > 1.3, took

    def test_who_leaves_gives_back(self, hinge, origin):
        h = proxy(hinge, "user_limit_rate 50k; user_connections 1;")
        with h.connect() as c:
            c.send(get(f"http://127.0.0.1:{origin.port}/5000000"))
            c.reader.line()
        wait_until(lambda: h.ask(get(f"http://127.0.0.1:{origin.port}/")).status == 200, "the place is free")


class TestTable:
    def test_a_full_one_opens_no_gate(self, hinge, origin):
        """Every user holds a tunnel; who finds no place is refused and counted."""
        h = hinge.http(f"{COUNTERS} forward {{ listen %%port%%; {OUT} allow all; user_connections 5; user_table 16; }}")
        to = f"127.0.0.1:{origin.port}"
        got = []
        with contextlib.ExitStack() as stack:
            for i in range(120):
                c = stack.enter_context(Client(("127.0.0.1", h.ports["port"]), source=f"127.0.1.{i + 1}"))
                got.append(c.ask(lines(f"CONNECT {to} HTTP/1.1", f"Host: {to}"), method="CONNECT").status)
        assert set(got) == {200, 503} and 16 <= got.count(200) <= 32
        assert counters(h)["user_table_full"] == got.count(503)
        h.wait_log("limited: too many users are there")

    def test_users_who_owe_nothing_make_room(self, hinge, origin):
        h = hinge.http(f"forward {{ listen %%port%%; {OUT} allow all; user_connections 5; user_table 16; }}")
        for i in range(120):
            with Client(("127.0.0.1", h.ports["port"]), source=f"127.0.1.{i + 1}") as c:
                assert c.ask(get(f"http://127.0.0.1:{origin.port}/")).status == 200

    def test_under_load(self, hinge, origin):
        """Workers race for one user's places; in the end all are given back."""
        h = proxy(hinge, "user_connections 3;", workers=4)
        at, seen = f"http://127.0.0.1:{origin.port}/", []

        def client():
            for _ in range(40):
                seen.append(h.ask(get(at)).status)
        threads = [threading.Thread(target=client) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert set(seen) <= {200, 429} and seen.count(200) > 0
        with contextlib.ExitStack() as stack:
            wait_until(lambda: h.ask(get(at)).status == 200, "all places are free")
            got = []
            for _ in range(4):
                got.append(tunnel(stack, h, origin)[1].status)
            assert got.count(200) >= 2


@pytest.mark.parametrize("line, what", [("user_connections 0;", 'invalid number "0"'), ("user_rate 10;", 'invalid rate "10"'), ("user_rate 0r/s;", "invalid rate"), ("user_rate 5r/s burst=x;", 'invalid number "x"'),
                                        ("user_bytes x;", 'invalid size "x"'), ("user_bytes 1g per=0;", 'invalid time "0"'), ("user_rate 1r/s who;", "who"), ("user_limit_rate 0;", "invalid size"), ("user_by x;", "invalid value"), ("user_table 2;", "user_table")])
def test_what_is_wrong_is_told(hinge, line, what):
    assert what in hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}").run("-t", check=1).stderr


def test_the_log_says_so(hinge, origin):
    h = hinge.http(f"log_format t '$status $forward_decision $forward_rule'; forward {{ listen %%port%%; {OUT.replace('access_log off;', '')} access_log %%dir%%/a.log t; user_rate 1r/m; deny_page off; }}")
    for _ in range(2):
        h.ask(get(f"http://127.0.0.1:{origin.port}/"))
    assert h.wait_lines("a.log", 2)[1].startswith("429 limited /") and "(user_rate 1r/m)" in h.read("a.log")


def test_explain_takes_nothing(hinge):
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} user_connections 5; user_rate 1r/s; }}")
    out = h.explain("CONNECT", "127.0.0.1:443", "--listen", f"127.0.0.1:{h.ports['port']}", check=0).stdout
    assert "user_connections 5 limits the user" in out and "user_rate 1r/s limits the user" in out


def test_rates_by_user(hinge, origin):
    """limit_rate takes what a map of the user gives."""
    h = hinge.prepare_http(f"map $forward_user $rate {{ ann 2m; default 0; }} forward {{ listen %%port%%; {OUT} {AUTH} limit_rate $rate; add_header X-Rate $rate; }}")
    h.write("users", USERS)
    h.start()
    at = f"http://127.0.0.1:{origin.port}/1000"
    assert [h.ask(get(at, who))["X-Rate"] for who in (ANN, BOB)] == ["2m", "0"]


@pytest.mark.parametrize("way", ["connect", "socks", "upgrade"])
def test_tunnels_are_slowed_too(hinge, backend, way):
    """400 kB at 200 kB a second, the first second's share at once, and the whole of it up to an end in order."""
    body = bytes(range(256)) * 1600

    def script(conn):
        req = conn.request()
        if way == "upgrade":
            conn.send(b"HTTP/1.1 101 Yes\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n")
        assert req
        conn.send(body)
    to = backend(script)
    h = proxy(hinge, "user_limit_rate 200k; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;", workers=2)
    with h.connect() as c:
        if way == "upgrade":
            c.send(lines(f"GET http://127.0.0.1:{to.port}/ HTTP/1.1", f"Host: 127.0.0.1:{to.port}", "Connection: upgrade", "Upgrade: foo"))
            while c.reader.line():
                pass
        elif way == "connect":
            assert c.ask(lines(f"CONNECT 127.0.0.1:{to.port} HTTP/1.1", "Host: x"), method="CONNECT").status == 200
        else:
            assert socks.ask(c, 5, "127.0.0.1", to.port) == socks.DONE
        since = time.monotonic()
        if way != "upgrade":
            c.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        got = c.all_bytes()
        assert got == body and time.monotonic() - since > 0.9


def test_tunnels_of_http2_are_slowed_too(hinge, backend):
    def script(conn):
        conn.request()
        conn.send(b"x" * 409600)
    to = backend(script)
    h = hinge.http(f"forward {{ listen %%port%%; http2 on; {OUT} user_limit_rate 200k; }}")
    with H2(h.address, window=1 << 20) as c:
        c.window(0, 1 << 20)
        s = c.headers([(":method", "CONNECT"), (":authority", f"127.0.0.1:{to.port}")], end=False)
        since = time.monotonic()
        c.data(s, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", end=False)
        assert len(c.answer(s).body) == 409600 and time.monotonic() - since > 0.9
