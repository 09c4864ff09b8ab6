"""Real clients and real servers: curl, httpx, and Debian's nginx behind hinge and in front of it."""
import hashlib
import os
import shutil
import subprocess

import httpx
import pytest
from tools.times import PATIENCE
from tools.wire import lines

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


def curl(*args):
    done = subprocess.run(["curl", "-sS", "--max-time", str(PATIENCE), *map(str, args)], capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def url(h, target="/"):
    return f"http://127.0.0.1:{h.ports['port']}{target}"


@pytest.fixture
def front(hinge, backend):
    return hinge.pooled(backend(), "client_max_body_size 0;")


class TestCurl:
    def test_get_and_head(self, front):
        assert b'"target": "/x?y=z"' in curl(url(front, "/x?y=z"))
        assert b"HTTP/1.1 200 OK" in curl("-I", url(front))

    def test_upload_with_expect_100_continue(self, front, tmp_path):
        (tmp_path / "f").write_bytes(os.urandom(3_000_000))
        digest = hashlib.sha256((tmp_path / "f").read_bytes()).hexdigest()
        assert digest.encode() in curl("-T", tmp_path / "f", "-H", "Expect: 100-continue", url(front))
        assert digest.encode() in curl("-X", "POST", "-H", "Transfer-Encoding: chunked", "--data-binary", f"@{tmp_path}/f", url(front))

    def test_form_and_http_1_0(self, front):
        assert b'"method": "POST"' in curl("-F", "a=b", "-F", "c=d", url(front))
        assert b'"target": "/"' in curl("--http1.0", url(front))

    def test_many_targets_on_one_connection(self, front):
        out = curl("-w", "\n%{num_connects}\n", *(url(front, f"/{i}") for i in range(10)))
        assert sum(int(n) for n in out.split(b"\n") if n.isdigit()) == 1


class TestHttpx:
    def test_a_client_with_a_pool(self, front):
        with httpx.Client(base_url=url(front, ""), timeout=PATIENCE) as client:
            for i in range(20):
                assert client.get(f"/{i}").json()["target"] == f"/{i}"
            assert client.post("/", content=(b"x" * 10_000 for _ in range(30))).json()["length"] == 300_000
            assert client.head("/").status_code == 200
            assert client.request("DELETE", "/d").json()["method"] == "DELETE"

    def test_a_streamed_answer(self, hinge, backend):
        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), *(b"5\r\nhello\r\n" for _ in range(10)), b"0\r\n\r\n")

        h = hinge.proxy(backend(script), "proxy_buffering off;")
        with httpx.stream("GET", url(h), timeout=PATIENCE) as answer:
            assert b"".join(answer.iter_raw()) == b"hello" * 10


@needs_nginx
class TestNginxBehind:
    """What nginx serves directly and through hinge is the same."""

    @pytest.fixture
    def pair(self, hinge):
        behind = hinge.prepare_http("""
            gzip on; gzip_types *; gzip_min_length 1;
            server {
                listen %%port%%; root %%dir%%/www; autoindex on;
                location /moved { return 301 /file; }
                location /limited { limit_except GET { deny all; } }
            }""", binary=NGINX)
        (behind.dir / "www" / "sub").mkdir(parents=True)
        (behind.dir / "www" / "file").write_bytes(bytes(range(256)) * 4000)
        (behind.dir / "www" / "empty").write_bytes(b"")
        behind.start()
        return behind, hinge.pooled(f"127.0.0.1:{behind.ports['port']}", "proxy_set_header Host $http_host;")

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
    @pytest.mark.parametrize("target, fields", [
        ("/file", []), ("/file", ["Range: bytes=10-19"]), ("/file", ["Range: bytes=0-1,5-9"]), ("/file", ["Range: bytes=99999999-"]),
        ("/file", ["Accept-Encoding: gzip"]), ("/file", ["If-Modified-Since: Sun, 01 Jan 2090 00:00:00 GMT"]), ("/empty", []),
        ("/none", []), ("/sub/", []), ("/moved", []), ("/limited", []),
    ])
    def test_an_answer_is_the_same(self, pair, method, target, fields):
        behind, front = pair
        request = lines(f"{method} {target} HTTP/1.1", "Host: a.example", *fields)
        direct, through = behind.ask(request), front.ask(request)
        assert (through.status, hashlib.sha256(through.body).digest()) == (direct.status, hashlib.sha256(direct.body).digest()) or (
            "boundary" in through["Content-Type"] and len(through.body) == len(direct.body))
        for name in ("ETag", "Last-Modified", "Content-Encoding", "Content-Range", "Location", "Vary", "Accept-Ranges"):
            assert through[name] == direct[name], name


@needs_nginx
@pytest.mark.parametrize("text", ["", "proxy_http_version 1.1; proxy_set_header Connection '';", "proxy_buffering off;"],
                         ids=["HTTP/1.0", "keep-alive", "unbuffered"])
def test_nginx_in_front(hinge, backend, text):
    h = hinge.proxy(backend(), "client_max_body_size 0;")
    front = hinge.prepare_http("""
        upstream u { server %%behind%%; keepalive 4; }
        server { listen %%port%%; client_max_body_size 0; location / { proxy_pass http://u; """ + text + "} }",
                               binary=NGINX, behind=f"127.0.0.1:{h.ports['port']}").start()
    with front.connect() as c:
        for i in range(5):
            assert c.ask(lines(f"GET /{i} HTTP/1.1", "Host: a")).json()["target"] == f"/{i}"
        body = os.urandom(2_000_000)
        seen = c.ask(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {len(body)}") + body).json()
        assert seen["sha256"] == hashlib.sha256(body).hexdigest()
