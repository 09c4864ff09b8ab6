"""hinge explain: what a request would meet is told from the very code that serves it, and nothing is sent."""
import re

import pytest

SITE = """
events { }
http {
    upstream app { server %%origin%% weight=2; server 127.0.0.1:9 backup; }
    add_header X-Served-By edge;
    server {
        listen %%port%%;
        server_name a.example ~^(?<sub>\\w+)\\.b\\.example$;
        set $greeting "hello $arg_q";
        location / { return 200 "$sub: $greeting"; }
        location /api/ {
            proxy_pass http://app/v1/;
            proxy_set_header X-Real-IP $remote_addr;
            add_header X-Tag $sent_http_etag;
        }
        location ~ ^/u/(\\d+)$ { proxy_pass http://app; }
        location /gone { return 404; error_page 404 /sorry; }
        location = /sorry { internal; return 200 sorry; }
        location /cut { return 444; }
    }
    server { listen %%port%%; server_name other; return 301 https://other$request_uri; }
}
"""


@pytest.fixture
def site(hinge, backend):
    origin = backend()
    h = hinge.prepare(SITE, origin=origin)

    def explain(*args, check=0):
        done = h.explain(*args, check=check)
        assert not origin.received, "nothing may be sent"
        return done
    explain.port, explain.dir, explain.origin = h.ports["port"], h.dir, origin
    return explain


def places(text):
    return [int(n) for n in re.findall(r"at \S+/nginx\.conf:(\d+): ", text)]


def test_a_proxied_request(site):
    out = site("--from", "192.0.2.7", "-H", "X-Own: 1", f"http://a.example:{site.port}/api/x?q=1").stdout
    assert f"GET /api/x?q=1 HTTP/1.1" in out and f"Host: a.example:{site.port}" in out and "X-Own: 1" in out
    assert re.search(rf"from +192\.0\.2\.7\nlistener +127\.0\.0\.1:{site.port}\n", out)
    assert 'server     "a.example" for host "a.example" (the default of this address)' in out
    assert 'location   "/api/" for "/api/x"' in out
    assert 'passes to  upstream "app", balanced by round robin' in out
    assert f"server {site.origin}, weight 2" in out and "backup 127.0.0.1:9, weight 1" in out
    assert re.search(r"sends +GET /v1/x\?q=1 HTTP/1\.\d\n +Host: app\n", out) and "X-Real-IP: 192.0.2.7" in out
    assert "$sent_http_etag is known only when the answer is there" in out
    assert 'proxy_set_header X-Real-IP: 192.0.2.7\n' in out
    assert places(out) == [7, 6, 9, 11, 12, 4, 13]


def test_source_lines_are_shown(site):
    out = site(f"http://a.example:{site.port}/").stdout
    assert f"nginx.conf:7: listen 127.0.0.1:{site.port};" in out


def test_an_answer_of_our_own(site):
    out = site(f"http://foo.b.example:{site.port}/?q=you").stdout
    assert 'for host "foo.b.example"' in out and '$arg_q = "you"' in out
    assert re.search(r"answers +200 OK\n(.*\n)*.*X-Served-By: edge\nbody +foo: hello you\n", out)


def test_captures_of_a_location(site):
    out = site(f"http://a.example:{site.port}/u/12").stdout
    assert '$1 = "12"' in out and "sends      GET /u/12" in out


def test_passes(site):
    out = site(f"http://a.example:{site.port}/gone").stdout
    assert re.search(r'location +"/gone"(.*\n)*pass +2, for "/sorry"\n(.*\n)*location +"/sorry"(.*\n)*answers +404(.*\n)*body +sorry', out)


def test_what_clients_cannot_reach(site):
    assert "it is internal: clients cannot reach it" in site(f"http://a.example:{site.port}/sorry").stdout


def test_a_closed_connection(site):
    assert "nothing: the connection is closed" in site(f"http://a.example:{site.port}/cut").stdout


def test_another_server_by_host_field(site):
    out = site("-H", "Host: other", f"http://a.example:{site.port}/x").stdout
    assert 'server     "other" for host "other"' in out and "Location: https://other/x" in out


@pytest.mark.parametrize("method, answer", [("POST", "sends      POST"), ("TRACE", "answers    405")])
def test_methods(site, method, answer):
    assert answer in site(method, f"http://a.example:{site.port}/api/").stdout


BODIES = {
    "Content-Length: 1000": r"body +waits in memory until it is whole: 1000 bytes\n",
    "Content-Length: 1025": r'body +waits in a file in "\S+/body" until it is whole: 1025 bytes are more than client_body_buffer_size\n',
    "Transfer-Encoding: chunked": r'body +waits until it is whole, in a file in "\S+/body" when it has more than 1024 bytes\n',
}


class TestBodies:
    @pytest.fixture
    def ask(self, hinge):
        h = hinge.prepare_http("""client_body_temp_path %%dir%%/body; client_body_buffer_size 1k; client_max_body_size 4k;
            server { listen %%port%%; location / { proxy_pass http://127.0.0.1:9; } location /now { proxy_request_buffering off; proxy_pass http://127.0.0.1:9; } }""")
        return lambda path, field: h.explain("POST", f"http://a:{h.ports['port']}{path}", "-H", field, check=0).stdout

    @pytest.mark.parametrize("field, text", BODIES.items(), ids=BODIES)
    def test_where_one_waits(self, ask, field, text):
        assert re.search(text, ask("/", field))
        assert re.search(r"body +is passed on as it comes\n", ask("/now", field))

    def test_none(self, ask):
        out = ask("/", "Content-Length: 0")
        assert "sends      POST" in out and "body " not in out

    def test_one_that_is_too_large(self, ask):
        out = ask("/", "Content-Length: 5000")
        assert "client intended to send too large body: 5000 bytes" in out and "answers    413 " in out and "waits" not in out


def test_what_the_codec_refuses(site):
    assert "answers    400 before anything is looked up: invalid path" in site("/%zz").stdout
    assert "answers    400 before" in site("-H", "Host: a", "-H", "Host: b", "/").stdout


def test_control_bytes_reach_no_terminal(site):
    out = site("/?q=%1b[31m\x1b").stdout
    assert "\x1b" not in out


@pytest.mark.parametrize("args, text", [
    (["http://a.example:1/"], "no server listens on port 1"),
    (["--listen", "127.0.0.1:1", "/"], "no server listens on 127.0.0.1:1"),
    (["ftp://a/"], "neither http://HOST/PATH nor /PATH"),
    (["http://a:x/"], "no port number in"),
    (["--from", "nonsense", "/"], 'no address: "nonsense"'),
    (["--wrong", "/"], 'invalid option "--wrong"'),
    (["GET", "/", "/"], "one word too many"),
    ([], "no URL after"),
    (["--from"], "no value for option"),
])
def test_wrong_words(site, args, text):
    assert text in site(*args, check=1).stderr


def test_an_address_that_is_not_there_is_told_with_those_that_are(hinge):
    h = hinge.prepare_http("server { listen %%port%%; listen %%port2%%; return 200 x; }")
    here = {f"127.0.0.1:{h.ports[name]}" for name in ("port", "port2")}
    for args in (["http://a:2/"], ["--listen", "0.0.0.0:80", "/"]):
        why, there = h.explain(*args, check=1).stderr.splitlines()[-1].split("; it listens on ")
        assert why.startswith("hinge: explain: no server listens on ") and set(there.split(", ")) == here


def test_a_file_that_is_not_there_is_looked_for(hinge):
    h = hinge.prepare_http("server { listen %%port%%; root %%dir%%; location / { try_files $uri =404; } }")
    out = h.explain("/none", check=0).stdout
    assert f'"/none" is looked for at "{h.dir}/none"' in out and "try_files: nothing is there, 404" in out


def test_help(site):
    assert "Usage: hinge explain" in site("--help").stderr


def test_a_wrong_configuration_is_told(hinge):
    assert 'unknown directive "nonsense"' in hinge.prepare("nonsense;").explain("/", check=1).stderr


def test_lenient_repairs_here_too(hinge):
    h = hinge.prepare("server { listen %%port%%; return 200 hello; }")
    assert "body       hello" in h.explain("--lenient", "/", check=0).stdout


FORWARD = """
events { }
http {
    server { listen %%port%%; return 200 reverse; }
    forward {
        listen %%port2%%;
        connect_ports 443 8443;
        acl social dstdomain .social.example;
        acl inner dst 93.184.216.0/24;
        acl tom proxy_auth tom;
        acl here src 127.0.0.1 192.168.0.0/16;
        http_access deny social;
        http_access deny inner !tom;
        http_access allow here;
        http_access deny all;
        %%more%%
    }
}
"""
USERS = "auth_basic staff; auth_basic_user_file users;"


class TestForward:
    """A forward block is asked as a proxy is, and nobody is asked for a name."""

    @pytest.fixture
    def explain(self, hinge):
        h = hinge.prepare(FORWARD, more="")
        h.write("users", "tom:{PLAIN}secret\n")
        (h.dir / "users").chmod(0o600)

        def start(*args, more="", check=0):
            h.write("nginx.conf", FORWARD, more=more)
            return h.explain(*args, check=check).stdout
        start.ports = h.ports
        return start

    def test_a_whole_url(self, explain):
        out = explain("--to", "8.8.8.8", "http://a.example/x?y")
        assert "request    GET http://a.example/x?y HTTP/1.1\n             Host: a.example\n" in out
        assert f"listener   127.0.0.1:{explain.ports['port2']}\n" in out and "block      forward\n" in out and "location" not in out
        assert "http_access is decided by the addresses of a.example" in out and "a.example is taken to lead to 8.8.8.8" in out
        assert "http_access: allowed by" in out and "the guard: 8.8.8.8 may be reached" in out
        assert "passes to  a.example:80\n             at 8.8.8.8:80\n" in out and "sends      GET /x?y HTTP/1." in out
        assert places(out) == [6, 5, 14]

    @pytest.mark.parametrize("args, request_line, line", [
        (["https://a.example/x"], "CONNECT a.example:443 HTTP/1.1", "Host: a.example:443"),
        (["https://a.example:8443/"], "CONNECT a.example:8443 HTTP/1.1", "Host: a.example:8443"),
        (["https://[2606:4700::1111]/"], "CONNECT [2606:4700::1111]:443 HTTP/1.1", "Host: [2606:4700::1111]:443"),
        (["CONNECT", "a.example:443"], "CONNECT a.example:443 HTTP/1.1", "Host: a.example:443"),
    ])
    def test_tunnels(self, explain, args, request_line, line):
        out = explain("--to", "8.8.8.8", *args)
        assert f"request    {request_line}\n             {line}\n" in out
        assert re.search(r"connect_ports names port \d+\n +at \S+:7: connect_ports 443 8443;", out)
        assert "tunnels to " in out and "answers    200 as soon as" in out and "sends" not in out

    def test_a_port_that_is_not_named(self, explain):
        out = explain("CONNECT", "a.example:25")
        assert "connect_ports does not name port 25\n" in out and "answers    403" in out and places(out) == [6, 5, 7]

    def test_socks(self, explain):
        """Has ports of its own."""
        out = explain("--to", "8.8.8.8", "SOCKS", "a.example:22")
        assert "socks_ports names port 22" in out and "http_access: allowed by" in out and "tunnels to a.example:22" in out
        assert "socks_ports does not name port 25" in (out := explain("SOCKS", "a.example:25")) and "answers    403" in out
        assert "http_access: refused by" in explain("SOCKS", "www.social.example:443")

    def test_a_rule_that_refuses(self, explain):
        out = explain("http://www.social.example/")
        assert "http_access: refused by" in out and "answers    403" in out and places(out) == [6, 5, 12]
        assert "http_access: refused by" in explain("--from", "10.0.0.1", "http://1.2.3.4/")
        assert "http_access: allowed by" in explain("--from", "192.168.3.4", "http://1.2.3.4/")

    def test_what_dns_would_have_to_say(self, explain):
        out = explain("http://a.example/")
        assert "http_access is decided by the addresses of a.example" in out and "waits      for DNS" in out and "--to ADDRESS" in out

    def test_the_guard(self, explain):
        out = explain("--to", "10.0.0.5", "http://a.example/")
        assert "http_access: allowed by" in out and "the target a.example:80 is refused: private" in out and "answers    403" in out
        assert "the guard: 10.0.0.5 may be reached" in explain("--to", "10.0.0.5", "http://a.example/", more="egress_allow 10.0.0.0/8;")

    def test_users(self, explain):
        url = "http://93.184.216.34/"
        assert "answers    407" in explain(url, more=USERS)
        assert '"tom" is taken to have given the password' in (out := explain("--user", "tom", url, more=USERS)) and "allowed by" in out
        assert '"eve" is taken to have given the password' in (out := explain("--user", "eve", url, more=USERS)) and "refused by" in out
        assert '"tom" has given the password' in (out := explain("--user", "tom:secret", url, more=USERS)) and "sends" in out
        assert "secret" not in out.partition("from ")[2], "what was given is shown where it was given"
        assert "answers    407" in explain("--user", "tom:wrong", url, more=USERS)

    def test_loopback_only(self, hinge):
        h = hinge.prepare_http("forward { listen %%port%%; }")
        assert "no access rule stands here: clients of this machine may come in" in h.explain("http://8.8.8.8/", check=0).stdout
        assert "answers    403" in (out := h.explain("--from", "10.0.0.1", "http://8.8.8.8/", check=0).stdout) and "clients of other hosts" in out

    def test_where_it_comes_in(self, explain):
        out = explain("/x")
        assert f"listener   127.0.0.1:{explain.ports['port']}\n" in out and "GET /x HTTP/1.1" in out
        out = explain(f"http://a.example:{explain.ports['port']}/x")
        assert "GET /x HTTP/1.1" in out and "body       reverse" in out
        out = explain("--listen", str(explain.ports["port2"]), "--to", "8.8.8.8", f"http://a.example:{explain.ports['port']}/x")
        assert f"GET http://a.example:{explain.ports['port']}/x HTTP/1.1" in out and "block      forward" in out
        out = explain("--listen", str(explain.ports["port2"]), "/proxy.pac", more="proxy_pac on;")
        assert "FindProxyForURL" in out

    def test_host_that_differs(self, explain):
        assert "Host differs from the target" in explain("-H", "Host: b.example", "http://a.example/")

    def test_no_address(self, hinge):
        h = hinge.prepare_http("forward { listen %%port%%; }")
        assert 'no address: "nonsense"' in h.explain("--to", "nonsense", "http://a/", check=1).stderr


def test_a_user_of_a_server(hinge):
    h = hinge.prepare_http("server { listen %%port%%; auth_basic x; auth_basic_user_file users; "
                           "location / { proxy_pass http://127.0.0.1:9; proxy_set_header X-User $remote_user; } }")
    h.write("users", "tom:{PLAIN}s\n")
    assert "X-User: tom\n" in h.explain("--user", "tom", "/", check=0).stdout
    out = h.explain("--user", "tom:s", "/", check=0).stdout
    assert "X-User: tom\n" in out and "Authorization: Basic dG9tOnM=\n" in out


def test_a_request_to_switch_protocols(hinge):
    """What the client asks for and the configuration names, as it would be sent; nothing for a request that does not ask."""
    h = hinge.prepare("""events { } http { server { listen %%port%%;
        location / { proxy_pass http://127.0.0.1:9; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } } }""")
    url = f"http://{h.expand('%%port%%')}/"
    told = h.explain("-H", "Connection: upgrade", "-H", "Upgrade: websocket", url, check=0).stdout.partition("\nsends ")[2]
    assert "Upgrade: websocket" in told
    assert "Upgrade" not in h.explain("-H", "Upgrade: websocket", url, check=0).stdout.partition("\nsends ")[2]


def test_a_body_of_our_own(hinge):
    """proxy_set_body needs a backend to send it to, and there is none."""
    h = hinge.prepare("""events { } http { server { listen %%port%%; location / { proxy_pass http://127.0.0.1:9; proxy_set_body "$uri"; } } }""")
    for method in ("GET", "POST"):
        told = h.explain("-H", "Content-Length: 5", method, f"http://{h.expand('%%port%%')}/a", check=0).stdout
        assert f"sends      {method} /a HTTP/1.1" in told and '$uri = "/a"' in told
