"""UDP ASSOCIATE: datagrams of SOCKS clients, each with its destination, and what is not relayed."""
import contextlib
import shutil
import socket
import subprocess
import threading
import time

import pytest
from tools import dns, socks
from tools.ports import free_port
from tools.raw import Client
from tools.times import wait_until
from tools.wire import lines

OUT = "egress_allow 127.0.0.0/8; egress_allow ::1;"


def proxy(hinge, rules="", listen="%%port%%", http="", **names):
    return hinge.http(f"{http} forward {{ listen {listen}; {OUT} {rules} }}", **names)


@contextlib.contextmanager
def shouter(address="127.0.0.1"):
    """A server that answers datagrams in capitals; .peers: who asked."""
    s = socks.udp_socket(address, 0.1)
    peers, stop = [], threading.Event()

    def run():
        while not stop.is_set():
            with contextlib.suppress(socket.timeout):
                data, peer = s.recvfrom(70000)
                peers.append(peer)
                s.sendto(data.upper(), peer)
    t = threading.Thread(target=run)
    server = type("Shouter", (), {"port": s.getsockname()[1], "peers": peers})()
    t.start()
    try:
        yield server
    finally:
        stop.set()
        t.join()
        s.close()


class Association:
    def __init__(self, h, named=("0.0.0.0", 0), address="127.0.0.1", **kwargs):
        self.c = h.connect(**kwargs)
        self.c.send(socks.GREETING)
        assert self.c.exactly(2) == b"\5\0"
        self.sock = socks.udp_socket(address)
        if named == "own":
            named = self.sock.getsockname()[:2]
        self.code, *self.relay = socks.read_answer(self.c.send(socks.request(*named, command=socks.UDP)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()
        self.c.close()

    def send(self, host, port, data, fragment=0):
        self.sock.sendto(socks.datagram(host, port, data, fragment), tuple(self.relay))
        return self

    def read(self):
        data, peer = self.sock.recvfrom(70000)
        assert peer[:2] == tuple(self.relay)
        return socks.read_datagram(data)

    def assert_quiet(self, seconds=0.2):
        self.sock.settimeout(seconds)
        with pytest.raises(socket.timeout):
            self.sock.recvfrom(70000)
        self.sock.settimeout(10)


class TestRelay:
    def test_datagrams_go_and_come_back(self, hinge):
        with shouter() as one, shouter() as two, Association(proxy(hinge)) as a:
            assert a.code == socks.DONE and a.relay[0] == "127.0.0.1" and a.relay[1]
            for server in (one, two, one):
                assert a.send("127.0.0.1", server.port, b"hello").read() == ("127.0.0.1", server.port, b"HELLO")
            assert len(set(one.peers)) == 1

    def test_where_datagrams_come_from(self, hinge):
        h = proxy(hinge, "proxy_bind 127.0.0.3; acl two port 1-1; egress_source 127.0.0.4 two;")
        with shouter() as s, Association(h) as a:
            a.send("127.0.0.1", s.port, b"x").read()
            assert s.peers[0][0] == "127.0.0.3"
        with shouter() as one, shouter() as two:
            h = proxy(hinge, f"acl two port {two.port}; egress_source 127.0.0.4 two;")
            with Association(h) as a:
                a.send("127.0.0.1", one.port, b"x").read()
                a.send("127.0.0.1", two.port, b"x").read()
            assert one.peers[0][0] == "127.0.0.1" and two.peers[0][0] == "127.0.0.4"

    @pytest.mark.parametrize("size", [0, 1, 1400, 60000])
    def test_sizes(self, hinge, size):
        with shouter() as s, Association(proxy(hinge)) as a:
            assert a.send("127.0.0.1", s.port, b"x" * size).read()[2] == b"X" * size

    def test_many_at_once(self, hinge):
        with shouter() as s, Association(proxy(hinge)) as a:
            a.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            for i in range(100):
                a.send("127.0.0.1", s.port, b"n%d" % i)
            assert {a.read()[2] for _ in range(90)} <= {b"N%d" % i for i in range(100)}

    def test_ipv6(self, hinge):
        with shouter("::1") as s, Association(proxy(hinge)) as a:
            assert a.send("::1", s.port, b"six").read() == ("::1", s.port, b"SIX")
        h = proxy(hinge, listen="[::1]:%%free%%", free=free_port())
        with shouter() as s:
            with Association(_At(h, ("::1", h.names["free"])), address="::1") as a:
                assert a.relay[0] == "::1"
                assert a.send("127.0.0.1", s.port, b"four").read() == ("127.0.0.1", s.port, b"FOUR")

    def test_names_are_resolved_here(self, hinge):
        names = dns.Server({"shout.test": "127.0.0.1"})
        with shouter() as s, Association(proxy(hinge, f"resolver {names} ipv6=off;")) as a:
            for word in (b"one", b"two"):
                assert a.send(b"Shout.Test", s.port, word).read() == ("127.0.0.1", s.port, word.upper())
            assert names.count("shout.test") == 1
        names.close()

    def test_clients_one_beside_the_other(self, hinge):
        h = proxy(hinge)
        with shouter() as s, Association(h) as a, Association(h) as b:
            a.send("127.0.0.1", s.port, b"a")
            b.send("127.0.0.1", s.port, b"b")
            assert (a.read()[2], b.read()[2]) == (b"A", b"B")
            assert len(set(s.peers)) == 2

    def test_password(self, hinge):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} auth_basic x; auth_basic_user_file users; }}")
        h.write("users", "tom:{PLAIN}secret\n")
        h.start()
        with shouter() as s, h.connect() as c, socks.udp_socket() as u:
            c.send(socks.WITH_PASSWORD + socks.login(b"tom", b"secret"))
            assert c.exactly(4) == b"\5\2\1\0"
            code, *relay = socks.read_answer(c.send(socks.request("0.0.0.0", 0, socks.UDP)))
            u.sendto(socks.datagram("127.0.0.1", s.port, b"x"), tuple(relay))
            assert code == socks.DONE and socks.read_datagram(u.recv(100))[2] == b"X"

    @pytest.mark.skipif(not shutil.which("dnsmasq"), reason="no dnsmasq")
    def test_dns(self, hinge):
        port = free_port()
        server = subprocess.Popen(["dnsmasq", "-k", "--no-resolv", "--no-hosts", "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}",
                                   "--address=/a.test/9.8.7.6", "--pid-file="], stderr=subprocess.DEVNULL)
        try:
            with Association(proxy(hinge)) as a:
                ask = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + dns.wire_name("a.test") + b"\0\1\0\1"
                for _ in range(50):  # until it listens
                    a.sock.settimeout(0.2)
                    with contextlib.suppress(socket.timeout):
                        host, _, told = a.send("127.0.0.1", port, ask).read()
                        break
                assert host == "127.0.0.1" and told[:2] == b"\x12\x34" and told.endswith(bytes([9, 8, 7, 6]))
        finally:
            server.terminate()
            server.wait()


class _At:
    """A proxy at another address than that of %%port%%."""
    def __init__(self, h, address):
        self.h, self.address = h, address

    def connect(self):
        return Client(self.address)


class TestEnds:
    def test_it_ends_with_the_connection(self, hinge):
        h = proxy(hinge, "access_log %%dir%%/a.log t;", http="log_format t '$request $status $body_bytes_sent';")
        with shouter() as s, Association(h) as a:
            a.send("127.0.0.1", s.port, b"hello").read()
            a.c.close()
            assert h.wait_lines("a.log") == ["UDP-ASSOCIATE 0.0.0.0:0 SOCKS5 200 5"]
            a.send("127.0.0.1", s.port, b"more").assert_quiet()
            assert len(s.peers) == 1

    def test_a_reset_ends_it(self, hinge):
        h = proxy(hinge, "access_log %%dir%%/a.log t;", http="log_format t '$request $status';")
        with Association(h) as a:
            a.c.reset()
            h.wait_lines("a.log")

    def test_it_ends_by_silence(self, hinge):
        h = proxy(hinge, "proxy_read_timeout 500ms;")
        with shouter() as s, Association(h) as a:
            end = time.monotonic() + 1.2
            while time.monotonic() < end:
                a.send("127.0.0.1", s.port, b"x").read()
                time.sleep(0.05)
            a.c.assert_closed()
        h.wait_log("no datagram has passed")

    def test_a_stop_of_the_server(self, hinge):
        h = proxy(hinge, http="")
        with shouter() as s, Association(h) as a:
            a.send("127.0.0.1", s.port, b"x").read()
            h.terminate()
            h.wait()

    def test_a_client_that_leaves_while_a_name_is_asked_for(self, hinge):
        names = dns.Server({"slow.test": lambda q: None})
        h = proxy(hinge, f"resolver {names} ipv6=off; resolver_timeout 500ms;")
        for _ in range(3):
            with Association(h) as a:
                a.send(b"slow.test", 9, b"x")
                time.sleep(0.05)
        with Association(h) as a:
            a.send(b"slow.test", 9, b"x").assert_quiet(1)
        names.close()


class TestWhatIsDropped:
    @pytest.mark.parametrize("rules, host, port", [
        ("", "10.0.0.1", 9), ("", "169.254.169.254", 53), ("", "224.0.0.1", 9), ("", "255.255.255.255", 9), ("", "127.0.0.1", 25), ("", "127.0.0.1", 0),
        ("", b"a b", 9), ("", b"a\0b", 9), ("", b"127.1", 9)])
    def test_destinations(self, hinge, rules, host, port):
        """The association stays; whoever may be reached still can."""
        with shouter() as s, Association(proxy(hinge, rules)) as a:
            a.send(host, port, b"x")
            assert a.send("127.0.0.1", s.port, b"fine").read()[2] == b"FINE"

    @pytest.mark.parametrize("rules", ["socks_ports 53;", "acl no dst 127.0.0.1; http_access deny no; http_access allow all;", "acl no method CONNECT; http_access deny no;",
                                       "egress_deny 127.0.0.1;", "acl in port 53; http_access allow in; http_access deny all;",
                                       "parent up { server socks5://127.0.0.1:1; } route up;", "route deny;", "acl in dst 127.0.0.0/8; route deny in; route direct;"])
    def test_rules_hold_for_each_destination(self, hinge, rules):
        h = proxy(hinge, rules)
        with shouter() as s, Association(h) as a:
            assert a.code == socks.DONE
            a.send("127.0.0.1", s.port, b"x").assert_quiet()
            assert not s.peers

    def test_the_filter_holds_for_each_destination(self, hinge):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} filter_list bad bad; filter_block bad; }}")
        h.write("bad", "bad.test\n127.0.0.9\n")
        h.start()
        with shouter() as s, Association(h) as a:
            a.send(b"www.bad.test", s.port, b"x").send("127.0.0.9", s.port, b"x")
            h.wait_log("blocked by filter: .* host=www.bad.test list=bad")
            h.wait_log("blocked by filter: .* host=127.0.0.9 list=bad")
            assert a.send("127.0.0.1", s.port, b"fine").read()[2] == b"FINE"

    def test_an_association_is_one_connection_of_its_user(self, hinge):
        """However many destinations it has; what limits its user refuses its destinations."""
        h = proxy(hinge, "user_connections 1; user_bytes 100k;")
        with shouter() as s, shouter() as t, Association(h) as a:
            for server in (s, t, s):
                assert a.send("127.0.0.1", server.port, b"x").read()[2] == b"X"
            with Association(h) as b:
                b.send("127.0.0.1", s.port, b"y").assert_quiet()
            h.wait_log("limited: too many requests and tunnels are open")
        with shouter() as s:
            wait_until(lambda: self.reaches(h, s), "the place is free again")

    def reaches(self, h, server):
        with Association(h) as a:
            a.sock.settimeout(0.3)
            try:
                return a.send("127.0.0.1", server.port, b"z").read()[2] == b"Z"
            except TimeoutError:
                return False

    def test_names_that_belong_to_a_parent_are_not_asked_for(self, hinge):
        names = dns.Server({"far.test": "127.0.0.1"})
        h = proxy(hinge, f"resolver {names} ipv6=off; parent up {{ server socks5://127.0.0.1:1; }} route up;")
        with shouter() as s, Association(h) as a:
            a.send(b"far.test", s.port, b"x").assert_quiet()
            h.wait_log("datagrams to far.test:.* are dropped: its way is through a parent")
            assert not names.asked
        names.close()

    def test_a_name_that_leads_inside(self, hinge):
        names = dns.Server({"in.test": "10.1.2.3", "mixed.test": ["10.1.2.3", "127.0.0.1"]})
        h = proxy(hinge, f"resolver {names} ipv6=off;")
        with shouter() as s, Association(h) as a:
            a.send(b"in.test", s.port, b"x")
            h.wait_log("datagrams to in.test:.* are dropped: private")
            assert a.send(b"mixed.test", s.port, b"y").read()[2] == b"Y"
        names.close()

    def test_a_name_that_changes_its_mind(self, hinge):
        """It is resolved once: what was judged is what is sent to."""
        turn = []

        def answer(q):
            turn.append(q)
            return dns.reply(q, [dns.address("127.0.0.1" if len(turn) == 1 else "10.0.0.1", ttl=0)])
        names = dns.Server({"two.test": answer})
        with shouter() as s, Association(proxy(hinge, f"resolver {names} ipv6=off;")) as a:
            for _ in range(3):
                assert a.send(b"two.test", s.port, b"x").read()[2] == b"X"
            assert len(turn) == 1
        names.close()

    @pytest.mark.parametrize("bytes_", [b"", b"\0", b"\0\0\0", b"\0\0\0\1\x7f\0\0\1", b"\1\0\0\1\x7f\0\0\1\0\x09x", b"\0\0\0\3\0\0\x09x", b"\0\0\0\x09\1\1", b"x" * 2000], ids=range(8))
    def test_broken_datagrams(self, hinge, bytes_):
        with shouter() as s, Association(proxy(hinge)) as a:
            a.sock.sendto(bytes_, tuple(a.relay))
            assert a.send("127.0.0.1", s.port, b"fine").read()[2] == b"FINE"

    def test_fragments(self, hinge):
        h = hinge.http(f"forward {{ listen %%port%%; {OUT} }} server {{ listen %%port2%%; location /c {{ counters; }} }}")
        with shouter() as s, Association(h) as a:
            for fragment in (1, 0x81, 255):
                a.send("127.0.0.1", s.port, b"part", fragment)
            assert a.send("127.0.0.1", s.port, b"whole").read()[2] == b"WHOLE"
            got = h.get("/c", port="port2").json()
            assert (got["socks_udp"], got["socks_udp_datagrams"], got["socks_udp_dropped"]) == (1, 2, 3)

    def test_datagrams_of_others(self, hinge):
        h = proxy(hinge)
        with shouter() as s, Association(h) as a, socks.udp_socket("127.0.0.2") as host, socks.udp_socket() as port:
            host.sendto(socks.datagram("127.0.0.1", s.port, b"x"), tuple(a.relay))
            assert a.send("127.0.0.1", s.port, b"mine").read()[2] == b"MINE"
            port.sendto(socks.datagram("127.0.0.1", s.port, b"x"), tuple(a.relay))
            assert a.send("127.0.0.1", s.port, b"mine").read()[2] == b"MINE"
            assert len(s.peers) == 2

    def test_a_port_that_the_client_has_named(self, hinge):
        h = proxy(hinge)
        with shouter() as s, Association(h, named="own") as a, socks.udp_socket() as other:
            other.sendto(socks.datagram("127.0.0.1", s.port, b"x"), tuple(a.relay))
            assert a.send("127.0.0.1", s.port, b"mine").read()[2] == b"MINE"
            assert len(s.peers) == 1

    def test_answers_of_whom_nobody_asked(self, hinge):
        h = proxy(hinge)
        with shouter() as s, Association(h) as a, socks.udp_socket() as stranger:
            a.send("127.0.0.1", s.port, b"x").read()
            stranger.sendto(b"boo", s.peers[0])
            a.assert_quiet()

    def test_the_number_of_destinations_is_bounded(self, hinge):
        h = proxy(hinge, "socks_udp_destinations 2;")
        with shouter() as one, shouter() as two, shouter() as three, Association(h) as a:
            a.send("127.0.0.1", one.port, b"a").read()
            a.send("127.0.0.1", two.port, b"b").read()
            a.send("127.0.0.1", three.port, b"c").assert_quiet()
            assert a.send("127.0.0.1", one.port, b"d").read()[2] == b"D"
            assert not three.peers

    def test_none_at_all(self, hinge):
        with Association(proxy(hinge, "socks_udp_destinations 0;")) as a:
            assert a.code == socks.BAD_COMMAND
            a.c.assert_closed()

    @pytest.mark.parametrize("rules, code", [("deny all;", socks.NOT_ALLOWED)])
    def test_clients_that_may_not_come_in(self, hinge, rules, code):
        with Association(proxy(hinge, rules)) as a:
            assert a.code == code

    def test_socks_4_has_none(self, hinge):
        with proxy(hinge).connect() as c:
            assert socks.ask(c, 4, "127.0.0.1", 80, socks.UDP) == socks.REJECTED


def test_others_are_served_meanwhile(hinge, backend):
    origin, h = backend(), proxy(hinge)
    with shouter() as s, Association(h) as a:
        a.send("127.0.0.1", s.port, b"x").read()
        assert h.ask(lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}", "Connection: close")).status == 200
        assert a.send("127.0.0.1", s.port, b"y").read()[2] == b"Y"


class TestLimitsOfClients:
    def test_associations_count_for_maxconn(self, hinge):
        h = proxy(hinge, "acl many maxconn 2; http_access deny many; http_access allow all;")
        with contextlib.ExitStack() as stack:
            echo = stack.enter_context(shouter())
            for _ in range(2):
                assert stack.enter_context(Association(h)).send("127.0.0.1", echo.port, b"a").read()[2] == b"A"
            third = stack.enter_context(Association(h)).send("127.0.0.1", echo.port, b"a")
            third.assert_quiet()
        h.wait_log(r"is refused by http_access \S+ \(http_access deny many\)")

    def test_associations_end_with_client_lifetime(self, hinge):
        h = proxy(hinge, "client_lifetime 1 second;")
        with shouter() as echo, Association(h) as a:
            assert a.send("127.0.0.1", echo.port, b"a").read()[2] == b"A"
            a.c.assert_closed()
        h.wait_log("older than client_lifetime")
