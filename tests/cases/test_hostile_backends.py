"""Backends that lie about their answers (Q).

The client gets 502, or a connection that breaks before the answer looks complete; the backend connection is closed; and the next
request goes out on a new one and is served.
"""
import threading
import time

import pytest
from tools.backend import echo, says
from tools.verdict import assert_honest_request_is_alone
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers

GET = lines("GET /first HTTP/1.1", "Host: a")
POISON = answer(b"poison", "X-Poison: yes")


def ok(*fields):
    return lines("HTTP/1.1 200 OK", *fields)


def liar(*pieces):
    """Answers one request with these bytes and expects to be hung up on."""
    def script(conn):
        conn.request()
        conn.send(*pieces)
        conn.wait_closed()
    return script


REFUSED = {
    "Q1 two lengths": ok("Content-Length: 3", "Content-Length: 4") + b"abcd",
    "Q1 list of lengths": ok("Content-Length: 3, 4") + b"abcd",
    "Q1 bad length": ok("Content-Length: +3") + b"abc",
    "Q1 empty length": ok("Content-Length:") + b"abc",
    "Q1 length 2^64+3": ok(f"Content-Length: {2**64 + 3}") + b"abc",
    "Q1 length and coding": ok("Content-Length: 3", "Transfer-Encoding: chunked") + chunked(b"abc"),
    "Q1 coding list": ok("Transfer-Encoding: gzip, chunked") + chunked(b"abc"),
    "Q1 coding twice": ok("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked(b"abc"),
    "Q1 unknown coding": ok("Transfer-Encoding: xchunked") + chunked(b"abc"),
    "Q1 folded coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n" + chunked(b"abc"),
    "Q1 coding in 1.0": lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked") + chunked(b"abc"),
    "Q5 NUL in a value": ok("X-A: a\0b", "Content-Length: 0"),
    "Q5 CR in a value": ok("X-A: a\rb", "Content-Length: 0"),
    "Q5 control in a value": ok("X-A: a\x01b", "Content-Length: 0"),
    "Q5 LF ends a field": b"HTTP/1.1 200 OK\r\nX-A: a\nContent-Length: 0\r\n\r\n",
    "Q5 space before the colon": ok("X-A : a", "Content-Length: 0"),
    "Q5 no colon": ok("X-A", "Content-Length: 0"),
    "Q5 empty name": ok(": a", "Content-Length: 0"),
    "Q5 name outside the token set": ok("X(A): a", "Content-Length: 0"),
    "Q5 folded field": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "Q5 status of four digits": lines("HTTP/1.1 2000 OK", "Content-Length: 0"),
    "Q5 status of two digits": lines("HTTP/1.1 20 OK", "Content-Length: 0"),
    "Q5 status 099": lines("HTTP/1.1 099 OK", "Content-Length: 0"),
    "Q5 no status": lines("HTTP/1.1 OK", "Content-Length: 0"),
    "Q5 NUL in the reason": lines("HTTP/1.1 200 O\0K", "Content-Length: 0"),
    "Q5 head over the cap": ok("X-A: " + "a" * 100000, "Content-Length: 0"),
    "Q5 too many fields": ok(*["a: b"] * 5000, "Content-Length: 0"),
    "Q7 HTTP/0.9": b"<html>hello</html>",
    "Q7 HTTP/2 frames": b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\x04\0\0\xff\xff\0\x06\0\0\x20\0",
    "Q7 HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "Q7 HTTP/2 status line": lines("HTTP/2 200 OK", "Content-Length: 0"),
    "Q7 TLS alert": b"\x15\x03\x01\0\x02\x02\x46",
    "Q7 other protocol": b"220 mail.example ESMTP\r\n",
    "Q7 lower case": lines("http/1.1 200 OK", "Content-Length: 0"),
}


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_answer_becomes_502_and_its_connection_ends(hinge, backend, reply):
    origin = backend([liar(reply), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        res = c.ask(GET)
        assert res.status == 502
        assert "X-A" not in res
        origin.connections[0].assert_hung_up()
    assert_honest_request_is_alone(h, origin, before=["/first"])
    assert len(origin.connections) == 2


BROKEN_BODIES = {
    "Q1 bad chunk size": ok("Transfer-Encoding: chunked") + b"3\r\nabc\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "Q1 bad chunk end": ok("Transfer-Encoding: chunked") + b"3\r\nabcdef\r\n0\r\n\r\n",
    "Q1 LF chunk line": ok("Transfer-Encoding: chunked") + b"3\nabc\r\n0\r\n\r\n",
    "Q1 chunk overflow": ok("Transfer-Encoding: chunked") + b"3\r\nabc\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    "Q6 short length": ok("Content-Length: 10") + b"abc",
    "Q6 truncated chunked": ok("Transfer-Encoding: chunked") + b"3\r\nabc\r\n",
    "Q6 truncated in a chunk": ok("Transfer-Encoding: chunked") + b"5\r\nabc",
    "Q6 truncated before the last CRLF": ok("Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n",
}


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("reply", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_q6_a_broken_body_never_ends_cleanly(hinge, backend, reply, version, then):
    origin = backend([says(*reply.partition(b"\r\n\r\n"), then=then), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        c.send(lines(f"GET /first HTTP/{version}", "Host: a"))
        raw = c.all_bytes()
        assert b" 502 " in raw[:15] or is_cut(raw), raw
    assert_honest_request_is_alone(h, origin, before=["/first"])


def is_cut(raw):
    """Ended before its own framing says so. (A 1.0 client cannot tell a cut close-delimited body, except by a reset.)"""
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in head:
        return not body.endswith(b"0\r\n\r\n")
    return b"Content-Length: 10" not in head or len(body) < 10


@pytest.mark.parametrize("status, method", [("204 No Content", "GET"), ("304 Not Modified", "GET"), ("200 OK", "HEAD")])
def test_q2_a_body_where_none_may_be_is_not_passed_on(hinge, backend, status, method):
    origin = backend([liar(lines(f"HTTP/1.1 {status}", "Content-Length: %d" % len(POISON)) + POISON), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        res = c.ask(lines(f"{method} /first HTTP/1.1", "Host: a"))
        assert (res.status, res.body) == (int(status[:3]), b"")
        c.assert_open_and_quiet()
        assert c.ask(lines("GET /second HTTP/1.1", "Host: a")).json()["target"] == "/second"
    assert_honest_request_is_alone(h, origin, before=["/first", "/second"])


def test_q2_an_interim_answer_with_a_body_is_refused(hinge, backend):
    origin = backend([liar(lines("HTTP/1.1 103 Early Hints", "Content-Length: 3") + b"abc" + answer(b"final")), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        assert c.ask(GET).status == 502
    assert_honest_request_is_alone(h, origin, before=["/first"])


@pytest.mark.parametrize("first", [answer(b"abc"), ok("Transfer-Encoding: chunked") + chunked(b"abc")], ids=["length", "chunked"])
@pytest.mark.parametrize("split", [False, True], ids=["one packet", "next packet"])
def test_q3_bytes_behind_an_answer_poison_nobody(hinge, backend, first, split):
    origin = backend([liar(first, POISON) if split else liar(first + POISON), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        assert c.ask(GET).body == b"abc"
        origin.connections[0].assert_hung_up()
        assert c.ask(lines("GET /second HTTP/1.1", "Host: a")).json()["target"] == "/second"
    assert_honest_request_is_alone(h, origin, before=["/first", "/second"])


def test_q3_bytes_on_an_idle_connection_end_it(hinge, backend):
    def talkative(conn):
        conn.request()
        conn.send(answer(b"abc"))
        idle.wait(5)
        conn.send(POISON)
        conn.wait_closed()

    idle = threading.Event()
    origin = backend([talkative, echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        assert c.ask(GET).body == b"abc"
        idle.set()
        origin.connections[0].assert_hung_up()
    assert_honest_request_is_alone(h, origin, before=["/first"])


def test_q3_bytes_behind_an_answer_that_ends_with_a_read_poison_nobody(hinge, backend):
    """The rest of a head that has begun is read in 16 KB: the answer ends with that read, and what lies behind stays in the kernel."""
    begin, rest = b"HTTP/1.1 200 OK\r\n", b"Content-Length: %d\r\n\r\n"
    body = b"a" * (16384 - len(rest % 16000))
    whole = rest % len(body) + body

    def full(conn):
        conn.request()
        conn.send(begin)
        time.sleep(0.1)
        conn.send(whole + POISON)
        conn.wait_closed()

    assert len(whole) == 16384
    origin = backend([full, echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        assert c.ask(GET).body == body
        origin.connections[0].assert_hung_up()
        assert c.ask(lines("GET /second HTTP/1.1", "Host: a")).json()["target"] == "/second"
    assert_honest_request_is_alone(h, origin, before=["/first", "/second"])


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing", "103 Early Hints"])
@pytest.mark.parametrize("count", [20, 1000])
def test_q4_a_storm_of_interim_answers_is_cut_short(hinge, backend, interim, count):
    origin = backend([liar(lines(f"HTTP/1.1 {interim}", "Link: </a>") * count + answer(b"final")), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        res = c.ask(GET)
        assert res.status == 502 and len(res.interim) <= 8
    assert_honest_request_is_alone(h, origin, before=["/first"])


@pytest.mark.parametrize("interim", ["100 Continue", "102 Processing"])
def test_q4_a_few_interim_answers_nobody_asked_for_do_no_harm(hinge, backend, interim):
    origin = backend([says(lines(f"HTTP/1.1 {interim}") * 3 + answer(b"final"), then="echo")])
    h = hinge.pooled(origin)
    assert h.ask(GET).body == b"final"
    assert_honest_request_is_alone(h, origin, before=["/first"])


def test_u4_a_switch_of_protocols_nobody_asked_for_is_refused(hinge, backend):
    origin = backend([liar(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: foo", "Connection: upgrade") + POISON), echo])
    h = hinge.pooled(origin)
    with h.connect() as c:
        res = c.ask(GET)
        assert (res.status, b"poison" in res.body) == (502, False)
    assert_honest_request_is_alone(h, origin, before=["/first"])


def test_q5_a_status_line_without_reason_or_space_is_refused(hinge, backend):
    origin = backend([liar(lines("HTTP/1.1 200", "Content-Length: 0")), echo])
    assert hinge.pooled(origin).ask(GET).status == 502


def test_q5_an_empty_reason_is_legal(hinge, backend):
    origin = backend([says(lines("HTTP/1.1 299 ", "Content-Length: 0"), then="echo")])
    assert hinge.pooled(origin).ask(GET).status == 299


def test_l1_bare_lf_in_answers_is_accepted_when_asked_for(hinge, backend):
    origin = backend([says(b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", then="echo")])
    h = hinge.http("""
        http1_compat bare_lf;
        server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    assert h.ask(GET).body == b"abc"


@pytest.mark.parametrize("reply", REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_answer_is_refused_byte_by_byte_too(hinge, backend, reply):
    if len(reply) > 2000:
        pytest.skip("the long ones only take long")

    def script(conn):
        conn.request()
        conn.drip(reply, pause=0)
        # without framing only the end of the stream shows that nothing more comes

    origin = backend([script, echo])
    h = hinge.pooled(origin)
    assert h.ask(GET).status == 502
    assert_honest_request_is_alone(h, origin, before=["/first"])
