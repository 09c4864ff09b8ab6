"""Either side may go at any moment, by close or by reset.

The other side is let go, nothing is reused by mistake, and the next request is served.
"""
import contextlib
import socket
import time

import pytest
from tools.backend import echo
from tools.wire import Ended, answer, chunked, lines

pytestmark = pytest.mark.shared_servers

GET = lines("GET /cut HTTP/1.1", "Host: a")
POST = lines("POST /cut HTTP/1.1", "Host: a", "Content-Length: 100000")
CHUNKED = lines("POST /cut HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
BIG = b"x" * 3_000_000


def silent(conn):
    conn.hang()


def half(conn):
    conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 3000000") + BIG[:1_000_000])
    conn.hang()


def half_chunked(conn):
    conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhel")
    conn.hang()


def interim(conn):
    conn.send(lines("HTTP/1.1 103 Early Hints", "Link: </a>"))
    conn.hang()


def honest_or(script):
    """Serves the honest request, and does `script` to any other."""
    def serve(conn):
        while (req := conn.head()) and req.target == "/honest":
            conn.send(answer(b"honest"))
        if req:
            script(conn)
    return serve


# what the client has sent, and what the backend does meanwhile, when the client goes
STAGES = {
    "in the head": (GET[:20], silent), "in a body": (POST + BIG[:5000], silent), "in a chunk": (CHUNKED + b"ff\r\nabc", silent),
    "between chunks": (CHUNKED + b"3\r\nabc\r\n", silent), "in the last chunk": (CHUNKED + b"3\r\nabc\r\n0\r\n", silent),
    "waiting": (GET, silent), "after an interim answer": (GET, interim),
    "in the answer": (GET, half), "in a chunked answer": (GET, half_chunked), "in a pipelined request": (GET + GET[:20], silent),
    "with requests behind": (GET * 20, half), "after its body": (POST + BIG[:100000], silent),
}


def leave(c, how):
    if how == "half-close":
        c.half_close()
        time.sleep(0.03)
    c.reset() if how == "reset" else c.close()


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("sent, script", STAGES.values(), ids=STAGES)
def test_a_client_that_goes(hinge, backend, sent, script, buffering, how):
    origin = backend(honest_or(script))
    h = hinge.pooled(origin, f"proxy_request_buffering {buffering}; proxy_buffering {buffering};")
    with h.connect() as c:
        c.send(sent)
        time.sleep(0.03)
        leave(c, how)
    for conn in list(origin.connections):
        conn.assert_hung_up()
    assert h.get("/honest").body == b"honest"


def test_a_client_that_has_left_with_its_request(hinge, backend):
    """The FIN comes with the head, on a connection that is known already: nginx says 499 as well."""
    origin = backend(honest_or(silent))
    h = hinge.pooled(origin, access_log="log_format s $status; access_log %%dir%%/a.log s;")
    with h.connect() as c:
        assert c.ask(lines("GET /honest HTTP/1.1", "Host: a")).body == b"honest"
        c.send(GET).half_close()
        c.assert_closed()
    assert h.wait_lines("a.log", 2) == ["200", "499"]
    for conn in list(origin.connections):
        conn.assert_hung_up()


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("head, body", [(lines("POST /cut HTTP/1.1", "Host: a", "Content-Length: 40000"), b"x" * 40000),
                                        (CHUNKED, b"3\r\nabc\r\n0\r\n\r\n")], ids=["length", "chunked"])
def test_a_client_that_leaves_with_the_last_bytes_of_its_body(hinge, backend, head, body, buffering):
    """The FIN is in the segment that ends the body: one event tells of both, and none comes afterwards."""
    origin = backend(honest_or(silent))
    h = hinge.pooled(origin, f"proxy_request_buffering {buffering};", access_log="log_format s $status; access_log %%dir%%/a.log s;")
    with h.connect() as c:
        c.send(head + body[:3])
        time.sleep(0.1)
        c.sock.send(body[3:], socket.MSG_MORE)
        c.half_close()
        c.assert_closed()
    assert h.wait_lines("a.log") == ["499"]
    for conn in list(origin.connections):
        conn.assert_hung_up()


def test_an_answer_of_our_own_reaches_a_client_that_sends_no_more(hinge, backend):
    h = hinge.server("location / { return 200 $request_uri; }")
    with h.connect() as c:
        assert c.ask(lines("GET /1 HTTP/1.1", "Host: a")).text == "/1"
        c.send(lines("GET /2 HTTP/1.1", "Host: a") + lines("GET /3 HTTP/1.1", "Host: a")).half_close()
        assert [c.response().text for _ in range(2)] == ["/2", "/3"]
        c.assert_closed()


def test_nothing_follows_an_answer_that_both_sides_broke_off(hinge, backend):
    """The backend breaks off while its client does not read, and then the client's time is up. The next request of the connection is
    not served: its answer would be taken for the rest of the first."""
    def broken(conn):
        if conn.head().target != "/next":
            conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"ffffff\r\n" + 4 * BIG)  # more than sockets hold
            time.sleep(0.3)  # what was not read yet would be lost by the reset
            conn.reset()

    origin = backend(broken)
    h = hinge.proxy(origin, "send_timeout 300ms; proxy_buffers 16 1m; proxy_busy_buffers_size 1m;")
    with h.connect(rcvbuf=4096) as c:
        c.send(GET + lines("GET /next HTTP/1.1", "Host: a"))
        h.wait_log("client timed out")
        assert c.all_bytes().count(b"HTTP/1.1") == 1
    assert [r.target for r in origin.requests] == ["/cut"]


# what the backend does before it goes
ENDS = {
    "at once": lambda conn: None,
    "in the head": lambda conn: conn.reader.exactly(10),
    "after the head": lambda conn: conn.head(),
    "in its status line": lambda conn: (conn.head(), conn.send(b"HTTP/1.1 20")),
    "in its head": lambda conn: (conn.head(), conn.send(b"HTTP/1.1 200 OK\r\nContent-Le")),
    "after its head": lambda conn: (conn.head(), conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 10"))),
    "in its body": lambda conn: (conn.head(), conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 3000000") + BIG[:1_000_000])),
    "in a chunk size": lambda conn: (conn.head(), conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5")),
    "after an interim answer": lambda conn: (conn.head(), conn.send(lines("HTTP/1.1 103 Early Hints"))),
}


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", [GET, POST + BIG[:100_000], CHUNKED + chunked(BIG[:50_000])], ids=["GET", "POST", "chunked"])
@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_a_backend_that_goes(hinge, backend, script, sent, how):
    def goes(conn):
        script(conn)
        if how == "reset":
            time.sleep(0.01)
            conn.reset()

    origin = backend([goes, echo])
    h = hinge.pooled(origin, "proxy_request_buffering off; proxy_buffering off;")
    with h.connect() as c:
        c.send_as_far_as_it_goes(sent).half_close()
        with contextlib.suppress(Ended, ConnectionResetError):
            assert c.response().status == 502
    assert h.get("/honest").json()["target"] == "/honest"
    assert len(origin.connections) == 2
