"""Variables beside Debian's nginx: what both write into an access log for the same requests, "-" for what has no value.

One log line holds them all. Where nginx of that age (1.22) and the manual of the level we follow differ, the manual decides; these, and
what only we know, stand in EXPECTED with our value."""
import re

import pytest
from tools.compare import NGINX, needs_nginx
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

NAMES = """request request_uri request_method server_protocol scheme https uri document_uri args query_string is_args host http_host server_name
    arg_a arg_b arg_c arg_empty arg_flag arg_no cookie_sid cookie_other cookie_third cookie_sp cookie_q cookie_no
    http_user_agent http_referer http_x_own http_x_own_field http_cookie http_x_forwarded_for http_via http_connection http_upgrade http_te
    http_content_length http_transfer_encoding http_content_type http_authorization http_no http2
    content_type content_length remote_user request_length remote_addr binary_remote_addr server_addr connection_requests pipe hostname
    status body_bytes_sent request_completion sent_http_content_length sent_http_transfer_encoding sent_http_content_type sent_http_connection
    sent_http_last_modified sent_http_x_out sent_http_x_add sent_http_cache_control sent_http_link sent_http_etag sent_http_no sent_trailer_no
    upstream_status upstream_response_length upstream_http_x_out upstream_http_server upstream_http_date upstream_http_content_type
    upstream_http_content_length upstream_http_no upstream_http_x_accel_expires upstream_http_link upstream_http_status upstream_cookie_sid
    upstream_cookie_two upstream_cookie_no upstream_trailer_no upstream_cache_status proxy_add_x_forwarded_for request_body request_body_file""".split()

CONF = """
log_format l '""" + "|||".join(f"{name}=${name}" for name in NAMES) + """';
server {
    listen %%port%%; server_name named.example; access_log %%dir%%/l.log l; default_type text/plain; add_header X-Add added;
    location / { proxy_pass http://%%origin%%; proxy_set_header Connection close; }
    location /text { return 200 "hello"; }
    location /redirect { return 302 /x?y; }
    location /none { return 404 none; }
    location /empty { return 204; }
    location /refused { proxy_pass http://127.0.0.1:1; error_page 502 /text; }
    location /unbuffered { proxy_request_buffering off; proxy_pass http://%%origin%%; proxy_set_header Connection close; }
    location /large { client_body_buffer_size 4k; proxy_pass http://%%origin%%; proxy_set_header Connection close; }
}
"""
ORIGIN = answer(b"ok", "X-Out: out", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: back", "Content-Type: text/y; charset=utf-8",
                "Set-Cookie: sid=abc; Path=/", "Set-Cookie: two = 2 ; x=y", "Link: <a>", "Last-Modified: Thu, 01 Jan 1970 00:00:01 GMT",
                "X-Accel-Expires: 5", 'ETag: "e"')


def get(target="/", *fields, version="1.1", close=True):
    return lines(f"GET {target} HTTP/{version}", "Host: a", *fields, *(["Connection: close"] if close else []))


def post(body, *fields, target="/"):
    return lines(f"POST {target} HTTP/1.1", "Host: a", "Connection: close", *fields) + body


REQUESTS = {
    "everything": lines("GET /Some%20Path/./x?a=1&B=two&empty=&flag HTTP/1.1", "Host: Named.Example:8080", "User-Agent: test/1", "Referer: http://r/",
                        "X-Own-Field: own", "X-Own: o1", "Cookie: sid=abc; other=def", "Connection: close"),
    "1.0 without host": lines("GET / HTTP/1.0"),
    "empty query": get("/?"), "odd query": get("/?&a=&&b&c==x=y&A=2"), "prefix of a name": get("/?xa=1&a=2"), "encoded query": get("/?a=%20+b&b=a%26c#f".split("#")[0]),
    "host with a dot": lines("GET / HTTP/1.1", "Host: a.", "Connection: close"), "host with a port": lines("GET / HTTP/1.1", "Host: A:80", "Connection: close"),
    "absolute": lines("GET http://abs.example/p?a=1 HTTP/1.1", "Host: abs.example", "Connection: close"),
    "cookie spaces": get("/", 'Cookie: sid=a b ; sp = x y ;comma=1,third=t; q="quoted; x"'),
    "cookie case": get("/", "Cookie: SID=upper; sid=lower"), "cookie without value": get("/", "Cookie: sid; sid=second"),
    "cookie prefix": get("/", "Cookie: xsid=1;sid=2;other="), "cookie fields": get("/", "Cookie: a=b,sid=1;sp=2"), "cookie space": get("/", "Cookie:  sid  =  1  "),
    "forwarded": lines("GET / HTTP/1.1", "Host: a", "X-Forwarded-For: 1.1.1.1, 2.2.2.2", "Via: 1.1 x", "Connection: close, te", "TE: trailers", "Upgrade: websocket"),
    "empty fields": get("/", "X-Own: ", "User-Agent: "),
    "body": post(b"hello", "Content-Type: text/x", "Content-Length: 5"), "length with zeros": post(b"hello", "Content-Length: 0005"),
    "chunks": post(b"5\r\nhello\r\n4;x=y\r\n you\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "unbuffered": post(b"hello", "Content-Length: 5", target="/unbuffered"), "body nobody reads": post(b"hello", "Content-Length: 5", target="/text"),
    "head": lines("HEAD / HTTP/1.1", "Host: a", "Connection: close"), "options": lines("OPTIONS / HTTP/1.1", "Host: a", "Connection: close"),
    "user": get("/", "Authorization: Basic dXNlcjpwYTpzcw=="), "no user": get("/", "Authorization: Basic OnBhc3M="), "no colon": get("/", "Authorization: Basic dXNlcg=="),
    "spaces before the user": get("/", "Authorization: Basic   dXNlcjpwYTpzcw=="), "unpadded user": get("/", "Authorization: basic dXNlcjpwYTpzcw"),
    "bearer": get("/", "Authorization: Bearer x"),
    "text": get("/text"), "none": get("/none"), "empty": get("/empty"), "refused": get("/refused"), "1.0 kept": get("/text", "Connection: keep-alive", version="1.0", close=False),
    "redirect": get("/redirect"),
}

# request -> variable -> our value (a pattern), where it is not nginx 1.22's
EXPECTED = {
    "unbuffered": {"request_body": "-"},  # nginx has what came together with the head
    "1.0 kept": {"sent_http_connection": "keep-alive"},  # nginx's log runs when it has forgotten
    "redirect": {"sent_http_content_length": r"\d+", "body_bytes_sent": r"\d+"},  # the page names the server
}


def values(h, request):
    before = len(h.read("l.log").splitlines())
    with h.connect() as c:
        c.ask(request, request.split()[0].decode())
    line = h.wait_lines("l.log", before + 1)[before]
    return dict(pair.split("=", 1) for pair in line.split("|||"))


@pytest.fixture
def pair(hinge, backend):
    origin = backend(lambda conn: (conn.request(), conn.send(ORIGIN)))
    return [hinge.http(CONF, origin=origin, **more) for more in ({}, {"binary": NGINX})]


@needs_nginx
def test_every_request_is_told_alike(pair):
    wrong = []
    for name, request in REQUESTS.items():
        ours, theirs = (values(h, request) for h in pair)
        for variable in NAMES:
            want = EXPECTED.get(name, {}).get(variable)
            good = re.fullmatch(want, ours[variable]) if want else ours[variable] == theirs[variable]
            if not good:
                wrong.append(f"{name}: ${variable} is {ours[variable]!r}, not {want or theirs[variable]!r}")
    assert not wrong, "\n".join(wrong)


@needs_nginx
def test_a_body_beyond_the_buffer(pair):
    request = post(b"x" * 20_000, "Content-Length: 20000", target="/large")
    ours, theirs = (values(h, request) for h in pair)
    assert ours["request_body"] == theirs["request_body"] == "-"
    assert ours["request_body_file"] == "-" and theirs["request_body_file"] != "-"
    assert ours["request_length"] == theirs["request_length"]


@needs_nginx
def test_pipelining_is_told_alike(pair):
    for h in pair:
        with h.connect() as c:
            c.send(get("/text", close=False) * 2 + get("/none"))
            assert [c.response().status for _ in range(3)] == [200, 200, 404]
        marks = [re.search(r"\|\|\|pipe=(.)", line)[1] for line in h.wait_lines("l.log", 3)]
        assert marks == [".", "p", "p"]
        with h.connect() as c:
            for _ in range(2):
                c.ask(get("/text", close=False))
        assert [re.search(r"\|\|\|pipe=(.)", line)[1] for line in h.wait_lines("l.log", 5)][3:] == [".", "."]


@needs_nginx
@pytest.mark.parametrize("name", ["nothing_like_this", "arg", "http", "cookiefoo"])
def test_an_unknown_name_is_refused_in_nginxs_words(hinge, name):
    for more in ({}, {"binary": NGINX}):
        done = hinge.prepare_http("server { listen %%port%%; return 200 $" + name + "; }", **more).run("-t")
        assert done.returncode == 1 and f'unknown "{name}" variable' in done.stderr


def test_several_fields_of_one_name_are_joined(hinge, backend):
    """nginx does so since 1.23."""
    origin = backend(lambda conn: (conn.request(), conn.send(ORIGIN)))
    h = hinge.http("""log_format l '$http_x|$http_cookie|$sent_http_set_cookie|$upstream_http_set_cookie|$http_x_forwarded_for';
        server { listen %%port%%; access_log %%dir%%/l.log l; location / { proxy_pass http://%%origin%%; proxy_set_header Connection close; } }""", origin=origin)
    h.get("/", "X: 1", "x: 2", "Cookie: a=1", "Cookie: b=2", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2")
    cookies = "sid=abc; Path=/, two = 2 ; x=y"
    assert h.wait_lines("l.log") == [f"1, 2|a=1; b=2|{cookies}|{cookies}|1.1.1.1, 2.2.2.2"]


def test_the_body_goes_where_it_is_written(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin, 'proxy_set_header X-Body "<$request_body>";')
    assert h.post("/", b"a=1&b=2").status == 200
    assert origin.requests[0]["X-Body"] == "<a=1&b=2>" and origin.requests[0].body == b"a=1&b=2"


def test_the_body_is_there_for_every_try(hinge, backend):
    """The first backend fails, the second gets the same field and the same body."""
    bad, good = backend(lambda conn: conn.request(), name="bad"), backend(name="good")
    h = hinge.http("""upstream u { server %%bad%%; server %%good%% backup; } log_format l '$request_body';
        server { listen %%port%%; access_log %%dir%%/l.log l; location / { proxy_next_upstream error timeout non_idempotent; proxy_pass http://u; } }""", bad=bad, good=good)
    assert h.post("/", b"hello").status == 200
    assert [r.body for r in bad.requests + good.requests] == [b"hello"] * 2
    assert h.wait_lines("l.log") == ["hello"]


def test_trailers(hinge, backend):
    body = b"2\r\nok\r\n0\r\nX-Sum: 12\r\nX-Sum: 34\r\n\r\n"
    origin = backend(lambda conn: (conn.request(), conn.send(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + body)))
    h = hinge.http("""log_format l '$sent_trailer_x_sum|$upstream_trailer_x_sum|$sent_trailer_no';
        server { listen %%port%%; access_log %%dir%%/l.log l; location / { proxy_pass_trailers on; proxy_http_version 1.1; proxy_pass http://%%origin%%; proxy_set_header Connection close; } }""", origin=origin)
    h.get("/", "TE: trailers")
    h.get("/")
    assert h.wait_lines("l.log", 2) == ["12, 34|12, 34|-", "-|-|-"]


def test_what_the_connection_becomes(hinge):
    h = hinge.server("add_header X-Now $sent_http_connection; return 200;")
    with h.connect() as c:
        assert c.ask(get("/", close=False))["X-Now"] == "keep-alive"
        assert c.ask(get("/"))["X-Now"] == "close"
