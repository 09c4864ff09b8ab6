"""stub_status: nginx's status page, read by the tools that know it."""
import re

import pytest
from tools.backend import hang
from tools.times import wait_until
from tools.wire import lines

PAGE = re.compile(r"Active connections: (\d+) \nserver accepts handled requests\n (\d+) (\d+) (\d+) \n"
                  r"Reading: (\d+) Writing: (\d+) Waiting: (\d+) \n")
NAMES = ("active", "accepts", "handled", "requests", "reading", "writing", "waiting")


@pytest.fixture
def site(hinge):
    h = hinge.server("location / { return 200 ok; } location = /status { stub_status; } "
                     "location = /vars { return 200 '$connections_active $connections_reading $connections_writing $connections_waiting'; }")

    def status():
        answer = h.get("/status")
        assert answer.status == 200 and answer.headers.get("Content-Type") == "text/plain"
        return dict(zip(NAMES, map(int, PAGE.fullmatch(answer.body.decode()).groups())))
    return h, status


def test_the_one_that_asks_is_writing(site):
    h, status = site
    s = status()
    assert (s["active"], s["reading"], s["writing"], s["waiting"]) == (1, 0, 1, 0)
    assert s["accepts"] == s["handled"] >= 1 and s["requests"] >= 1


def test_what_connections_do(site):
    h, status = site
    with h.connect() as idle, h.connect() as kept, h.connect() as part:
        assert kept.ask(lines("GET / HTTP/1.1", "Host: a")).status == 200
        part.send(b"GET / HT")
        wait_until(lambda: status()["reading"] == 1, "part of a head is reading")
        s = status()
        assert (s["active"], s["writing"], s["waiting"]) == (4, 1, 2)
        part.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert part.response().status == 200
        s = status()
        assert (s["reading"], s["waiting"]) == (0, 3)
        idle.send(b"G")
        wait_until(lambda: status()["reading"] == 1, "part of a head is reading")
    wait_until(lambda: status()["active"] == 1, "the others are closed")
    s = status()
    assert (s["reading"], s["writing"], s["waiting"]) == (0, 1, 0)


def test_a_request_that_waits_for_its_backend_is_writing(hinge, backend):
    origin = backend(hang)
    h = hinge.server("location / { proxy_pass http://%%origin%%; } location = /status { stub_status; }", origin=origin)
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        origin.wait_connections(1)
        assert "Writing: 2 Waiting: 0" in h.get("/status").body.decode()


@pytest.mark.parametrize("end", ["close", "half_close"])
def test_a_tunnel_is_writing_until_it_ends(hinge, backend, end):
    def switch(conn):
        if conn.head():
            conn.send(lines("HTTP/1.1 101 Yes", "Connection: upgrade", "Upgrade: foo"))
            conn.reader.to_the_end()
    h = hinge.server("location / { proxy_pass http://%%origin%%; proxy_set_header Upgrade foo; proxy_set_header Connection upgrade; } "
                     "location = /status { stub_status; }", origin=backend(switch))

    def says(what):
        return what in h.get("/status").body.decode()
    with h.connect() as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: foo")).status == 101
        assert says("Writing: 2 Waiting: 0")
        if end == "half_close":
            c.half_close()
            c.assert_closed()
    wait_until(lambda: says("Writing: 1 Waiting: 0"), "the tunnel is over")


def test_requests_are_counted(site):
    h, status = site
    before = status()
    for _ in range(3):
        h.get("/")
    after = status()
    assert after["requests"] - before["requests"] == 4
    assert after["accepts"] - before["accepts"] == 4


def test_variables(site):
    h, status = site
    assert h.get("/vars").body == b"1 0 1 0"


def test_head_and_other_methods(site):
    h, status = site
    assert h.ask(lines("HEAD /status HTTP/1.1", "Host: a"), method="HEAD").status == 200
    assert h.ask(lines("POST /status HTTP/1.1", "Host: a", "Content-Length: 0")).status == 405


def test_at_the_server_level_it_answers_where_no_location_does(hinge):
    h = hinge.server("stub_status; location /x { return 200 x; }")
    assert PAGE.fullmatch(h.get("/any").body.decode())
    assert h.get("/x").body == b"x"
