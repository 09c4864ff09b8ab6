"""RFC 1929 against auth_basic of a forward block: who may come in by SOCKS with which name and password."""
import base64
import hashlib
import subprocess

import pytest
from tools import socks
from tools.backend import serve
from tools.wire import answer

OUT = "egress_allow 127.0.0.0/8;"
LOG = "log_format t '$remote_user $request $status';"
ASKS = "auth_basic staff; auth_basic_user_file users; access_log %%dir%%/a.log t;"
SLOW = subprocess.run(["openssl", "passwd", "-6", "-salt", "salt", "secret"], capture_output=True, text=True, check=True).stdout.strip()
ENV = {"PATH": "/usr/bin:/bin"}


def shout(conn):
    while data := conn._more():
        conn.send(data.upper())


def proxy(hinge, rules=ASKS, users="tom:{PLAIN}secret\n", http=""):
    h = hinge.prepare_http(f"{LOG} {http} forward {{ listen %%port%%; {OUT} {rules} }}")
    h.write("users", users)
    return h.start()


def log_in(c, user=b"tom", password=b"secret"):
    """The status."""
    c.send(socks.WITH_PASSWORD)
    assert c.exactly(2) == b"\5\2"
    version, status = c.send(socks.login(user, password)).exactly(2)
    assert version == 1
    return status


class TestPasswords:
    @pytest.mark.parametrize("users", ["tom:{PLAIN}secret\n", f"tom:{SLOW}\n"])
    def test_a_good_one(self, hinge, backend, users):
        origin, h = backend(shout), proxy(hinge, users=users)
        with h.connect() as c:
            assert log_in(c) == 0
            assert socks.read_answer(c.send(socks.request("127.0.0.1", origin.port)))[0] == socks.DONE
            assert c.send(b"abc").exactly(3) == b"ABC"
        assert h.wait_lines("a.log") == [f"tom CONNECT 127.0.0.1:{origin.port} SOCKS5 200"], "one line for one connection"

    @pytest.mark.parametrize("user, password", [(b"tom", b"wrong"), (b"eve", b"secret"), (b"tom", b""), (b"", b"secret"), (b"tom:secret", b""), (b"to", b"m:secret"),
                                                (b"tom\0", b"secret"), (b"\xff" * 255, b"\xff" * 255)])
    def test_bad_ones(self, hinge, user, password):
        h = proxy(hinge)
        with h.connect() as c:
            assert log_in(c, user, password) != 0
            c.assert_closed()
        assert h.wait_lines("a.log")[0].endswith("LOGIN SOCKS5 407")
        assert b"c2VjcmV0" not in h.log.encode() and "secret" not in h.log

    def test_a_password_with_colons_is_whole(self, hinge, backend):
        h = proxy(hinge, users="tom:{SHA}" + base64.b64encode(hashlib.sha1(b"a:b:c").digest()).decode() + "\n")
        with h.connect() as c:
            assert log_in(c, b"tom", b"a:b:c") == 0

    def test_nothing_is_served_before_the_password(self, hinge, backend):
        """The request is sent at once, behind a wrong password."""
        origin, h = backend(shout), proxy(hinge)
        with h.connect() as c:
            c.send(socks.WITH_PASSWORD + socks.login(b"tom", b"wrong") + socks.request("127.0.0.1", origin.port) + b"early")
            assert c.all_bytes() == b"\5\2\1\1"
        assert not origin.received

    def test_every_split(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge)
        said = socks.WITH_PASSWORD + socks.login(b"tom", b"secret") + socks.request("127.0.0.1", origin.port) + b"early"
        heard = b"\5\2\1\0\5\0\0\1" + bytes(6) + b"EARLY"
        for at in range(1, len(said)):
            with h.connect() as c:
                c.send_in_pieces(said[:at], said[at:])
                assert c.exactly(len(heard)) == heard, at

    def test_a_slow_hash_holds_nobody_up(self, hinge, backend):
        costly = subprocess.run(["openssl", "passwd", "-6", "-salt", "rounds=400000$salt", "secret"], capture_output=True, text=True).stdout.strip()
        origin, h = backend(shout), proxy(hinge, users=f"tom:{costly}\nann:{{PLAIN}}quick\n")
        with h.connect() as slow, h.connect() as quick:
            slow.send(socks.WITH_PASSWORD)
            assert slow.exactly(2) == b"\5\2"
            slow.send(socks.login(b"tom", b"secret") + socks.request("127.0.0.1", origin.port))
            assert log_in(quick, b"ann", b"quick") == 0
            assert slow.exactly(2) == b"\1\0"
            assert socks.read_answer(slow)[0] == socks.DONE

    def test_the_client_leaves_while_its_password_is_checked(self, hinge, backend):
        costly = subprocess.run(["openssl", "passwd", "-6", "-salt", "rounds=400000$salt", "secret"], capture_output=True, text=True).stdout.strip()
        h = proxy(hinge, users=f"tom:{costly}\n")
        for _ in range(3):
            with h.connect() as c:
                c.send(socks.WITH_PASSWORD + socks.login(b"tom", b"secret"))
                c.exactly(2)
                c.reset()
        with h.connect() as c:
            assert log_in(c) == 0


class TestWhoIsAsked:
    def test_clients_that_have_none(self, hinge, backend):
        h = proxy(hinge)
        with h.connect() as c:
            assert c.send(socks.GREETING).exactly(2) == b"\5\xff"
            c.assert_closed()

    def test_user_ids_of_socks_4_are_no_passwords(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge)
        for user in (b"tom", b"tom:secret", b""):
            with h.connect() as c:
                assert socks.read_answer4(c.send(socks.request4("127.0.0.1", origin.port, user=user))) == socks.REJECTED
        assert h.wait_lines("a.log", 3)[0].endswith("SOCKS4 407")
        assert not origin.received

    def test_nobody_is_asked_without_auth_basic(self, hinge, backend):
        origin, h = backend(shout), proxy(hinge, "")
        with h.connect() as c:
            assert c.send(b"\5\2\2\0").exactly(2) == b"\5\0"
            assert socks.read_answer(c.send(socks.request("127.0.0.1", origin.port)))[0] == socks.DONE

    def test_satisfy_any(self, hinge, backend):
        """Whom the address lets in needs no password; whom it does not may give one."""
        origin = backend(shout)
        h = proxy(hinge, "satisfy any; allow 127.0.0.1; deny all; " + ASKS)
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", origin.port) == socks.DONE
        h = proxy(hinge, "satisfy any; allow 127.0.0.9; deny all; " + ASKS)
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", origin.port) == socks.NOT_ALLOWED
        with h.connect() as c:
            assert log_in(c) == 0
            assert socks.read_answer(c.send(socks.request("127.0.0.1", origin.port)))[0] == socks.DONE

    def test_addresses_that_are_not_let_in(self, hinge):
        h = proxy(hinge, "deny all; " + ASKS)
        with h.connect() as c:
            assert log_in(c) != 0
            c.assert_closed()

    def test_rules_see_the_user(self, hinge, backend):
        origin = backend(shout)
        h = proxy(hinge, ASKS + "acl boss proxy_auth ann; http_access allow boss; http_access deny all;", users="tom:{PLAIN}secret\nann:{PLAIN}secret\n")
        for user, code in ((b"tom", socks.NOT_ALLOWED), (b"ann", socks.DONE)):
            with h.connect() as c:
                assert log_in(c, user) == 0
                assert socks.read_answer(c.send(socks.request("127.0.0.1", origin.port)))[0] == code


    def test_passwords_that_rules_ask_for(self, hinge, backend):
        """Who needs no user to be let in is not asked; a password that is given is checked all the same."""
        free, kept = backend(shout), backend(shout)
        h = proxy(hinge, ASKS + f"auth_basic_by_rules on; acl free port {free.port}; acl known proxy_auth REQUIRED; http_access allow free; http_access allow known;"
                                "http_access deny all;")
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", free.port) == socks.DONE
        with h.connect() as c:
            assert socks.ask(c, 5, "127.0.0.1", kept.port) == socks.NOT_ALLOWED
        with h.connect() as c:
            assert log_in(c, password=b"wrong") != 0
            c.assert_closed()
        with h.connect() as c:
            assert log_in(c) == 0
            assert socks.read_answer(c.send(socks.request("127.0.0.1", kept.port)))[0] == socks.DONE


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_curl(hinge, backend, scheme):
    origin, h = backend(serve(lambda req: answer(b"yes"))), proxy(hinge)

    def curl(*more):
        return subprocess.run(["curl", "-sS", "-x", f"{scheme}://127.0.0.1:{h.ports['port']}", *more, f"http://localhost:{origin.port}/"], capture_output=True, text=True,
                              timeout=20, env=ENV)
    assert curl("-U", "tom:secret").stdout == "yes"
    assert curl("-U", "tom:wrong").returncode == 97
    assert curl().returncode == 97
