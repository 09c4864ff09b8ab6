"""Chains: routes to parents, what they are asked, and what becomes of their answers."""
import socket
import threading

import pytest
from tools import certs, dns, parents
from tools.backend import hang, serve
from tools.ports import free_port
from tools.times import wait_until
from tools.wire import answer, lines

OUT = "access_log off; connect_ports all; resolver_timeout 2s;"


def proxy(hinge, rules, dns="127.0.0.1:1", **names):
    return hinge.http(f"resolver {dns}; forward {{ listen %%port%%; {OUT} {rules} }}", **names)


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields), method=method)


def tunnel(h, target, *fields):
    """CONNECT; the client and the answer."""
    c = h.connect()
    return c, c.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields), method="CONNECT")


def inside(c, host="far.test", path="/in"):
    return c.ask(lines(f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close"))


KINDS = {"http": "http", "connect": "connect", "socks5": "socks5", "socks4a": "socks4a"}


class TestOneHop:
    @pytest.mark.parametrize("kind", KINDS)
    def test_requests_and_tunnels(self, hinge, backend, parent, names, kind):
        origin = backend()
        far = parent({"far.test": origin})
        h = proxy(hinge, f"parent p {{ server {kind}://{far}; }} route p;", dns=names)
        got = through(h, "http://far.test/a?b", "X-Mine: 1").json()
        assert got["target"] == "/a?b" and dict(got["headers"])["Host"] == "far.test" and dict(got["headers"])["X-Mine"] == "1"
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 200
            assert inside(c).json()["target"] == "/in"
        assert far.targets == [("far.test", 80), ("far.test", 443)]
        assert [a.kind for a in far.asked] == [kind, "connect" if kind == "http" else kind]
        assert names.asked == [], "a name was asked of DNS here"

    @pytest.mark.parametrize("kind, login", [("http", "tom:se:cret"), ("connect", "tom:s"), ("socks5", "tom:secret"), ("socks4a", "tom")])
    def test_credentials_are_ours(self, hinge, backend, parent, kind, login):
        far = parent({"far.test": backend()}, login=login)
        shown = login.replace("se:", "se%3A")
        h = proxy(hinge, f"parent p {{ server {kind}://{shown}@{far}; }} route p;")
        res = through(h, "http://far.test/", "Proxy-Authorization: Basic Y2xpZW50OnM=")
        assert res.status == 200 and "proxy-authorization" not in res.text.lower()
        c, res = tunnel(h, "far.test:1234", "Proxy-Authorization: Basic Y2xpZW50OnM=")
        with c:
            assert res.status == 200
        user, _, password = login.partition(":")
        assert {(a.user, a.password) for a in far.asked} == {(user, password)}
        assert b"Y2xpZW50OnM" not in b"".join(a.head for a in far.asked) and "secret" not in h.log

    @pytest.mark.parametrize("kind", KINDS)
    def test_wrong_credentials_are_no_407(self, hinge, backend, parent, kind):
        far = parent({"far.test": backend()}, login="tom:right")
        h = proxy(hinge, f"parent p {{ server {kind}://tom{'' if kind == 'socks4a' else ':wrong'}@{far}; }} route p;")
        for _ in range(2):
            assert through(h, "http://far.test/").status == 502
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 502
        h.wait_log(r"wants other credentials|refused the credentials|does not take the user")

    def test_a_target_that_says_407(self, hinge, backend, parent):
        """Behind SOCKS it is the target's own answer; by a parent in absolute form it is not for the client, and nobody is held responsible."""
        rude = backend(serve(lambda req: answer(b"", "Proxy-Authenticate: Basic realm=x", status="407 No")))
        socks, http, spare = (parent({"far.test": rude, "ok.test": backend()}) for _ in range(3))
        assert through(proxy(hinge, f"parent p {{ server socks5://{socks}; }} route p;"), "http://far.test/").status == 407
        h = proxy(hinge, f"parent p {{ server http://{http}; server http://{spare} backup; }} route p;")
        assert through(h, "http://far.test/").status == 502 and len(spare.asked) == 1
        assert through(h, "http://ok.test/").status == 200 and len(http.asked) == 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_by_tls(self, hinge, backend, parent, names, kind):
        cert = certs.certificate("localhost")
        far = parent({"far.test": backend()}, cert=cert)
        scheme = "https" if kind == "http" else kind + "+tls"
        h = proxy(hinge, f"parent p {{ server {scheme}://localhost:{far.port}; proxy_ssl_trusted_certificate {cert.cert}; }} route p;", dns=names)
        assert through(h, "http://far.test/").status == 200
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 200 and inside(c).status == 200
        assert len(far.asked) == 2 and names.asked == []

    @pytest.mark.parametrize("line, good", [("", False), ("proxy_ssl_trusted_certificate %%other%%;", False), ("proxy_ssl_verify off;", True)])
    def test_certificates_are_checked(self, hinge, backend, parent, line, good):
        far = parent({"far.test": backend()}, cert=certs.certificate("localhost"))
        h = proxy(hinge, f"parent p {{ server https://localhost:{far.port}; {line} }} route p;", other=certs.certificate("other.test").cert)
        assert through(h, "http://far.test/").status == (200 if good else 502)
        if not good:
            h.wait_log("hop 1 of 1, https://localhost:[0-9]+: TLS failed: upstream SSL certificate verify error")
            assert far.asked == []

    def test_the_name_is_checked(self, hinge, backend, parent):
        cert = certs.certificate("wrong.test")
        far = parent({"far.test": backend()}, cert=cert)
        h = proxy(hinge, f"parent p {{ server https://localhost:{far.port}; proxy_ssl_trusted_certificate {cert.cert}; }} route p;")
        assert through(h, "http://far.test/").status == 502
        h.wait_log("verify error")

    def test_a_unix_socket(self, hinge, backend, parent, tmp_path):
        tmp_path.chmod(0o777)
        for p in list(tmp_path.parents)[:3]:
            p.chmod(0o755)
        far = parent({"far.test": backend()}, path=str(tmp_path / "s"))
        (tmp_path / "s").chmod(0o777)
        h = proxy(hinge, f"parent p {{ server socks5://unix:{tmp_path}/s; }} route p;")
        assert through(h, "http://far.test/").status == 200 and far.targets == [("far.test", 80)]

    def test_addresses_travel_as_such(self, hinge, backend, parent):
        origin = backend()
        far = parent()
        h = proxy(hinge, f"egress_allow 127.0.0.0/8; parent p {{ server socks5://{far}; }} route p;")
        assert through(h, f"http://127.0.0.1:{origin.port}/").status == 200
        assert far.asked[0].kind == "socks5-ip" and far.targets == [("127.0.0.1", origin.port)]

    def test_ipv6_has_no_form_in_socks4a(self, hinge, parent):
        far = parent()
        h = proxy(hinge, f"parent p {{ server socks4a://{far}; }} route p;")
        assert through(h, "http://[2001:4860::1]/").status == 502
        h.wait_log("the next address has no form in its protocol")

    def test_the_origin_speaks_first(self, hinge, backend, parent):
        """What comes in one piece with the answer to CONNECT is the tunnel's."""
        far = parent(says=b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-x\r\n")
        h = proxy(hinge, f"parent p {{ server connect://{far}; }} route p;")
        c, res = tunnel(h, "far.test:22")
        with c:
            assert res.status == 200 and c.exactly(11) == b"SSH-2.0-x\r\n"

    @pytest.mark.parametrize("kind, says", [("connect", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"),
                                            ("socks5", b"\5\0\0\1\0\0\0\0\0\0HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")])
    def test_a_request_is_answered_only_when_it_was_asked(self, hinge, parent, kind, says):
        h = proxy(hinge, f"parent p {{ server {kind}://{parent(says=says)}; }} route p;")
        assert through(h, "http://far.test/").status == 502
        h.wait_log("it spoke before it was asked")


class TestSeveralHops:
    @pytest.mark.parametrize("kinds", [("socks5", "http"), ("http", "socks5"), ("connect", "socks4a", "socks5"), ("socks4a", "connect"), ("http", "http")])
    def test_names_are_resolved_at_the_far_end(self, hinge, backend, parent, names, kinds):
        origin, hops = backend(), []
        table = {"far.test": origin}
        for kind in reversed(kinds):
            hops.insert(0, parent(table))
            table = {f"hop{len(kinds) - len(hops)}.test": hops[0]}
        urls = [f"{kind}://{hops[0] if i == 0 else f'hop{i}.test:{hops[i].port}'}" for i, kind in enumerate(kinds)]
        for i in range(1, len(hops)):
            hops[i - 1].names = {f"hop{i}.test": hops[i]}
        h = proxy(hinge, f"parent p {{ server {' '.join(urls)}; }} route p;", dns=names)
        assert through(h, "http://far.test/x").json()["target"] == "/x"
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 200 and inside(c).status == 200
        for i in range(len(hops) - 1):
            assert hops[i].targets == [(f"hop{i + 1}.test", hops[i + 1].port)] * 2
        assert hops[-1].targets == [("far.test", 80), ("far.test", 443)] and names.asked == []

    @pytest.mark.parametrize("first", [True, False])
    def test_tls_at_one_of_them(self, hinge, backend, parent, first):
        cert = certs.certificate("localhost")
        last = parent({"far.test": backend()}, cert=None if first else cert)
        far = parent({"localhost": last}, cert=cert if first else None)
        urls = f"{'https' if first else 'http'}://localhost:{far.port} {'socks5' if first else 'socks5+tls'}://localhost:{last.port}"
        h = proxy(hinge, f"parent p {{ server {urls}; proxy_ssl_trusted_certificate {cert.cert}; }} route p;")
        assert through(h, "http://far.test/").status == 200
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 200 and inside(c).status == 200

    @pytest.mark.parametrize("kinds", [("https", "https"), ("socks5+tls", "connect", "https"), ("https", "socks4a+tls", "connect+tls")])
    def test_tls_inside_of_tls(self, hinge, backend, parent, kinds):
        """Large bodies both ways, and a tunnel."""
        cert = certs.certificate("localhost")
        blob = bytes(range(256)) * 8000

        def script(conn):
            while req := conn.request():
                conn.send(answer(blob if req.target == "/blob" else req.body, "Connection: close"))
                return
        origin, hops, table = backend(script), [], None
        table = {"far.test": origin}
        for kind in reversed(kinds):
            hops.insert(0, parent(table, cert=cert if kind == "https" or "+tls" in kind else None))
            table = {"localhost": hops[0]}
        urls = " ".join(f"{kind}://localhost:{p.port}" for kind, p in zip(kinds, hops))
        h = proxy(hinge, f"parent p {{ server {urls}; proxy_ssl_trusted_certificate {cert.cert}; }} route p;")
        assert through(h, "http://far.test/blob").body == blob
        sent = h.ask(lines("POST http://far.test/ HTTP/1.1", "Host: far.test", "Connection: close", f"Content-Length: {len(blob)}") + blob, method="POST")
        assert sent.status == 200 and sent.body == blob
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 200
            c.send(lines("POST / HTTP/1.1", "Host: far.test", f"Content-Length: {len(blob)}") + blob)
            assert c.response("POST").body == blob
        for _ in range(2):
            assert through(h, "http://far.test/blob").body == blob, "with a session that is resumed"

    def test_the_log_names_the_hop(self, hinge, parent):
        far = parent({})
        h = proxy(hinge, f"parent p {{ server socks5://{far} http://nowhere.test:3128; }} route p;")
        assert through(h, "http://far.test/").status == 502
        h.wait_log(rf"no way through a parent: hop 1 of 2, socks5://{far}: it answered with code 4 \(host unreachable\)")


class TestFailover:
    def test_the_next_server(self, hinge, backend, parent):
        far = parent({"far.test": backend()})
        h = proxy(hinge, f"parent p {{ server socks5://127.0.0.1:{free_port()}; server socks5://{far}; }} route p;")
        for _ in range(4):
            assert through(h, "http://far.test/", "Content-Length: 0", method="POST").status == 200
            c, res = tunnel(h, "far.test:443")
            with c:
                assert res.status == 200
        h.wait_log("connect\\(\\) failed.*socks5://127")
        assert h.log.count("connect() failed") == 1, "the one that failed is left alone for a while"

    @pytest.mark.parametrize("says", [b"\5\4\0\1\0\0\0\0\0\0", b"HTTP/1.1 400 Bad\r\n\r\n"])
    def test_handshakes_that_fail(self, hinge, backend, parent, says):
        bad, good = parent(says=says), parent({"far.test": backend()})
        h = proxy(hinge, f"parent p {{ server socks5://{bad}; server http://{good} backup; }} route p;")
        for _ in range(3):
            assert through(h, "http://far.test/").status == 200

    def test_a_target_that_cannot_be_reached_is_no_failure_of_the_parent(self, hinge, backend, parent):
        """Else clients could take it from everybody."""
        far, other = parent({"far.test": backend()}), parent({})
        h = proxy(hinge, f"parent p {{ server socks5://{far}; server socks5://{other} backup; }} route p;")
        for _ in range(5):
            assert through(h, "http://none.test/").status == 502
        assert len(far.asked) == 5 and through(h, "http://far.test/").status == 200

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_parent_that_takes_connections_and_says_nothing_has_failed(self, hinge, backend, parent, kind):
        dead, far = backend(hang), parent({"far.test": backend()})
        h = proxy(hinge, f"proxy_connect_timeout 500ms; parent p {{ server {kind}://{dead} fail_timeout=60s; server {kind}://{far} backup; }} route p;")
        for _ in range(3):
            c, res = tunnel(h, "far.test:443")
            with c:
                assert res.status == 200
        assert len(far.asked) == 3 and len(dead.connections) == 1, "nobody waits for it again"

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_parent_that_waits_for_a_target_has_not(self, hinge, backend, parent, kind):
        """It lives when it has answered somebody meanwhile."""
        far = parent({"far.test": backend(), "slow.test": parents.NEVER})
        h = proxy(hinge, f"proxy_connect_timeout 1s; proxy_next_upstream off; parent p {{ server {kind}://{far} fail_timeout=60s; "
                  f"server {kind}://127.0.0.1:{free_port()} backup; }} route p;")
        with h.connect() as c:
            c.send(lines("CONNECT slow.test:443 HTTP/1.1", "Host: slow.test:443"))
            wait_until(lambda: ("slow.test", 443) in far.targets, "it is asked")
            assert through(h, "http://far.test/").status == 200
            assert c.response("CONNECT").status == 504
        assert through(h, "http://far.test/").status == 200, "it is in its place"

    def test_a_target_for_which_two_parents_wait_fails_one_at_most(self, hinge, backend, parent):
        first, second = (parent({"far.test": backend(), "slow.test": parents.NEVER}) for _ in range(2))
        h = proxy(hinge, f"proxy_connect_timeout 300ms; parent p {{ server connect://{first} fail_timeout=60s; server connect://{second} fail_timeout=60s; }} route p;")
        c, res = tunnel(h, "slow.test:443")
        with c:
            assert res.status == 504
        assert len(first.targets) == len(second.targets) == 1
        for _ in range(3):
            assert through(h, "http://far.test/").status == 200

    def test_direct_only_when_written(self, hinge, backend, parent):
        origin = backend()
        names = dns.Server({"near.test": "127.0.0.1"})
        url = f"http://near.test:{origin.port}/"
        gone = f"server socks5://127.0.0.1:{free_port()}; server socks5://127.0.0.1:{free_port()};"
        h = proxy(hinge, f"egress_allow 127.0.0.0/8; parent p {{ {gone} }} route p;", dns=names)
        assert through(h, url).status == 502 and names.asked == []
        h = proxy(hinge, f"egress_allow 127.0.0.0/8; parent p {{ {gone} or_direct on; }} route p;", dns=names)
        assert through(h, url).status == 200
        assert through(h, url).status == 200, "none is live, and none is tried"
        c, res = tunnel(h, f"near.test:{origin.port}")
        with c:
            assert res.status == 200
        names.close()

    def test_or_direct_is_guarded(self, hinge):
        h = proxy(hinge, f"parent p {{ server socks5://127.0.0.1:{free_port()}; or_direct on; }} route p;")
        assert through(h, "http://127.0.0.1/").status == 403

    @pytest.mark.parametrize("kind, says", [("connect", None), ("socks5", None), ("socks5", b""), ("connect", b"HTTP/1.1 100 C\r\n\r\n")])
    def test_time(self, hinge, parent, kind, says):
        h = proxy(hinge, f"proxy_connect_timeout 300ms; parent p {{ server {kind}://{parent(says=says)}; }} route p;")
        assert through(h, "http://far.test/").status == 504
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 504
        h.wait_log(f"hop 1 of 1, {kind}://")

    def test_one_time_for_all_hops(self, hinge, backend):
        """Each answers before the time is over, all together do not."""
        def slow(conn):
            import time
            for _ in range(8):
                if not conn.head():
                    return
                time.sleep(0.25)
                conn.send(b"HTTP/1.1 200 OK\r\n\r\n")
        hops = backend(slow)
        urls = " ".join(f"connect://{hops}" for _ in range(8))
        h = proxy(hinge, f"proxy_connect_timeout 1s; parent p {{ server {urls}; }} route p;")
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status == 504


class TestHostileParents:
    @pytest.mark.parametrize("says", [b"HTTP/1.1 200\r\n\r\n"[:9], b"HTTP/1.1 302 x\r\nLocation: http://x/\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n", b"\0" * 100, b"SSH-2.0\r\n",
                                      b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nA b: c\r\n\r\n",
                                      b"HTTP/1.1 100 C\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\n\r\n"])
    def test_answers_to_connect(self, hinge, parent, says):
        h = proxy(hinge, f"proxy_connect_timeout 1s; parent p {{ server connect://{parent(says=says)}; }} route p;")
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status in (502, 504)
        h.wait_log("hop 1 of 1")

    @pytest.mark.parametrize("says", [b"\5", b"\5\2\0\1\0\0\0\0\0\0", b"\4\0\0\0", b"HTTP/1.1 200 OK\r\n\r\n", b"\5\0\1\1", b"\5\0\0\7\0", b"\5\x63\0\1\0\0\0\0\0\0"])
    def test_answers_of_socks(self, hinge, parent, says):
        for kind in ("socks5", "socks4a"):
            h = proxy(hinge, f"proxy_connect_timeout 1s; parent p {{ server {kind}://{parent(says=says)}; }} route p;")
            c, res = tunnel(h, "far.test:443")
            with c:
                assert res.status in (502, 504)

    def test_a_method_that_was_not_offered(self, hinge, backend):
        def script(conn):
            conn.sock.recv(100)
            conn.send(b"\5\2")
            conn.hang()
        h = proxy(hinge, f"parent p {{ server socks5://{backend(script)}; }} route p;")
        assert through(h, "http://far.test/").status == 502
        h.wait_log("it wants credentials")


class TestRoutes:
    def test_the_first_line_decides(self, hinge, backend, parent):
        a, b = parent({"a.test": backend(name="A"), "x.test": backend(name="AX")}), parent({"b.test": backend(name="B"), "a.test": backend(name="no")})
        h = proxy(hinge, f"""parent a {{ server socks5://{a}; }} parent b {{ server http://{b}; }}
            acl A dstdomain a.test; acl X dstdomain .x.test; acl posts method POST; acl high port 8000-9000;
            route deny posts; route deny X high; route a A; route a X; route b;""")
        assert through(h, "http://a.test/").json()["backend"] == "A"
        assert through(h, "http://x.test/").json()["backend"] == "AX"
        assert through(h, "http://b.test/").json()["backend"] == "B"
        assert through(h, "http://x.test:8080/").status == 403
        assert through(h, "http://a.test/", "Content-Length: 0", method="POST").status == 403
        h.wait_log(r"is refused by route .*\(route deny posts\)")

    def test_without_a_match_nothing_goes_out(self, hinge, parent):
        far = parent({})
        h = hinge.prepare_http(f"forward {{ listen %%port%%; acl a dstdomain a.test; parent p {{ server http://{far}; }} route p a; }}")
        assert "requests that no \"route\" matches are refused" in h.run("-t").stderr
        h.start()
        assert through(h, "http://b.test/").status == 403 and far.asked == []
        h.wait_log("no line matched")

    def test_direct(self, hinge, backend, parent):
        origin, far = backend(), parent({})
        h = proxy(hinge, f"egress_allow 127.0.0.0/8; acl here dst 127.0.0.0/8; parent p {{ server http://{far}; }} route direct here; route p;")
        assert through(h, f"http://127.0.0.1:{origin.port}/").status == 200 and far.asked == []

    def test_addresses_are_asked_for_when_a_line_looks_at_them(self, hinge, backend, parent):
        origin, far = backend(), parent({"far.test": backend(), "none.test": backend()})
        names = dns.Server({"near.test": "127.0.0.1", "far.test": "192.0.2.1"})
        h = hinge.prepare_http(f"resolver {names}; forward {{ listen %%port%%; {OUT} egress_allow 127.0.0.0/8; acl here dst 127.0.0.0/8; parent p {{ server http://{far}; }} route direct here; route p; }}")
        assert "names of targets are asked of DNS here" in h.run("-t").stderr
        h.start()
        assert through(h, f"http://near.test:{origin.port}/").status == 200 and far.asked == []
        assert through(h, "http://far.test/").status == 200 and far.targets == [("far.test", 80)]
        assert through(h, "http://none.test/").status == 200, "a name without addresses is in no network"
        names.close()

    def test_by_user(self, hinge, backend, parent):
        far, other = parent({"x.test": backend(name="A")}), parent({"x.test": backend(name="B")})
        h = hinge.prepare_http(f"""forward {{ listen %%port%%; {OUT} auth_basic staff; auth_basic_user_file users; acl tom proxy_auth tom;
            parent a {{ server http://{far}; }} parent b {{ server http://{other}; }} route a tom; route b; }}""")
        h.write("users", "tom:{PLAIN}x\nann:{PLAIN}x\n")
        h.start()
        assert through(h, "http://x.test/", "Proxy-Authorization: Basic dG9tOng=").json()["backend"] == "A"
        assert through(h, "http://x.test/", "Proxy-Authorization: Basic YW5uOng=").json()["backend"] == "B"
        assert b"dG9tOng" not in far.asked[0].head

    @pytest.mark.parametrize("url, status", [("http://127.0.0.1/", 403), ("http://10.1.2.3/", 403), ("http://[::1]/", 403), ("http://[::ffff:10.0.0.1]/", 403), ("http://localhost/", 403),
                                             ("http://a.localhost/", 403), ("http://2130706433/", 400), ("http://127.1/", 400), ("http://0x7f.1/", 400)])
    def test_special_addresses_are_refused_here(self, hinge, parent, url, status):
        far = parent({})
        h = proxy(hinge, f"parent p {{ server http://{far}; }} route p;")
        assert through(h, url).status == status
        c, res = tunnel(h, url.split("/")[2] + ":443")
        with c:
            assert res.status == status
        assert far.asked == []

    def test_loops_by_via(self, hinge, backend):
        """Two that are each other's parents: the second turn is the last."""
        port = free_port()
        h = proxy(hinge, f"parent p {{ server http://127.0.0.1:{port}; }} route p;")
        hinge.http(f"forward {{ listen 127.0.0.1:{port}; {OUT} parent p {{ server connect://127.0.0.1:{h.ports['port']}; }} route p; }}")
        assert through(h, "http://far.test/").status in (502, 508)
        c, res = tunnel(h, "far.test:443")
        with c:
            assert res.status in (502, 508)
        h.wait_log("has been here before")

    def test_connections_are_kept_for_those_who_may_share_them(self, hinge, backend, parent):
        origin = backend()
        far = backend(serve(lambda req: answer(req.target.encode())))
        h = proxy(hinge, f"acl a dstdomain a.test; parent p {{ server http://tom:x@{far}; }} parent q {{ server http://ann:x@{far}; }} route q a; route p;")
        with h.connect() as c:
            for name in ("b", "c", "b", "c"):
                assert c.ask(lines("GET http://%s.test/ HTTP/1.1" % name, f"Host: {name}.test")).text == f"http://{name}.test/"
            assert len(far.connections) == 1
            assert c.ask(lines("GET http://a.test/ HTTP/1.1", "Host: a.test")).status == 200
            assert len(far.connections) == 2, "another user's connection"
        far2 = parent({"b.test": origin, "c.test": origin})
        h = proxy(hinge, f"parent p {{ server socks5://{far2}; }} route p;")
        with h.connect() as c:
            for name in ("b", "c", "b", "c"):
                assert c.ask(lines("GET http://%s.test/ HTTP/1.1" % name, f"Host: {name}.test")).status == 200
        assert far2.targets == [("b.test", 80), ("c.test", 80)], "behind SOCKS a connection leads to one target"


@pytest.mark.parametrize("rules, told", [
    ("route p;", "unknown parent"), ("parent p { server http://127.0.0.1:1; }", "no \"route\" leads to a parent"), ("parent p { } route p;", "no servers in parent"),
    ("parent p { server 127.0.0.1:1; } route p;", "invalid parameter"), ("parent p { server ftp://127.0.0.1:1; } route p;", "no scheme that is known"),
    ("parent p { server http://127.0.0.1; } route p;", "no port"), ("parent p { server socks5://a@127.0.0.1:1; } route p;", "no user, or no password"),
    ("parent p { server socks4a://a:secret@127.0.0.1:1; } route p;", "SOCKS 4a knows no password"), ("parent p { server http://a%zz:b@127.0.0.1:1; } route p;", "invalid escape"),
    ("parent p { server http://a%00:b@127.0.0.1:1; } route p;", "invalid character"), ("parent direct { server http://127.0.0.1:1; } route direct;", "the name is taken"),
    ("parent p { server http://127.0.0.1:1; } parent p { server http://127.0.0.1:1; } route p;", "the name is taken"),
    ("parent p { server http://127.0.0.1:1 backup; } route p;", "no servers in parent"), ("parent p { server " + "http://127.0.0.1:1 " * 9 + "; } route p;", "more than 8 hops"),
    ("parent p { server http://127.0.0.1:1 socks5://unix:/x; } route p;", "first hop only"),
    ("parent p { server http://nowhere.invalid:1; } route p;", "host not found"), ("parent p { server http://%%port%%; } route p;", "this block listens on itself"),
    ("parent p { server http://127.0.0.1:1; } route p nobody;", "nobody"), ("parent p { listen 1; } route p;", "not allowed here"),
    ("parent p { server http://127.0.0.1:1 weight=0; } route p;", "invalid parameter")])
def test_what_is_refused_at_load(hinge, rules, told):
    h = hinge.prepare_http(f"forward {{ listen %%port%%; {rules} }}")
    assert told in h.run("-t", check=1).stderr


def test_explain(hinge):
    """The configuration's lines are shown as they are; what would be sent is shown without the credentials."""
    h = hinge.prepare_http("""forward { listen %%port%%; connect_ports all;
        acl onions dstdomain .onion;
        acl bad port 25;
        parent tor { server socks5://u:geheim@127.0.0.1:9050; }
        parent up { server http://u:geheim@127.0.0.1:3128 http://far.test:3128; }
        route deny bad;
        route tor onions;
        route up; }""")
    at = f"127.0.0.1:{h.ports['port']}"
    told = h.explain("--listen", at, "http://x.onion/a").stdout
    assert "route: parent tor, by " in told and "(route tor onions)" in told and "server socks5://127.0.0.1:9050" in told and "GET /a HTTP/1.1" in told
    told = h.explain("--listen", at, "CONNECT", "a.test:443").stdout
    assert "route: parent up" in told and "http://127.0.0.1:3128 -> http://far.test:3128" in told and "200 as soon as" in told
    assert "GET http://a.test/ HTTP/1.1" in h.explain("--listen", at, "http://a.test/").stdout
    assert "route: refused by" in h.explain("--listen", at, "CONNECT", "a.test:25").stdout
