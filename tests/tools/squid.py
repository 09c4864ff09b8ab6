"""Debian's Squid with a squid.conf of a case, beside hinge --squid with the same lines.

    both = squid.pair(hinge, "http_access allow localhost\\n...", {"list": "a.test\\n"})
    both.same("GET http://...", ...)

Placeholders as in server.py; %%file:NAME%% is a file of the case in either server's directory.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

from .ports import free_port
from .raw import Client
from .times import wait_until
from .wire import lines

SQUID = shutil.which("squid") or "/usr/sbin/squid"
needs_squid = pytest.mark.skipif(not os.path.exists(SQUID), reason="needs squid")
ONLY_THEIRS = """\
pid_filename {dir}/squid.pid
cache_log {dir}/cache.log
access_log stdio:{dir}/access.log
coredump_dir {dir}
shutdown_lifetime 0 seconds
pinger_enable off
cache deny all
"""
COMMON = "http_port 127.0.0.1:{port}\nvisible_hostname proxy.test\n"
HOP = {"connection", "proxy-connection", "keep-alive", "cache-control", "content-length", "host"}
ANSWER = ("Location", "Proxy-Authenticate", "X-Seen", "Server", "Set-Cookie", "Content-Type")


class Squid:
    """The real one, in the foreground."""

    def __init__(self, text, files):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hinge-squid-"))
        os.chmod(self.dir, 0o777)
        self.port = free_port()
        self.service = f"c{os.getpid()}x{self.port}"
        for name, content in files.items():
            (self.dir / name).write_text(content)
        conf = self.dir / "squid.conf"
        conf.write_text(COMMON.format(port=self.port) + ONLY_THEIRS.format(dir=self.dir) + in_dir(text, self.dir))
        self.log = open(self.dir / "out", "ab")
        self.process = subprocess.Popen([SQUID, "-N", "-n", self.service, "-f", str(conf)], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._up, "squid listens")

    def _up(self):
        assert self.process.poll() is None, (self.dir / "out").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self):
        return Client(("127.0.0.1", self.port))

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        for name in os.listdir("/dev/shm"):  # it leaves its segments behind
            if name.startswith(self.service):
                os.unlink(f"/dev/shm/{name}")
        shutil.rmtree(self.dir, ignore_errors=True)


def in_dir(text, where):
    return re.sub(r"%%file:(\w+)%%", lambda m: f"{where}/{m[1]}", text)


def _fields(pairs):
    """What is told, but for what is one hop's, and for the name of the program in Via."""
    joined = {}
    for name, value in pairs:
        if name.lower() not in HOP:
            joined.setdefault(name.lower(), []).append(re.sub(r" \(.*?\)", "", value) if name.lower() == "via" else value)
    return sorted((name, ", ".join(values)) for name, values in joined.items())


def outcome(client, request):
    """(status, fields of the answer, fields that the origin saw)"""
    words, *fields = request if isinstance(request, tuple) else (request,)
    method, url = words.split(" ", 1)
    host = url if method == "CONNECT" else url.split("/")[2]
    with client as c:
        res = c.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {host}", *fields, "Connection: close"), method=method)
    answer = [(n, res.all(n)) for n in ANSWER if res.all(n)] if res.status != 200 or res.all("X-Seen") or res.all("Set-Cookie") else []
    if res.status >= 400:
        answer = [(n, v) for n, v in answer if n == "Proxy-Authenticate"]
    if res.status // 100 == 3:
        answer = [(n, v) for n, v in answer if n == "Location"]
    seen = None
    if res.status == 200 and method not in ("CONNECT", "HEAD") and res.body.startswith(b"{"):
        seen = _fields(res.json()["headers"])
    return res.status, answer, seen


class Pair:
    def __init__(self, hinge, text, files=None):
        files = files or {}
        self.theirs = Squid(text, files)
        self.ours = hinge.prepare_squid("")
        for name, content in files.items():
            self.ours.write(name, content)
        port = free_port()
        self.ours.write("squid.conf", COMMON.format(port=port) + "access_log none\n" + in_dir(text, self.ours.dir))
        self.ours.ports["port"] = port
        self.ours.start()

    def same(self, *requests):
        """Each outcome, after comparing."""
        out = []
        for r in requests:
            theirs, mine = outcome(self.theirs.connect(), r), outcome(self.ours.connect(), r)
            assert mine == theirs, f"{r}\n hinge: {mine}\n squid: {theirs}\n{self.ours.log[-1500:]}"
            out.append(mine)
        return out
