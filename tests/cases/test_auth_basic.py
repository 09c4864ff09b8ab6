"""auth_basic: names and passwords from a file, checked like nginx does, with slow hashes beside the requests of others."""
import base64
import hashlib
import itertools
import os
import subprocess
import threading

import pytest

from tools.times import wait_until
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

NGINX = "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def openssl(kind, password, salt="saltsalt"):
    return subprocess.run(["openssl", "passwd", kind, "-salt", salt, password], capture_output=True, text=True, check=True).stdout.strip()


def sha(password):
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


def ssha(password, salt=b"salt"):
    return "{SSHA}" + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


# of htpasswd -B and mkpasswd -m yescrypt, bcrypt-a, all for "secret"
BCRYPT = "$2y$04$cMYWAa/ZBIDhF2N9pRtsLejvj5NBtdmJlczczrMDzyNOcBWTpk4d."
BCRYPT_SLOW = "$2b$12$zt7aZxTe52.WXdQ3YjYKnetWWR9lxXnFXlvgGRvSdfVmdGMk6y1aK"
USERS = {
    "plain": "{PLAIN}secret", "sha": sha("secret"), "ssha": ssha("secret"), "apr1": openssl("-apr1", "secret"), "md5": openssl("-1", "secret"),
    "sha256": openssl("-5", "secret"), "sha512": openssl("-6", "secret"), "des": "7YPZxgGzxdL7s", "bcrypt": BCRYPT,
    "bcrypt-a": "$2a$05$C6lXyOvX6dkHz7c9mPVX4.4CHEzLm5bGnSDkS7zV3t.d2xy1ua0gW",
    "yescrypt": "$y$j75$UktCWc2I3vs3aGhEL9vKG/$8q5WSTePcfoKWIDF3.i3kRXi9U7MW85QpKbsMPNjng7", "comment": "{PLAIN}secret:a comment", "pä": "{PLAIN}sécret",
    "colons": "{PLAIN}a", "sp ace": "{PLAIN}secret",
}
FILE = "# a comment\n\n" + "".join(f"{name}:{stored}\n" for name, stored in USERS.items()) + "plain:{PLAIN}second\nbroken line\ncrlf:{PLAIN}secret\r\nlast:{PLAIN}secret"


def guarded(hinge, origin, text="", http="", users=FILE, **names):
    """A server whose every location asks for a password."""
    h = hinge.prepare_http(http + """
        server {
            listen %%port%%;
            auth_basic "the realm";
            auth_basic_user_file %%dir%%/users;
            location / { proxy_pass http://%%origin%%; }
            location = /counters { auth_basic off; counters; }
            """ + text + "\n}", origin=origin, **names)
    h.write("users", users).chmod(0o644)
    return h.start()


def counters(h):
    return h.get("/counters").json()


ATTEMPTS = [
    *[(name, "secret") for name in USERS], *[(name, "wrong") for name in USERS], ("pä", "sécret"), ("plain", "second"), ("plain", ""), ("nobody", "secret"),
    ("colons", "a:b"), ("colons", "a"), ("crlf", "secret"), ("last", "secret"), ("# a comment", ""), ("broken line", ""), ("", "secret"),
    ("plain", "{PLAIN}secret"), ("bcrypt", BCRYPT), ("Plain", "secret"), ("plain ", "secret"),
]


@needs_nginx
def test_every_form_and_every_mistake_as_nginx(hinge, backend):
    origin = backend()
    ours = guarded(hinge, origin)
    theirs = hinge.prepare_http("""server { listen %%port%%; auth_basic "the realm"; auth_basic_user_file %%dir%%/users;
        location / { proxy_pass http://%%origin%%; } }""", binary=NGINX, origin=origin)
    theirs.write("users", FILE).chmod(0o644)
    theirs.start()
    good = 0
    for user, password in ATTEMPTS:
        mine, yours = (s.get("/", basic(user, password)) for s in (ours, theirs))
        assert (mine.status, mine["WWW-Authenticate"]) == (yours.status, yours["WWW-Authenticate"]), (user, password, mine.status, yours.status)
        good += mine.status == 200
    assert good == len(USERS) + 2
    for text in ('user "nobody" was not found in "', 'user "plain": password mismatch', "no user/password was provided for basic authentication"):
        assert text in ours.log and text in theirs.log


FIELDS = [
    "", "Authorization:", "Authorization: Basic", "Authorization: Basic ", "Authorization: Basic !!!!", "Authorization: basic cGxhaW46c2VjcmV0",
    "Authorization: BASIC   cGxhaW46c2VjcmV0", "Authorization: Basic cGxhaW46c2VjcmV0", "Authorization: Basic cGxhaW4=", "Authorization: Basic Og==",
    "Authorization: Basic cGxhaW46", "Authorization: Bearer cGxhaW46c2VjcmV0", "Authorization: Basic cGxhaW46c2VjcmV0 x", "Proxy-Authorization: Basic cGxhaW46c2VjcmV0",
    "Authorization: Basic " + base64.b64encode(b"plain:" + b"x" * 5000).decode(), "Authorization: Basic " + base64.b64encode(b"\xffu:\n").decode(),
]


@needs_nginx
def test_fields_of_every_shape_as_nginx(hinge, backend):
    origin = backend()
    text = """server { listen %%port%%; location / { auth_basic "r"; auth_basic_user_file users; proxy_set_header X-User "[$remote_user]";
              add_header X-User "[$remote_user]" always; proxy_pass http://%%origin%%; } }"""
    answers = []
    for binary in ({}, {"binary": NGINX}):
        h = hinge.prepare_http(text, origin=origin, **binary)
        h.write("users", "plain:{PLAIN}secret\n").chmod(0o644)
        h.start()
        found = [h.get("/", *([field] if field else [])) for field in FIELDS]
        answers.append([(r.status, r["X-User"], r["WWW-Authenticate"]) for r in found])
    assert answers[0] == answers[1]
    assert origin.requests[0]["Authorization"] == "basic cGxhaW46c2VjcmV0"  # it is passed on


def test_a_nul_in_a_password_does_not_cut_it(hinge, backend):
    """nginx compares what stands before the NUL."""
    h = guarded(hinge, backend())
    for name in ("plain", "sha512", "bcrypt", "apr1"):
        assert h.get("/", basic(name, "secret\0x")).status == 401


def test_two_authorization_fields_are_none(hinge, backend):
    h = guarded(hinge, backend())
    assert h.get("/", basic("plain", "secret"), basic("plain", "wrong")).status in (400, 401)


@pytest.mark.parametrize("realm, sent", [
    ("simple", 'Basic realm="simple"'), ('"a \\"quoted\\" one"', r'Basic realm="a \"quoted\" one"'), ('"back\\\\slash"', r'Basic realm="back\\slash"'),
    ('"for $host"', 'Basic realm="for localhost"'), ('"[$arg_x]"', 'Basic realm="[a%0d%0ab]"'), ('"[$http_x]"', 'Basic realm="[q\\"q]"'), ('"Größe"', 'Basic realm="Größe"'),
])
def test_a_realm_is_quoted(hinge, backend, realm, sent):
    h = hinge.prepare_http(f"server {{ listen %%port%%; location / {{ auth_basic {realm}; auth_basic_user_file users; proxy_pass http://%%origin%%; }} }}", origin=backend())
    h.write("users", "a:{PLAIN}b\n")
    got = h.start().get("/?x=a%0d%0ab", 'X: q"q')["WWW-Authenticate"]
    assert got.encode("latin-1") == sent.encode() or got == sent


LEVELS = """
    auth_basic outer; auth_basic_user_file %%dir%%/one;
    server {
        listen %%port%%;
        location / { proxy_pass http://%%origin%%; }
        location /off { auth_basic off; proxy_pass http://%%origin%%; }
        location /other { auth_basic other; proxy_pass http://%%origin%%; }
        location /file { auth_basic_user_file %%dir%%/two; proxy_pass http://%%origin%%; location /file/in { proxy_pass http://%%origin%%; } }
        location /var { auth_basic $arg_realm; proxy_pass http://%%origin%%; }
        location /none { auth_basic_user_file %%dir%%/none; proxy_pass http://%%origin%%; }
        location /dir { auth_basic_user_file %%dir%%; proxy_pass http://%%origin%%; }
        location /page { error_page 401 /off/page; proxy_pass http://%%origin%%; }
        location /named { error_page 401 =200 @open; proxy_pass http://%%origin%%; }
        location /loop { error_page 401 /loop/again; proxy_pass http://%%origin%%; }
        location @open { auth_basic off; proxy_pass http://%%origin%%; }
        location /return { return 200 "early"; }
    }"""


@needs_nginx
def test_levels_and_internal_redirects_as_nginx(hinge, backend):
    origin, seen = backend(), []
    for binary in ({}, {"binary": NGINX}):
        h = hinge.prepare_http(LEVELS, origin=origin, **binary)
        h.write("one", "tom:{PLAIN}one\n").chmod(0o644)
        h.write("two", "tom:{PLAIN}two\n").chmod(0o644)
        h.start().allow(r"\[crit\]")
        rows = []
        for target in ["/", "/off", "/other", "/file", "/file/in", "/var?realm=r", "/var?realm=off", "/none", "/dir", "/page", "/named", "/loop", "/return"]:
            for password in ("one", "two", None):
                res = h.get(target, *([basic("tom", password)] if password else []))
                rows.append((target, password, res.status, res["WWW-Authenticate"] if not target.startswith(("/page", "/named", "/loop")) else ""))
        seen.append(rows)
    assert seen[0] == seen[1]


@needs_nginx
def test_inside_limit_except_as_nginx(hinge, backend):
    text = """server { listen %%port%%; location / { limit_except GET { auth_basic r; auth_basic_user_file %%dir%%/users; } proxy_pass http://%%origin%%; } }"""
    origin, seen = backend(), []
    for binary in ({}, {"binary": NGINX}):
        h = hinge.prepare_http(text, origin=origin, **binary)
        h.write("users", "tom:{PLAIN}one\n").chmod(0o644)
        h.start()
        seen.append([h.get("/", *fields, method=method).status for method in ("GET", "DELETE") for fields in ([], [basic("tom", "one")], [basic("tom", "x")])])
    assert seen[0] == seen[1] == [200, 200, 200, 401, 200, 401]


def test_files_of_variables(hinge, backend):
    h = hinge.prepare_http("""
        server { listen %%port%%; location / { auth_basic r; auth_basic_user_file %%dir%%/users.d/$host.htpasswd; proxy_pass http://%%origin%%; } }
        server { listen %%port2%%; location / { auth_basic r; auth_basic_user_file users.d/$arg_a/$arg_b; proxy_pass http://%%origin%%; } }""", origin=backend())
    h.write("users.d/a.example.htpasswd", "tom:{PLAIN}a\n")
    h.write("users.d/b.example.htpasswd", "tom:{PLAIN}b\n")
    h.write("users.d/deep/er", "tom:{PLAIN}deeper\n")
    h.write("secret/er", "tom:{PLAIN}deeper\n")
    h.start()

    def get(host, password, target="/", port="port"):
        return h.get(target, basic("tom", password), host=host, port=port).status
    assert [get("a.example", "a"), get("a.example", "b"), get("b.example", "b"), get("c.example", "a")] == [200, 401, 200, 403]
    assert f'open() "{h.dir}/users.d/c.example.htpasswd" failed (2: No such file or directory)' in h.log
    assert get("x", "deeper", "/?a=deep&b=er", "port2") == 200
    assert get("x", "deeper", "/?a=..&b=secret/er", "port2") == 403  # only what was read is there
    assert get("x", "deeper", "/?a=../secret&b=er", "port2") == 403


class TestWork:
    """What is done for a password, told by counters, not by clocks."""

    def test_an_unknown_name_costs_what_a_wrong_password_costs(self, hinge, backend):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT}\neve:{openssl('-6', 'x')}\n")
        for name in ("tom", "eve", "nobody", "somebody", "x" * 200):
            before = counters(h)
            assert h.get("/", basic(name, "wrong")).status == 401
            now = counters(h)
            assert now["auth_hashes"] - before["auth_hashes"] == 1, name
            assert now["auth_failed"] - before["auth_failed"] == 1

    def test_a_good_password_is_hashed_once(self, hinge, backend):
        h = guarded(hinge, backend())
        with h.connect() as c:
            for _ in range(5):
                assert c.ask(lines("GET / HTTP/1.1", "Host: a", basic("bcrypt", "secret"))).status == 200
        now = counters(h)
        assert (now["auth_hashes"], now["auth_remembered"]) == (1, 4)
        assert h.get("/", basic("bcrypt", "secre")).status == 401
        assert h.get("/", basic("bcrypt-a", "secret")).status == 200
        now = counters(h)
        assert (now["auth_hashes"], now["auth_remembered"]) == (3, 4)

    def test_a_wrong_one_is_hashed_every_time(self, hinge, backend):
        h = guarded(hinge, backend())
        for _ in range(3):
            assert h.get("/", basic("bcrypt", "wrong")).status == 401
        assert counters(h)["auth_hashes"] == 3

    def test_remembering_can_be_turned_off(self, hinge, backend):
        h = guarded(hinge, backend(), http="auth_basic_remember 0;")
        for _ in range(3):
            assert h.get("/", basic("bcrypt", "secret")).status == 200
        assert counters(h)["auth_hashes"] == 3

    def test_remembered_for_a_time_only(self, hinge, backend):
        h = guarded(hinge, backend(), http="auth_basic_remember 50ms;")
        assert h.get("/", basic("bcrypt", "secret")).status == 200
        wait_until(lambda: h.get("/", basic("bcrypt", "secret")).status == 200 and counters(h)["auth_hashes"] >= 2, "another hash")

    def test_a_reload_forgets(self, hinge, backend):
        h = guarded(hinge, backend())
        assert h.get("/", basic("bcrypt", "secret")).status == 200
        h.write("users", f"bcrypt:{openssl('-6', 'changed')}\n")
        h.reload_until(lambda: h.get("/", basic("bcrypt", "changed")).status == 200)
        assert h.get("/", basic("bcrypt", "secret")).status == 401

    def test_quick_forms_need_no_pool(self, hinge, backend):
        h = guarded(hinge, backend())
        for name in ("plain", "sha", "ssha"):
            assert h.get("/", basic(name, "secret")).status == 200
        assert counters(h)["auth_hashes"] == 0

    def test_the_same_credentials_at_once_are_one_check(self, hinge, backend):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n")
        clients = [h.connect() for _ in range(6)]
        for c in clients:
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", "wrong")))
        assert [c.response().status for c in clients] == [401] * 6
        assert counters(h)["auth_hashes"] == 1
        for c in clients:
            c.close()


class TestSlowHashes:
    def test_others_are_served_meanwhile(self, hinge, backend):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n")
        order = []
        with h.connect() as slow, h.connect() as quick:
            slow.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", "wrong")))
            waiting = threading.Thread(target=lambda: (slow.response(), order.append("slow")))
            waiting.start()
            for _ in range(20):
                quick.ask(lines("GET /counters HTTP/1.1", "Host: a"))
            order.append("quick")
            waiting.join()
        assert order == ["quick", "slow"]

    def test_a_flood_from_one_address_keeps_nobody_else_out(self, hinge, backend):
        """One address floods the line: it is refused beyond its share, and another one gets its turn before the flood is through."""
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n", http="auth_basic_hashes 1 waiting=40;")
        flood = [h.connect(source="127.0.0.2") for _ in range(20)]
        for i, c in enumerate(flood):
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", f"guess{i}")))
        wait_until(lambda: counters(h)["auth_refused"] >= 9, "the flood is refused")
        with h.connect(source="127.0.0.3") as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a", basic("tom", "wrong"))).status == 401
        statuses = [c.response().status for c in flood]
        assert sorted(set(statuses)) == [401, 503] and statuses.count(401) == 11
        assert "too many password checks wait" in h.log
        for c in flood:
            c.close()

    def test_fairness_between_addresses(self, hinge, backend):
        """With one check of an address at a time, a second address does not stand behind all of the first one's."""
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n", http="auth_basic_hashes 2 address=1;")
        flood = [h.connect(source="127.0.0.2") for _ in range(8)]
        for i, c in enumerate(flood):
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", f"guess{i}")))
        with h.connect(source="127.0.0.3") as c:
            assert c.ask(lines("GET / HTTP/1.1", "Host: a", basic("tom", "wrong"))).status == 401
        assert counters(h)["auth_hashes"] < 8
        for c in flood:
            c.response()
            c.close()

    @pytest.mark.parametrize("leave", ["close", "reset"])
    def test_clients_that_leave(self, hinge, backend, leave):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n")
        clients = [h.connect() for _ in range(10)]
        for i, c in enumerate(clients):
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", f"guess{i}")))
        looks = itertools.count(1)
        wait_until(lambda: counters(h)["requests"] - next(looks) >= 10, "all are in line")
        for c in clients:
            getattr(c, leave)()
        wait_until(lambda: counters(h)["client_gone"] >= 8, "they are gone")
        assert h.get("/", basic("tom", "wrong")).status == 401
        assert counters(h)["auth_hashes"] <= 4  # those in line went with their clients

    def test_the_end_of_the_server(self, hinge, backend):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n")
        clients = [h.connect() for _ in range(5)]
        for i, c in enumerate(clients):
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", f"guess{i}")))
        h.terminate()
        assert h.wait() == 0

    def test_a_reload_in_between(self, hinge, backend):
        h = guarded(hinge, backend(), users=f"tom:{BCRYPT_SLOW}\n")
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a", basic("tom", "wrong")))
            h.reload()
            assert c.response().status == 401

    def test_a_body_that_breaks_while_the_password_is_checked(self, hinge, backend):
        h = guarded(hinge, backend(), "error_page 400 /off; location = /off { auth_basic off; return 200 page; }", users=f"tom:{BCRYPT_SLOW}\n")
        with h.connect() as c:
            c.send(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", basic("tom", "wrong")) + b"zzz\r\n")
            assert c.response("POST").status in (400, 401)


class TestTester:
    def check(self, hinge, users, mode=0o640, text="auth_basic r; auth_basic_user_file users;"):
        h = hinge.prepare_http("server { listen %%port%%; " + text + " }")
        if users is not None:
            h.write("users", users).chmod(mode)
        return h, h.run("-t").stderr

    def test_a_good_file_is_not_mentioned(self, hinge):
        _, said = self.check(hinge, f"tom:{BCRYPT}\neve:{openssl('-6', 'x')}\n")
        assert "[warn]" not in said, said

    def test_bad_lines_are_named_and_not_shown(self, hinge):
        h, said = self.check(hinge, f"tom:{BCRYPT}\nno colon here\neve:hunter2\n")
        assert f"this line of a password file is ignored: there is no \":\" between a name and a password in {h.dir}/users:2" in said
        assert f"{h.dir}/users:3" in said and "hunter2" not in said and "no colon here" not in said

    def test_many_bad_lines_are_summed_up(self, hinge):
        _, said = self.check(hinge, "bad\n" * 50)
        assert said.count("this line of a password file is ignored") == 5 and "45 further lines are ignored" in said

    @pytest.mark.parametrize("stored, word", [("{PLAIN}x", "in plain text"), (sha("x"), "SHA-1"), (openssl("-1", "x"), "MD5"), (openssl("-apr1", "x"), "MD5")])
    def test_weak_forms(self, hinge, stored, word):
        h, said = self.check(hinge, f"tom:{BCRYPT}\neve:{stored}\n")
        assert "1 of 2 passwords should be replaced" in said and word in said and f"{h.dir}/users:2" in said
        assert stored not in said

    def test_a_file_that_everybody_can_read(self, hinge):
        h, said = self.check(hinge, f"tom:{BCRYPT}\n", 0o644)
        assert "can be read by everybody" in said

    def test_a_missing_file_is_a_warning(self, hinge):
        h, said = self.check(hinge, None)
        assert f'[warn] open() "{h.dir}/users" failed (2: No such file or directory)' in said

    def test_no_file_at_all_closes_the_gate(self, hinge, backend):
        h = hinge.server("location / { auth_basic r; proxy_pass http://%%origin%%; }", origin=backend())
        assert h.get("/", basic("a", "b")).status == 403
        assert '"auth_basic" without "auth_basic_user_file"' in h.run("-t").stderr

    @pytest.mark.parametrize("line, text", [
        ("auth_basic;", "invalid number of arguments"), ("auth_basic a b;", "invalid number of arguments"), ("auth_basic_user_file;", "invalid number"),
    ])
    def test_bad_lines_as_nginx(self, hinge, line, text):
        for binary in ({}, {"binary": NGINX} if os.path.exists(NGINX) else {}):
            assert text in hinge.prepare_http("server { listen %%port%%; " + line + " }", **binary).run("-t", check=1).stderr

    @pytest.mark.parametrize("line, text", [
        ("auth_basic_hashes 0;", 'invalid number "0"'), ("auth_basic_hashes 1 addres=2;", 'invalid parameter "addres=2"'), ("auth_basic_hashes address=2;", "invalid parameter"),
        ("auth_basic_remember 2d;", "auth_basic_remember"), ("server { auth_basic r; auth_basic_user_file $document_root/x; }", "before its first variable"),
    ])
    def test_bad_lines_of_our_own(self, hinge, line, text):
        assert text in hinge.prepare_http(line).run("-t", check=1).stderr
