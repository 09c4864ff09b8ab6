"""Memory: slow readers, slow backends and idle connections cost what the configuration allows, and no more."""
import time

import pytest
from tools.times import FULL, SLOW
from tools.wire import lines

CLIENTS, SIZE = (200, 10 * 2**30) if FULL else (40, 200 * 2**20)
ROOM = 2**20 * (48 if FULL else 32) * (8 if SLOW > 1 else 1)  # sanitizers keep freed memory for a while
PIECE = b"a" * 2**18


def endless(conn):
    """An answer of SIZE bytes, made as it is sent."""
    conn.request()
    conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {SIZE}"))
    left = SIZE
    while left and not conn.closed_by_peer.is_set():
        conn.send(PIECE[:min(left, len(PIECE))])
        left -= min(left, len(PIECE))


def warmed_up(h):
    for _ in range(20):
        h.get("/warm")
    return h.rss()


def highest(h, seconds, meanwhile=lambda: None):
    """The peak of the resident memory over a while."""
    peak, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        meanwhile()
        peak = max(peak, h.rss())
        time.sleep(0.05)
    return peak


@pytest.mark.timeout(180)
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_big_answers_to_slow_clients_stay_under_a_ceiling(hinge, backend, buffering):
    h = hinge.server(f"""
        proxy_buffering {buffering};
        location / {{ proxy_pass http://%%origin%%; proxy_max_temp_file_size 0; }}
        location /warm {{ return 200 ok; }}""", origin=backend(endless))
    before = warmed_up(h)
    clients = [h.connect(rcvbuf=4096).send(lines("GET / HTTP/1.1", "Host: a")) for _ in range(CLIENTS)]

    def sip():
        for c in clients:
            c.sock.recv(2048)

    peak = highest(h, 20 if FULL else 3, sip)
    for c in clients:
        c.close()
    assert peak - before < ROOM, f"{(peak - before) >> 20} MiB for {CLIENTS} clients"
    assert h.get("/warm").status == 200


@pytest.mark.timeout(180)
def test_uploads_to_a_slow_backend_stay_under_a_ceiling(hinge, backend):
    def slow(conn):
        conn.head()
        while conn.sock.recv(2048):
            time.sleep(0.02)

    h = hinge.server("""
        client_max_body_size 0; proxy_request_buffering off;
        location / { proxy_pass http://%%origin%%; }
        location /warm { return 200 ok; }""", origin=backend(slow))
    before = warmed_up(h)
    clients = []
    for _ in range(CLIENTS):
        c = h.connect()
        c.send(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {SIZE}"))
        c.sock.setblocking(False)
        clients.append(c)

    def pour():
        for c in clients:
            try:
                c.sock.send(PIECE)
            except BlockingIOError:
                pass

    peak = highest(h, 3, pour)
    for c in clients:
        c.close()
    assert peak - before < ROOM, f"{(peak - before) >> 20} MiB for {CLIENTS} clients"


@pytest.mark.timeout(120)
def test_pipelined_requests_nobody_reads_answers_of_stay_under_a_ceiling(hinge):
    h = hinge.server(f"location / {{ return 200 {'x' * 1000}; }} location /warm {{ return 200 ok; }} keepalive_requests 1000000;")
    before = warmed_up(h)
    clients = [h.connect(rcvbuf=4096) for _ in range(20)]
    requests = lines("GET / HTTP/1.1", "Host: a") * 1000

    def pour():
        for c in clients:
            c.sock.setblocking(False)
            try:
                c.sock.send(requests)
            except BlockingIOError:
                pass

    peak = highest(h, 2, pour)
    for c in clients:
        c.close()
    assert peak - before < ROOM


@pytest.mark.skipif(SLOW > 1, reason="a sanitizer's memory says nothing about ours")
def test_idle_connections_cost_little(hinge):
    count = 800
    h = hinge.server("return 200 ok;")
    warmed_up(h)
    first = [h.connect() for _ in range(100)]  # first use of slabs and tables
    for c in first:
        c.ask(lines("GET / HTTP/1.1", "Host: a"))
    before = h.rss()
    idle = [h.connect() for _ in range(count)]
    for c in idle:
        c.ask(lines("GET / HTTP/1.1", "Host: a"))
    each = (h.rss() - before) / count
    for c in first + idle:
        c.close()
    assert each < 4096, f"{each:.0f} bytes for an idle connection"


def test_thousands_of_aborted_requests_leave_nothing(hinge, backend):
    h = hinge.server("location / { proxy_pass http://%%origin%%; } location /warm { return 200 ok; }", origin=backend(lambda conn: conn.hang()))

    def abort(n):
        for _ in range(n):
            with h.connect() as c:
                c.send(lines("GET / HTTP/1.1", "Host: a"))
                c.reset()

    warmed_up(h)
    abort(300)
    before = h.rss()
    abort(1500)
    assert h.get("/warm").status == 200
    assert h.rss() - before < 8 * 2**20 * (4 if SLOW > 1 else 1)


@pytest.mark.parametrize("limit, least, most", [("1m", 0, 40), ("256m", 80, 400)])
def test_worker_body_memory(hinge, backend, limit, least, most):
    """Clients that do not read, and buffers that would take all that backends have to say. In megabytes."""
    h = hinge.raw("""daemon off; worker_processes 1; error_log error.log info; pid hinge.pid;
        events { worker_connections 1024; worker_body_memory %%limit%%; }
        http { access_log off; server { listen %%port%% sndbuf=4k; location = /warm { return 200 ok; }
            location / { proxy_pass http://%%origin%%; proxy_buffers 512 16k; } } }""", limit=limit, origin=backend(endless))
    before = warmed_up(h)
    clients = [h.connect(rcvbuf=4096) for _ in range(16)]
    for c in clients:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
    grown = (highest(h, 3) - before) / 2**20
    for c in clients:
        c.close()
    assert least <= grown < most * (8 if SLOW > 1 else 1)
