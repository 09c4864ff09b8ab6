"""The forward proxy between separate hosts: clients inside, the proxy with a foot on either side, the world outside.

Nothing but the proxy joins the two nets: no route, no forwarding. The outer net has an address that is public everywhere, so the guard is as it is
by default; the world has a private address too, which stands for what lies behind a proxy and is nobody's business.
"""
import socket
import subprocess

import pytest
from tools import dns
from tools.backend import Conn, serve
from tools.certs import certificate
from tools.namespaces import Network
from tools.raw import Client
from tools.times import PATIENCE, SLOW
from tools.wire import answer, lines

CLIENT, OTHER, INNER = "10.77.0.2", "10.77.0.3", "10.77.0.1"
PUBLIC, OUTER = "93.184.216.34", "93.184.216.1"
PRIVATE, BEHIND = "10.88.0.2", "10.88.0.1"
PUBLIC6, OUTER6, CLIENT6, INNER6 = "2a00:7777::2", "2a00:7777::1", "fd00:77::2", "fd00:77::1"
SITE = certificate("site.world", alt=f"DNS:site.world,IP:{PUBLIC}")
PORT = 3128
INSIDE = "allow 10.77.0.0/24; deny all;"


class World:
    def __init__(self, hinge, backend, tmp_path):
        self.hinge, self.home = hinge, tmp_path
        self.net = Network()
        self.client, self.proxy, self.world = (self.net.host(n) for n in ("client", "proxy", "world"))
        self.net.cable(self.client, [f"{CLIENT}/24", f"{OTHER}/24"], self.proxy, [f"{INNER}/24"])
        self.net.cable(self.proxy, [f"{OUTER}/24", f"{BEHIND}/24"], self.world, [f"{PUBLIC}/24", f"{PRIVATE}/24"])
        self.peers = []
        with self.world.inside():
            self.origins = [backend(serve(lambda req: answer(f"for {req.target}".encode())), address=a, port=80) for a in (PUBLIC, PRIVATE)]
            self.names = dns.Server({"site.world": PUBLIC, "inner.world": PRIVATE}, address=PUBLIC, port=53)
        for origin in self.origins:
            origin.scripts = [self.noting(origin.scripts[0])]
        with self.client.inside():
            self.asked = dns.Server({}, address="127.0.0.1", port=53)
        self.client.names_from("127.0.0.1", tmp_path / "resolv.client")
        self.proxy.names_from(PUBLIC, tmp_path / "resolv.proxy")

    def noting(self, script):
        """Who is connected, as the origin sees it."""
        def noted(conn: Conn):
            self.peers.append(conn.sock.getpeername()[0])
            script(conn)
        return noted

    def start(self, rules=INSIDE, listen=f"{INNER}:{PORT}", more=""):
        self.h = self.hinge.prepare_http(f"""
            log_format t '$remote_addr $request_method $http_host $status';
            forward {{ listen {listen}; {rules} access_log %%dir%%/a.log t; }} {more}""", access_log="", host=self.proxy)
        self.h.start()
        return self

    def curl(self, *args, check=0, at=None, proxy=f"http://{INNER}:{PORT}"):
        """What curl prints on the client's host, or at another."""
        words = (at or self.client).command("curl", "-sS", "--max-time", 20 * SLOW, "-x", proxy, *args)
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE * 4, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        assert done.returncode == check, done
        return done.stdout

    def status(self, url, *args, **kwargs):
        return self.curl("-o", "/dev/null", "-w", "%{http_code}", *args, url, **kwargs)

    def close(self):
        self.names.close()
        self.asked.close()
        self.net.close()


@pytest.fixture
def world(hinge, backend, tmp_path):
    w = World(hinge, backend, tmp_path)
    yield w
    try:
        hinge.finish()  # before its host goes
    finally:
        hinge.started = []
        w.close()


def test_the_hosts_are_separate(world):
    """What the other cases rest on: without the proxy there is no way, and a client that looks for a name asks its own server."""
    assert world.curl("--noproxy", "*", f"http://{PUBLIC}/", check=7) == ""
    world.curl("--noproxy", "*", "http://site.world/", check=6)
    assert world.asked.count("site.world") and not world.names.asked


class TestTheWay:
    def test_the_origin_sees_the_proxy_alone(self, world):
        world.start()
        assert world.curl("http://site.world/x") == "for /x"
        assert world.peers == [OUTER]
        seen = str(world.origins[0].requests[0].headers.pairs)
        assert CLIENT not in seen and INNER not in seen and "hinge" in dict(world.origins[0].requests[0].headers.pairs)["Via"]
        assert world.h.wait_lines("a.log") == [f"{CLIENT} GET site.world 200"]

    def test_names_are_the_proxys_affair(self, world):
        """Found by the /etc/resolv.conf of its host, for a block that names no resolver."""
        world.start()
        assert world.curl("http://site.world/") == "for /"
        assert world.names.count("site.world") == 1 and not world.asked.asked

    def test_a_tunnel(self, world):
        world.start()
        outside = world.hinge.prepare_http(f"server {{ listen {PUBLIC}:443 ssl; {SITE.lines} return 200 '$remote_addr $ssl_server_name'; }}", host=world.world)
        outside.start()
        assert world.curl("--cacert", SITE.cert, "https://site.world/") == f"{OUTER} site.world"
        assert world.curl("--cacert", SITE.cert, f"https://{PUBLIC}/") == f"{OUTER} "
        assert not world.asked.asked

    def test_by_socks(self, world):
        world.start(f"allow {CLIENT}; deny all;")
        at = f"socks5h://{INNER}:{PORT}"
        assert world.curl("http://site.world/x", "--interface", CLIENT, proxy=at) == "for /x"
        world.curl("http://site.world/", "--interface", OTHER, proxy=at, check=97)
        world.curl("http://inner.world/", "--interface", CLIENT, proxy=at, check=97)
        assert world.peers == [OUTER] and not world.asked.asked

    def test_ipv6_on_either_side(self, world):
        try:
            world.net.cable(world.client, [f"{CLIENT6}/64"], world.proxy, [f"{INNER6}/64"])
            world.net.cable(world.proxy, [f"{OUTER6}/64"], world.world, [f"{PUBLIC6}/64"])
            with world.world.inside():
                socket.socket(socket.AF_INET6).bind((PUBLIC6, 9))
        except OSError as e:
            pytest.skip(f"no IPv6 here: {e}")
        world.start("allow fd00:77::/64; deny all;", f"[{INNER6}]:{PORT}")
        outside = world.hinge.prepare_http(f"server {{ listen [{PUBLIC6}]:80; return 200 $remote_addr; }}", host=world.world)
        outside.start()
        world.names["six.world"] = PUBLIC6
        at = f"http://[{INNER6}]:{PORT}"
        assert world.curl("http://six.world/", proxy=at) == world.curl(f"http://[{PUBLIC6}]/", proxy=at) == OUTER6
        assert world.status(f"http://[{CLIENT6}]/", proxy=at) == "403", "a unique local address is none of the world's"


class TestWhoMayComeIn:
    def test_by_address(self, world):
        world.start(f"allow {CLIENT}; deny all;")
        assert world.status("http://site.world/", "--interface", CLIENT) == "200"
        assert world.status("http://site.world/", "--interface", OTHER) == "403"
        assert world.peers == [OUTER]
        assert world.h.wait_lines("a.log", 2) == [f"{CLIENT} GET site.world 200", f"{OTHER} GET site.world 403"]

    def test_by_squids_rules(self, world):
        world.start(f"acl one src {CLIENT}; http_access allow one; http_access deny all;")
        assert world.status("http://site.world/", "--interface", CLIENT) == "200"
        assert world.status("http://site.world/", "--interface", OTHER) == "403"

    def test_without_a_rule_the_machine_itself(self, world):
        world.start("", f"0.0.0.0:{PORT}")
        assert world.status("http://site.world/") == "403"
        world.h.wait_log("no access rule lets in clients of other hosts")
        assert world.status("http://site.world/", at=world.proxy, proxy=f"http://127.0.0.1:{PORT}") == "200"
        assert world.status("http://site.world/", at=world.proxy, proxy=f"http://{INNER}:{PORT}") == "403", "its own address from the inside is no loopback"

    @pytest.mark.parametrize("rules", ["allow all;", "acl any src all; http_access allow any;", "deny 10.0.0.1;"])
    def test_nobody_opens_it_to_the_world_by_mistake(self, world, rules):
        """A start, not a test of the file: it ends, says why, and the port is not there."""
        h = world.hinge.prepare_http(f"forward {{ listen {OUTER}:{PORT}; {rules} }}", host=world.proxy)
        done = h.run()
        assert done.returncode == 1 and f"open to everybody who reaches {OUTER}:{PORT}" in done.stderr, done
        with world.world.inside(), pytest.raises(ConnectionRefusedError):
            Client((OUTER, PORT))

    def test_an_open_proxy_that_is_meant(self, world):
        world.start("allow all; allow_open_proxy on;", f"{OUTER}:{PORT}")
        assert world.status(f"http://{PUBLIC}/", at=world.world, proxy=f"http://{OUTER}:{PORT}") == "200"


class TestWhereItLeads:
    def test_not_to_what_is_private(self, world):
        world.start()
        assert world.status("http://inner.world/") == world.status(f"http://{PRIVATE}/") == "403"
        assert world.status(f"http://{CLIENT}/") == world.status("http://169.254.169.254/") == world.status("http://127.0.0.1/") == "403"
        assert not world.peers and not world.origins[1].connections
        world.h.wait_log(r'"inner.world:80" is the client.s choice and not a public address')

    def test_what_is_allowed_is_no_more_than_that(self, world):
        world.start(INSIDE + f"egress_allow {PRIVATE};")
        assert world.status("http://inner.world/") == "200"
        assert world.peers == [BEHIND]
        assert world.status(f"http://{BEHIND}/") in ("403", "508")

    @pytest.mark.parametrize("own", [INNER, OUTER])
    def test_not_to_itself(self, world, own):
        """By any of its host's addresses on which it listens."""
        world.start(INSIDE, f"0.0.0.0:{PORT}")
        assert world.status(f"http://{own}:{PORT}/") == "508"

    def test_a_name_that_turns_from_public_to_private(self, world):
        """Rebinding: each request goes where its own answer said, and a private answer leads nowhere."""
        turns = iter([PUBLIC] + [PRIVATE] * 20)
        world.names["turn.world"] = lambda q: dns.reply(q, [dns.address(next(turns), ttl=0)] if q.type == dns.A else [])
        world.start()
        assert [world.status("http://turn.world/") for _ in range(3)] == ["200", "403", "403"]
        assert world.peers == [OUTER] and not world.origins[1].connections

    def test_the_address_it_leaves_by(self, world):
        with world.proxy.inside():
            world.proxy.ip("addr", "add", "93.184.216.7/24", "dev", world.proxy.ip("-br", "addr", "show", "to", OUTER).split("@")[0].split()[0])
        world.start(INSIDE + "proxy_bind 93.184.216.7;")
        assert world.status("http://site.world/") == "200"
        assert world.peers == ["93.184.216.7"]


def test_a_tunnel_ends_with_its_origin(world):
    """Across real hosts: both directions, half close, and the end."""
    with world.world.inside():
        listener = socket.create_server((PUBLIC, 443))
    world.start()
    with world.client.inside():
        c = Client((INNER, PORT))
    c.send(lines("CONNECT site.world:443 HTTP/1.1", "Host: site.world:443"))
    listener.settimeout(PATIENCE)
    far, peer = listener.accept()
    assert peer[0] == OUTER and c.response("CONNECT").status == 200
    c.send(b"ping").half_close()
    far.settimeout(PATIENCE)
    assert far.recv(100) == b"ping" and far.recv(100) == b""
    far.sendall(b"pong")
    assert c.exactly(4) == b"pong"
    far.close()
    c.assert_closed()
    listener.close()
