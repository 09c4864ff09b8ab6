"""HTTP/2 under attack (rows A1 to A14): each flood ends the connection that it comes by, and nobody else notices."""
import struct
import time

import pytest

from tools import h2
from tools.h2 import H2, frame, request
from tools.times import PATIENCE

pytestmark = pytest.mark.shared_servers

CALM = h2.ENHANCE_YOUR_CALM


@pytest.fixture
def site(hinge, backend):
    def start(server="", location="", script=None):
        origin = backend(script) if script else backend()
        h = hinge.http("server { listen %%port%%; http2 on; " + server + """
            location / { proxy_pass http://%%origin%%; """ + location + """ }
            location /local { return 200 ok; } }""", origin=origin)
        h.origin = origin
        return h

    return start


def still_serves(h):
    with H2(h.address) as good:
        assert good.get("/local").body == b"ok"


def hang(c):
    c.request()
    c.hang()


class TestResets:
    def test_rapid_reset(self, site):
        h = site(script=hang)
        with H2(h.address) as c:
            for _ in range(300):
                c.reset(c.headers(request("/")))
            assert c.end() == CALM
        still_serves(h)
        assert len(h.origin.requests) <= 128

    def test_resets_of_old_streams_are_free(self, site):
        h = site(server="http2_max_resets 2;", script=hang)
        with H2(h.address) as c:
            streams = [c.headers(request("/")) for _ in range(5)]
            c.ping()
            time.sleep(1.2)
            for s in streams:
                c.reset(s)
            c.ping()
            assert c.get("/local").status == 200

    @pytest.mark.parametrize("provoke", ["zero window", "window overflow", "priority length", "self dependency", "data after end"])
    def test_made_you_reset(self, site, provoke):
        h = site(server="http2_max_resets 20;", script=hang)
        with H2(h.address) as c:
            for _ in range(40):
                s = c.headers(request("/"))
                if provoke == "zero window":
                    c.window(s, 0)
                elif provoke == "window overflow":
                    c.window(s, 2**31 - 1)
                elif provoke == "priority length":
                    c.frame(h2.PRIORITY, 0, s, b"1234")
                elif provoke == "self dependency":
                    c.frame(h2.PRIORITY, 0, s, struct.pack(">IB", s, 1))
                else:
                    c.data(s, b"x")
            assert c.end() == CALM
            assert all(a.reset is not None for s, a in list(c.answers.items())[:10])
        still_serves(h)

    @pytest.mark.parametrize("payload, code", [(b"1234", h2.FRAME_SIZE_ERROR), (struct.pack(">IB", 5, 1), h2.PROTOCOL_ERROR)])
    def test_a_broken_priority_of_an_idle_stream(self, site, payload, code):
        """RST_STREAM must not be sent for a stream that nobody has opened (RFC 9113 6.4): the connection ends."""
        h = site()
        with H2(h.address) as c:
            assert c.get("/local").status == 200
            c.frame(h2.PRIORITY, 0, 5, payload)
            assert c.end() == code
            assert not [f for f in c.frames if f.kind == h2.RST_STREAM]
        still_serves(h)

    def test_refused_streams_count(self, site):
        h = site(server="http2_max_concurrent_streams 2; http2_max_resets 5;", script=hang)
        with H2(h.address) as c:
            for _ in range(12):
                c.headers(request("/"))
            assert c.end() == CALM
            assert [a.reset for s, a in sorted(c.answers.items())][:1] == [h2.REFUSED_STREAM] or c.answers[5].reset == h2.REFUSED_STREAM


class TestFloods:
    @pytest.mark.parametrize("what", [
        frame(h2.PING, 0, 0, b"12345678"),
        frame(h2.SETTINGS),
        frame(h2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
        frame(h2.PRIORITY, 0, 9, struct.pack(">IB", 0, 1)),
        frame(h2.PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=1"),
        frame(77, 0, 0, b"unknown"),
    ])
    def test_control_frames(self, site, what):
        h = site(server="http2_max_control_frames 50;")
        with H2(h.address) as c:
            c.send(what * 200)
            assert c.end() == CALM
        still_serves(h)

    def test_empty_data(self, site):
        h = site(server="http2_max_control_frames 50;")
        with H2(h.address) as c:
            s = c.headers(request("/", "POST"), end=False)
            c.send(frame(h2.DATA, 0, s) * 200)
            assert c.end() == CALM
        still_serves(h)

    def test_data_of_padding_alone(self, site):
        h = site(server="http2_max_control_frames 50;")
        with H2(h.address) as c:
            s = c.headers(request("/", "POST"), end=False)
            c.send(frame(h2.DATA, h2.PADDED, s, b"\xff" + bytes(255)) * 200)
            assert c.end() == CALM
        still_serves(h)

    def test_trailers_of_streams_that_are_over(self, site):
        h = site(server="http2_max_control_frames 50;")
        with H2(h.address) as c:
            s = c.headers(request("/local", "POST", ("content-length", "9")), end=False)
            assert c.answer(s).status == 200
            for _ in range(200):
                c.headers([("x", "y")], stream=s)
            assert c.end() == CALM
        still_serves(h)

    def test_many_uploads_that_are_answered_early(self, site):
        """What is still on its way for all of them is nobody's fault."""
        h = site(server="http2_max_resets 1000000; client_max_body_size 10;")
        with H2(h.address) as c:
            c.ping()
            streams = [c.headers(request("/", "POST"), end=False) for _ in range(100)]
            for s in streams:
                c.data(s, b"x" * 100, end=False)
            c.ping()
            assert {c.answer(s).status for s in streams} == {413}
            for s in streams:
                c.data(s, b"y" * 100, end=False)
                c.headers([("trailer", "1")], stream=s)
            c.ping()
            assert not c.goaways and c.get("/local").status == 200

    def test_settings_of_many_entries(self, site):
        h = site()
        with H2(h.address) as c:
            c.frame(h2.SETTINGS, 0, 0, struct.pack(">HI", 3, 100) * 1000)
            assert c.end() == CALM

    def test_replies_that_nobody_reads(self, site):
        h = site(server="http2_max_control_frames 1000000;")
        with H2(h.address) as c:
            c.sock.settimeout(0.5)
            try:
                for _ in range(200):
                    c.sock.sendall(frame(h2.PING, 0, 0, b"12345678") * 2000)
            except OSError:
                pass
            assert h.rss() < 200 << 20
            still_serves(h)

    def test_continuation_flood(self, site):
        h = site()
        with H2(h.address) as c:
            c.frame(h2.HEADERS, 0, 1, c.encoder.encode(request()))
            c.send(frame(h2.CONTINUATION, 0, 1, b"") * 50)
            assert c.end() == CALM
        still_serves(h)

    def test_large_header_block(self, site):
        h = site()
        with H2(h.address) as c:
            block = c.encoder.encode([*request(), *[("x-%d" % i, "~" * 9000) for i in range(20)]])
            c.frame(h2.HEADERS, 0, 1, block[:16384])
            for i in range(1, 8):
                c.frame(h2.CONTINUATION, 0, 1, block[i * 16384:(i + 1) * 16384])
            assert c.end() == CALM
        still_serves(h)

    def test_header_block_that_does_not_end(self, site):
        h = site(server="client_header_timeout 1s;")
        with H2(h.address) as c:
            c.auto = False  # an acknowledgement in the middle of the block would be an error of its own
            c.frame(h2.HEADERS, 0, 1, c.encoder.encode(request()))
            assert c.end() == CALM


class TestHpack:
    def bomb(self, c, repeats):
        """One large field in the table, then a byte for each repetition."""
        return c.encoder.encode([*request("/local"), ("x-big", "v" * 3900)]) + b"\xbe" * repeats

    def test_bomb(self, site):
        h = site()
        with H2(h.address) as c:
            c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, self.bomb(c, 4000))
            assert c.end() == CALM
        still_serves(h)

    def test_header_memory_of_a_connection(self, site):
        h = site(server="http2_header_memory 64k;", script=hang)
        with H2(h.address) as c:
            for _ in range(10):
                c.headers(request("/", "GET", ("x", "v" * 7500)))
            c.ping()
            resets = [a.reset for a in c.answers.values()]
            assert resets.count(h2.REFUSED_STREAM) >= 2

    def test_many_crumbs(self, site):
        h = site(script=hang)
        with H2(h.address) as c:
            s = c.headers([*request(), *[("cookie", "a")] * 300])
            assert c.answer(s).status == 431

    def test_garbage(self, site):
        with H2(site().address) as c:
            c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff")
            assert c.end() == h2.COMPRESSION_ERROR

    def test_table_update_beyond_ours(self, site):
        with H2(site().address) as c:
            c.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\x3f\xe2\x1f" + c.encoder.encode(request()))
            assert c.end() == h2.COMPRESSION_ERROR


class TestSlowReaders:
    def test_window_that_stays_shut(self, site, tree):
        tree.file("a", b"a" * 100000)
        h = site(server=f"send_timeout 1s; location /f/ {{ alias {tree}/; }}")
        with H2(h.address, window=0) as c:
            s = c.headers(request("/f/a"))
            a = c.answer(s)
            assert a.status == 200 and a.body == b"" and a.reset == h2.CANCEL
            assert c.get("/none-such").status  # the connection lives

    def test_window_in_drops(self, site, tree):
        tree.file("a", b"a" * 100000)
        h = site(server=f"send_timeout 1s; location /f/ {{ alias {tree}/; }}")
        with H2(h.address, window=1) as c:
            c.auto = False
            s = c.headers(request("/f/a"))
            a = c.answers.setdefault(s, h2.Answer())
            end = time.monotonic() + PATIENCE
            c.sock.settimeout(0.2)
            while a.reset is None and time.monotonic() < end:
                c.window(s, 1)
                time.sleep(0.02)
                try:
                    c.read()
                except TimeoutError:
                    pass
            assert a.reset == h2.CANCEL and len(a.body) < 1024

    def test_backend_waits_for_a_slow_reader(self, site):
        sent = []

        def flood(c):
            c.request()
            c.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            try:
                for _ in range(100):
                    c.sock.sendall(b"x" * 1000000)
                    sent.append(1)
            except OSError:
                pass

        h = site(script=flood)
        with H2(h.address, window=0) as c:
            c.headers(request("/"))
            c.ping()
            time.sleep(0.5)
            assert len(sent) < 20 and h.rss() < 100 << 20


class TestStreamNumbers:
    @pytest.mark.parametrize("send, code", [
        (lambda c: c.headers(request(), stream=2), h2.PROTOCOL_ERROR),
        (lambda c: c.data(5, b"x"), h2.PROTOCOL_ERROR),
        (lambda c: c.reset(5), h2.PROTOCOL_ERROR),
        (lambda c: c.window(5, 1), h2.PROTOCOL_ERROR),
        (lambda c: c.window(0, 0), h2.PROTOCOL_ERROR),
        (lambda c: c.window(0, 2**31 - 1), h2.FLOW_CONTROL_ERROR),
        (lambda c: c.frame(h2.DATA, 0, 0, b"x"), h2.PROTOCOL_ERROR),
        (lambda c: c.frame(h2.PUSH_PROMISE, h2.END_HEADERS, 1, b"\0\0\0\2"), h2.PROTOCOL_ERROR),
        (lambda c: c.frame(h2.CONTINUATION, 0, 1, b"x"), h2.PROTOCOL_ERROR),
        (lambda c: c.frame(h2.PING, 0, 0, b"123"), h2.FRAME_SIZE_ERROR),
        (lambda c: c.frame(h2.DATA, 0, 1, b"x" * 16385), h2.FRAME_SIZE_ERROR),
        (lambda c: c.send(h2.settings(window=2**31)), h2.FLOW_CONTROL_ERROR),
        (lambda c: c.send(h2.settings(frame=1)), h2.PROTOCOL_ERROR),
        (lambda c: c.send(h2.settings(push=2)), h2.PROTOCOL_ERROR),
    ])
    def test_connection_errors(self, site, send, code):
        h = site()
        with H2(h.address) as c:
            send(c)
            assert c.end() == code
        still_serves(h)

    def test_number_that_was_passed_over(self, site):
        with H2(site().address) as c:
            c.headers(request("/local"), stream=9)
            c.answer(9)
            c.headers(request("/local"), stream=7)
            assert c.end() in (h2.STREAM_CLOSED, h2.PROTOCOL_ERROR)

    def test_jump_to_the_highest_number(self, site):
        with H2(site().address) as c:
            c.headers(request("/local"), stream=2**31 - 1)
            assert c.answer(2**31 - 1).status == 200

    def test_window_of_a_stream_exceeded(self, site):
        h = site(server="http2_body_preread_size 1k; client_body_buffer_size 1k;", script=hang)
        with H2(h.address) as c:
            c.send(frame(h2.HEADERS, 4, 1, c.encoder.encode(request("/", "POST"))) + frame(h2.DATA, 0, 1, b"x" * 2000))  # before the window grows
            assert c.answer(1).reset == h2.FLOW_CONTROL_ERROR

    def test_no_preface(self, site):
        h = site()
        with H2(h.address, greet=False) as c:
            c.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            assert c.end() == h2.PROTOCOL_ERROR

    def test_preface_in_single_bytes(self, site):
        h = site()
        with H2(h.address, greet=False) as c:
            for b in h2.PREFACE + h2.settings() + frame(h2.HEADERS, 5, 1, c.encoder.encode(request("/local"))):
                c.send(bytes([b]))
            assert c.answer(1).body == b"ok"

    def test_first_frame_is_no_settings(self, site):
        with H2(site().address, greet=False) as c:
            c.send(h2.PREFACE + frame(h2.PING, 0, 0, b"12345678"))
            assert c.end() == h2.PROTOCOL_ERROR
