"""Chains through Tor: names are found at the far end, and no question about them is asked of DNS here.

What a name server of this machine would be asked is counted, by the two ways in which hinge finds one: `resolver`, and /etc/resolv.conf of a host
of its own. That hinge sends names and no addresses tor says itself, which refuses addresses here. The network of relays runs with
HINGE_TEST_FULL=1: it takes some ten seconds to come about.
"""
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from tools import dns
from tools.backend import serve
from tools.namespaces import Network
from tools.raw import Client
from tools.times import FULL, PATIENCE, SLOW
from tools.tor import Tor, TorNetwork
from tools.wire import answer, lines

GOOD = "instructed Tor to take care of the DNS resolution itself"
BAD = "giving Tor only an IP address"
ONION = "http://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion/"


@pytest.fixture
def names():
    server = dns.Server({"far.world": "127.0.0.1"})
    yield server
    server.close()


@pytest.fixture
def tor(tmp_path):
    t = Tor(tmp_path / "tor")
    yield t
    t.close()


def proxy(hinge, way, inside="", **kwargs):
    """Everything by that way; SOCKS and HTTP clients on one port."""
    h = hinge.prepare_http(f"forward {{ listen %%port%%; access_log off; connect_ports all; egress_allow 127.0.0.0/8; parent p {{ server {way}; }} route p; {inside} }}",
                           **kwargs)
    return h.start()


def curl(h, url, *args, scheme="http", at=None):
    """The status that curl tells; 0 with the exit code of curl in the second place."""
    words = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(20 * SLOW), "-x", f"{scheme}://127.0.0.1:{h.ports['port']}", *args, url]
    done = subprocess.run(at.command(*words) if at else words, capture_output=True, text=True, timeout=PATIENCE + 20 * SLOW, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    return int(done.stdout), done.returncode


class TestOfNobody:
    """A tor that reaches no relay."""

    def test_names_go_as_they_are(self, hinge, tor, names):
        """By every way in; tor's refusal is the gateway's fault, and which hop it was stands in the log."""
        h = proxy(hinge, f"socks5://127.0.0.1:{tor.socks}", f"resolver {names};")
        with ThreadPoolExecutor() as many:  # tor lets each of them wait for two seconds
            told = many.map(lambda a: curl(h, a[0], scheme=a[1]), [("http://far.world/", "http"), (ONION, "http"), ("https://far.world/", "http"),
                                                                   ("http://far.world/", "socks5h"), ("http://far.world/", "socks4a")])
            assert list(told) == [(502, 0), (502, 0), (0, 56), (0, 97), (0, 97)]
        h.wait_log(r"hop 1 of 1, socks5://127\.0\.0\.1:\d+: it answered with code 6 \(TTL expired\)", 5)
        assert tor.log.count(GOOD) == 5 and BAD not in tor.log
        assert names.asked == []

    def test_addresses_stay_what_they_are(self, hinge, tor, names):
        """What tor says of those is what the case above rests on."""
        h = proxy(hinge, f"socks5://127.0.0.1:{tor.socks}", f"resolver {names};")
        assert curl(h, "http://127.0.0.1:9/")[0] == 502
        tor.wait_log(BAD)
        h.wait_log(r"it answered with code 2 \(not allowed\)")

    def test_a_tor_that_takes_its_time(self, hinge, tmp_path, names):
        """It would answer after a minute; hinge has told the client before."""
        tor = Tor(tmp_path / "slow", patience=60)
        try:
            h = proxy(hinge, f"socks5://127.0.0.1:{tor.socks}", f"resolver {names}; proxy_connect_timeout 500ms;")
            assert curl(h, "http://far.world/")[0] == 504
            h.wait_log(r"hop 1 of 1, socks5://")
        finally:
            tor.close()
        assert curl(h, "http://far.world/")[0] == 502, "and when nobody is there"
        assert names.asked == []

    def test_datagrams_do_not_slip_by(self, hinge, tor, names):
        """Tor carries none: they are dropped, and their names are nobody's business."""
        h = proxy(hinge, f"socks5://127.0.0.1:{tor.socks}", f"resolver {names};")
        with Client(h.address) as c, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            c.send(b"\5\1\0")
            assert c.exactly(2) == b"\5\0"
            c.send(b"\5\3\0\1\0\0\0\0\0\0")
            told = c.exactly(10)
            assert told[:2] == b"\5\0"
            out.sendto(b"\0\0\0\3\x09far.world\0\x35x", ("127.0.0.1", int.from_bytes(told[8:], "big")))
            h.wait_log(r"far\.world")
        assert names.asked == []

    def test_the_system_is_not_asked_either(self, hinge, backend, tmp_path):
        """On a host whose /etc/resolv.conf names a server that counts; a direct way asks it, the way by tor does not."""
        net, tor = Network(), None
        try:
            host = net.host("proxy")
            with host.inside():
                asked = dns.Server({"near.world": "127.0.0.1"}, address="127.0.0.1", port=53)
                origin = backend(serve(lambda req: answer(b"near")))
            host.names_from("127.0.0.1", tmp_path / "resolv.conf")
            tor = Tor(tmp_path / "tor", host=host)
            h = hinge.prepare_http(f"""forward {{ listen %%port%%; access_log off; connect_ports all; egress_allow 127.0.0.0/8; acl near dstdomain near.world;
                parent tor {{ server socks5://127.0.0.1:{tor.socks}; }} route direct near; route tor; }}""", host=host)
            h.start()
            with ThreadPoolExecutor() as many:
                told = many.map(lambda a: curl(h, a[0], scheme=a[1], at=host), [("http://far.world/", "http"), (ONION, "http"), ("http://far.world/", "socks5h")])
                assert list(told) == [(502, 0), (502, 0), (0, 97)]
            assert asked.asked == []
            assert curl(h, f"http://near.world:{origin.port}/", at=host)[0] == 200
            assert asked.count("near.world") and {q.name for q in asked.asked} == {"near.world"}
            asked.close()
            hinge.finish()  # before its host goes
            hinge.started = []
        finally:
            if tor:
                tor.close()
            net.close()


@pytest.mark.skipif(not FULL, reason="a network of relays: HINGE_TEST_FULL=1")
@pytest.mark.timeout(150)
def test_a_network_of_relays(hinge, backend, names):
    """Real circuits of three relays; the exits find the names, by the only server that knows them."""
    net = TorNetwork(names)
    mute = dns.Server({})
    try:
        origin = backend()
        url = f"http://far.world:{origin.port}/a?b"
        for way in (f"socks5://127.0.0.1:{net.client.socks}", f"socks5://one:circuit@127.0.0.1:{net.client.socks}", f"connect://127.0.0.1:{net.client.tunnel}"):
            h = proxy(hinge, way, f"resolver {mute};")
            got = h.ask(lines(f"GET {url} HTTP/1.1", f"Host: far.world:{origin.port}", "Connection: close"))
            assert got.status == 200 and got.json()["target"] == "/a?b", got
            body = b"x" * 300000
            got = h.ask(lines(f"POST {url} HTTP/1.1", f"Host: far.world:{origin.port}", "Connection: close", f"Content-Length: {len(body)}") + body, method="POST")
            assert got.status == 200 and got.json()["length"] == len(body)
            assert curl(h, url, "-p") == curl(h, url, scheme="socks5h") == (200, 0)
            assert curl(h, "http://no.world/")[0] == 502
        assert names.count("far.world") and mute.asked == [] and BAD not in net.client.log
    finally:
        mute.close()
        net.close()
