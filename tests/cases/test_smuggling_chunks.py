"""Chunked request bodies that could mean two things (T).

Buffered (the default), the backend sees nothing of such a request. Streamed, it may see the beginning, but never a complete message.
"""
import pytest
from tools.verdict import SMUGGLED, assert_forwarded, assert_refused
from tools.wire import chunked, lines

pytestmark = pytest.mark.shared_servers

HEAD = lines("POST /victim HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
LAST = b"0\r\n\r\n"

REFUSED = {
    "T1 LF behind the size": b"3\nabc\r\n" + LAST,
    "T1 LF behind the data": b"3\r\nabc\n" + LAST,
    "T1 LF behind the last size": b"3\r\nabc\r\n0\n\r\n",
    "T1 LF ends the message": b"3\r\nabc\r\n0\r\n\n",
    "T2 CR alone behind the size": b"3\rabc\r\n" + LAST,
    "T2 CR alone behind the data": b"3\r\nabc\r" + LAST,
    "T2 CR and another byte": b"3\r\rabc\r\n" + LAST,
    "T3 0x": b"0x3\r\nabc\r\n" + LAST,
    "T3 plus": b"+3\r\nabc\r\n" + LAST,
    "T3 minus": b"-0\r\n\r\n" + LAST,
    "T3 underscore": b"3_\r\nabc\r\n" + LAST,
    "T3 leading space": b" 3\r\nabc\r\n" + LAST,
    "T3 seventeen digits": b"0" * 16 + b"3\r\nabc\r\n" + LAST,
    "T3 2^64": b"10000000000000000\r\nabc\r\n" + LAST,
    "T3 no digit": b"\r\nabc\r\n" + LAST,
    "T3 no hexadecimal digit": b"g\r\nabc\r\n" + LAST,
    "T4 space behind the size": b"3 \r\nabc\r\n" + LAST,
    "T4 tab behind the size": b"3\t\r\nabc\r\n" + LAST,
    "T4 space behind the last size": b"3\r\nabc\r\n0 \r\n\r\n",
    "T5 LF in the extension": b"3;\nabc\r\n" + LAST,
    "T5 LF inside the extension": b"3;a=b\nc\r\nabc\r\n" + LAST,
    "T5 CR in the extension": b"3;a\rb\r\nabc\r\n" + LAST,
    "T5 NUL in the extension": b"3;a\0b\r\nabc\r\n" + LAST,
    "T5 control in the extension": b"3;a\x01b\r\nabc\r\n" + LAST,
    "T5 extension without a name": b"3;\r\nabc\r\n" + LAST,
    "T5 extension with an empty name": b"3;=b\r\nabc\r\n" + LAST,
    "T5 second extension without a name": b"3;a;\r\nabc\r\n" + LAST,
    "T6 data longer than its size": b"3\r\nabcdef\r\n" + LAST,
    "T6 no CRLF behind the data": b"3\r\nabc" + LAST,
    "T6 two other bytes behind the data": b"3\r\nabcXX" + LAST,
    "T7 line over 256 bytes": b"3;" + b"a" * 300 + b"\r\nabc\r\n" + LAST,
    "T7 sixteen times more framing than data": (b"1;" + b"a" * 100 + b"\r\nx\r\n") * 1000 + LAST,
    "T9 LF in the trailers": b"3\r\nabc\r\n0\r\nX-A: b\n\r\n",
    "T9 folded trailer": b"3\r\nabc\r\n0\r\nX-A: b\r\n c\r\n\r\n",
    "T9 trailer without a colon": b"3\r\nabc\r\n0\r\nX-A\r\n\r\n",
    "T9 NUL in a trailer": b"3\r\nabc\r\n0\r\nX-A: \0\r\n\r\n",
    "T9 trailers larger than a head may be": b"3\r\nabc\r\n0\r\n" + b"X-A: bcdefghijklm\r\n" * 10000 + b"\r\n",
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_chunked_body_is_refused_and_never_forwarded(hinge, backend, body):
    origin = backend()
    assert_refused(hinge.pooled(origin), origin, HEAD + body + SMUGGLED, (400, 431))


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_streamed_it_never_becomes_a_complete_message(hinge, backend, body):
    origin = backend()
    h = hinge.pooled(origin, "proxy_request_buffering off;")
    with h.connect() as c:
        c.send(HEAD)
        c.send_as_far_as_it_goes(body + SMUGGLED)
        res = c.response()
        assert res.status in (400, 431), f"{res.status} {res.text}"
        c.assert_closed()
    assert h.get("/honest").status == 200
    assert origin.targets == ["/honest"]


def test_t3_a_chunk_larger_than_all_memory_is_refused(hinge, backend):
    origin = backend()
    assert_refused(hinge.pooled(origin), origin, HEAD + b"ffffffffffffffff\r\nabc\r\n" + LAST + SMUGGLED, (400, 413))


def test_t7_many_small_chunks_are_no_offence(hinge, backend):
    origin = backend()
    body = bytes(i & 0xff for i in range(20000))
    assert_forwarded(hinge.pooled(origin), origin, HEAD + chunked(*(body[i:i + 1] for i in range(len(body)))), body)


@pytest.mark.parametrize("size", [b"3", b"003", b"0000000000000003", b"3;a", b"3;a=b", b'3;a="b c"', b"3;a=b;c"])
def test_legal_size_lines_are_accepted(hinge, backend, size):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, HEAD + size + b"\r\nabc\r\n" + LAST, b"abc")


def test_extensions_are_not_forwarded(hinge, backend):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, HEAD + b"3;secret=1\r\nabc\r\n" + LAST, b"abc")
    assert b"secret" not in origin.received


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_t8_trailers_are_dropped(hinge, backend, buffering):
    origin = backend()
    trailers = ["Content-Length: 50", "Host: evil", "Authorization: Basic eA==", "Transfer-Encoding: chunked", "Cookie: a=b", "X-Mine: c"]
    wire = lines("POST /victim HTTP/1.1", "Host: a", "TE: trailers", "Transfer-Encoding: chunked") + chunked(b"abc", trailers=trailers)
    seen = assert_forwarded(hinge.pooled(origin, f"proxy_request_buffering {buffering};"), origin, wire, b"abc")
    assert seen.trailers.pairs == []
    assert b"evil" not in origin.received and b"X-Mine" not in origin.received
