"""HTTP/2 to backends: few connections for many requests, what a backend refuses is sent again, what it breaks is an error."""
import socket
import struct
import subprocess
import threading

import pytest
from hpack import Decoder, Encoder

from tools import h2
from tools.h2 import frame
from tools.ports import free_port
from tools.times import PATIENCE, wait_until

pytestmark = pytest.mark.shared_servers


class Origin:
    """A backend at frame level. `on(conn, stream, fields)` is called for each request, in its connection's thread."""

    def __init__(self, on, greeting=h2.settings(), pongs=True):
        self.on, self.greeting, self.pongs, self.connections, self.requests = on, greeting, pongs, [], []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __str__(self):
        return "127.0.0.1:%d" % self.listener.getsockname()[1]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            conn = OriginConn(self, sock)
            self.connections.append(conn)
            threading.Thread(target=conn.run, daemon=True).start()

    def close(self):
        self.listener.close()
        for c in self.connections:
            c.sock.close()


class OriginConn:
    def __init__(self, origin, sock):
        self.origin, self.sock, self.buffer = origin, sock, b""
        self.encoder, self.decoder, self.frames = Encoder(), Decoder(), []
        self.ended = False

    def _take(self, n):
        while len(self.buffer) < n:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def run(self):
        try:
            assert self._take(24) == h2.PREFACE
            self.sock.sendall(self.origin.greeting)
            while True:
                head = self._take(9)
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                payload = self._take(int.from_bytes(head[:3], "big"))
                self.frames.append((kind, flags, stream, payload))
                if kind == h2.SETTINGS and not flags & h2.ACK:
                    self.sock.sendall(frame(h2.SETTINGS, h2.ACK))
                elif kind == h2.PING and self.origin.pongs:
                    self.sock.sendall(frame(h2.PING, h2.ACK, 0, payload))
                elif kind == h2.HEADERS:
                    fields = dict(self.decoder.decode(payload))
                    self.origin.requests.append(fields)
                    self.origin.on(self, stream, fields)
        except (EOFError, OSError):
            self.ended = True

    @property
    def pings(self):
        return [payload for kind, _, _, payload in self.frames if kind == h2.PING]

    def answer(self, stream, body=b"ok", *fields, status="200"):
        self.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS, stream, self.encoder.encode([(":status", status), *fields])) +
                          frame(h2.DATA, h2.END_STREAM, stream, body))


@pytest.fixture
def origin():
    started = []

    def start(on, **kwargs):
        started.append(Origin(on, **kwargs))
        return started[-1]

    yield start
    for o in started:
        o.close()


def proxy(hinge, origin, text=""):
    return hinge.http("upstream be { server %%origin%%; keepalive 8; } server { listen %%port%%; location / { "
                      "proxy_pass http://be; proxy_http_version 2; " + text + " } }", origin=origin)


class TestConnections:
    def test_requests_share_one(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s))
        h = proxy(hinge, o)
        for _ in range(5):
            assert h.get("/").body == b"ok"
        assert len(o.connections) == 1 and len(o.requests) == 5
        assert o.requests[0][":method"] == "GET" and o.requests[0][":scheme"] == "http" and o.requests[0][":authority"] == "be"

    def test_concurrent_requests_share_one(self, hinge, origin):
        waiting = []

        def collect(c, s, f):
            waiting.append(s)
            if len(waiting) == 4:
                for w in reversed(waiting):
                    c.answer(w, b"%d" % w)

        o = origin(collect)
        h = proxy(hinge, o)
        out = []
        threads = [threading.Thread(target=lambda: out.append(h.get("/").status)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(PATIENCE)
        assert out == [200] * 4 and len(o.connections) == 1

    def test_limit_of_streams_opens_another(self, hinge, origin):
        waiting = []

        def collect(c, s, f):
            if f[":path"] == "/first":
                c.answer(s)
                return
            waiting.append((c, s))
            if len(waiting) == 2:
                for conn, stream in waiting:
                    conn.answer(stream)

        o = origin(collect, greeting=h2.settings(streams=1))
        h = proxy(hinge, o)
        assert h.get("/first").status == 200
        out = []
        threads = [threading.Thread(target=lambda: out.append(h.get("/").status)) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(PATIENCE)
        assert out == [200, 200] and len(o.connections) == 2

    def test_nghttpd(self, hinge, tmp_path):
        (tmp_path / "f").write_bytes(b"f" * 200000)
        port = free_port()
        p = subprocess.Popen(["nghttpd", "--no-tls", "-d", str(tmp_path), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "nghttpd")
            h = proxy(hinge, f"127.0.0.1:{port}")
            assert h.get("/f").body == b"f" * 200000
            assert h.get("/none").status == 404
        finally:
            p.terminate()
            p.wait()


class TestRetries:
    def test_refused_stream_is_sent_again(self, hinge, origin):
        def refuse_once(c, s, f):
            if len(o.requests) == 1:
                c.sock.sendall(frame(h2.RST_STREAM, 0, s, struct.pack(">I", h2.REFUSED_STREAM)))
            else:
                c.answer(s)

        o = origin(refuse_once)
        h = hinge.http("upstream be { server %%origin%% max_fails=0; server 127.0.0.1:%%other%% max_fails=0 backup; } server { listen %%port%%; location / { "
                       "proxy_pass http://be; proxy_http_version 2; } }", origin=o, other=str(o).split(":")[1])
        assert h.post("/", b"body").status == 200

    def test_goaway_below_the_stream(self, hinge, origin):
        def leave_once(c, s, f):
            if len(o.connections) == 1 and s > 1:
                c.sock.sendall(frame(h2.GOAWAY, 0, 0, struct.pack(">II", 1, 0)))
            else:
                c.answer(s)

        o = origin(leave_once)
        h = proxy(hinge, o)
        assert h.get("/").status == 200
        assert h.post("/", b"body").status == 200
        assert len(o.connections) == 2


class TestHostile:
    @pytest.mark.parametrize("fields", [
        [("x", "y")],
        [(":status", "2000")],
        [(":status", "200"), (":status", "200")],
        [("x", "y"), (":status", "200")],
        [(":status", "200"), ("connection", "close")],
        [(":status", "200"), ("transfer-encoding", "chunked")],
        [(":status", "200"), ("X-Upper", "1")],
        [(":status", "200"), ("x", "a\r\nb")],
        [(":status", "200"), ("content-length", "1"), ("content-length", "1")],
        [(":status", "200"), ("content-length", "-1")],
        [(":status", "101")],
        [(":status", "200"), *[("x-%d" % i, "y" * 1000) for i in range(20)]],
    ])
    def test_malformed_head(self, hinge, origin, fields):
        def bad(c, s, f):
            c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS, s, c.encoder.encode(fields)) + frame(h2.DATA, h2.END_STREAM, s, b"ok"))

        assert proxy(hinge, origin(bad)).get("/").status == 502

    @pytest.mark.parametrize("raw", [
        b"HTTP/1.1 200 OK\r\n\r\n",
        frame(h2.SETTINGS, 0, 1, b""),
        frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, b"\0\0\0\2"),
        frame(h2.HEADERS, h2.END_HEADERS, 1, b"\xff\xff\xff\xff\xff"),
        frame(h2.DATA, 0, 0, b"x"),
        frame(h2.GOAWAY, 0, 0, struct.pack(">II", 0, 1)),
    ])
    def test_broken_connection(self, hinge, origin, raw):
        def bad(c, s, f):
            c.sock.sendall(raw)
            c.sock.shutdown(socket.SHUT_WR)

        assert proxy(hinge, origin(bad)).get("/").status == 502

    @pytest.mark.parametrize("length, body", [("5", b"four"), ("3", b"four")])
    def test_length_that_data_contradict(self, hinge, origin, length, body):
        h = proxy(hinge, origin(lambda c, s, f: c.answer(s, body, ("content-length", length))))
        h.allow("malformed message")
        with h.connect() as c:
            res = c.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").all_bytes()
        assert res.startswith(b"HTTP/1.1 502 ") or not res.endswith(b"four"), "it looks whole"


class TestSilence:
    def test_a_silent_connection_gets_no_more_requests(self, hinge, origin):
        def on(c, s, f):
            if c is not o.connections[0]:
                c.answer(s)

        o = origin(on)
        h = proxy(hinge, o, "proxy_read_timeout 1s; proxy_next_upstream off;")
        h.allow(r"upstream timed out")
        assert h.get("/").status == 504
        assert h.get("/").body == b"ok"
        assert len(o.connections) == 2


class TestIdlePing:
    def start(self, hinge, origin, every="200ms"):
        return hinge.http("upstream be { server %%origin%%; } server { listen %%port%%; location = /counters { counters; } location / { "
                          "proxy_pass http://be; proxy_http_version 2; " + f"proxy_http2_idle_ping {every}; }} }}", origin=origin)

    def test_a_backend_that_answers_is_kept(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s))
        h = self.start(hinge, o)
        assert h.get("/").body == b"ok"
        (c,) = o.connections
        wait_until(lambda: len(c.pings) >= 4, "PINGs")
        assert h.get("/").body == b"ok"
        assert len(o.connections) == 1 and not c.ended
        assert h.get("/counters").json()["upstream_silent"] == 0

    def test_one_that_does_not_is_closed_and_no_request_is_lost(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s), pongs=False)
        h = self.start(hinge, o)
        assert h.get("/").body == b"ok"
        wait_until(lambda: o.connections[0].ended, "the end of the silent one")
        assert len(o.connections[0].pings) == 1
        assert h.get("/counters").json()["upstream_silent"] == 1
        o.pongs = True
        assert h.post("/", b"not twice").body == b"ok"
        assert len(o.connections) == 2 and len(o.requests) == 2

    def test_until_it_answers_requests_take_another(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s), pongs=False)
        h = self.start(hinge, o, every="1s")
        assert h.get("/").body == b"ok"
        (first,) = o.connections
        wait_until(lambda: first.pings, "a PING")
        assert h.get("/").body == b"ok" and len(o.connections) == 2
        o.pongs = True
        first.sock.sendall(frame(h2.PING, h2.ACK, 0, first.pings[0]))
        wait_until(lambda: len(first.pings) > 1, "the next PING")
        for _ in range(3):
            assert h.get("/").body == b"ok"
        assert len(o.connections) == 2 and not any(c.ended for c in o.connections)

    def test_a_busy_backend_is_not_asked(self, hinge, origin):
        def slow(c, s, f):
            threading.Event().wait(1)
            c.answer(s)
        o = origin(slow, pongs=False)
        h = self.start(hinge, o)
        assert h.get("/").body == b"ok"
        asked = [kind for kind, *_ in o.connections[0].frames]
        assert h2.HEADERS in asked and h2.PING not in asked

    @pytest.mark.parametrize("every", ["0", "10s"])
    def test_none_is_sent_before_its_time(self, hinge, origin, every):
        o = origin(lambda c, s, f: c.answer(s))
        h = self.start(hinge, o, every)
        assert h.get("/").body == b"ok"
        threading.Event().wait(0.8)
        assert not o.connections[0].pings and h.get("/").body == b"ok" and len(o.connections) == 1

    def test_over_which_a_connection_still_ends_by_keepalive_timeout(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s))
        h = hinge.http("upstream be { server %%origin%%; keepalive_timeout 700ms; } server { listen %%port%%; location / { "
                       "proxy_pass http://be; proxy_http_version 2; proxy_http2_idle_ping 200ms; } }", origin=o)
        assert h.get("/").body == b"ok"
        (c,) = o.connections
        wait_until(lambda: c.ended, "its end")
        assert c.pings and [k for k, *_ in c.frames if k == h2.GOAWAY]


class TestHeads:
    """A head waits a moment for its body, and for no longer."""

    @pytest.mark.parametrize("text", ["", "gzip on; gzip_types *; gzip_min_length 1;"])
    def test_a_slow_body_keeps_no_head(self, hinge, origin, text):
        seen = threading.Event()

        def on(c, s, f):
            c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS, s, c.encoder.encode([(":status", "200"), ("content-length", "4")])))
            assert seen.wait(PATIENCE)
            c.sock.sendall(frame(h2.DATA, h2.END_STREAM, s, b"body"))

        h = proxy(hinge, origin(on), text)
        with socket.create_connection(("127.0.0.1", h.ports["port"]), PATIENCE) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while b"\r\n\r\n" not in got:
                got += c.recv(65536)
            assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(b"\r\n\r\n")
            seen.set()
            while chunk := c.recv(65536):
                got += chunk
        assert got.endswith(b"\r\n\r\nbody")

    def test_a_stream_that_breaks_behind_its_head(self, hinge, origin):
        def on(c, s, f):
            c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS, s, c.encoder.encode([(":status", "200"), ("content-length", "4")])))
            c.sock.sendall(frame(h2.RST_STREAM, 0, s, struct.pack(">I", 2)))

        h = proxy(hinge, origin(on))
        h.allow(r"upstream prematurely closed")
        with socket.create_connection(("127.0.0.1", h.ports["port"]), PATIENCE) as c:
            c.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while chunk := c.recv(65536):
                got += chunk
        assert not got.endswith(b"body") and (got.startswith(b"HTTP/1.1 502 ") or b"content-length: 4" in got.lower())


class TestOrderOfFrames:
    def test_data_before_the_head(self, hinge, origin):
        def on(c, s, f):
            if f[":path"] == "/ok":
                c.answer(s)
                return
            c.sock.sendall(frame(h2.DATA, 0, s, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil") +
                           frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, s, c.encoder.encode([(":status", "200"), ("content-length", "0")])))

        h = proxy(hinge, origin(on))
        h.allow(r"malformed message")
        assert h.get("/bad").status == 502
        assert h.get("/ok").body == b"ok"

    def test_headers_for_a_stream_that_nobody_opened(self, hinge, origin):
        def on(c, s, f):
            c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, s + 2, c.encoder.encode([(":status", "200")])))

        h = proxy(hinge, origin(on))
        h.allow("HTTP/2 connection error 1")
        assert h.get("/").status == 502
        h.wait_log("HEADERS for an idle stream")

    @pytest.mark.parametrize("many", ["fields", "trailers", "bytes"])
    def test_a_stream_that_says_too_much_is_alone(self, hinge, origin, many):
        """The others of the connection go on."""
        waiting = []

        def on(c, s, f):
            if f[":path"] == "/waits":
                waiting.append((c, s))
                return
            fields = [("x", "v" * 900)] * 20 if many == "bytes" else [(f"x{i % 7}", "v") for i in range(2000)]
            block = c.encoder.encode([(":status", "200")] + (fields if many != "trailers" else []))
            last = h2.END_STREAM if many != "trailers" else 0
            c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS | last, s, block))
            if many == "trailers":
                c.sock.sendall(frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, s, c.encoder.encode(fields)))
            for conn, stream in waiting:
                conn.answer(stream, b"served")

        o = origin(on)
        h = proxy(hinge, o, "proxy_pass_trailers on;")
        h.allow("too big|malformed")
        assert o.requests == []
        got = []
        t = threading.Thread(target=lambda: got.append(h.get("/waits")))
        t.start()
        wait_until(lambda: waiting, "the request that waits")
        if many != "trailers":
            assert h.get("/much").status == 502
        else:
            with h.connect() as c:
                c.send(b"GET /much HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n")
                c.all_bytes()
        t.join(PATIENCE)
        assert got and got[0].body == b"served" and len(o.connections) == 1


class TestFields:
    @pytest.mark.parametrize("value", ["trailers", "gzip", "gzip, trailers", ""])
    def test_te_is_said_by_us_alone(self, hinge, origin, value):
        o = origin(lambda c, s, f: c.answer(s))
        h = proxy(hinge, o, f"proxy_set_header TE '{value}'; proxy_pass_trailers on;")
        assert h.get("/").status == 200
        assert "te" not in o.requests[0]
        with h.connect() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers, gzip\r\nConnection: TE, close\r\n\r\n").all_bytes()
        assert o.requests[1]["te"] == "trailers"

    def test_what_belongs_to_a_connection(self, hinge, origin):
        o = origin(lambda c, s, f: c.answer(s))
        h = proxy(hinge, o, "proxy_set_header Keep-Alive 5; proxy_set_header Connection x; proxy_set_header Proxy-Connection x;")
        assert h.get("/").status == 200
        assert not {"keep-alive", "connection", "proxy-connection", "upgrade"} & set(o.requests[0])


def test_the_end_of_an_upload_needs_no_window(hinge, origin):
    """A backend may take the window of a stream below zero when all of an upload but its end has gone."""
    o = origin(lambda c, s, f: None)
    h = proxy(hinge, o, "proxy_request_buffering off;")

    def data():
        return [f for c in o.connections for f in c.frames if f[0] == h2.DATA]
    with h.connect() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2ee0\r\n" + b"x" * 12000 + b"\r\n")
        wait_until(lambda: sum(len(f[3]) for f in data()) == 12000, "the upload has come")
        conn = o.connections[0]
        conn.sock.sendall(h2.settings(window=0))
        wait_until(lambda: len([f for f in conn.frames if f[0] == h2.SETTINGS and f[1] & h2.ACK]) == 2, "the window is taken")
        c.send(b"0\r\n\r\n")
        wait_until(lambda: data()[-1][1] & h2.END_STREAM, "its end has come")
        assert data()[-1][3] == b"" and sum(len(f[3]) for f in data()) == 12000
        conn.answer(data()[-1][2])
        assert c.response("POST").status == 200
