"""X-Accel-* and proxy_ignore_headers: what a backend may ask of the proxy, and nobody else."""
import time

import pytest
from tools.backend import answers, echo, named, serve
from tools.beside import both, needs_nginx
from tools.times import SLOW
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers

SITE = """
    %%http%%
    server { listen %%port%%; %%server%%
        location / { proxy_pass http://%%origin%%; %%location%% }
        location /internal/ { internal; %%internal%% }
        location @named { %%named%% } }"""


def site(hinge, origin, server="", location="", internal='return 200 "internal $uri?$args $request_method $request_uri";', named='return 203 "named $uri $request_method";', http=""):
    return hinge.http(SITE, origin=origin, server=server, location=location, internal=internal, named=named, http=http)


def redirects(target, *fields, status="200 OK", body=b"secret"):
    return answers(answer(body, f"X-Accel-Redirect: {target}", *fields, status=status))


class TestRedirect:
    @pytest.mark.parametrize("target, status, text", [
        ("/internal/x", 200, "internal /internal/x? GET /asked?q"),
        ("/internal/x?a=b&c", 200, "internal /internal/x?a=b&c GET /asked?q"),
        ("/internal/a%20b", 200, "internal /internal/a b? GET /asked?q"),
        ("@named", 203, "named /asked GET"),
        ("/internal/../x", 404, None), ("/internal/%2e%2e/x", 404, None), ("/internal/..", 404, None), ("/../x", 404, None), ("/internal/%00", 404, None), ("/internal/%zz", 404, None),
        ("internal/x", 404, None), ("?x", 404, None), ("http://other.example/", 404, None), ("@none", 500, None),
    ])
    def test_where_it_leads(self, hinge, backend, target, status, text):
        h = site(hinge, backend(redirects(target)))
        res = h.get("/asked?q")
        assert (res.status, "secret" in res.text, "X-Accel-Redirect" in res) == (status, False, False)
        assert text is None or res.text == text

    def test_the_method(self, hinge, backend):
        assert site(hinge, backend(redirects("/internal/x"))).post("/p", b"body").text == "internal /internal/x? GET /p"
        assert site(hinge, backend(redirects("@named"))).post("/p", b"body").text == "named /p POST"
        res = site(hinge, backend(redirects("/internal/x", body=b""))).get("/p", method="HEAD")
        assert (res.status, res.body) == (200, b"")

    @needs_nginx
    @pytest.mark.parametrize("second", ['return 200 "x";', "return 404;", "proxy_pass http://%%second%%;", "return 302 /x;"])
    @pytest.mark.parametrize("target", ["/internal/x", "@named", "/internal/../x", "/internal/a%2fb", "/internal//x"])
    def test_like_nginx(self, hinge, backend, target, second):
        first = backend(redirects(target, "Content-Type: text/x-app", "Content-Disposition: attachment", "Set-Cookie: a=1", "Set-Cookie: b=2", "Cache-Control: private",
                                  "Expires: Thu, 01 Jan 2026 00:00:01 GMT", "Accept-Ranges: none", "ETag: \"e\"", "Last-Modified: Thu, 01 Jan 2026 00:00:01 GMT", "X-Other: 1", "Vary: x",
                                  "Content-Language: de", "Location: /l"))
        names = dict(origin=first, second=backend(serve(lambda req: answer(f"{req.method} {req.target}", "Content-Type: text/x-second", "X-Second: 1"))))
        seen = []
        for h in both(hinge, SITE, http="", server="default_type text/x-default; absolute_redirect off;", location="", internal=second, named=second, **names):
            res = h.get("/asked")
            kept = {n: res.all(n) for n in ("Content-Type", "Content-Disposition", "Set-Cookie", "Cache-Control", "Expires", "Accept-Ranges", "ETag", "Last-Modified", "X-Other",
                                            "Vary", "Content-Language", "X-Second", "Location")}
            seen.append((res.status, res.text if res.status == 200 else "", kept))
        assert seen[0] == seen[1]

    def test_a_hidden_field_is_not_kept(self, hinge, backend):
        h = site(hinge, backend(redirects("/internal/x", "Set-Cookie: a=1; Path=/a/", "Cache-Control: private")), location="proxy_hide_header Cache-Control; proxy_cookie_path /a/ /b/;")
        res = h.get("/")
        assert (res["Set-Cookie"], "Cache-Control" in res) == ("a=1; Path=/b/", False)

    def test_ignored_and_shown(self, hinge, backend):
        h = site(hinge, backend(redirects("/internal/x")), location="proxy_ignore_headers X-Accel-Redirect;")
        assert (h.get("/").text, "X-Accel-Redirect" in h.get("/")) == ("secret", False)
        h = site(hinge, backend(redirects("/internal/x")), location="proxy_ignore_headers x-accel-redirect; proxy_pass_header X-Accel-Redirect;")
        assert h.get("/")["X-Accel-Redirect"] == "/internal/x"
        h = site(hinge, backend(redirects("/internal/x")), location="proxy_pass_header X-Accel-Redirect;")
        assert h.get("/").text.startswith("internal")

    def test_of_two_the_first_counts(self, hinge, backend):
        assert site(hinge, backend(redirects("/internal/1", "X-Accel-Redirect: /internal/2"))).get("/").text.startswith("internal /internal/1?")

    def test_a_cycle_ends(self, hinge, backend):
        h = site(hinge, backend(redirects("/again")))
        assert h.get("/").status == 500
        assert "rewrite or internal redirection cycle" in h.log

    def test_a_client_cannot_ask(self, hinge, backend):
        h = site(hinge, backend())
        res = h.get("/x", "X-Accel-Redirect: /internal/x", "X-Accel-Limit-Rate: 1", "X-Accel-Buffering: no")
        assert (res.status, res.json()["target"]) == (200, "/x")
        assert h.get("/internal/x").status == 404

    def test_not_from_an_answer_that_error_page_replaced(self, hinge, backend):
        h = site(hinge, backend(redirects("/internal/x", status="404 x")), location="proxy_intercept_errors on; error_page 404 @named;")
        assert h.get("/a").text == "named /a GET"
        assert site(hinge, backend(redirects("/internal/x", status="404 x"))).get("/a").status == 200

    def test_not_from_an_interim_answer_nor_a_trailer(self, hinge, backend):
        interim = lines("HTTP/1.1 103 Early Hints", "X-Accel-Redirect: /internal/x")
        assert site(hinge, backend(answers(interim + answer("body")))).get("/").text == "body"
        data = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"body", trailers=("X-Accel-Redirect: /internal/x",))
        assert site(hinge, backend(answers(data)), location="proxy_pass_trailers on;").get("/", "TE: trailers").text == "body"

    def test_the_connection_of_an_empty_answer_is_kept(self, hinge, backend):
        origin = backend(serve(lambda req: answer(b"", "X-Accel-Redirect: @named") if req.target == "/first" else answer("second")))
        h = hinge.http("upstream u { server %%origin%%; keepalive 4; } " + SITE.replace("%%origin%%", "u"), http="", origin=origin, server="", location="", internal="return 200;",
                       named="proxy_pass http://u/second;".replace("/second", ""))
        with h.connect() as c:
            for i in range(5):
                c.ask(lines("GET /x HTTP/1.1", "Host: a"))
        before = len(origin.connections)
        named_site = hinge.http("""upstream u { server %%origin%%; keepalive 4; }
            server { listen %%port%%; location / { proxy_pass http://u; } location @named { return 200 named; } }""", origin=origin)
        with named_site.connect() as c:
            for i in range(5):
                assert c.ask(lines("GET /first HTTP/1.1", "Host: a")).text == "named"
        assert len(origin.connections) == before + 1

    def test_a_body_follows_to_a_named_location(self, hinge, backend):
        second = backend()
        h = site(hinge, backend(redirects("@named")), named=f"proxy_pass http://{second};")
        seen = h.post("/p", b"x" * 100_000).json()
        assert (seen["method"], seen["length"]) == ("POST", 100_000)

    def test_one_that_was_not_kept_does_not(self, hinge, backend):
        second = backend()
        h = site(hinge, backend(redirects("@named")), server="proxy_request_buffering off;", named=f"proxy_pass http://{second};")
        assert h.post("/p", b"x" * 10).json()["length"] == 0


class TestBuffering:
    """X-Accel-Buffering: how much is read ahead of a client that does not read."""

    def read_ahead(self, hinge, backend, field, text):
        sent = []

        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 100000000", *field))
            conn.sock.settimeout(0.3 * SLOW)
            try:
                while True:
                    sent.append(conn.sock.send(b"x" * 65536))
            except OSError:
                pass
            conn.reset()

        h = hinge.proxy(backend(script), text)
        with h.connect(rcvbuf=4096) as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            end = time.monotonic() + 5 * SLOW
            while time.monotonic() < end and (not sent or len(sent) != self.count(sent)):
                pass
        return sum(sent)

    def count(self, sent):
        n = len(sent)
        time.sleep(0.4 * SLOW)
        return n

    def test_no_reads_less_ahead(self, hinge, backend):
        big = "proxy_buffers 64 512k; proxy_busy_buffers_size 512k;"
        with_it = self.read_ahead(hinge, backend, [], big)
        without = self.read_ahead(hinge, backend, ["X-Accel-Buffering: no"], big)
        ignored = self.read_ahead(hinge, backend, ["X-Accel-Buffering: no"], big + "proxy_ignore_headers X-Accel-Buffering;")
        assert without < 24 << 20 < with_it and ignored > 24 << 20

    def test_yes_reads_ahead_again(self, hinge, backend):
        assert self.read_ahead(hinge, backend, ["X-Accel-Buffering: yes"], "proxy_buffering off; proxy_buffers 64 512k; proxy_busy_buffers_size 512k;") > 24 << 20

    @pytest.mark.parametrize("value", ["", "maybe", "no, yes", "NO", "1"])
    def test_any_value_is_survived(self, hinge, backend, value):
        res = hinge.proxy(backend(named("200 OK", f"X-Accel-Buffering: {value}", body=b"body"))).get("/")
        assert (res.text, "X-Accel-Buffering" in res) == ("body", False)


@pytest.mark.parametrize("name", ["X-Accel-Expires", "X-Accel-Charset", "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Redirect"])
def test_all_of_them_are_hidden(hinge, backend, name):
    value = "@named" if name.endswith("Redirect") else "0"
    assert name not in site(hinge, backend(named("200 OK", f"{name}: {value}"))).get("/")


@pytest.mark.parametrize("value", ["", "-1", "x", "1k", "99999999999999999999999"])
def test_a_limit_rate_that_is_none_is_ignored(hinge, backend, value):
    assert hinge.proxy(backend(named("200 OK", f"X-Accel-Limit-Rate: {value}", body=b"x" * 50_000))).get("/").body == b"x" * 50_000


def test_ignore_headers_is_checked(hinge):
    h = hinge.prepare_http("server { listen %%port%%; proxy_ignore_headers X-Other; }")
    assert "invalid value \"X-Other\"" in h.run("-t", check=1).stderr


def test_echo_is_untouched(hinge, backend):
    assert hinge.proxy(backend(echo), "proxy_ignore_headers X-Accel-Redirect X-Accel-Expires X-Accel-Limit-Rate X-Accel-Buffering X-Accel-Charset Expires Cache-Control Set-Cookie Vary;").get("/").status == 200
