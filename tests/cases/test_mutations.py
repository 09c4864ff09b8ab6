"""Messages damaged at random (with a fixed seed).

Whatever comes in, what goes out is clean HTTP/1.1, and the next honest request is served.

The backend and the client of the harness read strictly, so a message of hinge's that is not clean fails the case by itself.
HINGE_TEST_FULL=1 tries many more.
"""
import random
import socket

import pytest
from tools.times import FULL
from tools.wire import Ended, Malformed, answer, chunked, lines

ROUNDS = 20_000 if FULL else 800
REQUESTS = [
    lines("GET /a/b?c=d HTTP/1.1", "Host: a.example", "X-A: b", "Cookie: c=d", "Connection: keep-alive"),
    lines("POST /p HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello",
    lines("POST /p HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(b"he", b"llo", trailers=["X-T: u"]),
    lines("GET http://a.example:80/x HTTP/1.1", "Host: b", "TE: trailers", "Expect: 100-continue"),
]
REPLIES = [
    answer(b"hello", "X-A: b", "Connection: keep-alive"),
    lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"he", b"llo", trailers=["X-T: u"]),
    lines("HTTP/1.1 100 Continue") + lines("HTTP/1.1 103 Early Hints", "Link: </a>") + answer(b"x"),
    lines("HTTP/1.0 200 OK", "Server: x") + b"until close",
    lines("HTTP/1.1 204 No Content", "ETag: \"x\""),
]
SPICE = [b"\r", b"\n", b"\0", b" ", b"\t", b":", b",", b";", b"%", b"#", b"/", b"..", b"\x80", b"\xff", b"0", b"f" * 17,
         b"\r\n", b"\r\n\r\n", b"HTTP/1.1",
         b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Host: x\r\n", b"a" * 9000]


def damaged(rng, wire):
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, end = sorted((rng.randrange(len(wire) + 1), rng.randrange(len(wire) + 1)))
        end = min(end, at + 8)
        kind = rng.randrange(4)
        if kind == 0:
            wire = wire[:at] + rng.choice(SPICE) + wire[at:]
        elif kind == 1:
            wire = wire[:at] + wire[end:]
        elif kind == 2:
            wire = wire[:at] + bytes([rng.randrange(256)]) + wire[at + 1:]
        else:
            wire = wire[:end] + wire[at:]
    return wire


@pytest.mark.timeout(1800 if FULL else 120)
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_damaged_requests(hinge, backend, buffering):
    origin = backend()
    h = hinge.pooled(origin, f"proxy_request_buffering {buffering};")
    rng = random.Random(f"requests {buffering}")
    for _ in range(ROUNDS):
        wire = damaged(rng, rng.choice(REQUESTS))
        cut = rng.randrange(len(wire) + 1)
        with h.connect() as c:
            try:
                c.send_in_pieces(wire[:cut], wire[cut:]).half_close()
                while True:
                    c.response("HEAD" if wire.startswith(b"HEAD") else "GET")
            except (Ended, BrokenPipeError, ConnectionResetError):
                pass
            except (Malformed, socket.timeout) as e:
                raise AssertionError(f"{e!r} after {wire!r}, cut at {cut}") from None
    assert h.get("/honest").json()["target"] == "/honest"


@pytest.mark.timeout(1800 if FULL else 120)
@pytest.mark.parametrize("buffering", ["on", "off"])
def test_damaged_answers(hinge, backend, buffering):
    rng = random.Random(f"answers {buffering}")
    wires = [damaged(rng, rng.choice(REPLIES)) for _ in range(ROUNDS)]

    def script(conn):
        while req := conn.request():
            if req.target == "/honest":
                conn.send(answer(b"honest"))
            else:
                conn.send(wires[int(req.target[1:])])
                return

    h = hinge.pooled(backend(script), f"proxy_buffering {buffering}; proxy_read_timeout 2s;")
    for i, wire in enumerate(wires):
        try:
            assert h.ask(lines(f"GET /{i} HTTP/1.1", "Host: a", "Connection: close"))
        except (Ended, ConnectionResetError):
            pass
        except (Malformed, socket.timeout) as e:
            raise AssertionError(f"{e!r} after the backend sent {wire!r}") from None
    assert h.get("/honest").body == b"honest"
