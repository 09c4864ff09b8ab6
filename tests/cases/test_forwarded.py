"""What backends are told of a request's way: X-Forwarded-*, Forwarded (RFC 7239) and Via, each by one directive; and loops that end."""
import re

import pytest
from tools.ports import free_port
from tools.raw import Client
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

LIES = ["X-Forwarded-For: 192.0.2.9", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example", "X-Forwarded-Port: 443", "X-Real-IP: 192.0.2.9",
        "Forwarded: for=192.0.2.9;proto=https", "Via: 1.1 cdn"]


def asker(hinge, backend, text, outside=""):
    h = hinge.http(outside + "server { listen %%port%%; location / { proxy_pass http://%%origin%%; " + text + " } }", origin=backend())

    def ask(*fields, host="a.example"):
        answer = h.ask(lines("GET / HTTP/1.1", f"Host: {host}", "Connection: close", *fields))
        pairs = answer.json()["headers"]
        names = [n.lower() for n, _ in pairs]
        assert len(set(names)) == len(names) or "Via" in dict(pairs), pairs
        return {n: v for n, v in pairs if re.match("X-|Forwarded|Via", n)}
    ask.server = h
    return ask


class TestXForwarded:
    def test_off_passes_what_came(self, hinge, backend):
        assert asker(hinge, backend, "")(*LIES).items() == {tuple(lie.split(": ", 1)) for lie in LIES}

    def test_add_for_a_first_proxy(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_x_forwarded add;", "trusted_proxies none;")
        mine = {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.example",
                "X-Forwarded-Port": str(ask.server.ports["port"])}
        assert ask() == mine
        assert ask(*LIES) == {**mine, "Via": "1.1 cdn"}
        assert ask(host="a.example:81")["X-Forwarded-Host"] == "a.example:81"

    def test_add_behind_a_trusted_proxy(self, hinge, backend):
        """The list goes on with who is connected; scheme, host and port of the outer side stay."""
        ask = asker(hinge, backend, "proxy_x_forwarded add; proxy_set_header X-Client $remote_addr;", "trusted_proxies 127.0.0.1;")
        assert ask(*LIES[:4]) == {"X-Client": "192.0.2.9", "X-Forwarded-For": "192.0.2.9, 127.0.0.1", "X-Forwarded-Proto": "https",
                                  "X-Forwarded-Host": "shop.example", "X-Forwarded-Port": "443"}
        assert ask("X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2")["X-Forwarded-For"] == "1.1.1.1, 2.2.2.2, 127.0.0.1"

    def test_add_while_nobody_is_named(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_x_forwarded add;")
        got = ask(*LIES[:4])
        assert (got["X-Forwarded-For"], got["X-Forwarded-Proto"], got["X-Forwarded-Host"]) == ("192.0.2.9, 127.0.0.1", "http", "a.example")

    def test_replace(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_x_forwarded replace;", "trusted_proxies 127.0.0.1;")
        assert ask(*LIES, "X-Forwarded-Server: x", "X-Client-IP: 1.1.1.1") == {
            "X-Forwarded-For": "192.0.2.9", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "a.example",
            "X-Forwarded-Port": str(ask.server.ports["port"]), "Via": "1.1 cdn", "Forwarded": "for=192.0.2.9;proto=https"}

    def test_remove(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_x_forwarded remove; proxy_forwarded remove;")
        assert ask(*LIES) == {"Via": "1.1 cdn"}

    def test_what_the_file_sets_is_left_to_it(self, hinge, backend):
        ask = asker(hinge, backend, 'proxy_x_forwarded add; proxy_set_header X-Forwarded-Proto own; proxy_set_header X-Forwarded-Port "";'
                                    'proxy_forwarded add; proxy_set_header Forwarded "for=_x";')
        got = ask(*LIES)
        assert got["X-Forwarded-Proto"] == "own" and "X-Forwarded-Port" not in got and got["Forwarded"] == "for=_x"

    def test_an_http_1_0_request_without_a_host(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_x_forwarded replace; proxy_forwarded replace; proxy_via me;")
        got = dict(ask.server.ask(lines("GET / HTTP/1.0")).json()["headers"])
        assert "X-Forwarded-Host" not in got and got["Forwarded"] == "for=127.0.0.1;proto=http" and got["Via"] == "1.0 me"

    def test_levels(self, hinge, backend):
        h = hinge.http("""proxy_x_forwarded add; proxy_forwarded add by=_outer;
            server { listen %%port%%; location / { proxy_pass http://%%origin%%; }
                     location /off { proxy_x_forwarded off; proxy_pass http://%%origin%%; }
                     location /in { proxy_forwarded replace; proxy_pass http://%%origin%%; } }""", origin=backend())
        names = {t: dict(h.get(t).json()["headers"]) for t in ("/", "/off", "/in")}
        assert "X-Forwarded-For" in names["/"] and "X-Forwarded-For" not in names["/off"] and "X-Forwarded-For" in names["/in"]
        assert names["/"]["Forwarded"].endswith(";by=_outer") and "by=" not in names["/in"]["Forwarded"]


class TestForwarded:
    def test_add(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_forwarded add;", "trusted_proxies 127.0.0.1; real_ip_header Forwarded;")
        assert ask()["Forwarded"] == "for=127.0.0.1;host=a.example;proto=http"
        assert ask('Forwarded: for="[2001:db8::1]"', "Forwarded: for=192.0.2.1")["Forwarded"] == (
            'for="[2001:db8::1]", for=192.0.2.1, for=127.0.0.1;host=a.example;proto=http')

    def test_replace_names_the_client(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_forwarded replace by=_hinge; proxy_set_header X-Client $remote_addr;",
                    "trusted_proxies 127.0.0.1; real_ip_header Forwarded;")
        assert ask('Forwarded: for=9.9.9.9, for="[2001:db8::1]:99"', host="a:81") == {
            "X-Client": "2001:db8::1", "Forwarded": 'for="[2001:db8::1]";host="a:81";proto=http;by=_hinge'}

    def test_strangers(self, hinge, backend):
        ask = asker(hinge, backend, "proxy_forwarded add;", "trusted_proxies none;")
        assert ask(*LIES) == {"Forwarded": "for=127.0.0.1;host=a.example;proto=http", "Via": "1.1 cdn"}

    def test_by_an_address(self, hinge, backend):
        assert asker(hinge, backend, "proxy_forwarded add by=2001:db8::2;")()["Forwarded"].endswith('by="[2001:db8::2]"')

    def test_a_unix_client_has_no_address(self, hinge, backend):
        h = hinge.http("server { listen %%port%%; listen unix:%%dir%%/s; location / { proxy_pass http://%%origin%%; proxy_forwarded add; } }",
                       origin=backend())
        with Client(f"{h.dir}/s") as c:
            assert dict(c.ask(lines("GET / HTTP/1.1", "Host: a")).json()["headers"])["Forwarded"] == "for=unknown;host=a;proto=http"

    @pytest.mark.parametrize("line, message", [
        ("proxy_forwarded on;", 'invalid value "on"'), ("proxy_forwarded add by=me;", "by=_NAME"), ("proxy_forwarded add by=_;", "by=_NAME"),
        ("proxy_forwarded remove by=_me;", '"by" needs'), ("proxy_forwarded add who=_x;", "by=_NAME"), ("proxy_x_forwarded on;", "proxy_x_forwarded"),
        ('proxy_via "a b";', "invalid name"),
    ])
    def test_faults(self, hinge, line, message):
        assert message in hinge.prepare_http(f"{line} server {{ listen %%port%%; }}").run("-t", check=1).stderr


class TestVia:
    def test_both_ways(self, hinge, backend):
        h = hinge.proxy(backend(), "proxy_via edge;")
        answer = h.get("/", "Via: 1.0 first, 1.1 second (a, comment)")
        assert [v for n, v in answer.json()["headers"] if n == "Via"] == ["1.0 first, 1.1 second (a, comment)", "1.1 edge"]
        assert answer["Via"] == "1.1 edge"

    def test_off_unless_asked_for(self, hinge, backend):
        answer = hinge.proxy(backend()).get()
        assert "Via" not in answer and "Via" not in dict(answer.json()["headers"])

    def test_a_name_of_its_own(self, hinge, backend):
        names = [hinge.proxy(backend(), "proxy_via on;").get()["Via"] for _ in range(2)]
        assert names[0] != names[1] and all(re.fullmatch(r"1\.1 hinge-[0-9a-f]{8}", n) for n in names)

    @pytest.mark.parametrize("via, status", [
        ("1.1 edge", 508), ("1.0 a, 1.1 EDGE", 508), ("1.1 edge (comment)", 508), ("HTTP/1.1 edge", 508), ("1.1 a (1.1 edge)", 200),
        ("1.1 edges", 200), ("1.1 a (x, 1.1 edge, y)", 200), ("edge", 200), (", ".join(["1.1 a"] * 16), 200), (", ".join(["1.1 a"] * 17), 508),
        ("(" * 5000, 200), ("1.1 a (\\), 1.1 edge", 200),
    ])
    def test_what_counts_as_a_loop(self, hinge, backend, via, status):
        h = hinge.proxy(backend(), "proxy_via edge;")
        assert h.get("/", f"Via: {via}").status == status
        if status == 508:
            h.wait_log(r"\[error\].*loop: by its Via")

    def test_two_proxies_that_point_at_each_other(self, hinge):
        """Row O3: the ping-pong ends at once, and by the first loop."""
        one, two = free_port(), free_port()
        for port, other in ((one, two), (two, one)):
            h = hinge.http(f"""log_format n '$status'; server {{ listen 127.0.0.1:{port}; access_log %%dir%%/a.log n;
                               location / {{ proxy_pass http://127.0.0.1:{other}; proxy_via on; }} }}""")
        h.ports["port"] = one
        assert h.get().status == 508
        assert len(h.wait_lines("a.log")) == 1

    def test_a_proxy_that_points_at_itself(self, hinge):
        port = free_port()
        h = hinge.http(f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{port}; proxy_via on; }} }}")
        h.ports["port"] = port
        assert h.get().status == 508

    def test_the_configuration_cannot_take_it_away(self, hinge, backend):
        h = hinge.proxy(backend(), 'proxy_via edge; proxy_set_header Via ""; proxy_hide_header Via;')
        answer = h.get("/", "Via: 1.1 a")
        assert dict(answer.json()["headers"])["Via"] == "1.1 edge" and answer["Via"] == "1.1 edge"
