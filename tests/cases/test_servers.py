"""Which server answers: by listen address first, then by name."""
import os
import re
import socket

import pytest
from tools.ports import free_port
from tools.raw import Client
from tools.wire import lines

pytestmark = pytest.mark.shared_servers


def ask(h, host, port="port"):
    return h.get("/", host=host, port=port).text


NAMES = """
    server { listen %%port%%; server_name first; return 200 "first"; }
    server { listen %%port%% default_server; server_name _; return 200 "default"; }
    server { listen %%port%%; server_name exact.example www.exact.example; return 200 "exact"; }
    server { listen %%port%%; server_name *.example; return 200 "*.example"; }
    server { listen %%port%%; server_name *.long.example; return 200 "*.long.example"; }
    server { listen %%port%%; server_name .dot.example; return 200 ".dot.example"; }
    server { listen %%port%%; server_name mail.*; return 200 "mail.*"; }
    server { listen %%port%%; server_name mail.long.*; return 200 "mail.long.*"; }
    server { listen %%port%%; server_name ~^re[0-9]+\\.test$; return 200 "regex 1"; }
    server { listen %%port%%; server_name ~^re; return 200 "regex 2"; }
    server { listen %%port%%; server_name ~^(?<sub>\\w+)\\.(.+)\\.captured$; return 200 "$sub+$2"; }
"""


@pytest.mark.parametrize("host, served", [
    ("first", "first"), ("nobody", "default"), ("exact.example", "exact"), ("WWW.Exact.Example", "exact"), ("exact.example.", "exact"),
    ("exact.example:8080", "exact"), ("a.example", "*.example"), ("a.b.example", "*.example"), ("a.long.example", "*.long.example"),
    ("example", "default"), ("dot.example", ".dot.example"), ("a.b.dot.example", ".dot.example"), ("mail.org", "mail.*"),
    ("mail.long.org", "mail.long.*"), ("mail.example", "*.example"), ("re12.test", "regex 1"), ("RE12.test", "regex 1"),
    ("rex.test", "regex 2"), ("www.big.site.captured", "www+big.site"), ("127.0.0.1", "default"), ("[::1]", "default"),
])
def test_a_name_finds_its_server_by_nginx_precedence(hinge, host, served):
    assert ask(hinge.http(NAMES), host) == served


def test_without_default_server_the_first_one_is_it(hinge):
    h = hinge.http("""
        server { listen %%port%%; server_name a; return 200 a; }
        server { listen %%port%%; server_name b; return 200 b; }""")
    assert [ask(h, x) for x in ("a", "b", "c")] == ["a", "b", "a"]


def test_names_belong_to_their_address(hinge):
    h = hinge.http("""
        server { listen %%port%%; server_name a; return 200 one; }
        server { listen %%port2%%; server_name a; return 200 two; }
        server { listen %%port2%%; server_name b; return 200 three; }""")
    assert [ask(h, "a"), ask(h, "a", "port2"), ask(h, "b"), ask(h, "b", "port2")] == ["one", "two", "one", "three"]


def test_the_exact_address_goes_before_the_wildcard(hinge):
    port = free_port()
    h = hinge.http("""
        server { listen *:%%number%%; return 200 any; }
        server { listen 127.0.0.2:%%number%%; return 200 two; }""", number=port)
    h.ports["port"] = port
    assert ask(h, "a") == "any"
    with Client(("127.0.0.2", port)) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "two"


def test_one_server_may_listen_on_several_addresses(hinge):
    h = hinge.server("listen %%port2%%; return 200 $server_port;")
    assert [ask(h, "a"), ask(h, "a", "port2")] == [str(h.ports["port"]), str(h.ports["port2"])]


def test_the_absolute_form_chooses_the_server(hinge):
    h = hinge.http("""
        server { listen %%port%%; server_name a; return 200 a; }
        server { listen %%port%%; server_name b; return 200 b; }""")
    assert h.ask(lines("GET http://b/ HTTP/1.1", "Host: a")).text == "b"


def test_an_empty_name_serves_requests_without_host(hinge):
    h = hinge.http("""
        server { listen %%port%%; server_name a; return 200 a; }
        server { listen %%port%%; server_name ""; return 200 none; }""")
    assert h.ask(lines("GET / HTTP/1.0")).text == "none"


def test_ipv6_listens(hinge):
    port = free_port()
    h = hinge.http("server { listen [::1]:%%number%%; return 200 $server_addr; }", number=port)
    with Client(("::1", port)) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "::1"
    assert h.log.count("[emerg]") == 0


def test_a_unix_socket_listens(hinge):
    h = hinge.http("server { listen unix:%%dir%%/front.sock; return 200 $server_addr; }")
    with Client(str(h.dir / "front.sock")) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == f"unix:{h.dir}/front.sock"


def test_a_unix_socket_of_a_dead_server_is_no_obstacle(hinge):
    h = hinge.prepare_http("server { listen unix:%%dir%%/front.sock; return 200 $remote_addr; }")
    h.start().terminate().wait()
    assert not os.path.exists(h.dir / "front.sock")
    (h.dir / "hinge.pid").unlink(missing_ok=True)
    h.start()
    with Client(str(h.dir / "front.sock")) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "unix:"


def test_listen_options_are_accepted_and_work(hinge):
    port = free_port()
    h = hinge.http("server { listen 127.0.0.1:%%number%% default_server backlog=64 reuseport so_keepalive=30s:10s:3; return 200 ok; }",
                   number=port, workers=2)
    h.ports["port"] = port
    for _ in range(10):
        assert ask(h, "a") == "ok"


def test_a_port_alone_is_every_address(hinge):
    port = free_port()
    hinge.http("server { listen %%number%%; return 200 ok; }", number=port)
    for address in ("127.0.0.1", "127.0.0.3"):
        with Client((address, port)) as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "ok"


def test_a_port_in_use_is_a_clear_error(hinge):
    taken = socket.create_server(("127.0.0.1", free_port()))
    h = hinge.prepare_http("server { listen 127.0.0.1:%%number%%; return 200 ok; }", number=taken.getsockname()[1])
    done = h.run()
    taken.close()
    assert done.returncode == 1
    assert re.search(r"\[emerg\] .*bind\(\) to 127\.0\.0\.1:\d+ failed \(98: Address already in use\)", done.stderr + h.log)


def test_many_names_are_no_problem(hinge):
    h = hinge.http("server_names_hash_max_size 8192; server_names_hash_bucket_size 128;" + "".join(
        f"server {{ listen %%port%%; server_name name{i}.example; return 200 {i}; }}\n" for i in range(1000)))
    for i in (0, 499, 999):
        assert ask(h, f"name{i}.example") == str(i)
