"""The core list over every pair of protocols: what a client speaks times what its backend speaks.

A further protocol is one more line in CLIENTS or BACKENDS. The backend that is judged is always the same script; one that speaks
something else than HTTP/1 stands behind a second hinge, which turns that into HTTP/1 for it.
"""
import subprocess

import pytest

from tools.certs import certificate
from tools.h2 import H2
from tools.times import PATIENCE
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

CERT = "%%certificate%%"
LOG = "log_format l '$request_method|$status|$body_bytes_sent|$upstream_status'; access_log access.log l;"
CLIENTS = {  # what the listener says, the server, curl, and the scheme
    "h1": ("", "", ["--http1.1"], "http"),
    "h2": ("", "http2 on;", ["--http2-prior-knowledge"], "http"),
    "h1tls": ("ssl", CERT, ["--http1.1", "-k"], "https"),
    "h2tls": ("ssl", CERT + "http2 on;", ["--http2", "-k"], "https"),
}
BACKENDS = {  # what the location says, and the second server's listener
    "h1": ("", None),
    "h2": ("proxy_http_version 2;", ""),
    "h1tls": ("", "ssl"),
    "h2tls": ("proxy_http_version 2;", "ssl"),
}


class Pair:
    def __init__(self, hinge, backend, client, back):
        self.starter, self.start_backend, self.client, self.back = hinge, backend, client, back

    def __call__(self, script=None, location="", server="", access_log="access_log off;"):
        self.origin = to = self.start_backend(script) if script else self.start_backend()
        own_back, second_listen = BACKENDS[self.back]
        if second_listen is not None:
            http2 = "http2 on; " if "h2" in self.back else ""
            second = self.starter.http("server { listen %%port%% " + second_listen + "; " + (CERT if second_listen else "") + http2 +
                                       "client_max_body_size 100m; location / { proxy_request_buffering off; proxy_pass_trailers on; "
                                       "add_header X-Spoken $server_protocol always; "
                                       "proxy_pass http://%%origin%%; proxy_set_header Host $host; } }",
                                       origin=to, certificate=certificate("localhost").lines)
            to = "127.0.0.1:%d" % second.ports["port"]
        listen, own, _, _ = CLIENTS[self.client]
        self.h = self.starter.http("server { listen %%port%% " + listen + "; " + own + server + " location / { proxy_pass " +
                                   ("https" if second_listen else "http") + "://%%to%%; proxy_set_header Host $host; " + own_back + location +
                                   " } }", to=to, certificate=certificate("localhost").lines, access_log=access_log)
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


def pairs():
    """Every pair; its cases run one after the other in one process of the test run, so that they can share servers."""
    for names in ((c, b) for c in CLIENTS for b in BACKENDS):
        name = "-".join(names)
        yield pytest.param(names, id=name, marks=pytest.mark.xdist_group(f"pair {name}"))


@pytest.fixture(params=pairs())
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

    def test_body_with_put(self, pair, tmp_path):
        p = pair()
        (tmp_path / "f").write_bytes(b"u" * 100000)
        assert p.curl("/up", "-T", str(tmp_path / "f"))[0] == 200
        assert (p.origin.requests[-1].method, p.origin.requests[-1].body) == ("PUT", b"u" * 100000)

    def test_large_fields(self, pair):
        p = pair()
        assert p.curl("/", "-H", "X-Large: " + "v" * 6000, "-H", "X-Too: " + "w" * 3000)[0] == 200
        assert p.origin.requests[-1]["x-large"] == "v" * 6000 and p.origin.requests[-1]["x-too"] == "w" * 3000

    def test_many_fields(self, pair):
        p = pair()
        assert p.curl("/", *(w for i in range(60) for w in ("-H", f"X-{i}: {i}")))[0] == 200
        assert [p.origin.requests[-1][f"x-{i}"] for i in range(60)] == [str(i) for i in range(60)]

    def test_host(self, pair):
        p = pair()
        p.curl("/", "-H", "Host: name.example")
        assert p.origin.requests[-1]["host"] == "name.example"

    def test_fields_that_are_set(self, pair):
        p = pair(location="proxy_set_header X-Set $scheme; proxy_set_header X-Gone '';")
        p.curl("/", "-H", "X-Gone: 1", "-H", "X-Set: client")
        seen = p.origin.requests[-1]
        assert seen["x-set"] == CLIENTS[p.client][3] and not seen["x-gone"]

    def test_many_on_one_connection(self, pair):
        p = pair()
        if p.client == "h2":  # curl 7.88 cannot use a connection of prior knowledge twice
            with H2(("127.0.0.1", p.h.ports["port"])) as c:
                assert [c.get(f"/{i}").status for i in range(20)] == [200] * 20
        else:
            url = f"{CLIENTS[p.client][3]}://127.0.0.1:{p.h.ports['port']}/"
            out = subprocess.run(["curl", "-sS", "-m", str(int(PATIENCE)), *CLIENTS[p.client][2], "-w", "%{http_code} %{num_connects}\n",
                                  *(w for i in range(20) for w in (url + str(i), "-o", "/dev/null"))], capture_output=True, text=True)
            seen = [line.split() for line in out.stdout.splitlines()]
            assert [s for s, _ in seen] == ["200"] * 20 and sum(int(n) for _, n in seen) == 1
        assert [r.target for r in p.origin.requests] == [f"/{i}" for i in range(20)]

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

    def test_cookies_are_many(self, pair):
        p = pair(serve(lines("HTTP/1.1 200 OK", "Content-Length: 2", "Set-Cookie: a=1", "Set-Cookie: b=2") + b"ok"))
        assert p.curl("/")[1].count(b"set-cookie: ") == 2

    def test_redirect(self, pair):
        p = pair(serve(answer(b"", "Location: /there", status="302 Found")))
        status, head, _ = p.curl("/")
        assert status == 302 and b"location: /there" in head or b"/there" in head

    def test_range(self, pair):
        p = pair(serve(answer(b"cde", "Content-Range: bytes 2-4/10", status="206 Partial Content")))
        status, head, body = p.curl("/", "-r", "2-4")
        assert (status, body) == (206, b"cde") and b"content-range: bytes 2-4/10" in head
        assert p.origin.requests[-1]["range"] == "bytes=2-4"

    def test_large_head(self, pair):
        p = pair(serve(answer(b"ok", "X-Large: " + "v" * 3000)))
        assert b"x-large: " + b"v" * 3000 in p.curl("/")[1]

    def test_error_page(self, pair):
        p = pair(serve(answer(b"ugly", status="500 Oops")), location="proxy_intercept_errors on; error_page 500 =404 /nice;",
                 server="location /nice { return 200 nice; }")
        assert p.curl("/")[::2] == (404, b"nice")

    def test_unbuffered(self, pair):
        p = pair(serve(answer(b"q" * 300000)), location="proxy_buffering off;")
        assert p.curl("/")[::2] == (200, b"q" * 300000)

    def test_to_a_file(self, pair):
        p = pair(serve(answer(b"q" * 3000000)), location="proxy_buffers 4 8k; proxy_max_temp_file_size 8m;")
        assert p.curl("/", "--limit-rate", "6M")[::2] == (200, b"q" * 3000000)

    def test_trailers(self, pair):
        p = pair(serve(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum") + b"3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"),
                 location="proxy_pass_trailers on;")
        status, _, body = p.curl("/", "-H", "TE: trailers", *(["-H", "Connection: TE"] if p.client.startswith("h1") else []))
        assert (status, body[:3]) == (200, b"abc") and p.code == 0

    def test_gzip(self, pair):
        p = pair(serve(answer(b"z" * 20000, "Content-Type: text/html")), location="gzip on;")
        status, head, body = p.curl("/", "-H", "Accept-Encoding: gzip")
        assert status == 200 and b"content-encoding: gzip" in head and len(body) < 1000

    def test_refused_connection(self, pair):
        p = pair()
        p.origin.stop_listening()
        assert p.curl("/")[0] == 502

    def test_slow_backend(self, pair):
        p = pair(lambda c: (c.request(), c.hang()), location="proxy_read_timeout 1s;")
        assert p.curl("/")[0] == 504

    def test_what_the_backend_is_spoken_to_in(self, pair):
        p = pair()
        head = p.curl("/")[1]
        if p.back != "h1":
            assert b"x-spoken: http/" + (b"2.0" if "h2" in p.back else b"1.") in head

    def test_log(self, pair):
        p = pair(serve(answer(b"12345")), access_log=LOG)
        p.curl("/")
        assert p.h.wait_lines("access.log")[0] == "GET|200|5|200"
