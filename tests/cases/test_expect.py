"""Expect: 100-continue (E1, E2, E4), and bodies that nobody asked for or that never come (C17, C18)."""
import time

import pytest
from tools.backend import echo
from tools.times import PATIENCE
from tools.verdict import SMUGGLED, assert_honest_request_is_alone, assert_refused
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers


def post(path, *fields):
    return lines(f"POST {path} HTTP/1.1", "Host: a", *fields)


EXPECTING = post("/up", "Expect: 100-continue", "Content-Length: 5")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_e1_hinge_asks_for_a_body_that_it_will_read(hinge, backend, buffering):
    origin = backend()
    h = hinge.pooled(origin, f"proxy_request_buffering {buffering};")
    with h.connect() as c:
        c.send(EXPECTING)
        assert c.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert c.send(b"hello").response().json()["length"] == 5
    assert_honest_request_is_alone(h, origin, before=["/up"])


@pytest.mark.parametrize("spelling", ["100-Continue", "100-CONTINUE"])
def test_e1_the_expectation_is_compared_without_case(hinge, backend, spelling):
    h = hinge.pooled(backend())
    with h.connect() as c:
        res = c.send(post("/up", f"Expect: {spelling}", "Content-Length: 5")).send(b"hello").response()
        assert (res.status, [i.status for i in res.interim]) in [(200, [100]), (200, [])]


def test_e1_a_body_sent_at_once_is_taken(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin)
    with h.connect() as c:
        res = c.ask(EXPECTING + b"hello")
        assert res.status == 200 and len(res.interim) <= 1
    assert_honest_request_is_alone(h, origin, before=["/up"])


def test_e1_the_expectation_is_answered_here_and_not_forwarded(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin)
    h.ask(EXPECTING + b"hello")
    assert "Expect" not in origin.requests[0]


def test_e1_a_body_that_never_comes_ends_in_408(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin, "client_body_timeout 300ms;")
    with h.connect() as c:
        res = c.ask(EXPECTING)
        assert (res.status, [i.status for i in res.interim]) == (408, [100])
        c.assert_closed()
    assert_honest_request_is_alone(h, origin)


def test_e1_nothing_is_asked_for_when_the_answer_is_known(hinge):
    h = hinge.server("return 403;")
    with h.connect() as c:
        res = c.ask(EXPECTING)
        assert (res.status, res.interim) == (403, [])


def test_e1_a_body_over_the_limit_is_refused_without_asking(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin, "client_max_body_size 4;")
    with h.connect() as c:
        res = c.ask(EXPECTING)
        assert (res.status, res.interim) == (413, [])
        c.assert_closed()
    assert_honest_request_is_alone(h, origin)


def test_e1_http_1_0_clients_get_no_100(hinge, backend):
    h = hinge.pooled(backend())
    res = h.ask(lines("POST /up HTTP/1.0", "Host: a", "Expect: 100-continue", "Content-Length: 5") + b"hello")
    assert (res.status, res.interim) == (200, [])


@pytest.mark.parametrize("status", ["417 Expectation Failed", "403 Forbidden"])
def test_e1_a_backend_that_refuses_before_the_body_is_heard(hinge, backend, status):
    def refuses(conn):
        conn.head()
        conn.send(answer(b"no", status=status))
        conn.wait_closed()

    origin = backend([refuses, echo])
    h = hinge.pooled(origin, "proxy_request_buffering off;")
    with h.connect() as c:
        res = c.ask(post("/up", "Expect: 100-continue", "Content-Length: 100000"))
        assert (res.status, res.body) == (int(status[:3]), b"no")
        c.send_as_far_as_it_goes(SMUGGLED)  # a client that gives up on the body, and one that would be smuggling
    assert_honest_request_is_alone(h, origin, before=["/up"])


@pytest.mark.parametrize("expectations", [["y 100-continue"], ["100-continue, 100-continue"], ["100-continue"] * 2, ["200-ok"], [""]],
                         ids=["y", "list", "two lines", "unknown", "empty"])
def test_e2_any_other_expectation_is_refused(hinge, backend, expectations):
    origin = backend()
    wire = post("/up", *(f"Expect: {e}" for e in expectations), "Content-Length: 5") + b"hello" + SMUGGLED
    assert_refused(hinge.pooled(origin), origin, wire, (417,))


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_e2_e4_a_folded_expectation_is_refused(hinge, backend, method):
    origin = backend()
    wire = lines(f"{method} / HTTP/1.1", "Host: a", "Expect: 100-", " continue", "Content-Length: 5") + b"hello" + SMUGGLED
    assert_refused(hinge.pooled(origin), origin, wire, (400, 417))


def test_e3_a_backend_that_answers_before_reading_the_body_is_not_used_again(hinge, backend):
    def early(conn):
        conn.head()
        conn.send(answer(b"early"))  # and keep-alive, although the body is still to come
        conn.wait_closed()

    origin = backend([early, echo])
    h = hinge.pooled(origin, "proxy_request_buffering off;")
    with h.connect() as c:
        res = c.ask(post("/up", "Content-Length: 100000") + SMUGGLED)
        assert res.body == b"early"
    assert_honest_request_is_alone(h, origin, before=["/up"])
    assert len(origin.connections) == 2


IGNORING = ["return 302 /elsewhere;", "return 200 ok;", "return 404;"]


@pytest.mark.parametrize("location", IGNORING)
def test_c17_a_body_that_nobody_reads_is_drained_and_not_parsed(hinge, backend, location):
    origin = backend()
    h = hinge.http("""
        server {
            listen %%port%%;
            location /ignored { %%location%% }
            location / { proxy_pass http://%%origin%%; }
        }""", origin=origin, location=location)
    with h.connect() as c:
        first = c.ask(post("/ignored", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED)
        assert first.status in (302, 200, 404)
        if first["Connection"] != "close":
            assert c.ask(lines("GET /next HTTP/1.1", "Host: a")).json()["target"] == "/next"
    assert "/smuggled" not in origin.targets


@pytest.mark.parametrize("location", IGNORING)
def test_c17_a_body_too_long_to_drain_closes_the_connection(hinge, backend, location):
    origin = backend()
    h = hinge.http("""
        server {
            listen %%port%%;
            lingering_time 500ms; lingering_timeout 300ms;
            client_max_body_size 1g;
            location /ignored { %%location%% }
            location / { proxy_pass http://%%origin%%; }
        }""", origin=origin, location=location)
    with h.connect() as c:
        c.send(post("/ignored", "Content-Length: 500000000"))
        assert c.response().status in (302, 200, 404)
        for _ in range(50):
            c.send_as_far_as_it_goes(SMUGGLED * 100)
        c.assert_closed()
    assert_honest_request_is_alone(h, origin)


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_c18_after_a_pause_late_bytes_are_never_parsed(hinge, backend, buffering):
    origin = backend()
    h = hinge.pooled(origin, f"client_body_timeout 200ms; proxy_request_buffering {buffering};")
    with h.connect() as c:
        c.send(post("/paused", "Content-Length: 10"))
        end = time.monotonic() + PATIENCE
        seen = c.all_bytes()
        assert time.monotonic() < end
        assert b" 408 " in seen.split(b"\r\n", 1)[0]
        c.send_as_far_as_it_goes(b"0123456789" + SMUGGLED)
    assert h.get("/honest").status == 200
    assert "/smuggled" not in origin.targets
