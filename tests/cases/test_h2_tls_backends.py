"""HTTP/2 to backends behind TLS: the backend chooses (ALPN), what must be proven decides about sharing, and HTTP/1 is no loss."""
import os
import shutil
import socket
import subprocess
import threading

import pytest
from tools.certs import certificate
from tools.ports import free_port
from tools.times import PATIENCE, wait_until
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def pair(hinge, inner, http2="on", more=""):
    """A front whose locations reach a TLS server of the same process at %%port2%%."""
    a = certificate("a.test")
    return hinge.http(f"""trusted_proxies none; proxy_http_version 2;
        upstream group {{ server %%port2%%; }} {more}
        server {{ listen %%port2%% ssl; http2 {http2}; {a.lines}
                  location / {{ return 200 "$server_protocol|$connection|$ssl_session_reused|$ssl_server_name|$scheme|$http_host"; }}
                  location /slow {{ limit_rate 1k; return 200 slow; }} }}
        server {{ listen %%port3%%; return 200 plain; }}
        server {{ listen %%port%%; {inner} }}""")


def fields(answer):
    assert answer.status == 200, answer
    return answer.text.split("|")


def at_once(h, n, target="/"):
    out = []
    threads = [threading.Thread(target=lambda: out.append(h.get(target))) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(PATIENCE)
    return out


class TestHttp2:
    def test_requests_share_a_connection(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://group; } location /d { set $b %%port2%%; proxy_pass https://$b; }")
        seen = [fields(h.get("/")) for _ in range(4)]
        assert {s[0] for s in seen} == {"HTTP/2.0"} and len({s[1] for s in seen}) == 1
        assert seen[0][4:] == ["https", "group"]
        assert fields(h.get("/d"))[0] == "HTTP/2.0"

    def test_those_that_come_during_the_handshake_wait_for_it(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://group; }")
        seen = [fields(a) for a in at_once(h, 8)]
        assert len(seen) == 8 and {s[0] for s in seen} == {"HTTP/2.0"}

    def test_connections_are_shared_within_one_policy_only(self, hinge):
        h = pair(hinge, """location /a { proxy_pass https://group; } location /b { proxy_pass https://group; proxy_ssl_name other; }
                           location /c { proxy_pass https://group; proxy_ssl_protocols TLSv1.2; }""")
        numbers = [fields(h.get(p))[1] for p in ["/a", "/b", "/c", "/a", "/b", "/c"]]
        assert numbers[:3] == numbers[3:] and len(set(numbers)) == 3

    def test_names_and_verification(self, hinge):
        a, b = certificate("a.test"), certificate("b.test")
        h = pair(hinge, f"""location /good {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {a.cert};
                                              proxy_ssl_name a.test; proxy_ssl_server_name on; }}
            location /name {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {a.cert}; proxy_ssl_name c.test; }}
            location /ca {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {b.cert}; proxy_ssl_name a.test; }}""")
        assert fields(h.get("/good"))[3] == "a.test"
        assert h.get("/name").status == 502 and h.get("/ca").status == 502
        h.wait_log("hostname mismatch")
        h.wait_log("verify error: .*self-signed certificate")

    def test_sessions_are_resumed(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://once; }", more="upstream once { server %%port2%%; keepalive_requests 1; }")
        seen = [fields(h.get("/"))[:3] for _ in range(3)]
        assert [s[2] for s in seen] == [".", "r", "r"] and len({s[1] for s in seen}) == 3

    def test_the_clear_before_the_handshake_is_a_502(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://%%port3%%; }")
        assert [a.status for a in at_once(h, 3)] == [502] * 3
        h.wait_log("SSL_do_handshake.. failed.* while SSL handshaking to upstream")

    def test_a_handshake_that_hangs_has_the_time_of_a_connect(self, hinge):
        with socket.create_server(("127.0.0.1", 0)) as dead:
            h = hinge.http("trusted_proxies none; server { listen %%port%%; location / { proxy_pass https://%%dead%%; proxy_http_version 2; "
                           "proxy_connect_timeout 300ms; } }", dead="127.0.0.1:%d" % dead.getsockname()[1])
            h.allow("upstream timed out")
            assert [a.status for a in at_once(h, 2)] == [504, 504]

    def test_the_next_one_is_asked(self, hinge):
        a = certificate("a.test")
        h = hinge.http(f"""trusted_proxies none; upstream group {{ server %%port3%%; server %%port2%%; }}
            server {{ listen %%port2%% ssl; http2 on; {a.lines} return 200 tls; }}
            server {{ listen %%port3%%; return 200 plain; }}
            server {{ listen %%port%%; location / {{ proxy_pass https://group; proxy_http_version 2; }} }}""")
        for _ in range(4):
            assert h.get("/").text == "tls"

    def test_a_client_that_leaves_during_the_handshake(self, hinge):
        with socket.create_server(("127.0.0.1", 0)) as dead:
            h = hinge.http("trusted_proxies none; server { listen %%port%%; location / { proxy_pass https://%%dead%%; proxy_http_version 2; } }",
                           dead="127.0.0.1:%d" % dead.getsockname()[1])
            dead.settimeout(PATIENCE)
            c = h.connect()
            c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            conn, _ = dead.accept()
            c.close()
            conn.settimeout(PATIENCE)
            while conn.recv(4096):  # the hello, and then the end
                pass
            conn.close()


class TestHttp1:
    """The backend knows nothing of HTTP/2."""

    def test_no_request_is_lost(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://group; }", http2="off")
        seen = [fields(h.get("/")) for _ in range(4)]
        assert {s[0] for s in seen} == {"HTTP/1.1"} and len({s[1] for s in seen}) == 1, "kept as any connection of HTTP/1 is"

    def test_nor_those_that_waited(self, hinge):
        h = pair(hinge, "location / { proxy_pass https://group; }", http2="off")
        for _ in range(3):
            seen = [fields(a) for a in at_once(h, 8)]
            assert len(seen) == 8 and {s[0] for s in seen} == {"HTTP/1.1"}

    def test_bodies(self, hinge, backend):
        a, o = certificate("a.test"), backend()
        h = hinge.http(f"""trusted_proxies none; client_max_body_size 0;
            server {{ listen %%port2%% ssl; {a.lines} location / {{ proxy_pass http://%%origin%%; }} }}
            server {{ listen %%port%%; location / {{ proxy_pass https://%%port2%%; proxy_http_version 2; proxy_request_buffering off; }} }}""", origin=o)
        assert h.post("/", b"x" * 300000).status == 200
        assert o.requests[-1].body == b"x" * 300000

    def test_one_that_knows_no_alpn(self, hinge):
        a, port = certificate("a.test"), free_port()
        p = subprocess.Popen(["openssl", "s_server", "-accept", str(port), "-cert", a.cert, "-key", a.key, "-www", "-quiet"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "s_server")
            h = hinge.http("trusted_proxies none; server { listen %%port%%; location / { proxy_pass https://127.0.0.1:%%back%%; proxy_http_version 2; } }", back=port)
            assert b"s_server" in h.get("/").body
        finally:
            p.terminate()
            p.wait()


class TestUpgrades:
    """HTTP/2 has no Upgrade: who asks for one gets a connection of HTTP/1."""

    UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; '
    SWITCH = lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: foo/1")

    @staticmethod
    def shout(conn):
        while req := conn.request():
            if "upgrade" in (req["connection"] or "").lower():
                conn.send(TestUpgrades.SWITCH)
                while data := conn._more():
                    conn.send(data.upper())
                return
            conn.send(answer(b"ok"))

    def talk(self, h):
        assert h.get("/").status == 200
        with h.connect() as c:
            res = c.ask(lines("GET /chat HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: foo/1"))
            assert res.status == 101 and res["Upgrade"] == "foo/1"
            c.send(b"hello")
            assert c.exactly(5) == b"HELLO"

    def test_in_the_clear(self, hinge, backend):
        """A backend that speaks both on one port."""
        behind = hinge.http("trusted_proxies none; server { listen %%port%%; http2 on; location / { proxy_pass http://%%origin%%; " + self.UPGRADE + "} }",
                            origin=backend(self.shout))
        h = hinge.http("trusted_proxies none; upstream be { server 127.0.0.1:%%back%%; keepalive 4; } server { listen %%port%%; location / { proxy_pass http://be; "
                       "proxy_http_version 2; " + self.UPGRADE + "} }", back=behind.ports["port"])
        self.talk(h)
        assert h.get("/").status == 200

    def test_with_tls(self, hinge, backend):
        a = certificate("a.test")
        behind = hinge.http(f"trusted_proxies none; server {{ listen %%port%% ssl; http2 on; {a.lines} location / {{ proxy_pass http://%%origin%%; "
                            + self.UPGRADE + "} }", origin=backend(self.shout))
        h = hinge.http("trusted_proxies none; upstream be { server 127.0.0.1:%%back%%; keepalive 4; } server { listen %%port%%; location / { proxy_pass https://be; "
                       "proxy_http_version 2; " + self.UPGRADE + "} }", back=behind.ports["port"])
        self.talk(h)


class TestRealPeers:
    def test_nghttpd(self, hinge, tmp_path):
        a, port = certificate("a.test"), free_port()
        (tmp_path / "f").write_bytes(b"f" * 200000)
        p = subprocess.Popen(["nghttpd", "-d", str(tmp_path), str(port), a.key, a.cert], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "nghttpd")
            h = hinge.http("trusted_proxies none; server { listen %%port%%; location / { proxy_pass https://127.0.0.1:%%back%%; proxy_http_version 2; } }", back=port)
            assert [x.body for x in at_once(h, 6, "/f")] == [b"f" * 200000] * 6
            assert h.get("/none").status == 404
        finally:
            p.terminate()
            p.wait()

    @pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")
    @pytest.mark.parametrize("http2", ["", " http2"])
    def test_nginx(self, hinge, http2):
        a = certificate("a.test")
        behind = hinge.prepare_http(f"server {{ listen %%port%% ssl{http2}; {a.lines} client_max_body_size 0; root %%dir%%/www; "
                                    "location /v { return 200 $server_protocol; } }", binary=NGINX)
        (behind.dir / "www").mkdir()
        behind.write("www/f", "f" * 200000)
        behind.start()
        h = hinge.http("trusted_proxies none; upstream be { server 127.0.0.1:%%back%%; keepalive 8; } server { listen %%port%%; location / { proxy_pass https://be; "
                       "proxy_http_version 2; } }", back=behind.ports["port"])
        assert [x.body for x in at_once(h, 6, "/f")] == [b"f" * 200000] * 6
        assert h.get("/v").text == ("HTTP/2.0" if http2 else "HTTP/1.1")
        assert h.post("/v", b"x" * 100000).status in (200, 405)
