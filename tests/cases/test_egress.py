"""The egress guard: what a client chooses is resolved once, judged, and connected to as judged; in a network of its own where public addresses are needed."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from tools import dns
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

HERE = pathlib.Path(__file__).resolve().parents[1]

SITE = """resolver %%names%% valid=1s; server { listen %%port%%; %%rules%% location / { proxy_pass http://$http_host$request_uri; } }"""


@pytest.fixture
def names():
    started = []

    def start(records=None, **more):
        started.append(dns.Server(records, **more))
        return started[-1]

    yield start
    for s in started:
        s.close()


def through(h, url, host=None):
    """A request in absolute form, as clients send it to a forward proxy."""
    authority = url.split("/")[2]
    return h.ask(lines(f"GET {url} HTTP/1.1", f"Host: {host or authority}", "Connection: close"))


def forward(hinge, server, rules="", **names):
    return hinge.http(SITE, names=server, rules=rules, **names)


def test_absolute_form_reaches_what_is_allowed(hinge, backend, names):
    origin = backend()
    h = forward(hinge, names({"a.test": "127.0.0.1"}), "egress_allow 127.0.0.0/8;")
    got = through(h, f"http://a.test:{origin.port}/x?y=1")
    assert got.status == 200 and got.json()["target"] == "/x?y=1"
    assert through(h, f"http://127.0.0.1:{origin.port}/z").json()["target"] == "/z"


@pytest.mark.parametrize("address, reason", [
    ("127.0.0.1", "loopback"), ("10.0.0.1", "private"), ("172.16.0.1", "private"), ("192.168.1.1", "private"), ("169.254.169.254", "link-local"),
    ("100.64.0.1", "shared"), ("0.0.0.0", "this network"), ("192.0.0.1", "protocol"), ("198.18.0.1", "benchmarking"), ("224.0.0.1", "multicast"),
    ("255.255.255.255", "reserved"), ("::", "unspecified"), ("::1", "loopback"), ("fc00::1", "unique local"), ("fe80::1", "link-local"), ("ff02::1", "multicast"),
    ("::ffff:127.0.0.1", "loopback"), ("::127.0.0.1", "IPv4-compatible"), ("2002:7f00:1::", "loopback"), ("64:ff9b::7f00:1", "loopback"),
])
def test_special_addresses_as_such_and_behind_a_name(hinge, names, address, reason):
    server = names({"inside.test": address})
    h = forward(hinge, server)
    literal = f"[{address}]" if ":" in address else address
    for host in (f"{literal}:81", "inside.test:81"):
        got = through(h, f"http://{host}/secret")
        assert got.status == 403 and "secret" not in got.text and address not in got.text
    h.wait_log(rf"\[error\].*access forbidden: \"inside\.test:81\" is the client's choice and not a public address \({reason}.*: ")


@pytest.mark.parametrize("host", [
    "0177.0.0.1", "2130706433", "0x7f.1", "0x7f000001", "127.1", "127.0.1", "0300.0250.1.1", "%31%32%37.0.0.1", "127.0.0.1%00.a.test", "127.0.0.1%2e",
    "[::1%25lo]", "[::1%lo]", "\uff11\uff12\uff17.0.0.1", "127\u30020.0.1", "a.test@127.0.0.1", "127.0.0.1.", "1.2.3.4.5", "[127.0.0.1]", "[::ffff:127.1]",
])
def test_other_spellings_never_reach_the_inside(hinge, backend, names, host):
    origin = backend()
    server = names({})
    h = forward(hinge, server)
    data = f"GET http://{host}:{origin.port}/ HTTP/1.1\r\nHost: {host}:{origin.port}\r\nConnection: close\r\n\r\n".encode()
    assert h.ask(data).status in (400, 403, 500, 502)
    assert not origin.connections


def test_answers_that_mix_inside_and_outside_are_filtered(hinge, backend, names):
    origin = backend(address="127.0.0.5")
    server = names({"mixed.test": ["127.0.0.6", "10.0.0.1", "127.0.0.5", "::1"]})
    h = forward(hinge, server, "egress_allow 127.0.0.5;")
    for _ in range(4):
        assert through(h, f"http://mixed.test:{origin.port}/").status == 200
    assert "10.0.0.1" not in h.log


def test_an_alias_to_the_inside(hinge, names):
    server = names({"public.test": dns.cname("db.test"), "db.test": "10.0.0.5"})
    h = forward(hinge, server)
    assert through(h, "http://public.test/").status == 403


def test_deny_lines(hinge, backend, names):
    origin = backend()
    server = names({"a.test": "127.0.0.1", "b.test": "127.0.0.2"})
    h = forward(hinge, server, "egress_allow 127.0.0.0/8; egress_deny 127.0.0.2;")
    assert through(h, f"http://a.test:{origin.port}/").status == 200
    assert through(h, f"http://b.test:{origin.port}/").status == 403
    h.wait_log(r"egress_deny")


def test_the_first_answer_decides_however_the_next_one_looks(hinge, backend, names):
    """DNS rebinding: the answer that was judged is the one that is connected to; a second question, and its other answer, is judged anew."""
    outside, inside = backend(name="outside", address="127.0.0.5"), None
    inside = backend(name="inside", address="127.0.0.6", port=outside.port)
    turn = []

    def rebinding(q):
        if q.type != dns.A:
            return dns.reply(q)
        turn.append(q)
        return dns.reply(q, [dns.address("127.0.0.5" if len(turn) % 2 else "127.0.0.6", ttl=0)])

    server = names({"rebind.test": rebinding})
    h = hinge.http("resolver %%names%%; server { listen %%port%%; egress_allow 127.0.0.5; location / { proxy_pass http://$http_host$request_uri; } }",
                   names=server, workers=1)
    got = [through(h, f"http://rebind.test:{outside.port}/") for _ in range(6)]
    assert [g.status for g in got] == [200, 403] * 3
    assert all(g.json()["backend"] == "outside" for g in got[::2])
    assert len(turn) == 6 and not inside.connections


def test_a_retry_stays_among_what_was_judged(hinge, backend, names):
    inside = backend(name="inside", address="127.0.0.6")
    turn = []

    def changing(q):
        turn.append(q)
        return dns.reply(q, [dns.address(a, ttl=0) for a in (["127.0.0.5"] if len(turn) < 2 else ["127.0.0.6"])] if q.type == dns.A else [])

    server = names({"c.test": changing})
    h = hinge.http("resolver %%names%% ipv6=off; server { listen %%port%%; egress_allow 127.0.0.5; location / { proxy_pass http://$http_host$request_uri; } }", names=server)
    assert through(h, f"http://c.test:{inside.port}/").status == 502  # nobody is at 127.0.0.5
    assert len(turn) == 1 and not inside.connections


def test_our_own_listeners_are_a_loop(hinge, names):
    server = names({"me.test": "127.0.0.1"})
    h = forward(hinge, server, "egress_allow all;")
    for host in (h.ports["port"].__str__().join(["127.0.0.1:", ""]), f"me.test:{h.ports['port']}", f"[::ffff:127.0.0.1]:{h.ports['port']}", f"0.0.0.0:{h.ports['port']}"):
        got = through(h, f"http://{host}/")
        assert got.status == 508, host
    h.wait_log("proxy loop")


def test_configured_targets_are_not_judged(hinge, backend, names):
    origin = backend()
    server = names({"a.test": "127.0.0.1"})
    h = hinge.http("resolver %%names%%; server { listen %%port%%; set $where a.test; location / { proxy_pass http://$where:" + str(origin.port) + "; } }", names=server)
    assert h.get("/").status == 200


def test_error_page_may_replace_the_answer(hinge, names):
    server = names({})
    h = forward(hinge, server, "error_page 403 /page; location = /page { return 200 replaced; }")
    assert through(h, "http://10.0.0.1/").text == "replaced"


def test_refused_configurations(hinge):
    for line, message in [("egress_allow x;", 'invalid parameter "x"'), ("egress_deny 10.0.0.0/40;", 'invalid parameter "10.0.0.0/40"'),
                          ("egress_deny;", 'invalid number of arguments in "egress_deny" directive')]:
        got = hinge.prepare_http(line + " server { listen %%port%%; }").run("-t")
        assert got.returncode != 0 and message in got.stderr
    got = hinge.prepare_http("egress_allow 10.0.0.1/8; server { listen %%port%%; }").run("-t")
    assert got.returncode == 0 and "low address bits of 10.0.0.1/8 are meaningless" in got.stderr


def can_unshare():
    return os.geteuid() == 0 and shutil.which("ip") and subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="needs network namespaces")
def test_public_addresses_in_a_network_of_its_own(hinge):
    """The same with addresses that are public: in a network namespace, where they are addresses of the loopback interface."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from tools import dns, server
from tools.backend import Backend
from tools.wire import lines
origin, inside = Backend(name="public", address="9.9.9.10", port=80), Backend(name="inside", address="127.0.0.1", port=80)
turn = []
def rebinding(q):
    if q.type != dns.A:
        return dns.reply(q)
    turn.append(q)
    return dns.reply(q, [dns.address("9.9.9.10" if len(turn) == 1 else "127.0.0.1", ttl=0)])
names = dns.Server({"pub.test": "9.9.9.10", "rebind.test": rebinding, "mixed.test": ["127.0.0.1", "9.9.9.10"], "me.test": "9.9.9.11"})
s = server.Starter()
h = s.http("resolver %%names%%; server { listen 0.0.0.0:8080; listen %%port%%; location / { proxy_pass http://$http_host$request_uri; } }", names=names, workers=1)
def through(host):
    return h.ask(lines(f"GET http://{host}/ HTTP/1.1", f"Host: {host}", "Connection: close"))
assert through("pub.test").json()["backend"] == "public"
assert through("9.9.9.10").status == 200
assert through("rebind.test").json()["backend"] == "public"
assert through("rebind.test").status == 403
assert all(through("mixed.test").json()["backend"] == "public" for _ in range(4))
assert through("9.9.9.11:8080").status == 508 and through("me.test:8080").status == 508
assert not inside.connections
s.finish()
print("fine")
"""
    enter = ["unshare", "-n", "sh", "-c", "ip link set lo up && ip addr add 9.9.9.10/32 dev lo && ip addr add 9.9.9.11/32 dev lo && exec \"$@\"", "sh"]
    got = subprocess.run([*enter, sys.executable, "-c", script, str(HERE)], capture_output=True, text=True, timeout=50)
    assert got.returncode == 0 and got.stdout.strip() == "fine", got.stdout + got.stderr
