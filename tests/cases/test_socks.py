"""SOCKS 4, 4a and 5 on the port of a forward block: the handshake, tunnels, and what is refused with which code."""
import queue
import random
import socket
import ssl
import subprocess
import threading

import pytest
from tools import dns, socks
from tools.backend import serve
from tools.certs import certificate
from tools.raw import Client
from tools.times import PATIENCE, wait_until
from tools.wire import answer, lines

OUT = "egress_allow 127.0.0.0/8; egress_allow ::1;"
VERSIONS = [4, 5]
ENV = {"PATH": "/usr/bin:/bin:/usr/sbin"}


def proxy(hinge, rules="", listen="%%port%%", http="", **names):
    return hinge.http(f"{http} forward {{ listen {listen}; {OUT} {rules} }}", **names)


def shout(conn):
    """Answers bytes with the same bytes in capitals until the client has no more."""
    while data := conn._more():
        conn.send(data.upper())


def curl(h, scheme, url, *more):
    return subprocess.run(["curl", "-sS", "-x", f"{scheme}://127.0.0.1:{h.ports['port']}", *more, url], capture_output=True, text=True, timeout=20, env=ENV)


def refused_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class TestClients:
    @pytest.mark.parametrize("scheme", ["socks4", "socks4a", "socks5", "socks5h", "http"])
    def test_curl_by_every_scheme_on_one_port(self, hinge, backend, scheme):
        origin = backend(serve(lambda req: answer(b"got " + req.target.encode())))
        h = proxy(hinge, f"connect_ports {origin.port};")
        for host in ("127.0.0.1", "localhost"):
            told = curl(h, scheme, f"http://{host}:{origin.port}/x")
            assert told.stdout == "got /x", told.stderr

    @pytest.mark.parametrize("scheme, asked", [("socks4a", True), ("socks5h", True), ("http", True), ("socks5", False)])
    def test_names_of_the_client_stay_names(self, hinge, backend, scheme, asked):
        origin = backend(serve(lambda req: answer(b"got it")))
        names = dns.Server({"origin.test": "127.0.0.1"})
        h = proxy(hinge, f"resolver {names} ipv6=off;")
        told = curl(h, scheme, f"http://origin.test:{origin.port}/x", *([] if asked else ["--resolve", f"origin.test:{origin.port}:127.0.0.1"]))
        assert told.stdout == "got it", told.stderr
        assert bool(names.asked) == asked
        names.close()

    def test_ipv6(self, hinge, backend):
        origin = backend(shout, address="::1")
        with socks.opened(proxy(hinge), 5, "::1", origin.port) as c:
            assert c.send(b"six").exactly(3) == b"SIX"

    def test_addresses_that_are_written_as_names(self, hinge, backend):
        h = proxy(hinge)
        for address in ("127.0.0.1", "::1"):
            with socks.opened(h, 5, address.encode(), backend(shout, address=address).port) as c:
                assert c.send(b"a").exactly(1) == b"A"

    def test_netcat(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge)
        for version in "45":
            told = subprocess.run(["nc", "-N", "-X", version, "-x", f"127.0.0.1:{h.ports['port']}", "127.0.0.1", str(origin.port)], input=b"hello",
                                  capture_output=True, timeout=20)
            assert told.stdout == b"HELLO", told.stderr



class TestSilence:
    """As of any other tunnel, the memory of one in which nothing moves is given back, and nobody can tell."""

    def begin(self, hinge, rules=""):
        return proxy(hinge, f"access_log %%dir%%/a.log t; {rules}",
                     http="log_format t '$request $status $upstream_bytes_received'; server { listen %%port2%%; location / { counters; } }")

    def rests(self, h, n):
        wait_until(lambda: h.get("/", port="port2").json()["tunnel_rests"] >= n, f"{n} tunnels at rest")

    @pytest.mark.parametrize("version", VERSIONS)
    def test_it_goes_on_from_either_side(self, hinge, backend, version):
        turn = threading.Semaphore(0)

        def script(conn):
            assert turn.acquire(timeout=PATIENCE)
            conn.send(b"first")
            shout(conn)
        origin, h = backend(script), self.begin(hinge)
        with socks.opened(h, version, "127.0.0.1", origin.port) as c:
            self.rests(h, 1)
            turn.release()
            assert c.exactly(5) == b"first"
            self.rests(h, 2)
            assert c.send(b"x" * 1000000).exactly(1000000) == b"X" * 1000000
            self.rests(h, 3)
            c.half_close().assert_closed()
        line, = h.wait_lines("a.log")
        assert f" 127.0.0.1:{origin.port} " in line and line.endswith(" 200 1000005")

    @pytest.mark.parametrize("end", ["close", "reset", "target", "lifetime", "stop"])
    def test_each_end_of_it(self, hinge, backend, end):
        leave = threading.Semaphore(0)
        origin = backend(lambda conn: leave.acquire(timeout=PATIENCE) if end == "target" else conn.hang())
        h = self.begin(hinge, "tunnel_lifetime 700ms;" if end == "lifetime" else "")
        with socks.opened(h, 5, "127.0.0.1", origin.port) as c:
            self.rests(h, 1)
            if end in ("close", "reset"):
                getattr(c, end)()
            elif end == "stop":
                h.terminate()
            else:
                leave.release()
                c.assert_closed()
        h.wait_lines("a.log")


class TestTunnels:
    @pytest.mark.parametrize("version", VERSIONS)
    def test_bytes_pass_both_ways(self, hinge, backend, version):
        with socks.opened(proxy(hinge), version, "127.0.0.1", backend(shout).port) as c:
            assert c.send(b"abc").exactly(3) == b"ABC"
            assert c.send(b"x" * 300000).exactly(300000) == b"X" * 300000
            c.half_close()
            assert c.all_bytes() == b""

    @pytest.mark.parametrize("version", VERSIONS)
    def test_every_split(self, hinge, backend, version):
        """Greeting, request and early data in two pieces, split everywhere; the client waits for no answer."""
        origin, h = backend(shout), proxy(hinge)
        if version == 4:
            said, heard = socks.request4("localhost", origin.port, user=b"me") + b"early", b"\0\x5a" + bytes(6)
        else:
            said, heard = socks.GREETING + socks.request("localhost", origin.port) + b"early", b"\5\0" + b"\5\0\0\1" + bytes(6)
        for at in range(1, len(said)):
            with h.connect() as c:
                c.send_in_pieces(said[:at], said[at:])
                assert c.exactly(len(heard)) == heard, at
                assert c.exactly(5) == b"EARLY", at
                c.half_close()
                assert c.all_bytes() == b"", at

    @pytest.mark.parametrize("version", VERSIONS)
    def test_byte_by_byte(self, hinge, backend, version):
        origin, h = backend(shout), proxy(hinge)
        with h.connect() as c:
            c.drip((socks.request4("127.0.0.1", origin.port) if version == 4 else socks.GREETING + socks.request("127.0.0.1", origin.port)) + b"abc")
            c.exactly(8 if version == 4 else 12)
            assert c.exactly(3) == b"ABC"

    def test_a_lot_of_early_data(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge)
        data = bytes(range(97, 123)) * 20000
        with h.connect() as c:
            c.send(socks.GREETING + socks.request("127.0.0.1", origin.port) + data[:100000])
            assert c.exactly(2) == b"\5\0" and socks.read_answer(c)[0] == socks.DONE
            assert c.exactly(100000) == data[:100000].upper()

    def test_nothing_is_sent_before_the_rules_have_spoken(self, hinge, backend):
        origin = backend(shout)
        h = proxy(hinge, "deny all;")
        with h.connect() as c:
            c.send(socks.GREETING + socks.request("127.0.0.1", origin.port) + b"early")
            assert c.exactly(2) == b"\5\0" and socks.read_answer(c)[0] == socks.NOT_ALLOWED
            c.assert_closed()
        assert not origin.received

    def test_a_target_that_speaks_first(self, hinge, backend):
        def greet(conn):
            conn.send(b"220 hello\r\n")
            conn.hang()
        with socks.opened(proxy(hinge), 5, "127.0.0.1", backend(greet).port) as c:
            assert c.exactly(11) == b"220 hello\r\n"

    @pytest.mark.parametrize("version", VERSIONS)
    def test_half_closes_pass_through(self, hinge, backend, version):
        def script(conn):
            got = conn.reader.to_the_end()
            conn.send(b"got " + got)
        with socks.opened(proxy(hinge), version, "127.0.0.1", backend(script).port) as c:
            c.send(b"all").half_close()
            assert c.all_bytes() == b"got all"

    def test_the_targets_half_close(self, hinge, backend):
        heard = queue.Queue()

        def script(conn):
            conn.send(b"bye")
            conn.sock.shutdown(socket.SHUT_WR)
            heard.put(conn.reader.to_the_end())
        origin = backend(script)
        with socks.opened(proxy(hinge), 5, "127.0.0.1", origin.port) as c:
            assert c.all_bytes() == b"bye"
            c.send(b"last words").half_close()
            c.assert_closed()
        assert heard.get(timeout=10) == b"last words"

    def test_an_idle_tunnel_ends(self, hinge, backend):
        with socks.opened(proxy(hinge, "proxy_read_timeout 300ms;"), 5, "127.0.0.1", backend(shout).port) as c:
            assert c.all_bytes() == b""

    def test_a_reset_of_the_target_is_passed_on(self, hinge, backend):
        def script(conn):
            conn._more()
            conn.reset()
        with socks.opened(proxy(hinge), 5, "127.0.0.1", backend(script).port) as c:
            c.send(b"x")
            with pytest.raises(ConnectionResetError):
                while c.sock.recv(100):
                    pass

    def test_a_reader_that_is_slow(self, hinge, backend):
        size = 8 << 20

        def script(conn):
            conn.send(b"y" * size)
        with socks.opened(proxy(hinge), 5, "127.0.0.1", backend(script).port, rcvbuf=4096) as c:
            c.sock.settimeout(20)
            got = len(c.reader.buffer)
            while data := c.sock.recv(50000):
                got += len(data)
            assert got == size

    def test_much_of_it(self, hinge, backend):
        """What comes in large pieces is spliced to the client; no byte is lost on the way in and out of that."""
        piece = bytes(random.Random(1).randbytes(1 << 20))

        def script(conn):
            conn._more()
            for i in range(24):
                conn.send(piece)
                if i % 8 == 3:
                    conn.send(b"a little")
        want = b"".join(piece + (b"a little" if i % 8 == 3 else b"") for i in range(24))
        with socks.opened(proxy(hinge), 5, "127.0.0.1", backend(script).port) as c:
            c.sock.settimeout(30)
            assert c.send(b"go").all_bytes() == want

    def test_tunnels_live_on_through_a_reload(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge)
        with socks.opened(h, 5, "127.0.0.1", origin.port) as c, h.connect() as half:
            half.send(socks.GREETING)
            assert half.exactly(2) == b"\5\0"
            h.rewrite_http(f"forward {{ listen %%port%%; {OUT} deny all; }}")
            h.reload_until(lambda: _first(h, origin.port) == socks.NOT_ALLOWED)
            assert c.send(b"on").exactly(2) == b"ON"
            assert socks.read_answer(half.send(socks.request("127.0.0.1", origin.port)))[0] == socks.NOT_ALLOWED, "the request goes by the new rules"


def _first(h, port):
    with h.connect() as c:
        return socks.ask(c, 5, "127.0.0.1", port)


class TestRefusals:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("rules, host, port, code", [
        ("deny all;", "127.0.0.1", 80, socks.NOT_ALLOWED), ("", "10.0.0.1", 80, socks.NOT_ALLOWED), ("", "169.254.169.254", 80, socks.NOT_ALLOWED),
        ("", "127.0.0.1", 25, socks.NOT_ALLOWED), ("socks_ports 80 443;", "127.0.0.1", 81, socks.NOT_ALLOWED), ("", "127.0.0.1", None, socks.REFUSED),
        ("resolver 127.0.0.1:1; resolver_timeout 1s;", "gone.test", 80, socks.HOST_UNREACHABLE),
        ("acl bad port 1-65535; http_access deny bad;", "127.0.0.1", 80, socks.NOT_ALLOWED),
        ("acl con method CONNECT; http_access deny con;", "127.0.0.1", 80, socks.NOT_ALLOWED), ("", "127.0.0.1", 0, socks.FAILURE)])
    def test_the_reason_has_a_code(self, hinge, version, rules, host, port, code):
        h = proxy(hinge, rules)
        with h.connect() as c:
            got = socks.ask(c, version, host, refused_port() if port is None else port)
            assert got == (socks.REJECTED if version == 4 else code)
            c.assert_closed()

    def test_a_target_that_does_not_answer(self, hinge):
        with socket.socket() as full:  # its queue takes no more, so connecting hangs
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            waiting = []
            for _ in range(3):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(full.getsockname())
                waiting.append(s)
            h = proxy(hinge, "proxy_connect_timeout 300ms;")
            with h.connect() as c:
                assert socks.ask(c, 5, *full.getsockname()) == socks.TTL_EXPIRED
            for s in waiting:
                s.close()

    def test_a_name_that_leads_inside(self, hinge):
        names = dns.Server({"inside.test": "10.1.2.3"})
        h = proxy(hinge, f"resolver {names} ipv6=off;")
        with h.connect() as c:
            assert socks.ask(c, 5, "inside.test", 80) == socks.NOT_ALLOWED
        names.close()

    def test_a_loop(self, hinge):
        h = proxy(hinge)
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", h.ports["port"]) == socks.NOT_ALLOWED
        h.wait_log("proxy loop")

    @pytest.mark.parametrize("name", [b"a b", b"a\0.test", b"a:80", b"a/b", b"user@a", b"0x7f.1", b"2130706433", b"\xff", b"a..b", b"a,b", b"x" * 255])
    def test_names_that_are_none(self, hinge, name):
        h = proxy(hinge)
        with h.connect() as c:
            c.send(socks.GREETING + socks.request(name, 80))
            assert c.exactly(2) == b"\5\0"
            assert socks.read_answer(c)[0] in (socks.FAILURE, socks.HOST_UNREACHABLE, socks.NOT_ALLOWED)
            c.assert_closed()

    @pytest.mark.parametrize("command", [socks.BIND, 0, 4, 255])
    def test_commands(self, hinge, command):
        h = proxy(hinge, "access_log %%dir%%/a.log t;", http="log_format t '$request $status';")
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", 80, command) == socks.BAD_COMMAND
            c.assert_closed()
        with h.connect() as c:
            assert socks.ask(c, 4, "127.0.0.1", 80, command) == socks.REJECTED
        word = "BIND" if command == socks.BIND else "UNKNOWN"
        assert h.wait_lines("a.log", 2) == [f"{word} 127.0.0.1:80 SOCKS5 405", f"{word} 127.0.0.1:80 SOCKS4 405"]

    def test_an_address_type_that_is_not_known(self, hinge):
        h = proxy(hinge)
        with h.connect() as c:
            c.send(socks.GREETING + b"\5\1\0\2abcd")
            assert c.exactly(2) == b"\5\0"
            assert socks.read_answer(c)[0] == socks.BAD_ADDRESS
            c.assert_closed()

    @pytest.mark.parametrize("offer", [b"\5\0", b"\5\1\2", b"\5\2\1\x80"])
    def test_no_method_that_would_do(self, hinge, offer):
        h = proxy(hinge)
        with h.connect() as c:
            assert c.send(offer).exactly(2) == b"\5\xff"
            c.assert_closed()
        h.wait_log("no method of authentication that is acceptable")

    @pytest.mark.parametrize("bytes_", [b"\5\1\0\4\1\0", b"\5\1\0\5\1\1\1" + bytes(6), b"\5\1\0\5\1\0\3\0", b"\4\1\0\x50\0\0\0\1\0\0", b"\4\1\0\x50\1\1\1\1" + b"u" * 300])
    def test_what_is_not_the_protocol(self, hinge, backend, bytes_):
        origin, h = backend(shout), proxy(hinge)
        with socks.opened(h, 5, "127.0.0.1", origin.port) as other:
            with h.connect() as c:
                c.send(bytes_)
                assert c.all_bytes() in (b"", b"\5\0")
            assert other.send(b"fine").exactly(4) == b"FINE"
        h.wait_log("SOCKS: client sent ")
        assert h.log.count("SOCKS: ") == 1

    def test_a_slow_handshake(self, hinge):
        h = proxy(hinge, "client_header_timeout 300ms;")
        for said in (b"\5", socks.GREETING, socks.GREETING + b"\5\1\0\3\x20abc", b"\4\1\0\x50"):
            with h.connect() as c:
                c.send(said)
                assert c.all_bytes() in (b"", b"\5\0")
        h.wait_log("client timed out in the handshake", 4)

    def test_a_slow_handshake_byte_by_byte(self, hinge):
        h = proxy(hinge, "client_header_timeout 400ms;")
        with h.connect() as c:
            with pytest.raises((BrokenPipeError, ConnectionResetError, AssertionError)):
                for b in socks.GREETING + b"\5\1\0\3" + bytes([255]) + b"a" * 255:
                    c.send(bytes([b]))
                    c.sock.settimeout(0.05)
                    try:
                        assert c.sock.recv(10) != b""
                    except socket.timeout:
                        pass

    def test_clients_of_other_hosts(self, hinge, backend):
        """Only this machine is let in until rules say otherwise."""
        h = hinge.http("server { listen %%port%%; return 200; }")
        assert h.get("/").status == 200
        with h.connect() as c:
            assert c.send(socks.GREETING).response().status == 400


class TestListen:
    def test_http_only(self, hinge, backend):
        h = proxy(hinge, listen="%%port%% protocol=http")
        with h.connect() as c:
            assert c.send(socks.GREETING + b"\r\n\r\n").response().status == 400

    def test_ports_of_squid(self, hinge):
        h = hinge.prepare_http("forward { squid_conf s.conf; }")
        h.write("s.conf", "http_port %%port%%\nhttp_access allow localhost\nhttp_access deny all\n")
        h.start()
        with h.connect() as c:
            assert c.send(socks.GREETING + b"\r\n\r\n").response().status == 400

    def test_socks_only(self, hinge, backend):
        origin = backend(serve(lambda req: answer(b"yes")))
        h = proxy(hinge, listen="%%port%% protocol=socks")
        assert curl(h, "socks5h", f"http://127.0.0.1:{origin.port}/").stdout == "yes"
        with h.connect() as c:
            c.send(lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", "Host: x"))
            c.assert_closed()
        h.wait_log("client sent what is not the protocol")

    @pytest.mark.parametrize("block, words", [("server { listen %%port%% protocol=socks; }", "belongs to"), ("server { listen %%port%% protocol=any; }", "belongs to"),
                                              ("forward { listen %%port%% protocol=ftp; }", "invalid protocol \"ftp\""), ("forward { listen %%port%%; socks_ports x; }", "invalid port")])
    def test_words_that_are_refused(self, hinge, block, words):
        told = hinge.prepare_http(block).run("-t", check=1)
        assert words in told.stderr, told.stderr

    def test_behind_a_proxy_header(self, hinge, backend):
        origin = backend(shout)
        for word in ("any", "socks"):
            h = proxy(hinge, "access_log %%dir%%/a.log t;", listen=f"%%port%% proxy_protocol protocol={word}", http="log_format t '$proxy_protocol_addr $request';")
            with h.connect() as c:
                c.send(b"PROXY TCP4 9.8.7.6 1.2.3.4 5 6\r\n")
                assert socks.ask(c, 5, "127.0.0.1", origin.port) == socks.DONE
                assert c.send(b"a").exactly(1) == b"A"
            assert h.wait_lines("a.log") == [f"9.8.7.6 CONNECT 127.0.0.1:{origin.port} SOCKS5"]

    def test_on_a_unix_socket(self, hinge, backend):
        origin = backend(shout)
        h = proxy(hinge, listen="unix:%%dir%%/s")
        with _unix(h) as c:
            assert socks.ask(c, 5, "127.0.0.1", origin.port) == socks.DONE
            assert c.send(b"a").exactly(1) == b"A"


def _unix(h):
    return Client(str(h.dir / "s"))


class TestTellingWhatHappened:
    def test_the_access_log(self, hinge, backend):
        origin = backend(shout)
        h = proxy(hinge, "access_log %%dir%%/a.log t;", http="log_format t '$request_method $request $server_protocol $host $status $upstream_bytes_sent $body_bytes_sent';")
        with socks.opened(h, 5, "localhost", origin.port) as c:
            c.send(b"abcd").exactly(4)
        with h.connect() as c:
            socks.ask(c, 4, "10.0.0.1", 80)
        assert sorted(h.wait_lines("a.log", 2)) == ["CONNECT CONNECT 10.0.0.1:80 SOCKS4 SOCKS4 10.0.0.1 403 - 0",
                                                    f"CONNECT CONNECT localhost:{origin.port} SOCKS5 SOCKS5 localhost 200 4 4"]

    def test_counters(self, hinge, backend):
        h = hinge.http(f"forward {{ listen %%port%%; {OUT} }} server {{ listen %%port2%%; location /c {{ counters; }} }}")
        with h.connect() as c:
            c.send(b"\5\1\0\5\1\7").all_bytes()
        with socks.opened(h, 5, "127.0.0.1", backend(shout).port):
            got = h.get("/c", port="port2").json()
        assert (got["socks_connections"], got["socks_bad"], got["tunnels"]) == (2, 1, 1), got


def test_the_end_of_a_client_over_tls_comes_with_its_last_bytes(hinge, backend):
    """A close_notify in the segment of the bytes before it, and no FIN: no event tells of it later."""
    heard = queue.Queue()
    origin = backend(lambda conn: heard.put(conn.reader.to_the_end()))
    h = proxy(hinge, certificate().lines, listen="%%port%% ssl")
    into, out, ctx = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
    tls = ctx.wrap_bio(into, out)
    with socket.create_connection(("127.0.0.1", h.ports["port"]), 10) as raw:
        def until(step):
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    raw.sendall(out.read())
                    into.write(raw.recv(65536))

        until(tls.do_handshake)
        tls.write(socks.GREETING + socks.request("127.0.0.1", origin.port))
        got = b""
        while len(got) < 12:
            got += until(lambda: tls.read(65536))
        assert got[:4] == b"\5\0\5\0"
        tls.write(b"last words")
        with pytest.raises(ssl.SSLError):  # it is written, and wants to read theirs
            tls.unwrap()
        raw.sendall(out.read())
        assert heard.get(timeout=10) == b"last words"
