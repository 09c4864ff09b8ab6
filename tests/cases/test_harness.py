"""The harness itself: what every other case leans on."""
from tools.backend import answers
from tools.wire import answer, chunked, lines


def test_the_echo_says_what_it_saw(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin)
    seen = h.post("/hello?x=1", b"body", "X-Test: a").json()
    assert (seen["method"], seen["target"], seen["length"]) == ("POST", "/hello?x=1", 4)
    assert ["X-Test", "a"] in seen["headers"]
    assert origin.targets == ["/hello?x=1"]


def test_answers_are_read_strictly_and_in_order(hinge, backend):
    origin = backend(answers(answer("one"), lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"tw", b"o")))
    h = hinge.pooled(origin)
    with h.connect() as c:
        get = lines("GET / HTTP/1.1", "Host: a")
        assert [c.ask(get).body, c.ask(get).body] == [b"one", b"two"]
    assert len(origin.connections) == 1
