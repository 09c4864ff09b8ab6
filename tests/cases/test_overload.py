"""More than there is room for: connections, descriptors, slow heads. The rest is served, and afterwards all is as before."""
import contextlib
import time

import pytest
from tools.load import Load
from tools.server import MAIN
from tools.times import wait_until
from tools.wire import Ended, answer, lines

GET = lines("GET / HTTP/1.1", "Host: a")


def served(clients):
    """How many of these connections are answered; the others are closed, or just wait."""
    n = 0
    for c in clients:
        c.sock.settimeout(0.05)
        with contextlib.suppress(Ended, OSError):
            n += c.ask(GET).status == 200
    return n


def hang_if_asked(conn):
    while req := conn.request():
        if req.target == "/hang":
            conn.hang()
            return
        conn.send(answer(b"ok"))


def recovered(h):
    with contextlib.suppress(Ended, OSError):
        return h.get("/").status == 200


def test_worker_connections_bounds_what_is_accepted(hinge):
    h = hinge.raw(MAIN.replace("1024", "20") + "http { access_log off; server { listen %%port%%; return 200 ok; } }")
    clients = [h.connect() for _ in range(60)]
    assert 1 <= served(clients) <= 20
    for c in clients:
        c.close()
    wait_until(lambda: recovered(h), "service as before")


def test_out_of_descriptors_is_no_end(hinge):
    h = hinge.http("server { listen %%port%%; return 200 ok; }", main="worker_rlimit_nofile 64;")
    clients = [h.connect() for _ in range(120)]
    assert 1 <= served(clients) < 64
    for c in clients:
        c.close()
    wait_until(lambda: recovered(h), "service as before")


@pytest.mark.parametrize("idle", [0, 1])
def test_descriptors_that_backends_do_not_get_are_not_held_against_them(hinge, backend, idle):
    """One connection takes two: with an even number of them a socket for a backend is what fails, or with an odd one."""
    h = hinge.http("""
        upstream u { server %%one%% fail_timeout=1h; server %%two%% fail_timeout=1h; }
        server { listen %%port%%; location / { proxy_pass http://u; } location /idle { return 200 ok; } }""",
                   main="worker_rlimit_nofile 64;", one=backend(hang_if_asked), two=backend(hang_if_asked))
    h.allow("socket\\(\\) failed")
    clients = [h.connect() for _ in range(idle)]
    for c in clients:
        c.ask(lines("GET /idle HTTP/1.1", "Host: a"))
    for _ in range(50):
        c = h.connect().send(lines("GET /hang HTTP/1.1", "Host: a"))
        clients.append(c)
        time.sleep(0.01)
    for c in clients:
        c.close()
    wait_until(lambda: recovered(h), "service as before")


@pytest.mark.timeout(120)
def test_five_hundred_slow_heads_disturb_nobody(hinge, backend):
    h = hinge.proxy(backend(process=True), workers=2)
    slow = [h.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nX-") for _ in range(500)]
    with Load(h.address, 4) as load:
        for _ in range(10):
            for c in slow:
                c.send(b"a")
            time.sleep(0.05)
    assert not load.failures and load.ok > 50, load.failures
    for c in slow:
        c.close()


def test_more_requests_than_the_backend_takes_connections(hinge, backend):
    """Hundreds of requests at once to a backend that answers slowly: each one is answered once."""
    def slowly(conn):
        while conn.request():
            time.sleep(0.05)
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 2") + b"ok")

    origin = backend(slowly)
    h = hinge.pooled(origin)
    clients = [h.connect().send(GET) for _ in range(200)]
    assert [c.response().status for c in clients] == [200] * 200
    assert len(origin.requests) == 200
