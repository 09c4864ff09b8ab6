"""error_page in all of its forms, recursive_error_pages, errors on the way to a page. nginx runs beside, with the same file."""
import pytest
from tools.backend import named
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

SAME = {
    "targets": ("""
        error_page 404 /missing; error_page 403 =200 /allowed?from=$request_method; error_page 405 = /broken; error_page 410 http://other.example/gone;
        error_page 411 =301 http://other.example/moved?$args; error_page 401 =418 /teapot; error_page 406 @named; error_page 407 =299 @named;
        error_page 424 409 412 = @named; error_page 415 =303 https://other.example$uri; error_page 416 =200 http://other.example/x; error_page 417 relative;
        error_page 418 =307 relative; error_page 420 $arg_to; error_page 421 /$arg_to?x; error_page 422 @$arg_to; error_page 423 =0 /missing;
        location / { return 404; } location /x200 { return 200 x; }
        location ~ ^/(\\d+)$ { set $c $1; """ + " ".join(f'if ($c = {n}) {{ return {n}; }}' for n in (
            300, 401, 403, 405, 406, 407, 424, 409, 410, 411, 412, 415, 416, 417, 418, 420, 421, 422, 423, 499)) + """ }
        location = /missing { return 200 "missing $request_uri $uri $args"; }
        location /broken { return 201 "broken"; } location /allowed { return 202 "allowed $uri $args"; }
        location /teapot { return 200 "teapot"; }
        location @named { return 200 "named $uri $args $request_method"; }
        location /to { return 200 "to $uri $args"; }""",
        [m + t + q for m in ("", "POST ", "HEAD ") for t in ("/none", "/300", "/401", "/403", "/405", "/406", "/407", "/424", "/409", "/410", "/411", "/412", "/415",
         "/416", "/417", "/418", "/423") for q in ("", "?a=b")] + [f"/{n}?to={to}" for n in (420, 421, 422) for to in ("/to", "to", "@named", "named", "http://o.example/y", "none", "")]),
    "levels": ("""
        error_page 404 /server; error_page 403 /server;
        location /a { return 404; }
        location /b { error_page 404 /location; return 404; }
        location /c { error_page 404 /location; return 403; }
        location /d { error_page 404 /location; location /d/e { return 404; } location /d/f { error_page 404 /nested; return 404; } }
        location /server { return 200 server; } location /location { return 200 location; } location /nested { return 200 nested; }""",
        ["/a", "/b", "/c", "/d", "/d/e", "/d/f"]),
    "the first that names the code": ("error_page 404 /one; error_page 404 403 /two; location / { return 404; } location /f { return 403; } "
                                      "location /one { return 200 one; } location /two { return 200 two; }", ["/", "/f"]),
    "an error of the page": ("""
        error_page 404 /gone; error_page 403 =200 /gone; error_page 405 = /gone; error_page 410 /text; error_page 402 = @none; error_page 406 /moved;
        error_page 409 =200 /text; error_page 411 /again; error_page 412 =200 /again; error_page 500 /five;
        location / { return 404; } location /403 { return 403; } location /405 { return 405; } location /410 { return 410; } location /402 { return 402; }
        location /406 { return 406; } location /409 { return 409; } location /411 { return 411; } location /412 { return 412; } location /500 { return 500; }
        location /gone { return 410; } location /text { return 404 text; } location /moved { return 302 /elsewhere; } location /again { return 411; }
        location /five { return 200 five; }""",
        ["/", "/403", "/405", "/410", "/402", "/406", "/409", "/411", "/412", "/500", "/gone", "/text"]),
    "recursive": ("""
        recursive_error_pages on; error_page 404 /a; error_page 403 /b; error_page 410 =200 /c; error_page 500 /five; error_page 402 =299 /a;
        location / { return 404; } location /a { return 403; } location /b { return 410; } location /c { return 201 "c $uri"; }
        location /402 { return 402; } location /five { return 200 five; }""", ["/", "/a", "/b", "/c", "/402", "/five"]),
    "recursive here and there": ("""
        error_page 404 /a; error_page 403 /b;
        location / { recursive_error_pages on; return 404; } location /a { return 403; } location /b { return 200 b; }
        location /x { return 404; }""", ["/", "/a", "/x"]),
    "a loop": ("error_page 404 /again; recursive_error_pages on; location / { return 404; }", ["/"]),
    "a loop of names": ("error_page 404 @again; recursive_error_pages on; location / { return 404; } location @again { return 404; }", ["/"]),
    "not recursive": ("error_page 404 /again; location / { return 404; }", ["/"]),
    "redirects can have a page": ("""
        error_page 301 =200 /page; error_page 302 http://other.example/; error_page 307 /page;
        location /a { return 301 /x; } location /b { return 302 /x; } location /c { rewrite ^ /x permanent; } location /d { return 307 /x; } location /page { return 200 "page $uri"; }""",
        ["/a", "/b", "/c", "/d"]),
    "a text has none": ("error_page 404 403 /page; location /a { return 404 text; } location /b { return 404; } location /c { return 403 $arg_t; } location /page { return 200 page; }",
                        ["/a", "/b", "/c", "/c?t=x"]),
    "server rules run again": ("""
        set $n "${n}s"; if ($uri = /page) { rewrite ^ /other; }
        error_page 404 /page; location / { return 404; } location /page { return 200 "page $n"; } location /other { return 200 "other $n"; }""", ["/", "/page"]),
    "not those of a named one": ("""
        set $n "${n}s"; error_page 404 = @page; location / { return 404; } location @page { set $n "${n}n"; return 200 "page $n $uri"; }""", ["/?x"]),
    "a named one goes on": ("""
        error_page 404 = @page; location / { return 404; } location @page { rewrite ^/a(.*)$ /b$1 last; return 200 "page $uri"; } location /b { return 200 "b $uri"; }""", ["/a/x", "/c"]),
    "internal": ("""
        error_page 404 /page; location / { return 200 x; } location /in { internal; return 200 in; } location /page { internal; return 200 page; }
        location /own { internal; error_page 404 =200 @own; } location @own { return 200 own; }""", ["/in", "/page", "/own", "/"]),
    "fields of the page's location": ("""
        error_page 404 =200 /page; add_header Allow server; location / { add_header Allow location always; return 404; } location /page { return 200 page; }
        location /other { add_header Allow other; return 404; }""", ["/", "/other"]),
    "too large": ("""
        error_page 413 /large; client_max_body_size 5; location / { return 200 x; } location /large { return 200 "large $request_method"; }""", ["/"]),
    "codes of nginx's own": ("error_page 494 495 496 497 /own; location / { return 494; } location /5 { return 495; } location /7 { return 497; } location /own { return 200 own; }", ["/", "/5", "/7"]),
    "no page at all": ("location / { error_page 404 /x; return 403; } location /y { return 503; }", ["/", "/y", "HEAD /y"]),
}


@needs_nginx
@pytest.mark.parametrize("name", SAME)
def test_the_same_as_nginx(hinge, name):
    text, requests = SAME[name]
    same_as_nginx(hinge, text.replace("\\\\", "\\"), requests)


@needs_nginx
def test_a_body_that_is_too_large(hinge):
    big = lines("POST / HTTP/1.1", "Host: a.example", "Content-Length: 100") + b"x" * 100
    text = "client_max_body_size 5; error_page 413 {} /large; location / {{ return 200 never; }} location /large {{ return 200 \"large $request_method\"; }}"
    for form in ("", "=200", "="):
        same_as_nginx(hinge, text.format(form).replace("return 200 never;", "proxy_pass http://127.0.0.1:1;"), [big])


INTERCEPT = """
    proxy_intercept_errors on;
    location / { %s proxy_pass http://%%%%origin%%%%; }
    location /page { return 200 "page $upstream_status $request_method"; }
    location /bad { proxy_pass http://%%%%origin%%%%; error_page 404 503 /page; }
    location @named { return 200 "named $uri"; }
    location @again { error_page 404 503 401 /page; proxy_pass http://%%%%origin%%%%; }"""


def statuses(conn):
    """/CODE is answered with that status."""
    while req := conn.request():
        code = req.target.strip("/").split("/")[-1].split("?")[0]
        code = code if code.isdigit() else "404"
        body = b"" if req.method == "HEAD" or code in ("204", "304") else f"theirs {req.method} {req.target}".encode()
        fields = ["WWW-Authenticate: Basic realm=x"] if code == "401" else ["Content-Type: x/y"]
        conn.send(answer(body, *fields, status=f"{code} Odd") if code not in ("204", "304") else lines(f"HTTP/1.1 {code} Odd"))


@needs_nginx
@pytest.mark.parametrize("page", [
    "", "error_page 404 503 /page;", "error_page 404 503 401 =200 /page;", "error_page 404 503 401 = /page;", "error_page 404 503 401 @named;",
    "error_page 404 503 401 = @again;", "error_page 404 503 401 @again;", "error_page 404 503 401 /bad;", "recursive_error_pages on; error_page 404 503 401 /bad;",
    "error_page 404 503 401 =302 http://other.example/;", "error_page 302 /page;", "error_page 404 /none;", "recursive_error_pages on; error_page 404 503 401 = @again;",
    "error_page 404 @nowhere;", "proxy_intercept_errors off; error_page 404 503 401 /page;",
])
def test_answers_of_a_backend(hinge, backend, page):
    requests = [f"{m}/{code}" for m in ("", "HEAD ", "POST ") for code in (200, 204, 302, 304, 401, 404, 500, 503)]
    same_as_nginx(hinge, INTERCEPT % page, requests, origin=backend(statuses))


@needs_nginx
@pytest.mark.parametrize("page", ["error_page 502 504 /page;", "error_page 502 = @named;", "error_page 502 =200 @dead;", "error_page 502 /dead;", "recursive_error_pages on; error_page 502 /dead;"])
def test_a_dead_backend(hinge, backend, page):
    same_as_nginx(hinge, f"""
        {page}
        location / {{ proxy_pass http://%%dead%%; }} location /page {{ return 200 page; }} location /dead {{ proxy_pass http://%%dead%%; error_page 502 =203 /page; }}
        location @named {{ return 200 "named $uri"; }} location @dead {{ proxy_pass http://%%dead%%; }}""", ["/", "HEAD /", "POST /x"], dead=backend(listening=False))


@needs_nginx
@pytest.mark.parametrize("line", [
    "error_page 404;", "error_page;", "error_page x /y;", "error_page 299 /y;", "error_page 600 /y;", "error_page 499 /y;", "error_page 404 =x /y;",
    "error_page =200 /y;", "error_page 404 x =200 /y;", "recursive_error_pages x;", "if ($uri) { error_page 404 /y; }",
])
def test_refused_like_nginx(hinge, line):
    refused_like_nginx(hinge, line)


def test_the_challenge_of_a_401_stays(hinge, backend):
    h = hinge.server("""
        proxy_intercept_errors on; error_page 401 /page; error_page 403 @other;
        location / { proxy_pass http://%%origin%%; } location /page { return 200 page; } location @other { proxy_pass http://%%origin%%; }
        """, origin=backend(statuses))
    res = h.get("/401")
    assert (res.status, res.text, res["WWW-Authenticate"]) == (401, "page", "Basic realm=x")


def test_a_body_reaches_the_named_location(hinge, backend):
    h = hinge.server("error_page 418 = @real; location / { return 418; } location @real { proxy_pass http://%%origin%%; }", origin=backend())
    seen = h.post("/x?y", b"some body").json()
    assert (seen["method"], seen["target"], seen["length"]) == ("POST", "/x?y", 9)


def test_captures_and_variables_go_along(hinge):
    h = hinge.server(r"""
        location ~ ^/(?<who>\w+)/(\w+)$ { error_page 404 = @page; return 404; }
        location @page { return 200 "$who $2"; }""")
    assert h.get("/tom/x").text == "tom x"


def test_redirects_of_a_backend_can_be_followed(hinge, backend):
    """The idiom of nginx users: error_page 302 = @follow, where $upstream_http_location is still known."""
    second = backend()
    first = backend(lambda conn: [conn.send(answer("", f"Location: http://{second}/there?x=1", "Set-Cookie: k=v", status="302 Found")) for _ in iter(conn.request, None)])
    h = hinge.server("""
        location / { proxy_pass http://%%first%%; proxy_intercept_errors on; error_page 302 = @follow; }
        location @follow { set $to $upstream_http_location; set $cookie $upstream_cookie_k; add_header X-Seen "$cookie $upstream_status"; proxy_pass $to; }
        """.replace("proxy_pass $to", "proxy_pass http://%%second%%$fixed").replace("set $to", "set $fixed /followed; set $to"), first=first, second=second)
    res = h.get("/x")
    assert (res.status, res.json()["target"], res["X-Seen"]) == (200, "/followed", "v 302 : 200")


REFUSED = {
    "a broken field": (400, lines("GET /x HTTP/1.1", "Host: a", "Bad Name: x")),
    "no host": (400, lines("GET /x HTTP/1.1")),
    "two hosts": (400, lines("GET /x HTTP/1.1", "Host: a", "Host: b")),
    "a broken path": (400, lines("GET /%00 HTTP/1.1", "Host: a")),
    "a broken length": (400, lines("POST /x HTTP/1.1", "Host: a", "Content-Length: x")),
    "a broken method": (400, lines("G@T /x HTTP/1.1", "Host: a")),
    "a long line": (414, lines("GET /" + "x" * 9000 + " HTTP/1.1", "Host: a")),
    "TRACE": (405, lines("TRACE /x HTTP/1.1", "Host: a")),
}


@needs_nginx
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_can_have_a_page(hinge, name):
    status, request = REFUSED[name]
    pages = f"error_page {status} /page; location / {{ return 200 never; }} location /page {{ return 200 \"page $uri $request_method\"; }}"
    assert same_as_nginx(hinge, pages, [request])[0][0] == status
    same_as_nginx(hinge, pages.replace(" /page;", " =302 http://other.example/;"), [request])


@pytest.mark.parametrize("name", REFUSED)
def test_the_page_of_a_refused_request_can_come_from_a_backend(hinge, backend, name):
    status, request = REFUSED[name]
    origin = backend()
    h = hinge.server(f"error_page {status} /page; location / {{ return 200 never; }} location /page {{ proxy_pass http://%%origin%%; }}", origin=origin)
    res = h.ask(request)
    seen = res.json()
    assert (res.status, seen["method"], seen["target"], seen["length"]) == (status, "GET", "/page", 0)
    assert not [v for n, v in seen["headers"] if n.lower() not in ("host", "connection", "accept")]


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_request_reaches_no_named_location(hinge, backend, name):
    status, request = REFUSED[name]
    origin = backend()
    h = hinge.server(f"error_page {status} = @page; location / {{ return 200 never; }} location @page {{ proxy_pass http://%%origin%%; }}", origin=origin)
    res = h.ask(request)
    assert res.status == status and "<html>" in res.text and not origin.requests


def test_a_refused_request_ends_its_connection_with_a_page_too(hinge):
    h = hinge.server("error_page 400 /page; location /page { return 200 page; }")
    with h.connect() as c:
        assert c.ask(REFUSED["a broken field"][1]).text == "page"
        c.assert_closed()
