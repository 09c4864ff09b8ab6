"""Who the client is: realip as nginx does it (the real one answers the same question beside us), and what nginx does not do: lies of
peers that nobody trusts reach no rule and no backend."""
import os
import re
import shutil
import socket

import pytest
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")

SEEN = 'return 200 "$remote_addr|$remote_port|$realip_remote_addr|$proxy_add_x_forwarded_for|$http_x_forwarded_for|$http_x_real_ip";'


FROM = "set_real_ip_from 127.0.0.0/8; set_real_ip_from 10.0.0.0/8; "
XFF = FROM + "real_ip_header X-Forwarded-For; "
WALK = XFF + "real_ip_recursive on; "

# configuration, fields of the request
QUESTIONS = [
    (FROM, ["X-Real-IP: 192.0.2.1"]),
    (FROM, ["X-Real-IP: 192.0.2.1:8080"]),
    (FROM, ["X-Real-IP: 2001:db8::1"]),
    (FROM, ["X-Real-IP: [2001:db8::1]:8080"]),
    (FROM, ["X-Real-IP: ::ffff:192.0.2.1"]),
    (FROM, ["X-Real-IP: rubbish"]),
    (FROM, ["X-Real-IP: "]),
    (FROM, ["X-Real-IP: 192.0.2.1, 192.0.2.2"]),
    (FROM, ["X-Real-IP: unix:/tmp/x"]),
    (FROM, ["X-Real-IP: localhost"]),
    (FROM, ["X-Real-IP: 192.0.2.1", "X-Real-IP: 192.0.2.2"]),
    (FROM, []),
    (FROM, ["X-Forwarded-For: 192.0.2.1"]),
    (FROM + "real_ip_header CF-Connecting-IP;", ["CF-Connecting-IP: 192.0.2.7", "X-Real-IP: 192.0.2.8"]),
    (FROM + "real_ip_header CF-Connecting-IP; real_ip_recursive on;", ["CF-Connecting-IP: 192.0.2.7, 10.0.0.1"]),
    (XFF, ["X-Forwarded-For: 192.0.2.1"]),
    (XFF, ["X-Forwarded-For: 192.0.2.1, 10.0.0.2"]),
    (XFF, ["X-Forwarded-For: 192.0.2.1,10.0.0.2,, "]),
    (XFF, ["X-Forwarded-For: 192.0.2.1 10.0.0.2"]),
    (XFF, ["X-Forwarded-For: 192.0.2.1, rubbish"]),
    (XFF, ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1, 10.0.0.2"]),
    (WALK, ["X-Forwarded-For: 198.51.100.1, 192.0.2.1:99, 10.0.0.2, 127.0.0.1"]),
    (WALK, ["X-Forwarded-For: 10.0.0.3, 10.0.0.2"]),
    (WALK, ["X-Forwarded-For: rubbish, 10.0.0.2"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1, ::ffff:10.0.0.2"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.0.0.2"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 10.0.0.2, 10.0.0.4"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: rubbish"]),
    (WALK, ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: rubbish, 10.0.0.2"]),
    ("set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;", ["X-Forwarded-For: 192.0.2.1"]),
    ("set_real_ip_from 0.0.0.0/0; real_ip_header X-Forwarded-For; real_ip_recursive on;", ["X-Forwarded-For: 192.0.2.1, 192.0.2.2"]),
]


@pytest.fixture(scope="module")
def pair():
    """Both servers, with an address for each configuration."""
    from tools import server
    starter = server.Starter()
    ports = {conf: f"port{i}" for i, conf in enumerate(dict.fromkeys(c for c, _ in QUESTIONS), 2)}
    text = "\n".join(f"server {{ listen %%{port}%%; {conf} location / {{ {SEEN} }} }}" for conf, port in ports.items())
    servers = {"ours": starter.http(text)}
    if os.path.exists(NGINX):
        servers["nginx"] = starter.prepare_http(text, binary=NGINX).start()
    yield servers, ports
    starter.finish()


@needs_nginx
@pytest.mark.parametrize("conf, fields", QUESTIONS, ids=[f"{i}" for i in range(len(QUESTIONS))])
def test_the_client_is_who_nginx_says(pair, conf, fields):
    servers, ports = pair
    request = lines("GET / HTTP/1.1", "Host: a", "Connection: close", *fields)

    def found(h):
        addr, port, real, chain, *_ = h.ask(request, port=ports[conf]).text.split("|")
        assert real == "127.0.0.1"
        return addr, "PORT" if addr == real else port, chain

    ours, nginx = found(servers["ours"]), found(servers["nginx"])
    if "127" in conf or "0.0.0.0/0" in conf:
        assert ours == nginx
    else:  # an untrusted peer: its list is gone, which nginx passes on
        assert ours == ("127.0.0.1", "PORT", "127.0.0.1")
        assert nginx == ("127.0.0.1", "PORT", "192.0.2.1, 127.0.0.1")


def test_brackets_need_no_port(pair):
    """nginx takes [2001:db8::1]:80 and not [2001:db8::1]; RFC 7239 and other proxies write both."""
    servers, ports = pair
    with servers["ours"].connect(ports[FROM]) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a", "X-Real-IP: [2001:db8::1]")).text.startswith("2001:db8::1||127.0.0.1|")


class TestTrust:
    def test_fields_of_strangers_are_gone(self, hinge, backend):
        h = hinge.proxy(backend())
        lies = ["X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1", "X-Forwarded-Server: e",
                "X-Forwarded-Prefix: /e", "X-Real-IP: 1.1.1.1", "Forwarded: for=1.1.1.1", "True-Client-IP: 1.1.1.1", "CF-Connecting-IP: 1.1.1.1",
                "X-Client-IP: 1.1.1.1", "X-Original-URL: /admin"]
        passed = dict(h.get("/", *lies).json()["headers"])
        assert all(lie.split(":")[0] in passed for lie in lies)  # nobody is named: nginx's pass-through
        for trust in ("trusted_proxies none;", "trusted_proxies 10.0.0.1;", "set_real_ip_from 10.0.0.0/8;", "set_real_ip_from unix:;",
                      "set_real_ip_from ::1; real_ip_header X-My-Client;"):
            h = hinge.server(trust + """ location / { proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr;
                                   proxy_set_header X-Seen "$http_x_forwarded_for$http_forwarded$http_x_real_ip$http_true_client_ip"; }""",
                             origin=backend())
            answer = dict(h.get("/", *lies, "X-My-Client: 1.1.1.1", "X-Other: kept").json()["headers"])
            assert "X-Seen" not in answer and answer["X-Client"] == "127.0.0.1" and answer["X-Other"] == "kept"
            left = [name for name in answer if name.lower() in [lie.split(":")[0].lower() for lie in lies]]
            assert left == []
            assert ("X-My-Client" in answer) == ("X-My-Client" not in trust)

    def test_a_name_of_ones_own_with_underscores_is_the_same_lie(self, hinge, backend):
        h = hinge.server("""underscores_in_headers on; set_real_ip_from 192.0.2.1; real_ip_header X-Our-Client;
            location / { proxy_pass http://%%origin%%; }""", origin=backend())
        names = [n for n, _ in h.get("/", "X-Our-Client: 1.1.1.1", "X_Our_Client: 1.1.1.1", "a_b: c").json()["headers"]]
        assert "a_b" in names
        assert not [n for n in names if "client" in n.lower()]

    def test_a_name_with_underscores_is_the_same_lie(self, hinge, backend):
        h = hinge.server("underscores_in_headers on; trusted_proxies none; location / { proxy_pass http://%%origin%%; }", origin=backend())
        names = [n for n, _ in h.get("/", "X_Forwarded_For: 1.1.1.1", "X_Real_IP: 1.1.1.1", "a_b: c").json()["headers"]]
        assert "a_b" in names and not any("Forwarded" in n or "Real" in n for n in names)

    def test_connection_cannot_hide_a_field_from_us(self, hinge, backend):
        h = hinge.server("trusted_proxies none; location / { return 200 '$http_true_client_ip|$http_x_real_ip'; }")
        assert h.ask(lines("GET / HTTP/1.1", "Host: a", "Connection: close, True-Client-IP", "True-Client-IP: 1.1.1.1", "X-Real-IP: 2")).text == "|"

    def test_rules_decide_without_the_lie(self, hinge):
        h = hinge.server("trusted_proxies none; set $who '<$http_x_forwarded_for>'; location / { return 200 $who; }")
        assert h.get("/", "X-Forwarded-For: 1.1.1.1").text == "<>"

    def test_fields_of_trusted_peers_stay(self, hinge, backend):
        h = hinge.server("trusted_proxies 127.0.0.1; location / { proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr; }",
                         origin=backend())
        seen = dict(h.get("/", "X-Forwarded-For: 9.9.9.9, 192.0.2.1", "X-Forwarded-Proto: https").json()["headers"])
        assert (seen["X-Client"], seen["X-Forwarded-For"], seen["X-Forwarded-Proto"]) == ("192.0.2.1", "9.9.9.9, 192.0.2.1", "https")

    def test_the_shorthand_walks_and_can_be_told_otherwise(self, hinge):
        h = hinge.http("""trusted_proxies 127.0.0.1 10.0.0.0/8;
            server { listen %%port%%; return 200 $remote_addr; }
            server { listen %%port2%%; real_ip_recursive off; return 200 $remote_addr; }
            server { listen %%port3%%; real_ip_header Forwarded; return 200 $remote_addr; }
            server { listen %%port4%%; set_real_ip_from 10.0.0.1; return 200 $remote_addr; }
            server { listen %%port5%%; trusted_proxies none; return 200 $remote_addr; }""")
        def at(port, *fields):
            return h.ask(lines("GET / HTTP/1.1", "Host: a", "Connection: close", *fields), port=port).text
        chain = ["X-Forwarded-For: 192.0.2.1, 10.0.0.2", "Forwarded: for=192.0.2.3, for=10.1.1.1"]
        assert [at(p, *chain) for p in ("port", "port2", "port3", "port4", "port5")] == [
            "192.0.2.1", "10.0.0.2", "192.0.2.3", "127.0.0.1", "127.0.0.1"]

    def test_a_unix_peer(self, hinge):
        h = hinge.http("""server { listen %%port%%; listen unix:%%dir%%/s; set_real_ip_from unix:; return 200 "$remote_addr $realip_remote_addr"; }""")
        from tools.raw import Client
        with Client(f"{h.dir}/s") as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a", "X-Real-IP: 192.0.2.1")).text == "192.0.2.1 unix:"
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "unix: unix:"
        assert h.get("/", "X-Real-IP: 192.0.2.1").text == "127.0.0.1 127.0.0.1"

    def test_each_request_of_a_connection_has_its_own_client(self, hinge):
        h = hinge.server("trusted_proxies 127.0.0.1; location / { return 200 $remote_addr; }")
        with h.connect() as c:
            for who in ("192.0.2.1", "192.0.2.2"):
                assert c.ask(lines("GET / HTTP/1.1", "Host: a", f"X-Forwarded-For: {who}")).text == who
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "127.0.0.1"

    def test_the_logs_name_the_client(self, hinge):
        h = hinge.http("""log_format who "$remote_addr $realip_remote_addr";
                          server { listen %%port%%; access_log %%dir%%/a.log who; set_real_ip_from 127.0.0.1; location / { proxy_pass http://127.0.0.1:1; } }""")
        assert h.get("/", "X-Real-IP: 192.0.2.1").status == 502
        assert h.wait_lines("a.log") == ["192.0.2.1 127.0.0.1"]
        h.wait_log(r"client: 192\.0\.2\.1, server")

    def test_a_peer_that_comes_over_ipv6_as_ipv4(self, hinge):
        try:
            socket.socket(socket.AF_INET6).close()
        except OSError:
            pytest.skip("no IPv6")
        from tools.ports import free_port
        port = free_port()
        h = hinge.http(f"server {{ listen [::]:{port} ipv6only=off; trusted_proxies 127.0.0.1; return 200 $remote_addr; }}")
        h.ports["port"] = port
        assert h.get("/", "X-Forwarded-For: 192.0.2.1").text == "192.0.2.1"

    def test_a_long_list(self, hinge):
        """As long as a head may be, and of trusted addresses only: the walk is linear and has no stack."""
        h = hinge.server("large_client_header_buffers 4 1m; trusted_proxies 127.0.0.1 10.0.0.0/8; location / { return 200 $remote_addr; }")
        assert h.get("/", "X-Forwarded-For: 192.0.2.1" + ", 10.0.0.1" * 90_000).text == "192.0.2.1"
        assert h.get("/", "X-Forwarded-For: " + "\"," * 400_000).text == "127.0.0.1"


class TestLocations:
    """What a location says of its own counts after the rewrite rules, when the server's lines found nobody (nginx)."""

    def test_a_location_trusts_more(self, hinge, backend):
        h = hinge.server("""
            set_real_ip_from 10.0.0.1;
            location / { proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr; }
            location /more { set_real_ip_from 127.0.0.1; proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr; }
            location /same { proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr; }""", origin=backend())
        def sent(target):
            headers = dict(h.get(target, "X-Real-IP: 192.0.2.1").json()["headers"])
            return headers["X-Client"], "X-Real-IP" in headers
        assert sent("/") == sent("/same") == ("127.0.0.1", False)
        assert sent("/more") == ("192.0.2.1", True)

    def test_a_location_trusts_less(self, hinge, backend):
        h = hinge.server("""
            set_real_ip_from 127.0.0.1;
            location /less { set_real_ip_from 10.0.0.1; proxy_pass http://%%origin%%; proxy_set_header X-Client $remote_addr; }""", origin=backend())
        def sent(*fields):
            headers = dict(h.get("/less", *fields).json()["headers"])
            return headers["X-Client"], [n for n in headers if "Forw" in n or "Real" in n]
        assert sent("X-Real-IP: 192.0.2.1") == ("192.0.2.1", ["X-Real-IP"])  # the server's lines were first
        assert sent("X-Forwarded-For: 192.0.2.1") == ("127.0.0.1", [])

    @needs_nginx
    def test_as_nginx_finds_clients_in_locations(self, hinge, backend):
        text = """
            set_real_ip_from 10.0.0.1;
            location / { proxy_pass http://%%origin%%; proxy_set_header X-Client "$remote_addr $proxy_add_x_forwarded_for"; }
            location /more { set_real_ip_from 127.0.0.1; proxy_pass http://%%origin%%; proxy_set_header X-Client "$remote_addr $proxy_add_x_forwarded_for"; }
            location /other { set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For; error_page 404 = @named; location /other/x { internal; } }
            location @named { proxy_pass http://%%origin%%/x; proxy_set_header X-Client "$remote_addr $proxy_add_x_forwarded_for"; }"""
        text = text.replace("@named { proxy_pass http://%%origin%%/x;", "@named { proxy_pass http://%%origin%%;")
        origin = backend()
        ours, nginx = hinge.server(text, origin=origin), hinge.prepare_http("server { listen %%port%%; " + text + "}", origin=origin, binary=NGINX).start()
        for target in ("/", "/more", "/other/x"):
            answers = [dict(h.get(target, "X-Real-IP: 192.0.2.1", "X-Forwarded-For: 192.0.2.9").json()["headers"])["X-Client"] for h in (ours, nginx)]
            if target == "/more":
                assert answers[0] == answers[1] == "192.0.2.1 192.0.2.9, 192.0.2.1"
            assert answers[0].split(" ")[0] == answers[1].split(" ")[0], target


class TestConfiguration:
    @pytest.mark.parametrize("line, message", [
        ("set_real_ip_from 1.2.3;", r"invalid address or network \"1\.2\.3\""),
        ("set_real_ip_from 1.2.3.4/33;", "invalid address or network"),
        ("set_real_ip_from no-such-host.invalid;", "host not found"),
        ("trusted_proxies;", "invalid number of arguments"),
        ("trusted_proxies 10.0.0.1; trusted_proxies none;", "contradicts"),
        ("real_ip_header Host;", "invalid field name"),
        ("real_ip_header Connection;", "invalid field name"),
        ("real_ip_recursive maybe;", "real_ip_recursive"),
    ])
    def test_faults(self, hinge, line, message):
        h = hinge.prepare_http(f"{line} server {{ listen %%port%%; }}")
        assert re.search(message, h.run("-t", check=1).stderr)

    def test_a_host_name_stands_for_its_addresses(self, hinge):
        h = hinge.server("set_real_ip_from localhost; location / { return 200 $remote_addr; }")
        assert h.get("/", "X-Real-IP: 192.0.2.1").text == "192.0.2.1"

    def test_low_bits_are_warned_about(self, hinge):
        h = hinge.prepare_http("set_real_ip_from 10.0.0.1/8; server { listen %%port%%; }")
        assert "low address bits of 10.0.0.1/8 are meaningless" in h.run("-t", check=0).stderr

    WARNING = "no trusted proxies are named here"

    @pytest.mark.parametrize("text, warned", [
        ("server { listen %%port%%; location / { proxy_pass http://127.0.0.1:1; } location /b { proxy_pass http://127.0.0.1:1; } }", 1),
        ("trusted_proxies none; server { listen %%port%%; location / { proxy_pass http://127.0.0.1:1; } }", 0),
        ("server { listen %%port%%; location / { set_real_ip_from unix:; location /a { proxy_pass http://127.0.0.1:1; } } }", 0),
        ("server { listen %%port%%; set_real_ip_from 10.0.0.1; location / { proxy_pass http://127.0.0.1:1; } }"
         "server { listen %%port2%%; location / { return 200; location /a/b { proxy_pass http://127.0.0.1:1; } } }", 1),
        ("server { listen %%port%%; location / { return 200; } }", 0),
    ])
    def test_nobody_named_is_warned_about_once(self, hinge, text, warned):
        h = hinge.prepare_http(text)
        assert h.run("-t", check=0).stderr.count(self.WARNING) == warned
