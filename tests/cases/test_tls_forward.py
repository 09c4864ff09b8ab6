"""A forward proxy that is reached by TLS: curl, tunnels, client certificates as a rule, and requests that forget TLS."""
import os
import socket
import ssl
import subprocess

import pytest
from tools.backend import serve
from tools.certs import certificate
from tools.times import PATIENCE
from tools.wire import answer, lines

from test_tls import address, ask, body, connect, context, read_all
from test_tls_trust import root

pytestmark = pytest.mark.shared_servers

OUT = "egress_allow 127.0.0.0/8; connect_ports all;"


def proxy(hinge, rules="", extra="", **names):
    return hinge.http(f"forward {{ listen %%port%% ssl; {certificate('proxy.test').lines} {OUT} {rules} }} {extra}", **names)


def curl(h, *args, ca=None, cert=None):
    own = ["--proxy-cert", cert.cert, "--proxy-key", cert.key] if cert else []
    return subprocess.run(["curl", "-sS", "--proxy", f"https://proxy.test:{h.ports['port']}", "--resolve", f"proxy.test:{h.ports['port']}:127.0.0.1",
                           "--proxy-cacert", ca or certificate("proxy.test").cert, *own, *args], capture_output=True, text=True, timeout=PATIENCE,
                          env={"PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_curl_by_every_way(hinge, backend, version):
    """Absolute form, a tunnel in the clear, and TLS to the target inside TLS to the proxy."""
    origin = backend(serve(lambda req: answer(b"got " + req.target.encode())))
    a = certificate("a.test")
    secret = hinge.http(f"server {{ listen %%port%% ssl; {a.lines} return 200 'secret $ssl_server_name'; }}")
    h = proxy(hinge, f"ssl_protocols {version};")
    assert curl(h, f"http://127.0.0.1:{origin.port}/x").stdout == "got /x"
    assert curl(h, "--proxytunnel", f"http://127.0.0.1:{origin.port}/y").stdout == "got /y"
    told = curl(h, "-k", "--http1.1", f"https://localhost:{secret.ports['port']}/")
    assert told.stdout == "secret localhost", told.stderr


def test_a_tunnel_carries_much_both_ways(hinge, backend, tree):
    big = os.urandom(3 << 20)
    tree.file("big", big)
    target = b"127.0.0.1:%d" % hinge.http(f"server {{ listen %%port%%; root {tree}; }}").ports["port"]
    h = proxy(hinge)
    with connect(h, "proxy.test") as s:
        s.sendall(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\nGET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % (target, target))
        got = read_all(s)
    assert got.startswith(b"HTTP/1.1 200 ") and got.endswith(big)


def test_connections_are_kept(hinge, backend):
    origin = backend(serve(lambda req: answer(b"again")))
    h = proxy(hinge)
    told = curl(h, "-w", "%{num_connects} ", *[f"http://127.0.0.1:{origin.port}/{i}" for i in range(3)])
    assert told.stdout == "again1 again0 again0 "


@pytest.mark.parametrize("form", ["absolute", "tunnel"])
def test_client_certificates_are_a_rule(hinge, backend, form):
    ca = root()
    friend, enemy, gone = ca.issue("friend.test"), certificate("enemy.test"), ca.issue("gone.test")
    ca.revoke(gone)
    origin = backend(serve(lambda req: answer(b"in")))
    h = proxy(hinge, f"ssl_client_certificate {ca.cert}; ssl_verify_client on; ssl_crl {ca.crl()};")
    how = ["--proxytunnel"] if form == "tunnel" else []
    assert curl(h, *how, f"http://127.0.0.1:{origin.port}/", cert=friend).stdout == "in"
    for cert in (None, enemy, gone):
        told = curl(h, *how, "-w", "%{http_connect} %{http_code}", f"http://127.0.0.1:{origin.port}/", cert=cert)
        assert "in" not in told.stdout.split() and told.stdout.rstrip().endswith("400 000" if form == "tunnel" else "000 400"), told


def test_a_certificate_and_a_password(hinge, backend):
    """Both are asked for: rules add up."""
    ca = root()
    friend = ca.issue("friend.test")
    origin = backend(serve(lambda req: answer(b"in")))
    h = hinge.prepare_http(f"""forward {{ listen %%port%% ssl; {certificate('proxy.test').lines} {OUT} ssl_client_certificate {ca.cert};
                              ssl_verify_client on; auth_basic inside; auth_basic_user_file users; }}""")
    h.write("users", "me:{PLAIN}secret\n")
    h.start()
    url = f"http://127.0.0.1:{origin.port}/"
    assert curl(h, "--proxy-user", "me:secret", url, cert=friend).stdout == "in"
    assert curl(h, "-o", "/dev/null", "-w", "%{http_code}", url, cert=friend).stdout == "407"
    assert curl(h, "-o", "/dev/null", "-w", "%{http_code}", "--proxy-user", "me:secret", url).stdout == "400"


@pytest.mark.parametrize("data", [lines("GET http://127.0.0.1:1/ HTTP/1.1", "Host: 127.0.0.1:1"), lines("CONNECT 127.0.0.1:1 HTTP/1.1", "Host: x"),
                                  b"\x05\x01\x00", b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"])
def test_who_forgets_tls_gets_nothing(hinge, data):
    """Nor does a certificate's rule end where TLS does."""
    ca = root()
    h = proxy(hinge, f"ssl_client_certificate {ca.cert}; ssl_verify_client on;")
    with socket.create_connection(address(h), PATIENCE) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        got = read_all(s)
    assert got == b"" or got.startswith(b"HTTP/1.1 400 "), got


@pytest.mark.parametrize("listens, rules, open_at", [
    ("listen 0.0.0.0:{p} ssl;", "ssl_verify_client on;", None),
    ("listen 0.0.0.0:{p} ssl; listen 0.0.0.0:{q};", "ssl_verify_client on;", "q"),
    ("listen 0.0.0.0:{p} ssl; listen 127.0.0.1:{q};", "ssl_verify_client on;", None),
    ("listen 0.0.0.0:{p} ssl; listen 0.0.0.0:{q};", "ssl_verify_client on; allow 127.0.0.1; deny all;", None),
    ("listen 0.0.0.0:{p} ssl;", "ssl_verify_client optional; allow all;", "p"),
    ("listen 0.0.0.0:{p} ssl;", "allow all;", "p"),
])
def test_no_open_proxy_by_mistake(hinge, listens, rules, open_at):
    ca = root()
    ports = {"p": 3129, "q": 3130}
    h = hinge.prepare_http(f"forward {{ {listens.format(**ports)} {certificate('proxy.test').lines} ssl_client_certificate {ca.cert}; {rules} }}")
    done = h.run("-t")
    if open_at:
        assert done.returncode == 1 and f"would be open to everybody who reaches 0.0.0.0:{ports[open_at]}" in done.stderr, done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_what_a_listener_needs(hinge):
    done = hinge.prepare_http("forward { listen %%port%% ssl; }").run("-t")
    assert done.returncode == 1 and 'no "ssl_certificate" is defined for the "listen ... ssl" directive' in done.stderr


def test_the_pac_file_of_a_proxy_by_tls(hinge):
    h = proxy(hinge, "proxy_pac on;")
    told = ask(h, "/proxy.pac", name="proxy.test", host=f"proxy.test:{h.ports['port']}")
    assert f'return "HTTPS proxy.test:{h.ports["port"]}"' in body(told)


def test_variables_of_the_connection(hinge, backend):
    ca = root()
    friend = ca.issue("friend.test")
    origin = backend(serve(lambda req: answer(b"in")))
    h = hinge.http(f"""log_format f "$ssl_protocol $ssl_client_s_dn $ssl_server_name $request_method"; access_log %%dir%%/a.log f;
        forward {{ listen %%port%% ssl; {certificate('proxy.test').lines} {OUT} ssl_client_certificate {ca.cert}; ssl_verify_client on; }}""", access_log="")
    assert curl(h, "--proxytunnel", f"http://127.0.0.1:{origin.port}/", cert=friend).stdout == "in"
    assert h.wait_lines("a.log") == ["TLSv1.3 CN=friend.test proxy.test CONNECT"]


def test_socks_inside_of_tls(hinge):
    """What SOCKS is in the clear it is inside of TLS, and the certificate's rule holds for it."""
    ca = root()
    friend = ca.issue("friend.test")
    origin = hinge.server("return 200 in;").ports["port"]
    h = proxy(hinge, f"ssl_client_certificate {ca.cert}; ssl_verify_client on;")
    wanted = b"\x05\x01\x00\x01\x7f\x00\x00\x01" + origin.to_bytes(2, "big")
    for cert, good in [(friend, True), (None, False)]:
        with connect(h, "proxy.test", ctx=context(cert)) as s:
            s.sendall(b"\x05\x01\x00")
            assert s.recv(2) == b"\x05\x00"
            s.sendall(wanted)
            told = s.recv(10)
            assert (told[1] == 0) == good, told
            if good:
                s.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert read_all(s).endswith(b"in")
