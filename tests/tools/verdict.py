"""The two verdicts of the desync cases: refused for good, or forwarded in one canonical form.

Both end with an honest request. If anything of the doubtful bytes were left in a buffer of hinge, or on a backend connection that is
used again, that request would not arrive alone, or not be answered as itself.
"""
import hashlib

from .times import PATIENCE, wait_until
from .wire import lines

SMUGGLED = lines("GET /smuggled HTTP/1.1", "Host: a")


def assert_honest_request_is_alone(h, origin, before=()):
    """An honest request is served, and the backend has seen nothing but `before` and it."""
    assert h.get("/honest").json()["target"] == "/honest"
    assert origin.targets == [*before, "/honest"]


def assert_refused(h, origin, wire, statuses=(400,)):
    """An error answer, the connection closed, the bytes behind never parsed, nothing sent to the backend."""
    with h.connect() as c:
        c.send_as_far_as_it_goes(wire)
        res = c.response()
        assert res.status in statuses, f"{res.status} {res.text}"
        assert res["Connection"] == "close"
        c.assert_closed()
    assert_honest_request_is_alone(h, origin)


def assert_forwarded(h, origin, wire, body=b"", method=None, **expected):
    """Answered with 200; the backend saw one request with this body, framed by hinge itself. Gives what the backend saw."""
    with h.connect() as c:
        res = c.ask(wire, method)
        assert res.status == 200, f"{res.status} {res.text}"
        wait_until(lambda: origin.requests, "a request at the backend", PATIENCE)
        seen = origin.requests[0]
        assert hashlib.sha256(seen.body).digest() == hashlib.sha256(body).digest(), f"{len(seen.body)} of {len(body)} bytes"
        for name, value in expected.items():
            assert getattr(seen, name) == value, f"{name}: {getattr(seen, name)!r}"
    assert_honest_request_is_alone(h, origin, before=[seen.target])
    return seen
