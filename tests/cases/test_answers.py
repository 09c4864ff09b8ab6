"""Answers of our own: return, set, add_header, types, error_page, and the plain error page."""
import re

import pytest
from tools.backend import named
from tools.wire import lines

pytestmark = pytest.mark.shared_servers


@pytest.mark.parametrize("text, status, location, body", [
    ("return 204;", 204, None, ""),
    ("return 200;", 200, None, ""),
    ('return 200 "text $request_method $arg_x";', 200, None, "text GET 1"),
    ("return 418 teapot;", 418, None, "teapot"),
    ("return 301 /new;", 301, "http://a.example:PORT/new", None),
    ("return 302 http://other.example/x?y;", 302, "http://other.example/x?y", None),
    ("return 303 $scheme://$host$request_uri;", 303, "http://a.example/t?x=1", None),
    ("return 307 https://other.example/;", 307, "https://other.example/", None),
    ("return 308 /new$uri;", 308, "http://a.example:PORT/new/t", None),
    ("return https://other.example/;", 302, "https://other.example/", None),
    ("return http://$arg_x.example/;", 302, "http://1.example/", None),
    ("absolute_redirect off; return 301 /new;", 301, "/new", None),
    ("port_in_redirect off; return 301 /new;", 301, "http://a.example/new", None),
])
def test_return(hinge, text, status, location, body):
    h = hinge.server("server_name a.example;" + text)
    res = h.get("/t?x=1", host="a.example")
    assert res.status == status
    assert (res["Location"] or "").replace(f":{h.ports['port']}", ":PORT") == (location or "")
    assert body is None or res.text == body


def test_444_closes_without_an_answer(hinge):
    h = hinge.server("return 444;")
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a")).assert_closed()


def test_redirects_cannot_be_split(hinge):
    h = hinge.server(r"location ~ ^/(.*)$ { return 302 http://other.example/$1; }")
    raw = h.get("/a%0d%0aX-Evil:%201")
    assert "X-Evil" not in raw


class TestSet:
    def test_values_are_composed_and_changed(self, hinge):
        h = hinge.server("""
            set $a one; set $b "${a}two$arg_x"; set $a three;
            location / { return 200 "$a $b"; }
            location /in { set $a "in $a"; return 200 "$a"; }""")
        assert h.get("/?x=X").text == "three onetwoX"
        assert h.get("/in").text == "in three"

    def test_values_do_not_survive_the_request(self, hinge):
        h = hinge.server("location /set { set $v yes; return 200 '$v'; } location / { return 200 '[$v]'; }")
        with h.connect() as c:
            assert [c.ask(lines(f"GET {t} HTTP/1.1", "Host: a")).text for t in ("/set", "/")] == ["yes", "[]"]


class TestAddHeader:
    def test_fields_are_added_to_good_answers(self, hinge, backend):
        h = hinge.proxy(backend(), 'add_header X-A "1 $request_method"; add_header X-A 2; add_header X-Empty "";')
        res = h.get("/")
        assert res.all("X-A") == ["1 GET", "2"] and "X-Empty" not in res

    @pytest.mark.parametrize("status, plain", [(200, True), (201, True), (204, True), (206, True), (301, True), (302, True), (303, True),
                                               (304, True), (307, True), (308, True), (400, False), (404, False), (500, False), (503, False)])
    def test_error_answers_get_only_those_marked_always(self, hinge, backend, status, plain):
        h = hinge.proxy(backend(named(f"{status} x") if status not in (204, 304) else bodiless(status)),
                        "add_header X-Plain 1; add_header X-Always 1 always;")
        res = h.get("/")
        assert (res.status, "X-Plain" in res, "X-Always" in res) == (status, plain, True)

    def test_fields_of_the_backend_stay(self, hinge, backend):
        h = hinge.proxy(backend(named("200 OK", "X-A: theirs")), "add_header X-A ours;")
        assert sorted(h.get("/").all("X-A")) == ["ours", "theirs"]

    def test_a_level_that_sets_one_inherits_none(self, hinge):
        h = hinge.server("add_header X-Outer 1; location / { return 200; } location /own { add_header X-Own 1; return 200; }")
        assert ("X-Outer" in h.get("/"), "X-Outer" in h.get("/own"), "X-Own" in h.get("/own")) == (True, False, True)

    def test_a_value_cannot_split_the_answer(self, hinge):
        h = hinge.server(r"location ~ ^/(.*)$ { add_header X-Tail $1 always; return 200; }")
        assert "X-Evil" not in h.get("/a%0d%0aX-Evil:%201")


def bodiless(status):
    def script(conn):
        while conn.request():
            conn.send(lines(f"HTTP/1.1 {status} x"))
    return script


class TestTypes:
    TEXT = """
        default_type application/x-default;
        types { text/html html htm; text/plain txt; image/x-own own; }
        location / { return 200 x; }
        location /plain { default_type text/plain; return 200 x; }
        location /none { types { } default_type text/x-none; return 200 x; }"""

    @pytest.mark.parametrize("target, content_type", [
        ("/a.html", "text/html"), ("/a.htm", "text/html"), ("/a.txt", "text/plain"), ("/a.own", "image/x-own"), ("/a.HTML", "text/html"),
        ("/a.unknown", "application/x-default"), ("/a", "application/x-default"), ("/plain", "text/plain"), ("/none/a.html", "text/x-none"),
    ])
    def test_the_extension_gives_the_type(self, hinge, target, content_type):
        assert hinge.server(self.TEXT).get(target)["Content-Type"] == content_type

    def test_the_type_of_a_backend_stays(self, hinge, backend):
        h = hinge.proxy(backend(named("200 OK", "Content-Type: x/y; charset=z")), "default_type a/b;")
        assert h.get("/a.html")["Content-Type"] == "x/y; charset=z"

    def test_include_of_a_types_file(self, hinge):
        h = hinge.prepare_http("include mime.types; server { listen %%port%%; location / { return 200 x; } }")
        h.write("mime.types", "types {\n  application/x-one one;\n}\n")
        assert h.start().get("/a.one")["Content-Type"] == "application/x-one"


class TestErrorPage:
    """error_page: an internal redirect, a new status, or somewhere else."""

    SITE = """
        error_page 404 /missing.html;
        error_page 500 502 503 504 = /broken;
        error_page 403 =200 /allowed?from=$request_method;
        error_page 410 http://other.example/gone;
        error_page 411 =301 http://other.example/moved;
        error_page 401 =418 /teapot;
        location / { return 404; }
        location /500 { return 500; }
        location /403 { return 403; }
        location /410 { return 410; }
        location /411 { return 411; }
        location /401 { return 401; }
        location = /missing.html { return 200 "missing $request_uri $uri"; }
        location /broken { return 201 "broken"; }
        location /allowed { return 200 "allowed $uri $args"; }
        location /teapot { return 200 "teapot"; }"""

    @pytest.mark.parametrize("target, status, body", [
        ("/x?y", 404, "missing /x?y /missing.html"), ("/500", 201, "broken"), ("/403", 200, "allowed /allowed from=GET"), ("/401", 418, "teapot"),
    ])
    def test_internal(self, hinge, target, status, body):
        res = hinge.server(self.SITE).get(target)
        assert (res.status, res.text) == (status, body)

    @pytest.mark.parametrize("target, status, location", [("/410", 302, "http://other.example/gone"), ("/411", 301, "http://other.example/moved")])
    def test_elsewhere(self, hinge, target, status, location):
        res = hinge.server(self.SITE).get(target)
        assert (res.status, res["Location"]) == (status, location)

    def test_a_dead_backend_is_excused_by_another(self, hinge, backend):
        excuse = backend(name="excuse")
        h = hinge.server("""
            error_page 502 504 /sorry;
            location / { proxy_pass http://%%dead%%; }
            location = /sorry { proxy_pass http://%%excuse%%; }""", dead=backend(listening=False), excuse=excuse)
        res = h.post("/x", b"body", "X-A: b")
        assert (res.status, res.json()["target"], res.json()["method"]) == (502, "/sorry", "GET")

    def test_a_backends_error_is_its_own_affair(self, hinge, backend):
        h = hinge.server("""
            error_page 404 /own;
            location / { proxy_pass http://%%origin%%; }
            location = /own { return 200 own; }""", origin=backend(named("404 Not Found", body=b"theirs")))
        assert (h.get("/").status, h.get("/").text) == (404, "theirs")

    def test_a_loop_ends(self, hinge):
        h = hinge.server("error_page 404 /again; location / { return 404; }")
        assert h.get("/x").status in (404, 500)

    def test_an_error_of_a_location_with_its_own_page(self, hinge):
        h = hinge.server("""
            error_page 404 /outer;
            location /a { error_page 404 /inner; return 404; }
            location /b { return 404; }
            location = /outer { add_header X-Page outer always; return 404; }
            location = /inner { add_header X-Page inner always; return 404; }""")
        assert [h.get(t)["X-Page"] for t in ("/a", "/b")] == ["inner", "outer"]


SECRET = "s3cr3t-f0r-n0b0dy"


class TestTheErrorPage:
    """Plain, small, with the server token, and with nothing of the request in it."""

    WAYS = {
        400: lambda h: h.ask(lines(f"GET /{SECRET} HTTP/1.1", "Host: a", f"Bad Name: {SECRET}")),
        403: lambda h: h.get(f"/403?{SECRET}", f"Cookie: {SECRET}", host=SECRET),
        404: lambda h: h.get(f"/404/{SECRET}", f"Authorization: Basic {SECRET}"),
        405: lambda h: h.ask(lines("TRACE / HTTP/1.1", "Host: a", f"X-A: {SECRET}")),
        413: lambda h: h.post(f"/{SECRET}", SECRET.encode() * 100_000),
        414: lambda h: h.get("/" + SECRET * 2000),
        431: lambda h: h.get("/", "X-A: " + SECRET * 2000),
        500: lambda h: h.get(f"/500?{SECRET}"),
        502: lambda h: h.get(f"/dead?{SECRET}", f"Cookie: {SECRET}"),
        503: lambda h: h.get(f"/503?{SECRET}"),
        504: lambda h: h.get(f"/hang?{SECRET}"),
    }

    @pytest.mark.parametrize("status", WAYS)
    def test_it_says_the_status_and_nothing_of_the_request(self, hinge, backend, status):
        h = hinge.server("""
            client_max_body_size 1000;
            location / { proxy_pass http://%%dead%%; }
            location /403 { return 403; }
            location /404 { return 404; }
            location /500 { return 500; }
            location /503 { return 503; }
            location /hang { proxy_pass http://%%stuck%%; proxy_read_timeout 200ms; }""",
                         dead=backend(listening=False), stuck=backend(lambda conn: conn.hang()))
        res = self.WAYS[status](h)
        assert res.status == status
        assert str(status) in res.text and len(res.body) < 1000
        assert SECRET not in res.text + str(res.headers.pairs)
        assert res["Content-Type"] == "text/html" and res["Content-Length"] == str(len(res.body))

    def test_the_server_token(self, hinge):
        res = hinge.server("return 404;").get("/")
        assert re.fullmatch(r"hinge/\d+\.\d+\.\d+", res["Server"])
        assert res["Server"] in res.text

    def test_the_server_token_without_version(self, hinge):
        res = hinge.server("server_tokens off; return 404;").get("/")
        assert res["Server"] == "hinge"
        assert "hinge" in res.text and not re.search(r"hinge/\d", res.text)

    def test_proxied_answers_carry_our_token(self, hinge, backend):
        assert hinge.proxy(backend(named("200 OK", "Server: other/1"))).get("/")["Server"].startswith("hinge/")

    def test_a_date_is_there(self, hinge):
        date = hinge.server("return 200;").get("/")["Date"]
        assert re.fullmatch(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)


@pytest.mark.parametrize("buffering, kept", [("on", b"some body"), ("off", b"")])
def test_the_body_goes_to_the_named_location_if_it_was_gathered(hinge, backend, buffering, kept):
    first, second = backend(named("500 Internal Server Error")), backend()
    h = hinge.server(f"""
        proxy_request_buffering {buffering}; proxy_intercept_errors on; error_page 500 = @second;
        location / {{ proxy_pass http://%%first%%; }}
        location @second {{ proxy_pass http://%%second%%; }}""", first=first, second=second)
    res = h.post("/", b"some body")
    assert (res.status, res.json()["length"]) == (200, len(kept))


def test_a_body_that_was_refused_goes_nowhere(hinge, backend):
    second = backend()
    h = hinge.server("""
        client_max_body_size 5; error_page 413 = @second;
        location / { proxy_pass http://127.0.0.1:1; }
        location @second { proxy_pass http://%%second%%; }""", second=second)
    assert h.post("/", b"too large").json()["length"] == 0


@pytest.mark.parametrize("byte", ["%01", "%1f", "%7f", "%0b"])
def test_control_characters_in_a_path_are_refused_at_the_border(hinge, byte):
    h = hinge.server("add_header X-Uri $uri; return 302 /to$uri;")
    assert h.get("/a" + byte).status == 400


def test_trace_is_405_and_close_is_obeyed(hinge):
    h = hinge.server("return 200;")
    with h.connect() as c:
        assert c.ask(lines("TRACE / HTTP/1.1", "Host: a", "Connection: close")).status == 405
        c.assert_closed()


def test_444_is_logged_as_such(hinge):
    h = hinge.server("access_log access.log; return 444;")
    with h.connect() as c:
        c.send(lines("GET /gone HTTP/1.1", "Host: a"))
        c.assert_closed()
    h.quit().wait()
    assert ' "GET /gone HTTP/1.1" 444 ' in (h.dir / "access.log").read_text()
