"""satisfy and auth_delay: how the verdicts about access are combined. nginx beside hinge answers every combination the same."""
import base64
import itertools
import os

import pytest

from tools import backend as scripts
from tools.times import wait_until
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

NGINX = "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


def basic(password):
    return "Authorization: Basic " + base64.b64encode(f"tom:{password}".encode()).decode()


def judge(conn):
    """auth_request's other side: answers with the status that X-Want names."""
    while req := conn.request():
        status = {"401": "401 Unauthorized", "403": "403 Forbidden", "500": "500 Oops"}.get(req["X-Want"] or "", "200 OK")
        conn.send(answer(b"", *(['WWW-Authenticate: Bearer realm="judge"'] if status[:3] == "401" else []), status=status))
        if req.version == "1.0":
            return


ADDRESS = {"none": "", "allow": "allow 127.0.0.1; deny 10.0.0.1;", "deny": "deny all;", "nomatch": "deny 10.0.0.1;"}
BASIC = {"none": "", "asks": 'auth_basic "realm"; auth_basic_user_file users;', "nofile": 'auth_basic "realm"; auth_basic_user_file nothere;'}
REQUEST = {"none": "", "asks": "auth_request /judge;"}
PLACES = list(itertools.product(("all", "any"), ADDRESS, BASIC, REQUEST))


def site():
    text = "server { listen %%port%%;\n location = /judge { internal; proxy_pass http://%%judge%%; }\n"
    for i, (mode, address, password, request) in enumerate(PLACES):
        text += f" location /{i}/ {{ satisfy {mode}; {REQUEST[request]} {BASIC[password]} {ADDRESS[address]} proxy_pass http://%%origin%%; }}\n"
    return text + "}"


def start(hinge, backend, text, **names):
    h = hinge.prepare_http(text, origin=backend(), judge=backend(judge), **names)
    h.write("users", "tom:{PLAIN}secret\n").chmod(0o644)
    return h.start()


def ask(h, target, *fields):
    res = h.get(target, *fields)
    return res.status, res.all("WWW-Authenticate") if res.status != 500 else []  # nginx forgets to take the challenge off a 500


@needs_nginx
def test_every_combination_as_nginx(hinge, backend):
    ours, theirs = start(hinge, backend, site()), start(hinge, backend, site(), binary=NGINX)
    seen = set()
    for i, place in enumerate(PLACES):
        for password, want in itertools.product((None, "secret", "wrong"), ("200", "401", "403", "500")):
            if (password and place[2] == "none") or (want != "200" and place[3] == "none"):
                continue
            fields = ([basic(password)] if password else []) + [f"X-Want: {want}"]
            mine, yours = ask(ours, f"/{i}/", *fields), ask(theirs, f"/{i}/", *fields)
            assert mine == yours, f"{place} {password} {want}: hinge {mine}, nginx {yours}"
            seen.add(mine[0])
    assert seen == {200, 401, 403, 500}
    logged = [sum(text in line for line in h.log.splitlines()) for h in (ours, theirs) for text in ("access forbidden by rule",)]
    assert logged[0] == logged[1] > 0


def test_any_asks_nobody_once_somebody_lets_in(hinge, backend):
    judge_ = backend(judge)
    h = hinge.server("location / { satisfy any; allow 127.0.0.1; deny all; auth_request /judge; proxy_pass http://%%origin%%; }"
                     "location = /judge { proxy_pass http://%%judge%%; }", origin=backend(), judge=judge_)
    assert h.get().status == 200
    assert not judge_.requests


INHERITED = """
    satisfy any; deny all; auth_basic r; auth_basic_user_file users;
    server {
        listen %%port%%;
        location / { proxy_pass http://%%origin%%; }
        location /all { satisfy all; proxy_pass http://%%origin%%; }
        location /off { auth_basic off; proxy_pass http://%%origin%%; }
        location /allow { allow all; proxy_pass http://%%origin%%; }
        location /page { error_page 401 403 = /allow/page; proxy_pass http://%%origin%%; }
        location /again { error_page 401 = /all/again; proxy_pass http://%%origin%%; }
    }"""


@needs_nginx
def test_inheritance_as_nginx(hinge, backend):
    ours, theirs = start(hinge, backend, INHERITED), start(hinge, backend, INHERITED, binary=NGINX)
    for target in ("/", "/all", "/off", "/allow", "/page", "/again"):
        for fields in ([], [basic("secret")], [basic("wrong")]):
            assert ours.get(target, *fields).status == theirs.get(target, *fields).status, (target, fields)


class TestDelay:
    TEXT = """
        location / { auth_delay 300ms; auth_basic r; auth_basic_user_file users; proxy_pass http://%%origin%%; }
        location /deny { auth_delay 300ms; deny all; proxy_pass http://%%origin%%; }
        location /any { auth_delay 300ms; satisfy any; deny all; auth_basic r; auth_basic_user_file users; proxy_pass http://%%origin%%; }
        location /page { auth_delay 300ms; error_page 401 /open; auth_basic r; auth_basic_user_file users; proxy_pass http://%%origin%%; }
        location /open { proxy_pass http://%%origin%%; }
        location = /counters { counters; }"""

    @pytest.fixture
    def h(self, hinge, backend):
        return start(hinge, backend, "server { listen %%port%%;" + self.TEXT + "}")

    @pytest.mark.parametrize("target", ["/", "/any"])
    def test_a_401_comes_after_answers_that_were_asked_for_later(self, h, target):
        with h.connect() as slow, h.connect() as quick:
            slow.send(lines(f"GET {target} HTTP/1.1", "Host: a", basic("wrong")))
            h.wait_log("delaying unauthorized request")
            assert quick.ask(lines("GET /open HTTP/1.1", "Host: a")).status == 200
            slow.assert_open_and_quiet(0.01)
            res = slow.response()
            assert (res.status, res["WWW-Authenticate"]) == (401, 'Basic realm="r"')
            assert slow.ask(lines("GET /open HTTP/1.1", "Host: a")).status == 200  # and the connection goes on

    def test_only_a_401_is_delayed(self, h):
        assert h.get("/deny").status == 403 and h.get("/", basic("secret")).status == 200
        assert "delaying" not in h.log

    def test_error_page_behind_a_delay(self, h):
        assert h.get("/page").json()["target"] == "/open"
        assert "delaying unauthorized request" in h.log

    @pytest.mark.parametrize("leave", ["close", "reset"])
    def test_a_client_that_leaves_ends_the_delay(self, h, leave):
        c = h.connect()
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        h.wait_log("delaying unauthorized request")
        getattr(c, leave)()
        wait_until(lambda: h.get("/counters").json()["client_gone"] == 1, "it is gone")

    def test_the_server_ends_in_the_middle_of_one(self, hinge, backend):
        h = start(hinge, backend, "server { listen %%port%%; location / { auth_delay 60s; auth_basic r; auth_basic_user_file users; proxy_pass http://%%origin%%; } }")
        c = h.connect()
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        h.wait_log("delaying unauthorized request")
        h.terminate()
        assert h.wait() == 0


def test_slow_and_slow_together(hinge, backend):
    """A refusal by address is kept while a hash is made, and the hash's while another location is asked."""
    slow = "tom:$2y$04$cMYWAa/ZBIDhF2N9pRtsLejvj5NBtdmJlczczrMDzyNOcBWTpk4d.\n"  # "secret"
    h = hinge.prepare_http("""server { listen %%port%%; location = /judge { proxy_pass http://%%judge%%; }
        location / { satisfy any; deny all; auth_basic r; auth_basic_user_file users; auth_request /judge; proxy_pass http://%%origin%%; }
        location /all { satisfy all; auth_basic r; auth_basic_user_file users; auth_request /judge; proxy_pass http://%%origin%%; } }""",
                           origin=backend(), judge=backend([scripts.hang, judge]))
    h.write("users", slow)
    h.start()
    with h.connect() as c:  # leaves while the third one is asked
        c.send(lines("GET / HTTP/1.1", "Host: a", basic("wrong")))
        h.wait_log("password mismatch")
    for target, password, want, status in [("/", "wrong", "200", 200), ("/", "wrong", "403", 401), ("/", "secret", "403", 200), ("/all", "secret", "403", 403),
                                           ("/all", "secret", "200", 200), ("/all", "wrong", "200", 401)]:
        assert h.get(target, basic(password), f"X-Want: {want}").status == status, (target, password, want)


@pytest.mark.parametrize("line, text", [("satisfy some;", 'invalid value "some"'), ("satisfy;", "invalid number of arguments"), ("auth_delay x;", '"auth_delay"')])
def test_bad_lines_are_refused(hinge, line, text):
    for binary in ({}, {"binary": NGINX} if os.path.exists(NGINX) else {}):
        assert text in hinge.prepare_http("server { listen %%port%%; " + line + " }", **binary).run("-t", check=1).stderr
