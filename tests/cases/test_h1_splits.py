"""Messages in pieces: no place where a message is cut into packets changes what it means. HINGE_TEST_FULL=1 tries every place."""
import pytest
from tools.backend import serve
from tools.times import FULL
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers

REQUESTS = {
    "get": (lines("GET /x?y=z HTTP/1.1", "Host: a", "X-A: b", "X-Empty:"), 0),
    "leading empty line": (b"\r\n" + lines("GET /x?y=z HTTP/1.1", "Host: a"), 0),
    "length": (lines("POST /x?y=z HTTP/1.1", "Host: a", "Content-Length: 11") + b"hello\r\n\r\n12", 11),
    "chunked": (lines("POST /x?y=z HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
                + b'5;a="b"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n', 15),
    "absolute": (lines("GET http://a.example:8080/x?y=z HTTP/1.1", "Host: a"), 0),
}
REPLIES = {
    "length": (answer(b"hello", "X-A: b"), False),
    "chunked": (lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "X-A: b") + chunked(b"he", b"llo", trailers=["X-T: 1"]), False),
    "until close": (lines("HTTP/1.1 200 OK", "X-A: b") + b"hello", True),
    "interim first": (lines("HTTP/1.1 103 Early Hints", "Link: </a>") + answer(b"hello", "X-A: b"), False),
}


def places(wire):
    """Where to cut: everywhere in the long run, else every third place and all around line ends."""
    return [i for i in range(1, len(wire)) if FULL or i % 3 == 0 or b"\r" in wire[i - 2:i + 2]]


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("wire, length", REQUESTS.values(), ids=REQUESTS)
def test_a_request_cut_anywhere_is_the_same_request(hinge, backend, wire, length, buffering):
    origin = backend()
    h = hinge.pooled(origin, f"proxy_request_buffering {buffering};")
    with h.connect() as c:
        for cut in places(wire):
            seen = c.send_in_pieces(wire[:cut], wire[cut:]).response().json()
            assert (seen["target"], seen["length"]) == ("/x?y=z", length), f"cut at {cut}"


@pytest.mark.parametrize("wire, length", REQUESTS.values(), ids=REQUESTS)
def test_a_request_byte_by_byte_is_the_same_request(hinge, backend, wire, length):
    h = hinge.pooled(backend())
    with h.connect() as c:
        seen = c.drip(wire).response().json()
        assert (seen["target"], seen["length"]) == ("/x?y=z", length)


@pytest.mark.parametrize("wire, length", REQUESTS.values(), ids=REQUESTS)
def test_a_request_cut_behind_another_is_the_same_request(hinge, backend, wire, length):
    h = hinge.pooled(backend())
    first = lines("GET /first HTTP/1.1", "Host: a")
    with h.connect() as c:
        for cut in places(wire)[::4]:
            c.send_in_pieces(first + wire[:cut], wire[cut:])
            assert c.response().json()["target"] == "/first"
            assert c.response().json()["length"] == length


@pytest.mark.parametrize("wire, until_close", REPLIES.values(), ids=REPLIES)
def test_an_answer_cut_anywhere_is_the_same_answer(hinge, backend, wire, until_close):
    cuts = places(wire)

    def script(conn):
        while req := conn.request():
            cut = cuts[int(req.target[1:])]
            conn.send(wire[:cut], wire[cut:])
            if until_close:
                return

    h = hinge.pooled(backend(script))
    with h.connect() as c:
        for i, cut in enumerate(cuts):
            res = c.ask(lines(f"GET /{i} HTTP/1.1", "Host: a"))
            assert (res.status, res["X-A"], res.body) == (200, "b", b"hello"), f"cut at {cut}"


@pytest.mark.parametrize("buffering", ["on", "off"])
@pytest.mark.parametrize("wire, until_close", REPLIES.values(), ids=REPLIES)
def test_an_answer_byte_by_byte_is_the_same_answer(hinge, backend, wire, until_close, buffering):
    def script(conn):
        while conn.request():
            conn.drip(wire)
            if until_close:
                return

    h = hinge.pooled(backend(script), f"proxy_buffering {buffering};")
    with h.connect() as c:
        for _ in range(2):
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).body == b"hello"


def test_head_and_body_and_next_head_in_every_grouping(hinge, backend):
    h = hinge.pooled(backend())
    head, body = lines("POST /one HTTP/1.1", "Host: a", "Content-Length: 3"), b"abc"
    after = lines("GET /two HTTP/1.1", "Host: a")
    for pieces in ([head + body + after], [head, body + after], [head + body, after], [head, body, after],
                   [head + body[:1], body[1:] + after], [head + body + after[:1], after[1:]]):
        with h.connect() as c:
            c.send_in_pieces(*pieces)
            assert c.response().json()["length"] == 3
            assert c.response().json()["target"] == "/two"


def test_large_answers_come_whole_in_any_chunking(hinge, backend):
    whole = bytes(range(256)) * 1024

    def handler(req):
        n = int(req.target[1:])
        return lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(*(whole[i:i + n] for i in range(0, len(whole), n)))

    h = hinge.pooled(backend(serve(handler)))
    with h.connect() as c:
        for n in (37, 1000, 4096, 16384, 65536, len(whole)):
            assert c.ask(lines(f"GET /{n} HTTP/1.1", "Host: a")).body == whole
