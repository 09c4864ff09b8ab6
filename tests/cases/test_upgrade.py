"""WebSocket and other upgrades, as nginx's users write them: a tunnel behind a 101 that was asked for, and never without (rows U1 to U4)."""
import asyncio
import hashlib
import os
import shutil
import signal
import socket
import threading
import time

import pytest
from tools.backend import echo, says
from tools.times import PATIENCE, SLOW, wait_until
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")

UPGRADE = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; '
ASK = lines("GET /chat HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo/1")
SWITCH = lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: foo/1")


def shout(conn):
    """Switches, and answers bytes with the same bytes in capitals until the client has no more."""
    if not conn.head():
        return
    conn.send(SWITCH)
    early, conn.reader.buffer = conn.reader.buffer, b""
    if early:
        conn.send(early.upper())
    while data := conn._more():
        conn.send(data.upper())


def switched(h, request=ASK, **kwargs):
    """A connection behind its 101."""
    c = h.connect(**kwargs)
    res = c.ask(request)
    assert res.status == 101, res.head
    return c


class TestSwitching:
    def test_bytes_both_ways(self, hinge, backend):
        origin = backend(shout)
        h = hinge.proxy(origin, UPGRADE, access_log="log_format t '$status $upstream_status $body_bytes_sent $upstream_bytes_received';"
                                                    "access_log %%dir%%/a.log t;")
        with h.connect() as c:
            res = c.ask(ASK)
            assert (res.status, res["Upgrade"], res["Connection"]) == (101, "foo/1", "upgrade")
            assert "Content-Length" not in res and "Transfer-Encoding" not in res
            for word in (b"hello", b"\0\1\2\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"x" * 100_000):
                assert c.send(word).exactly(len(word)) == word.upper()
            c.half_close()
            c.assert_closed()
        (req,) = origin.requests
        assert (req["Upgrade"], req["Connection"], req.target) == ("foo/1", "upgrade", "/chat")
        total = len(b"hello") + 25 + 100_000
        assert h.wait_lines("a.log") == [f"101 101 {total} {total + len(SWITCH)}"]

    @pytest.mark.parametrize("conf", [
        UPGRADE,
        'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $http_connection;',
        'proxy_set_header Upgrade foo/1; proxy_set_header Connection Upgrade;',
        'proxy_set_header Upgrade "foo/1, websocket"; proxy_set_header Connection "keep-alive, Upgrade";',
        UPGRADE + "proxy_buffering off; proxy_request_buffering off;",
        UPGRADE + "proxy_buffer_size 1k; proxy_max_temp_file_size 1m;",
    ])
    def test_ways_to_write_it(self, hinge, backend, conf):
        h = hinge.proxy(backend(shout), conf)
        with switched(h) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"

    def test_through_an_upstream_and_the_map_of_every_guide(self, hinge, backend):
        """Requests that ask for no other protocol share a connection, and one that does may have it for itself."""
        def script(conn):
            for _ in range(2):
                conn.request()
                conn.send(answer(b"x"))
            shout(conn)
        origin = backend(script)
        h = hinge.http("""map $http_upgrade $connection_upgrade { default upgrade; '' ""; }
            upstream u { server %%origin%%; keepalive 4; }
            server { listen %%port%%;
                     location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
                                  proxy_set_header Connection $connection_upgrade; } }""", origin=origin)
        h.get("/")
        h.get("/")
        assert len(origin.connections) == 1
        with switched(h) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
        assert len(origin.connections) == 1

    def test_the_first_bytes_of_the_backend_come_with_its_101(self, hinge, backend):
        def script(conn):
            conn.head()
            conn.send(SWITCH + b"at once")
            conn.hang()
        with switched(hinge.proxy(backend(script), UPGRADE)) as c:
            assert c.exactly(7) == b"at once"

    def test_a_101_in_drops(self, hinge, backend):
        def script(conn):
            conn.head()
            conn.drip(SWITCH + b"x")
            conn.hang()
        with switched(hinge.proxy(backend(script), UPGRADE)) as c:
            assert c.exactly(1) == b"x"

    def test_100_and_103_before_the_101(self, hinge, backend):
        def script(conn):
            conn.head()
            conn.send(lines("HTTP/1.1 100 Continue"), lines("HTTP/1.1 103 Early Hints", "Link: </x>"), SWITCH + b"x")
            conn.hang()
        with switched(hinge.proxy(backend(script), UPGRADE)) as c:
            assert c.exactly(1) == b"x"

    def test_another_try_before_the_101(self, hinge, backend):
        dead, live = backend(lambda conn: conn.head() and conn.reset()), backend(shout)
        h = hinge.http("upstream u { server %%dead%%; server %%live%%; } server { listen %%port%%; location / { proxy_pass http://u; "
                       + UPGRADE + " } }", dead=dead, live=live)
        with switched(h) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
        assert dead.requests and live.requests

    def test_add_header_is_in_the_101(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE + "add_header X-Own yes always;")
        with h.connect() as c:
            res = c.ask(ASK)
            assert res["X-Own"] == "yes" and res["Server"].startswith("hinge") and "Date" in res


class TestU1:
    """What a client sends before the 101 is held, and forwarded as nothing but bytes of the tunnel."""

    def test_early_bytes_are_held(self, hinge, backend):
        asked, go = threading.Event(), threading.Event()

        def script(conn):
            conn.head()
            asked.set()
            go.wait(PATIENCE)
            assert not conn.reader.buffer and len(conn.requests) == 1
            conn.send(SWITCH)
            conn.send(conn.reader.exactly(len(hidden)).upper())
            conn.hang()

        hidden = lines("GET /hidden HTTP/1.1", "Host: a")
        origin = backend(script)
        h = hinge.proxy(origin, UPGRADE)
        with h.connect() as c:
            c.send(ASK + hidden)
            assert asked.wait(PATIENCE)
            time.sleep(0.1)
            go.set()
            assert c.response().status == 101
            assert c.exactly(len(hidden)) == hidden.upper()
        assert origin.targets == ["/chat"]

    def test_no_more_is_held_than_a_head(self, hinge, backend):
        """The rest waits in the kernel: the proxy does not read on."""
        def script(conn):
            conn.head()
            conn.hang()
        h = hinge.proxy(backend(script), UPGRADE)
        before = h.rss()
        with h.connect() as c:
            c.send(ASK)
            c.sock.settimeout(0.5)
            with pytest.raises(socket.timeout):
                while True:
                    c.sock.sendall(b"x" * 1_000_000)
            assert h.rss() - before < 8_000_000

    @pytest.mark.parametrize("status", ["200 OK", "426 Upgrade Required", "400 Bad Request"])
    def test_an_ordinary_answer_to_a_request_with_bytes_behind(self, hinge, backend, status):
        def script(conn):
            conn.head()
            conn.send(answer(b"no", status=status))
            conn.hang()
        origin = backend(script)
        h = hinge.proxy(origin, UPGRADE)
        with h.connect() as c:
            c.send(ASK + lines("GET /hidden HTTP/1.1", "Host: a"))
            res = c.response()
            assert res.status == int(status[:3]) and res["Connection"] == "close"
            c.assert_closed()
        origin.connections[0].assert_hung_up()
        assert origin.targets == ["/chat"]

    def test_an_ordinary_answer_keeps_the_client(self, hinge, backend):
        """Nothing lies behind the request: the client may ask something else, and the backend's connection goes."""
        origin = backend()
        h = hinge.http("upstream u { server %%origin%%; keepalive 4; } server { listen %%port%%; location / { proxy_pass http://u; "
                       + UPGRADE + " } }", origin=origin)
        with h.connect() as c:
            assert c.ask(ASK).status == 200
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).status == 200
        assert len(origin.connections) == 2


class TestU2:
    @pytest.mark.parametrize("asked, arrives", [
        ("h2c", None), ("H2C", None), ("h2c, foo/1", "foo/1"), ("foo/1,h2c", "foo/1"), ("HTTP/2.0", None), ("h2", None),
    ])
    def test_http_is_never_tunnelled(self, hinge, backend, asked, arrives):
        origin = backend()
        h = hinge.proxy(origin, UPGRADE)
        h.get("/", f"Upgrade: {asked}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
        with h.connect() as c:
            c.ask(lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade, HTTP2-Settings", f"Upgrade: {asked}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"))
        plain, asking = origin.requests
        assert "Upgrade" not in plain and "HTTP2-Settings" not in plain
        assert asking["Upgrade"] == arrives and "HTTP2-Settings" not in asking
        assert arrives or asking["Connection"] != "upgrade"


class TestU3:
    @pytest.mark.parametrize("request_, conf", [
        (lines("GET / HTTP/1.0", "Host: a", "Connection: Upgrade", "Upgrade: foo/1"), UPGRADE),
        (lines("GET / HTTP/1.1", "Host: a", "Upgrade: foo/1"), UPGRADE),
        (lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade"), UPGRADE),
        (lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: "), UPGRADE),
        (lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo bar"), UPGRADE),
        (lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: other"), UPGRADE.replace("$http_upgrade", "foo/1")),
        (lines("POST / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo/1", "Content-Length: 3") + b"abc", UPGRADE),
        (lines("POST / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo/1", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n", UPGRADE),
        (ASK, ""),
        (ASK, "proxy_set_header Upgrade $http_upgrade;"),
        (ASK, 'proxy_set_header Connection "upgrade";'),
        (ASK, 'proxy_set_header Upgrade ""; proxy_set_header Connection "upgrade";'),
        (ASK, UPGRADE.replace("1.1", "1.0")),
    ])
    def test_not_asked_for(self, hinge, backend, request_, conf):
        origin = backend()
        h = hinge.proxy(origin, conf)
        with h.connect() as c:
            res = c.ask(request_)
            assert res.status == 200
        (req,) = origin.requests
        assert "Upgrade" not in req and req["Connection"] != "upgrade"
        assert req.body == (b"abc" if b"POST" in request_ else b"")

    def test_a_101_to_it_is_a_502(self, hinge, backend):
        h = hinge.proxy(backend(says(SWITCH, then="hang")), UPGRADE)
        assert h.ask(lines("POST / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo/1", "Content-Length: 3") + b"abc").status == 502

    def test_connect_stays_refused(self, hinge, backend):
        h = hinge.proxy(backend(), UPGRADE)
        with h.connect() as c:
            assert c.ask(lines("CONNECT a:443 HTTP/1.1", "Host: a:443", "Connection: Upgrade", "Upgrade: foo/1")).status == 405


class TestU4:
    @pytest.mark.parametrize("head", [
        lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: other"),
        lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: foo/1, other"),
        lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: h2c"),
        lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade"),
        lines("HTTP/1.1 101 Switching Protocols", "Upgrade: foo/1"),
        lines("HTTP/1.0 101 Switching Protocols", "Connection: upgrade", "Upgrade: foo/1"),
    ])
    def test_a_101_to_something_else_is_a_502(self, hinge, backend, head):
        origin = backend(says(head + b"bytes", then="hang"))
        h = hinge.proxy(origin, UPGRADE)
        assert h.ask(ASK).status == 502
        origin.connections[0].assert_hung_up()
        h.wait_log("unexpected status 101")

    @pytest.mark.parametrize("conf", ["", UPGRADE])
    def test_a_101_that_nobody_asked_for_is_a_502(self, hinge, backend, conf):
        h = hinge.proxy(backend(says(SWITCH, then="hang")), conf)
        assert h.get().status == 502


class TestEnds:
    def test_the_client_closes_its_side_first(self, hinge, backend):
        """A half close is passed on, and what the backend says after it still arrives."""
        def script(conn):
            conn.head()
            conn.send(SWITCH)
            got = conn.reader.to_the_end()
            for piece in (b"you said ", got, b"x" * 300_000):
                conn.send(piece)
                time.sleep(0.05)
        with switched(hinge.proxy(backend(script), UPGRADE)) as c:
            c.send(b"all of it").half_close()
            assert c.all_bytes() == b"you said all of it" + b"x" * 300_000

    def test_the_backend_closes_its_side_first(self, hinge, backend):
        said = []

        def script(conn):
            conn.head()
            conn.send(SWITCH + b"bye")
            conn.sock.shutdown(socket.SHUT_WR)
            said.append(conn.reader.to_the_end())
        h = hinge.proxy(backend(script), UPGRADE)
        with switched(h) as c:
            assert c.all_bytes() == b"bye"
            time.sleep(0.1)
            c.send(b"x" * 300_000).half_close()
            wait_until(lambda: said == [b"x" * 300_000], "the backend hears the rest")

    def test_a_client_that_does_not_close_is_not_waited_for_long(self, hinge, backend):
        h = hinge.proxy(backend(says(SWITCH)), UPGRADE + "lingering_timeout 300ms;", access_log="access_log %%dir%%/a.log;")
        with switched(h) as c:
            assert c.all_bytes() == b""
            assert len(h.wait_lines("a.log")) == 1
        h = hinge.proxy(backend(says(SWITCH)), UPGRADE + "lingering_timeout 300ms; lingering_time 700ms;", access_log="access_log %%dir%%/a.log;")
        with switched(h) as c:
            for _ in range(20):
                c.send_as_far_as_it_goes(b"x")
                time.sleep(0.1)
                if h.read("a.log"):
                    break
            assert len(h.wait_lines("a.log")) == 1
        h = hinge.proxy(backend(says(SWITCH)), UPGRADE + "lingering_close off;", access_log="access_log %%dir%%/a.log;")
        with switched(h) as c:
            assert len(h.wait_lines("a.log")) == 1

    def test_the_client_is_gone(self, hinge, backend):
        origin = backend(shout)
        h = hinge.proxy(origin, UPGRADE)
        c = switched(h)
        c.reset()
        origin.connections[0].assert_hung_up()
        h.wait_log(r"\[info\].*client prematurely closed connection")

    def test_the_backend_breaks_off(self, hinge, backend):
        def script(conn):
            conn.head()
            conn.send(SWITCH + b"abc")
            conn._more()
            conn.reset()
        h = hinge.proxy(backend(script), UPGRADE)
        with switched(h) as c:
            assert c.exactly(3) == b"abc"
            c.send(b"x")
            with pytest.raises(ConnectionResetError):
                while c.sock.recv(1000):
                    pass
        h.wait_log("while proxying upgraded connection")

    def test_silence(self, hinge, backend):
        origin = backend(shout)
        h = hinge.proxy(origin, UPGRADE + "proxy_read_timeout 500ms; lingering_timeout 200ms;")
        with switched(h) as c:
            for _ in range(6):
                time.sleep(0.2)
                assert c.send(b"a").exactly(1) == b"A"
            c.assert_closed()
        h.wait_log(r"upstream timed out \(110: Connection timed out\) while proxying upgraded connection")
        origin.connections[0].assert_hung_up()

    @needs_nginx
    def test_any_byte_ends_the_silence_as_in_nginx(self, hinge, backend):
        """A client that talks to a silent backend is not idle."""
        def script(conn):
            conn.head()
            conn.send(SWITCH)
            conn.hang()
        inside = "server { listen %%port%%; location / { proxy_pass http://%%origin%%; proxy_read_timeout 600ms; lingering_timeout 100ms; " + UPGRADE + "} }"
        for h in (hinge.http(inside, origin=backend(script)), hinge.prepare_http(inside, origin=backend(script), binary=NGINX).start()):
            with switched(h) as c:
                for _ in range(8):
                    time.sleep(0.2)
                    c.send(b"a")
                c.assert_open_and_quiet(0.1)
                c.assert_closed()

    def test_a_client_that_does_not_read(self, hinge, backend):
        """Back-pressure, then send_timeout; the backend's silence does not count behind a full pipe."""
        def script(conn):
            conn.head()
            conn.send(SWITCH)
            try:
                while True:
                    conn.sock.sendall(b"x" * 100_000)
            except OSError:
                conn.closed_by_peer.set()
        origin = backend(script)
        h = hinge.proxy(origin, UPGRADE + "send_timeout 1s; proxy_read_timeout 300ms;")
        before = h.rss()
        with switched(h, rcvbuf=4096):
            origin.connections[0].assert_hung_up()
            assert h.rss() - before < 8_000_000
        h.wait_log("client timed out")

    def test_a_backend_that_does_not_read(self, hinge, backend):
        stop = threading.Event()

        def script(conn):
            conn.head()
            conn.send(SWITCH)
            stop.wait(PATIENCE * 2)
        h = hinge.proxy(backend(script), UPGRADE + "proxy_send_timeout 500ms; lingering_timeout 100ms;")
        with switched(h) as c:
            c.send_as_far_as_it_goes(b"x" * 50_000_000)
        h.wait_log(r"upstream timed out \(110: Connection timed out\) while proxying upgraded connection")
        stop.set()

    def test_large_and_both_ways_at_once(self, hinge, backend):
        size = 30_000_000 // int(SLOW)
        h = hinge.proxy(backend(shout), UPGRADE)
        with switched(h) as c:
            writer = threading.Thread(target=lambda: (c.sock.sendall(b"abcdefgh" * (size // 8)), c.half_close()))
            writer.start()
            digest, n = hashlib.sha256(), 0
            while data := c.sock.recv(1 << 20):
                digest.update(data)
                n += len(data)
            writer.join()
            assert n == size // 8 * 8 and digest.hexdigest() == hashlib.sha256(b"ABCDEFGH" * (size // 8)).hexdigest()


class TestLives:
    def test_reloads_do_not_touch_it(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE, workers=2)
        with switched(h) as c:
            for i in range(3):
                h.rewrite_http(f"server {{ listen %%port%%; location / {{ return 200 {i}; }} }}")
                h.reload_until(lambda: h.get().text == str(i))
                assert c.send(b"abc").exactly(3) == b"ABC"

    def test_worker_shutdown_timeout_cuts_it(self, hinge, backend):
        origin = backend(shout)
        h = hinge.proxy(origin, UPGRADE, main="worker_shutdown_timeout 300ms;")
        with switched(h) as c:
            h.rewrite_http("server { listen %%port%%; location / { return 200 new; } }", main="worker_shutdown_timeout 300ms;")
            h.reload_until(lambda: h.get().text == "new")
            assert c.all_bytes() == b""
        origin.connections[0].assert_hung_up()

    def test_quit_waits_for_it(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE)
        with switched(h) as c:
            h.quit()
            time.sleep(0.5)
            assert c.send(b"abc").exactly(3) == b"ABC" and h.process.poll() is None
        assert h.wait() == 0

    def test_quit_with_a_limit(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE, main="worker_shutdown_timeout 300ms;")
        with switched(h) as c:
            h.quit()
            assert h.wait() == 0
            assert c.all_bytes() == b""

    def test_term_does_not_wait(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE)
        with switched(h) as c:
            h.terminate()
            assert h.wait() == 0
            assert c.all_bytes() == b""

    def test_the_engine_dies(self, hinge, backend):
        h = hinge.proxy(backend(shout), UPGRADE).allow("exited on signal|engine")
        with switched(h) as c:
            os.kill(h.children()[0], signal.SIGKILL)
            assert c.all_bytes() == b""
        wait_until(lambda: ask_again(h), "a new engine serves")

    def test_counters(self, hinge, backend):
        h = hinge.server("location / { proxy_pass http://%%origin%%; " + UPGRADE + " } location = /counters { counters; }", origin=backend(shout))
        with switched(h) as c:
            assert c.send(b"a").exactly(1) == b"A"
        assert h.get("/counters").json()["tunnels"] == 1

    def test_memory_of_idle_tunnels(self, hinge, backend):
        n = 1000
        open_, gate = [], threading.Semaphore(0)

        def script(conn):
            conn.head()
            conn.send(SWITCH)
            gate.release()
            conn.hang()
        h = hinge.proxy(backend(script), UPGRADE, main="worker_rlimit_nofile 4096;")
        h.write("nginx.conf", h.read("nginx.conf").replace("worker_connections 1024", "worker_connections 4096"))
        h.reload()
        time.sleep(0.5)
        before = h.rss()
        open_ = [switched(h) for _ in range(n)]
        each = (h.rss() - before) / n
        print(f"{each:.0f} bytes a tunnel")
        assert SLOW > 1 or each < 24_000
        for c in open_:
            c.close()


def ask_again(h):
    try:
        with switched(h) as c:
            return c.send(b"a").exactly(1) == b"A"
    except Exception:
        return False


websockets = pytest.importorskip("websockets")


class TestWebSocket:
    @pytest.fixture
    def port(self):
        """An echo server of the library, in a thread of its own."""
        ready, stop = threading.Event(), None
        where = {}

        async def handler(ws, path=None):
            async for message in ws:
                await ws.send(message)

        def run():
            async def main():
                where["loop"], where["stop"] = asyncio.get_running_loop(), asyncio.Event()
                async with websockets.serve(handler, "127.0.0.1", 0, max_size=None, subprotocols=["chat"]) as server:
                    where["port"] = server.sockets[0].getsockname()[1]
                    ready.set()
                    await where["stop"].wait()
            asyncio.run(main())
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert ready.wait(PATIENCE)
        yield where["port"]
        where["loop"].call_soon_threadsafe(where["stop"].set)
        thread.join(PATIENCE)

    def talk(self, h, story, **kwargs):
        async def main():
            async with websockets.connect(f"ws://127.0.0.1:{h.ports['port']}/x?y", max_size=None, **kwargs) as ws:
                return await asyncio.wait_for(story(ws), PATIENCE * 2)
        return asyncio.run(main())

    @pytest.fixture
    def front(self, hinge, port):
        return hinge.proxy(f"127.0.0.1:{port}", UPGRADE + "proxy_set_header Host $http_host;")

    def test_messages(self, front):
        async def story(ws):
            assert ws.subprotocol == "chat"
            for message in ("hello", "", "\u00e9\u4e16", b"\0\xff", "x" * 70_000, os.urandom(5_000_000)):
                await ws.send(message)
                assert await ws.recv() == message
        self.talk(front, story, subprotocols=["chat"])

    def test_fragments(self, front):
        async def story(ws):
            await ws.send(f"part {i} " for i in range(100))
            assert await ws.recv() == "".join(f"part {i} " for i in range(100))
        self.talk(front, story)

    def test_ping_and_pong(self, front):
        async def story(ws):
            for _ in range(5):
                await (await ws.ping())
            await ws.send("still there")
            assert await ws.recv() == "still there"
        self.talk(front, story, ping_interval=0.05)

    def test_many_at_once(self, front):
        async def one(i):
            async with websockets.connect(f"ws://127.0.0.1:{front.ports['port']}/{i}", max_size=None) as ws:
                for k in range(5):
                    await ws.send(f"{i} {k}")
                    assert await ws.recv() == f"{i} {k}"

        async def main():
            await asyncio.wait_for(asyncio.gather(*(one(i) for i in range(100))), PATIENCE * 3)
        asyncio.run(main())

    def test_the_closing_handshake(self, front):
        async def story(ws):
            await ws.close(4001, "done")
            return ws.close_code
        assert self.talk(front, story) == 4001

    def test_without_the_two_lines_there_is_no_websocket(self, hinge, port):
        h = hinge.proxy(f"127.0.0.1:{port}")
        with pytest.raises(websockets.InvalidStatusCode) as e:
            self.talk(h, None)
        assert e.value.status_code == 426
