"""Upstreams: who gets the next request, who is left out, and how connections are kept."""
import collections
import contextlib
import os
import select
import signal
import socket
import threading
import time

import pytest
from tools.backend import Backend, named, says
from tools.ports import free_port
from tools.times import PATIENCE, wait_until
from tools.wire import answer, lines

GET = lines("GET / HTTP/1.1", "Host: a")


def pool(hinge, servers, text="", **names):
    """An upstream of these server lines, behind one location."""
    return hinge.http("upstream u {\n" + servers + "\n} server { listen %%port%%; location / { proxy_pass http://u;\n" + text + "\n} }",
                      **names)


def keeping(hinge, origin, how):
    """One origin behind an upstream that keeps connections in this way."""
    return pool(hinge, "server %%origin%%;" + how, 'proxy_http_version 1.1; proxy_set_header Connection "";', origin=origin)


def tally(h, n):
    return collections.Counter(h.get("/").json()["backend"] for _ in range(n))


@pytest.fixture
def abc(backend):
    return {name: backend(name=name) for name in "abc"}


ALL = "server %%a%%; server %%b%%; server %%c%%;"


def test_requests_go_round(hinge, abc):
    h = pool(hinge, ALL, **abc)
    order = [h.get("/").json()["backend"] for _ in range(9)]
    assert order[:3] * 3 == order and sorted(order[:3]) == ["a", "b", "c"]


def test_weights_are_exact(hinge, abc):
    assert tally(pool(hinge, "server %%a%% weight=3; server %%b%%; server %%c%%;", **abc), 50) == {"a": 30, "b": 10, "c": 10}


def test_weights_are_smooth(hinge, abc):
    h = pool(hinge, "server %%a%% weight=5; server %%b%%; server %%c%%;", **abc)
    order = "".join(h.get("/").json()["backend"] for _ in range(7))
    assert sorted(order) == list("aaaaabc") and "aaaa" not in order


def test_weights_hold_over_several_workers(hinge, abc):
    h = pool(hinge, "zone z 64k; server %%a%% weight=3; server %%b%%; server %%c%%;", workers=2, **abc)
    assert tally(h, 100) == {"a": 60, "b": 20, "c": 20}


def test_a_backup_serves_only_when_the_others_cannot(hinge, abc):
    h = pool(hinge, "server %%a%% max_fails=1 fail_timeout=10s; server %%b%% backup;", **abc)
    assert tally(h, 5) == {"a": 5}
    abc["a"].close()
    assert tally(h, 5) == {"b": 5}


def test_down_gets_nothing(hinge, abc):
    assert tally(pool(hinge, "server %%a%% down; server %%b%%; server %%c%%;", **abc), 10) == {"b": 5, "c": 5}


def test_all_down_is_502_and_logged(hinge, abc):
    h = pool(hinge, "server %%a%% down; server %%b%% down;", **abc)
    assert h.get("/").status == 502
    h.wait_log("no live upstreams while connecting to upstream")


def test_max_fails_leaves_a_failing_server_out(hinge, backend):
    bad, good = backend(says(), name="bad"), backend(name="good")
    h = pool(hinge, "server %%bad%% max_fails=2 fail_timeout=30s; server %%good%%;", bad=bad, good=good)
    assert all(h.get("/").json()["backend"] == "good" for _ in range(20))
    assert len(bad.connections) == 2


def test_max_fails_0_never_leaves_it_out(hinge, backend):
    bad, good = backend(says(), name="bad"), backend(name="good")
    h = pool(hinge, "server %%bad%% max_fails=0; server %%good%%;", bad=bad, good=good)
    assert all(h.get("/").status == 200 for _ in range(20))
    assert len(bad.connections) >= 9


def test_fail_timeout_lets_it_try_again(hinge, backend):
    good = backend(name="good")
    bad = backend(says(), name="bad", listening=False)
    h = pool(hinge, "server %%bad%% max_fails=1 fail_timeout=1s; server %%good%%;", bad=bad, good=good)
    assert all(h.get("/").json()["backend"] == "good" for _ in range(4))
    bad.scripts = [named("200 OK", body=b'{"backend": "back"}')]
    bad.open()
    wait_until(lambda: h.get("/").json()["backend"] == "back", "the recovered server is used again")


def test_when_all_have_failed_all_are_tried_again(hinge):
    h = pool(hinge, "server %%a%%; server %%b%%;", a=f"127.0.0.1:{free_port()}", b=f"127.0.0.1:{free_port()}")
    assert [h.get("/").status for _ in range(4)] == [502] * 4


@pytest.mark.parametrize("workers", [1, 3])
def test_least_conn(hinge, abc, backend, workers):
    """Whoever has a request in flight gets none while others have fewer, whichever worker counts."""
    go = threading.Event()
    busy = backend(lambda conn: (conn.request(), go.wait(PATIENCE), conn.send(answer('{"backend": "busy"}'))))
    h = pool(hinge, "least_conn; server %%busy%%; server %%b%%;", workers=workers, busy=busy, b=abc["b"])
    with contextlib.ExitStack() as waiting:
        while not busy.requests:
            c = waiting.enter_context(h.connect())
            c.send(GET)
            wait_until(lambda c=c: busy.requests or select.select([c.sock], [], [], 0)[0], "somebody gets the request")
        assert tally(h, 12) == {"b": 12}
        go.set()
        assert c.response().json()["backend"] == "busy"
        assert set(tally(h, 12)) == {"b", "busy"}


@pytest.mark.parametrize("method", ["ip_hash", "least_time header", "sticky cookie x"])
def test_methods_that_there_are_not(hinge, method):
    told = hinge.prepare_http(f"upstream u {{ {method}; server 127.0.0.1; }} server {{ listen %%port%%; }}").run("-t", check=1).stderr
    assert f'"{method.split()[0]}"' in told and "not supported" in told


class TestKeepalive:
    def test_connections_are_kept_and_used_again(self, hinge, backend):
        origin = backend()
        h = hinge.pooled(origin)
        for _ in range(20):
            assert h.get("/").status == 200
        assert len(origin.connections) == 1

    def test_connection_is_neither_asked_to_close_nor_passed_on(self, hinge, backend):
        origin = backend()
        hinge.pooled(origin).get("/", "Connection: close")
        assert "close" not in (origin.requests[0]["Connection"] or "")

    def test_no_more_than_so_many_idle_ones(self, hinge, backend):
        origin = backend(lambda conn: answer_together(conn))
        h = keeping(hinge, origin, "keepalive 2;")
        clients = [h.connect().send(GET) for _ in range(6)]
        assert [c.response().status for c in clients] == [200] * 6
        wait_until(lambda: sum(c.closed_by_peer.is_set() for c in origin.connections) == 4, "all but two are closed")

    def test_keepalive_requests_of_an_upstream(self, hinge, backend):
        origin = backend()
        h = keeping(hinge, origin, "keepalive 2; keepalive_requests 5;")
        for _ in range(10):
            h.get("/")
        assert [len(c.requests) for c in origin.connections] == [5, 5]

    def test_keepalive_timeout_of_an_upstream(self, hinge, backend):
        origin = backend()
        h = keeping(hinge, origin, "keepalive 2; keepalive_timeout 200ms;")
        h.get("/")
        origin.connections[0].assert_hung_up()

    def test_connection_close_of_a_backend_is_obeyed(self, hinge, backend):
        origin = backend(named("200 OK", "Connection: close"))
        h = hinge.pooled(origin)
        for _ in range(3):
            assert h.get("/").status == 200
        assert len(origin.connections) == 3

    def test_a_1_0_answer_is_not_kept(self, hinge, backend):
        origin = backend(says(lines("HTTP/1.0 200 OK", "Content-Length: 2") + b"ok", then="hang"))
        h = hinge.pooled(origin)
        for _ in range(2):
            assert h.get("/").body == b"ok"
        assert len(origin.connections) == 2

    def test_a_closed_idle_connection_is_noticed(self, hinge, backend):
        origin = backend(says(answer(b"x")))
        h = hinge.pooled(origin)
        for _ in range(5):
            assert h.get("/").status == 200
        assert len(origin.connections) == 5


def answer_together(conn):
    """Waits until six requests stand, so that six connections are needed; then keeps serving."""
    while req := conn.request():
        wait_until(lambda: len(conn.backend.requests) >= 6, "six requests at once")
        conn.send(answer(req.method))


class TestTheKeepAliveRace:
    """A backend may close an idle connection at the very moment at which a request leaves for it. No client may ever see that."""

    @staticmethod
    def closes_under_the_second_request(then):
        def script(conn):
            ok(conn, conn.request())
            if conn.number % 2 == 0:
                conn.request()  # it arrived, but no byte of an answer leaves
                if then == "reset":
                    conn.reset()
            else:
                while req := conn.request():
                    ok(conn, req)

        def ok(conn, req):
            conn.send(answer(b"" if req.method == "HEAD" else b"ok"))
        return script

    @pytest.mark.parametrize("then", ["close", "reset"])
    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
    def test_an_idempotent_request_is_sent_again(self, hinge, backend, method, then):
        origin = backend(self.closes_under_the_second_request(then))
        h = hinge.pooled(origin)
        for i in range(4):
            body = b"body" if method == "PUT" else None
            assert h.get("/", method=method, body=body).status == 200
        assert len(origin.connections) == 2

    @pytest.mark.parametrize("then", ["close", "reset"])
    def test_a_post_that_was_written_is_not_sent_twice(self, hinge, backend, then):
        origin = backend(self.closes_under_the_second_request(then))
        h = hinge.pooled(origin)
        h.get("/")
        statuses = [h.post(f"/{i}", b"body").status for i in range(3)]
        assert statuses in ([502, 200, 200], [200, 200, 200])
        assert origin.targets.count("/0") == 1

    @pytest.mark.parametrize("then", ["close", "reset"])
    def test_what_was_sent_decides_not_what_the_client_asked(self, hinge, backend, then):
        origin = backend(self.closes_under_the_second_request(then))
        h = hinge.pooled(origin, "proxy_method POST;")
        h.get("/")
        statuses = [h.get(f"/{i}").status for i in range(3)]
        assert statuses in ([502, 200, 200], [200, 200, 200])
        assert origin.targets.count("/0") == 1

    def test_a_fresh_connection_that_fails_is_not_the_race(self, hinge, backend):
        origin = backend(says())
        assert hinge.pooled(origin).get("/").status == 502
        assert len(origin.connections) == 1

    def test_a_thousand_requests_to_a_backend_that_keeps_closing(self, hinge, backend):
        """Each connection serves a few requests and closes without a word right after an answer."""
        def fickle(conn):
            for _ in range(3):
                if not conn.request():
                    return
                conn.send(answer(b"ok"))

        h = hinge.pooled(backend(fickle))
        with h.connect() as c:
            for _ in range(900):
                assert c.ask(GET).status == 200


class TestNextUpstream:
    def two(self, hinge, backend, bad, text="", **more):
        self.bad, self.good = backend(bad, name="bad"), backend(name="good")
        return pool(hinge, "server %%bad%% max_fails=0; server %%good%% max_fails=0 backup;", text, bad=self.bad, good=self.good, **more)

    @pytest.mark.parametrize("then", ["close", "reset"])
    def test_a_failed_get_goes_to_the_next(self, hinge, backend, then):
        assert self.two(hinge, backend, says(then=then)).get("/").json()["backend"] == "good"

    def test_a_refused_connection_goes_to_the_next_even_for_a_post(self, hinge, backend):
        good = backend(name="good")
        h = pool(hinge, "server %%bad%% max_fails=0; server %%good%% backup;", bad=f"127.0.0.1:{free_port()}", good=good)
        assert h.post("/", b"body").json()["length"] == 4

    def test_a_timeout_goes_to_the_next(self, hinge, backend):
        h = self.two(hinge, backend, says(then="hang"), "proxy_read_timeout 300ms;")
        assert h.get("/").json()["backend"] == "good"

    def test_a_post_that_was_sent_does_not(self, hinge, backend):
        h = self.two(hinge, backend, says())
        assert h.post("/", b"body").status == 502
        assert self.good.requests == []

    def test_an_answer_that_is_named_does_not_repeat_a_post(self, hinge, backend):
        h = self.two(hinge, backend, named("500 Internal Server Error"), "proxy_next_upstream http_500;")
        assert h.post("/", b"body").status == 500
        assert self.good.requests == []

    def test_an_answer_that_is_named_counts_against_its_server(self, hinge, backend):
        bad, good = backend(named("503 Service Unavailable"), name="bad"), backend(name="good")
        h = pool(hinge, "server %%bad%% max_fails=1; server %%good%%;", "proxy_next_upstream http_503;", bad=bad, good=good)
        for _ in range(6):
            assert h.get("/").status == 200
        assert len(bad.requests) == 1

    def test_non_idempotent_allows_it(self, hinge, backend):
        h = self.two(hinge, backend, says(), "proxy_next_upstream error timeout non_idempotent;")
        assert h.post("/", b"body").json()["length"] == 4

    def test_off_allows_nothing(self, hinge, backend):
        h = self.two(hinge, backend, says(), "proxy_next_upstream off;")
        assert h.get("/").status == 502
        assert self.good.requests == []

    @pytest.mark.parametrize("status, condition", [("500 x", "http_500"), ("502 x", "http_502"), ("503 x", "http_503"), ("504 x", "http_504"),
                                                   ("403 x", "http_403"), ("404 x", "http_404"), ("429 x", "http_429")])
    def test_statuses_go_to_the_next_when_named(self, hinge, backend, status, condition):
        h = self.two(hinge, backend, named(status), f"proxy_next_upstream error {condition};")
        assert h.get("/").json()["backend"] == "good"
        assert len(self.bad.requests) == 1

    def test_statuses_are_answers_unless_named(self, hinge, backend):
        assert self.two(hinge, backend, named("503 x")).get("/").status == 503

    def test_a_bad_answer_is_final_unless_invalid_header_is_named(self, hinge, backend):
        assert self.two(hinge, backend, says(b"rubbish\r\n\r\n")).get("/").status == 502
        h = self.two(hinge, backend, says(b"rubbish\r\n\r\n"), "proxy_next_upstream error invalid_header;")
        assert h.get("/").json()["backend"] == "good"

    def test_the_last_answer_is_passed_on_when_none_is_better(self, hinge, backend):
        a, b = backend(named("503 x", body=b"a")), backend(named("503 x", body=b"b"))
        h = pool(hinge, "server %%a%%; server %%b%%;", "proxy_next_upstream http_503;", a=a, b=b)
        assert h.get("/").status == 503
        assert len(a.requests) + len(b.requests) == 2

    def test_tries_are_limited(self, hinge, backend):
        bad = [backend(says()) for _ in range(4)]
        names = {f"b{i}": b for i, b in enumerate(bad)}
        h = pool(hinge, "".join(f"server %%b{i}%% max_fails=0;" for i in range(4)), "proxy_next_upstream_tries 2;", **names)
        assert h.get("/").status == 502
        assert sum(len(b.connections) for b in bad) == 2

    def test_time_is_limited(self, hinge, backend):
        slow = [backend(says(then="hang")) for _ in range(3)]
        names = {f"b{i}": b for i, b in enumerate(slow)}
        h = pool(hinge, "".join(f"server %%b{i}%% max_fails=0;" for i in range(3)),
                 "proxy_read_timeout 300ms; proxy_next_upstream_timeout 200ms;", **names)
        assert h.get("/").status == 504
        assert sum(len(b.connections) for b in slow) == 1

    def test_nothing_is_tried_again_once_an_answer_has_begun(self, hinge, backend):
        h = self.two(hinge, backend, says(lines("HTTP/1.1 200 OK", "Content-Length: 100") + b"abc"))
        with h.connect() as c:
            c.send(GET)
            c.assert_reset_or_short()
        assert self.good.requests == []

    def test_the_body_is_sent_again_whole(self, hinge, backend):
        h = self.two(hinge, backend, says(), "client_body_buffer_size 4k;")
        body = bytes(range(256)) * 2000
        seen = h.get("/", method="PUT", body=body).json()
        assert (seen["backend"], seen["length"]) == ("good", len(body))


def test_a_backend_killed_and_restarted_comes_back(hinge, backend):
    origin = backend(name="first")
    h = hinge.pooled(origin)
    assert h.get("/").json()["backend"] == "first"
    origin.close()
    assert h.get("/").status == 502
    again = backend(name="second", port=origin.port)
    wait_until(lambda: (r := h.get("/")).status == 200 and r.json()["backend"] == "second", "the restarted backend serves")
    assert isinstance(again, Backend)


def test_a_single_server_is_never_left_out(hinge, backend):
    origin = backend(listening=False)
    h = pool(hinge, "server %%origin%%;", origin=origin)
    assert [h.get("/").status for _ in range(3)] == [502] * 3
    origin.open()
    assert h.get("/").status == 200


def state(thread):
    with open(f"/proc/{thread}/stat", encoding="ascii") as f:
        return f.read().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def stopped(h):
    """The engine finds all that happens meanwhile at once, in the order in which it happened."""
    engine = h.children()[0]
    os.kill(engine, signal.SIGSTOP)
    wait_until(lambda: all(state(t) == "T" for t in os.listdir(f"/proc/{engine}/task")), "every thread has stopped")
    try:
        yield
    finally:
        os.kill(engine, signal.SIGCONT)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_kept_connection_that_closes_as_a_request_comes_is_no_loss(hinge, backend, method):
    """A body that is passed on as it comes cannot be sent twice: before it is, the connection is looked at."""
    close = threading.Event()

    def script(conn):
        conn.request()
        conn.send(answer(b"ok"))
        if conn.number == 0:
            close.wait(PATIENCE)

    origin = backend(script)
    h = hinge.pooled(origin, "proxy_request_buffering off;")
    with h.connect() as c:
        assert c.ask(GET).status == 200
        with stopped(h):
            c.send(lines(f"{method} / HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello")
            close.set()
            wait_until(lambda: origin.connections[0].sock.fileno() < 0, "the backend has closed")
            time.sleep(0.05)  # the object forgets its descriptor a moment before the kernel sends the FIN
        assert c.response().status == 200


@pytest.mark.parametrize("says_what", [b"", answer(b"early")])
def test_a_backend_that_ends_its_side_at_once_is_heard_at_once(hinge, backend, says_what):
    """Its FIN may be told together with the connection's being there, and is never told again."""
    def script(conn):
        conn.send(says_what)
        conn.sock.shutdown(socket.SHUT_WR)
        conn.hang()

    h = hinge.proxy(backend(script), "proxy_read_timeout 600s;")
    clients = [h.connect() for _ in range(100)]
    with stopped(h):
        for c in clients:
            c.send(GET)
    assert {c.response().status for c in clients} == {200 if says_what else 502}
    for c in clients:
        c.close()
