"""Ranges: of files beside nginx, and of what backends send."""
import os
import re

import pytest
from tools.backend import answers, named
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

CONF = """
    types { text/plain txt; }
    server {
        listen %%port%%; root %%tree%%;
        location /none/ { max_ranges 0; alias %%tree%%/; }
        location /one/ { max_ranges 1; alias %%tree%%/; }
        location /three/ { max_ranges 3; alias %%tree%%/; }
        location /noetag/ { etag off; alias %%tree%%/; }
        location /page/ { error_page 416 =200 /a.txt; alias %%tree%%/; }
        location /named/ { error_page 416 @n; alias %%tree%%/; }
        location @n { return 200 "$status $http_range"; }
        location /always/ { add_header X-A a always; add_header X-B b; alias %%tree%%/; }
    }"""

RANGES = [
    "bytes=0-0", "bytes=0-9", "bytes=0-10", "bytes=0-100", "bytes=9-9", "bytes=9-", "bytes=10-", "bytes=11-", "bytes=-1", "bytes=-10", "bytes=-11", "bytes=-0",
    "bytes=3-", "Bytes=3-4", "bytes=0-1,4-5", "bytes=4-5,0-1", "bytes=0-5,5-9", "bytes=0-4,5-9", "bytes=0-9,0-9", "bytes=0-0,2-2,4-4,6-6,8-8", "bytes=20-,0-1",
    "bytes=0-1,20-30,3-4", "bytes= 1 - 2 , 4 - 5", "bytes=1-2,", "bytes=,1-2", "bytes=1-2,,4-5", "bytes=2-1", "bytes=a-b", "bytes=-", "bytes=", "bytes", "items=0-1",
    "bytes=1-2-3", "bytes=0x1-2", "bytes=99999999999999999999-", "bytes=0-99999999999999999999", "bytes=9223372036854775807-", "bytes=-9223372036854775807",
    "bytes=18446744073709551615-18446744073709551616", "bytes=0-0,-1", "bytes=-1,-2", "bytes=-5,-6",
]


@pytest.fixture
def site(beside, tree):
    tree.file("a.txt", "0123456789")
    tree.file("empty.txt")
    tree.file("big", os.urandom(3_000_000))
    return beside(CONF)


@pytest.mark.parametrize("value", RANGES)
def test_ranges_of_a_file(site, value):
    for target in ("/a.txt", "/empty.txt", "/none/a.txt", "/one/a.txt", "/three/a.txt", "/nothing"):
        site.same(target, f"Range: {value}")
    site.same("/a.txt", f"Range: {value}", method="HEAD")
    site.same("/a.txt", f"Range: {value}", version="1.0")


def test_what_a_part_looks_like(site):
    res = site.hinge.get("/a.txt", "Range: bytes=2-4")
    assert (res.status, res.text, res["Content-Range"], res["Content-Length"]) == (206, "234", "bytes 2-4/10", "3")
    assert "Accept-Ranges" not in res and res["ETag"] and res["Last-Modified"]


def test_several_parts(site):
    res = site.hinge.get("/a.txt", "Range: bytes=7-8,0-1")
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\d{20})", res["Content-Type"])[1]
    assert res.text == (f"\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/10\r\n\r\n78"
                        f"\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--{boundary}--\r\n")


@pytest.mark.parametrize("first, last", [(0, 2_999_999), (1, 30_000), (24_575, 24_576), (100_000, 2_000_000), (2_999_999, 2_999_999)])
def test_parts_of_a_large_file(site, tree, first, last):
    data = (tree.path / "big").read_bytes()
    res = site.hinge.get("/big", f"Range: bytes={first}-{last}")
    assert res.body == data[first:last + 1]
    if last - first > 100_000:
        return
    res = site.hinge.get("/big", f"Range: bytes={first}-{last},0-0,500000-1500000,-5")
    for a, b in ((first, last + 1), (0, 1), (500_000, 1_500_001), (len(data) - 5, len(data))):
        assert b"\r\n\r\n" + data[a:b] + b"\r\n--" in res.body


def test_more_than_sixteen_are_answered_whole_unless_allowed(hinge, tree):
    tree.file("f", "x" * 100)
    h = hinge.server("root %%tree%%; location /many/ { max_ranges 100; alias %%tree%%/; }", tree=tree)
    value = ",".join(f"{i}-{i}" for i in range(17))
    assert h.get("/f", f"Range: bytes={value}").status == 200
    assert h.get("/many/f", f"Range: bytes={value}").status == 206
    assert h.get("/f", "Range: bytes=" + ",".join(f"{i}-{i}" for i in range(16))).status == 206


def test_416(site):
    said = site.same("/a.txt", "Range: bytes=10-")
    assert said.response["Content-Range"] == "bytes */10" and "ETag" not in said.response
    for target in ("/page/a.txt", "/named/a.txt"):
        ours, theirs = site.ask(target, "Range: bytes=10-")
        assert (ours.status, ours.body) == (theirs.status, theirs.body)
    ours = site.ask("/always/a.txt", "Range: bytes=10-")[0]
    assert ours.response["X-A"] == "a" and "X-B" not in ours.response


def test_if_range(site):
    res = site.hinge.get("/a.txt")
    etag, date = res["ETag"], res["Last-Modified"]
    for value in (etag, f"W/{etag}x", '"x"', '"', "", date, "Sun, 06 Nov 1994 08:49:37 GMT", "no date", etag[:-1]):
        for target in ("/a.txt", "/noetag/a.txt"):
            site.same(target, f"If-Range: {value}", "Range: bytes=1-2")
            site.same(target, f"If-Range: {value}", "Range: bytes=10-")
    assert site.hinge.get("/a.txt", f"If-Range: W/{etag}", "Range: bytes=1-2").status == 200


def test_a_connection_goes_on_behind_parts(site):
    with site.hinge.connect() as c:
        for value in ("0-1", "0-1,4-5", "10-", "-1"):
            assert c.ask(lines("GET /a.txt HTTP/1.1", "Host: a", f"Range: bytes={value}")).status in (206, 416)
        assert c.ask(lines("GET /a.txt HTTP/1.1", "Host: a")).text == "0123456789"


@pytest.mark.parametrize("line", ["limit_rate 100k;", "set $limit_rate 100k;"])
def test_ranges_of_a_slow_answer(beside, tree, line):
    tree.file("a.txt", "0123456789")
    s = beside("server { listen %%port%%; root %%tree%%; " + line + " }")
    for value in ("2-4", "0-1,4-5", "10-"):
        s.same("/a.txt", f"Range: bytes={value}")


class TestForced:
    """proxy_force_ranges: beside nginx, before a backend that knows no ranges."""

    BODY = bytes(range(256)) * 400

    @pytest.fixture
    def pair(self, beside, backend):
        def start(*fields, script=None, **names):
            script = script or answers(answer(self.BODY, *fields))
            return beside("""
                server { listen %%port%%;
                    location / { proxy_pass http://%%origin%%; proxy_force_ranges on; }
                    location /off/ { proxy_pass http://%%origin%%; }
                    location /none/ { proxy_pass http://%%origin%%; proxy_force_ranges on; max_ranges 0; } }""", origin=backend(script))
        return start

    @pytest.mark.parametrize("value", ["0-0", "0-", "-1", "5-9", "100-50000", "102399-", "102400-", "0-1,4-5", "50000-102399", "x", "-0"])
    def test_one_range_is_cut_out(self, pair, value):
        s = pair('ETag: "v1"', "Content-Type: text/x", "Accept-Ranges: none")
        for target in ("/", "/off/", "/none/"):
            s.same(target, f"Range: bytes={value}")

    def test_without_a_range(self, pair):
        s = pair("Accept-Ranges: none")
        for target in ("/", "/off/", "/none/"):
            s.same(target)

    def test_if_range(self, pair):
        s = pair('ETag: "v1"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")
        for value in ('"v1"', '"v2"', "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"):
            s.same("/", f"If-Range: {value}", "Range: bytes=1-2")

    def test_other_answers_are_left_alone(self, pair):
        def script(conn):
            while req := conn.request():
                if req.target == "/chunked":
                    conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
                elif req.target == "/404":
                    conn.send(answer("nothing", status="404 Not Found"))
                elif req.target == "/206":
                    conn.send(answer("01", "Content-Range: bytes 0-1/10", status="206 Partial Content"))
        s = pair(script=script)
        for target in ("/404", "/206"):
            s.same(target, "Range: bytes=0-1")
        assert s.hinge.get("/chunked", "Range: bytes=0-1").text == "hello"

    def test_the_backend_is_used_again_when_it_was_read_to_its_end(self, hinge, backend):
        origin = backend(answers(answer(self.BODY)))
        h = hinge.pooled(origin, "proxy_force_ranges on;")
        for _ in range(3):
            assert h.get("/", "Range: bytes=102390-").body == self.BODY[-10:]
        assert h.get("/", "Range: bytes=0-4").body == self.BODY[:5]
        assert h.get("/").body == self.BODY

    def test_a_head_request(self, hinge, backend):
        def script(conn):
            while conn.request():
                conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 1000"))
        res = hinge.proxy(backend(script), "proxy_force_ranges on;").get("/", "Range: bytes=1-2", method="HEAD")
        assert (res.status, res["Content-Range"], res["Content-Length"]) == (206, "bytes 1-2/1000", "2")

    def test_a_backend_that_breaks_off(self, hinge, backend):
        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 1000") + b"x" * 100)
            conn.close()
        h = hinge.proxy(backend(script), "proxy_force_ranges on;")
        with h.connect() as c, pytest.raises(Exception):
            c.ask(lines("GET / HTTP/1.1", "Host: a", "Range: bytes=50-500"))
        assert h.get("/", "Range: bytes=50-60").body == b"x" * 11
