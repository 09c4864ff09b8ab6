"""Bodies both ways: every size arrives exactly, buffered or streamed, and slow sides hold up nobody but themselves."""
import hashlib
import socket
import threading
import time

import pytest
from tools.backend import echo, serve
from tools.times import PATIENCE
from tools.wire import chunked, lines

pytestmark = pytest.mark.shared_servers

SIZES = [0, 1, 1023, 4096, 8191, 8192, 8193, 16384, 65535, 65536, 100_000, 1_000_000, 5_000_000]


def pattern(n):
    return bytes(bytearray(i * 7 % 251 for i in range(min(n, 100_003)))) * (n // 100_003 + 1)


WHOLE = pattern(6_000_000)


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_request_bodies_of_every_size_arrive_exactly(hinge, backend, buffering):
    h = hinge.pooled(backend(), f"proxy_request_buffering {buffering}; client_max_body_size 0; client_body_buffer_size 16k;")
    with h.connect() as c:
        for n in SIZES:
            body = WHOLE[:n]
            seen = c.ask(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {n}") + body).json()
            assert (seen["length"], seen["sha256"]) == (n, sha(body))


@pytest.mark.parametrize("buffering, framing", [("on", "length"), ("off", "chunked")])
def test_chunked_request_bodies_of_every_size_arrive_exactly(hinge, backend, buffering, framing):
    h = hinge.pooled(backend(), f"proxy_request_buffering {buffering}; client_max_body_size 0;")
    with h.connect() as c:
        for n in SIZES:
            body = WHOLE[:n]
            pieces = [body[i:i + 50_000] for i in range(0, n, 50_000)]
            seen = c.ask(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(*pieces)).json()
            assert (seen["length"], seen["sha256"]) == (n, sha(body))
    if n > 100_000 and framing == "chunked":
        assert seen["framing"] == framing


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_answers_of_every_size_arrive_exactly(hinge, backend, buffering, framing):
    def script(conn):
        while req := conn.request():
            body = WHOLE[:int(req.target[1:])]
            if framing == "chunked":
                pieces = [body[i:i + 30_000] for i in range(0, len(body), 30_000)]
                conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(*pieces))
            elif framing == "length":
                conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {len(body)}") + body)
            else:
                conn.send(lines("HTTP/1.1 200 OK") + body)
                return

    h = hinge.pooled(backend(script), f"proxy_buffering {buffering};")
    with h.connect() as c:
        for n in SIZES:
            res = c.ask(lines(f"GET /{n} HTTP/1.1", "Host: a"))
            assert (len(res.body), sha(res.body)) == (n, sha(WHOLE[:n]))


def test_both_directions_at_once(hinge, backend):
    """A backend that answers while it reads: what it has read comes back before all is sent."""
    def mirror(conn):
        req = conn.head()
        left = int(req["Content-Length"])
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {left}"))
        while left:
            piece = conn.reader.exactly(min(left, 65536))
            conn.send(piece)
            left -= len(piece)

    h = hinge.proxy(backend(mirror), "proxy_request_buffering off; proxy_buffering off; client_max_body_size 0;")
    with h.connect() as c:
        sender = threading.Thread(target=c.send, args=(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {len(WHOLE)}") + WHOLE,))
        sender.start()
        assert sha(c.response().body) == sha(WHOLE)
        sender.join(PATIENCE)


def test_buffered_a_backend_is_not_bothered_before_the_body_is_complete(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin)
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 10") + b"hello")
        time.sleep(0.2)
        assert origin.connections == []
        assert c.send(b"world").response().json()["length"] == 10


def test_streamed_a_backend_sees_the_beginning_at_once(hinge, backend):
    began = threading.Event()

    def script(conn):
        req = conn.head()
        assert conn.reader.exactly(5) == b"hello"
        began.set()
        assert conn.reader.exactly(5) == b"world"
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {len(req.target)}") + req.target.encode())

    h = hinge.proxy(backend(script), "proxy_request_buffering off;")
    with h.connect() as c:
        c.send(lines("POST /s HTTP/1.1", "Host: a", "Content-Length: 10") + b"hello")
        assert began.wait(PATIENCE)
        assert c.send(b"world").response().body == b"/s"


def test_a_client_that_leaves_during_a_streamed_upload_ends_the_request(hinge, backend):
    def script(conn):
        conn.head()
        conn.hang()

    origin = backend([script, echo])
    h = hinge.pooled(origin, "proxy_request_buffering off;")
    with h.connect() as c:
        c.send(lines("POST /cut HTTP/1.1", "Host: a", "Content-Length: 10") + b"hello")
        origin.wait_requests(1)
    origin.connections[0].assert_hung_up()
    assert bytes(origin.connections[0].received).endswith(b"hello")
    assert h.get("/honest").json()["target"] == "/honest"


def test_a_slow_client_does_not_hold_a_buffered_answer_at_the_backend(hinge, backend):
    sent = threading.Event()

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 30000") + WHOLE[:30_000])
        sent.set()
        conn.hang()

    h = hinge.proxy(backend(script), "proxy_buffers 8 8k;")
    with h.connect(rcvbuf=2048) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        assert sent.wait(PATIENCE)
        assert c.response().body == WHOLE[:30_000]


def test_a_slow_client_stops_the_backend_at_the_buffers(hinge, backend):
    """With proxy_max_temp_file_size 0 (the default) what the client does not take stays unread at the backend."""
    size = 100_000_000
    written = [0]

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {size}"))
        while written[0] < size:
            written[0] += conn.sock.send(WHOLE[:65536])

    h = hinge.proxy(backend(script), "proxy_max_temp_file_size 0;")
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        c.reader.until(b"\r\n\r\n")
        time.sleep(1)
        assert 0 < written[0] < size / 4


@pytest.mark.parametrize("buffers", ["", "proxy_buffers 8 8k; proxy_busy_buffers_size 8k;", "proxy_buffers 8 8k; proxy_busy_buffers_size 56k;"],
                         ids=["default", "least busy", "most busy"])
def test_answers_spill_to_a_file_when_that_is_allowed(hinge, backend, buffers):
    sent = threading.Event()

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {len(WHOLE)}") + WHOLE)
        sent.set()
        conn.hang()

    h = hinge.proxy(backend(script), f"proxy_max_temp_file_size 100m; proxy_temp_path %%dir%%/temp; {buffers}")
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        assert sent.wait(PATIENCE), "the backend waits for the client"
        assert sha(c.response().body) == sha(WHOLE)


def test_a_large_request_body_spills_and_arrives(hinge, backend):
    h = hinge.pooled(backend(), "client_body_buffer_size 8k; client_max_body_size 10m;")
    with h.connect() as c:
        for _ in range(2):
            seen = c.ask(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {len(WHOLE)}") + WHOLE).json()
            assert seen["sha256"] == sha(WHOLE)


def test_many_clients_upload_and_download_at_once(hinge, backend):
    h = hinge.pooled(backend(), "client_max_body_size 0;", workers=2)
    failures = []

    def client(i):
        body = WHOLE[i:i + 300_000 + i * 1000]
        with h.connect() as c:
            for _ in range(5):
                seen = c.ask(lines("PUT / HTTP/1.1", "Host: a", f"Content-Length: {len(body)}") + body).json()
                if seen["sha256"] != sha(body):
                    failures.append(i)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(16)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert failures == [] and not any(t.is_alive() for t in threads)


def test_x_accel_buffering_no_streams_an_answer(hinge, backend):
    go = threading.Event()

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", "X-Accel-Buffering: no", "Content-Length: 10") + b"first")
        go.wait(PATIENCE)
        conn.send(b"later")

    h = hinge.proxy(backend(script))
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        assert b"X-Accel" not in c.reader.until(b"\r\n\r\n")
        assert c.exactly(5) == b"first"
        go.set()
        assert c.exactly(5) == b"later"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_answer_in_many_pieces_frees_its_backend_as_far_as_buffers_allow(hinge, backend, framing):
    """The pieces come one at a time, behind what fills the client's socket: their number must not count, but their bytes."""
    sent = threading.Event()
    body = WHOLE[:6_000_000]
    pieces = [body[:4_000_000]] + [body[i:i + 9000] for i in range(4_000_000, len(body), 9000)]

    def script(conn):
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        conn.request()
        fact = {"length": f"Content-Length: {len(body)}", "chunked": "Transfer-Encoding: chunked", "close": "A: b"}[framing]
        conn.send(lines("HTTP/1.1 200 OK", fact))
        for piece in pieces:
            conn.send(b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece)
            time.sleep(0.002)
        if framing == "chunked":
            conn.send(b"0\r\n\r\n")
        sent.set()
        if framing != "close":
            conn.hang()

    h = hinge.proxy(backend(script), "proxy_buffer_size 64k; proxy_buffers 32 512k; proxy_busy_buffers_size 1m;")
    with h.connect(rcvbuf=65536) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        assert sent.wait(PATIENCE)
        assert sha(c.response().body) == sha(body)


def test_chunks_can_be_turned_off_for_old_clients(hinge, backend):
    """chunked_transfer_encoding off: an answer without a length ends with its connection."""
    origin = backend(serve(lambda req: lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n"))
    h = hinge.http("server { listen %%port%%; location / { proxy_pass http://%%origin%%; } location /off { chunked_transfer_encoding off; proxy_pass http://%%origin%%; } }",
                   origin=origin)
    with h.connect() as c:
        on = c.ask(lines("GET / HTTP/1.1", "Host: a"))
        assert on.body == b"hello" and on["Transfer-Encoding"] == "chunked"
        off = c.ask(lines("GET /off HTTP/1.1", "Host: a"))
        assert off.body == b"hello" and "Transfer-Encoding" not in off and off["Connection"] == "close"
