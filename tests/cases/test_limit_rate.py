"""limit_rate, limit_rate_after, $limit_rate, X-Accel-Limit-Rate, proxy_limit_rate. No case asserts a speed: only that what is not due has not come, and
that all of it comes in the end."""
import time

import pytest
from tools.backend import named, serve
from tools.beside import both, needs_nginx
from tools.times import PATIENCE, wait_until
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

BODY = b"".join(b"%07d " % i for i in range(12_500))  # 100 000 bytes that are all different


def collect(h, target="/", *fields, seconds=0.5):
    """What of the body has come after a moment, and the answer when it is whole."""
    with h.connect() as c:
        c.send(lines(f"GET {target} HTTP/1.1", "Host: a", *fields))
        c.sock.settimeout(seconds)
        data, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                data += c.sock.recv(65536)
            except TimeoutError:
                break
        early = len(data.partition(b"\r\n\r\n")[2])
        c.sock.settimeout(PATIENCE)
        c.reader.buffer = data
        res = c.response()
        assert res.body == BODY
        return early


@pytest.fixture
def origin(backend):
    return backend(named("200 OK", body=BODY))


class TestLimitRate:
    @pytest.mark.parametrize("text, least, most", [
        ("limit_rate 40k;", 40_960, 80_000),
        ("limit_rate 40k; limit_rate_after 20k;", 61_440, 95_000),
        ("limit_rate $arg_rate;", 40_960, 80_000),
        ("limit_rate 1; limit_rate_after $arg_after;", 100_000, 100_000),
        ("limit_rate 0;", 100_000, 100_000),
        ("limit_rate 0; limit_rate_after 10;", 100_000, 100_000),
        ("limit_rate $arg_none;", 100_000, 100_000),
        ("limit_rate 1m;", 100_000, 100_000),
    ])
    def test_not_more_than_is_due(self, hinge, origin, text, least, most):
        assert least <= collect(hinge.proxy(origin, text), "/?rate=40k&after=100000") <= most

    def test_an_answer_of_our_own(self, hinge):
        parts = [BODY[i:i + 2000].decode() for i in range(0, len(BODY), 2000)]
        text = "".join(f'set $p{i} "{p}";\n' for i, p in enumerate(parts))
        h = hinge.server(f'{text} limit_rate 40k; location / {{ return 200 "{"".join(f"$p{i}" for i in range(len(parts)))}"; }}')
        assert 40_960 <= collect(h) <= 80_000

    def test_set_overrides(self, hinge, origin):
        h = hinge.http("""server { listen %%port%%; limit_rate 1; set $limit_rate $arg_rate; location / { proxy_pass http://%%origin%%; add_header X-Rate $limit_rate; } }""", origin=origin)
        assert 40_960 <= collect(h, "/?rate=40k") <= 80_000
        assert collect(h, "/?rate=0") == 100_000
        assert h.get("/?rate=1m", method="HEAD")["X-Rate"] == "1048576"

    def test_a_wrong_value_of_a_variable(self, hinge, origin):
        h = hinge.proxy(origin, "limit_rate $arg_rate;")
        assert collect(h, "/?rate=fast") == 100_000
        assert 'invalid size "fast"' in h.log
        h = hinge.server("set $limit_rate fast; location / { return 200 '$limit_rate'; }")
        assert h.get("/").text == "0" and 'invalid $limit_rate "fast"' in h.log

    @pytest.mark.parametrize("text, rate, least, most", [("", 40_960, 40_960, 80_000), ("limit_rate 1;", 40_960, 40_960, 80_000), ("limit_rate 40k;", 0, 100_000, 100_000),
                                                         ("limit_rate_after 20k;", 40_960, 61_440, 95_000),
                                                         ("limit_rate 40k; proxy_ignore_headers X-Accel-Limit-Rate;", 0, 40_960, 80_000)])
    def test_x_accel_limit_rate(self, hinge, backend, text, rate, least, most):
        h = hinge.proxy(backend(named("200 OK", f"X-Accel-Limit-Rate: {rate}", body=BODY)), text)
        assert least <= collect(h) <= most

    def test_x_accel_limit_rate_holds_behind_a_redirect(self, hinge, backend, origin):
        first = backend(named("200 OK", "X-Accel-Redirect: @file", "X-Accel-Limit-Rate: 40960"))
        h = hinge.http("server { listen %%port%%; location / { proxy_pass http://%%first%%; } location @file { proxy_pass http://%%origin%%; } }", first=first, origin=origin)
        assert 40_960 <= collect(h) <= 80_000

    def test_many_at_once_and_a_client_that_leaves(self, hinge, origin):
        h = hinge.proxy(origin, "limit_rate 20k;")
        clients = [h.connect() for _ in range(20)]
        for c in clients:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
        for c in clients[::2]:
            c.exactly(1000)
            c.reset()
        for c in clients[1::2]:
            assert c.response().body == BODY
            c.close()

    def test_a_connection_serves_on(self, hinge, backend):
        h = hinge.proxy(backend(serve(lambda req: answer(req.target * 100))), "limit_rate 100k;")
        with h.connect() as c:
            for i in range(10):
                assert c.ask(lines(f"GET /{i} HTTP/1.1", "Host: a")).text == f"/{i}" * 100

    def test_a_reload_while_it_flows(self, hinge, origin):
        h = hinge.proxy(origin, "limit_rate 40k;")
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            h.reload()
            h.wait_log("generation 2 serves")
            assert c.response().body == BODY

    @pytest.mark.parametrize("line", ["limit_rate x;", "limit_rate -1;", "limit_rate_after x;", "limit_rate 1 2;", "proxy_limit_rate x;"])
    def test_refused(self, hinge, line):
        assert "[emerg]" in hinge.prepare_http("server { listen %%port%%; " + line + " }").run("-t", check=1).stderr

    @needs_nginx
    def test_like_nginx_short_answers_are_not_held(self, hinge, backend):
        pair = both(hinge, "server { listen %%port%%; location / { limit_rate 2k; proxy_pass http://%%origin%%; } }", origin=backend(named("200 OK", body=b"x" * 1500)))
        for h in pair:
            with h.connect() as c:
                c.sock.settimeout(0.8)
                assert c.ask(lines("GET / HTTP/1.1", "Host: a")).body == b"x" * 1500


class TestProxyLimitRate:
    def test_the_backend_is_read_slowly(self, hinge, backend):
        sent = []

        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 40000000"))
            try:
                for _ in range(4000):
                    conn.sock.sendall(b"x" * 10_000)
                    sent.append(1)
            except OSError:
                pass

        h = hinge.proxy(backend(script), "proxy_limit_rate 100k; proxy_max_temp_file_size 100m;")
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            wait_until(lambda: sent, "the backend could send nothing")
            time.sleep(0.5)
            assert sum(sent) < 2000  # the sockets' buffers, and half a second of it

    def test_all_of_it_comes(self, hinge, origin):
        h = hinge.proxy(origin, "proxy_limit_rate 60k;")
        assert collect(h) < 100_000

    @pytest.mark.parametrize("text", ["proxy_limit_rate 0;", "proxy_limit_rate $arg_none;", "proxy_limit_rate 1k; proxy_buffering off;"])
    def test_not_limited(self, hinge, origin, text):
        assert collect(hinge.proxy(origin, text)) == 100_000

    def test_with_a_variable_and_limit_rate(self, hinge, origin):
        h = hinge.proxy(origin, "proxy_limit_rate $arg_rate; limit_rate 80k;")
        assert collect(h, "/?rate=60k") < 100_000
