"""What the tunnel_ and proxy_connect_ directives do: to targets that are silent, that refuse, that do not read."""
import contextlib
import socket
import subprocess
import threading
import time

import pytest
from tools.backend import hang
from tools.ports import free_port
from tools.silent import silent
from tools.times import PATIENCE, wait_until
from tools.wire import lines

ASK = lines("CONNECT origin:443 HTTP/1.1", "Host: origin:443")
MODULE = "proxy_connect; proxy_connect_address origin;"


def site(hinge, rules, *targets, listen=""):
    servers = " ".join(f"server {t};" for t in targets)
    return hinge.http(f"""upstream origin {{ {servers} }} tunnel_read_timeout 1h; tunnel_send_timeout 1h;
        server {{ listen %%port%% {listen}; {rules} }}""")


def status(h):
    with h.connect() as c:
        return c.ask(ASK, "CONNECT").status


def opened(h, **kwargs):
    c = h.connect(**kwargs)
    assert c.ask(ASK, "CONNECT").status == 200
    return c


def as_much_as_it_takes(sock):
    """Sends until nothing has gone for a while; gives the number of bytes."""
    sock.settimeout(0.7)
    sent, piece = 0, b"a" * 65536
    with contextlib.suppress(socket.timeout, OSError):
        while True:
            sent += sock.send(piece)
    return sent


def was_reached(origin, expected):
    """A tunnel may stand before the origin's thread has looked."""
    if expected:
        origin.wait_connections(1)
    assert len(origin.connections) == expected


def refused_at():
    return f"127.0.0.1:{free_port()}"


class TestConnecting:
    def test_connect_timeout(self, hinge):
        with silent() as target:
            h = site(hinge, "tunnel_pass origin; tunnel_connect_timeout 300ms;", target)
            assert status(h) == 504
            h.wait_log(r"upstream timed out \(110: Connection timed out\) while connecting to upstream")

    @pytest.mark.parametrize("when, silent_first, other", [
        ("error timeout", True, 200), ("error timeout", False, 200), ("error", True, 504), ("error", False, 200), ("timeout", True, 200), ("timeout", False, 502),
        ("off", True, 504), ("off", False, 502)])
    def test_next_upstream(self, hinge, backend, when, silent_first, other):
        origin = backend(hang)
        with silent() if silent_first else contextlib.nullcontext(refused_at()) as first:
            h = site(hinge, f"tunnel_pass origin; tunnel_connect_timeout 300ms; tunnel_next_upstream {when};", first, origin)
            assert status(h) == other
            was_reached(origin, other == 200)

    @pytest.mark.parametrize("tries, answer", [(1, 502), (2, 502), (3, 200), (0, 200)])
    def test_next_upstream_tries(self, hinge, backend, tries, answer):
        origin = backend(hang)
        h = site(hinge, f"tunnel_pass origin; tunnel_next_upstream_tries {tries};", refused_at(), refused_at(), origin)
        assert status(h) == answer
        assert h.log.count("connect() failed") == (2 if answer == 200 else tries)
        was_reached(origin, answer == 200)

    @pytest.mark.parametrize("limit, answer", [("100ms", 504), ("1h", 200), ("0", 200)])
    def test_next_upstream_timeout(self, hinge, backend, limit, answer):
        origin = backend(hang)
        with silent() as first:
            h = site(hinge, f"tunnel_pass origin; tunnel_connect_timeout 400ms; tunnel_next_upstream_timeout {limit};", first, origin)
            assert status(h) == answer
        was_reached(origin, answer == 200)

    def test_what_it_says_of_a_next_one(self, hinge):
        h = hinge.prepare_http("server { listen %%port%%; tunnel_pass; tunnel_next_upstream http_500; }")
        assert 'invalid value "http_500"' in h.run("-t", check=1).stderr

    def test_proxy_connect_bind(self, hinge, backend):
        origin = backend(hang)
        with opened(site(hinge, f"{MODULE} proxy_connect_bind 127.0.0.9;", origin)):
            assert origin.wait_connections(1)[0].sock.getpeername()[0] == "127.0.0.9"

    def test_proxy_connect_bind_off(self, hinge, backend):
        origin = backend(hang)
        with opened(site(hinge, f"tunnel_bind 127.0.0.8; {MODULE} proxy_connect_bind off;", origin)):
            assert origin.wait_connections(1)[0].sock.getpeername()[0] == "127.0.0.1"


SOON = "lingering_time 500ms;"  # else what the client goes on to send would be taken and dropped for half a minute


class TestSending:
    """A target that does not read."""

    @pytest.fixture
    def deaf(self, backend):
        stop = threading.Event()
        yield backend(lambda conn: stop.wait(PATIENCE * 3))
        stop.set()

    @pytest.mark.parametrize("how", ["tunnel_pass origin; tunnel_send_timeout", f"{MODULE} proxy_connect_send_timeout"], ids=["tunnel", "module"])
    def test_send_timeout(self, hinge, deaf, how):
        with opened(site(hinge, f"{how} 300ms; {SOON}", deaf)) as c:
            as_much_as_it_takes(c.sock)
            c.sock.settimeout(PATIENCE)
            c.assert_closed()

    def test_a_long_one(self, hinge, deaf):
        with opened(site(hinge, "tunnel_pass origin;", deaf)) as c:
            as_much_as_it_takes(c.sock)
            c.assert_open_and_quiet(0.5)

    def test_bytes_that_come_from_the_target_do_not_prolong_it(self, hinge, backend):
        def talks(conn):
            end = time.monotonic() + PATIENCE * 2
            while time.monotonic() < end:
                conn.sock.sendall(b"x")
                time.sleep(0.05)

        with opened(site(hinge, f"tunnel_pass origin; tunnel_send_timeout 500ms; {SOON}", backend(talks))) as c:
            as_much_as_it_takes(c.sock)
            c.sock.settimeout(PATIENCE)
            end = time.monotonic() + PATIENCE
            with contextlib.suppress(ConnectionError):
                while c.sock.recv(65536):
                    assert time.monotonic() < end, "the tunnel still stands"

    def test_a_target_that_takes_a_little_now_and_then(self, hinge, backend):
        size, taken = 24 << 20, []

        def slowly(conn):
            conn.sock.settimeout(PATIENCE)
            n = 0
            while n < size and (data := conn.sock.recv(min(size - n, 1 << 20))):
                n += len(data)
                time.sleep(0.1 if n < 12 << 20 else 0)
            taken.append(n)

        with opened(site(hinge, "tunnel_pass origin; tunnel_send_timeout 900ms;", backend(slowly))) as c:
            c.sock.settimeout(PATIENCE * 3)
            c.send(b"a" * size)
            wait_until(lambda: taken, "the target has it all", PATIENCE * 3)
            assert taken == [size]


class TestSilence:
    @pytest.mark.parametrize("how", ["tunnel_pass origin; tunnel_read_timeout", f"{MODULE} proxy_connect_read_timeout"], ids=["tunnel", "module"])
    def test_read_timeout(self, hinge, backend, how):
        with opened(site(hinge, f"{how} 300ms;", backend(hang))) as c:
            c.assert_closed()

    @pytest.mark.parametrize("how", ["tunnel_pass origin; tunnel_read_timeout", f"{MODULE} proxy_connect_read_timeout"], ids=["tunnel", "module"])
    def test_either_side_keeps_it_awake(self, hinge, backend, how):
        for talker in "client", "target":
            def talks(conn, talker=talker):
                for _ in range(8 if talker == "target" else 0):
                    time.sleep(0.2)
                    conn.send(b"x")
                conn.hang()

            origin = backend(talks)
            with opened(site(hinge, f"{how} 800ms;", origin)) as c:
                for _ in range(8 if talker == "client" else 0):
                    time.sleep(0.2)
                    c.send(b"x")
                if talker == "target":
                    assert c.exactly(8) == b"x" * 8
                wait_until(lambda: talker == "target" or origin.received == b"x" * 8, "all has come")
                c.assert_closed()


class TestBuffer:
    @pytest.mark.parametrize("size, least, most", [("1k", 1, 8 << 20), ("16m", 16 << 20, 64 << 20)])
    def test_what_waits_for_a_client_that_does_not_read(self, hinge, backend, size, least, most):
        """Sockets hold something too, so only two sizes that are far from each other can be told apart."""
        sent = []

        def pour(conn):
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sent.append(as_much_as_it_takes(conn.sock))
            conn.hang()

        with opened(site(hinge, f"tunnel_pass origin; tunnel_buffer_size {size};", backend(pour), listen="sndbuf=4k"), rcvbuf=4096):
            wait_until(lambda: sent, "the target is stopped", PATIENCE * 2)
        assert least <= sent[0] < most

    def test_it_has_bounds(self, hinge):
        for size in "1023", "17m":
            hinge.prepare_http(f"server {{ listen %%port%%; tunnel_pass; tunnel_buffer_size {size}; }}").run("-t", check=1)


def probed(port):
    """Whether the connections to this port of the loopback are probed: the kernel's own word. None: there are none."""
    shown = subprocess.run(["ss", "-Htno", "state", "established", "dport", "=", f":{port}"], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout
    return "timer:(keepalive" in shown if shown.strip() else None


class TestProbes:
    @pytest.mark.parametrize("words, expected", [("", False), ("off", False), ("on", True)])
    def test_of_tunnels(self, hinge, backend, words, expected):
        origin = backend(hang)
        with opened(site(hinge, f"tunnel_pass origin; {words and f'tunnel_socket_keepalive {words};'}", origin)):
            wait_until(lambda: probed(origin.port) is expected, f"probes: {expected}")

    @pytest.mark.parametrize("words, expected", [("", False), ("off", False), ("on", True)])
    @pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
    def test_of_requests(self, hinge, backend, words, expected, version):
        origin = backend(hang)
        h = hinge.http(f"""server {{ listen %%port%%; location / {{ proxy_pass http://%%port2%%; proxy_http_version {version};
                               {words and f'proxy_socket_keepalive {words};'} }} }}
                           server {{ listen %%port2%%; http2 on; location / {{ proxy_pass http://%%origin%%; }} }}""", origin=origin)
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            origin.wait_connections(1)
            wait_until(lambda: probed(h.ports["port2"]) is expected, f"probes: {expected}")

    def test_of_a_forward_proxy(self, hinge, backend):
        origin = backend(hang)
        h = hinge.http(f"forward {{ listen %%port%%; egress_allow 127.0.0.0/8; connect_ports {origin.port}; proxy_socket_keepalive on; }}")
        with h.connect() as c:
            assert c.ask(lines(f"CONNECT {origin} HTTP/1.1", f"Host: {origin}"), "CONNECT").status == 200
            wait_until(lambda: probed(origin.port), "probes")
