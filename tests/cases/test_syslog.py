"""Logs that go to a syslog server: datagrams over UDP and unix sockets, and what is refused."""
import os
import pathlib
import re
import signal
import socket
import tempfile

import pytest
from tools.times import wait_until

STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
HOST = re.escape(socket.gethostname())


class Collector:
    """A syslog server: keeps what datagrams it gets."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(5)

    def line(self):
        return self.sock.recv(65536).decode("latin-1")

    def line_with(self, text):
        while True:
            line = self.line()
            if text in line:
                return line

    def silent(self):
        self.sock.settimeout(0.3)
        try:
            return self.sock.recv(65536)
        except TimeoutError:
            return None
        finally:
            self.sock.settimeout(5)


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        c = Collector(s)
        c.target = "syslog:server=127.0.0.1:%d" % s.getsockname()[1]
        yield c


@pytest.fixture
def open_dir():
    """A directory that the engine's user may look into, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="hinge-syslog-") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def bind_unix(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    os.chmod(path, 0o666)
    return s


def serve(hinge, log, inner="return 200 hello;"):
    return hinge.http(log + " server { listen %%port%%; location / { %%inner%% } }", inner=inner, access_log="")


def test_a_request_is_one_datagram(hinge, udp):
    h = serve(hinge, f"log_format t '$request_method $uri'; access_log {udp.target} t;")
    h.get("/a%22b")
    assert re.fullmatch(rf'<190>{STAMP} {HOST} nginx: GET /a\\x22b', udp.line())


def test_parameters_of_the_line(hinge, udp):
    h = serve(hinge, f"log_format t $uri; access_log {udp.target},facility=local0,severity=notice,tag=edge_1,nohostname t;")
    h.get("/x")
    assert re.fullmatch(rf"<133>{STAMP} edge_1: /x", udp.line())


def test_conditions_and_files_beside_it(hinge, udp):
    h = serve(hinge, f"log_format t $uri; access_log {udp.target} t if=$arg_log; access_log %%dir%%/a.log t;")
    for uri in ("/no", "/zero?log=0", "/yes?log=1"):
        h.get(uri)
    assert udp.line().endswith(": /yes")
    assert udp.silent() is None
    assert h.wait_lines("a.log", 3) == ["/no", "/zero", "/yes"]


def test_error_log_lines_have_the_severity_of_their_level(hinge, udp):
    h = serve(hinge, f"error_log {udp.target},tag=hinge info; access_log off;", "client_max_body_size 1; return 200;")
    h.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde")
    line = udp.line_with("too large body")
    assert re.match(rf"<187>{STAMP} {HOST} hinge: \d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d \[error\] \d+#\d+: \*\d+ client intended", line)
    assert not line.endswith("\n")


def test_a_unix_socket_is_found_again_after_it_was_made_anew(hinge, open_dir):
    path = open_dir / "log.sock"
    first = Collector(bind_unix(path))
    h = serve(hinge, f"log_format t $uri; access_log syslog:server=unix:{path} t;")
    h.get("/one")
    assert first.line().endswith(": /one")
    first.sock.close()
    path.unlink()
    assert h.get("/lost").status == 200
    second = Collector(bind_unix(path))
    h.get("/two")
    assert second.line().endswith(": /two")
    second.sock.close()
    h.wait_log(r"\[crit\] .*write\(\) to \"syslog:server=unix:.* failed")


def test_lost_lines_are_counted_and_hold_nobody_up(hinge, open_dir):
    """Nobody reads: the socket's queue fills, and requests are answered all the same."""
    path = open_dir / "log.sock"
    s = bind_unix(path)
    h = hinge.http(f"""log_format t $uri; server {{ listen %%port%%; location / {{ access_log syslog:server=unix:{path} t; return 200 hello; }}
        location = /counters {{ counters; }} }}""", access_log="")
    for _ in range(400):
        assert h.get("/").status == 200
    wait_until(lambda: h.get("/counters").json()["log_lost"] > 0, "lines are lost")
    s.close()


def test_reload_and_reopen_leave_it_working(hinge, udp):
    h = serve(hinge, f"log_format t $uri; access_log {udp.target} t;")
    for number, uri in ((signal.SIGHUP, "/one"), (signal.SIGUSR1, "/two")):
        h.signal(number)
        h.get(uri)
        assert udp.line_with(uri).endswith(": " + uri)


@pytest.mark.parametrize("target, text", [
    ("syslog:", "no syslog server specified"),
    ("syslog:facility=local0", "no syslog server specified"),
    ("syslog:server=127.0.0.1:0", 'invalid syslog server "127.0.0.1:0"'),
    ("syslog:server=127.0.0.1:x", 'invalid syslog server "127.0.0.1:x"'),
    ("syslog:server=[::1", 'invalid syslog server "[::1"'),
    ("syslog:server=no.such.host.invalid", 'host not found in syslog server "no.such.host.invalid"'),
    ("syslog:server=unix:", "bad path of a unix socket"),
    ("syslog:server=127.0.0.1,server=127.0.0.2", 'duplicate syslog "server"'),
    ("syslog:server=127.0.0.1,facility=local9", 'unknown syslog facility "local9"'),
    ("syslog:server=127.0.0.1,severity=loud", 'unknown syslog severity "loud"'),
    ("syslog:server=127.0.0.1,tag=a-b", 'syslog "tag" only allows alphanumeric characters and underscore'),
    ("syslog:server=127.0.0.1,tag=" + "a" * 33, "syslog tag length exceeds 32"),
    ("syslog:server=127.0.0.1,x=y", 'unknown syslog parameter "x=y"'),
])
@pytest.mark.parametrize("directive", ["access_log", "error_log"])
def test_wrong_targets_are_refused(hinge, directive, target, text):
    r = hinge.prepare_http(f"{directive} {target}; server {{ listen 127.0.0.1:1; }}", access_log="").run("-t", check=1)
    assert text in r.stderr


def test_buffers_are_for_files(hinge):
    r = hinge.prepare_http("access_log syslog:server=127.0.0.1 combined buffer=4k; server { listen 127.0.0.1:1; }", access_log="").run("-t", check=1)
    assert 'parameter "buffer" is not supported by syslog' in r.stderr
