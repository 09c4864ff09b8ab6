"""allow and deny: the first line that matches the client's address decides. nginx beside hinge answers the same."""
import os
import socket
import subprocess

import pytest

from tools.raw import Client
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

NGINX = "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")

RULES = [
    ("deny all;", 403), ("allow all;", 200), ("", 200), ("allow 127.0.0.1; deny all;", 200), ("deny 127.0.0.1; allow all;", 403),
    ("allow 127.0.0.0/8; deny all;", 200), ("allow 127.0.0.0/32; deny all;", 403), ("allow 10.0.0.0/8; deny all;", 403),
    ("deny 127.0.0.1; allow 127.0.0.1;", 403), ("allow 127.0.0.1; deny 127.0.0.1;", 200), ("deny all; allow 127.0.0.1;", 403),
    ("allow 10.0.0.1;", 200), ("deny 10.0.0.1;", 200), ("deny ::/0;", 200), ("deny ::1; deny unix:;", 200), ("deny 0.0.0.0/0;", 403),
    ("allow 127.0.0.2/31; deny 127.0.0.0/30; allow all;", 403), ("allow 127.0.0.0/31; deny 127.0.0.0/30; allow all;", 200),
]


def site(rules):
    """A location for each set of rules, on IPv4, IPv6 and a unix socket."""
    places = "\n".join(f"location /{i}/ {{ {text} proxy_pass http://%%origin%%; }}" for i, text in enumerate(rules))
    return "server { listen %%port%%; listen [::]:%%six%% ipv6only=off; listen unix:%%dir%%/sock;\n" + places + "\n}"


def pair(hinge, text, **names):
    """hinge and nginx with the same configuration."""
    ours = hinge.http(text, **names)
    return ours, hinge.prepare_http(text, binary=NGINX, **names).start()


def status(address, target):
    with Client(address) as c:
        return c.ask(lines(f"GET {target} HTTP/1.1", "Host: a", "Connection: close")).status


def six_port():
    with socket.socket(socket.AF_INET6) as s:
        s.bind(("::1", 0))
        return s.getsockname()[1]


def addresses(h, six):
    return {"v4": h.address, "v6": ("::1", six), "mapped": ("127.0.0.1", six), "unix": str(h.dir / "sock")}


@pytest.mark.parametrize("rules, expected", RULES)
def test_the_first_line_that_matches_decides(hinge, rules, expected):
    h = hinge.proxy("127.0.0.1:1", rules)
    assert h.get().status == (502 if expected == 200 else expected)
    assert ("access forbidden by rule, client: 127.0.0.1" in h.log) == (expected == 403)


FAMILIES = [
    "deny all;", "allow all;", "deny 127.0.0.1;", "deny ::1;", "allow ::1; deny all;", "deny ::/0;", "deny unix:;", "allow unix:; deny all;",
    "deny ::ffff:127.0.0.1;", "deny ::ffff:127.0.0.0/104; allow 10.0.0.0/8;", "allow 10.0.0.0/8; deny ::/0;", "deny 127.0.0.0/8; allow ::/0;",
    "allow 127.0.0.1; allow ::1; deny all;", "deny 2001:db8::/32; allow ::/127; deny all;", "allow 127.0.0.1; deny unix:; deny ::1;",
]


@needs_nginx
def test_every_family_is_judged_as_by_nginx(hinge, backend):
    origin = backend()
    verdicts = []
    for binary in ({}, {"binary": NGINX}):
        six = six_port()
        h = hinge.prepare_http(site(FAMILIES), origin=origin, six=six, **binary).start()
        os.chmod(h.dir / "sock", 0o666)
        verdicts.append({(rules, family): status(address, f"/{i}/") for i, rules in enumerate(FAMILIES)
                         for family, address in addresses(h, six).items()})
    assert verdicts[0] == verdicts[1]
    assert set(verdicts[0].values()) == {200, 403}


INHERITANCE = """
    deny 10.0.0.1; deny 127.0.0.1;
    server {
        listen %%port%%;
        location /inherits { proxy_pass http://%%origin%%; }
        location /own { allow 10.0.0.1; proxy_pass http://%%origin%%; }
        location /nested { allow 127.0.0.1; location /nested/in { proxy_pass http://%%origin%%; }
                           location /nested/deny { deny all; proxy_pass http://%%origin%%; } proxy_pass http://%%origin%%; }
        location /page { error_page 403 /page403; proxy_pass http://%%origin%%; }
        location /page403 { allow all; proxy_pass http://%%origin%%; }
        location /closed { error_page 403 /inherits; proxy_pass http://%%origin%%; }
        location /named { error_page 403 = @open; proxy_pass http://%%origin%%; }
        location @open { allow all; proxy_pass http://%%origin%%; }
    }"""


@needs_nginx
def test_inheritance_and_internal_redirects_as_nginx(hinge, backend):
    targets = ["/inherits", "/own", "/nested", "/nested/in", "/nested/deny", "/page", "/closed", "/named", "/none"]
    ours, theirs = pair(hinge, INHERITANCE, origin=backend())
    assert [ours.get(t).status for t in targets] == [theirs.get(t).status for t in targets]
    assert ours.get("/inherits").status == 403 and ours.get("/named").status == 200


@needs_nginx
def test_inside_limit_except_as_nginx(hinge, backend):
    ours, theirs = pair(hinge, """server { listen %%port%%; allow all;
        location / { limit_except GET { deny all; } proxy_pass http://%%origin%%; }
        location /some { limit_except GET POST { allow 127.0.0.1; deny all; } proxy_pass http://%%origin%%; } }""", origin=backend())
    for target in ("/", "/some"):
        for method in ("GET", "HEAD", "POST", "DELETE"):
            assert ours.get(target, method=method).status == theirs.get(target, method=method).status, (target, method)
    assert ours.get("/", method="DELETE").status == 403


def test_the_address_is_that_of_the_real_client(hinge, backend):
    h = hinge.server("set_real_ip_from 127.0.0.1; location / { deny 192.0.2.0/24; proxy_pass http://%%origin%%; }", origin=backend())
    assert [h.get("/", f"X-Real-IP: {ip}").status for ip in ("192.0.2.9", "192.0.3.9")] == [403, 200]
    assert "access forbidden by rule, client: 192.0.2.9" in h.log


def test_explain_names_the_line_that_decides(hinge):
    h = hinge.prepare_http("server { listen %%port%%;\n allow 10.0.0.0/8;\n deny 127.0.0.0/8;\n location / { proxy_pass http://127.0.0.1:1; } }")
    done = subprocess.run([h.binary, "explain", "/", "-p", f"{h.dir}/", "-c", "nginx.conf", "--from", "127.0.0.1"], capture_output=True, text=True, timeout=60)
    assert "deny 127.0.0.0/8 decides about 127.0.0.1" in done.stdout and "403" in done.stdout, done


def test_a_return_answers_before_access_is_asked(hinge):
    assert hinge.server("deny all; location / { return 200 ok; }").get().text == "ok"


def test_thousands_of_lines(hinge):
    nets = "".join(f"{'deny' if i % 3 else 'allow'} 10.{i >> 8}.{i & 255}.0/24;\n" for i in range(5000))
    h = hinge.proxy("127.0.0.1:1", nets + "deny 127.0.0.0/8;\n" + nets)
    assert h.get().status == 403


def test_refusals_are_counted(hinge):
    h = hinge.server("location / { deny all; proxy_pass http://127.0.0.1:1; } location = /counters { counters; }")
    before = h.get("/counters").json()["access_denied"]
    h.get()
    assert h.get("/counters").json()["access_denied"] - before == 1


@pytest.mark.parametrize("line, text", [
    ("allow;", "invalid number of arguments"), ("deny 1.2.3.4/33;", 'invalid parameter "1.2.3.4/33"'), ("allow localhost;", 'invalid parameter "localhost"'),
    ("deny [::1];", 'invalid parameter "[::1]"'), ("deny 1.2.3.4 5.6.7.8;", "invalid number of arguments"),
])
def test_what_is_no_address_is_refused_as_by_nginx(hinge, line, text):
    for binary in ({}, {"binary": NGINX} if os.path.exists(NGINX) else {}):
        done = hinge.prepare_http("server { listen %%port%%; " + line + " }", **binary).run("-t", check=1)
        assert text in done.stderr


def test_meaningless_bits_are_warned_about(hinge):
    done = hinge.prepare_http("server { listen %%port%%; deny 10.1.2.3/8; }").run("-t", check=0)
    assert "low address bits of 10.1.2.3/8 are meaningless" in done.stderr
