"""Fields that a location adds to answers: add_header, add_trailer, their inheritance, expires, server_tokens."""
import re
import time
from email.utils import parsedate_to_datetime

import pytest
from tools.backend import answers, named, serve
from tools.beside import both, both_proxies, needs_nginx
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers


class TestInheritance:
    """add_header_inherit and add_trailer_inherit are newer than Debian's nginx: the manual decides."""

    SITE = """
        add_header X-A outer; {server}
        server {{ listen %%port%%;
            location /none {{ return 200; }}
            location /own {{ add_header X-B own; {location} return 200;
                location /own/deep {{ return 200; }}
                location /own/deeper {{ add_header X-C deep; return 200; }} }} }}"""

    def seen(self, h, target):
        return [v for n, v in h.get(target).headers.pairs if n.startswith("X-")]

    @pytest.mark.parametrize("server, location, none, own, deep, deeper", [
        ("", "", ["outer"], ["own"], ["own"], ["deep"]),
        ("add_header_inherit on;", "", ["outer"], ["own"], ["own"], ["deep"]),
        ("add_header_inherit merge;", "", ["outer"], ["own", "outer"], ["own", "outer"], ["deep", "own", "outer"]),
        ("", "add_header_inherit merge;", ["outer"], ["own", "outer"], ["own", "outer"], ["deep", "own", "outer"]),
        ("add_header_inherit merge;", "add_header_inherit on;", ["outer"], ["own"], ["own"], ["deep"]),
        ("add_header_inherit merge;", "add_header_inherit off;", ["outer"], ["own"], [], ["deep"]),
    ])
    def test_add_header_inherit(self, hinge, server, location, none, own, deep, deeper):
        h = hinge.http(self.SITE.format(server=server, location=location))
        assert [self.seen(h, t) for t in ("/none", "/own", "/own/deep", "/own/deeper")] == [none, own, deep, deeper]

    def test_off_alone_drops_what_is_outside(self, hinge):
        h = hinge.server("add_header X-A 1; location / { return 200; } location /off { add_header_inherit off; return 200; }")
        assert ("X-A" in h.get("/"), "X-A" in h.get("/off")) == (True, False)

    def test_add_trailer_inherit(self, hinge):
        h = hinge.server("""add_trailer X-A outer; location / { add_trailer X-B own; return 200 x; }
            location /merge { add_trailer_inherit merge; add_trailer X-B own; return 200 x; }""")
        assert h.get("/").trailers.pairs == [("X-B", "own")]
        assert h.get("/merge").trailers.pairs == [("X-B", "own"), ("X-A", "outer")]

    def test_a_wrong_word(self, hinge):
        h = hinge.prepare_http("add_header_inherit maybe; server { listen %%port%%; }")
        assert "invalid value \"maybe\"" in h.run("-t", check=1).stderr


class TestTrailers:
    def test_the_body_becomes_chunked_and_ends_with_them(self, hinge, backend):
        h = hinge.proxy(backend(), 'add_trailer X-Bytes $upstream_response_length; add_trailer X-Empty ""; add_trailer X-Two 2;')
        res = h.get("/x")
        assert (res.framing, res.json()["target"]) == ("chunked", "/x")
        assert [n for n, _ in res.trailers.pairs] == ["X-Bytes", "X-Two"] and "Content-Length" not in res

    @pytest.mark.parametrize("status, plain", [(200, True), (201, True), (206, True), (301, True), (404, False), (500, False)])
    def test_by_status(self, hinge, backend, status, plain):
        h = hinge.proxy(backend(named(f"{status} x", body=b"body")), "add_trailer X-Plain 1; add_trailer X-Always 1 always;")
        res = h.get("/")
        assert (res.body, "X-Plain" in res.trailers, "X-Always" in res.trailers) == (b"body", plain, True)

    def test_without_a_due_one_the_length_stays(self, hinge, backend):
        assert hinge.proxy(backend(named("404 x", body=b"body")), "add_trailer X-A 1;").get("/").framing == "length"

    @pytest.mark.parametrize("head", [lines("GET / HTTP/1.0", "Host: a"), lines("HEAD / HTTP/1.1", "Host: a")])
    def test_not_for_who_cannot_have_them(self, hinge, head):
        assert hinge.server("add_trailer X-A 1; return 200 body;").ask(head)["Content-Length"] == "4"

    @pytest.mark.parametrize("status", [204, 304])
    def test_not_without_a_body(self, hinge, status):
        res = hinge.server(f"add_trailer X-A 1 always; return {status};").get("/")
        assert (res.status, res.framing) == (status, "none")

    def test_an_empty_body_has_them_too(self, hinge):
        assert hinge.server("add_trailer X-A 1; return 200;").get("/").trailers.pairs == [("X-A", "1")]

    def test_behind_those_of_the_backend(self, hinge, backend):
        data = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"abc", b"def", trailers=("X-Theirs: 1",))
        h = hinge.proxy(backend(answers(data)), "proxy_pass_trailers on; add_trailer X-Ours 2;")
        with h.connect() as c:
            res = c.ask(lines("GET / HTTP/1.1", "Host: a", "TE: trailers", "Connection: TE"))
            assert (res.body, res.trailers.pairs) == (b"abcdef", [("X-Theirs", "1"), ("X-Ours", "2")])

    def test_a_broken_body_has_none(self, hinge, backend):
        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"abc")
        h = hinge.proxy(backend(script), "add_trailer X-A 1;")
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a")).assert_reset_or_short()

    def test_a_large_body_through_a_small_window(self, hinge, backend):
        body = bytes(range(256)) * 8000
        h = hinge.proxy(backend(named("200 OK", body=body)), "add_trailer X-A 1; proxy_buffers 2 4k; proxy_busy_buffers_size 4k;")
        with h.connect(rcvbuf=4096) as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            time.sleep(0.1)
            res = c.response()
            assert res.body == body and res.trailers.pairs == [("X-A", "1")]

    @pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Host", "Cache-Control", "Set-Cookie", "a b"])
    def test_names_that_cannot_be(self, hinge, name):
        h = hinge.prepare_http(f'server {{ listen %%port%%; add_trailer "{name}" x; }}')
        assert "[emerg]" in h.run("-t", check=1).stderr

    @needs_nginx
    def test_like_nginx(self, hinge):
        for h in both(hinge, 'server { listen %%port%%; location / { add_trailer X-A "v $status"; add_trailer X-B 1 always; return 200 body; } }'):
            res = h.get("/")
            assert (res.framing, res.body, res.trailers.pairs) == ("chunked", b"body", [("X-A", "v 200"), ("X-B", "1")])


class TestAddHeader:
    def test_what_the_backend_sent_can_still_be_told(self, hinge, backend):
        h = hinge.proxy(backend(named("200 OK", "ETag: \"theirs\"", "X-B: b")),
                        "add_header ETag ours; add_header X-A $upstream_http_etag; add_header X-B ours; add_header X-C \"[$upstream_http_x_b]\"; "
                        "add_header X-D \"[$upstream_http_x_a]\";")
        res = h.get("/")
        assert (res["ETag"], res["X-A"], res.all("X-B"), res["X-C"], res["X-D"]) == ("ours", '"theirs"', ["b", "ours"], "[b]", "[]")

    @needs_nginx
    @pytest.mark.parametrize("line", ["ETag new", 'ETag ""', "Last-Modified x", 'Last-Modified ""', "Cache-Control b", "X-Own 1", 'X-Own ""', "Server s"])
    def test_like_nginx(self, hinge, backend, line):
        origin = backend(named("200 OK", 'ETag: "a"', "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Cache-Control: a"))
        seen = [{n: h.get("/").all(n) for n in ("ETag", "Last-Modified", "Cache-Control", "X-Own")} for h in both_proxies(hinge, origin, f"add_header {line};")]
        assert seen[0] == seen[1]


def date_of(text):
    return int(parsedate_to_datetime(text).timestamp())


class TestExpires:
    @pytest.mark.parametrize("value, expires, cache", [
        ("epoch", "Thu, 01 Jan 1970 00:00:01 GMT", "no-cache"),
        ("max", "Thu, 31 Dec 2037 23:55:55 GMT", "max-age=315360000"),
        ("off", None, None),
    ])
    def test_words(self, hinge, value, expires, cache):
        res = hinge.server(f"expires {value}; return 200;").get("/")
        assert (res["Expires"], res["Cache-Control"]) == (expires, cache)

    @pytest.mark.parametrize("value, seconds, cache", [("1h", 3600, "max-age=3600"), ("+30", 30, "max-age=30"), ("0", 0, "max-age=0"), ("-1", -1, "no-cache"), ("-1d", -86400, "no-cache")])
    def test_from_now(self, hinge, value, seconds, cache):
        res = hinge.server(f"expires {value}; return 200;").get("/")
        assert res["Cache-Control"] == cache
        assert date_of(res["Expires"]) == date_of(res["Date"]) + seconds

    def test_in_place_of_the_backends(self, hinge, backend):
        h = hinge.proxy(backend(named("200 OK", "Expires: x", "Expires: y", "Cache-Control: a", "Cache-Control: b")), "expires 1m; add_header X-A $upstream_http_cache_control;")
        res = h.get("/")
        assert (len(res.all("Expires")), res.all("Cache-Control"), res["X-A"]) == (1, ["max-age=60"], "a, b")

    @pytest.mark.parametrize("status, there", [(200, True), (204, True), (302, True), (404, False), (500, False)])
    def test_by_status(self, hinge, status, there):
        assert ("Expires" in hinge.server(f"expires 1m; return {status};").get("/")) == there

    def test_with_variables(self, hinge):
        h = hinge.server("location / { expires $arg_e; return 200; } location /m { expires modified $arg_e; return 200; }")
        assert h.get("/?e=1h")["Cache-Control"] == "max-age=3600"
        assert h.get("/?e=epoch")["Cache-Control"] == "no-cache"
        assert [h.get(f"/?e={v}")["Cache-Control"] for v in ("off", "", "@99h", "nonsense", "%0d")] == [None] * 5
        assert h.get("/m?e=60")["Cache-Control"] == "max-age=60"
        assert h.get("/m?e=epoch")["Cache-Control"] is None

    @pytest.mark.parametrize("value, why", [("nonsense", "invalid value"), ("modified", "invalid value"), ("@24h", "daily time value must be less than 24 hours"),
                                            ("modified @1h", "daily time cannot be used with \"modified\" parameter"), ("later 1h", "invalid value")])
    def test_refused(self, hinge, value, why):
        assert why in hinge.prepare_http(f"server {{ listen %%port%%; expires {value}; }}").run("-t", check=1).stderr

    @needs_nginx
    @pytest.mark.parametrize("value, arg", [
        *((v, "") for v in ("off", "epoch", "max", "0", "1", "-1", "1h", "@0", "@23h59m", "modified 1d", "modified -1d", "modified 0", "modified 100y")),
        *((v, a) for v in ("$arg_e", "modified $arg_e") for a in ("", "1h", "@5h", "-5", "max", "0", "x"))])
    def test_like_nginx(self, hinge, backend, value, arg):
        origin = backend(named("200 OK", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Expires: 0", "Cache-Control: public"))
        pair = both_proxies(hinge, origin, f"expires {value};")
        for _ in range(5):  # both must have been asked in the same second
            before = int(time.time())
            seen = [(r.all("Expires"), r.all("Cache-Control")) for r in (h.get(f"/?e={arg}") for h in pair)]
            if int(time.time()) == before:
                break
        numbers = [int(m) for s in seen for v in s[1] for m in re.findall(r"\d+", v)]
        if seen[0] != seen[1] and numbers:  # nginx's clock may be behind by a part of a second
            assert len(numbers) == 2 and abs(numbers[0] - numbers[1]) <= 1
            assert abs(date_of(seen[0][0][0]) - date_of(seen[1][0][0])) <= 1
        elif seen[0][0] != seen[1][0]:
            assert abs(date_of(seen[0][0][0]) - date_of(seen[1][0][0])) <= 1 and seen[0][1] == seen[1][1]


class TestServerTokens:
    @pytest.mark.parametrize("value, pattern", [("on", r"hinge/\d.*"), ("off", "hinge"), ("build", r"hinge/\d.*"), ("front", "front"), ('"my $host"', "my a.example")])
    def test_the_field_and_the_page(self, hinge, value, pattern):
        res = hinge.server(f"server_tokens {value}; return 404;").get("/", host="a.example")
        assert re.fullmatch(pattern, res["Server"])
        assert f"<center>{res['Server']}</center>" in res.text

    def test_an_empty_text_leaves_both_out(self, hinge):
        res = hinge.server('server_tokens ""; return 404;').get("/")
        assert "Server" not in res and "<hr>" not in res.text and res.text.endswith("</center>\r\n</body>\r\n</html>\r\n")

    def test_a_variable_is_text_in_the_page(self, hinge):
        res = hinge.server('server_tokens "$http_x"; return 404;').get("/", "X: <b>&\"</b>")
        assert res["Server"] == '<b>&"</b>' and "<b>" not in res.text and "&#60;b&#62;&#38;&#34;" in res.text

    def test_by_location(self, hinge):
        h = hinge.server("server_tokens off; location / { return 200; } location /on { server_tokens on; return 200; }")
        assert h.get("/")["Server"] == "hinge" and h.get("/on")["Server"] != "hinge"

    def test_a_text_that_cannot_be_a_value(self, hinge):
        assert "invalid characters" in hinge.prepare_http('server { listen %%port%%; server_tokens "a\nb"; }').run("-t", check=1).stderr

    def test_the_backends_server_field(self, hinge, backend):
        h = hinge.http("""server { listen %%port%%; server_tokens mine;
            location / { proxy_pass http://%%origin%%; } location /pass { proxy_pass http://%%origin%%; proxy_pass_header Server; } }""",
                       origin=backend(named("200 OK", "Server: theirs", "X-Pad: p", "Date: d")))
        assert (h.get("/")["Server"], h.get("/pass")["Server"]) == ("mine", "theirs")


def test_a_value_that_cannot_be_written_ends_in_an_error_without_the_transforms(hinge, backend):
    """The head is refused by its writer: the body's trailers and paces were made for an answer that is not sent."""
    h = hinge.http("""server { listen %%port%%; error_page 502 /oops;
        location / { proxy_pass http://%%origin%%; add_trailer X-T 1; limit_rate 1; add_header X-Tail "a\nb: $uri"; }
        location = /oops { add_header X-Own 1 always; return 200 oops; } }""", origin=backend())
    res = h.get("/x")
    assert (res.status, res.text, res.framing, res["X-Own"], "X-Tail" in res) == (502, "oops", "length", "1", False)


def test_serve_keeps_connections(hinge, backend):
    """Trailers on many answers of one connection."""
    h = hinge.proxy(backend(serve(lambda req: answer(req.target))), "add_trailer X-T $request_uri;")
    with h.connect() as c:
        for i in range(20):
            res = c.ask(lines(f"GET /{i} HTTP/1.1", "Host: a"))
            assert (res.text, res.trailers.pairs) == (f"/{i}", [("X-T", f"/{i}")])
