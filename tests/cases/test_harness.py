"""The harness itself: what every other case leans on."""
import os
import signal

import pytest
from tools.backend import answers
from tools.shared import SharingStarter
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


class TestSharedServers:
    """tools/shared.py: what makes sharing safe."""

    @pytest.fixture
    def ask(self, pool):
        """ask(use): a case that gets a server for this text, and does `use` with it; gives the server."""
        def case(use=lambda h: None, text="location / { return 200 ok; }", **names):
            starter = SharingStarter(pool, "case")
            h = starter.server(text, **names)
            try:
                use(h)
            except ZeroDivisionError:
                starter.failed = True
            starter.finish()
            return h
        return case

    def test_the_same_configuration_is_the_same_server(self, ask):
        first = ask()
        assert ask(lambda h: h.get("/")) is first
        assert ask(text="location / { return 200 other; }") is not first
        assert ask(text="location / { return 200 %%word%%; }", word=1) is not ask(text="location / { return 200 %%word%%; }", word=2)

    @pytest.mark.parametrize("use", [lambda h: h.reload(), lambda h: h.write("x", "y"), lambda h: h.run("-s", "reload"), lambda h: h.allow("x"),
                                     lambda h: 1 / 0, lambda h: h.quit().wait()], ids=["reload", "write", "-s", "allow", "failed", "quit"])
    def test_it_ends_with_a_case_that_did_more_than_ask(self, ask, use):
        first = ask(use)
        assert first.exit_code == 0 and ask() is not first

    def test_it_is_not_shared_when_something_lasts(self, ask):
        names = {"access_log": "access_log a.log;"}
        assert ask(**names) is not ask(**names)

    def test_a_log_begins_with_the_case(self, ask):
        text = "location / { root %%dir%%; }"
        first = ask(lambda h: h.get("/nothing") and h.wait_log("nothing"), text)
        assert "nothing" in first.log
        assert ask(text=text) is first and first.log == ""

    def test_a_case_answers_for_what_its_server_writes(self, ask, pool):
        def alarm(h):
            with open(h.dir / "stderr", "a") as f:
                f.write("runtime error: made up\n")
        with pytest.raises(AssertionError, match="made up"):
            ask(alarm, "location / { return 200 alarm; }")

    def test_an_engine_that_dies_is_told(self, ask):
        def kill(h):
            os.kill(h.children()[0], signal.SIGKILL)
            h.wait_log("signal 9")
        with pytest.raises(AssertionError, match="signal 9"):
            ask(kill, "location / { return 200 killed; }")
