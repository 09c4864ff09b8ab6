"""HTTP/2 from clients: prior knowledge, requests and answers, bodies, flow control, the end of connections."""
import json
import signal
import struct
import subprocess
import time

import pytest

from tools import h2
from tools.h2 import H2, request
from tools.times import PATIENCE
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

SITE = """
    server {
        listen %%port%%;
        http2 on;
        %%server%%
        location / { proxy_pass http://%%origin%%; %%location%% }
        location /local { return 200 "$http2 $server_protocol $host $request $connection_requests"; }
        location /host { return 200 $host; }
        location /cookie { return 200 $http_cookie; }
        location /none { return 204; }
    }"""


@pytest.fixture
def site(hinge, backend):
    def start(script=None, server="", location="", **names):
        origin = backend(script) if script else backend()
        h = hinge.http(SITE, origin=origin, server=server, location=location, **names)
        h.origin = origin
        return h

    return start


def connect(h, **kwargs):
    return H2(h.address, **kwargs)


class TestPeers:
    def test_curl(self, site):
        h = site()
        url = f"http://127.0.0.1:{h.ports['port']}"
        out = subprocess.run(["curl", "-sS", "-m", "10", "--http2-prior-knowledge", "-w", "%{http_version} %{http_code}", "-o", "/dev/null", url],
                             capture_output=True, text=True)
        assert out.stdout == "2 200", out

    def test_http1_is_served_on_the_same_address(self, site):
        h = site()
        assert h.get("/local").body.startswith(b" HTTP/1.1")

    def test_h2load(self, site):
        h = site()
        out = subprocess.run(["h2load", "-n", "600", "-c", "3", "-m", "20", f"http://127.0.0.1:{h.ports['port']}/local"], capture_output=True,
                             text=True, timeout=PATIENCE)
        assert "600 succeeded, 0 failed" in out.stdout, out.stdout

    def test_nghttp_posts(self, site, tmp_path):
        h = site(server="client_max_body_size 10m;")
        body = tmp_path / "body"
        body.write_bytes(b"x" * 300000)
        out = subprocess.run(["nghttp", "-d", str(body), f"http://127.0.0.1:{h.ports['port']}/"], capture_output=True, text=True, timeout=PATIENCE)
        assert json.loads(out.stdout)["body_size"] == 300000 if "body_size" in out.stdout else out.stdout

    def test_off_is_off(self, hinge):
        h = hinge.server("return 200 x;")
        with H2(h.address) as c:
            assert c.read() is None or c.frames[0].kind not in (h2.SETTINGS,)


class TestRequests:
    def test_variables(self, site):
        with connect(site()) as c:
            assert c.get("/local?x").body == b"h2c HTTP/2.0 localhost GET /local?x HTTP/2.0 1"
            assert c.get("/local").body.endswith(b" 2")

    def test_crumbs_of_a_cookie_are_joined(self, site):
        with connect(site()) as c:
            assert c.get("/cookie", ("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")).body == b"a=b; c=d"

    def test_the_backend_gets_one_host(self, site):
        h = site(location="proxy_set_header Host $host;")
        with connect(h) as c:
            seen = c.get("/x", ("host", "localhost")).body
        assert seen.lower().count(b'"host"') <= 1

    def test_head_and_empty_answers(self, site):
        with connect(site()) as c:
            a = c.get("/local", method="HEAD")
            assert a.status == 200 and a.body == b"" and int(a["content-length"]) > 0
            a = c.get("/none")
            assert a.status == 204 and a.body == b""

    def test_body_with_and_without_length(self, site):
        with connect(site()) as c:
            assert c.get("/", ("content-length", "5"), method="POST", body=b"hello").status == 200
            assert c.get("/", method="POST", body=b"hello").status == 200

    def test_body_in_single_bytes(self, site):
        h = site(server="http2_max_control_frames 10000;")
        with connect(h) as c:
            s = c.headers(request("/", "POST"), end=False)
            for _ in range(500):
                c.data(s, b"z", end=False)
            c.data(s, b"", end=True)
            assert c.answer(s).status == 200
        assert h.origin.requests[-1].body == b"z" * 500

    @pytest.mark.parametrize("size", [300_000, 2_000_000], ids=["in memory", "in a file"])
    def test_body_that_is_gathered_and_larger_than_the_window(self, site, size, tmp_path):
        h = site(server="client_body_buffer_size 1m; client_max_body_size 0;")
        (tmp_path / "body").write_bytes(b"x" * size)
        out = subprocess.run(["curl", "-sS", "-m", "30", "--http2-prior-knowledge", "-T", tmp_path / "body", f"http://127.0.0.1:{h.ports['port']}/"],
                             capture_output=True, text=True)
        assert json.loads(out.stdout)["length"] == size, out

    def test_large_body_under_small_window(self, site):
        h = site(server="http2_body_preread_size 4k; client_max_body_size 1m;", location="proxy_request_buffering off;")
        with connect(h) as c:
            s = c.headers(request("/", "POST"), end=False)
            sent, window, total = 0, 65535, 200000
            c.until(lambda: any(f.kind == h2.SETTINGS for f in c.frames))
            window, used = 4096, 0
            while sent < total:
                n = min(window - used, total - sent, 1000)
                if n <= 0:
                    f = c.read()
                    assert f is not None
                    if f.kind == h2.WINDOW_UPDATE and f.stream == s:
                        window += struct.unpack(">I", f.payload)[0]
                    continue
                c.data(s, b"q" * n, end=sent + n == total)
                sent, used = sent + n, used + n
            assert c.answer(s).status == 200
        assert len(h.origin.requests[-1].body) == total

    def test_too_large_body(self, site):
        with connect(site(server="client_max_body_size 10;")) as c:
            assert c.get("/", ("content-length", "11"), method="POST", body=b"x" * 11).status == 413
            s = c.headers(request("/", "POST"), end=False)
            c.data(s, b"x" * 11, end=False)
            assert c.answer(s).status == 413
            assert c.get("/local").status == 200

    def test_expect_continue(self, site):
        with connect(site()) as c:
            s = c.headers(request("/", "POST", ("expect", "100-continue"), ("content-length", "2")), end=False)
            a = c.answers.setdefault(s, h2.Answer())
            c.until(lambda: a.interims)
            c.data(s, b"ok")
            assert a.interims[0][0] == 100 and c.answer(s).status == 200

    def test_request_trailers_are_dropped(self, site):
        h = site()
        with connect(h) as c:
            s = c.headers(request("/", "POST"), end=False)
            c.data(s, b"ok", end=False)
            c.headers([("x-t", "1")], stream=s)
            assert c.answer(s).status == 200

    def test_access_log(self, site):
        h = site(access_log="log_format l '$request|$status|$body_bytes_sent'; access_log access.log l;")
        with connect(h) as c:
            c.get("/host")
        assert h.wait_lines("access.log")[0] == "GET /host HTTP/2.0|200|9"


MALFORMED = {
    "upper-case name": request("/", "GET", ("X-Upper", "1")),
    "empty name": request("/", "GET", ("", "1")),
    "colon in name": request("/", "GET", ("x:y", "1")),
    "space in name": request("/", "GET", ("x y", "1")),
    "NUL in value": request("/", "GET", ("x", "a\0b")),
    "CR in value": request("/", "GET", ("x", "a\rb")),
    "LF in value": request("/", "GET", ("x", "a\nb")),
    "leading space": request("/", "GET", ("x", " a")),
    "trailing tab": request("/", "GET", ("x", "a\t")),
    "LF in path": request("/a\nb"),
    "space in path": request("/a b"),
    "path without slash": request("a"),
    "empty path": request(""),
    "asterisk for GET": request("*"),
    "space in method": request("/", "GE T"),
    "empty method": request("/", ""),
    "odd scheme": request("/", scheme="ftp"),
    "bad authority": request("/", authority="a b"),
    "userinfo": request("/", authority="u@localhost"),
    "connection": request("/", "GET", ("connection", "close")),
    "keep-alive": request("/", "GET", ("keep-alive", "1")),
    "proxy-connection": request("/", "GET", ("proxy-connection", "x")),
    "upgrade": request("/", "GET", ("upgrade", "h2c")),
    "transfer-encoding": request("/", "GET", ("transfer-encoding", "chunked")),
    "te: gzip": request("/", "GET", ("te", "gzip")),
    "host differs": request("/", "GET", ("host", "other")),
    "two hosts": request("/", "GET", ("host", "localhost"), ("host", "localhost")),
    "two lengths": request("/", "GET", ("content-length", "0"), ("content-length", "0")),
    "length without body": request("/", "GET", ("content-length", "5")),
    "negative length": request("/", "GET", ("content-length", "-1")),
    "unknown pseudo": [*request(), (":foo", "x")],
    "duplicate pseudo": [*request(), (":path", "/")],
    "late pseudo": [(":method", "GET"), ("x", "y"), (":scheme", "http"), (":path", "/"), (":authority", "localhost")],
    "response pseudo": [*request(), (":status", "200")],
    "no method": request()[1:],
    "no scheme": [f for f in request() if f[0] != ":scheme"],
    "no path": [f for f in request() if f[0] != ":path"],
    "no authority": [f for f in request() if f[0] != ":authority"],
    "above the root": request("/../x"),
    "broken escape": request("/%zz"),
    "connect with path": request("/", "CONNECT"),
}


class TestMalformed:
    @pytest.mark.parametrize("name", MALFORMED)
    def test_is_answered_by_400_and_reset(self, site, name):
        h = site()
        with connect(h) as c:
            s = c.headers(MALFORMED[name])
            a = c.answer(s)
            c.until(lambda: a.reset is not None)
            assert (a.status, a.reset) == (400, h2.PROTOCOL_ERROR)
            assert c.get("/local").status == 200  # the connection goes on
        assert not h.origin.requests

    @pytest.mark.parametrize("length, body", [("5", b"hell"), ("5", b"hello!")])
    def test_length_that_data_contradict(self, site, length, body):
        h = site()
        with connect(h) as c:
            s = c.headers(request("/", "POST", ("content-length", length)), end=False)
            c.data(s, body)
            a = c.answer(s)
            c.until(lambda: a.reset is not None)
            assert (a.status, a.reset) == (400, h2.PROTOCOL_ERROR)
            assert c.get("/local").status == 200
        assert not h.origin.requests

    def test_pseudo_field_in_trailers(self, site):
        with connect(site()) as c:
            s = c.headers(request("/", "POST"), end=False)
            c.data(s, b"ok", end=False)
            c.headers([(":path", "/")], stream=s)
            a = c.answer(s)
            c.until(lambda: a.reset is not None)
            assert (a.status, a.reset) == (400, h2.PROTOCOL_ERROR)

    def test_connect_is_refused(self, site):
        with connect(site()) as c:
            s = c.headers([(":method", "CONNECT"), (":authority", "localhost:80")])
            assert c.answer(s).status in (400, 405)

    @pytest.mark.parametrize("fields, status", [
        ([("x-%d" % i, "y") for i in range(200)], 431),
        ([("x", "y" * 9000)], 431),
        ([("x-%d" % i, "y" * 8000) for i in range(6)], 431),
        ([("y" * 200, "x")], 431),
        ([("expect", "something")], 417),
    ])
    def test_limits(self, site, fields, status):
        with connect(site()) as c:
            block = c.encoder.encode([*request(), *fields])
            c.frame(h2.HEADERS, h2.END_STREAM, 1, block[:16000])
            rest = block[16000:]
            while len(rest) > 16000:
                c.frame(h2.CONTINUATION, 0, 1, rest[:16000])
                rest = rest[16000:]
            c.frame(h2.CONTINUATION, h2.END_HEADERS, 1, rest)
            c.next = 3
            assert c.answer(1).status == status
            assert c.get("/local").status == 200


class TestAnswers:
    def test_large_answer_is_whole_and_obeys_windows(self, site):
        body = bytes(range(256)) * 4000

        h = site(lambda c: (c.request(), c.send(answer(body))))
        with connect(h) as c:
            a = c.get("/")
            assert a.body == body and all(len(f.payload) <= 8192 for f in c.frames if f.kind == h2.DATA)

    def test_streams_take_turns(self, site, tree):
        tree.file("a", b"a" * 400000)
        h = site(server=f"location /f/ {{ alias {tree}/; }}")
        with connect(h) as c:
            one, two = c.headers(request("/f/a")), c.headers(request("/f/a"))
            c.answer(one), c.answer(two)
            order = [f.stream for f in c.frames if f.kind == h2.DATA]
            assert order.index(two) < len(order) - 1 - order[::-1].index(one)
            assert c.answers[one].body == c.answers[two].body == b"a" * 400000

    def test_urgency_goes_first(self, site, tree):
        tree.file("a", b"a" * 300000)
        h = site(server=f"location /f/ {{ alias {tree}/; }}")
        with connect(h, window=0) as c:
            c.auto = False
            c.send(h2.settings(window=0))
            low, high = c.headers(request("/f/a", "GET", ("priority", "u=6"))), c.headers(request("/f/a", "GET", ("priority", "u=1")))
            c.ping()
            c.window(0, 2000000)
            c.send(h2.settings(window=400000))
            c.answer(low), c.answer(high)
            order = [f.stream for f in c.frames if f.kind == h2.DATA]
            assert order.count(high) and max(i for i, s in enumerate(order) if s == high) < max(i for i, s in enumerate(order) if s == low)

    def test_chunked_answer_and_trailers(self, site):
        raw = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-T") + b"2\r\nok\r\n0\r\nX-T: 1\r\n\r\n"
        h = site(lambda c: (c.request(), c.send(raw)), location="proxy_pass_trailers on;")
        with connect(h) as c:
            a = c.get("/", ("te", "trailers"))
            assert a.body == b"ok" and a.trailers == [("x-t", "1")]
            assert "transfer-encoding" not in dict(a.fields)

    def test_early_hints(self, site):
        raw = lines("HTTP/1.1 103 Early Hints", "Link: </x>") + lines("HTTP/1.1 200 OK", "Content-Length: 2") + b"ok"
        with connect(site(lambda c: (c.request(), c.send(raw)))) as c:
            a = c.get("/")
            assert a.interims == [(103, [("link", "</x>")])] and a.body == b"ok"

    def test_broken_answer_is_reset(self, site):
        raw = lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"part"
        with connect(site(lambda c: (c.request(), c.send(raw)))) as c:
            a = c.get("/")
            assert a.body == b"part" and not a.ended and a.reset == h2.INTERNAL_ERROR

    def test_early_answer_ends_the_request(self, site):
        with connect(site()) as c:
            s = c.headers(request("/host", "POST"), end=False)
            a = c.answer(s)
            c.until(lambda: a.reset is not None)
            assert (a.status, a.ended, a.reset) == (200, True, h2.NO_ERROR)


class TestConnections:
    def test_keepalive_requests(self, site):
        with connect(site(server="keepalive_requests 3;")) as c:
            for _ in range(3):
                assert c.get("/host").status == 200
            assert c.end() == h2.NO_ERROR
            assert [struct.unpack(">I", f.payload[:4])[0] for f in c.goaways] == [2**31 - 1, 5]

    def test_idle_connections_end(self, site):
        with connect(site(server="keepalive_timeout 1s;")) as c:
            c.get("/host")
            assert c.end() == h2.NO_ERROR

    def test_quit_lets_streams_finish(self, site):
        def slow(c):
            c.request()
            time.sleep(0.5)
            c.send(answer(b"late"))

        h = site(slow)
        with connect(h) as c:
            s = c.headers(request("/"))
            c.ping()
            h.quit()
            assert c.answer(s).body == b"late"
            assert c.end() == h2.NO_ERROR and len(c.goaways) == 2
        assert h.wait() == 0

    def test_reload_that_takes_the_listener_away(self, site):
        h = site()
        with connect(h) as c:
            assert c.get("/host").status == 200
            h.rewrite_http("server { listen %%port2%%; return 200 x; }", origin=h.origin)
            h.reload()
            h.wait_log("generation 2 serves")
            for _ in range(20):
                if c.goaways or c.get("/host").status != 200:
                    break
            assert c.end() == h2.NO_ERROR

    def test_reset_cancels_the_backend(self, site):
        def wait(c):
            c.request()
            c.wait_closed()
            gone.append(True)

        gone = []
        h = site(wait)
        with connect(h) as c:
            s = c.headers(request("/"))
            c.ping()
            time.sleep(0.2)
            c.reset(s)
            c.ping()
            end = time.monotonic() + PATIENCE
            while not gone and time.monotonic() < end:
                time.sleep(0.02)
            assert gone
            assert c.get("/host").status == 200


class TestDirectives:
    @pytest.mark.parametrize("line, text", [
        ("http2_recv_timeout 30s;", 'the "http2_recv_timeout" directive is obsolete, use the "client_header_timeout" directive instead'),
        ("http2_max_field_size 4k;", 'the "http2_max_field_size" directive is obsolete, use the "large_client_header_buffers" directive instead'),
        ("http2_idle_timeout 30s;", 'the "http2_idle_timeout" directive is obsolete, use the "keepalive_timeout" directive instead'),
        ("http2_max_header_size 4k;", 'the "http2_max_header_size" directive is obsolete, use the "large_client_header_buffers" directive instead'),
        ("http2_max_requests 10;", 'the "http2_max_requests" directive is obsolete, use the "keepalive_requests" directive instead'),
        ("http2_max_concurrent_pushes 1;", 'the "http2_max_concurrent_pushes" directive is obsolete, ignored'),
    ])
    def test_obsolete(self, hinge, line, text):
        h = hinge.prepare_http("server { listen %%port%%; " + line + " }")
        assert text in h.run("-t", check=0).stderr

    def test_listen_http2(self, hinge):
        h = hinge.http("server { listen %%port%% http2; return 200 $http2; }")
        assert 'the "listen ... http2" directive is deprecated' in h.read("stderr") + h.log
        with H2(h.address) as c:
            assert c.get("/").body == b"h2c"
