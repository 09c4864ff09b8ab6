"""Squid's times, sizes and names, each as what it means here: in a forward block, with lines that end with semicolons."""
import os
import re
import threading

import pytest
from tools import dns
from tools.backend import hang
from tools.silent import silent
from tools.times import PATIENCE
from tools.wire import answer, lines

SOON = "300 milliseconds"


def proxy(hinge, rules="", **names):
    return hinge.http(f"forward {{ http_port %%port%%; egress_allow 127.0.0.0/8; connect_ports all; http_access allow localhost; http_access deny all; {rules} }}", **names)


def filed(hinge, line):
    """The same from a squid.conf, which knows older names too."""
    return hinge.squid(f"http_port %%port%%\naccess_log none\nvisible_hostname proxy.test\n{line}\nhttp_access allow localhost\nhttp_access deny all\n")


def get(url, *fields, close=True):
    return lines(f"GET {url} HTTP/1.1", f"Host: {url.split('/')[2]}", *(["Connection: close"] if close else []), *fields)


def through(h, url, *fields):
    return h.ask(get(url, *fields))


def connect(target):
    return lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}")


@pytest.fixture
def name_server():
    started = []

    def start(*args, **kwargs):
        started.append(dns.Server(*args, **kwargs))
        return started[-1]
    yield start
    for s in started:
        s.close()


class TestTargets:
    @pytest.mark.parametrize("kind", ["request", "tunnel"])
    def test_connect_timeout(self, hinge, kind):
        with silent() as target:
            h = proxy(hinge, f"connect_timeout {SOON};")
            res = through(h, f"http://{target}/") if kind == "request" else h.ask(connect(target), method="CONNECT")
            assert res.status == 504
            h.wait_log(r"upstream timed out \(110: Connection timed out\) while connecting to upstream")

    def test_read_timeout_of_an_answer(self, hinge, backend):
        h = proxy(hinge, f"read_timeout {SOON};")
        assert through(h, f"http://{backend(hang)}/").status == 504
        h.wait_log("while reading response header from upstream")

    def test_read_timeout_of_a_tunnel(self, hinge, backend):
        h = proxy(hinge, f"read_timeout {SOON};")
        with h.connect() as c:
            assert c.ask(connect(backend(hang)), "CONNECT").status == 200
            c.assert_closed()

    def test_write_timeout_of_a_target_that_does_not_read(self, hinge, backend):
        stop = threading.Event()
        origin = backend(lambda conn: stop.wait(PATIENCE * 3))
        h = proxy(hinge, f"write_timeout {SOON};")
        with h.connect() as c:
            c.send_as_far_as_it_goes(lines(f"POST http://{origin}/ HTTP/1.1", f"Host: {origin}", "Content-Length: 20000000") + b"a" * 20_000_000)
            assert c.response().status == 504
        stop.set()
        h.wait_log("while sending request to upstream")

    def test_write_timeout_of_a_client_that_does_not_read(self, hinge, backend):
        def pour(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 40000000"), b"a" * 40_000_000)
            conn.hang()

        origin = backend(pour)
        h = proxy(hinge, f"write_timeout {SOON};")
        with h.connect(rcvbuf=4096) as c:
            c.send(get(f"http://{origin}/"))
            origin.wait_requests(1)
            origin.connections[0].assert_hung_up()
        h.wait_log("client timed out while sending to client")

    @pytest.mark.parametrize("limit, status", [("100 milliseconds", 504), ("1 hour", 200)])
    def test_forward_timeout(self, hinge, backend, name_server, limit, status):
        """A name with two addresses, the first of which is silent."""
        origin = backend(address="127.0.0.3")
        names = name_server({"two.test": ["127.0.0.2", "127.0.0.3"]})
        with silent("127.0.0.2", origin.port):
            h = proxy(hinge, f"resolver {names} ipv6=off; connect_timeout 500 milliseconds; forward_timeout {limit};")
            assert through(h, f"http://two.test:{origin.port}/").status == status
        assert len(origin.connections) == (status == 200)

    @pytest.mark.parametrize("directive", ["server_idle_pconn_timeout", "pconn_timeout"])
    def test_idle_connections_to_targets(self, hinge, backend, directive):
        origin = backend()
        h = filed(hinge, f"{directive} {SOON}")
        assert through(h, f"http://{origin}/").status == 200
        assert not origin.connections[0].closed_by_peer.is_set()
        origin.connections[0].assert_hung_up()

    def test_idle_connections_to_targets_are_used_again(self, hinge, backend):
        origin = backend()
        h = proxy(hinge, "server_idle_pconn_timeout 1 hour;")
        for _ in range(3):
            assert through(h, f"http://{origin}/").status == 200
        assert len(origin.connections) == 1

    def test_peer_connect_timeout(self, hinge):
        with silent() as target:
            host, port = target.split(":")
            h = proxy(hinge, f"cache_peer {host} parent {port} 0; never_direct allow all; peer_connect_timeout {SOON};")
            assert through(h, "http://far.test/").status in (503, 504)
            h.wait_log(r"upstream timed out \(110: Connection timed out\)")


class TestClients:
    def test_request_timeout(self, hinge):
        with proxy(hinge, f"request_timeout {SOON};").connect() as c:
            c.send(b"GET http://a.test/ HTTP/1.1\r\nHost: a")
            assert b"200" not in c.all_bytes()

    @pytest.mark.parametrize("directive", ["client_idle_pconn_timeout", "persistent_request_timeout"])
    def test_idle_clients(self, hinge, backend, directive):
        with filed(hinge, f"{directive} {SOON}").connect() as c:
            assert c.ask(get(f"http://{backend()}/", close=False)).status == 200
            c.assert_closed()

    def test_clients_that_may_be_idle(self, hinge, backend):
        with proxy(hinge, "client_idle_pconn_timeout 1 hour; request_timeout 1 second;").connect() as c:
            assert c.ask(get(f"http://{backend()}/", close=False)).status == 200
            c.assert_open_and_quiet(1.5)


class TestNames:
    def test_dns_timeout(self, hinge, name_server):
        names = name_server({"mute.test": lambda question: None})
        h = proxy(hinge, f"resolver {names} ipv6=off; dns_timeout {SOON};")
        assert through(h, "http://mute.test/").status in (502, 503, 504)
        assert names.asked
        h.wait_log(r"mute\.test could not be resolved")

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root: servers of names have port 53")
    def test_dns_nameservers(self, hinge, backend, name_server):
        origin = backend()
        address = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() % 250 + 1}"
        names = name_server({"a.test": "127.0.0.1"}, address=address, port=53)
        h = proxy(hinge, f"dns_nameservers {address};")
        assert through(h, f"http://a.test:{origin.port}/").status == 200
        assert names.count("a.test")

    @pytest.mark.parametrize("words, name", [("visible_hostname one.test;", "one.test"), ("visible_hostname one.test; unique_hostname two.test;", "two.test")])
    def test_unique_hostname(self, hinge, backend, words, name):
        h = proxy(hinge, f"via on; {words}")
        assert dict(through(h, f"http://{backend()}/").json()["headers"])["Via"] == f"1.1 {name}"


class TestSizes:
    def test_request_header_max_size(self, hinge, backend):
        url = f"http://{backend()}/"
        h = proxy(hinge, "request_header_max_size 4 KB;")
        assert through(h, url, f"X-Long: {'x' * 3000}").status == 200
        assert through(h, url, f"X-Long: {'x' * 5000}").status in (400, 431)

    def test_request_header_max_size_beyond_the_usual(self, hinge, backend):
        h = proxy(hinge, "request_header_max_size 64 KB;")
        assert through(h, f"http://{backend()}/", *(f"X-Long-{i}: {'x' * 5000}" for i in range(11))).status == 200

    @pytest.mark.parametrize("limit, fits, too_long", [("2 KB", 1500, 2500), ("20 KB", 15000, 25000), ("64 KB", 60000, 70000)])
    def test_reply_header_max_size(self, hinge, backend, limit, fits, too_long):
        """64 KB is what Squid has without a word."""
        h = proxy(hinge, f"reply_header_max_size {limit};")

        def script(conn):
            while req := conn.request():
                conn.send(answer("ok", f"X-Long: {'x' * int(req.target[1:])}"))

        origin = backend(script)
        assert len(through(h, f"http://{origin}/{fits}")["X-Long"]) == fits
        assert through(h, f"http://{origin}/{too_long}").status == 502
        h.wait_log("upstream sent too big header")


class TestWords:
    def test_error_directory_and_cache_mgr(self, hinge):
        h = hinge.prepare_http("""forward { http_port %%port%%; visible_hostname proxy.test; acl bad urlpath_regex ^/bad; http_access deny bad; deny_info ERR_OURS bad;
            error_directory %%dir%%/pages; cache_mgr "help@<us>.test"; }""")
        h.write("pages/ERR_OURS", "<p>%H is not for %i. Ask %w at %h.</p>\n")
        h.start()
        res = through(h, "http://a.test/bad")
        assert res.status == 403 and re.match("text/html", res["Content-Type"])
        assert res.text == "<p>a.test is not for 127.0.0.1. Ask help@&#60;us&#62;.test at proxy.test.</p>\n"

    def test_without_a_cache_mgr(self, hinge):
        h = hinge.prepare_http("forward { http_port %%port%%; acl bad urlpath_regex ^/bad; http_access deny bad; deny_info ERR_OURS bad; error_directory %%dir%%; }")
        h.write("ERR_OURS", "%w")
        h.start()
        assert through(h, "http://a.test/bad").text == "webmaster"

    def test_a_page_that_is_not_there(self, hinge):
        h = hinge.http("forward { http_port %%port%%; acl bad urlpath_regex ^/bad; http_access deny bad; deny_info ERR_OURS bad; error_directory %%dir%%/nowhere; }")
        assert through(h, "http://a.test/bad").status == 403
        assert "/nowhere/ERR_OURS\" cannot be read: a plain one is sent" in h.read("stderr") + h.log

    def test_reply_header_replace(self, hinge, backend):
        origin = backend(lambda conn: (conn.request(), conn.send(answer("ok", "Server: secret", "X-Other: kept"))))
        res = through(proxy(hinge, 'reply_header_access Server deny all; reply_header_replace Server "Nobody 1"; reply_header_replace X-Other lost;'), f"http://{origin}/")
        assert res["Server"] == "Nobody 1", "instead of what is denied"
        assert res["X-Other"] == "kept", "what is not denied is not replaced"
