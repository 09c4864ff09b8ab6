"""CONNECT: tunnel_pass and the directives of the CONNECT module. Addresses of this machine are no client's to choose, so the cases
name their targets as upstreams, or in the configuration."""
import contextlib
import random
import select
import ssl
import subprocess
import threading
import time

import pytest
from tools import dns
from tools.backend import serve
from tools.certs import certificate
from tools.times import PATIENCE, wait_until
from tools.wire import Ended, Reader, answer, lines

pytestmark = pytest.mark.shared_servers

ASK = lines("CONNECT origin:443 HTTP/1.1", "Host: origin:443")


def shout(conn):
    """Answers bytes with the same bytes in capitals until the client has no more."""
    while data := conn._more():
        conn.send(data.upper())


def site(hinge, origin, rules="tunnel_pass origin;", more=""):
    return hinge.http(f"upstream origin {{ server %%origin%%; }} {more} server {{ listen %%port%%; location / {{ {rules} }} }}", origin=origin)


def opened(h, request=ASK, **kwargs):
    c = h.connect(**kwargs)
    res = c.ask(request, "CONNECT")
    assert (res.status, res.reason) == (200, "Connection established"), res.head
    assert "Content-Length" not in res and "Transfer-Encoding" not in res and "Connection" not in res
    return c


def sealed(h):
    """The same over TLS."""
    c = h.connect()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c.sock = context.wrap_socket(c.sock)
    c.reader = Reader(lambda: c.sock.recv(65536))
    assert c.ask(ASK, "CONNECT").status == 200
    return c


def take(sock, n, pause=0):
    """n bytes, with a rest after each read."""
    got = bytearray()
    while len(got) < n:
        data = sock.recv(min(n - len(got), 1 << 17))
        if not data:
            break
        got += data
        if pause:
            time.sleep(pause)
    return bytes(got)


def trade(sock, data, n):
    """Sends the data and takes n bytes, both at the same time but in one thread: a TLS connection of Python is not for two."""
    sock.setblocking(False)
    got, sent = bytearray(), 0
    while len(got) < n:
        writes = [sock] if sent < len(data) else []
        assert any(select.select([sock], writes, [], PATIENCE)[:2]), f"stands still at {sent} and {len(got)}"
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            got += (arrived := sock.recv(min(n - len(got), 1 << 17)))
            if not arrived:
                break
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent += sock.send(data[sent:sent + 65536]) if writes else 0
    sock.settimeout(PATIENCE)
    return bytes(got)


class TestTunnels:
    def test_bytes_pass_both_ways(self, hinge, backend):
        with opened(site(hinge, backend(shout))) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
            assert c.send(b"x" * 300000).exactly(300000) == b"X" * 300000

    def test_what_is_sent_behind_the_request_waits_for_the_connection(self, hinge, backend):
        h = site(hinge, backend(shout))
        with h.connect() as c:
            assert c.ask(ASK + b"early", "CONNECT").status == 200
            assert c.exactly(5) == b"EARLY"

    def test_a_target_that_speaks_first(self, hinge, backend):
        def greet(conn):
            conn.send(b"220 hello\r\n")
            conn.hang()
        with opened(site(hinge, backend(greet))) as c:
            assert c.exactly(11) == b"220 hello\r\n"

    def test_half_closes_pass_through(self, hinge, backend):
        def script(conn):
            got = conn.reader.to_the_end()
            conn.send(b"got " + got)
        with opened(site(hinge, backend(script))) as c:
            c.send(b"all").half_close()
            assert c.all_bytes() == b"got all"

    def test_an_idle_tunnel_ends(self, hinge, backend):
        with opened(site(hinge, backend(shout), "tunnel_pass origin; tunnel_read_timeout 300ms;")) as c:
            assert c.all_bytes() == b""

    def test_nothing_is_said_before_the_connection_stands(self, hinge):
        h = hinge.http("upstream origin { server 127.0.0.1:1; } server { listen %%port%%; tunnel_pass origin; }")
        assert h.ask(ASK, method="CONNECT").status == 502
        h.wait_log("connect\\(\\) failed .* while connecting to upstream")

    def test_the_next_address_is_tried(self, hinge, backend):
        h = hinge.http("upstream origin { server 127.0.0.1:1; server %%origin%%; } server { listen %%port%%; tunnel_pass origin; }", origin=backend(shout))
        for _ in range(2):
            with opened(h) as c:
                assert c.send(b"a").exactly(1) == b"A"

    def test_the_log_tells_how_much_passed(self, hinge, backend):
        h = site(hinge, backend(shout), "tunnel_pass origin; access_log %%dir%%/a.log t;", "log_format t '$request $status $upstream_bytes_sent $upstream_bytes_received';")
        with opened(h) as c:
            c.send(b"abc").exactly(3)
        assert h.wait_lines("a.log") == ["CONNECT origin:443 HTTP/1.1 200 3 3"]

    def test_http_1_0(self, hinge, backend):
        h = site(hinge, backend(shout))
        with h.connect() as c:
            assert c.ask(lines("CONNECT origin:443 HTTP/1.0"), "CONNECT").status == 200
            assert c.send(b"abc").exactly(3) == b"ABC"

    def test_a_tunnel_outlives_a_reload(self, hinge, backend):
        h = site(hinge, backend(shout))
        with opened(h) as c:
            h.rewrite_http("server { listen %%port%%; location / { return 200 new; } }")
            h.reload_until(lambda: h.get("/").body == b"new")
            assert c.send(b"abc").exactly(3) == b"ABC"
            assert h.ask(ASK, method="CONNECT").status == 405

    def test_curl_tunnels(self, hinge, backend):
        h = site(hinge, backend(serve(lambda req: answer(b"through " + req.target.encode()))))
        told = subprocess.run(["curl", "-sS", "--proxytunnel", "-x", f"http://127.0.0.1:{h.ports['port']}", "http://origin:443/x"],
                              capture_output=True, text=True, timeout=20)
        assert told.stdout == "through /x", told.stderr


class TestWho:
    @pytest.mark.parametrize("rules", ["return 200;", "proxy_pass http://origin;", "root /srv;"])
    def test_elsewhere_it_is_refused(self, hinge, backend, rules):
        assert site(hinge, backend(shout), rules).ask(ASK, method="CONNECT").status == 405

    def test_a_location_of_a_server_that_serves_it(self, hinge, backend):
        h = hinge.http("upstream origin { server %%origin%%; } server { listen %%port%%; tunnel_pass origin; location / { return 200 x; } }",
                       origin=backend(shout))
        assert h.ask(ASK, method="CONNECT").status == 405, "what answers is not inherited"
        assert h.get("/").body == b"x"

    def test_access_rules_hold(self, hinge, backend):
        assert site(hinge, backend(shout), "tunnel_pass origin; deny all;").ask(ASK, method="CONNECT").status == 403

    def test_a_map_of_hosts_and_ports(self, hinge, backend):
        """The example of the manual."""
        h = hinge.http("""upstream origin { server %%origin%%; }
            map $request_port $allow_port { 443 1; } map $host $allow_host { hostnames; origin 1; *.example.org 1; }
            server { listen %%port%%; if ($allow_port != 1) { return 502; } if ($allow_host != 1) { return 502; } tunnel_pass $host; }""",
                       origin=backend(shout))
        assert h.ask(ASK.replace(b":443", b":25"), method="CONNECT").status == 502
        assert h.ask(ASK.replace(b"origin", b"other"), method="CONNECT").status == 502
        opened(h).close()

    @pytest.mark.parametrize("target", ["127.0.0.1:80", "10.0.0.1:443", "[::1]:22", "[::ffff:127.0.0.1]:80", "169.254.169.254:80", "0.0.0.0:80"])
    def test_no_client_reaches_this_machine_or_its_networks(self, hinge, target):
        h = hinge.http("server { listen %%port%%; tunnel_pass; }")
        assert h.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), method="CONNECT").status == 403
        h.wait_log("access forbidden")

    @pytest.mark.parametrize("request_line", ["CONNECT origin HTTP/1.1", "CONNECT http://origin/ HTTP/1.1", "CONNECT /x HTTP/1.1", "CONNECT a@origin:443 HTTP/1.1"])
    def test_a_target_is_a_host_and_a_port(self, hinge, backend, request_line):
        assert site(hinge, backend(shout)).ask(lines(request_line, "Host: origin:443"), method="CONNECT").status == 400

    def test_a_body_is_no_tunnel(self, hinge, backend):
        h = site(hinge, backend(shout))
        assert h.ask(lines("CONNECT origin:443 HTTP/1.1", "Host: origin:443", "Content-Length: 3") + b"abc", method="CONNECT").status == 400

    def test_other_methods_are_served_as_without_it(self, hinge, backend):
        h = hinge.http("server { listen %%port%%; root %%dir%%; tunnel_pass; }")
        assert h.get("/nothing").status == 404


class TestNames:
    @pytest.fixture
    def server(self):
        s = dns.Server({"origin.test": "127.0.0.1", "inside.test": "10.0.0.1"})
        yield s
        s.close()

    def ask(self, h, name, port):
        return lines(f"CONNECT {name}:{port} HTTP/1.1", f"Host: {name}:{port}")

    @pytest.mark.parametrize("how", ["tunnel_pass", "proxy_connect; proxy_connect_allow all"])
    def test_a_name_is_resolved_once_and_tunnelled_to(self, hinge, backend, server, how):
        origin = backend(shout)
        h = hinge.http(f"resolver {server} ipv6=off; egress_allow 127.0.0.0/8; server {{ listen %%port%%; {how}; }}")
        with opened(h, self.ask(h, "origin.test", origin.port)) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
        assert server.count("origin.test") == 1

    def test_a_name_of_this_machine_is_out_of_reach(self, hinge, backend, server):
        origin = backend(shout)
        h = hinge.http(f"resolver {server} ipv6=off; server {{ listen %%port%%; tunnel_pass; }}")
        assert h.ask(self.ask(h, "origin.test", origin.port), method="CONNECT").status == 403
        assert h.ask(self.ask(h, "inside.test", 443), method="CONNECT").status == 403
        assert not origin.connections

    def test_a_name_that_nobody_has(self, hinge, server):
        h = hinge.http(f"resolver {server} ipv6=off; server {{ listen %%port%%; tunnel_pass; }}")
        assert h.ask(self.ask(h, "nowhere.test", 443), method="CONNECT").status == 502

    def test_without_a_resolver_names_are_unknown(self, hinge):
        h = hinge.http("server { listen %%port%%; tunnel_pass; }")
        assert h.ask(self.ask(h, "origin.test", 443), method="CONNECT").status == 502
        h.wait_log("no resolver defined to resolve origin.test")

    def test_our_own_address_is_a_loop(self, hinge, server):
        h = hinge.http(f"resolver {server} ipv6=off; egress_allow 127.0.0.0/8; server {{ listen %%port%%; tunnel_pass; }}")
        assert h.ask(self.ask(h, "origin.test", h.ports["port"]), method="CONNECT").status == 508


class TestLifetime:
    def test_however_much_moves(self, hinge, backend):
        h = site(hinge, backend(shout), "tunnel_pass origin; tunnel_lifetime 500ms;")
        with opened(h) as c:
            began, n = time.monotonic(), 0
            with pytest.raises((Ended, OSError)):
                while time.monotonic() < began + PATIENCE:
                    assert c.send(b"abc").exactly(3) == b"ABC"
                    n += 1
                    time.sleep(0.01)
            assert n > 3 and time.monotonic() - began > 0.4
        h.wait_log("the tunnel has stood for tunnel_lifetime")

    def test_one_that_ends_before(self, hinge, backend):
        h = site(hinge, backend(shout), "tunnel_pass origin; tunnel_lifetime 300ms;")
        for _ in range(5):
            with opened(h) as c:
                assert c.send(b"abc").exactly(3) == b"ABC"
                c.half_close().assert_closed()
        time.sleep(0.5)
        assert "tunnel_lifetime" not in h.log

    def test_silent_ones_too(self, hinge, backend):
        h = site(hinge, backend(shout), "tunnel_pass origin; tunnel_lifetime 300ms;")
        with opened(h) as c:
            assert c.all_bytes() == b""
        h.wait_log("the tunnel has stood for tunnel_lifetime")


class TestSilence:
    """A tunnel in which nothing moves gives its memory back. Nobody must be able to tell."""
    LOG = "log_format t '$request $status $http_x_note $upstream_addr $upstream_bytes_sent $upstream_bytes_received $bytes_sent';"

    def site(self, hinge, backend, rules="", script=shout):
        return hinge.http(f"upstream origin {{ server %%origin%%; }} {self.LOG} server {{ listen %%port%%; access_log off; location = /counters {{ counters; }} "
                          f"location / {{ tunnel_pass origin; access_log %%dir%%/a.log t; {rules} }} }}", origin=backend(script))

    def rests(self, h, n):
        wait_until(lambda: h.get("/counters").json()["tunnel_rests"] >= n, f"{n} tunnels at rest")

    def ask(self):
        return lines("CONNECT origin:443 HTTP/1.1", "Host: origin:443", "X-Note: kept")

    def test_it_goes_on_from_either_side(self, hinge, backend):
        turn = threading.Semaphore(0)

        def script(conn):
            assert conn._more() == b"one"
            assert turn.acquire(timeout=PATIENCE)
            conn.send(b"two")
            shout(conn)
        h = self.site(hinge, backend, script=script)
        with opened(h, self.ask()) as c:
            c.send(b"one")
            self.rests(h, 1)
            turn.release()
            assert c.exactly(3) == b"two"
            self.rests(h, 2)
            assert c.send(b"three").exactly(5) == b"THREE"
            self.rests(h, 3)
            assert c.send(b"x" * 3000000).exactly(3000000) == b"X" * 3000000
            self.rests(h, 4)
        line, = h.wait_lines("a.log")
        assert line.startswith("CONNECT origin:443 HTTP/1.1 200 kept 127.0.0.1:")
        sent, received, to_client = line.split()[-3:]
        assert (sent, received) == ("3000008", "3000008") and int(to_client) > 3000008

    def test_each_end_of_it(self, hinge, backend):
        h = self.site(hinge, backend, script=shout)
        with opened(h, self.ask()) as c:
            self.rests(h, 1)
            c.half_close().assert_closed()
        with opened(h, self.ask()) as c:
            self.rests(h, 2)
            c.reset()
        assert len(h.wait_lines("a.log", 2)) == 2

    def test_the_target_ends_it(self, hinge, backend):
        leave = threading.Semaphore(0)
        h = self.site(hinge, backend, script=lambda conn: leave.acquire(timeout=PATIENCE))
        with opened(h, self.ask()) as c:
            self.rests(h, 1)
            leave.release()
            c.assert_closed()
        h.wait_lines("a.log")

    def test_times_run_on(self, hinge, backend):
        h = self.site(hinge, backend, "tunnel_read_timeout 700ms;")
        with opened(h, self.ask()) as c:
            self.rests(h, 1)
            assert c.all_bytes() == b""
        h = self.site(hinge, backend, "tunnel_lifetime 700ms;")
        with opened(h, self.ask()) as c:
            self.rests(h, 1)
            assert c.all_bytes() == b""
        h.wait_log("the tunnel has stood for tunnel_lifetime")

    def test_it_outlives_a_reload_and_no_stop(self, hinge, backend):
        h = self.site(hinge, backend)
        with opened(h, self.ask()) as c:
            self.rests(h, 1)
            h.rewrite_http("server { listen %%port%%; location / { return 200 new; } }")
            h.reload_until(lambda: h.get("/").body == b"new")
            assert c.send(b"abc").exactly(3) == b"ABC"
            time.sleep(0.5)
            h.terminate()
            assert c.all_bytes() == b""

    def test_half_closed_ones_stay_awake(self, hinge, backend):
        more = threading.Semaphore(0)

        def script(conn):
            got = conn.reader.to_the_end()
            more.acquire(timeout=PATIENCE)
            conn.send(b"got " + got)
        h = self.site(hinge, backend, script=script)
        with opened(h, self.ask()) as c:
            c.send(b"all").half_close()
            time.sleep(0.6)
            assert h.get("/counters").json()["tunnel_rests"] == 0
            more.release()
            assert c.all_bytes() == b"got all"

    def test_an_upgraded_connection_rests_too(self, hinge, backend):
        def script(conn):
            conn.head()
            conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
            shout(conn)
        h = hinge.server("location = /counters { counters; } location / { proxy_pass http://%%origin%%; proxy_http_version 1.1; proxy_set_header Upgrade x; "
                         "proxy_set_header Connection upgrade; }", origin=backend(script))
        with h.connect() as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: x")).status == 101
            self.rests(h, 1)
            assert c.send(b"abc").exactly(3) == b"ABC"


class TestMuch:
    """Megabytes, which go through the kernel when both sides are plain: not a byte may be lost or change its place."""
    SIZE = 24 << 20

    def flow(self, hinge, backend, pauses=(0, 0), rcvbuf=None, text="", scheme=""):
        data = random.Random(7).randbytes(self.SIZE)
        half = threading.Barrier(2)

        def both(conn):
            conn.sock.settimeout(PATIENCE * 4)
            assert conn.sock.recv(1) == b"!"  # the client has read the head, and nothing behind it
            sender = threading.Thread(target=lambda: [conn.sock.sendall(data[i:i + 777_777]) for i in range(0, self.SIZE, 777_777)])
            sender.start()
            conn.got = take(conn.sock, self.SIZE, pauses[1])
            sender.join()
            conn.sock.sendall(b"bye")
            half.wait(PATIENCE * 4)
        origin = backend(both)
        h = hinge.http(f"server {{ listen %%port%%{scheme}; tunnel_pass {origin}; {text} }}")
        c = opened(h, rcvbuf=rcvbuf) if not scheme else sealed(h)
        c.sock.settimeout(PATIENCE * 4)
        if scheme:
            got = trade(c.sock, b"!" + data, self.SIZE + 3)
        else:
            sender = threading.Thread(target=c.sock.sendall, args=(b"!" + data,))
            sender.start()
            got = take(c.sock, self.SIZE + 3, pauses[0])
            sender.join()
        half.wait(PATIENCE * 4)
        assert got == data + b"bye"
        wait_until(lambda: getattr(origin.connections[0], "got", None) == data, "the other direction")
        c.close()
        return h

    def test_both_ways_at_once(self, hinge, backend):
        self.flow(hinge, backend)

    def test_readers_that_stop_now_and_then(self, hinge, backend):
        self.flow(hinge, backend, pauses=(0.004, 0.003), rcvbuf=40_000)

    def test_into_tls(self, hinge, backend):
        self.flow(hinge, backend, scheme=" ssl", text=certificate("tunnel.test").lines)

    def test_a_client_that_goes_in_the_middle(self, hinge, backend):
        """What was on its way in the kernel belongs to nobody else's tunnel."""
        data = random.Random(8).randbytes(4 << 20)

        def pour(conn):
            try:
                while conn.sock.recv(1):
                    conn.sock.sendall(data)
            except OSError:
                pass
        origin = backend(pour)
        h = hinge.http(f"server {{ listen %%port%%; tunnel_pass {origin}; }}")
        for round in range(12):
            with opened(h) as gone, opened(h) as stays:
                gone.send(b"!!!!")
                stays.send(b"!")
                take(gone.sock, 3 << 20)
                gone.reset() if round % 2 else gone.close()
                assert take(stays.sock, len(data)) == data


class TestTheModule:
    def test_whatever_the_locations_say(self, hinge, backend):
        h = hinge.http("""upstream origin { server %%origin%%; }
            server { listen %%port%%; proxy_connect; proxy_connect_address origin; proxy_connect_allow 443; proxy_connect_connect_timeout 10s; proxy_connect_data_timeout 300ms;
                     location / { return 403 "Non-CONNECT requests are forbidden"; } }""", origin=backend(shout))
        with opened(h) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
            assert c.all_bytes() == b"", "the data timeout"
        assert h.get("/").status == 403

    @pytest.mark.parametrize("allow, port, status", [("", 443, 200), ("", 563, 200), ("", 80, 403), ("proxy_connect_allow 80 8000-8010;", 8005, 200),
                                                     ("proxy_connect_allow 80 8000-8010;", 8011, 403), ("proxy_connect_allow all;", 1, 200)])
    def test_ports(self, hinge, backend, allow, port, status):
        h = hinge.http(f"upstream origin {{ server %%origin%%; }} server {{ listen %%port%%; proxy_connect; proxy_connect_address origin; {allow} }}", origin=backend(shout))
        assert h.ask(lines(f"CONNECT origin:{port} HTTP/1.1", "Host: origin"), method="CONNECT").status == status

    def test_an_address_of_the_configuration(self, hinge, backend):
        h = hinge.http("server { listen %%port%%; proxy_connect; proxy_connect_address %%origin%%; }", origin=backend(shout))
        with opened(h) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"

    @pytest.mark.parametrize("line, told", [("proxy_connect_allow x;", 'invalid port or range "x"'), ("proxy_connect_allow 9-8;", 'invalid port or range "9-8"'),
                                            ("tunnel_bind x;", 'invalid address "x"'), ("proxy_connect; tunnel_pass;", "answers in this location already")])
    def test_what_is_refused(self, hinge, line, told):
        assert told in hinge.prepare_http(f"server {{ listen %%port%%; {line} }}").run("-t", check=1).stderr


def test_explain_tells_where_a_tunnel_leads(hinge, backend):
    h = hinge.prepare_http("upstream origin { server %%origin%%; } server { listen %%port%%; location / { tunnel_pass origin; } }", origin=backend(shout))
    out = h.explain("CONNECT", "origin:443", check=0).stdout
    assert 'tunnels to upstream "origin"' in out
