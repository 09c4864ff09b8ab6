"""Chains through proxies that others wrote: Squid, tinyproxy, microsocks, Dante, curl's own view of it. Tor has a file of its own."""
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time

import pytest
from tools import parents
from tools.ports import free_port
from tools.times import wait_until
from tools.raw import Client
from tools.wire import lines

SQUID = """\
http_port 127.0.0.1:{port}
pid_filename {dir}/squid.pid
cache_log {dir}/cache.log
access_log stdio:{dir}/access.log
cache deny all
coredump_dir {dir}
shutdown_lifetime 0 seconds
visible_hostname squid.test
pinger_enable off
{auth}
"""
AUTH = """auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/users
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""
DANTE = """\
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
socksmethod: {method}
clientmethod: none
user.privileged: {user}
user.unprivileged: {nobody}
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = 9 }}
socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect }}
"""


class Peers:
    def __init__(self):
        self.dir, self.running = tempfile.mkdtemp(prefix="hinge-peers-"), []
        os.chmod(self.dir, 0o777)

    def _start(self, argv, port, name=None):
        name = name or argv[0]
        if not shutil.which(name) and not shutil.which(name, path="/usr/sbin"):
            pytest.skip(f"needs {name}")
        log = open(f"{self.dir}/{name}.out", "ab")
        self.running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        log.close()

        def up():
            assert self.running[-1].poll() is None, open(f"{self.dir}/{name}.out").read()
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", port)) == 0
        wait_until(up, f"{name} listens")
        return port

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w") as f:
            f.write(text)
        return f"{self.dir}/{name}"

    def squid(self, users=None, more=""):
        port = free_port()
        if users:
            self.write("users", users)
        auth = AUTH.format(dir=self.dir) if users else "http_access allow all\n" + more
        conf = self.write("squid.conf", SQUID.format(port=port, dir=self.dir, auth=auth))
        self.service = f"t{os.getpid()}x{port}"
        return self._start(["squid", "-N", "-n", self.service, "-f", conf], port)

    def tinyproxy(self, more=""):
        port = free_port()
        conf = self.write("tinyproxy.conf", f'Port {port}\nListen 127.0.0.1\nTimeout 20\nLogFile "{self.dir}/tiny.log"\nViaProxyName "tiny"\n{more}\n')
        return self._start(["tinyproxy", "-d", "-c", conf], port)

    def microsocks(self, *args):
        port = free_port()
        return self._start(["microsocks", "-i", "127.0.0.1", "-p", str(port), *args], port)

    def dante(self, users=None):
        """Its passwords are those of the system's users: with `users` (name: password) it sees files of ours in the place of the system's."""
        port, root = free_port(), os.geteuid() == 0
        own = pwd.getpwuid(os.geteuid()).pw_name
        conf = self.write("danted.conf", DANTE.format(port=port, method="username" if users else "none", user=own, nobody="nobody" if root else own))
        argv = ["danted", "-f", conf, "-p", f"{self.dir}/danted.pid"]
        if users:
            if not root:
                pytest.skip("files in the place of /etc/passwd and /etc/shadow need root")
            known, secret = open("/etc/passwd").read(), ""
            for n, (user, password) in enumerate(users.items()):
                known += f"{user}:x:{54321 + n}:65534::/nonexistent:/usr/sbin/nologin\n"
                secret += f"{user}:{subprocess.run(['openssl', 'passwd', '-6', password], capture_output=True, text=True, check=True).stdout.strip()}:19000:0:99999:7:::\n"
            known, secret = self.write("passwd", known), self.write("shadow", secret)
            put = 'mount --bind "$0" /etc/passwd && mount --bind "$1" /etc/shadow && shift && exec "$@"'
            if subprocess.run(["unshare", "--mount", "sh", "-c", put, known, secret, "true"], capture_output=True).returncode:
                pytest.skip("needs a mount namespace")
            argv = ["unshare", "--mount", "sh", "-c", put, known, secret, *argv]
        return self._start(argv, port, "danted")

    def close(self):
        for p in self.running:
            p.terminate()
        for p in self.running:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for name in os.listdir("/dev/shm"):  # squid leaves its segments behind
            if name.startswith(getattr(self, "service", "none")):
                os.unlink(f"/dev/shm/{name}")
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture
def peers():
    p = Peers()
    yield p
    p.close()


def proxy(hinge, server, names):
    return hinge.http(f"resolver {names}; forward {{ listen %%port%%; access_log off; connect_ports all; egress_allow 127.0.0.0/8; parent p {{ server {server}; }} route p; }}")


def both_ways(h, origin, names):
    """A request and a tunnel to a name that is nobody's to ask for but the parent's."""
    url = f"http://localhost:{origin.port}/a?b"
    for _ in range(2):
        got = h.ask(lines(f"GET {url} HTTP/1.1", f"Host: localhost:{origin.port}", "Connection: close"))
        assert got.status == 200 and got.json()["target"] == "/a?b", got
    body = b"x" * 100000
    time.sleep(0.1)  # tinyproxy closes behind an answer without having said so: a POST that met that would not be sent again
    got = h.ask(lines(f"POST {url} HTTP/1.1", f"Host: localhost:{origin.port}", "Connection: close", f"Content-Length: {len(body)}") + body, method="POST")
    assert got.status == 200 and got.json()["length"] == len(body)
    told = subprocess.run(["curl", "-sS", "-p", "-x", f"http://127.0.0.1:{h.ports['port']}", "--max-time", "10", url], capture_output=True, text=True, timeout=20,
                          env={"PATH": "/usr/bin:/bin"})
    assert told.returncode == 0 and '"target": "/a?b"' in told.stdout, told
    assert names.asked == []


def test_squid(hinge, backend, peers, names):
    both_ways(proxy(hinge, f"http://127.0.0.1:{peers.squid()}", names), backend(), names)


def test_squid_by_connect(hinge, backend, peers, names):
    both_ways(proxy(hinge, f"connect://127.0.0.1:{peers.squid()}", names), backend(), names)


def test_squid_asks_for_a_password(hinge, backend, peers, names):
    port = peers.squid(users="tom:$apr1$abcdefgh$8Jgjk6A4mhHXoYfTpJUAq0\nann:" + subprocess.run(["openssl", "passwd", "-apr1", "s:cret"], capture_output=True, text=True).stdout)
    origin = backend()
    both_ways(proxy(hinge, f"http://ann:s%3Acret@127.0.0.1:{port}", names), origin, names)
    h = proxy(hinge, f"http://ann:wrong@127.0.0.1:{port}", names)
    got = h.ask(lines(f"GET http://localhost:{origin.port}/ HTTP/1.1", f"Host: localhost:{origin.port}", "Connection: close"))
    assert got.status == 502 and "Proxy-Authenticate" not in got


def test_tinyproxy(hinge, backend, peers, names):
    both_ways(proxy(hinge, f"http://127.0.0.1:{peers.tinyproxy()}", names), backend(), names)


def test_microsocks(hinge, backend, peers, names):
    both_ways(proxy(hinge, f"socks5://127.0.0.1:{peers.microsocks()}", names), backend(), names)


def test_microsocks_asks_for_a_password(hinge, backend, peers, names):
    port = peers.microsocks("-u", "ann", "-P", "secret")
    both_ways(proxy(hinge, f"socks5://ann:secret@127.0.0.1:{port}", names), backend(), names)
    h = proxy(hinge, f"socks5://127.0.0.1:{port}", names)
    assert h.ask(lines("GET http://a.test/ HTTP/1.1", "Host: a.test", "Connection: close")).status == 502
    h.wait_log("hop 1 of 1, socks5://127.0.0.1:[0-9]+: it wants credentials")


def test_dante(hinge, backend, peers, names):
    both_ways(proxy(hinge, f"socks5://127.0.0.1:{peers.dante()}", names), backend(), names)


def test_dante_asks_for_a_password(hinge, backend, peers, names):
    port, origin = peers.dante({"ann": "s:cret", "bob": "x" * 200}), backend()
    both_ways(proxy(hinge, f"socks5://ann:s%3Acret@127.0.0.1:{port}", names), origin, names)
    h = proxy(hinge, f"socks5://bob:{'x' * 200}@127.0.0.1:{port}", names)
    assert h.ask(lines(f"GET http://localhost:{origin.port}/ HTTP/1.1", f"Host: localhost:{origin.port}", "Connection: close")).status == 200
    for credentials, why in (("ann:wrong@", "it refused the credentials"), ("eve:s%3Acret@", "it refused the credentials"), ("", "it wants credentials")):
        h = proxy(hinge, f"socks5://{credentials}127.0.0.1:{port}", names)
        assert h.ask(lines(f"GET http://localhost:{origin.port}/ HTTP/1.1", f"Host: localhost:{origin.port}", "Connection: close")).status == 502
        h.wait_log(f"hop 1 of 1, socks5://127.0.0.1:[0-9]+: {why}")


def test_what_dante_refuses(hinge, peers, names):
    """By its rules, for a port that nobody listens on, and for a name that nobody knows: 502, and the log has its reason."""
    h = proxy(hinge, f"socks5://127.0.0.1:{peers.dante()}", names)
    for target, why in (("localhost:9", "code 2 .not allowed"), (f"localhost:{free_port()}", "code 5 .connection refused"), ("nowhere.invalid", "code 4 .host unreachable")):
        assert h.ask(lines(f"GET http://{target}/ HTTP/1.1", f"Host: {target}", "Connection: close")).status == 502
        h.wait_log(f"hop 1 of 1, socks5://127.0.0.1:[0-9]+: it answered with {why}")
    assert names.asked == []


def test_all_of_them_in_a_row(hinge, backend, peers, names):
    """And another hinge at the end, which is asked by TLS-less HTTP as everybody else."""
    last = hinge.http("forward { listen %%port%%; access_log off; connect_ports all; egress_allow 127.0.0.0/8; }")
    way = f"http://127.0.0.1:{peers.squid()} socks5://127.0.0.1:{peers.microsocks()} socks5://127.0.0.1:{peers.dante()} connect://127.0.0.1:{peers.tinyproxy()} http://127.0.0.1:{last.ports['port']}"
    both_ways(proxy(hinge, way, names), backend(), names)


def test_what_a_parent_says_of_a_target(hinge, peers, names):
    """Names that nobody knows: an answer of the parent's own in absolute form, 502 for a tunnel."""
    h = proxy(hinge, f"http://127.0.0.1:{peers.squid()}", names)
    assert h.ask(lines("GET http://nowhere.invalid/ HTTP/1.1", "Host: nowhere.invalid", "Connection: close")).status in (502, 503)
    assert h.ask(lines("CONNECT nowhere.invalid:443 HTTP/1.1", "Host: nowhere.invalid:443"), method="CONNECT").status == 502
    h.wait_log("it answered CONNECT with 50[0-9] ")
    assert names.asked == []


PEER = "cache_peer 127.0.0.1 parent {port} 0 no-query no-digest no-netdb-exchange name={name} {options}"
LINES = {
    "one": (["default"], []),
    "never": (["default"], ["never_direct allow all"]),
    "nonhierarchical": (["", ""], ["nonhierarchical_direct off"]),
    "always": ([""], ["acl posts method POST", "never_direct allow all", "always_direct allow posts"]),
    "connects": (["", ""], ["never_direct allow CONNECT"]),
    "deny": ([""], ["acl posts method POST", "never_direct deny posts"]),
    "turns": (["round-robin", "round-robin", ""], ["never_direct allow all"]),
    "access": (["", ""], ["acl posts method POST", "never_direct allow all", "cache_peer_access p0 allow posts", "cache_peer_access p0 deny all", "cache_peer_access p1 deny CONNECT",
                         "cache_peer_access p1 allow all"]),
    "default": (["default", "", "round-robin"], ["never_direct allow all"]),
}


@pytest.mark.parametrize("which", LINES)
def test_squid_chooses_the_same_way(hinge, backend, peers, which):
    """The same lines, the same requests: who is asked for what, and what the client gets."""
    options, rules = LINES[which]
    origin = backend()
    at = f"127.0.0.1:{origin.port}"

    def ask(address):
        told = []
        for method, *fields in [("GET",), ("POST", "Content-Length: 0"), ("HEAD",), ("GET", "Authorization: Basic eDp5"), ("CONNECT",), ("DELETE",), ("GET",), ("GET",), ("GET",)]:
            with Client(address) as c:
                target = at if method == "CONNECT" else f"http://{at}/"
                told.append(c.ask(lines(f"{method} {target} HTTP/1.1", f"Host: {at}", "Connection: close", *fields), method=method).status // 100)
        return told

    def world():
        far = [parents.Parent() for _ in options]
        return far, [PEER.format(port=p.port, name=f"p{i}", options=o) for i, (p, o) in enumerate(zip(far, options))] + rules

    far, text = world()
    # its own measurements of how near a target is are none of ours
    port = peers.squid(more="\n".join([*text, "server_persistent_connections off", "minimum_direct_rtt 0", "minimum_direct_hops 0"]))
    by_squid = ask(("127.0.0.1", port)), [sorted(a.head.split()[0] for a in p.asked) for p in far]
    ours, text = world()
    h = hinge.http(f"forward {{ listen %%port%%; access_log off; connect_ports all; egress_allow 127.0.0.0/8; {'; '.join(text)}; }}")
    by_us = ask(("127.0.0.1", h.ports["port"])), [sorted(a.head.split()[0] for a in p.asked) for p in ours]
    for p in far + ours:
        p.close()
    if which == "turns":  # who begins is nobody's to say
        by_squid, by_us = ([w[0], sorted(len(a) for a in w[1])] for w in (by_squid, by_us))
    assert by_us == by_squid
