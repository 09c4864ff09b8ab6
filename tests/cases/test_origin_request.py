"""What of a request goes to a backend, and from where: proxy_pass_request_headers, proxy_pass_request_body, proxy_set_body, proxy_bind, and
proxy_ignore_client_abort."""
import threading
import time

import pytest
from tools.backend import echo, says, serve
from tools.beside import both_proxies, needs_nginx
from tools.times import wait_until
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers


def names(seen):
    return {n.lower() for n, _ in seen["headers"]}


class TestFields:
    def test_off(self, hinge, backend):
        h = hinge.proxy(backend(), "proxy_pass_request_headers off; proxy_set_header X-Ours $http_x_theirs;")
        seen = h.post("/", b"body", "X-Theirs: 1", "User-Agent: u", "Cookie: a=b").json()
        assert names(seen) == {"host", "content-length", "x-ours"} and dict(seen["headers"])["X-Ours"] == "1" and seen["length"] == 4

    @needs_nginx
    @pytest.mark.parametrize("text", ["", "proxy_set_header Host $host;", "proxy_set_header Accept x; proxy_set_header X-Y $arg_y;"])
    def test_like_nginx(self, hinge, backend, text):
        pair = both_proxies(hinge, backend(), "proxy_http_version 1.1; proxy_pass_request_headers off;" + text)
        seen = [{n.lower(): v for n, v in h.get("/?y=1", "Accept: a", "X-A: 1").json()["headers"] if n != "Connection"} for h in pair]
        assert seen[0] == seen[1]


class TestBody:
    def test_not_passed(self, hinge, backend):
        h = hinge.proxy(backend(), "proxy_pass_request_body off;")
        with h.connect() as c:
            for body in (b"", b"x" * 10, b"x" * 300_000):
                seen = c.ask(lines("POST / HTTP/1.1", "Host: a", f"Content-Length: {len(body)}") + body).json()
                assert (seen["method"], seen["length"], seen["framing"]) == ("POST", 0, "none")
            seen = c.ask(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(b"abc", b"def")).json()
            assert seen["length"] == 0

    @pytest.mark.parametrize("request_buffering", ["on", "off"])
    @pytest.mark.parametrize("body, fields", [(b"", []), (b"", ["Content-Length: 3"]), (b"x" * 200_000, ["Content-Length: 200000"]), (chunked(b"abc"), ["Transfer-Encoding: chunked"])],
                             ids=["none", "short", "spilled", "chunked"])
    def test_set(self, hinge, backend, request_buffering, body, fields):
        h = hinge.proxy(backend(serve(lambda req: answer(req.body + b"|" + (req["Content-Length"] or "").encode()))), f'proxy_request_buffering {request_buffering}; proxy_set_body "a=$arg_a&b";')
        with h.connect() as c:
            for _ in range(3):
                text = body if body or not fields else b"xyz"
                assert c.ask(lines("POST /?a=12 HTTP/1.1", "Host: a", *fields) + text).text == "a=12&b|6"

    def test_a_get_and_an_empty_one(self, hinge, backend):
        script = serve(lambda req: answer(f"{req.method} {req.framing} {req.text}"))
        assert hinge.proxy(backend(script), "proxy_set_body b;").get("/").text == "GET length b"
        assert hinge.proxy(backend(script), 'proxy_set_body "";').post("/", b"x").text == "POST length "
        assert hinge.proxy(backend(script), "proxy_set_body b; proxy_pass_request_body off;").post("/", b"x").text == "POST length b"

    def test_a_waiting_client_is_asked(self, hinge, backend):
        h = hinge.proxy(backend(), "proxy_set_body own;")
        with h.connect() as c:
            c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 4", "Expect: 100-continue"))
            assert c.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert c.send(b"body").response().json()["length"] == 3

    def test_it_is_sent_again_to_the_next(self, hinge, backend):
        bad = backend(says(then="close"))
        h = hinge.http("""upstream u { server %%bad%%; server %%good%% backup; } server { listen %%port%%; location / { proxy_pass http://u;
            proxy_next_upstream error non_idempotent; proxy_set_body "body $uri"; } }""", bad=bad, good=backend())
        for i in range(3):
            assert h.post(f"/{i}", b"theirs" * 10_000).json()["length"] == len(f"body /{i}")
        assert bad.requests[0].body == b"body /0"

    def test_the_clients_body_is_there_for_a_later_pass(self, hinge, backend):
        h = hinge.http("""server { listen %%port%%; location / { proxy_pass http://%%bad%%; proxy_set_body own; proxy_intercept_errors on; error_page 500 @second; }
            location @second { proxy_pass http://%%good%%; } }""", bad=backend(serve(lambda req: answer(req.body, status="500 x"))), good=backend())
        assert h.post("/", b"x" * 50_000).json()["length"] == 50_000

    def test_too_large_stays_too_large(self, hinge, backend):
        assert hinge.proxy(backend(), "proxy_set_body own; client_max_body_size 10;").post("/", b"x" * 11).status == 413

    def test_http_1_0(self, hinge, backend):
        assert hinge.proxy(backend(), "proxy_http_version 1.0; proxy_set_body own;").post("/", b"x" * 11).json()["length"] == 3

    @needs_nginx
    @pytest.mark.parametrize("text", ["proxy_pass_request_body off; proxy_set_header Content-Length '';", "proxy_set_body 'v $arg_a';", "proxy_set_body '';", "proxy_set_body x; proxy_method PUT;"])
    @pytest.mark.parametrize("method, body", [("GET", None), ("POST", b"body"), ("HEAD", None)])
    def test_like_nginx(self, hinge, backend, text, method, body):
        origin = backend(serve(lambda req: answer(b"", f"X-Seen: {req.method} {req.framing} {req.text!r}")))
        seen = [h.get("/?a=1", method=method, body=body)["X-Seen"] for h in both_proxies(hinge, origin, "proxy_http_version 1.1;" + text)]
        assert seen[0] == seen[1]


class TestBind:
    def test_an_address(self, hinge, backend):
        origin = backend(lambda conn: serve(lambda req: answer(conn.sock.getpeername()[0]))(conn))
        h = hinge.http("""upstream u { server %%origin%%; keepalive 4; } proxy_bind 127.0.0.5; server { listen %%port%%; location / { proxy_pass http://u; }
            location /off { proxy_bind off; proxy_pass http://u; } location /var { proxy_bind $arg_from; proxy_pass http://u; }
            location /port { proxy_bind 127.0.0.9:0; proxy_pass http://u; } }""", origin=origin)
        for _ in range(3):  # kept connections are not mixed up
            assert [h.get(t).text for t in ("/", "/off", "/var?from=127.0.0.6", "/var?from=127.0.0.7", "/var", "/port")] == [
                "127.0.0.5", "127.0.0.1", "127.0.0.6", "127.0.0.7", "127.0.0.1", "127.0.0.9"]
        assert len(origin.connections) == 6 - 1  # /off and an empty value share

    def test_the_clients(self, hinge, backend):
        origin = backend(lambda conn: serve(lambda req: answer(conn.sock.getpeername()[0]))(conn))
        h = hinge.proxy(origin, "proxy_bind $remote_addr;")
        with h.connect(source="127.0.0.8") as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "127.0.0.8"

    @pytest.mark.parametrize("value, status, log", [("nonsense", 200, 'invalid local address "nonsense"'), ("192.0.2.1", 502, "Cannot assign requested address"), ("::1", 502, "connect() failed"),
                                                    ("unix:/x", 200, "invalid local address")])
    def test_what_cannot_be(self, hinge, backend, value, status, log):
        h = hinge.proxy(backend(), "proxy_bind $arg_from;")
        assert h.get(f"/?from={value}").status == status
        assert log in h.log

    def test_a_unix_backend_has_none(self, hinge, backend, tmp_path):
        tmp_path.chmod(0o755)
        for p in list(tmp_path.parents)[:3]:
            p.chmod(p.stat().st_mode | 0o111)
        assert hinge.proxy(str(backend(path=str(tmp_path / "s"))) + ":", "proxy_bind 127.0.0.5;").get("/").status == 200

    @pytest.mark.parametrize("line, why", [("$remote_addr transparent", '"transparent" is not supported'), ("127.0.0.1 other", 'invalid parameter "other"'), ("nonsense", "invalid address"), ("unix:/x", "invalid address")])
    def test_refused(self, hinge, line, why):
        h = hinge.prepare_http(f"server {{ listen %%port%%; location / {{ proxy_bind {line}; proxy_pass http://127.0.0.1:1; }} }}")
        assert why in h.run("-t", check=1).stderr


class TestClientAbort:
    def origin(self, backend, gate):
        def script(conn):
            while conn.request():
                gate.wait(10)
                conn.send(answer("done"))
        return backend(script)

    @pytest.mark.parametrize("end", ["close", "half_close"])
    def test_the_backend_goes_on(self, hinge, backend, end):
        gate = threading.Event()
        origin = self.origin(backend, gate)
        h = hinge.pooled(origin, "proxy_ignore_client_abort on;", access_log="log_format f '$status $upstream_status'; access_log a.log f;")
        c = h.connect()
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        origin.wait_requests(1)
        getattr(c, end)()
        time.sleep(0.1)
        assert not origin.connections[0].closed_by_peer.is_set()
        gate.set()
        if end == "half_close":
            assert c.response().text == "done"
        assert h.wait_lines("a.log")[0].endswith(" 200")
        assert h.get("/").text == "done"  # over the same connection: the answer was read whole
        assert len(origin.connections) == 1
        c.close()

    def test_off_it_is_closed(self, hinge, backend):
        gate = threading.Event()
        origin = self.origin(backend, gate)
        h = hinge.pooled(origin)
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            origin.wait_requests(1)
        origin.connections[0].closed_by_peer.wait(0.1)
        gate.set()
        wait_until(lambda: "client prematurely closed connection" in h.log, "the abort in the log")

    def test_not_with_half_a_body(self, hinge, backend):
        origin = backend(echo)
        h = hinge.proxy(origin, "proxy_ignore_client_abort on; proxy_request_buffering off;")
        with h.connect() as c:
            c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 100") + b"half")
            origin.wait_connections(1)
        origin.connections[0].assert_hung_up()

    def test_one_that_resets(self, hinge, backend):
        gate = threading.Event()
        origin = self.origin(backend, gate)
        h = hinge.pooled(origin, "proxy_ignore_client_abort on;")
        c = h.connect()
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        origin.wait_requests(1)
        c.reset()
        time.sleep(0.1)
        gate.set()
        wait_until(lambda: "client prematurely closed connection while sending to client" in h.log or h.get("/").text == "done", "the end of it")
        assert h.get("/").text == "done"


def test_send_lowat_is_tuning(hinge):
    h = hinge.prepare_http("server { listen %%port%%; location / { proxy_send_lowat 1k; proxy_pass http://127.0.0.1:1; } }")
    assert "[warn]" in h.run("-t", check=0).stderr
