"""The core list over every pair of protocols: what a client speaks times what its backend speaks.

A further protocol is one more line in CLIENTS or BACKENDS. The backend that is judged is always the same script; one that speaks
something else than HTTP/1 stands behind a second hinge, which turns that into HTTP/1 for it.
"""
import subprocess

import pytest

from tools.times import PATIENCE
from tools.wire import answer, lines

CERT = "ssl_certificate cert.pem; ssl_certificate_key key.pem;"
CLIENTS = {  # what the listener says, the server, curl, and the scheme
    "h1": ("", "", ["--http1.1"], "http"),
    "h2": ("", "http2 on;", ["--http2-prior-knowledge"], "http"),
    "h1tls": ("ssl", CERT, ["--http1.1", "-k"], "https"),
    "h2tls": ("ssl", CERT + "http2 on;", ["--http2", "-k"], "https"),
}
BACKENDS = {"h1": "", "h2": "proxy_http_version 2;"}


def certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj",
                    "/CN=localhost", "-keyout", directory / "key.pem", "-out", directory / "cert.pem"], check=True, capture_output=True)


class Pair:
    def __init__(self, hinge, backend, client, back):
        self.starter, self.start_backend, self.client, self.back = hinge, backend, client, back

    def __call__(self, script=None, location="", server=""):
        self.origin = to = self.start_backend(script) if script else self.start_backend()
        if self.back != "h1":
            second = self.starter.http("server { listen %%port%%; http2 on; client_max_body_size 100m; location / { proxy_request_buffering off; "
                                       "proxy_pass_trailers on; proxy_pass http://%%origin%%; proxy_set_header Host $host; } }", origin=to)
            to = "127.0.0.1:%d" % second.ports["port"]
        listen, own, _, _ = CLIENTS[self.client]
        self.h = self.starter.prepare_http("server { listen %%port%% " + listen + "; " + own + server + " location / { proxy_pass http://%%to%%; "
                                   "proxy_set_header Host $host; " + BACKENDS[self.back] + location + " } }", to=to,
                                   access_log="log_format l '$request_method|$status|$body_bytes_sent|$upstream_status'; access_log access.log l;")
        if listen:
            certificate(self.h.dir)
        self.h.start()
        return self

    def curl(self, target="/", *args, data=None):
        """(status, head, body) of one answer."""
        out = subprocess.run(["curl", "-sS", "-i", "-m", str(int(PATIENCE)), *CLIENTS[self.client][2], *args,
                              *(["--data-binary", "@-"] if data is not None else []), f"{CLIENTS[self.client][3]}://127.0.0.1:{self.h.ports['port']}{target}"],
                             input=data, capture_output=True)
        self.code = out.returncode
        head, _, body = out.stdout.partition(b"\r\n\r\n")
        while head[:13].split(b" ")[1:2] and head.split(b" ")[1].startswith(b"1"):
            head, _, body = body.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]) if head else 0, head.lower(), body


@pytest.fixture(params=[(c, b) for c in CLIENTS for b in BACKENDS], ids=lambda p: "-".join(p))
def pair(request, hinge, backend):
    return Pair(hinge, backend, *request.param)


def serve(*parts):
    def script(c):
        while c.request():
            c.send(*parts)
    return script


class TestRequests:
    @pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND", "X-OWN"])
    def test_method_and_target(self, pair, method):
        p = pair()
        assert p.curl("/a/b?c=d&e", "-X", method)[0] == 200
        seen = p.origin.requests[-1]
        assert (seen.method, seen.target) == (method, "/a/b?c=d&e")

    @pytest.mark.parametrize("size", [0, 1, 16383, 16384, 65536, 300000])
    @pytest.mark.parametrize("buffering", ["on", "off"])
    def test_body(self, pair, size, buffering):
        p = pair(location=f"proxy_request_buffering {buffering};")
        body = bytes(i * 7 % 251 for i in range(size))
        assert p.curl("/", data=body)[0] == 200
        assert p.origin.requests[-1].body == body

    def test_body_of_unknown_length(self, pair):
        p = pair()
        assert p.curl("/", "-H", "Transfer-Encoding: chunked" if p.client.startswith("h1") else "X-N: 1", data=b"x" * 50000)[0] == 200
        assert p.origin.requests[-1].body == b"x" * 50000

    def test_fields(self, pair):
        p = pair()
        p.curl("/", "-H", "X-One: 1", "-H", "Cookie: a=b; c=d", "-H", "Authorization: Basic eDp5")
        seen = p.origin.requests[-1]
        assert seen["x-one"] == "1" and seen["cookie"] == "a=b; c=d" and seen["authorization"] == "Basic eDp5"

    def test_expect_continue(self, pair):
        p = pair()
        assert p.curl("/", "-H", "Expect: 100-continue", data=b"z" * 5000)[0] == 200
        assert p.origin.requests[-1].body == b"z" * 5000

    def test_too_large(self, pair):
        p = pair(server="client_max_body_size 100;")
        assert p.curl("/", data=b"x" * 101)[0] == 413


class TestAnswers:
    @pytest.mark.parametrize("size", [0, 1, 16384, 70000, 2000000])
    def test_body(self, pair, size):
        body = bytes(i * 11 % 253 for i in range(min(size, 5000))) * (size // 5000 or 1)
        p = pair(serve(answer(body)))
        assert p.curl("/")[::2] == (200, body)

    @pytest.mark.parametrize("status", ["201 Created", "301 Moved", "404 Not Found", "500 Oops", "503 Busy"])
    def test_status(self, pair, status):
        p = pair(serve(answer(b"text", status=status)))
        assert p.curl("/")[::2] == (int(status[:3]), b"text")

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_no_body(self, pair, status):
        p = pair(serve(lines(f"HTTP/1.1 {status}", "ETag: x")))
        code, head, body = p.curl("/")
        assert code == int(status[:3]) and body == b"" and p.code == 0

    def test_head(self, pair):
        p = pair(serve(lines("HTTP/1.1 200 OK", "Content-Length: 1234")))
        code, head, body = p.curl("/", "-I")
        assert code == 200 and b"content-length: 1234" in head

    def test_chunked(self, pair):
        p = pair(serve(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
        assert p.curl("/")[::2] == (200, b"abcde")

    def test_until_close(self, pair):
        p = pair(lambda c: (c.request(), c.send(lines("HTTP/1.1 200 OK", "Connection: close") + b"tail")))
        assert p.curl("/")[::2] == (200, b"tail")

    def test_early_hints(self, pair):
        p = pair(serve(lines("HTTP/1.1 103 Early Hints", "Link: </x>") + answer(b"ok")))
        assert p.curl("/")[::2] == (200, b"ok")

    def test_broken_off(self, pair):
        p = pair(lambda c: (c.request(), c.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"half")))
        status, _, _ = p.curl("/")
        assert p.code != 0 or status == 502  # the break may be known before the head went on

    def test_refused_connection(self, pair):
        p = pair()
        p.origin.stop_listening()
        assert p.curl("/")[0] == 502

    def test_slow_backend(self, pair):
        p = pair(lambda c: (c.request(), c.hang()), location="proxy_read_timeout 1s;")
        assert p.curl("/")[0] == 504

    def test_log(self, pair):
        p = pair(serve(answer(b"12345")))
        p.curl("/")
        assert p.h.wait_lines("access.log")[0] == "GET|200|5|200"
