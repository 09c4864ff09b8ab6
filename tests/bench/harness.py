"""Starts proxies and an origin, puts load on them, and measures what it costs them.

Everything runs on 127.0.0.0/8. A proxy is pinned to one processor, the load client and the origin share another. CPU is
the user and system time of a proxy's whole process tree.
"""
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from peers import PEERS, program

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")
PORTS = ["PLAIN", "TLS", "FWD", "CACHE", "GZIP", "ROUTES", "L4", "STATIC", "BACKH2"]
FILES = {"1k": 1 << 10, "16k": 16 << 10, "64k": 64 << 10, "1m": 1 << 20}    # what STATIC serves: @DIR@/www/
FIRST_PORT = 20000

_cpus = sorted(os.sched_getaffinity(0))
PROXY_CPU = str(_cpus[0])
CLIENT_CPU = str(_cpus[1 % len(_cpus)])


class Failure(RuntimeError):
    """A peer that does not start, or a load run without a result."""


def pinned(cpu, argv):
    return ["taskset", "-c", cpu] + argv


def compile_c(source, out, libs):
    subprocess.run(["cc", "-O2", "-o", out, source] + libs, check=True)
    return out


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def render(text, values, routes):
    """Replaces @NAME@, and repeats what stands between @FOREACH_ROUTE@ and @END@ with @I@ = 0, 1, ..."""
    def repeat(match):
        return "".join(match.group(1).replace("@I@", str(i)) for i in range(routes))
    text = re.sub(r"@FOREACH_ROUTE@\n(.*?)@END@", repeat, text, flags=re.S)
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def process_tree(pid):
    """pid and all its descendants."""
    children = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu_of(pids):
    """(CPU seconds, of these in user space) of processes."""
    user = system = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/stat", encoding="utf-8", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        user += int(fields[11])
        system += int(fields[12])
    return (user + system) / TICKS, user / TICKS


def memory_of(pids):
    """KB of user memory (PSS) of processes."""
    total = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps_rollup", encoding="utf-8") as f:
                total += int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))
        except OSError:
            continue
    return total


class Bench:
    """The tools, the certificate and the origin that one run shares."""

    def __init__(self, work, backend_port=19000):
        self.work = work
        self.backend_port = backend_port
        self.started = 0
        self.h2_requests = {}
        self.load_tool = compile_c(f"{HERE}/src/load.c", f"{work}/load", ["-lssl", "-lcrypto"])
        origin = compile_c(f"{HERE}/src/backend.c", f"{work}/backend", [])
        os.environ["BENCH_BACKEND"] = origin
        self.values = self.make_certificate()
        self.origin = subprocess.Popen(pinned(CLIENT_CPU, [origin, str(backend_port)]))
        self.origin_h2 = self.start_h2_origin()

    def start_h2_origin(self):
        """The same bytes over HTTP/2 (prior knowledge), when nghttpd is installed."""
        found = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin")
        if not found:
            return None
        os.makedirs(f"{self.work}/h2")
        for name, size in FILES.items():
            with open(f"{self.work}/h2/{name}", "wb") as f:
                f.write(b"x" * size)
        return subprocess.Popen(pinned(CLIENT_CPU, [found, "--no-tls", "-d", f"{self.work}/h2", str(self.backend_port + 1)]),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make_certificate(self):
        cert, key, both = (f"{self.work}/{n}.pem" for n in ("cert", "key", "both"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=bench.test"],
                       check=True, stderr=subprocess.DEVNULL)
        with open(both, "w", encoding="ascii") as out:
            for name in (cert, key):
                with open(name, encoding="ascii") as f:
                    out.write(f.read())
        return {"CERT": cert, "KEY": key, "PEM": both}

    def close(self):
        for origin in filter(None, (self.origin, self.origin_h2)):
            origin.terminate()
            origin.wait()

    def start(self, name, routes=1):
        self.started += 1
        return Proxy(self, name, routes, self.started)

    def load(self, scenario, port, seconds, watch):
        """One run of the load client; its report as a dict. `watch` is called when counting begins and when it ends; its
        two results are the report's "before" and "after"."""
        if scenario.tool == "h2load":
            return self.h2load(scenario, port, seconds, watch)
        args = scenario.load.replace("@ORIGIN@", f"127.0.0.1:{self.backend_port}").split()
        client = subprocess.Popen(pinned(CLIENT_CPU, [self.load_tool, "-s", str(seconds)] + args
                                         + [f"127.0.0.1:{port}", scenario.path]),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        began = client.stdout.readline() == "begin\n"
        before = watch() if began else None
        line = client.stdout.readline()
        after = watch() if line else None
        _, said = client.communicate()
        if not line:
            raise Failure(f"load: {said[-300:]}")
        return dict(json.loads(line), stderr=said[-200:], before=before, after=after)

    def h2load(self, scenario, port, seconds, watch):
        """h2load counts requests, not seconds, so the next run is sized by the last."""
        before = watch()
        requests = self.h2_requests.get(port, 20000)
        done = subprocess.run(pinned(CLIENT_CPU, ["h2load", "-n", str(requests), "--tls13-ciphers=TLS_AES_128_GCM_SHA256"]
                                     + scenario.load.split() + [f"https://127.0.0.1:{port}{scenario.path}"]),
                              capture_output=True, text=True, check=False)
        counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed", done.stdout)
        took = re.search(r"finished in ([\d.]+)(m?)s", done.stdout)
        if not counts or not took:
            raise Failure(f"h2load: {done.stderr[-300:]}")
        elapsed = float(took.group(1)) * (0.001 if took.group(2) else 1)
        self.h2_requests[port] = max(2000, int(requests * seconds / max(elapsed, 0.05)))
        good = int(counts.group(1))
        return dict(requests=good, errors=int(counts.group(2)), rps=good / elapsed, p50=0, p99=0, stderr="",
                    before=before, after=watch())

    def hold(self, port, count, how):
        """A client that holds idle connections, each answered once; ends when its stdin closes."""
        how = how.replace("@ORIGIN@", f"127.0.0.1:{self.backend_port}").split()
        client = subprocess.Popen(pinned(CLIENT_CPU, [self.load_tool, "-i", "-c", str(count)] + how + [f"127.0.0.1:{port}", "/1k"]),
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if client.stdout.readline() != "ready\n":
            client.wait()
            raise Failure(f"cannot hold {count} connections")
        return client


class Proxy:
    """One started peer."""

    def __init__(self, bench, name, routes, number):
        self.name = name
        self.routes = routes
        self.peer = PEERS[name]
        self.bench = bench
        self.dir = f"{bench.work}/{number}-{name}"
        os.makedirs(self.dir, 0o777)
        os.chmod(self.dir, 0o777)
        self.ports = {k: FIRST_PORT + number % 60 * 20 + i for i, k in enumerate(PORTS)}
        values = dict(self.ports, **bench.values, DIR=self.dir, BACKEND=bench.backend_port, BACKEND_H2=bench.backend_port + 1, ID=f"{os.getpid()}x{number}",
                      MODS="/usr/lib/apache2/modules", PROGRAM=self.program())
        self.write_files(values)
        argv = [self.program()] + [render(a, values, 0) for a in self.peer["argv"][1:]]
        env = dict(os.environ, **{k: render(v, values, 0) for k, v in self.peer.get("env", {}).items()})
        with open(f"{self.dir}/out.log", "wb") as log:
            self.process = subprocess.Popen(pinned(PROXY_CPU, argv), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=env, cwd=self.dir, start_new_session=True)
        self.wait_until_up()

    def program(self):
        if "source" not in self.peer:
            return program(self.name)
        source, libs = self.peer["source"]
        out = f"{self.bench.work}/{source[:-2]}"
        return out if os.path.exists(out) else compile_c(f"{HERE}/limit/{source}", out, libs)

    def write_files(self, values):
        for d in self.peer.get("prep", []):
            os.makedirs(f"{self.dir}/{d}")
        if "static" in self.peer["can"]:
            os.makedirs(f"{self.dir}/www")
            for name, size in FILES.items():
                with open(f"{self.dir}/www/{name}", "wb") as f:
                    f.write(b"x" * size)
        if "domains" in self.peer:
            with open(f"{self.dir}/list", "w", encoding="ascii") as f:
                f.writelines(f"host{i}.ads{i % 977}.example\n" for i in range(self.peer["domains"]))
        if "conf" not in self.peer:
            return
        templates = f"{HERE}/peers/{self.peer['conf']}"
        for name in os.listdir(templates):
            with open(f"{templates}/{name}", encoding="utf-8") as f:
                text = f.read()
            for old, new in self.peer.get("sub", []):
                text = text.replace(old, new)
            with open(f"{self.dir}/{name}", "w", encoding="utf-8") as f:
                f.write(render(text, values, self.routes))

    def said(self):
        text = ""
        for name in ("out.log", "error.log"):
            if os.path.exists(f"{self.dir}/{name}"):
                with open(f"{self.dir}/{name}", encoding="utf-8", errors="replace") as f:
                    text += f.read()[-600:]
        return text

    def wait_until_up(self):
        port = self.ports[self.peer.get("first", "PLAIN")]
        for _ in range(200):
            time.sleep(0.05)
            if self.process.poll() is not None:
                raise Failure(f"{self.name} ended: {self.said()}")
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                return
            except OSError:
                pass
        self.stop()
        raise Failure(f"{self.name} does not listen: {self.said()}")

    def alive(self):
        return self.process.poll() is None

    def can(self, what):
        return what in self.peer["can"]

    def measure(self, scenario, seconds):
        """One load run: the client's report and what it cost this proxy, in microseconds a request."""
        pids = process_tree(self.process.pid)
        report = self.bench.load(scenario, self.ports[scenario.port], seconds, lambda: cpu_of(pids))
        (cpu, user), (cpu_after, user_after) = report.pop("before"), report.pop("after")
        requests = max(1, report["requests"])
        report.update(cpu=(cpu_after - cpu) * 1e6 / requests, user=(user_after - user) * 1e6 / requests,
                      memory=memory_of(pids), util=(cpu_after - cpu) / seconds)
        return report

    def idle_bytes(self, count, port="PLAIN", how=""):
        """(bytes of user memory an idle connection, CPU seconds that all of them cost in a second)."""
        pids = process_tree(self.process.pid)
        before = memory_of(pids)
        client = self.bench.hold(self.ports[port], count, how)
        time.sleep(0.5)
        cpu, during = cpu_of(pids)[0], memory_of(pids)
        time.sleep(1)
        cpu_after = cpu_of(pids)[0]
        last, _ = client.communicate()
        if last != "lost 0\n":
            raise Failure(f"idle connections: {last.strip()}")
        return (during - before) * 1024 / count, cpu_after - cpu

    def stop(self):
        pids = process_tree(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        for name in os.listdir("/dev/shm"):     # squid leaves its segments behind
            if name.startswith(f"bench{os.getpid()}x"):
                os.unlink(f"/dev/shm/{name}")
