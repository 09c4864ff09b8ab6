"""cache_peer and its kin: in a forward block, and beside Squid with the same lines."""
import pytest
from tools import certs, dns
from tools.ports import free_port
from tools.wire import lines


def peer(p, options="", name=None):
    return f"cache_peer 127.0.0.1 parent {p if isinstance(p, int) else p.port} 0 no-query {f'name={name}' if name else ''} {options};"


def proxy(hinge, rules, dns="127.0.0.1:1", **names):
    return hinge.http(f"resolver {dns}; forward {{ listen %%port%%; access_log off; connect_ports all; {rules} }}", **names)


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields), method=method)


def tunnel(h, target):
    with h.connect() as c:
        return c.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}"), method="CONNECT")


NEVER = "never_direct allow all;"


def test_a_parent_and_never_direct(hinge, backend, parent):
    names = dns.Server({})
    far = parent({"far.test": backend()}, login="tom:se cret%")
    h = proxy(hinge, peer(far, "default proxy-only login=tom:se%20cret%25") + NEVER, dns=names)
    assert through(h, "http://far.test/").status == 200
    assert through(h, "http://far.test/", "Content-Length: 0", method="POST").status == 200
    assert tunnel(h, "far.test:443").status == 200
    assert [a.kind for a in far.asked] == ["http", "http", "connect"] and names.asked == []
    names.close()


def test_without_never_direct(hinge, backend, parent):
    """Only what a cache could keep goes to the parent, and goes direct when that is away."""
    origin = backend()
    names = dns.Server({"near.test": "127.0.0.1"})
    far = parent({"near.test": origin})
    port = far.port
    h = proxy(hinge, "egress_allow 127.0.0.0/8;" + peer(far), dns=names)
    url = f"http://near.test:{origin.port}/"
    far.names[f"near.test:{origin.port}"] = origin
    assert through(h, url).status == 200 and len(far.asked) == 1 and names.asked == []
    assert through(h, url, "Content-Length: 0", method="POST").status == 200
    assert through(h, url, method="HEAD").status == 200
    assert through(h, url, "Authorization: Basic eA==").status == 200
    assert tunnel(h, f"near.test:{origin.port}").status == 200
    assert len(far.asked) == 1 and names.asked
    far.close()
    assert port and through(h, url).status == 200
    h.wait_log("no server of parent \"cache_peer\" could be reached")
    names.close()


def test_nonhierarchical_direct_off(hinge, backend, parent):
    far = parent({"far.test": backend()})
    h = proxy(hinge, peer(far) + "nonhierarchical_direct off;")
    assert tunnel(h, "far.test:443").status == 200 and through(h, "http://far.test/", "Content-Length: 0", method="POST").status == 200
    assert len(far.asked) == 2


def test_always_direct(hinge, backend, parent):
    origin, far = backend(), parent({"far.test": backend()})
    names = dns.Server({"near.test": "127.0.0.1"})
    h = proxy(hinge, "egress_allow 127.0.0.0/8; acl near dstdomain near.test; always_direct allow near;" + peer(far) + NEVER, dns=names)
    assert through(h, f"http://near.test:{origin.port}/").status == 200 and far.asked == []
    assert through(h, "http://far.test/").status == 200 and len(far.asked) == 1
    names.close()


def test_access(hinge, backend, parent):
    a, b = parent({"a.test": backend(name="A")}), parent({"b.test": backend(name="B")})
    h = proxy(hinge, f"""acl A dstdomain a.test; acl B dstdomain b.test; {peer(a, name='one')} {peer(b, name='two')} {NEVER}
        cache_peer_access one allow A; cache_peer_access one deny all; cache_peer_access two deny !B;""")
    for _ in range(3):
        assert through(h, "http://a.test/").json()["backend"] == "A" and through(h, "http://b.test/").json()["backend"] == "B"
    assert through(h, "http://c.test/").status == 503, "no peer takes it, and it may not go direct"
    h.wait_log("may not go direct, and no cache_peer takes it")
    assert a.targets == [("a.test", 80)] * 3 and b.targets == [("b.test", 80)] * 3


def test_in_order_and_in_turn(hinge, backend, parent):
    origin = backend()
    far = [parent({"x.test": origin}) for _ in range(4)]
    h = proxy(hinge, peer(far[0], name="a") + peer(far[1], name="b") + NEVER)
    for _ in range(4):
        assert through(h, "http://x.test/").status == 200
    assert [len(p.asked) for p in far] == [4, 0, 0, 0]
    h = proxy(hinge, peer(far[0], name="a") + peer(far[1], "round-robin weight=2", name="b") + peer(far[2], "round-robin", name="c") + NEVER)
    for _ in range(6):
        assert through(h, "http://x.test/").status == 200
    assert [len(p.asked) for p in far] == [4, 4, 2, 0]


def test_one_that_is_away(hinge, backend, parent):
    far = parent({"x.test": backend()})
    h = proxy(hinge, peer(free_port(), "connect-fail-limit=2", name="a") + peer(far, name="b") + NEVER)
    for _ in range(5):
        assert through(h, "http://x.test/").status == 200 and tunnel(h, "x.test:443").status == 200
    assert h.log.count("connect() failed") == 2


def test_tls(hinge, backend, parent):
    cert = certs.certificate("up.test")
    far = parent({"x.test": backend()}, cert=cert)
    h = proxy(hinge, peer(far, f"tls tls-cafile={cert.cert} ssldomain=up.test") + NEVER)
    assert through(h, "http://x.test/").status == 200 and tunnel(h, "x.test:443").status == 200
    h = proxy(hinge, peer(far, f"ssl sslcafile={cert.cert}") + NEVER)
    assert through(h, "http://x.test/").status == 502, "127.0.0.1 is not its name"
    h = proxy(hinge, peer(far, "tls sslflags=DONT_VERIFY_PEER") + NEVER)
    assert through(h, "http://x.test/").status == 200


def test_connect_timeout(hinge, parent):
    h = proxy(hinge, peer(parent(says=None), "connect-timeout=1") + NEVER)
    assert tunnel(h, "x.test:443").status == 504


@pytest.mark.parametrize("line, told", [
    ("cache_peer 127.0.0.1 sibling 1 0;", "needs HOST parent PORT"), ("cache_peer 127.0.0.1 parent 1 0 login=PASS;", "credentials go no further"),
    ("cache_peer 127.0.0.1 parent 1 0 login=PASSTHRU;", "credentials go no further"), ("cache_peer 127.0.0.1 parent 1 0 login=*:x;", "not told who the client is"),
    ("cache_peer 127.0.0.1 parent 1 0 originserver;", "\"originserver\" of \"cache_peer\" is not supported"), ("cache_peer 127.0.0.1 parent 1 0 carp;", "not supported"),
    ("cache_peer 127.0.0.1 parent 1 0 weight=x;", "invalid number"), ("cache_peer 127.0.0.1 parent 1 0 sslflags=x;", "not supported"), ("prefer_direct on;", "unknown directive"),
    ("cache_peer 127.0.0.1 parent 1 0 login=a%zz:b;", "invalid credentials"), ("cache_peer nowhere.invalid parent 1 0;", "host not found"),
    ("cache_peer 127.0.0.1 parent 1 0; route direct;", "cannot stand"), ("cache_peer_access x allow all;", "unknown peer"),
    ("cache_peer 127.0.0.1 parent 1 0; cache_peer 127.0.0.1 parent 2 0;", "needs a name="), ("cache_peer 127.0.0.1 parent OWN 0;", "listens on itself")])
def test_what_is_refused_at_load(hinge, line, told):
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}")
    h.write("nginx.conf", h.read("nginx.conf").replace("OWN", str(h.ports["port"])))
    assert told in h.run("-t", check=1).stderr


def test_in_a_squid_conf(hinge, backend, parent):
    far = parent({"far.test": backend()}, login="tom:s")
    h = hinge.prepare_http("forward { listen %%port%%; access_log off; squid_conf squid.conf; }")
    h.write("squid.conf", f"""http_access allow all
cache_peer 127.0.0.1 parent {far.port} 0 no-query default login=tom:s name=up # our provider's
acl posts method POST
cache_peer_access up deny posts
never_direct allow all
""")
    h.start()
    assert through(h, "http://far.test/").status == 200 and tunnel(h, "far.test:443").status == 200
    assert through(h, "http://far.test/", "Content-Length: 0", method="POST").status == 503
    assert [a.user for a in far.asked] == ["tom", "tom"]


def test_a_warning(hinge):
    h = hinge.prepare_http("forward { listen %%port%%; cache_peer 127.0.0.1 parent 1 0; }")
    told = h.run("-t", check=0).stderr
    assert "without \"never_direct\"" in told


def test_explain(hinge):
    h = hinge.prepare_http("""forward { listen %%port%%; connect_ports all;
        cache_peer 127.0.0.1 parent 3128 0 login=a:b;
        acl x dstdomain x.test;
        always_direct allow x;
        never_direct allow CONNECT; }""")
    at = f"127.0.0.1:{h.ports['port']}"
    told = h.explain("--listen", at, "CONNECT", "a.test:443").stdout
    assert "always_direct: does not hold" in told and "never_direct: holds by" in told and "http://127.0.0.1:3128" in told
    assert "always_direct: holds by" in h.explain("--listen", at, "CONNECT", "x.test:443").stdout
    assert "(what the configuration has for it)" in h.explain("--listen", at, "http://a.test/").stdout
