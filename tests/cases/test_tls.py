"""TLS for clients: names, certificates, sessions, client certificates, requests in the clear, and what starts and reloads refuse."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest
from tools.certs import certificate, openssl
from tools.times import PATIENCE, wait_until

pytestmark = pytest.mark.shared_servers

GET = b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"
SHOWN = '"$scheme $https $ssl_server_name $ssl_protocol $ssl_session_reused $ssl_client_verify"'


def address(h, port="port"):
    return "127.0.0.1", h.ports[port]


def context(cert=None, version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    if cert:
        c.load_cert_chain(cert.cert, cert.key)
    if version:
        c.minimum_version = c.maximum_version = version
    return c


def connect(h, name="a.test", port="port", ctx=None, session=None):
    raw = socket.create_connection(address(h, port), PATIENCE)
    return (ctx or context()).wrap_socket(raw, server_hostname=name, session=session)


def ask(h, path="/", name="a.test", host=None, **kwargs):
    with connect(h, name, **kwargs) as s:
        s.sendall(GET % (path.encode(), (host or name).encode()))
        return read_all(s)


def read_all(s):
    out = b""
    while chunk := s.recv(65536):
        out += chunk
    return out


def body(answer):
    return answer.split(b"\r\n\r\n", 1)[1].decode()


def subject(h, name, port="port"):
    with connect(h, name, port) as s:
        der = s.getpeercert(True)
    return re.search(r"CN\s*=\s*(\S+)", openssl("x509", "-inform", "der", "-noout", "-subject", input=der).stdout.decode())[1]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_request_over_tls(hinge, version):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} location / {{ return 200 {SHOWN}; }} }}")
    seen = body(ask(h, ctx=context(version=version)))
    assert seen == f"https on a.test {'TLSv1.2' if version == ssl.TLSVersion.TLSv1_2 else 'TLSv1.3'} . NONE"


def test_the_certificate_follows_the_name(hinge):
    a, b, c = certificate("a.test"), certificate("*.b.test"), certificate("c.test")
    h = hinge.http(f"""server {{ listen %%port%% ssl; server_name a.test; {a.lines} return 200 a; }}
                       server {{ listen %%port%% ssl; server_name *.b.test; {b.lines} return 200 b; }}
                       server {{ listen %%port%% ssl; server_name ~^c; {c.lines} return 200 c; }}""")
    assert subject(h, "a.test") == subject(h, "unknown.test") == subject(h, None) == "a.test"
    assert subject(h, "x.b.test") == subject(h, "X.B.TEST") == "*.b.test"
    assert subject(h, "c1") == "c.test"
    assert body(ask(h, name="x.b.test")) == "b"


def test_two_kinds_of_keys(hinge):
    ec, rsa = certificate("a.test"), certificate("a.test", rsa=True)
    h = hinge.http(f"server {{ listen %%port%% ssl; {ec.lines} {rsa.lines} return 200 x; }}")
    for ciphers, kind in [("ECDHE-RSA-AES128-GCM-SHA256", b"rsaEncryption"), ("ECDHE-ECDSA-AES128-GCM-SHA256", b"id-ecPublicKey")]:
        c = context(version=ssl.TLSVersion.TLSv1_2)
        c.set_ciphers(ciphers)
        with connect(h, ctx=c) as s:
            assert kind in openssl("x509", "-inform", "der", "-noout", "-text", input=s.getpeercert(True)).stdout


def test_bodies_both_ways(hinge, backend, tree):
    big = os.urandom(3 << 20)
    tree.file("big", big)
    h = hinge.http(f"""server {{ listen %%port%% ssl; {certificate().lines} root {tree}; location /p/ {{ proxy_pass http://%%port2%%/; }} }}
                       server {{ listen %%port2%%; root {tree}; }}""")
    for path in ["/big", "/p/big"]:
        assert ask(h, path).endswith(big)
    with connect(h) as s:  # a slow reader: what the kernel does not take waits, and nothing is lost
        s.sendall(GET % (b"/p/big", b"a.test"))
        got = b""
        while chunk := s.recv(16384):
            got += chunk
            if len(got) < 200000:
                time.sleep(0.01)
    assert got.endswith(big)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("most", [512, 4096])
def test_a_client_of_small_records(hinge, tree, version, most):
    """RFC 6066 section 4: max_fragment_length."""
    big = os.urandom(70000).hex().encode()
    tree.file("big", big)
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} root {tree}; }}")
    p = subprocess.Popen(["openssl", "s_client", "-quiet", version, "-maxfraglen", str(most), "-connect", "%s:%d" % address(h)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    p.stdin.write(GET % (b"/big", b"a.test"))
    p.stdin.flush()
    answer = p.stdout.read()
    p.stdin.close()
    p.wait(PATIENCE)
    assert answer.endswith(b"\r\n\r\n" + big)


def test_pieces_of_a_handshake(hinge):
    """Every byte of the client's flights comes alone."""
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 whole; }}")
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context().wrap_bio(into, out, server_hostname="a.test")
    got = b""
    with socket.create_connection(address(h), PATIENCE) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = GET % (b"/", b"a.test")
        steps = [tls.do_handshake, lambda: request and tls.write(request)]
        while steps:
            try:
                steps[0]()
                steps.pop(0)
            except ssl.SSLWantReadError:
                pass
            waiting = out.read()
            for i in range(len(waiting)):
                raw.sendall(waiting[i:i + 1])
            if steps and len(steps) == 2:
                into.write(raw.recv(65536))
        while True:
            data = raw.recv(65536)
            if not data:
                break
            into.write(data)
            try:
                got += tls.read(65536)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLZeroReturnError:
                break
    assert got.endswith(b"whole")


@pytest.mark.parametrize("fin", [True, False], ids=["fin", "no fin"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("protocol, last", [("http/1.1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), ("h2", b"\0\0\0\4\1\0\0\0\0")], ids=["http/1.1", "h2"])
def test_the_end_comes_with_the_last_bytes(hinge, protocol, last, version, fin):
    """The close of the client's stream stands in the segment that holds its last words: no event will tell of it later."""
    h = hinge.http(f"server {{ listen %%port%% ssl; http2 on; {certificate().lines} return 200 x; }}")
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    ctx = context(version=version)
    ctx.set_alpn_protocols([protocol])
    tls = ctx.wrap_bio(into, out, server_hostname="a.test")
    with socket.create_connection(address(h), PATIENCE) as raw:
        def exchange(step):
            while True:
                try:
                    done = step()
                except ssl.SSLWantReadError:
                    done = None
                if waiting := out.read():
                    raw.sendall(waiting)
                if done:
                    return
                into.write(raw.recv(65536))

        exchange(lambda: tls.do_handshake() or True)
        if protocol == "h2":
            tls.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            exchange(lambda: tls.read(65536))
        tls.write(last)
        with pytest.raises(ssl.SSLError):  # it is written, and wants to read theirs
            tls.unwrap()
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        raw.sendall(out.read())
        if fin:
            raw.shutdown(socket.SHUT_WR)
        else:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        assert read_all(raw) or protocol == "h2", "what waits for its end is closed"


def test_the_clear_on_a_tls_port(hinge):
    h = hinge.http(f"""server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}
                       server {{ listen %%port2%% ssl; {certificate().lines} error_page 497 =301 https://a.test$request_uri; return 200 x; }}""")
    assert h.get("/").status == 400
    again = h.get("/way?q", port="port2")
    assert again.status in (301, 302) and again.headers.get("location") == "https://a.test/way?q"
    h.wait_log("plain HTTP request to HTTPS port")


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x80", b"\x16"])
def test_broken_handshakes(hinge, junk):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}")
    with socket.create_connection(address(h), PATIENCE) as s:
        try:
            s.sendall(junk)
            s.shutdown(socket.SHUT_WR)
            s.recv(65536)
        except OSError:
            pass
    h.wait_log(r"\[info\].*SSL_do_handshake\(\) failed")
    assert body(ask(h)) == "x"


def test_a_handshake_has_its_time(hinge):
    h = hinge.http(f"client_header_timeout 1s; server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}")
    with socket.create_connection(address(h), PATIENCE) as s:
        s.sendall(b"\x16\x03\x01")
        assert s.recv(10) == b""


def test_rejected_names(hinge):
    h = hinge.http(f"""server {{ listen %%port%% ssl default_server; ssl_reject_handshake on; }}
                       server {{ listen %%port%% ssl; server_name a.test; {certificate().lines} return 200 a; }}""")
    assert body(ask(h)) == "a"
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized"):
        ask(h, name="other.test")


# ---- sessions

def resumed(h, first="a.test", second="a.test", between=lambda: None, version=ssl.TLSVersion.TLSv1_3, **kwargs):
    c = context(version=version, **kwargs)
    with connect(h, first, ctx=c) as s:
        s.sendall(GET % (b"/", first.encode()))
        read_all(s)
        session = s.session
    between()
    with connect(h, second, ctx=c, session=session) as s:
        return s.session_reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets(hinge, version):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}", workers=2)
    assert all(resumed(h, version=version) for _ in range(6))  # whichever worker

    def reload():
        h.reload()
        h.wait_log("generation 2 serves")
    assert resumed(h, version=version, between=reload)


def test_ticket_keys_from_files(hinge):
    """The first seals, all open: a rotated key still resumes, one that is gone does not."""
    def lines(*keys):
        return f"server {{ listen %%port%% ssl; {certificate().lines} {' '.join(f'ssl_session_ticket_key {k};' for k in keys)} return 200 x; }}"
    h = hinge.http("server { listen %%port%%; }")
    for name, n in [("k1", 80), ("k2", 48), ("k3", 80)]:
        (h.dir / name).write_bytes(os.urandom(n))
    turn = 1

    def use(*keys):
        nonlocal turn
        turn += 1
        h.rewrite_http(lines(*keys))
        h.reload()
        h.wait_log(f"generation {turn} serves")
        time.sleep(0.1)
    use("k1")
    assert resumed(h)
    assert resumed(h, between=lambda: use("k2", "k1"))
    assert not resumed(h, between=lambda: use("k3"))


def test_no_tickets_and_a_cache(hinge):
    h = hinge.http(f"""ssl_session_tickets off;
        server {{ listen %%port%% ssl; {certificate().lines} ssl_session_cache shared:A:1m; return 200 x; }}""")
    assert resumed(h, version=ssl.TLSVersion.TLSv1_2)
    h2 = hinge.http(f"""ssl_session_tickets off; ssl_session_cache off;
        server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}""")
    assert not resumed(h2, version=ssl.TLSVersion.TLSv1_2)


def test_sessions_do_not_cross_client_certificate_policies(hinge):
    """CVE-2025-23419: a session of a server that asks for nothing opens no server that asks."""
    mine = certificate("client.test")
    h = hinge.http(f"""{certificate().lines}
        server {{ listen %%port%% ssl; server_name a.test; return 200 a; }}
        server {{ listen %%port%% ssl; server_name b.test; ssl_verify_client on; ssl_client_certificate {mine.cert}; return 200 b; }}""")
    for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
        assert not resumed(h, "a.test", "b.test", version=version)
        assert resumed(h, "a.test", "a.test", version=version)
        assert not resumed(h, "b.test", "a.test", version=version, cert=mine)
        assert resumed(h, "b.test", "b.test", version=version, cert=mine)


# ---- client certificates

def test_client_certificates(hinge):
    mine, other = certificate("client.test"), certificate("other.test")
    h = hinge.http(f"""{certificate().lines} ssl_client_certificate {mine.cert};
        server {{ listen %%port%% ssl; ssl_verify_client on; error_page 495 /wrong; error_page 496 /none;
                  location / {{ return 200 "$ssl_client_verify $ssl_client_s_dn"; }}
                  location /wrong {{ internal; return 200 wrong; }} location /none {{ internal; return 200 none; }} }}
        server {{ listen %%port2%% ssl; ssl_verify_client optional; return 200 "$ssl_client_verify"; }}
        server {{ listen %%port3%% ssl; ssl_verify_client optional_no_ca; return 200 "$ssl_client_verify"; }}""")
    assert body(ask(h, ctx=context(mine))) == "SUCCESS CN=client.test"
    assert ask(h).startswith(b"HTTP/1.1 400 ") and body(ask(h)) == "none"
    assert body(ask(h, ctx=context(other))) == "wrong"
    assert body(ask(h, port="port2")) == "NONE"
    assert body(ask(h, port="port2", ctx=context(mine))) == "SUCCESS"
    assert ask(h, port="port2", ctx=context(other)).startswith(b"HTTP/1.1 400 ")
    assert body(ask(h, port="port3", ctx=context(other))).startswith("FAILED:self")


def test_a_host_behind_another_policy_is_misdirected(hinge):
    mine = certificate("client.test")
    h = hinge.http(f"""{certificate().lines}
        server {{ listen %%port%% ssl; server_name a.test; return 200 a; }}
        server {{ listen %%port%% ssl; server_name b.test; ssl_verify_client on; ssl_client_certificate {mine.cert}; return 200 b; }}""")
    assert ask(h, host="b.test").startswith(b"HTTP/1.1 421 ")
    assert body(ask(h, name="b.test", ctx=context(mine))) == "b"


# ---- what is refused

@pytest.mark.parametrize("lines, says", [
    ("", 'no "ssl_certificate" is defined for the "listen ... ssl" directive'),
    ("ssl_certificate {a.cert};", 'no "ssl_certificate_key" is defined for certificate'),
    ("ssl_certificate /none.pem; ssl_certificate_key {a.key};", 'cannot load certificate "/none.pem": No such file'),
    ("ssl_certificate {a.cert}; ssl_certificate_key {b.key};", "does not match"),
    ("ssl_certificate {a.key}; ssl_certificate_key {a.key};", "holds no PEM certificate"),
    ("ssl_certificate {a.cert}; ssl_certificate_key {a.cert};", "holds no PEM private key"),
    ("{a.lines} ssl_ciphers nonsense;", "ssl_ciphers"),
    ("{a.lines} ssl_ecdh_curve nonsense;", "ssl_ecdh_curve"),
    ("{a.lines} ssl_conf_command Nonsense 1;", "SSL_CONF_cmd"),
    ("{a.lines} ssl_verify_client on;", "no ssl_client_certificate"),
    ("{a.lines} ssl_early_data on;", "early data is not supported"),
    ("{a.lines} ssl_session_cache shared:x:1k;", "too small"),
    ("{a.lines} ssl_session_cache what;", "invalid session cache"),
    ("{a.lines} ssl_session_ticket_key {a.cert};", "must be 48 or 80 bytes"),
])
def test_what_stops_the_start(hinge, lines, says):
    h = hinge.http("server { listen %%port%%; }")
    text = lines.format(a=certificate("a.test"), b=certificate("b.test")) if "{" in lines else lines
    h.rewrite_http(f"server {{ listen %%port%% ssl; {text} }}")
    done = h.run("-t")
    assert done.returncode == 1 and says in done.stderr, done.stderr
    h.allow("emerg")
    h.reload()
    h.wait_log(r"\[emerg\]")
    assert h.get("/").status in (200, 403, 404)  # the old one serves on


def test_what_the_tester_warns_of(hinge):
    a, soon = certificate("a.test"), certificate("soon.test", days=3)
    h = hinge.http("server { listen %%port%%; }")
    shutil.copy(a.key, h.dir / "open.key")
    (h.dir / "open.key").chmod(0o644)
    h.rewrite_http(f"""server {{ listen %%port%% ssl; ssl_certificate {a.cert}; ssl_certificate_key open.key; ssl_protocols TLSv1.1 TLSv1.2; }}
                       server {{ listen %%port2%% ssl; {soon.lines} ssl_ciphers RC4:HIGH; }}""")
    said = h.run("-t", check=0).stderr
    for what in ["can be read by everybody", "broken protocols", "expires in", "weak ciphers"]:
        assert what in said, said


def test_curl(hinge):
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    a = certificate("a.test")
    h = hinge.http(f"server {{ listen %%port%% ssl; server_name a.test; {a.lines} return 200 curled; }}")
    port = h.ports["port"]
    done = subprocess.run(["curl", "-sS", "--cacert", a.cert, "--resolve", f"a.test:{port}:127.0.0.1", f"https://a.test:{port}/",
                           f"https://a.test:{port}/"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == "curledcurled", done


def test_a_scanner_finds_nothing_old(hinge):
    """What a server without any further ssl_ line offers: TLS 1.2 and 1.3, and keys that are made for each connection."""
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}")
    told = subprocess.run(["sslscan", "--no-colour", "%s:%d" % address(h)], capture_output=True, text=True, timeout=60).stdout
    for old in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
        assert re.search(rf"^{old} +disabled", told, re.M), told
    assert "TLSv1.3   enabled" in told and "TLSv1.2   enabled" in told
    suites = re.findall(r"^(?:Preferred|Accepted) +TLSv1\.[23] +\d+ bits +(\S+)", told, re.M)
    assert suites and all(s.startswith("TLS_") or re.match(r"ECDHE-.*(GCM|POLY1305)", s) for s in suites), suites
    assert "vulnerable" not in told.replace("not vulnerable", "") and "Session renegotiation not supported" in told


def test_many_servers(hinge):
    a = certificate("a.test")
    servers = "".join(f"server {{ listen %%port%% ssl; server_name h{i}.test; {a.lines} return 200 {i}; }}\n" for i in range(2000))
    h = hinge.http(servers)
    assert body(ask(h, name="h1999.test")) == "1999"


@pytest.mark.parametrize("kind", ["clear", "clear-h2", "none", "wrong"])
def test_the_pages_of_bad_requests(beside, kind):
    """nginx's words for a request in the clear and for certificates, without error_page and with it."""
    mine, other = certificate("client.test"), certificate("other.test")
    page = "error_page 495 496 497 =404 /told; location /told { internal; return 200 'told of $status at $request_uri'; } location / { return 200 x; }"
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; {certificate().lines} ssl_client_certificate {mine.cert}; ssl_verify_client on;
        server {{ listen %%port%% ssl {'http2' if kind == 'clear-h2' else ''}; location / {{ return 200 x; }} }}
        server {{ listen %%port2%% ssl {'http2' if kind == 'clear-h2' else ''}; {page} }}""")
    words = {"clear": "The plain HTTP request was sent to HTTPS port", "clear-h2": "The plain HTTP request was sent to HTTPS port",
             "none": "No required SSL certificate was sent", "wrong": "The SSL certificate error"}[kind]
    seen = []
    for h in s.both:
        for port in ["port", "port2"]:
            if kind.startswith("clear"):
                with socket.create_connection(address(h, port), PATIENCE) as raw:
                    raw.sendall(GET % (b"/way", b"a.test"))
                    answer = read_all(raw)
            else:
                answer = ask(h, "/way", port=port, ctx=context(other if kind == "wrong" else None))
            text = re.sub("(nginx|hinge)/[0-9.]+", "SERVER", body(answer))
            seen.append((answer.split(b"\r\n", 1)[0], text))
    assert seen[:2] == seen[2:]
    assert seen[0][0] == b"HTTP/1.1 400 Bad Request" and f"<center>{words}</center>" in seen[0][1] and f"<title>400 {words}</title>" in seen[0][1]
    assert seen[1][0] == b"HTTP/1.1 404 Not Found"
