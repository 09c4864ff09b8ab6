"""auth_request: another location is asked whether a request may pass. nginx beside hinge sees, asks and answers the same."""
import os
import threading

import pytest

from tools import backend as scripts
from tools.times import wait_until
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

NGINX = "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")

STATUS = {"401": "401 Unauthorized", "403": "403 Forbidden", "500": "500 Oops", "302": "302 Found", "204": "204 No Content", "404": "404 No"}


def judge(conn):
    """Answers with the status that the client's X-Want names."""
    while req := conn.request():
        status = STATUS.get(req["X-Want"] or "", "200 OK")
        fields = ["X-User: tom", "X-User-Group: staff", "Set-Cookie: a=b; Path=/"]
        if status.startswith("401"):
            fields.append('WWW-Authenticate: Bearer realm="there"')
        if status.startswith("302"):
            fields.append("Location: http://login.example/")
        conn.send(answer(b"" if "204" in status else b"why", *fields, status=status))
        if req.version == "1.0":
            return


SITE = """
    server {
        listen %%port%%;
        set $mine before;
        location / {
            auth_request /auth;
            auth_request_set $user $upstream_http_x_user;
            auth_request_set $judged "$upstream_status $status [$upstream_cookie_a]";
            add_header X-Judged "$judged" always;
            proxy_set_header X-User $user;
            proxy_set_header X-Mine "$mine";
            proxy_pass http://%%origin%%;
        }
        location = /auth {
            internal;
            proxy_set_header X-Seen "$request_method $uri [$args] $request_uri [$arg_a] $remote_addr $mine";
            proxy_pass http://%%judge%%;
        }
        location /open { auth_request off; proxy_pass http://%%origin%%; }
        location /nested { auth_request_set $other $upstream_status; auth_request /auth; add_header X-Judged "[$other][$user]" always;
                           location /nested/in { proxy_pass http://%%origin%%; } }
        location /return { auth_request /yes; proxy_pass http://%%origin%%; }
        location /no { auth_request /return403; proxy_pass http://%%origin%%; }
        location /no401 { auth_request /return401; proxy_pass http://%%origin%%; }
        location /moved { auth_request /return301; proxy_pass http://%%origin%%; }
        location /nowhere { auth_request /none; proxy_pass http://%%origin%%; }
        location /loop { auth_request /loop; proxy_pass http://%%origin%%; }
        location /dead { auth_request /down; proxy_pass http://%%origin%%; }
        location /denied { deny all; auth_request /auth; proxy_pass http://%%origin%%; }
        location /skips { auth_request /guarded; proxy_pass http://%%origin%%; }
        location /page { auth_request /auth; error_page 401 403 = @login; proxy_pass http://%%origin%%; }
        location /page500 { auth_request /auth; error_page 500 =503 /open; proxy_pass http://%%origin%%; }
        location /rewritten { auth_request /via; proxy_pass http://%%origin%%; }
        location @login { proxy_set_header X-Login "$user$judged"; proxy_pass http://%%origin%%; }
        location = /yes { return 200 fine; }
        location = /return403 { return 403; }
        location = /return401 { return 401; }
        location = /return301 { return 301 /x; }
        location = /none { internal; root /nonexistent; }
        location = /down { proxy_pass http://127.0.0.1:1; }
        location = /guarded { deny all; proxy_pass http://%%judge%%; }
        location = /via { error_page 404 = /auth; proxy_intercept_errors on; proxy_set_header X-Want 404; proxy_pass http://%%judge%%; }
    }"""


class Side:
    """A server with an origin and a judge of its own."""

    def __init__(self, hinge, backend, text, **names):
        self.origin, self.judge = backend(), backend(judge)
        self.h = hinge.prepare_http(text, origin=self.origin, judge=self.judge, **names).start()

    def ask(self, target, want, method="GET"):
        res = self.h.get(target, *([f"X-Want: {want}"] if want else []), method=method)
        asked = [(r.method, r.target, r["X-Seen"], r["X-Want"]) for r in self.judge.requests]
        reached = [(r.method, r.target, r["X-User"], r["X-Mine"], r["X-Login"]) for r in self.origin.requests]
        self.judge.requests.clear()
        self.origin.requests.clear()
        fields = [(n, v) for n, v in res.headers.pairs if n in ("X-Judged", "WWW-Authenticate", "Location", "X-User")]
        return res.status, fields, asked, reached


TARGETS = ["/x?a=1&b=2", "/open", "/nested", "/nested/in/a", "/return", "/no", "/no401", "/moved", "/loop", "/dead", "/denied", "/skips", "/page", "/page500",
           "/rewritten", "/auth"]


@needs_nginx
@pytest.mark.parametrize("want", ["", *STATUS])
def test_asks_and_answers_as_nginx(hinge, backend, want):
    text = SITE.replace("location = /none { internal; root /nonexistent; }", "")
    ours, theirs = Side(hinge, backend, text), Side(hinge, backend, text, binary=NGINX)
    for target in TARGETS:
        for method in ("GET", "HEAD"):
            mine, yours = ours.ask(target, want, method), theirs.ask(target, want, method)
            assert mine == yours, f"{method} {target}\n hinge {mine}\n nginx {yours}\n{ours.h.log[-1500:]}"


@pytest.fixture
def guarded(hinge, backend):
    def start(script, text="", main="", more=""):
        origin, judge_ = backend(), backend(script)
        h = hinge.server(f"location / {{ auth_request /auth; {text} proxy_pass http://%%origin%%; }} {more}"
                         f"location = /auth {{ internal; {main} proxy_pass http://%%judge%%; }}", origin=origin, judge=judge_)
        return h, origin, judge_
    return start


def test_a_body_waits_for_the_verdict_and_is_not_shown_to_the_judge(guarded):
    h, origin, judge_ = guarded(judge)
    res = h.post("/", b"x" * 100_000)
    assert (res.status, res.json()["length"]) == (200, 100_000)
    assert [(r.method, r.framing, r["Content-Length"]) for r in judge_.requests] == [("GET", "none", None)]
    assert h.post("/", b"y" * 100_000, "X-Want: 403").status == 403
    assert len(origin.requests) == 1


def test_expect_100_continue_is_not_answered_before_the_verdict(guarded):
    h, _, _ = guarded(judge)
    with h.connect() as c:
        res = c.ask(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 5", "Expect: 100-continue", "X-Want: 403"))
        assert res.status == 403  # the first that comes; the body was never asked for


def test_the_answer_is_taken_at_its_head(guarded):
    """A judge whose body never comes is not waited for, and let go when the request has ended."""
    h, _, judge_ = guarded(scripts.says(lines("HTTP/1.1 200 OK", "Content-Length: 10"), then="hang"))
    assert h.get().status == 200
    judge_.connections[0].assert_hung_up()


def test_an_endless_body_is_not_read_to_its_end(guarded):
    def endless(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK"))
        while not conn.closed_by_peer.is_set():
            conn.send(b"x" * 65536)

    h, _, judge_ = guarded(endless)
    assert h.get().status == 200
    judge_.connections[0].assert_hung_up()


def test_a_short_body_is_read_so_that_the_connection_is_kept(hinge, backend):
    judge_ = backend(scripts.answers(answer(b"x" * 3000)))
    h = hinge.http("""
        upstream judge { server %%judge%%; keepalive 2; }
        server {
            listen %%port%%;
            location / { auth_request /auth; proxy_pass http://%%origin%%; }
            location = /auth { internal; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://judge; }
        }""", judge=judge_, origin=backend())
    for _ in range(5):
        assert h.get().status == 200
    assert len(judge_.connections) == 1


@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_leaves_takes_the_question_with_it(guarded, leave):
    h, origin, judge_ = guarded(scripts.hang, more="location = /counters { counters; }")
    c = h.connect()
    c.send(lines("GET / HTTP/1.1", "Host: a"))
    judge_.wait_connections(1)
    getattr(c, leave)()
    judge_.connections[0].assert_hung_up()
    assert not origin.requests
    before = h.get("/counters").json()
    assert before["client_gone"] == 1 and before["subrequests"] == 1


def test_the_judges_timeout_is_its_locations_own(guarded):
    h, origin, _ = guarded(scripts.hang, "proxy_read_timeout 60s;", "proxy_read_timeout 200ms;")
    assert h.get().status == 500
    assert "auth request unexpected status: 504" in h.log
    assert 'subrequest: "/auth"' in h.log


def test_keep_alive_and_pipelining_behind_a_verdict(guarded):
    h, _, judge_ = guarded(judge)
    with h.connect() as c:
        c.send(b"".join(lines(f"GET /{i} HTTP/1.1", "Host: a", f"X-Want: {want}") for i, want in enumerate(["200", "403", "401", "200"])))
        assert [c.response().status for _ in range(4)] == [200, 403, 401, 200]
    assert len(judge_.requests) == 4


def test_an_upgrade_is_the_clients_alone(hinge, backend):
    """Fields for an upgrade that both locations inherit do not make the judge switch protocols."""
    def switches(conn):
        conn.head()
        conn.send(lines("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade"), b"hello")
        conn.hang()

    judge_ = backend(judge)
    h = hinge.server("""
        proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        location / { auth_request /auth; proxy_pass http://%%origin%%; }
        location = /auth { internal; proxy_pass http://%%judge%%; }""", judge=judge_, origin=backend(switches))
    with h.connect() as c:
        res = c.ask(lines("GET / HTTP/1.1", "Host: a", "Upgrade: websocket", "Connection: upgrade"))
        assert res.status == 101 and c.exactly(5) == b"hello"
    assert judge_.requests[0]["Upgrade"] is None
    assert h.get("/", "Upgrade: websocket", "Connection: upgrade", "X-Want: 403").status == 403


def test_values_of_the_child_are_its_own(hinge, backend):
    """nginx shares them; here what the location of the judge sets does not leak into the request."""
    h = hinge.server("""
        set $who client;
        location / { auth_request /auth; auth_request_set $inner "$who-$upstream_http_x_user"; add_header X "$who $inner"; proxy_pass http://%%origin%%; }
        location = /auth { set $who judge; proxy_pass http://%%judge%%; }""", judge=backend(judge), origin=backend())
    assert h.get()["X"] == "client judge-tom"


def test_one_request_id_for_a_request_and_what_it_asks(hinge, backend):
    judge_ = backend(judge)
    h = hinge.server("""
        location / { auth_request /auth; add_header X-Id $request_id; proxy_pass http://%%origin%%; }
        location = /auth { proxy_set_header X-Id $request_id; proxy_pass http://%%judge%%; }""", judge=judge_, origin=backend())
    assert h.get()["X-Id"] == judge_.requests[0]["X-Id"]


def test_log_subrequest(hinge, backend):
    h = hinge.server("""
        access_log %%dir%%/access.log combined;
        location / { auth_request /auth; proxy_pass http://%%origin%%; }
        location /logged { auth_request /auth2; proxy_pass http://%%origin%%; }
        location = /auth { proxy_pass http://%%judge%%; }
        location = /auth2 { log_subrequest on; access_log %%dir%%/sub.log combined; proxy_pass http://%%judge%%; }""", judge=backend(judge), origin=backend())
    h.get("/a")
    h.get("/logged", "X-Want: 401")
    assert len(h.wait_lines("access.log", 2)) == 2
    assert len(h.wait_lines("sub.log", 1)) == 1 and '" 401 ' in h.read("sub.log")


def test_a_reload_does_not_disturb_a_question(hinge, backend):
    hold = threading.Event()

    def slow(conn):
        conn.request()
        hold.wait(20)
        conn.send(answer(b"", "X-User: tom"))

    text = "server { listen %%port%%; location / { auth_request /auth; proxy_pass http://%%origin%%; } location = /auth { proxy_pass http://%%judge%%; } location /v { return 200 old; } }"
    judge_ = backend(slow)
    h = hinge.http(text, judge=judge_, origin=backend())
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        judge_.wait_connections(1)
        h.rewrite_http("server { listen %%port%%; location / { return 200 new; } }")
        h.reload_until(lambda: h.get("/v").text == "new")
        hold.set()
        assert c.response().status == 200


def test_the_end_of_the_server_ends_questions(guarded):
    h, _, judge_ = guarded(scripts.hang)
    c = h.connect()
    c.send(lines("GET / HTTP/1.1", "Host: a"))
    judge_.wait_connections(1)
    h.terminate()
    assert h.wait() == 0
    wait_until(judge_.connections[0].closed_by_peer.is_set, "the judge's connection is closed")


def test_many_questions_at_once_leave_nothing_behind(guarded):
    h, origin, _ = guarded(judge)
    clients = [h.connect() for _ in range(50)]
    for i, c in enumerate(clients):
        c.send(lines("GET / HTTP/1.1", "Host: a", f"X-Want: {'403' if i % 2 else '200'}"))
    assert [c.response().status for c in clients] == [403 if i % 2 else 200 for i in range(50)]
    assert len(origin.requests) == 25
    for c in clients:
        c.close()


@pytest.mark.parametrize("line, text", [
    ("auth_request_set x 1;", 'invalid variable name "x"'), ("auth_request_set $uri 1;", 'the duplicate "uri" variable'),
    ("auth_request;", "invalid number of arguments"), ("auth_request /a; auth_request /b;", '"auth_request" directive is duplicate'),
])
def test_bad_lines_are_refused_as_by_nginx(hinge, line, text):
    for binary in ({}, {"binary": NGINX} if os.path.exists(NGINX) else {}):
        assert text in hinge.prepare_http("server { listen %%port%%; " + line + " }", **binary).run("-t", check=1).stderr


def test_variables_in_the_uri_are_warned_about(hinge):
    done = hinge.prepare_http("server { listen %%port%%; auth_request /auth/$arg_x; }").run("-t", check=0)
    assert 'is taken as it stands' in done.stderr
