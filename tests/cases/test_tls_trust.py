"""TLS for clients, who trusts whom: chains, revocation, depth, passwords, DH parameters, stapling, and sessions between servers that differ."""
import functools
import os
import pathlib
import re
import ssl
import subprocess
import tempfile

import pytest
from tools.certs import Authority, Certificate, certificate, joined, openssl
from tools.times import PATIENCE

from test_tls import address, ask, body, connect, context, GET, read_all, resumed

VERIFY = 'error_page 495 496 =200 /told; location / { return 200 "$ssl_client_verify"; } location /told { internal; return 200 "$ssl_client_verify"; }'


@functools.cache
def root():
    return Authority("root.test")


@functools.cache
def chain():
    """A root, two authorities between, and who they signed."""
    top = Authority("top.test")
    middle = Authority("middle.test", top)
    low = Authority("low.test", middle)
    return top, middle, low


def s_client(h, *args, port="port", name="a.test"):
    done = subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % address(h, port), "-servername", name, *args], input=b"",
                          capture_output=True, timeout=PATIENCE)
    return (done.stdout + done.stderr).decode(errors="replace")


# ---- client certificates

@pytest.mark.parametrize("name", ["a.test", "b.test"])
def test_revoked_clients(beside, name):
    """The default server and one found by name; both versions; as nginx."""
    ca = root()
    good, bad, alien = ca.issue("good.test"), ca.issue("bad.test"), certificate("alien.test")
    ca.revoke(bad)
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; {certificate().lines} ssl_client_certificate {ca.cert};
        server {{ listen %%port%% ssl; server_name {'a.test' if name == 'a.test' else 'other.test'};
                  {'ssl_verify_client on; ssl_crl ' + ca.crl() + ';' if name == 'a.test' else ''} {VERIFY} }}
        server {{ listen %%port%% ssl; server_name b.test; ssl_verify_client on; ssl_crl {ca.crl()}; {VERIFY} }}""")
    for h in s.both:
        for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
            told = [body(ask(h, name=name, ctx=context(c, version))) for c in (good, bad, alien)]
            assert told == ["SUCCESS", "FAILED:certificate revoked", "FAILED:unable to get certificate CRL"], h.binary


def test_a_list_is_needed_for_every_authority(beside):
    top, middle, low = chain()
    leaf = low.issue("leaf.test", chain=True)
    few, all_of_them = low.crl(), joined(low.crl(), middle.crl(), top.crl())
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; {certificate().lines} ssl_verify_client on; ssl_client_certificate {top.cert}; ssl_verify_depth 3;
        server {{ listen %%port%% ssl; ssl_crl {few}; {VERIFY} }}
        server {{ listen %%port2%% ssl; ssl_crl {all_of_them}; {VERIFY} }}""")
    for h in s.both:
        assert body(ask(h, ctx=context(leaf))) == "FAILED:unable to get certificate CRL", h.binary
        assert body(ask(h, port="port2", ctx=context(leaf))) == "SUCCESS", h.binary


def test_depth(beside):
    """0: signed by who is trusted; 1, the default: one between; 2: two."""
    top, middle, low = chain()
    leaves = [top.issue("l0.test", chain=True), middle.issue("l1.test", chain=True), low.issue("l2.test", chain=True)]
    servers = "".join(f"server {{ listen %%port{i or ''}%% ssl; server_name _; {line} {VERIFY} }}\n"
                      for i, line in enumerate(["", "ssl_verify_depth 0;", "ssl_verify_depth 1;", "ssl_verify_depth 2;"]))
    by_name = f"server {{ listen %%port%% ssl; server_name deep.test; ssl_verify_depth 2; {VERIFY} }}"
    s = beside(f"ssl_protocols TLSv1.2 TLSv1.3; {certificate().lines} ssl_verify_client on; ssl_client_certificate {top.cert}; {servers} {by_name}")
    ports = ["port", "port1", "port2", "port3"]
    expected = [[True, True, False], [True, False, False], [True, True, False], [True] * 3]
    for h in s.both:
        seen = [[body(ask(h, port=p, ctx=context(leaf))) for leaf in leaves] for p in ports]
        assert [[x == "SUCCESS" for x in row] for row in seen] == expected, (h.binary, seen)
        assert {x for row in seen for x in row} <= {"SUCCESS", "FAILED:unable to get local issuer certificate", "FAILED:certificate chain too long"}
        assert body(ask(h, name="deep.test", ctx=context(leaves[2]))) == "SUCCESS", h.binary


def test_expired_and_early_clients(beside):
    ca = root()
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; {certificate().lines} ssl_verify_client on; ssl_client_certificate {ca.cert}; server {{ listen %%port%% ssl; {VERIFY} }}""")
    late, early = ca.issue("late.test", end="20200101000000Z", start="20190101000000Z"), ca.issue("early.test", start="20400101000000Z", end="20410101000000Z")
    for h in s.both:
        assert [body(ask(h, ctx=context(c))) for c in (late, early)] == ["FAILED:certificate has expired", "FAILED:certificate is not yet valid"]


# ---- what a server shows

def test_a_chain_is_sent(hinge):
    top, middle, low = chain()
    leaf = low.issue("a.test", chain=True)
    h = hinge.http(f"server {{ listen %%port%% ssl; {leaf.lines} return 200 x; }}")
    c = ssl.create_default_context(cafile=top.cert)
    assert body(ask(h, ctx=c)) == "x"


def test_dh_parameters(beside):
    """DHE needs them; without, a client that knows nothing else has no luck."""
    handle, path = tempfile.mkstemp(suffix=".pem")
    with os.fdopen(handle, "wb") as f:
        f.write(openssl("genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048").stdout)
    os.chmod(path, 0o644)
    cipher = "DHE-RSA-AES128-GCM-SHA256"
    try:
        s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; {certificate(rsa=True).lines} ssl_ciphers {cipher}:ECDHE-RSA-AES128-GCM-SHA256;
            server {{ listen %%port%% ssl; server_name a.test; ssl_dhparam {path}; return 200 x; }}
            server {{ listen %%port2%% ssl; server_name a.test; return 200 x; }}
            server {{ listen %%port2%% ssl; server_name b.test; ssl_dhparam {path}; return 200 x; }}""")
        for h in s.both:
            for port, name, good in [("port", "a.test", True), ("port2", "a.test", False), ("port2", "b.test", True)]:
                told = s_client(h, "-tls1_2", "-cipher", cipher, port=port, name=name)
                assert (f"Cipher is {cipher}" in told) == good, (h.binary, port, name, told)
    finally:
        os.unlink(path)


def test_stapling_from_a_file(beside):
    ca = root()
    a = ca.issue("a.test")
    answer, gone = ca.ocsp(a), ca.issue("b.test")
    ca.revoke(gone)
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; server {{ listen %%port%% ssl; server_name x.test; {a.lines} ssl_trusted_certificate {ca.cert}; return 200 x; }}
        server {{ listen %%port%% ssl; server_name a.test; {a.lines} ssl_trusted_certificate {ca.cert}; ssl_stapling on; ssl_stapling_file {answer}; return 200 x; }}
        server {{ listen %%port%% ssl; server_name b.test; {gone.lines} ssl_trusted_certificate {ca.cert}; ssl_stapling on; ssl_stapling_file {ca.ocsp(gone)};
                  return 200 x; }}""")
    for h in s.both:
        for version in ["-tls1_2", "-tls1_3"]:
            assert "OCSP response: no response sent" in s_client(h, "-status", version, name="x.test")
            assert "Cert Status: good" in s_client(h, "-status", version, name="a.test")
            assert "Cert Status: revoked" in s_client(h, "-status", version, name="b.test")
            assert "OCSP" not in s_client(h, version, name="a.test")  # for who asked only


def test_passwords(beside):
    """Any line of the file may be the one; \\r\\n too."""
    a = certificate("a.test", password="second")
    with tempfile.NamedTemporaryFile("w", suffix=".pass") as f:
        f.write("first\nsecond\nthird\n")
        f.flush()
        os.chmod(f.name, 0o644)
        s = beside(f"ssl_protocols TLSv1.2 TLSv1.3; ssl_password_file {f.name}; server {{ listen %%port%% ssl; {a.lines} return 200 opened; }}")
    for h in s.both:
        assert body(ask(h)) == "opened"


# ---- servers that differ in what they keep of sessions

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("first, second", [("off", "on"), ("on", "off")])
def test_tickets_of_one_server_only(hinge, version, first, second):
    """Whichever worker opens it, and whatever the address's default server does."""
    h = hinge.http(f"""server {{ listen %%port%% ssl; server_name a.test; {certificate('a.test').lines} ssl_session_tickets {first}; return 200 x; }}
        server {{ listen %%port%% ssl; server_name b.test; {certificate('b.test').lines} ssl_session_tickets {second}; return 200 x; }}""", workers=2)
    on, off = ("a.test", "b.test") if first == "on" else ("b.test", "a.test")
    assert all(resumed(h, on, on, version=version) for _ in range(6))
    assert not any(resumed(h, off, off, version=version) for _ in range(3))
    assert not resumed(h, on, off, version=version)


@pytest.mark.parametrize("rsa", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_default_server_without_a_certificate(beside, version, rsa):
    """ssl_reject_handshake: what ciphers there are is decided with the certificate of the server that the name found."""
    a = certificate("a.test", rsa=rsa)
    s = beside(f"""ssl_protocols TLSv1.2 TLSv1.3; server {{ listen %%port%% ssl default_server; ssl_reject_handshake on; }}
        server {{ listen %%port%% ssl; server_name a.test; {a.lines} return 200 "$ssl_cipher"; }}
        server {{ listen %%port%% ssl; server_name b.test; ssl_reject_handshake on; {a.lines} return 200 x; }}""")
    for h in s.both:
        c = context(version=version)
        if version == ssl.TLSVersion.TLSv1_2:
            c.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256" if rsa else "ECDHE-ECDSA-AES128-GCM-SHA256")
        assert body(ask(h, ctx=c)) in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_256_GCM_SHA384")
        for name in ["b.test", "c.test", None]:
            with pytest.raises(ssl.SSLError, match="(?i)unrecognized"):
                connect(h, name, ctx=context(version=version))


# ---- handshakes that fail

@pytest.mark.parametrize("args, why", [
    (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], "unsupported protocol|version"),
    (["-tls1_2", "-cipher", "AES128-SHA256"], "no shared cipher"),
    (["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"], "no shared cipher"),
    (["-tls1_2", "-curves", "secp521r1", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "no shared cipher"),
    (["-alpn", "spdy/3"], "application protocol"),
])
def test_handshakes_that_come_to_nothing(hinge, args, why):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}")
    assert "alert" in s_client(h, *args)
    h.wait_log(rf"\[info\].*SSL_do_handshake\(\) failed \(.*({why})")
    assert body(ask(h)) == "x"


def test_a_client_that_trusts_nobody(hinge):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 x; }}")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(h, ctx=ssl.create_default_context())
    h.wait_log("unknown ca")
    assert body(ask(h)) == "x"


# ---- what stops a start and a reload

def broken(cert):
    """The same with a byte of its middle changed, and without its end."""
    text = pathlib.Path(cert).read_text()
    lines = text.splitlines()
    lines[3] = "!!" + lines[3][2:]
    return "\n".join(lines) + "\n"


def text_file(text, name="x.pem"):
    path = pathlib.Path(tempfile.mkdtemp(prefix="tls-case-")) / name
    path.parent.chmod(0o755)
    path.write_text(text)
    path.chmod(0o644)
    return str(path)


@pytest.mark.parametrize("lines, says", [
    ("ssl_certificate {broken}; ssl_certificate_key {a.key};", "cannot load certificate"),
    ("ssl_certificate {badchain}; ssl_certificate_key {a.key};", "cannot load certificate"),
    ("ssl_certificate {wrongorder}; ssl_certificate_key {a.key};", "does not match"),
    ("ssl_certificate {a.cert}; ssl_certificate_key {brokenkey};", "cannot load certificate key"),
    ("ssl_certificate {empty}; ssl_certificate_key {a.key};", "holds no PEM certificate"),
    ("ssl_certificate /; ssl_certificate_key {a.key};", "cannot load certificate"),
    ("{locked.lines}", "cannot load certificate key"),
    ("{locked.lines} ssl_password_file {wrong};", "cannot load certificate key"),
    ("{a.lines} ssl_password_file /none;", "cannot load password file"),
    ("{a.lines} ssl_client_certificate {empty}; ssl_verify_client on;", "cannot load certificates of"),
    ("{a.lines} ssl_client_certificate {broken}; ssl_verify_client on;", "cannot load certificates of"),
    ("{a.lines} ssl_trusted_certificate {badchain};", "cannot load certificates of"),
    ("{a.lines} ssl_client_certificate {a.cert}; ssl_verify_client on; ssl_crl {a.cert};", "cannot load CRL"),
    ("{a.lines} ssl_dhparam {a.cert};", "DH parameters"),
    ("{a.lines} ssl_stapling on; ssl_stapling_file /none;", "cannot load OCSP response"),
    ("{a.lines} ssl_stapling on; ssl_stapling_file {a.cert};", "ssl_stapling_file"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_certificate {a.cert}; }}", 'no "proxy_ssl_certificate_key"'),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_certificate {a.cert}; proxy_ssl_certificate_key {b.key}; }}", "key"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_certificate {broken}; proxy_ssl_certificate_key {a.key}; }}",
     "cannot load certificate"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_certificate {locked.cert}; proxy_ssl_certificate_key {locked.key}; }}",
     "cannot load certificate key"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_verify on; }}", "no proxy_ssl_trusted_certificate"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_verify on; proxy_ssl_trusted_certificate {empty}; }}",
     "cannot load certificates of"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_crl {a.cert}; }}", "cannot load CRL"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_ciphers nonsense; }}", "proxy_ssl_ciphers"),
    ("{a.lines} location / {{ proxy_pass https://127.0.0.1:1; proxy_ssl_conf_command Nonsense 1; }}", "SSL_CONF_cmd"),
])
def test_what_stops_a_reload(hinge, lines, says):
    """The error is clear, and the old configuration serves on over TLS."""
    a, b = certificate("a.test"), certificate("b.test")
    files = dict(a=a, b=b, locked=certificate("locked.test", password="secret"), broken=text_file(broken(a.cert)), brokenkey=text_file(broken(a.key)),
                 badchain=text_file(pathlib.Path(a.cert).read_text() + broken(b.cert)), wrongorder=joined(b.cert, a.cert), empty=text_file("\n"),
                 wrong=text_file("nope\nno\n"))
    h = hinge.http(f"server {{ listen %%port%% ssl; {a.lines} return 200 old; }}")
    h.rewrite_http(f"server {{ listen %%port%% ssl; {lines.format(**files)} }}")
    done = h.run("-t")
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert re.search(r"nginx\.conf:\d+", done.stderr), done.stderr
    h.allow("emerg")
    h.reload()
    h.wait_log(rf"\[emerg\].*{re.escape(says)}")
    assert body(ask(h)) == "old"
    again = hinge.prepare_http(f"server {{ listen %%port%% ssl; {lines.format(**files)} }}")
    assert again.run().returncode == 1 and says in again.log + again.run().stderr


def test_an_expired_certificate_is_warned_of_and_served(hinge):
    """As nginx: whoever runs it may have reasons; the log and -t say so."""
    late = root().issue("a.test", start="20190101000000Z", end="20200101000000Z")
    early = root().issue("b.test", start="20400101000000Z", end="20410101000000Z")
    h = hinge.http(f"server {{ listen %%port%% ssl; {late.lines} return 200 late; }} server {{ listen %%port2%% ssl; {early.lines} return 200 early; }}")
    said = h.run("-t", check=0).stderr
    assert "has expired" in said and "does not hold yet" in said
    assert body(ask(h)) == "late"
    h.rewrite_http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 fresh; }}")
    h.reload()
    h.wait_log("generation 2 serves")
    assert body(ask(h)) == "fresh"


def test_many_are_decoded_and_the_faulty_ones_named(hinge):
    """As many as several threads share; each fault is told at its own line, in the order of the file."""
    a, b = certificate("a.test"), certificate("b.test")
    servers = "".join(f"server {{ listen %%port%% ssl; server_name h{i}.test; {a.lines} ssl_session_timeout {i + 10}s; return 200 {i}; }}\n" for i in range(200))
    wrong = "".join(f"server {{ listen %%port%% ssl; server_name w{i}.test; ssl_certificate {a.cert};\nssl_certificate_key {b.key}; ssl_session_timeout {i + 10}s; }}\n"
                    for i in range(3))
    h = hinge.http(servers)
    assert body(ask(h, name="h199.test")) == "199"
    assert "warn" not in h.run("-t", check=0).stderr
    h.allow("emerg").rewrite_http(servers + wrong)
    told = h.run("-t", check=1).stderr
    lines = [int(n) for n in re.findall(r"does not match.*nginx\.conf:(\d+)", told)]
    assert len(lines) == 3 and lines == sorted(lines) and lines[1] - lines[0] == 2, told
