"""What HTTP/2 writes to a client that reads slowly: whole frames in their order, within its windows, from little memory."""
import threading
import time

from tools import h2
from tools.backend import answers
from tools.h2 import H2, request
from tools.wire import answer, chunked, lines

WIDE = (1 << 31) - 1


def open_all(c):
    """All windows of streams at once: 0 until now."""
    c.send(h2.settings(window=1 << 20))


class TestOrder:
    def test_trailers_do_not_get_into_a_cut_frame(self, hinge, backend):
        body = b"t" * 3000
        origin = backend(answers(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(body, trailers=["X-Sum: 1"])))
        h = hinge.http("server { listen %%port%% sndbuf=4k; http2 on; location / { proxy_pass http://%%origin%%; proxy_pass_trailers on; } }",
                       origin=origin)
        with H2(h.address, window=0) as c:
            c.window(0, 1 << 24)
            streams = [c.headers(request("/", "GET", ("te", "trailers"))) for _ in range(24)]
            c.until(lambda: all(s in c.answers and c.answers[s].status for s in streams))
            time.sleep(0.3)
            c.auto = False
            open_all(c)
            time.sleep(0.3)
            for s in streams:
                a = c.answer(s)
                assert (a.body, a.trailers) == (body, [("x-sum", "1")])


class TestWindow:
    def test_a_file_and_another_answer_share_the_window_of_the_connection(self, hinge, backend, tree):
        tree.file("file", b"f" * 60000)
        h = hinge.http("server { listen %%port%%; http2 on; location / { proxy_pass http://%%origin%%; } location /file { root %%root%%; } }",
                       origin=backend(answers(answer(b"m" * 40000))), root=tree)
        for order in (("/file", "/mem"), ("/mem", "/file")):
            with H2(h.address, window=0) as c:
                c.auto = False
                streams = [c.headers(request(path)) for path in order]
                c.until(lambda: all(s in c.answers and c.answers[s].status for s in streams))
                time.sleep(0.2)
                open_all(c)
                c.ping()
                time.sleep(0.2)
                c.ping()
                assert sum(len(f.payload) for f in c.frames if f.kind == h2.DATA) == 65535


    def test_the_end_needs_no_window(self, hinge, backend):
        """SETTINGS may take the window of a stream below zero (RFC 9113 6.9.2); what is left to say then is that nothing follows."""
        more = threading.Event()

        def script(conn):
            while conn.request():
                conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"2ee0\r\n" + b"x" * 12000 + b"\r\n")
                more.wait(20)
                conn.send(b"0\r\n\r\n")
        h = hinge.http("server { listen %%port%%; http2 on; location / { proxy_pass http://%%origin%%; proxy_buffering off; } }", origin=backend(script))
        with H2(h.address) as c:
            c.auto = False
            s = c.headers(request("/"))
            c.until(lambda: s in c.answers and len(c.answers[s].body) == 12000)
            c.send(h2.settings(window=0))
            c.ping()
            more.set()
            a = c.answer(s)
            assert a.ended and a.body == b"x" * 12000
            assert [len(f.payload) for f in c.frames if f.kind == h2.DATA and f.flags & h2.END_STREAM] == [0]


class TestMemory:
    def test_a_long_file_for_a_slow_reader(self, hinge, tree):
        tree.file("file")
        with open(f"{tree}/file", "wb") as f:
            f.truncate(24 << 20)
        h = hinge.http("server { listen %%port%% sndbuf=32k; http2 on; location /file { root %%root%%; } location /ok { return 200 ok; } }", root=tree)
        with H2(h.address, window=WIDE) as c:
            c.auto = False
            assert c.get("/ok").status == 200
            c.window(0, WIDE - 65535)
            before = most = h.rss()
            c.headers(request("/file"))
            got = reads = 0
            while got < 24 << 20:
                got += len(c.sock.recv(65536))
                reads += 1
                most = max(most, h.rss()) if reads % 200 == 0 else most
                time.sleep(0.0005)
            assert max(most, h.rss()) - before < 12 << 20


class TestTime:
    def test_a_client_that_was_slow_once_may_rest_later(self, hinge, tree):
        tree.file("file", b"b" * 393216)
        h = hinge.http("server { listen %%port%% sndbuf=4k; http2 on; send_timeout 1s; location / { root %%root%%; } }", root=tree)
        with H2(h.address, window=1 << 24) as c:
            c.auto = False
            c.window(0, 1 << 24)
            s = c.headers(request("/file"))
            time.sleep(0.3)
            assert len(c.answer(s).body) == 393216
            time.sleep(1.6)
            assert c.get("/file").status == 200
