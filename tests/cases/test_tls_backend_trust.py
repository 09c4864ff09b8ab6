"""TLS to backends, who trusts whom: the certificate that is shown, revocation, depth; the same directives in nginx say the same."""
import os
import tempfile

import pytest
from tools.certs import certificate, joined

from test_tls_trust import chain, root

pytestmark = pytest.mark.shared_servers

BACK = "server {{ listen %%port{n}%% ssl; {lines} ssl_verify_client optional_no_ca; return 200 '$ssl_client_s_dn|$ssl_session_reused|$ssl_client_verify'; }}\n"


@pytest.fixture
def front(beside):
    """front(backends, inner): hinge and nginx, whose locations reach TLS servers of their own process. nginx lets locations with other demands
    resume a session, so sessions are off where both are compared."""
    def start(backends, inner, known=""):
        return beside(f"""ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:1m; proxy_ssl_protocols TLSv1.2 TLSv1.3; {known}
            {''.join(BACK.format(n=i + 2, lines=b.lines) for i, b in enumerate(backends))}
            server {{ listen %%port%%; {inner} }}""")
    return start


def test_what_backends_are_shown(front):
    plain, locked = certificate("shown.test"), certificate("locked.test", password="open sesame")
    with tempfile.NamedTemporaryFile("w", suffix=".pass") as f:
        f.write("no\nopen sesame\n")
        f.flush()
        os.chmod(f.name, 0o644)
        s = front([certificate()], f"""location /none {{ proxy_pass https://%%port2%%; }}
            location /plain {{ proxy_pass https://%%port2%%; proxy_ssl_certificate {plain.cert}; proxy_ssl_certificate_key {plain.key}; }}
            location /locked {{ proxy_pass https://%%port2%%; proxy_ssl_certificate {locked.cert}; proxy_ssl_certificate_key {locked.key};
                                proxy_ssl_password_file {f.name}; }}""", known=f"proxy_ssl_session_reuse off; ssl_client_certificate {plain.cert};")
    for h in s.both:
        for path, subject in [("/none", ""), ("/plain", "CN=shown.test"), ("/locked", "CN=locked.test")]:
            answer = h.get(path)
            assert answer.status == 200 and answer.text.split("|")[0] == subject, (h.binary, path, answer)


def test_a_revoked_backend(front):
    ca = root()
    good, bad = ca.issue("good.test"), ca.issue("bad.test")
    ca.revoke(bad)
    trust = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca.cert}; proxy_ssl_crl {ca.crl()};"
    s = front([good, bad], f"""location /good {{ proxy_pass https://%%port2%%; {trust} proxy_ssl_name good.test; }}
        location /bad {{ proxy_pass https://%%port3%%; {trust} proxy_ssl_name bad.test; }}
        location /any {{ proxy_pass https://%%port3%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca.cert}; proxy_ssl_name bad.test; }}""")
    for h in s.both:
        assert [h.get(p).status for p in ("/good", "/bad", "/any")] == [200, 502, 200], h.binary
        h.wait_log("certificate revoked")


def test_how_deep_a_backends_chain_may_be(front):
    top, middle, low = chain()
    leaves = [top.issue("l0.test", chain=True), middle.issue("l1.test", chain=True), low.issue("l2.test", chain=True)]
    locations = "".join(f"""location /{depth}/{i} {{ proxy_pass https://%%port{i + 2}%%; proxy_ssl_verify on; proxy_ssl_name l{i}.test;
                            proxy_ssl_trusted_certificate {top.cert}; {f'proxy_ssl_verify_depth {depth};' if depth != 'd' else ''} }}"""
                        for depth in ["d", 0, 1, 2] for i in range(3))
    s = front(leaves, locations, known="proxy_ssl_session_reuse off;")
    for h in s.both:
        seen = {depth: [h.get(f"/{depth}/{i}").status for i in range(3)] for depth in ["d", 0, 1, 2]}
        assert seen == {"d": [200, 200, 502], 0: [200, 502, 502], 1: [200, 200, 502], 2: [200, 200, 200]}, h.binary


def test_every_authority_of_a_backend_needs_its_list(front):
    top, middle, low = chain()
    leaf = middle.issue("l.test", chain=True)
    trust = f"proxy_ssl_verify on; proxy_ssl_name l.test; proxy_ssl_trusted_certificate {top.cert}; proxy_ssl_crl"
    s = front([leaf], f"""location /few {{ proxy_pass https://%%port2%%; {trust} {middle.crl()}; }}
                          location /all {{ proxy_pass https://%%port2%%; {trust} {joined(middle.crl(), top.crl())}; }}""")
    for h in s.both:
        assert [h.get(p).status for p in ("/few", "/all")] == [502, 200], h.binary


def test_expired_backends(front):
    ca = root()
    late = ca.issue("late.test", start="20190101000000Z", end="20200101000000Z")
    s = front([late], f"""location /asked {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_name late.test; proxy_ssl_trusted_certificate {ca.cert}; }}
                          location /not {{ proxy_pass https://%%port2%%; }}""")
    for h in s.both:
        assert [h.get(p).status for p in ("/asked", "/not")] == [502, 200], h.binary
        h.wait_log("certificate has expired")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("reuse", ["on", "off"])
def test_sessions(front, reuse, version):
    """Resumed where allowed, and never with what another location proved: a name that does not match is refused each time."""
    ca = root()
    a = ca.issue("a.test")
    trust = f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca.cert};"
    s = front([a], f"""proxy_ssl_session_reuse {reuse}; proxy_ssl_protocols {version}; proxy_http_version 1.0;
        location /free {{ proxy_pass https://%%port2%%; }}
        location /good {{ proxy_pass https://%%port2%%; {trust} proxy_ssl_name a.test; }}
        location /other {{ proxy_pass https://%%port2%%; {trust} proxy_ssl_name b.test; }}""")
    h = s.hinge
    first, *rest = [h.get("/free").text.split("|")[1] for _ in range(3)]
    assert first == "." and rest == (["r", "r"] if reuse == "on" else [".", "."])
    assert h.get("/good").text.split("|")[1] == "."  # proved nothing yet
    assert h.get("/good").text.split("|")[1] == ("r" if reuse == "on" else ".")
    assert [h.get("/other").status for _ in range(2)] == [502, 502]
