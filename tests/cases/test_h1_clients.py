"""HTTP/1 towards clients: keep-alive, pipelining, versions, methods, and how an answer is framed for whom."""
import os
import shutil
import threading

import pytest
from tools.backend import answers, says, serve
from tools.server import BINARY
from tools.times import PATIENCE
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


def get(target="/", *fields, version="1.1"):
    return lines(f"GET {target} HTTP/{version}", "Host: a", *fields)


def post(target, body):
    return lines(f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}") + body


CHUNKED = answers(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"he", b"llo"))
UNTIL_CLOSE = says(lines("HTTP/1.1 200 OK") + b"hello")


def test_a_connection_serves_many_requests(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        for i in range(50):
            assert c.ask(get(f"/{i}")).json()["target"] == f"/{i}"


def test_connection_close_is_obeyed_and_announced(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        res = c.ask(get("/", "Connection: close"))
        assert (res.status, res["Connection"]) == (200, "close")
        c.assert_closed()


def test_close_is_found_in_a_list_without_case(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        assert c.ask(get("/", "Connection: x-a ,  Close")).status == 200
        c.assert_closed()


def test_a_1_0_client_is_closed_after_one_answer(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        assert c.ask(get("/", version="1.0")).status == 200
        c.assert_closed()


def test_a_1_0_client_may_keep_the_connection(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        for i in range(3):
            res = c.ask(get(f"/{i}", "Connection: keep-alive", version="1.0"))
            assert (res.json()["target"], res["Connection"]) == (f"/{i}", "keep-alive")


def test_a_1_0_client_needs_no_host(hinge, backend):
    h = hinge.proxy(backend())
    assert h.ask(lines("GET /old HTTP/1.0")).json()["target"] == "/old"


def test_answers_carry_our_own_version(hinge, backend):
    h = hinge.proxy(backend(says(lines("HTTP/1.0 200 OK", "Content-Length: 2") + b"ok")))
    res = h.ask(get())
    assert (res.version, res.body) == ("1.1", b"ok")


def test_pipelined_requests_are_answered_in_order(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        c.send(b"".join(get(f"/{i}") for i in range(20)))
        assert [c.response().json()["target"] for _ in range(20)] == [f"/{i}" for i in range(20)]


def test_pipelined_requests_with_bodies_between_stay_apart(hinge, backend):
    h = hinge.proxy(backend())
    bodies = [b"", b"a", b"GET /no HTTP/1.1\r\n\r\n", b"x" * 100000, b"last"]
    with h.connect() as c:
        c.send(b"".join(post(f"/{i}", body) + get(f"/after-{i}") for i, body in enumerate(bodies)))
        for i, body in enumerate(bodies):
            seen = c.response().json()
            assert (seen["target"], seen["length"]) == (f"/{i}", len(body))
            assert c.response().json()["target"] == f"/after-{i}"


def test_pipelined_requests_behind_a_chunked_body_stay_apart(hinge, backend):
    h = hinge.proxy(backend())
    with h.connect() as c:
        c.send(lines("POST /first HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(b"one", b"two") + get("/second"))
        assert c.response().json()["length"] == 6
        assert c.response().json()["target"] == "/second"


def test_a_pipelined_flood_is_answered_to_the_last(hinge):
    h = hinge.server("return 200 $request_uri;", main="")
    n = 500  # below keepalive_requests
    with h.connect() as c:
        c.send(b"".join(get(f"/{i}") for i in range(n)))
        assert [c.response().text for _ in range(n)] == [f"/{i}" for i in range(n)]


def test_nothing_behind_connection_close_is_served(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin)
    with h.connect() as c:
        c.send(get("/one", "Connection: close") + get("/two"))
        assert c.response().status == 200
        c.assert_closed()
    assert origin.targets == ["/one"]


def test_a_client_that_half_closes_is_answered_or_let_go(hinge, backend):
    h = hinge.proxy(backend(answers(answer(b"late"))))
    with h.connect() as c:
        c.send(get()).half_close()
        raw = c.all_bytes()
        assert raw == b"" or raw.endswith(b"late")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_bodiless_statuses_keep_the_connection(hinge, backend, status):
    h = hinge.proxy(backend(answers(lines(f"HTTP/1.1 {status}", "ETag: \"x\""))))
    with h.connect() as c:
        for _ in range(2):
            res = c.ask(get())
            assert (res.status, res.body, res["ETag"]) == (int(status[:3]), b"", '"x"')
        c.assert_open_and_quiet()


def test_head_keeps_the_length_and_has_no_body(hinge, backend):
    h = hinge.proxy(backend(answers(lines("HTTP/1.1 200 OK", "Content-Length: 1000"))))
    with h.connect() as c:
        for _ in range(2):
            res = c.ask(lines("HEAD / HTTP/1.1", "Host: a"))
            assert (res.status, res["Content-Length"], res.body) == (200, "1000", b"")
        c.assert_open_and_quiet()


def test_head_of_a_chunked_answer_has_no_body(hinge, backend):
    h = hinge.proxy(backend(answers(lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked"))))
    with h.connect() as c:
        res = c.ask(lines("HEAD / HTTP/1.1", "Host: a"))
        assert (res.status, res["Content-Length"]) == (200, None)
        c.assert_open_and_quiet()


def test_head_of_an_answer_of_our_own_has_the_length_of_get(hinge):
    h = hinge.server("return 200 hello;")
    with h.connect() as c:
        assert c.ask(lines("HEAD / HTTP/1.1", "Host: a"))["Content-Length"] == "5"
        assert c.ask(get()).body == b"hello"


def test_a_length_from_the_backend_stays_a_length(hinge, backend):
    h = hinge.proxy(backend(answers(answer(b"hello"))))
    for version in ("1.0", "1.1"):
        res = h.ask(get(version=version))
        assert (res.framing, res.body) == ("length", b"hello")


@pytest.mark.parametrize("script", [CHUNKED, UNTIL_CLOSE], ids=["chunked", "until close"])
def test_an_unknown_length_is_chunked_for_1_1(hinge, backend, script):
    h = hinge.proxy(backend(script))
    with h.connect() as c:
        for _ in range(2):
            res = c.ask(get())
            assert (res.framing, res.body) == ("chunked", b"hello")


@pytest.mark.parametrize("script", [CHUNKED, UNTIL_CLOSE], ids=["chunked", "until close"])
@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_an_unknown_length_ends_by_close_for_1_0(hinge, backend, script, connection):
    h = hinge.proxy(backend(script))
    with h.connect() as c:
        res = c.ask(get("/", f"Connection: {connection}", version="1.0"))
        assert (res.framing, res.body) == ("close", b"hello")
        assert res["Connection"] != "keep-alive"
        c.assert_closed()


def test_early_hints_reach_1_1_clients(hinge, backend):
    h = hinge.proxy(backend(says(lines("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload"), answer(b"done"))))
    with h.connect() as c:
        res = c.ask(get())
        assert [(i.status, i["Link"]) for i in res.interim] == [(103, "</a.css>; rel=preload")]
        assert res.body == b"done"


def test_interim_answers_are_not_for_1_0_clients(hinge, backend):
    h = hinge.proxy(backend(says(lines("HTTP/1.1 103 Early Hints", "Link: </a.css>") + answer(b"done"))))
    res = h.ask(get(version="1.0"))
    assert (res.interim, res.body) == ([], b"done")


def test_trailers_of_an_answer_are_dropped_unless_asked_for(hinge, backend):
    reply = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Trailer: X-Sum") + chunked(b"hello", trailers=["X-Sum: 1", "Set-Cookie: a=b"])
    origin = backend(answers(reply))
    h = hinge.pooled(origin)
    with h.connect() as c:
        for _ in range(2):
            res = c.ask(get())
            assert (res.body, res.trailers.pairs) == (b"hello", [])
    assert len(origin.connections) == 1


def test_trailers_for_a_client_that_wants_them_hold_nothing_that_acts(hinge, backend):
    reply = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked") + chunked(b"hello", trailers=["X-Sum: 1", "Set-Cookie: a=b", "Location: /"])
    for rule, kept in (("", []), ("proxy_pass_trailers on;", [("X-Sum", "1")])):
        res = hinge.proxy(backend(answers(reply)), rule).ask(get("/", "TE: trailers"))
        assert res.body == b"hello" and res.trailers.pairs == kept


def test_hop_by_hop_fields_of_an_answer_do_not_travel(hinge, backend):
    hop = ["Connection: X-Mine, keep-alive", "Keep-Alive: timeout=5", "Proxy-Connection: close", "X-Mine: 1", "Upgrade: h2c", "X-Other: 2"]
    h = hinge.proxy(backend(answers(answer(b"hello", *hop))))
    res = h.ask(get())
    assert res["X-Other"] == "2"
    assert not set(res.headers.names()) & {"keep-alive", "proxy-connection", "x-mine", "upgrade"}
    assert res["Connection"] in (None, "keep-alive")


def test_fields_travel_in_order_and_unchanged(hinge, backend):
    fields = ["X-One: 1", "x-TWO: a  b", "Set-Cookie: a=1", "X-One: 2", "Set-Cookie: b=2; Path=/", "X-Empty:", "X-Latin: \xe4\xf6"]
    origin = backend(answers(answer(b"", *fields)))
    h = hinge.proxy(origin)
    res = h.ask(get("/", *fields[:2], *fields[3:4], "Cookie: a=1", *fields[5:]))

    def ours(message):
        return [p for p in message.headers.pairs if p[0].lower().startswith(("x-", "set-"))]

    assert ours(res) == [tuple(f.split(":", 1)[0:1]) + (f.split(":", 1)[1].strip(" "),) for f in fields]
    assert ours(origin.requests[0]) == [("X-One", "1"), ("x-TWO", "a  b"), ("X-One", "2"), ("X-Empty", ""), ("X-Latin", "\xe4\xf6")]


def test_any_method_is_passed_on(hinge, backend):
    h = hinge.proxy(backend())
    for method in ("PUT", "PATCH", "PROPFIND", "M-SEARCH", "get", "X"):
        assert h.ask(lines(f"{method} / HTTP/1.1", "Host: a", "Content-Length: 0")).json()["method"] == method


def test_options_asterisk_is_passed_on(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin)
    assert h.ask(lines("OPTIONS * HTTP/1.1", "Host: a")).status == 200
    assert origin.targets == ["*"]


def test_trace_is_not_answered_here(hinge, backend):
    origin = backend()
    res = hinge.proxy(origin).ask(lines("TRACE / HTTP/1.1", "Host: a", "Cookie: secret=1"))
    assert res.status == 405 and b"secret" not in res.body
    assert origin.requests == []


def test_the_absolute_form_is_accepted(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin, "proxy_set_header Host $host;")
    assert h.ask(lines("GET http://b.example:80/x?y=1 HTTP/1.1", "Host: a")).json()["target"] == "/x?y=1"
    assert h.ask(lines("GET http://b.example?y=1 HTTP/1.1", "Host: a")).json()["target"] == "/?y=1"
    assert [r["Host"] for r in origin.requests] == ["b.example", "b.example"]


def test_an_answer_begins_before_it_is_complete(hinge, backend):
    got_first = threading.Event()

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"first")
        got_first.wait(PATIENCE)
        conn.send(b"later")

    h = hinge.proxy(backend(script), "proxy_buffering off;")
    with h.connect() as c:
        c.send(get())
        assert b" 200 " in c.reader.until(b"\r\n\r\n")
        assert c.exactly(5) == b"first"
        got_first.set()
        assert c.exactly(5) == b"later"


def test_a_client_that_leaves_frees_the_backend(hinge, backend):
    origin = backend(lambda conn: (conn.request(), conn.wait_closed()))
    h = hinge.proxy(origin)
    with h.connect() as c:
        c.send(get())
        origin.wait_requests(1)
        c.reset()
    origin.connections[0].assert_hung_up()


def test_a_reset_in_the_middle_of_a_request_does_no_harm(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin)
    for cut in (b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"):
        with h.connect() as c:
            c.send(cut)
            c.reset()
    assert h.get("/honest").status == 200
    assert origin.targets == ["/honest"]


def test_a_date_and_a_server_are_sent_once(hinge, backend):
    h = hinge.proxy(backend(serve(lambda req: answer(b"", "Date: Thu, 01 Jan 1970 00:00:00 GMT", "Server: other"))))
    res = h.ask(get())
    assert res["Date"] and res["Server"]


OLD_BROWSERS = ["Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.0)", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)",
                "Mozilla/4.0 (compatible; MSIE 5.5; Windows 98)", "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 5.1)", "MSIE 6.", "MSIE 6.0",
                "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1) Opera 7.54",
                "Mozilla/5.0 (Macintosh; U; PPC Mac OS X; en) AppleWebKit/125.2 (KHTML, like Gecko) Safari/125.8",
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/90.0 Safari/537.36",
                "Mozilla/5.0 (Windows; U; Windows NT 6.1) AppleWebKit/533.19 (KHTML, like Gecko) Safari/533.19", "curl/7.88.1"]
KEEPALIVE_DISABLE = """
    server {
        listen %%port%%;
        location / { return 200; }
        location /none { keepalive_disable none; return 200; }
        location /msie6 { keepalive_disable msie6; return 200; }
        location /safari { keepalive_disable safari; return 200; }
        location /both { keepalive_disable msie6 safari; return 200; }
    }"""


@pytest.mark.parametrize("binary", [BINARY, pytest.param(NGINX, marks=needs_nginx)], ids=["hinge", "nginx"])
def test_keepalive_disable_knows_old_browsers(hinge, binary):
    """The default is msie6. An old Internet Explorer is closed after a POST, an old Safari after anything."""
    old_msie, old_safari = (0, 2, 5), (7,)
    h = hinge.http(KEEPALIVE_DISABLE, binary=binary)
    for target, msie6, safari in (("/", 1, 0), ("/none", 0, 0), ("/msie6", 1, 0), ("/safari", 0, 1), ("/both", 1, 1)):
        for i, agent in enumerate(OLD_BROWSERS):
            for method in ("GET", "POST"):
                res = h.ask(lines(f"{method} {target} HTTP/1.1", "Host: a", f"User-Agent: {agent}", *["Content-Length: 0"] * (method == "POST")))
                closes = bool(safari and i in old_safari or msie6 and i in old_msie and method == "POST")
                assert (res.status, res["Connection"] == "close") == (200, closes), (target, agent, method)
