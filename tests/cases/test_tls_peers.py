"""TLS with real peers: nginx behind and in front, testssl.sh, and a browser. HINGE_TEST_FULL=1 lets testssl.sh run, which takes minutes."""
import json
import os
import shutil
import subprocess

import pytest
from tools.browser import BROWSER, dom
from tools.certs import certificate
from tools.server import HTTP, Hinge
from tools.sites import NGINX
from tools.times import SLOW

from test_tls import address
from test_tls_trust import chain, root

needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


@pytest.fixture
def nginx():
    """nginx(http block): Debian's, with the same placeholders as hinge."""
    started = []

    def start(text, **names):
        started.append(Hinge(HTTP, binary=NGINX, inside=text, **names))
        return started[-1].start()

    yield start
    for n in started:
        n.finish()


SHOWN = "'$ssl_protocol $ssl_session_reused $ssl_server_name $ssl_client_s_dn $request_method $http_x'"


@needs_nginx
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_nginx_as_a_backend(hinge, nginx, version, tree):
    """Verified by name, with a certificate of ours, sessions resumed, and large bodies both ways."""
    ca = root()
    origin, mine = ca.issue("origin.test"), ca.issue("front.test")
    big = os.urandom(2 << 20)
    tree.file("big", big)
    n = nginx(f"""ssl_protocols {version}; ssl_session_cache shared:s:1m; client_max_body_size 0;
        server {{ listen %%port%% ssl; server_name origin.test; {origin.lines} ssl_client_certificate {ca.cert}; ssl_verify_client on; root {tree};
                  location /shown {{ return 200 {SHOWN}; }} location /post {{ proxy_pass http://%%port2%%; }} }}
        server {{ listen %%port2%%; location / {{ return 200 $content_length; }} }}""")
    h = hinge.server(f"""trusted_proxies none; client_max_body_size 0; location / {{ proxy_pass https://{address(n)[0]}:{address(n)[1]}; proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca.cert};
        proxy_ssl_name origin.test; proxy_ssl_server_name on; proxy_ssl_certificate {mine.cert}; proxy_ssl_certificate_key {mine.key}; proxy_set_header X y; }}""")
    first = h.get("/shown").text
    assert first == f"{version} . origin.test CN=front.test GET y"
    assert h.get("/shown").text in (first, first.replace(" . ", " r ")), "a kept connection, or a resumed session"
    assert h.get("/big").body == big
    assert h.post("/post", b"x" * 1500000).text == "1500000"


@needs_nginx
def test_sessions_with_nginx_are_resumed(hinge, nginx):
    n = nginx(f"ssl_protocols TLSv1.2 TLSv1.3; server {{ listen %%port%% ssl; {certificate().lines} return 200 '$ssl_session_reused'; }}")
    h = hinge.server(f"trusted_proxies none; proxy_http_version 1.0; location / {{ proxy_pass https://127.0.0.1:{address(n)[1]}; }}")
    assert [h.get("/").text for _ in range(3)] == [".", "r", "r"]


@needs_nginx
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_nginx_in_front(hinge, nginx, version):
    """nginx as a client of ours: our chain is enough for it, it shows its certificate, and resumes."""
    top, middle, low = chain()
    leaf, shown = low.issue("a.test", chain=True), root().issue("nginx.test")
    h = hinge.http(f"""server {{ listen %%port%% ssl; {leaf.lines} ssl_client_certificate {root().cert}; ssl_verify_client on;
                       client_max_body_size 0; location / {{ return 200 {SHOWN}; }} }}""")
    n = nginx(f"""client_max_body_size 0; upstream a.test {{ server 127.0.0.1:{address(h)[1]}; keepalive 2; }}
        proxy_ssl_protocols {version}; proxy_ssl_verify on; proxy_ssl_verify_depth 3; proxy_ssl_trusted_certificate {top.cert}; proxy_ssl_server_name on;
        proxy_ssl_certificate {shown.cert}; proxy_ssl_certificate_key {shown.key}; proxy_set_header X y;
        server {{ listen %%port%%; location /close {{ proxy_pass https://a.test; }}
                  location /kept {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass https://a.test; }} }}""")
    assert n.get("/close").text == f"{version} . a.test CN=nginx.test GET y"
    for path in ["/close", "/kept", "/kept"]:
        answer = n.get(path)
        assert answer.status == 200 and answer.text.startswith(f"{version} r a.test CN=nginx.test GET"), (path, answer.text)


@needs_nginx
def test_nginx_resumes_after_our_reload(hinge, nginx):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate().lines} return 200 '$ssl_session_reused'; }}", workers=2)
    n = nginx(f"server {{ listen %%port%%; location / {{ proxy_ssl_protocols TLSv1.3; proxy_pass https://127.0.0.1:{address(h)[1]}; }} }}")
    assert n.get("/").text == "."
    h.reload()
    h.wait_log("generation 2 serves")
    assert n.get("/").text == "r"


class TestBrowser:
    pytestmark = BROWSER

    @pytest.mark.parametrize("h2", ["on", "off"])
    def test_a_page_by_https(self, hinge, tree, tmp_path, h2):
        """A redirect from the clear, a page, and what its script fetches, over a certificate that the browser is told to take."""
        tree.file("index.html", """<!doctype html><link rel=icon href=data:,><pre id=seen></pre><script>
            Promise.all([1, 2, 3].map(i => fetch('/data/' + i).then(r => r.text())))
                .then(a => { document.getElementById('seen').textContent = a.join('+') + ' ' + location.protocol; });</script>""")
        h = hinge.http(f"""server {{ listen %%port%% ssl; http2 {h2}; {certificate('localhost').lines} root {tree}; error_page 497 =301 https://$http_host$request_uri;
                      location /data/ {{ return 200 "$server_protocol"; }} }}""")
        seen = dom(f"http://localhost:{h.ports['port']}/", tmp_path, "--no-proxy-server", "--ignore-certificate-errors")
        one = "HTTP/2.0" if h2 == "on" else "HTTP/1.1"
        assert f">{one}+{one}+{one} https:</pre>" in seen, seen


@pytest.mark.skipif(not shutil.which("testssl"), reason="needs testssl.sh")
@pytest.mark.skipif(not os.environ.get("HINGE_TEST_FULL") or SLOW > 1, reason="minutes: HINGE_TEST_FULL=1, on the release build")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_testssl_finds_nothing(hinge, tmp_path, kind):
    """Protocols, ciphers, forward secrecy, vulnerabilities: nothing above information."""
    leaf = root().issue("localhost") if kind == "EC" else certificate("localhost", rsa=True)
    h = hinge.http(f"""server {{ listen %%port%% ssl; http2 on; server_name localhost; ssl_certificate {leaf.cert}; ssl_certificate_key {leaf.key};
                       return 200 x; }}""")
    told = tmp_path / "told.json"
    subprocess.run(["testssl", "--quiet", "--color", "0", "--warnings", "off", "--openssl", shutil.which("openssl"), "--ip", "one", "-p", "-s", "-f", "-U",
                    "--jsonfile", str(told), "127.0.0.1:%d" % h.ports["port"]], capture_output=True, timeout=800)
    found = json.loads(told.read_text())
    asked = {f["id"] for f in found}
    assert asked >= {"TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cipherlist_NULL", "PFS", "heartbleed", "ROBOT", "secure_renego", "SWEET32", "LUCKY13", "RC4",
                     "scanTime"}, asked
    above = [f for f in found if f["severity"] not in ("OK", "INFO")]
    assert not above, above
