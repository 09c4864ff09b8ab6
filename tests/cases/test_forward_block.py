"""forward { }: absolute form, CONNECT, who may come in, what targets are told."""
import base64
import json
import re
import subprocess

import pytest
from tools.backend import serve
from tools.h2 import H2
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

OUT = "egress_allow 127.0.0.0/8;"


def proxy(hinge, rules="", listen="%%port%%", **names):
    return hinge.http(f"forward {{ listen {listen}; {OUT} {rules} }}", **names)


def through(h, url, *fields, host=None, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {host or url.split('/')[2]}", "Connection: close", *fields))


def tunnel(h, target, *fields):
    return h.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields), method="CONNECT")


def curl(h, *args):
    return subprocess.run(["curl", "-sS", "-x", f"http://127.0.0.1:{h.ports['port']}", *args], capture_output=True, text=True, timeout=20,
                          env={"PATH": "/usr/bin:/bin"})


def test_absolute_form(hinge, backend):
    origin = backend()
    got = through(proxy(hinge), f"http://127.0.0.1:{origin.port}/a//b?c", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5").json()
    names = [n.lower() for n, _ in got["headers"]]
    assert got["target"] == "/a//b?c" and dict(got["headers"])["Host"] == f"127.0.0.1:{origin.port}"
    assert not [n for n in names if n.startswith("proxy-")]


def test_passwords_for_the_proxy_are_in_no_variable(hinge, backend):
    origin = backend()
    h = hinge.http(f"log_format all \"$http_proxy_authorization|$request|$remote_user|$http_x\"; "
                   f"forward {{ listen %%port%%; {OUT} access_log all.log all; proxy_set_header X-Told $http_proxy_authorization; }}")
    got = through(h, f"http://127.0.0.1:{origin.port}/", "Proxy-Authorization: Basic bWU6c2VjcmV0", "X: y").json()
    assert "bWU6c2VjcmV0" not in str(got)
    assert h.wait_lines("all.log")[0].split("|")[0] == "-" and h.read("all.log").endswith("|me|y\n")


@pytest.mark.parametrize("fields", [["Content-Length: 5"], ["Transfer-Encoding: chunked"], ["Content-Length: 5", "Content-Length: 6"], ["Expect: 100-continue", "Content-Length: 5"]])
def test_a_connect_has_no_body(hinge, backend, fields):
    """What follows its head are the tunnel's first bytes: never a body, nor a second request."""
    origin = backend()
    h = proxy(hinge, f"connect_ports {origin.port};")
    with h.connect() as c:
        c.send(lines(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1", f"Host: 127.0.0.1:{origin.port}", *fields) + b"GET / HTTP/1.1\r\n\r\n")
        assert c.response("CONNECT").status == 400
        c.assert_closed()
    assert not origin.connections


def test_requests_by_http2(hinge, backend):
    """:scheme and :authority are the absolute form there: rules and guard hold as for HTTP/1."""
    origin = backend()
    h = hinge.http(f"http2 on; forward {{ listen %%port%%; {OUT} acl bad url_regex ^http://127.0.0.1:{origin.port}/b; http_access deny bad; http_access allow localhost; }}")
    with H2(h.address) as c:
        at = f"127.0.0.1:{origin.port}"
        got = c.get("/a?b", ("proxy-authorization", "Basic eDp5"), authority=at)
        told = json.loads(got.body)
        assert told["target"] == "/a?b" and dict(told["headers"])["Host"] == at
        assert not [n for n, _ in told["headers"] if n.lower().startswith("proxy-")]
        assert c.get("/bad", authority=at).status == 403
        assert c.get("/", authority="10.0.0.1").status == 403
        assert c.get("/", authority=f"127.0.0.1:{h.ports['port']}").status == 508
        assert c.get("/", authority=at, scheme="https").status == 400
    assert len(origin.requests) == 1


def test_curl_by_both_ways(hinge, backend):
    origin = backend(serve(lambda req: answer(b"got " + req.target.encode())))
    h = proxy(hinge, f"connect_ports {origin.port};")
    assert curl(h, f"http://127.0.0.1:{origin.port}/x").stdout == "got /x"
    told = curl(h, "--proxytunnel", f"http://127.0.0.1:{origin.port}/y")
    assert told.stdout == "got /y", told.stderr
    assert curl(h, f"http://localhost:{origin.port}/z").stdout == "got /z", "the system's names"


def test_tunnels_go_to_443_until_ports_are_named(hinge, backend):
    origin = backend()
    h = proxy(hinge)
    assert tunnel(h, f"127.0.0.1:{origin.port}").status == 403
    h.wait_log("connect_ports does not name the port")


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "http://[::1]/", "http://169.254.169.254/x"])
def test_targets_are_guarded(hinge, target):
    assert through(proxy(hinge), target).status == 403


def test_groups_of_the_configuration_are_no_targets(hinge, backend):
    h = hinge.http("upstream inner { server %%origin%%; } forward { listen %%port%%; }", origin=backend())
    assert through(h, "http://inner/").status in (403, 502)
    assert through(h, "http://inner:80/").status in (403, 502)


@pytest.mark.parametrize("request_line, host", [("GET http://a.test/ HTTP/1.1", "b.test"), ("GET http://a.test/ HTTP/1.1", "a.test:81"),
                                                 ("GET / HTTP/1.1", "a.test"), ("GET https://a.test/ HTTP/1.1", "a.test")])
def test_what_is_no_request_for_a_proxy(hinge, request_line, host):
    assert proxy(hinge).ask(lines(request_line, f"Host: {host}", "Connection: close"), method=request_line.split()[0]).status == 400


def test_host_of_a_tunnel_says_nothing(hinge, backend):
    """Clients write the target's or the proxy's name there; it goes nowhere."""
    origin = backend()
    h = proxy(hinge, f"connect_ports {origin.port};")
    for host in ("proxy.test:3128", "127.0.0.1", f"127.0.0.1:{origin.port}"):
        with h.connect() as c:
            c.send(lines(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1", f"Host: {host}"))
            assert c.response("CONNECT").status == 200


def test_tunnels_have_their_time(hinge, backend):
    def hang(conn):
        conn.hang()
    origin = backend(hang)
    h = proxy(hinge, f"connect_ports {origin.port}; tunnel_lifetime 300ms;")
    with h.connect() as c:
        assert c.ask(lines(f"CONNECT 127.0.0.1:{origin.port} HTTP/1.1", "Host: a"), "CONNECT").status == 200
        assert c.all_bytes() == b""
    h.wait_log("the tunnel has stood for tunnel_lifetime")
    with h.connect() as c:
        ip = bytes([127, 0, 0, 1]) + origin.port.to_bytes(2, "big")
        assert c.send(b"\5\1\0").exactly(2) == b"\5\0"
        assert c.send(b"\5\1\0\1" + ip).exactly(10)[:2] == b"\5\0"
        assert c.all_bytes() == b""
    h.wait_log("the tunnel has stood for tunnel_lifetime", 2)


def test_a_loop_ends_at_the_first_turn(hinge):
    h = proxy(hinge)
    assert through(h, f"http://127.0.0.1:{h.ports['port']}/").status == 508


def test_a_chain_of_names_that_turns(hinge, backend):
    origin = backend()
    h = proxy(hinge, "proxy_via me;")
    assert through(h, f"http://127.0.0.1:{origin.port}/", "Via: 1.1 me").status == 508
    assert through(h, f"http://127.0.0.1:{origin.port}/", "Via: 1.1 other").status == 200


@pytest.mark.parametrize("level, has, hasnt", [("", ["via"], ["x-forwarded-for", "forwarded"]), ("hiding anonymous;", ["via"], ["x-forwarded-for", "forwarded"]),
                                               ("hiding transparent;", ["via", "x-forwarded-for", "forwarded"], []), ("hiding elite;", [], ["via", "x-forwarded-for", "forwarded"])])
def test_hiding(hinge, backend, level, has, hasnt):
    origin = backend()
    sent = [] if "transparent" in level else ["X-Forwarded-For: 9.9.9.9", "Forwarded: for=9.9.9.9", "Via: 1.1 inside"]
    got = through(proxy(hinge, level), f"http://127.0.0.1:{origin.port}/", *sent).json()
    names = [n.lower() for n, _ in got["headers"]]
    assert all(n in names for n in has) and not [n for n in hasnt if n in names], names
    assert "9.9.9.9" not in str(got)


@pytest.mark.parametrize("level", ["anonymous", "elite"])
def test_no_field_of_a_proxy_before_tells_who_it_is(hinge, backend, level):
    """Whatever name programs have given to the address of their client."""
    names = ("X-Real-IP", "X-Forwarded", "x-forwarded_for", "Forwarded-For", "Forwarded-For-IP", "Client-IP", "X-Client-IP", "True-Client-IP", "Proxy-Client-IP", "WL-Proxy-Client-IP",
             "X-Remote-IP", "X-Remote-Addr", "Remote-Addr", "X-Originating-IP", "X-ProxyUser-Ip", "X-Appengine-User-Ip", "X-Cluster-Client-Ip", "CF-Connecting-IP", "Fastly-Client-IP")
    origin = backend()
    got = through(proxy(hinge, f"hiding {level}; underscores_in_headers on;"), f"http://127.0.0.1:{origin.port}/", *[f"{n}: 9.9.9.9" for n in names])
    assert got.status == 200 and "9.9.9.9" not in got.text, got.text


def test_the_answer_is_the_targets(hinge, backend):
    def script(req):
        return answer(b"x", "Server: theirs", "X-Accel-Redirect: /proxy.pac", "Location: http://127.0.0.1/")
    origin = backend(serve(script))
    got = through(proxy(hinge, "proxy_pac on;"), f"http://127.0.0.1:{origin.port}/")
    assert got.body == b"x" and got.all("Server") == ["theirs"] and got["X-Accel-Redirect"] == "/proxy.pac"


def test_passwords(hinge, backend):
    origin = backend()
    h = hinge.prepare_http("log_format t '$status $remote_user'; "
                           f"forward {{ listen %%port%%; {OUT} connect_ports all; auth_basic staff; auth_basic_user_file users; access_log %%dir%%/a.log t; }}")
    h.write("users", "tom:{PLAIN}secret\n")
    h.start()
    url = f"http://127.0.0.1:{origin.port}/"
    res = through(h, url)
    assert res.status == 407 and res["Proxy-Authenticate"] == 'Basic realm="staff"' and "WWW-Authenticate" not in res
    assert tunnel(h, f"127.0.0.1:{origin.port}").status == 407
    good = "Basic " + base64.b64encode(b"tom:secret").decode()
    assert through(h, url, f"Authorization: {good}").status == 407
    got = through(h, url, f"Proxy-Authorization: {good}", "Authorization: theirs").json()
    assert "secret" not in str(got) and good not in str(got) and dict(got["headers"])["Authorization"] == "theirs"
    assert curl(h, "-U", "tom:secret", url).returncode == 0
    assert "407 tom" not in h.wait_lines("a.log")[0] and good not in h.log


def test_options_go_as_far_as_they_may(hinge, backend):
    """RFC 9110 7.6.2."""
    origin = backend()
    h = proxy(hinge)
    at = f"http://127.0.0.1:{origin.port}/"
    seen = {n: dict(through(h, at, f"Max-Forwards: {n}", method="OPTIONS").json()["headers"])["Max-Forwards"] for n in ("1", "70", "many", "18446744073709551616")}
    assert seen == {"1": "0", "70": "69", "many": "many", "18446744073709551616": "18446744073709551616"}
    assert dict(through(h, at, "Max-Forwards: 7").json()["headers"])["Max-Forwards"] == "7", "other methods know nothing of it"
    n = len(origin.requests)
    got = through(h, at, "Max-Forwards: 0", method="OPTIONS")
    assert (got.status, got.body) == (200, b"") and len(origin.requests) == n
    assert through(proxy(hinge, "acl bad method OPTIONS; http_access deny bad; http_access allow all; allow 127.0.0.1; deny all;"), at, "Max-Forwards: 0", method="OPTIONS").status == 403


class TestNoOpenProxy:
    @pytest.mark.parametrize("rules, good", [("", True), ("allow all;", False), ("allow 10.0.0.0/8;", False), ("allow 10.0.0.0/8; deny all;", True),
                                             ("deny 10.0.0.1;", False), ("allow all; allow_open_proxy on;", True), ("satisfy any; allow all; auth_basic x; auth_basic_user_file u;", False)])
    def test_what_would_be_open_does_not_start(self, hinge, rules, good):
        h = hinge.prepare_http(f"forward {{ listen 0.0.0.0:3128; {rules} }}")
        h.write("u", "a:{PLAIN}b\n")
        told = h.run("-t").stderr
        assert ("allow_open_proxy" in told) != good, told
        assert ("test is successful" in told) == good, told

    def test_loopback_may_be_open(self, hinge):
        h = hinge.prepare_http("forward { listen %%port%%; allow all; }")
        assert "successful" in h.run("-t").stderr

    def test_rules_decide(self, hinge, backend):
        h = proxy(hinge, "deny 127.0.0.1; deny all;")
        assert through(h, "http://a.test/").status == 403


@pytest.mark.parametrize("line", ["location / { }", "server_name x;", "root /x;", "proxy_pass http://x;", "forward { }"])
def test_what_belongs_to_a_server(hinge, line):
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {line} }}")
    told = h.run("-t").stderr
    assert "directive is not allowed here" in told and "failed" in told


def test_an_address_is_one_blocks(hinge):
    h = hinge.prepare_http("forward { listen %%port%%; } server { listen %%port%%; }")
    assert "is the address of another block too" in h.run("-t").stderr


def test_rules_of_the_rewrite_module(hinge, backend):
    origin = backend()
    h = proxy(hinge, "if ($host = '127.0.0.2') { return 403; }")
    assert through(h, f"http://127.0.0.2:{origin.port}/").status == 403
    assert through(h, f"http://127.0.0.1:{origin.port}/").status == 200


def test_pac(hinge):
    h = proxy(hinge, "proxy_pac on;")
    got = h.ask(lines("GET /wpad.dat HTTP/1.1", "Host: proxy.test", "Connection: close"))
    assert got.status == 200 and "FindProxyForURL" in got.text and "PROXY proxy.test:" in got.text
    assert proxy(hinge).ask(lines("GET /wpad.dat HTTP/1.1", "Host: proxy.test", "Connection: close")).status == 400


def test_a_pac_file_of_ones_own(hinge):
    text = "// ours\nfunction FindProxyForURL(url, host) { return host == 'inside' ? 'DIRECT' : 'PROXY proxy.test:3128'; }\n"
    h = hinge.prepare_http("forward { listen %%port%%; proxy_pac own.pac; }")
    h.write("own.pac", text)
    h.start()
    for path in ("/proxy.pac", "/wpad.dat"):
        got = h.ask(lines(f"GET {path} HTTP/1.1", "Host: wpad", "Connection: close"))
        assert got.status == 200 and got.text == text and got["Content-Type"] == "application/x-ns-proxy-autoconfig"
    assert h.ask(lines("HEAD /proxy.pac HTTP/1.0"), method="HEAD")["Content-Length"] == str(len(text)), "no Host is needed"
    h.write("own.pac", text.replace("ours", "news"))
    h.reload_until(lambda: "news" in h.ask(lines("GET /proxy.pac HTTP/1.1", "Host: wpad", "Connection: close")).text)


def test_pac_files_that_are_none(hinge):
    h = hinge.prepare_http("forward { listen %%port%%; proxy_pac own.pac; }")
    assert re.search(r'cannot read "\S+/own.pac": No such file', h.run("-t", check=1).stderr)
    h.write("own.pac", "")
    assert "no FindProxyForURL is in this file" in h.run("-t", check=0).stderr
    h.write("own.pac", "x" * ((1 << 20) + 1))
    assert "more than 1 MB" in h.run("-t", check=1).stderr
    off = proxy(hinge, "proxy_pac off;")
    assert off.ask(lines("GET /proxy.pac HTTP/1.1", "Host: a", "Connection: close")).status == 400


def test_clients_of_other_hosts_need_a_rule(hinge, backend):
    origin = backend()
    request = b"PROXY TCP4 10.1.2.3 10.0.0.1 999 80\r\n" + lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}", "Connection: close")
    rules = "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;"
    h = proxy(hinge, rules, listen="%%port%% proxy_protocol")
    assert h.ask(request).status == 403
    h.wait_log("no access rule lets in clients of other hosts")
    assert proxy(hinge, rules + "allow 10.0.0.0/8; deny all;", listen="%%port%% proxy_protocol").ask(request).status == 200


def test_connections_to_targets_are_kept(hinge, backend):
    origin = backend()
    h = proxy(hinge)
    with h.connect() as c:
        for _ in range(4):
            assert c.ask(lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}")).status == 200
    assert len(origin.requests) == 4 and len(origin.connections) == 1
