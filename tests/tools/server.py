"""Starting, steering and judging the server under test.

The binary (HINGE_BIN, else build/hinge) is driven the way every script drives it: `-p DIR/ -c nginx.conf -e error.log`, `daemon off`,
the pid file as the ready signal, and signals to that pid. Each server has a directory of its own. At the end of a case it must go on
SIGTERM with exit code 0, and neither its log nor its stderr may hold an alert, an emergency or a sanitizer's report.

Configurations are templates: %%port%%, %%port2%%, ... become free loopback addresses (127.0.0.1:N, in `h.ports`), %%dir%% the server's
directory, and any other %%name%% the keyword argument of that name, for instance a backend. host=...: where it runs (tools/namespaces.py).
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

from .ports import free_port
from .raw import Client
from .times import PATIENCE, wait_until
from .wire import lines

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("HINGE_BIN") or str(ROOT / "build" / "hinge")

MAIN = """\
daemon off;
worker_processes %%workers%%;
error_log error.log %%log_level%%;
pid hinge.pid;
%%main%%
events {
    worker_connections 1024;
}
"""
HTTP = MAIN + """\
http {
    %%access_log%%
%%inside%%
}
"""
SANITIZERS = re.compile(r"(Address|Thread|Leak|Memory|UndefinedBehavior)Sanitizer|runtime error:")
BAD_SIGNS = re.compile(r"\[alert\]|\[emerg\]|fatal signal|exited on signal|" + SANITIZERS.pattern)


class Hinge:
    """One server: its directory, its process, its log."""

    def __init__(self, text, binary=BINARY, host=None, **names):
        self.binary, self.host = binary, host
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="hinge-"))
        self.home.chmod(0o755)  # the engine gives up root and must still reach its own files
        self.names, self.ports, self.allowed = names, {}, []
        self.process, self.exit_code = None, None
        self.altered = False  # this case does more than ask (tools/shared.py)
        self.earlier = {}  # bytes that files already had when the case began
        self.conf = ["-c", "nginx.conf"]
        self.write("nginx.conf", text)
        self.altered = False

    # -- files

    @property
    def dir(self):
        """The server's directory. A case that knows it may change what is in there."""
        self.altered = True
        return self.home

    def expand(self, text, **more):
        """Fills the placeholders of a template."""
        names = {"dir": self.home, "workers": 1, "main": "", "log_level": "info", "access_log": "access_log off;", **self.names, **more}

        def value(match):
            name = match[1]
            if name.startswith("port") and name not in names:
                port = self.ports.setdefault(name, free_port())
                return f"127.0.0.1:{port}"
            return str(names[name])

        while "%%" in text:
            text, before = re.sub(r"%%(\w+)%%", value, text), text
            assert text != before, f"a stray %% in {text}"
        return text

    def write(self, name, text, **more):
        self.altered = True
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(self.expand(text, **more))
        return fresh.rename(path)  # a reload that is under way sees the old file or the new one, never half of it

    def rewrite_http(self, text, **more):
        """Replaces the configuration by another http block; nothing happens before reload()."""
        return self.write("nginx.conf", HTTP, inside=text, **more)

    def read(self, name):
        path = self.home / name
        return path.read_bytes()[self.earlier.get(name, 0):].decode(errors="replace") if path.exists() else ""

    def wait_lines(self, name, n=1):
        """The lines of a log once there are n of them: logs may be written after the answer, and a line is one when it has its end."""
        return wait_until(lambda: (found := self.read(name).split("\n")[:-1]) and len(found) >= n and found,
                          lambda: f"{n} lines in {name}, it has {self.read(name)!r}")

    @property
    def log(self):
        return self.read("error.log")

    def wait_log(self, pattern, n=1):
        """Waits until the error log matches `pattern` (a regular expression) n times; gives the last match."""
        return wait_until(lambda: (found := list(re.finditer(pattern, self.log))) and len(found) >= n and found[-1],
                          lambda: f"{pattern!r} x{n} in the log:\n{self.log}")

    # -- process

    def command(self, *args):
        words = [self.binary, "-p", f"{self.home}/", *self.conf, "-e", "error.log", *args]
        return self.host.command(*words) if self.host else words

    def run(self, *args, check=None):
        """Runs the binary beside the server (-t, -s reload, ...) to its end; stdout and stderr are in the result."""
        self.altered = self.altered or "-s" in args
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert not SANITIZERS.search(done.stdout + done.stderr), done.stderr
        if check is not None:
            assert done.returncode == check, done
        return done

    def explain(self, *args, check=None):
        """hinge explain with this server's configuration, whether it runs or not."""
        done = subprocess.run([self.binary, "explain", "-p", f"{self.home}/", *self.conf, *args], capture_output=True, text=True,
                              timeout=PATIENCE, stdin=subprocess.DEVNULL)
        assert not SANITIZERS.search(done.stdout + done.stderr), done.stderr
        if check is not None:
            assert done.returncode == check, done
        return done

    def start(self, *args):
        self.stderr = open(self.home / "stderr", "ab")
        self.process = subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=self.stderr, stderr=self.stderr)
        wait_until(self._is_up, lambda: f"the pid file\n{self.read('stderr')}\n{self.log}")
        return self

    def _is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"did not start, exit code {self.process.returncode}\n{self.read('stderr')}\n{self.log}")
        return self.read("hinge.pid").strip() == str(self.process.pid)

    @property
    def pid(self):
        self.altered = True  # by whoever sends it signals
        return self.process.pid

    def children(self):
        """The pids of the processes that the started one has begotten: the engine (or nginx's workers)."""
        pid = self.process.pid
        self.altered = True
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as f:
                return [int(p) for p in f.read().split()]
        except FileNotFoundError:
            return []

    def rss(self):
        """Resident memory of all processes, in bytes."""
        total = 0
        for pid in [self.process.pid, *self.children()]:
            try:
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
            except FileNotFoundError:
                continue
            total += sum(int(n) * 1024 for n in re.findall(r"VmRSS:\s+(\d+)", status))
        return total

    def signal(self, number):
        self.altered = True
        os.kill(self.process.pid, number)
        return self

    def reload(self):
        return self.signal(signal.SIGHUP)

    def reload_until(self, condition, what="the new configuration serves", seconds=PATIENCE):
        self.reload()
        wait_until(condition, lambda: f"{what}\n{self.log}", seconds)

    def quit(self):
        """Asks for the graceful end; wait() waits for it."""
        return self.signal(signal.SIGQUIT)

    def terminate(self):
        return self.signal(signal.SIGTERM)

    def wait(self, seconds=PATIENCE):
        """Waits for the process to end, and gives its exit code."""
        try:
            self.exit_code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s\n{self.log}") from None
        return self.exit_code

    def allow(self, pattern):
        """This case causes such an alert or emergency on purpose."""
        self.altered = True
        self.allowed.append(pattern)
        return self

    def begin_case(self):
        """A server that has served other cases starts with empty logs, as far as the new one can see."""
        self.earlier = {path.name: path.stat().st_size for path in self.home.iterdir() if path.name == "stderr" or path.suffix == ".log"}
        return self

    def finish(self):
        """Ends the server if it still runs, and judges it. The directory goes only when all is well."""
        self.earlier = {}
        if self.process:
            if self.process.poll() is None:
                self.terminate()
            try:
                code = self.wait()
            finally:
                self._kill_what_is_left()
                self.stderr.close()
            assert code == 0, f"exit code {code}\n{self.read('stderr')}\n{self.log}"
        bad = self.alarms()
        assert not bad, f"in {self.home}:\n" + "\n".join(bad) + "\n" + self.read("stderr")[-8000:]
        shutil.rmtree(self.home, ignore_errors=True)

    def alarms(self):
        """What it wrote that must not be there."""
        signs = BAD_SIGNS if self.process else SANITIZERS  # a file that is only tested may well be an emergency
        return [line for name in ("error.log", "stderr") for line in self.read(name).splitlines()
                if signs.search(line) and not any(re.search(a, line) for a in self.allowed)]

    def _kill_what_is_left(self):
        """A server that did not obey: its children first, for nobody would know them afterwards."""
        if self.process.poll() is None:
            for pid in [*self.children(), self.process.pid]:
                os.kill(pid, signal.SIGKILL)
            self.process.wait()

    # -- talking to it

    @property
    def address(self):
        return ("127.0.0.1", self.ports["port"])

    def connect(self, port="port", **kwargs):
        return Client(("127.0.0.1", self.ports[port]), **kwargs)

    def ask(self, data, port="port", method=None):
        """Sends these bytes on a connection of their own and reads one answer."""
        with self.connect(port) as c:
            return c.ask(data, method)

    def get(self, target="/", *fields, method="GET", host="localhost", body=None, port="port"):
        """A well-behaved request on a connection of its own."""
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        head = lines(f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, *length)
        return self.ask(head + (body or b""), port, method)

    def post(self, target="/", body=b"", *fields, **kwargs):
        return self.get(target, *fields, method="POST", body=body, **kwargs)


class Starter:
    """Starts servers from ever shorter descriptions, and finishes them all."""

    def __init__(self):
        self.started, self.failed = [], False

    def prepare(self, text, **names):
        """A whole configuration file; not started."""
        self.started.append(Hinge(text, **names))
        return self.started[-1]

    def prepare_http(self, text, **names):
        """The inside of an http block; not started."""
        return self.prepare(HTTP, inside=text, **names)

    def raw(self, text, **names):
        """A whole configuration file."""
        return self.prepare(text, **names).start()

    def http(self, text, **names):
        """The inside of an http block."""
        return self.raw(HTTP, inside=text, **names)

    def prepare_squid(self, text, **names):
        """A squid.conf for --squid; not started."""
        h = self.prepare("", **names)
        h.write("squid.conf", text)
        h.conf = ["--squid", f"{h.dir}/squid.conf", "-g", "daemon off;"]
        return h

    def squid(self, text, **names):
        return self.prepare_squid(text, **names).start()

    def server(self, text, **names):
        """The inside of a server block that listens on %%port%%."""
        return self.http("server {\n listen %%port%%;\n" + text + "\n}", **names)

    def proxy(self, origin, text="", **names):
        """One server that passes everything to `origin`, with further directives in its location."""
        return self.server("location / {\n proxy_pass http://%%origin%%;\n" + text + "\n}", origin=origin, **names)

    def pooled(self, origin, text="", **names):
        """Like proxy(), through an upstream that keeps its idle connections."""
        return self.http("""
            upstream origin { server %%origin%%; keepalive 8; }
            server {
                listen %%port%%;
                location / {
                    proxy_pass http://origin;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                    """ + text + """
                }
            }""", origin=origin, **names)

    def end(self, h):
        h.finish()

    def finish(self):
        failures = []
        for h in self.started:
            try:
                self.end(h)
            except AssertionError as e:
                failures.append(str(e))
        assert not failures, "\n".join(failures)
