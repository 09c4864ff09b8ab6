"""What a client may send at most, and how long it may take: each limit has a directive and an answer of its own."""
import time

import pytest
from tools.server import BINARY
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

HELLO = "location / { return 200 hello; }"


def with_uri(n):
    return lines("GET /%s HTTP/1.1" % ("a" * (n - len("GET / HTTP/1.1\r\n"))), "Host: a")


def with_field(n):
    return lines("GET / HTTP/1.1", "Host: a", "X-A: " + "a" * (n - len("X-A: \r\n")))


def test_long_heads_fit_into_the_large_buffers(hinge):
    h = hinge.server(HELLO)
    for wire in (with_uri(8000), with_field(8000), lines("GET / HTTP/1.1", "Host: a", *(f"X-{i}: {'a' * 3000}" for i in range(8)))):
        assert h.ask(wire).status == 200


@pytest.mark.parametrize("wire, status", [(with_uri(9000), 414), (with_field(9000), 431)], ids=["uri", "field"])
def test_longer_lines_do_not(hinge, wire, status):
    h = hinge.server(HELLO)
    with h.connect() as c:
        assert c.ask(wire).status == status
        c.assert_closed()


def test_larger_buffers_allow_longer_lines(hinge):
    h = hinge.server("large_client_header_buffers 4 32k;" + HELLO)
    assert h.ask(with_uri(30000)).status == 200
    assert h.ask(with_field(30000)).status == 200
    assert h.ask(with_uri(40000)).status == 414


def test_smaller_buffers_allow_less(hinge):
    h = hinge.server("client_header_buffer_size 512; large_client_header_buffers 2 1k;" + HELLO)
    assert h.ask(with_uri(1000)).status == 200
    assert h.ask(with_uri(1200)).status == 414
    assert h.ask(with_field(1200)).status == 431
    assert h.ask(lines("GET / HTTP/1.1", "Host: a", *(f"X-{i}: {'a' * 900}" for i in range(5)))).status == 431


def test_a_larger_first_buffer_allows_longer_lines_too(hinge):
    h = hinge.server("client_header_buffer_size 16k;" + HELLO)
    assert h.ask(with_uri(15000)).status == 200
    assert h.ask(with_field(15000)).status == 200
    assert h.ask(with_uri(17000)).status == 414
    assert h.ask(with_field(17000)).status == 431


def test_a_head_that_comes_in_many_parts_is_read(hinge):
    """Two at a time, so that neither has the read buffer for itself; their lines fill the first buffer and large ones."""
    h = hinge.server("client_header_buffer_size 200; large_client_header_buffers 4 600;" + HELLO)
    wire = lines("GET / HTTP/1.1", "Host: a", *(f"X-{i}: {'a' * 500}" for i in range(4)))
    with h.connect() as a, h.connect() as b:
        for at in range(0, len(wire), 97):
            a.send(wire[at:at + 97])
            b.send(wire[at:at + 97])
            time.sleep(0.002)
        assert a.response().status == b.response().status == 200


def test_max_headers_counts_fields(hinge):
    h = hinge.server("max_headers 10;" + HELLO)
    assert h.ask(lines("GET / HTTP/1.1", "Host: a", *["X: y"] * 9)).status == 200
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a", *["X: y"] * 10)).status == 431
        c.assert_closed()


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HT", b"\r\n"], ids=["fields", "line", "empty line"])
def test_a_head_that_does_not_end_is_408(hinge, start):
    h = hinge.server("client_header_timeout 300ms;" + HELLO)
    with h.connect() as c:
        c.send(start)
        seen = c.all_bytes()
    assert seen.startswith(b"HTTP/1.1 408 ") or (BINARY.endswith("nginx") and not seen)  # which just closes


def test_a_pipelined_head_has_the_time_of_a_head(hinge):
    """It has begun already when the answer before it ends: that is no idle connection."""
    h = hinge.server("client_header_timeout 300ms; keepalive_timeout 30s;" + HELLO)
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a") + b"GET / HTTP/1.1\r\nHo").status == 200
        c.sock.settimeout(5)
        seen = c.all_bytes()
    assert seen.startswith(b"HTTP/1.1 408 ") or (BINARY.endswith("nginx") and not seen)  # which just closes


def test_dripping_does_not_prolong_the_header_timeout(hinge):
    h = hinge.server("client_header_timeout 400ms;" + HELLO)
    with h.connect() as c:
        for _ in range(100):
            c.send_as_far_as_it_goes(b"G")
            time.sleep(0.02)
            c.sock.setblocking(False)
            try:
                closed = c.sock.recv(1000) is not None
            except BlockingIOError:
                closed = False
            except ConnectionResetError:
                closed = True
            c.sock.setblocking(True)
            if closed:
                return
    raise AssertionError("2 s of dripping, and the connection is still open")


def test_a_body_that_does_not_come_is_408(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin, "client_body_timeout 300ms;")
    with h.connect() as c:
        assert c.ask(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 10") + b"abc").status == 408
        c.assert_closed()
    assert origin.requests == []


def test_the_body_timeout_is_between_two_reads(hinge, backend):
    h = hinge.proxy(backend(), "client_body_timeout 500ms;")
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 10"))
        for _ in range(10):
            time.sleep(0.1)
            c.send(b"a")
        assert c.response().json()["length"] == 10


def test_a_body_over_the_limit_is_413_and_never_forwarded(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin, "client_max_body_size 1000;")
    with h.connect() as c:
        c.send_as_far_as_it_goes(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1001") + b"a" * 1001)
        res = c.response()
        assert res.status == 413
        if res["Connection"] == "close":
            c.assert_closed()
        else:  # it may have drained what came
            assert c.ask(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1001") + b"a" * 1001).status == 413
    assert h.post("/", b"a" * 1000).json()["length"] == 1000
    assert len(origin.requests) == 1
    h.wait_log("client intended to send too large body")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_the_limit_holds_for_chunked_bodies(hinge, backend, buffering):
    origin = backend()
    h = hinge.proxy(origin, f"client_max_body_size 1000; proxy_request_buffering {buffering};")
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"))
        c.send_as_far_as_it_goes(b"100\r\n" + b"a" * 256 + b"\r\n")
        for _ in range(10):
            c.send_as_far_as_it_goes(b"100\r\n" + b"a" * 256 + b"\r\n")
        assert c.response().status == 413
        c.assert_closed()
    assert origin.requests == []


def test_zero_means_no_limit(hinge, backend):
    h = hinge.proxy(backend(), "client_max_body_size 0;")
    assert h.post("/", b"a" * 3_000_000).json()["length"] == 3_000_000


def test_the_default_limit_is_one_megabyte(hinge, backend):
    h = hinge.proxy(backend())
    assert h.post("/", b"a" * 2**20).json()["length"] == 2**20
    assert h.ask(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {2**20 + 1}")).status == 413


def test_an_idle_connection_is_closed_without_a_word(hinge):
    h = hinge.server("keepalive_timeout 300ms;" + HELLO)
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).status == 200
        c.assert_closed()


def test_keepalive_timeout_0_closes_at_once(hinge):
    h = hinge.server("keepalive_timeout 0;" + HELLO)
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a"))["Connection"] == "close"
        c.assert_closed()


def test_keepalive_timeout_tells_the_client(hinge):
    h = hinge.server("keepalive_timeout 75s 20s;" + HELLO)
    assert h.ask(lines("GET / HTTP/1.1", "Host: a"))["Keep-Alive"] == "timeout=20"


def test_keepalive_requests_are_counted(hinge):
    h = hinge.server("keepalive_requests 3;" + HELLO)
    with h.connect() as c:
        kept = [c.ask(lines("GET / HTTP/1.1", "Host: a"))["Connection"] for _ in range(3)]
        assert [k == "close" for k in kept] == [False, False, True]
        c.assert_closed()


def test_keepalive_time_bounds_the_life_of_a_connection(hinge):
    h = hinge.server("keepalive_time 200ms;" + HELLO)
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a"))["Connection"] != "close"
        time.sleep(0.3)
        assert c.ask(lines("GET / HTTP/1.1", "Host: a"))["Connection"] == "close"
        c.assert_closed()


def test_a_connection_is_kept_after_a_body(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        for _ in range(3):
            assert c.ask(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3") + b"abc").json()["length"] == 3


def big(conn):
    conn.request()
    conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 50000000"), b"a" * 50_000_000)


def test_a_client_that_does_not_read_is_dropped_after_send_timeout(hinge, backend):
    origin = backend(big)
    h = hinge.proxy(origin, "send_timeout 400ms; proxy_max_temp_file_size 0;")
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        c.reader.until(b"\r\n\r\n")
        origin.wait_connections(1)[0].assert_hung_up()


def test_reset_timedout_connection_ends_by_rst(hinge, backend):
    origin = backend(big)
    h = hinge.proxy(origin, "send_timeout 400ms; reset_timedout_connection on; proxy_max_temp_file_size 0;")
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        c.reader.until(b"\r\n\r\n")
        origin.wait_connections(1)[0].assert_hung_up()
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(65536):
                pass


def test_an_error_answer_survives_the_bytes_that_still_come(hinge):
    """Closing with unread bytes would send a reset that destroys the answer: the close lingers."""
    h = hinge.server("client_max_body_size 1000; lingering_time 5s; lingering_timeout 2s;" + HELLO)
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3000000"))
        for _ in range(30):
            c.send_as_far_as_it_goes(b"a" * 100_000)
        assert c.response().status in (200, 413)


def test_lingering_close_off_is_accepted(hinge):
    h = hinge.server("lingering_close off; client_max_body_size 1000;" + HELLO)
    with h.connect() as c:
        assert c.ask(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 3000000")).status in (200, 413)
        c.assert_closed()


def test_the_last_answer_is_out_before_unread_bytes_reset_the_connection(hinge):
    """The end of the last answer waits for the FIN; a close with unread bytes in the kernel sends no FIN, and drops what waits."""
    h = hinge.server("lingering_close off;" + HELLO)
    for _ in range(5):
        with h.connect() as c:
            c.send_as_far_as_it_goes(lines("GET / HTTP/1.1", "Host: a", "Connection: close") + b"x" * 200_000)
            assert c.response().body == b"hello"
