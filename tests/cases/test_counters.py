"""What the engine counts can be read, and counts what it says."""
import pytest

from tools.wire import lines


@pytest.fixture
def counted(hinge):
    h = hinge.server("http1_compat bare_lf fragment; client_max_body_size 10; location / { return 200 ok; } location = /counters { counters; }")
    return h, lambda: h.get("/counters").json()


def test_requests_and_connections(counted):
    h, counters = counted
    before = counters()
    with h.connect() as c:
        for _ in range(3):
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).status == 200
        now = counters()
    assert now["requests"] - before["requests"] == 4  # the one that asks is counted too
    assert now["conn_accepted"] - before["conn_accepted"] == 2
    assert now["connections"] >= 2


@pytest.mark.parametrize("wire, name", [
    (b"GET / HTTP/1.1\nHost: a\n\n", "compat_bare_lf"),
    (lines("GET /a#b HTTP/1.1", "Host: a"), "compat_fragment"),
    (lines("GET / HTTP/1.1", "Host: a", "X_Y: 1"), "field_dropped"),
    (lines("GET / HTTP/1.1", "Host: a", "Host: b"), "request_bad"),
    (lines("GET / HTTP/1.1", "Host: a", "X: " + "x" * 40000), "head_limit"),
    (lines("POST / HTTP/1.1", "Host: a", "Content-Length: 11") + b"a" * 11, "body_limit"),
])
def test_what_is_refused_or_let_pass_is_counted(counted, wire, name):
    h, counters = counted
    before = counters()
    with h.connect() as c:
        c.send_as_far_as_it_goes(wire)
        c.response()
    assert counters()[name] - before[name] == 1
