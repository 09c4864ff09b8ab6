"""Names found while requests run: proxy_pass with variables through `resolver`, against DNS servers good, bad and absent."""
import random
import shutil
import struct
import subprocess
import time

import pytest
from tools import dns
from tools.compare import needs_nginx
from tools.ports import free_port
from tools.times import wait_until
from tools.wire import lines


@pytest.fixture
def names():
    """names(records): a DNS server."""
    started = []

    def start(records=None, **more):
        started.append(dns.Server(records, **more))
        return started[-1]

    yield start
    for s in started:
        s.close()


def site(hinge, server, port, more="", pre="", params="valid=1s", **names):
    """A site whose backend's name is $arg_n by way of a map of constants: configured, so not guarded."""
    text = f"""resolver {server} {params}; {pre}
        map $arg_n $where {{ default a.test; b b.test; c c.test; d d.test; e e.test; f f.test; bad "no such.test"; }}
        server {{ listen %%port%%; {more} location / {{ proxy_pass http://$where:{port}; }} }}"""
    return hinge.http(text, **names)


def test_a_name_leads_to_its_address(hinge, backend, names):
    origin = backend()
    server = names({"a.test": "127.0.0.1"})
    h = site(hinge, server, origin.port)
    assert h.get("/x?y=1").json()["target"] == "/x?y=1"
    assert origin.requests[0]["Host"] == f"a.test:{origin.port}"


def test_answers_are_remembered_for_their_ttl(hinge, backend, names):
    origin = backend()
    server = names({"a.test": dns.address("127.0.0.1", ttl=600), "b.test": dns.address("127.0.0.1", ttl=0)})
    h = site(hinge, server, origin.port, params="ipv6=off")
    for _ in range(5):
        assert h.get("/").status == 200
        assert h.get("/?n=b").status == 200
    assert server.count("a.test") == 1
    assert server.count("b.test") == 5


def test_valid_overrides_the_ttl(hinge, backend, names):
    origin = backend()
    server = names({"a.test": dns.address("127.0.0.1", ttl=0), "b.test": dns.address("127.0.0.1", ttl=9999)})
    h = site(hinge, server, origin.port, params="ipv6=off valid=1s")
    for _ in range(5):
        h.get("/")
        h.get("/?n=b")
    assert server.count("a.test") <= 2 and server.count("b.test") <= 2
    wait_until(lambda: h.get("/?n=b").status == 200 and server.count("b.test") >= 2, "it is asked again")


@needs_nginx
def test_nothing_of_that_name_is_502_and_logged_like_nginx(hinge, backend, names):
    server = names({})
    text = f"resolver {server} ipv6=off; server {{ listen %%port%%; set $n nothing.test; location / {{ proxy_pass http://$n; }} }}"
    for binary in ("/usr/sbin/nginx", None):
        h = hinge.http(text, **({"binary": binary} if binary else {}))
        assert h.get("/").status == 502
        h.wait_log(r"\[error\].*nothing\.test could not be resolved \(3: Host not found\)")


@needs_nginx
def test_silence_is_a_timeout_like_nginx(hinge, names):
    server = names({"a.test": lambda q: None})
    text = f"resolver {server} ipv6=off; resolver_timeout 1s; server {{ listen %%port%%; set $n a.test; location / {{ proxy_pass http://$n; }} }}"
    for binary in ("/usr/sbin/nginx", None):
        h = hinge.http(text, **({"binary": binary} if binary else {}))
        assert h.get("/").status == 502
        h.wait_log(r"\[error\].*a\.test could not be resolved \(110: Operation timed out\)")


@needs_nginx
def test_no_resolver_is_as_in_nginx(hinge):
    text = "server { listen %%port%%; set $n a.test; location / { proxy_pass http://$n; } }"
    for binary in ("/usr/sbin/nginx", None):
        h = hinge.http(text, **({"binary": binary} if binary else {}))
        assert h.get("/").status == 502
        h.wait_log(r"\[error\].*no resolver defined to resolve a\.test")


@pytest.mark.parametrize("rcode, text", [(dns.SERVFAIL, "Server failure"), (dns.REFUSED, "")])
def test_a_failing_server(hinge, names, rcode, text):
    server = names({"a.test": lambda q: dns.reply(q, rcode=rcode)})
    h = site(hinge, server, 80)
    assert h.get("/").status == 502
    h.wait_log(r"a\.test could not be resolved \(\d+: .*" + text)


def test_the_next_server_is_asked(hinge, backend, names):
    origin = backend()
    bad, good = names({"a.test": lambda q: dns.reply(q, rcode=dns.SERVFAIL)}), names({"a.test": "127.0.0.1"})
    h = site(hinge, f"{bad} {good}", origin.port)
    assert h.get("/").status == 200
    assert bad.count("a.test") >= 1 and good.count("a.test") >= 1


def test_a_silent_server_is_not_the_first_one_asked_again(hinge, backend, names):
    origin = backend()
    silent, good = names({n: (lambda q: None) for n in ("a.test", "b.test")}), names({"a.test": "127.0.0.1", "b.test": "127.0.0.1"})
    h = site(hinge, f"{silent} {good}", origin.port, params="ipv6=off")
    assert h.get("/").status == 200
    assert h.get("/?n=b").status == 200
    assert silent.count("b.test") == 0


def test_all_addresses_are_tried(hinge, backend, names):
    origin = backend(address="127.0.0.3")
    server = names({"a.test": ["127.0.0.1", "127.0.0.2", "127.0.0.3"]})
    h = site(hinge, server, origin.port)
    for _ in range(4):
        assert h.get("/").status == 200


def test_addresses_take_turns(hinge, backend, names):
    one = backend(name="one", address="127.0.0.2")
    two = backend(name="two", address="127.0.0.3", port=one.port)
    server = names({"a.test": [dns.address("127.0.0.2", 600), dns.address("127.0.0.3", 600)]})
    h = site(hinge, server, one.port, params="")
    got = [h.get("/").json()["backend"] for _ in range(10)]
    assert got.count("one") == got.count("two") == 5


def test_ipv6_and_the_switches(hinge, backend, names):
    server = names({"a.test": ["127.0.0.1", "::1"]})
    four = backend(name="four")
    h = site(hinge, server, four.port, params="ipv6=off")
    assert h.get("/").json()["backend"] == "four"
    assert server.count("a.test", dns.AAAA) == 0 and server.count("a.test", dns.A) == 1
    h = site(hinge, server, free_port(), params="ipv4=off")
    assert h.get("/").status == 502
    h.wait_log(r"connect\(\) failed.*upstream: \"http://\[::1\]")


def test_aliases(hinge, backend, names):
    origin = backend()
    server = names({"a.test": dns.cname("b.test"), "b.test": dns.cname("c.test"), "c.test": "127.0.0.1"})
    h = site(hinge, server, origin.port)
    assert h.get("/").status == 200


def test_an_answer_too_large_for_udp_comes_over_tcp(hinge, backend, names):
    origin = backend(address="127.0.9.200")
    server = names({"a.test": [f"127.0.9.{i}" for i in range(200, 250)]})
    h = site(hinge, server, origin.port, params="ipv6=off")
    assert h.get("/").status in (200, 502)
    assert any(q.transport == "tcp" for q in server.asked)
    assert not [line for line in h.log.splitlines() if "could not be resolved" in line]


def test_a_name_is_asked_for_once_however_many_want_it(hinge, backend, names):
    origin = backend()

    def slow(q):
        time.sleep(0.5)
        return dns.reply(q, [dns.address("127.0.0.1", ttl=0)] if q.type == dns.A else [])

    server = names({"a.test": slow})
    h = site(hinge, server, origin.port, params="ipv6=off", workers=1)
    clients = [h.connect() for _ in range(8)]
    for c in clients:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert all(c.response().status == 200 for c in clients)
    assert server.count("a.test") <= 2


def test_clients_that_leave_while_a_name_is_resolved(hinge, backend, names):
    origin = backend()

    def slow(q):
        time.sleep(0.3)
        return dns.reply(q, [dns.address("127.0.0.1", ttl=0)] if q.type == dns.A else [])

    server = names({"a.test": slow, "b.test": "127.0.0.1"})
    h = site(hinge, server, origin.port, params="ipv6=off", workers=1)
    for _ in range(6):
        c = h.connect()
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(0.05)
        c.close()
    assert h.get("/?n=b").status == 200
    assert h.get("/").status == 200


def test_a_name_that_is_none_is_never_asked_for(hinge, names):
    server = names({})
    h = site(hinge, server, 80)
    assert h.get("/?n=bad").status in (500, 502)
    assert server.asked == []


def test_that_a_name_does_not_exist_is_remembered(hinge, names):
    server = names({})
    h = site(hinge, server, 80, params="ipv6=off", workers=1)
    for _ in range(5):
        assert h.get("/").status == 502
    assert server.count("a.test") == 1


def test_the_last_good_answer_serves_while_servers_fail(hinge, backend, names):
    origin = backend()
    server = names({"a.test": "127.0.0.1"})
    h = site(hinge, server, origin.port, params="ipv6=off valid=1s", workers=1)
    assert h.get("/").status == 200
    server["a.test"] = lambda q: dns.reply(q, rcode=dns.SERVFAIL)
    wait_until(lambda: h.get("/").status == 200 and server.count("a.test") >= 2, "the failure is met")
    assert h.get("/").status == 200
    server["a.test"] = lambda q: dns.reply(q, rcode=dns.NXDOMAIN)  # that is an answer, and a new one
    wait_until(lambda: h.get("/").status == 502, "the name is gone")


def test_stale_answers_can_be_turned_off(hinge, backend, names):
    origin = backend()
    server = names({"a.test": "127.0.0.1"})
    h = site(hinge, server, origin.port, params="ipv6=off valid=1s stale=0", workers=1)
    assert h.get("/").status == 200
    server["a.test"] = lambda q: dns.reply(q, rcode=dns.SERVFAIL)
    wait_until(lambda: h.get("/").status == 502, "no old answer is given")


def test_what_was_learnt_outlives_a_reload(hinge, backend, names):
    origin = backend()
    server = names({"a.test": dns.address("127.0.0.1", ttl=600)})
    h = site(hinge, server, origin.port, params="ipv6=off", workers=1)
    assert h.get("/").status == 200
    h.reload()
    for _ in range(3):
        assert h.get("/").status == 200
    assert server.count("a.test") == 1


def test_ids_and_ports_are_random(hinge, backend, names):
    origin = backend()
    server = names({"a.test": dns.address("127.0.0.1", ttl=0)})
    h = site(hinge, server, origin.port, params="ipv6=off", workers=1)
    for _ in range(24):
        assert h.get("/").status == 200
    ids, ports = [q.id for q in server.asked], [q.port for q in server.asked]
    assert len(set(ids)) >= 22 and len(set(ports)) >= 20
    steps = {(b - a) % 65536 for a, b in zip(ids, ids[1:])}
    assert len(steps) > 15  # no counter


def lots(q):
    return dns.reply(q, [dns.address("127.0.0.1", name=f"x{i}.other.test") for i in range(400)]) if q.transport == "tcp" else dns.reply(q, flags=0x8380)


def circle(q):
    return dns.reply(q, [dns.cname("b.test"), dns.cname("a.test", name="b.test")])


def chain(q):
    return dns.reply(q, [dns.cname(f"n{i + 1}.test", name=f"n{i}.test" if i else None) for i in range(40)] + [dns.address("127.0.0.1", name="n40.test")])


HOSTILE = {
    "another id": lambda q: dns.reply(q, [dns.address("127.0.0.1")], ident=q.id ^ 1),
    "another question": lambda q: dns.reply(q, [dns.address("127.0.0.1")], asked=dns.wire_name("other.test") + b"\0\1\0\1"),
    "records of another name": lambda q: dns.reply(q, [dns.address("127.0.0.1", name="other.test")]),
    "no answer bit": lambda q: dns.reply(q, [dns.address("127.0.0.1")], flags=0x0100),
    "more promised than there is": lambda q: dns.reply(q, [dns.address("127.0.0.1")], count=9),
    "short": lambda q: dns.reply(q, [dns.address("127.0.0.1")])[:-3],
    "empty": lambda q: b"",
    "a header alone": lambda q: dns.reply(q)[:12],
    "a name that points to itself": lambda q: dns.reply(q) [:6] + b"\0\1\0\0\0\0" + q.raw[12:] + b"\xc0" + bytes([len(q.raw)]) + struct.pack(">HHIH", 1, 1, 60, 4) + b"\x7f\0\0\1",
    "a circle of aliases": circle,
    "a chain of forty aliases": chain,
    "four hundred strangers": lots,
    "an address of five bytes": lambda q: dns.reply(q, [dns.Record(None, dns.A, 60, b"\x7f\0\0\1\1")]),
    "noise": lambda q: struct.pack(">H", q.id) + random.Random(7).randbytes(300),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_answers_lead_nowhere_and_harm_nothing(hinge, backend, names, what):
    origin = backend()
    server = names({"a.test": HOSTILE[what], "b.test": "127.0.0.1"})
    h = site(hinge, server, origin.port, more="resolver_timeout 1s;", params="ipv6=off", workers=1)
    assert h.get("/").status == 502
    assert h.get("/?n=b").status == 200
    assert len(origin.requests) == 1


def test_configurations_that_are_refused(hinge):
    for line, message in [
        ("resolver;", 'invalid number of arguments in "resolver" directive'),
        ("resolver valid=1s;", "no name servers defined"),
        ("resolver 127.0.0.1 valid=x;", "invalid parameter: valid=x"),
        ("resolver 127.0.0.1 ipv6=maybe;", "invalid parameter: ipv6=maybe"),
        ("resolver 127.0.0.1 ipv4=off ipv6=off;", '"ipv4" and "ipv6" cannot both be "off"'),
        ("resolver 127.0.0.1:0;", "invalid port in resolver"),
        ("resolver 127.0.0.1; resolver 127.0.0.1;", '"resolver" directive is duplicate'),
        ("resolver_timeout x;", '"resolver_timeout" directive invalid value'),
    ]:
        got = hinge.prepare_http(line + " server { listen %%port%%; }").run("-t")
        assert got.returncode != 0 and message in got.stderr, (line, got.stderr)


def test_explain_asks_nobody(hinge, names):
    server = names({"a.test": "127.0.0.1"})
    h = site(hinge, server, 80)
    out = h.explain(f"http://a:{h.ports['port']}/")
    assert "a.test" in out.stdout and server.asked == []


# -- servers of a group whose names are followed

def group(hinge, server, port, pre="", lines="", **more):
    return hinge.http(f"""upstream up {{ {pre} zone up 64k; server app.test:{port} resolve; {lines} }}
        resolver {server} ipv6=off valid=1s; server {{ listen %%port%%; location / {{ proxy_pass http://up; }} }}""", **more)


def test_a_group_follows_a_name(hinge, backend, names):
    one = backend(name="one", address="127.0.0.2")
    two = backend(name="two", address="127.0.0.3", port=one.port)
    server = names({"app.test": "127.0.0.2"})
    h = group(hinge, server, one.port)
    wait_until(lambda: h.get("/").status == 200, "the first answer is there")
    assert {h.get("/").json()["backend"] for _ in range(4)} == {"one"}
    server["app.test"] = ["127.0.0.2", "127.0.0.3"]
    wait_until(lambda: h.get("/").json()["backend"] == "two", "the second server is taken")
    server["app.test"] = "127.0.0.3"
    wait_until(lambda: {h.get("/").json()["backend"] for _ in range(4)} == {"two"}, "the first is gone")
    assert len(two.connections) <= 8  # idle connections to a server that stays are kept


def test_a_group_keeps_its_servers_while_dns_fails(hinge, backend, names):
    one = backend(address="127.0.0.2")
    server = names({"app.test": "127.0.0.2"})
    h = group(hinge, server, one.port, pre=f"resolver {server} ipv6=off valid=1s stale=0;")
    wait_until(lambda: h.get("/").status == 200, "the first answer is there")
    server["app.test"] = lambda q: dns.reply(q, rcode=dns.SERVFAIL)
    h.wait_log(r"\[error\].*app\.test could not be resolved \(2: Server failure\) in upstream \"up\"")
    assert h.get("/").status == 200
    server["app.test"] = lambda q: dns.reply(q, rcode=dns.NXDOMAIN)
    wait_until(lambda: h.get("/").status == 502, "the name is gone, and its servers with it")
    h.wait_log("no live upstreams")


def test_a_group_keeps_its_servers_over_a_reload(hinge, backend, names):
    one = backend(address="127.0.0.2")
    server = names({"app.test": "127.0.0.2"})
    h = group(hinge, server, one.port, workers=2)
    wait_until(lambda: h.get("/").status == 200, "the first answer is there")
    server["app.test"] = lambda q: None
    for _ in range(3):
        h.reload()
        assert all(h.get("/").status == 200 for _ in range(10))


def test_followed_names_beside_fixed_servers(hinge, backend, names):
    one = backend(name="one", address="127.0.0.2")
    two = backend(name="two")
    server = names({"app.test": "127.0.0.2"})
    h = group(hinge, server, one.port, lines=f"server {two};")
    assert h.get("/").status == 200
    wait_until(lambda: {h.get("/").json()["backend"] for _ in range(4)} == {"one", "two"}, "both serve")


def test_a_group_needs_a_resolver(hinge):
    got = hinge.prepare_http("upstream up { zone up 64k; server app.test resolve; } server { listen %%port%%; location / { proxy_pass http://up; } }").run("-t")
    assert got.returncode != 0 and 'no resolver defined to resolve names at run time in upstream "up"' in got.stderr


@pytest.mark.skipif(not shutil.which("dnsmasq"), reason="needs dnsmasq")
def test_a_real_server(hinge, backend, tmp_path):
    """dnsmasq: aliases, both families, names that do not exist, answers over TCP."""
    origin, port = backend(), free_port()
    many = [arg for i in range(1, 60) for arg in ("--host-record", f"c.test,127.0.0.{i}")]
    server = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--no-poll", "--conf-file=/dev/null", "--bind-interfaces",
                               "--listen-address=127.0.0.1", "--except-interface=none", f"--port={port}", "--local=/test/", "--pid-file=", "--user=root",
                               "--host-record=a.test,127.0.0.1,::1", "--cname=b.test,a.test", *many], stderr=subprocess.DEVNULL)
    try:
        h = site(hinge, f"127.0.0.1:{port}", origin.port, params="ipv6=off", more="resolver_timeout 2s;")
        wait_until(lambda: h.get("/").status == 200, "dnsmasq answers")
        assert h.get("/?n=b").status == 200
        assert h.get("/?n=d").status == 502
        h.wait_log(r"d\.test could not be resolved \(3: Host not found\)")
        assert h.get("/?n=c").status in (200, 502)
        assert "c.test could not be resolved" not in h.log
    finally:
        server.terminate()
        server.wait()


# ---- shares of clients ----

def want(h, name, source="127.0.0.1", port="port"):
    """A request for a name by a client, whose answer is not waited for."""
    c = h.connect(port, source=source)
    c.send(lines(f"GET http://{name}/ HTTP/1.1", f"Host: {name}", "Connection: close"))
    return c


def test_a_client_has_its_share_of_look_ups(hinge, backend, names):
    """Whoever asks for names that no server answers keeps nobody else from theirs, and not himself from what is known."""
    origin = backend()
    server = names({"good.test": "127.0.0.1", "new.test": "127.0.0.1", **{f"s{i}.test": (lambda q: None) for i in range(20)}})
    h = hinge.http(f"""resolver {server} ipv6=off; resolver_timeout 20s; resolver_client_lookups 3;
        server {{ listen %%port2%%; location / {{ counters; }} }}
        forward {{ listen %%port%%; egress_allow 127.0.0.0/8; connect_ports all; }}""", workers=1)

    def good(source, name="good.test"):
        with want(h, f"{name}:{origin.port}", source) as c:
            return c.response().status
    assert good("127.0.0.1") == 200
    waiting = [want(h, f"s{i}.test") for i in range(3)]
    wait_until(lambda: server.count("s2.test"), "all three are asked for")
    with want(h, "s3.test") as c:
        assert c.response().status == 502
    h.wait_log(r"s3\.test could not be resolved \(11: Too many names are asked for on behalf of this client\)")
    assert good("127.0.0.1", "new.test") == 502
    assert good("127.0.0.1") == 200, "it is remembered"
    for c in waiting:
        c.close()  # the questions go on
    with want(h, "s4.test") as c:
        assert c.response().status == 502
    assert good("127.0.0.2", "new.test") == 200
    assert good("127.0.0.1", "new.test") == 200, "another client has found it out"
    others = [want(h, f"s{i}.test", "127.0.0.2") for i in (10, 11, 12)]
    wait_until(lambda: server.count("s12.test"), "another client has a share of its own")
    for c in others:
        c.close()
    assert h.get("/", port="port2").json()["dns_share"] == 3
    assert not server.count("s3.test") and not server.count("s4.test")


@pytest.mark.parametrize("value", ["0", "513", "x"])
def test_a_share_is_a_number(hinge, value):
    assert "resolver_client_lookups" in hinge.prepare_http(f"server {{ resolver_client_lookups {value}; }}").run("-t", check=1).stderr
