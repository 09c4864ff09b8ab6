"""Backends that take too long: 504, the log says which wait it was, and time spent behind a full pipe does not count."""
import socket
import threading
import time

import pytest
from tools.backend import hang, says
from tools.ports import free_port
from tools.times import PATIENCE
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

GET = lines("GET / HTTP/1.1", "Host: a")


def test_no_answer_at_all_is_504(hinge, backend):
    origin = backend(hang)
    h = hinge.proxy(origin, "proxy_read_timeout 300ms;")
    assert h.ask(GET).status == 504
    h.wait_log(r"upstream timed out \(110: Connection timed out\) while reading response header from upstream")
    origin.connections[0].assert_hung_up()


def test_an_answer_that_stops_in_the_middle_is_cut(hinge, backend):
    h = hinge.proxy(backend(says(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"abc", then="hang")), "proxy_read_timeout 300ms;")
    with h.connect() as c:
        c.send(GET)
        c.assert_reset_or_short()
    h.wait_log(r"upstream timed out \(110: Connection timed out\) while reading upstream")


def test_the_read_timeout_is_between_two_reads(hinge, backend):
    def slowly(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 8"))
        for _ in range(8):
            time.sleep(0.1)
            conn.send(b"a")

    assert hinge.proxy(backend(slowly), "proxy_read_timeout 500ms;").ask(GET).body == b"aaaaaaaa"


def test_a_connection_that_does_not_come_about_is_504(hinge):
    """A listener whose queue is full leaves a connect hanging."""
    port = free_port()
    full = socket.create_server(("127.0.0.1", port), backlog=0)
    fillers = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        fillers.append(s)
    time.sleep(0.1)
    h = hinge.proxy(f"127.0.0.1:{port}", "proxy_connect_timeout 300ms;")
    assert h.ask(GET).status == 504
    h.wait_log(r"upstream timed out \(110: Connection timed out\) while connecting to upstream")
    for s in (*fillers, full):
        s.close()


def test_a_backend_that_does_not_read_is_504(hinge, backend):
    stop = threading.Event()
    origin = backend(lambda conn: stop.wait(PATIENCE * 3))
    h = hinge.proxy(origin, "proxy_send_timeout 300ms; client_max_body_size 0;")
    with h.connect() as c:
        c.send_as_far_as_it_goes(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 20000000") + b"a" * 20_000_000)
        assert c.response().status == 504
    stop.set()
    h.wait_log(r"upstream timed out \(110: Connection timed out\) while sending request to upstream")


def test_a_slow_upload_is_not_the_backends_fault(hinge, backend):
    h = hinge.proxy(backend(), "proxy_request_buffering off; proxy_read_timeout 300ms; proxy_send_timeout 300ms;")
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 8"))
        for _ in range(8):
            time.sleep(0.1)
            c.send(b"a")
        assert c.response().json()["length"] == 8


def test_a_slow_download_is_not_the_backends_fault(hinge, backend):
    size = 20_000_000

    def big(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {size}"), b"a" * size)

    h = hinge.proxy(backend(big), "proxy_read_timeout 300ms; proxy_max_temp_file_size 0;")
    with h.connect(rcvbuf=4096) as c:
        c.send(GET)
        c.reader.until(b"\r\n\r\n")
        time.sleep(1)  # longer than the timeout, behind full buffers
        assert len(c.exactly(size)) == size
    assert "timed out" not in h.log


@pytest.mark.parametrize("tunnel", [False, True], ids=["answer", "tunnel"])
def test_a_backend_that_goes_on_does_not_prolong_the_time_of_a_client_that_does_not_read(hinge, backend, tunnel):
    """send_timeout is between two writes to the client: bytes that come from the other side are none."""
    given_up = threading.Event()

    def dripping(conn):
        conn.request()
        if tunnel:
            conn.send(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: foo", "Connection: upgrade"), b"a" * 300_000)
        else:
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 9000000"), b"a" * 300_000)
        end = time.monotonic() + 5
        while time.monotonic() < end and not conn.closed_by_peer.is_set():
            time.sleep(0.05)
            conn.send(b"a")
        if conn.closed_by_peer.is_set():
            given_up.set()

    h = hinge.http("""server { listen %%port%% sndbuf=4k; send_timeout 500ms;
        location / { proxy_pass http://%%origin%%; proxy_buffers 512 4k; proxy_buffer_size 1m; proxy_busy_buffers_size 1m;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } }""", origin=backend(dripping))
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a", "Upgrade: foo", "Connection: upgrade") if tunnel else GET)
        assert given_up.wait(PATIENCE), "the client that reads nothing has kept its connection"


def test_hanging_backends_do_not_disturb_others(hinge, backend):
    stuck, good = backend(hang), backend()
    h = hinge.server("""
        location / { proxy_pass http://%%good%%; }
        location /stuck { proxy_pass http://%%stuck%%; }""", good=good, stuck=stuck)
    waiting = [h.connect().send(lines("GET /stuck HTTP/1.1", "Host: a")) for _ in range(50)]
    for i in range(50):
        assert h.get(f"/{i}").status == 200
    for c in waiting:
        c.assert_open_and_quiet(0.001)
        c.close()


def test_a_late_answer_of_a_timed_out_backend_is_nobodys(hinge, backend):
    def late(conn):
        conn.request()
        time.sleep(0.5)
        conn.send(answer(b"late"))

    origin = backend([late, says(answer(b"own"))])
    h = hinge.pooled(origin, "proxy_read_timeout 200ms;")
    with h.connect() as c:
        assert c.ask(GET).status == 504
        time.sleep(0.6)
        assert c.ask(GET).body == b"own"
