"""geo: every rule beside Debian's nginx, which answers the same requests with the same file."""
import os
import random
import re
import subprocess

import pytest
from tools.compare import NGINX, needs_nginx, refused_like_nginx, same_as_nginx
from tools.raw import Client
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

SERVER = "server { listen %%port%%; location / { return 200 '[$v]'; } }"


def same(hinge, block, addresses, **more):
    """The values of geo $arg_ip for these addresses."""
    requests = [f"/?ip={a}" for a in addresses]
    return [body[1:-1] for _, _, body in same_as_nginx(hinge, block + SERVER, requests, http=True, **more)]


def warnings(hinge, text):
    """What both say of a file that they take."""
    told = []
    for binary in ({}, {"binary": NGINX}):
        done = hinge.prepare_http(text + SERVER, **binary).run("-t", check=0)
        told.append([m[1] for m in re.finditer(r"\[warn\] (?:\d+#\d+: )?(.*?) in \S+:\d+", done.stderr)])
    return told


@needs_nginx
class TestLikeNginx:
    def test_the_longest_network_counts(self, hinge):
        got = same(hinge, """geo $arg_ip $v { default d; 10.0.0.0/8 ten; 10.1.0.0/16 ten-one; 10.1.2.3 exact; 10.1.2.0/24 small; 0.0.0.0/1 low;
                             2001:db8::/32 doc; 2001:db8::1 doc1; ::1 loop; }""",
                   ["10.0.0.1", "10.1.0.1", "10.1.2.3", "10.1.2.4", "1.2.3.4", "200.1.1.1", "2001:db8::1", "2001:db8::2", "::1", "::2",
                    "::ffff:10.1.2.3", "::ffff:1.2.3.4"])
        assert got == ["ten", "ten-one", "exact", "small", "low", "d", "doc1", "doc", "loop", "d", "exact", "low"]

    def test_without_default_the_value_is_empty(self, hinge):
        assert same(hinge, "geo $arg_ip $v { 10.0.0.0/8 ten; }", ["10.1.1.1", "11.1.1.1", "::1"]) == ["ten", "", ""]

    def test_default_is_for_both_families(self, hinge):
        assert same(hinge, "geo $arg_ip $v { default d; 255.255.255.255 none; }", ["9.9.9.9", "2001::1", "rubbish", ""]) == ["d", "d", "none", "none"]

    def test_what_is_no_address(self, hinge):
        same(hinge, "geo $arg_ip $v { 255.255.255.255 last; 0.0.0.0/0 v4; ::/0 v6; }",
             ["", "x", "1.2.3", "1.2.3.4.5", "1.2.3.4:80", "[::1]", "::1", "256.1.1.1", "1.2.3.4%20", "unix:", "localhost", "::1%25lo"])

    def test_the_default_may_be_a_network(self, hinge):
        assert same(hinge, "geo $arg_ip $v { 0.0.0.0/0 four; ::/0 six; }", ["1.1.1.1", "::5"]) == ["four", "six"]

    def test_delete(self, hinge):
        got = same(hinge, "geo $arg_ip $v { default d; 10.0.0.0/8 ten; 10.1.0.0/16 one; delete 10.1.0.0/16; 2001:db8::/32 doc; delete 2001:db8::/32; }",
                   ["10.1.1.1", "2001:db8::1"])
        assert got == ["ten", "d"]

    def test_a_later_line_replaces_an_equal_one(self, hinge):
        assert same(hinge, "geo $arg_ip $v { 10.0.0.0/8 a; 10.0.0.0/8 b; default x; default y; }", ["10.1.1.1", "11.1.1.1"]) == ["b", "y"]

    def test_include(self, hinge):
        def files(where):
            (where / "nets.geo").write_text("# nets\n10.0.0.0/8 ten; 11.0.0.0/8 eleven;\n")
            (where / "more-1.geo").write_text("12.0.0.0/8 twelve;")

        assert same(hinge, "geo $arg_ip $v { include nets.geo; include more-1.geo; delete 11.0.0.0/8; }", ["10.1.1.1", "11.1.1.1", "12.1.1.1"],
                    setup=files) == ["ten", "", "twelve"]

    def test_ranges(self, hinge):
        got = same(hinge, """geo $arg_ip $v { ranges; default d; 10.0.0.0-10.0.0.255 a; 10.0.0.16-10.0.0.31 b; 10.1.0.0-10.3.255.255 wide; 10.2.0.0-10.2.255.255 block;
                             127.0.0.1-127.0.0.1 one; 10.0.0.0-10.0.0.1 first; 10.0.0.254-10.0.0.255 last;
                             20.0.0.0-20.0.0.255 gone; delete 20.0.0.0-20.0.0.255; 255.255.255.0-255.255.255.254 high; }""",
                   ["10.0.0.0", "10.0.0.2", "10.0.0.16", "10.0.0.31", "10.0.0.32", "10.0.0.254", "10.0.1.0", "10.1.0.0", "10.2.5.5", "10.3.255.255", "10.4.0.0",
                    "127.0.0.1", "127.0.0.2", "20.0.0.1", "255.255.255.254", "255.255.255.255", "rubbish", "::1", "::ffff:10.0.0.16"])
        assert got[:7] == ["first", "a", "b", "b", "a", "last", "d"]

    def test_ranges_across_blocks(self, hinge):
        same(hinge, "geo $arg_ip $v { ranges; 10.0.0.0-10.9.255.255 all; 10.1.128.0-10.3.127.255 part; 10.0.0.0-10.0.255.255 zero; 10.2.0.0-10.2.255.255 two; }",
             [f"10.{i}.{k}.5" for i in range(11) for k in (0, 127, 128, 255)])

    def test_random_networks(self, hinge):
        rng = random.Random(4)
        nets, asked = {}, []
        for i in range(400):
            bits = rng.choice((4, 8, 9, 12, 16, 17, 20, 24, 25, 28, 31, 32))
            number = rng.getrandbits(4) << 28 | rng.getrandbits(3) << 21 | rng.getrandbits(3) << 14 | rng.getrandbits(8)
            nets[f"{dotted(number >> (32 - bits) << (32 - bits))}/{bits}"] = f"n{i}"
            asked.append(dotted(number))
            asked.append(dotted(number ^ 1 << rng.randrange(32)))
        same(hinge, "geo $arg_ip $v { default d; " + " ".join(f"{n} {v};" for n, v in nets.items()) + " }", asked[:300])

    def test_random_ranges(self, hinge):
        rng = random.Random(5)
        at, rows, asked = 0x0a000000, [], []
        for i in range(200):
            at += rng.choice((1, 5, 300, 70000))
            last = at + rng.choice((0, 1, 255, 65535, 200000))
            rows.append(f"{dotted(at)}-{dotted(last)} r{i};")
            asked += [dotted(at), dotted(last), dotted(last + 1)]
            if last - at > 10:
                rows.append(f"{dotted(at + 3)}-{dotted(at + 5)} inner{i};")
                asked += [dotted(at + 2), dotted(at + 4), dotted(at + 6)]
            at = last + 1
        same(hinge, "geo $arg_ip $v { ranges; " + " ".join(rows) + " }", rng.sample(asked, 300))

    def test_behind_proxies(self, hinge):
        text = """geo $v { default d; proxy 127.0.0.0/8; proxy 10.0.0.0/8; proxy 2001:db8::/32; 192.0.2.0/24 doc; 10.0.0.0/8 ten; 127.0.0.1 local; }
                  geo $w { proxy_recursive; default d; proxy 127.0.0.0/8; proxy 10.0.0.0/8; proxy 2001:db8::/32; 192.0.2.0/24 doc; 10.0.0.0/8 ten; 127.0.0.1 local; 2001:db8::/32 six; }
                  geo $u { default d; proxy 192.0.2.0/24; 127.0.0.1 local; }
                  geo $arg_ip $s { ranges; proxy 198.51.100.0/24; default d; 192.0.2.0-192.0.2.9 doc; 198.51.100.0-198.51.100.255 proxy; }
                  server { listen %%port%%; location / { return 200 '[$v] [$w] [$u] [$s]'; } }"""
        forwarded = [[], ["192.0.2.1"], ["192.0.2.1, 10.0.0.1"], ["192.0.2.1", "10.0.0.1"], ["10.0.0.9, 10.0.0.1"], ["rubbish"], ["rubbish, 10.0.0.1"], [""],
                     ["192.0.2.1:8080"], ["[2001:db8::5]:80"], ["192.0.2.1, 2001:db8::5"], ["192.0.2.1 10.0.0.1"], ["192.0.2.1,"], ["9.9.9.9, 192.0.2.1"]]
        requests = [lines(f"GET /?ip={ip} HTTP/1.1", "Host: a", "Connection: close", *(f"X-Forwarded-For: {f}" for f in fields))
                    for fields in forwarded for ip in ("198.51.100.1", "9.9.9.9")]
        same_as_nginx(hinge, text, requests, http=True)

    def test_the_clients_address(self, hinge):
        got = same_as_nginx(hinge, "geo $v { default d; 127.0.0.1 local; } geo $remote_addr $w { 127.0.0.1 local; }"
                            "server { listen %%port%%; location / { return 200 '[$v] [$w]'; } }", ["/"], http=True)
        assert got[0][2] == "[local] [local]"

    def test_a_client_on_a_unix_socket(self, hinge):
        for binary in ({}, {"binary": NGINX}):
            h = hinge.http("geo $v { default d; 255.255.255.255 unix; } geo $w { ranges; default d; }"
                           "server { listen unix:%%dir%%/s; return 200 '[$v] [$w]'; }", **binary)
            with Client(os.path.join(h.dir, "s")) as c:
                assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "[unix] [d]"

    def test_kept_over_a_redirect(self, hinge):
        text = """geo $arg_ip $v { 10.0.0.0/8 ten; default d; }
                  server { listen %%port%%; error_page 404 /page?ip=11.1.1.1; location / { set $x $v; return 404; } location = /page { return 200 "$x $v"; } }"""
        assert same_as_nginx(hinge, text, ["/?ip=10.1.1.1"], http=True)[0][2] == "ten ten"

    @pytest.mark.parametrize("text", [
        "geo $host $v { 10.0.0.0/8 a; 10.0.0.0/8 b; }",
        "geo $v { 10.0.0.1/8 a; proxy 10.0.0.1/8; 2001:db8::1/32 b; }",
        "geo $v { delete 10.0.0.0/8; delete 2001:db8::/32; }",
        "geo $v { ranges; default a; default b; }",
        "geo $v { ranges; 10.0.0.0-10.0.0.5 a; 10.0.0.0-10.0.0.5 b; delete 11.0.0.0-11.0.0.1; delete 10.0.0.0-10.0.0.4; }",
    ])
    def test_warnings(self, hinge, text):
        ours, theirs = warnings(hinge, text)
        assert ours == theirs and ours

    @pytest.mark.parametrize("text, message", [
        ("geo v { }", 'invalid variable name "v"'),
        ("geo host $v { }", 'invalid variable name "host"'),
        ("geo $v { 10.0.0.0/8; }", "invalid number of the geo parameters"),
        ("geo $v { 10.0.0.0/8 a b; }", "invalid number of the geo parameters"),
        ("geo $v { hostnames; }", "invalid number of the geo parameters"),
        ("geo $v { 10.0.0.0/33 a; }", 'invalid network "10.0.0.0/33"'),
        ("geo $v { 10.0.0/8 a; }", 'invalid network "10.0.0/8"'),
        ("geo $v { example.com a; }", 'invalid network "example.com"'),
        ("geo $v { ::/129 a; }", 'invalid network "::/129"'),
        ("geo $v { proxy x; }", 'invalid network "x"'),
        ("geo $v { delete x; }", 'invalid network "x"'),
        ("geo $v { 10.0.0.0/8 a; ranges; }", 'the "ranges" directive must be the first directive inside "geo" block'),
        ("geo $v { default a; ranges; }", 'the "ranges" directive must be the first directive inside "geo" block'),
        ("geo $v { ranges; 10.0.0.0/8 a; }", 'invalid range "10.0.0.0/8"'),
        ("geo $v { ranges; 10.0.0.5-10.0.0.1 a; }", 'invalid range "10.0.0.5-10.0.0.1"'),
        ("geo $v { ranges; ::1-::2 a; }", 'invalid range "::1-::2"'),
        ("geo $v { ranges; 10.0.0.0-10.0.0.9 a; 10.0.0.5-10.0.0.15 b; }", 'range "10.0.0.5-10.0.0.15" overlaps "10.0.0.0-10.0.0.9"'),
        ("geo $v { ranges; 10.0.0.5-10.0.0.9 a; 10.0.0.0-10.0.0.15 b; }", 'range "10.0.0.0-10.0.0.15" overlaps "10.0.0.5-10.0.0.9"'),
        ("geo $host { }", 'the duplicate "host" variable'),
    ])
    def test_refusals(self, hinge, text, message):
        assert refused_like_nginx(hinge, text + SERVER.replace("$v", "x"), http=True) == message


def dotted(number):
    return ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))


def test_volatile(hinge):
    """nginx knows it since 1.29.3; the one beside us is older."""
    h = hinge.http("""geo $arg_ip $v { volatile; 10.0.0.0/8 ten; default d; }
        server { listen %%port%%; location / { set $x $v; set $args ip=11.1.1.1; return 200 "$x $v"; } }""")
    assert h.get("/?ip=10.1.1.1").text == "ten d"


def test_many_networks(hinge):
    h = hinge.prepare_http("geo $arg_ip $v { include nets.geo; }" + SERVER)
    nets = {f"{10 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24": i for i in range(30_000)}
    (h.dir / "nets.geo").write_text("".join(f"{net} v{i};\n" for net, i in nets.items()))
    h.start()
    with h.connect() as c:
        for net, i in list(nets.items())[::4999]:
            ip = net.replace(".0/24", ".77")
            assert c.ask(lines(f"GET /?ip={ip} HTTP/1.1", "Host: a")).text == f"[v{i}]"


def test_the_real_client_behind_a_trusted_proxy(hinge):
    h = hinge.http("""trusted_proxies 127.0.0.1; geo $v { 192.0.2.0/24 doc; 127.0.0.1 local; }
        server { listen %%port%%; return 200 $v; }""")
    assert h.get("/", "X-Forwarded-For: 192.0.2.7").text == "doc"
    assert h.get("/").text == "local"


def test_explain_names_the_line(hinge):
    h = hinge.prepare_http("geo $v {\n default d;\n 192.0.2.0/24 doc;\n}\n" + SERVER)
    told = h.explain("--from", "192.0.2.7", f"http://127.0.0.1:{h.ports['port']}/", check=0).stdout
    assert re.search(r"geo: 192\.0\.2\.0/24\s+at .*nginx\.conf:\d+: 192", told), told


def test_the_tester_needs_no_server(hinge):
    """A block of its own is read even when nobody asks for its variable."""
    h = hinge.prepare_http("geo $unused { rubbish x; }")
    done = subprocess.run(h.command("-t"), capture_output=True, text=True)
    assert done.returncode == 1 and 'invalid network "rubbish"' in done.stderr
