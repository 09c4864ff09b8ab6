"""acl and http_access lines in a forward block."""
import base64
import contextlib

import pytest
from tools import dns
from tools.ports import free_port
from tools.raw import Client
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

@pytest.fixture
def names():
    servers = []

    def start(table):
        servers.append(dns.Server(table))
        return servers[-1]

    yield start
    for s in servers:
        s.close()


OUT = "egress_allow 127.0.0.0/8; access_log off;"


def proxy(hinge, rules, **names):
    return hinge.http(f"forward {{ listen %%port%%; {OUT} {rules} }}", **names)


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields), method=method)


def test_the_first_line_that_matches_decides(hinge, backend):
    origin = backend()
    h = proxy(hinge, """acl bad urlpath_regex -i ^/bad; acl get method GET; acl me src 127.0.0.1;
        http_access deny bad; http_access allow me get; http_access deny all;""")
    at = f"http://127.0.0.1:{origin.port}"
    assert through(h, at + "/good").status == 200
    assert through(h, at + "/BAD/x").status == 403
    h.wait_log(r"is refused by http_access .*\(http_access deny bad\)")
    assert through(h, at + "/good", "Content-Length: 0", method="POST").status == 403


@pytest.mark.parametrize("url", ["http://127.0.0.3:1/%62ad", "http://127.0.0.3:1/x?a=%62ad", "http://127.0.0.3:1/x/%2e%2e/./b%61d", "http://evil.test/",
                                 "http://EVIL.test/", "http://evil.test:80/", "http://evil.test./", "http://[::ffff:127.0.0.1]:1/", "http://[2001:DB8:0::1]/",
                                 "http://127.0.0.2/x?%0aevil", "http://127.0.0.2/x?%00evil", "http://127.0.0.3:1/top/../root"])
def test_another_spelling_is_no_way_round_a_rule(hinge, url):
    h = proxy(hinge, """egress_allow all; acl bad urlpath_regex bad; acl badurl url_regex ^http://evil[.]test/; acl ip dstdomain 127.0.0.1;
        acl six dstdomain [2001:db8:0:0:0:0:0:1]; acl line url_regex ^http://127.0.0.2/x.*evil; acl root urlpath_regex ^/root; acl all_of_them any-of bad badurl ip six line root;
        http_access deny all_of_them; http_access allow localhost;""")
    assert through(h, url).status == 403
    h.wait_log("all_of_them")


def test_when_none_matches(hinge, backend):
    at = f"http://127.0.0.1:{backend().port}/"
    assert through(proxy(hinge, "acl x port 1; http_access allow x;"), at).status == 403
    assert through(proxy(hinge, "acl x port 1; http_access deny x;"), at).status == 200


def test_connect_is_asked_as_that(hinge, backend):
    origin = backend()
    h = proxy(hinge, "connect_ports all; http_access deny CONNECT; http_access allow localhost;")
    to = f"127.0.0.1:{origin.port}"
    assert h.ask(lines(f"CONNECT {to} HTTP/1.1", f"Host: {to}"), method="CONNECT").status == 403
    assert through(h, f"http://{to}/").status == 200


def test_domains_of_a_file(hinge, backend):
    h = hinge.prepare_http(f"resolver %%dns%%; forward {{ listen %%port%%; {OUT} acl ads dstdomain \"ads\"; http_access deny ads; http_access allow localhost; }}",
                           dns="127.0.0.1:1")
    h.write("ads", "# theirs\n.ads.test\n")
    h.start()
    for host, status in ("ads.test", 403), ("x.Ads.test", 403), ("ads.test.", 403), ("badads.test", 502):
        assert through(h, f"http://{host}/").status == status, host


@pytest.mark.parametrize("acl, status", [("127.0.0.0/8", 403), ("10.0.0.0/8", 200)])
def test_addresses_are_asked_for_when_a_rule_needs_them(hinge, backend, names, acl, status):
    origin, server = backend(), names({"site.test": "127.0.0.1"})
    h = hinge.http(f"resolver %%names%% ipv6=off; forward {{ listen %%port%%; {OUT} acl in dst {acl}; http_access deny in; http_access allow localhost; }}", names=server)
    assert through(h, f"http://site.test:{origin.port}/").status == status
    assert through(h, f"http://127.0.0.1:{origin.port}/").status == status, "no name, no question"
    assert server.count("site.test") == 1


def test_the_addresses_that_were_judged_are_those_that_are_dialled(hinge, backend, names):
    """A name that leads elsewhere with every question: the rule and the connection see one answer."""
    inside, turn = backend(name="inside", address="127.0.0.6"), []
    outside = backend(name="outside", address="127.0.0.5", port=inside.port)

    def rebinding(q):
        turn.append(q)
        return dns.reply(q, [dns.address("127.0.0.5" if len(turn) % 2 else "127.0.0.6", ttl=0)])

    server = names({"rebind.test": rebinding})
    h = hinge.http(f"resolver %%names%% ipv6=off; forward {{ listen %%port%%; {OUT} acl in dst 127.0.0.6; http_access deny in; http_access allow localhost; }}",
                   names=server, workers=1)
    got = [through(h, f"http://rebind.test:{inside.port}/") for _ in range(6)]
    assert [g.status for g in got] == [200, 403] * 3
    assert len(turn) == 6 and len(outside.requests) == 3 and not inside.connections


def test_users(hinge, backend):
    at = f"http://127.0.0.1:{backend().port}/"
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} auth_basic staff; auth_basic_user_file users; acl boss proxy_auth ann; http_access allow boss; http_access deny all; }}")
    h.write("users", "ann:{PLAIN}a\nbob:{PLAIN}b\n")
    h.start()

    def by(who):
        return through(h, at, "Proxy-Authorization: Basic " + base64.b64encode(who).decode()).status
    assert (by(b"ann:a"), by(b"bob:b"), by(b"ann:b"), through(h, at).status) == (200, 403, 407, 407)


def test_clients_of_other_hosts_come_in_by_a_rule(hinge, backend):
    origin = backend()
    request = b"PROXY TCP4 10.1.2.3 10.0.0.1 999 80\r\n" + lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}", "Connection: close")
    h = hinge.http(f"forward {{ listen %%port%% proxy_protocol; {OUT} set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; acl net src 10.0.0.0/8; http_access allow net; }}")
    assert h.ask(request).status == 200
    assert h.ask(request.replace(b"10.1.2.3", b"11.1.2.3")).status == 403


@pytest.mark.parametrize("rules, good", [("http_access allow all;", False), ("http_access allow localhost;", True), ("allow 10.0.0.0/8; deny all; http_access allow all;", True),
                                         ("http_access allow all; allow_open_proxy on;", True), ("acl p port 80; http_access allow p; http_access deny all;", False), ("satisfy any; http_access allow all;", False),
                                         ("acl w src ipv4; http_access allow w;", False), ("acl w src 0.0.0.0/1 128.0.0.0/1; http_access allow w;", False),
                                         ("acl w src 0.0.0.0-255.255.255.254; http_access allow !w;", False), ("acl w src 10.0.0.0/8; http_access allow w;", True)])
def test_what_would_be_open_does_not_start(hinge, rules, good):
    told = hinge.prepare_http(f"forward {{ listen 0.0.0.0:3128; {rules} }}").run("-t").stderr
    assert ("allow_open_proxy" in told) != good, told
    assert ("test is successful" in told) == good, told


@pytest.mark.parametrize("line, text", [("http_access allow nobody;", "nobody"), ("acl x srk 1.2.3.4;", "srk"), ("acl x src 1.2.3;", "1.2.3"), ("acl x;", "acl"), ("http_access maybe all;", "allow")])
def test_what_is_wrong_is_told(hinge, line, text):
    told = hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}").run("-t", check=1).stderr
    assert text in told and "nginx.conf:" in told


def test_rules_belong_to_forward_blocks(hinge):
    assert "is not allowed here" in hinge.prepare_http("server { acl x src 1.2.3.4; }").run("-t", check=1).stderr


def test_a_client_is_one_over_listeners_of_both_families(hinge, backend):
    """By a listener for both families its address comes as a mapped one."""
    origin, both = backend(), free_port()
    h = hinge.http(f"""forward {{ listen %%port%%; listen [::]:{both} ipv6only=off; {OUT} connect_ports all; acl many maxconn 2; http_access deny many;
        acl me src 127.0.0.1; http_access allow me; }}""")
    got = []
    with contextlib.ExitStack() as stack:
        for port in h.ports["port"], both, both:
            c = stack.enter_context(Client(("127.0.0.1", port)))
            got.append(c.ask(lines(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1", "Host: x"), method="CONNECT").status)
    assert got == [200, 200, 403]
