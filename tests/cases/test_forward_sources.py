"""The forward proxies of the articles that describe this product, as they are printed: each starts, and does what its article says. Squid's
snippets are served by Squid beside it, to the same clients, and both say the same."""
import os
import re
import shutil
import subprocess

import pytest
from tools import dns
from tools.backend import serve
from tools.namespaces import Network
from tools.times import PATIENCE, SLOW, wait_until
from tools.wire import answer, lines

PUBLIC = "93.184.216.34"
NAMES = ("example.com", "www.facebook.com", "facebook.com", "notfacebook.com", "www.youtube.com", "httpbin.org")


# -- nginx as a forward proxy, with what it can by itself

NGINX = r"""
# Forward Proxy Configuration using Nginx + ngx_http_proxy_connect_module
# This turns Nginx into a forward proxy that corporate clients route through.
# NOTE: Standard Nginx doesn't support CONNECT (HTTPS tunneling) out of the box.
# You need the ngx_http_proxy_connect_module patch for full HTTPS support.
# This example shows HTTP forward proxying which works with vanilla Nginx.

server {
    # The port corporate clients point their browser proxy settings at
    listen 8888;

    # resolver is required so Nginx can resolve the destination hostname dynamically
    # 8.8.8.8 is Google's public DNS — replace with your internal DNS in production
    resolver 8.8.8.8;

    location / {
        # $http_host captures the destination host the client requested
        # $request_uri captures the full path and query string
        # Together they reconstruct the original target URL
        proxy_pass http://$http_host$request_uri;

        # Forward the real client IP in a custom header so destination servers
        # can log who actually made the request (optional, reduces anonymity)
        proxy_set_header X-Forwarded-For $remote_addr;

        # Pass along the original Host header so the destination server
        # knows which virtual host it's being asked for
        proxy_set_header Host $http_host;
    }

    # Block access to internal/private IP ranges — critical security rule.
    # Without this, an attacker could use YOUR proxy to attack your own internal network
    # (known as Server-Side Request Forgery, SSRF)
    location ~* ^http://(10\.|192\.168\.|172\.(1[6-9]|2[0-9]|3[01])\.) {
        # Return 403 Forbidden for any request targeting private IP space
        return 403 "Access to private network ranges is blocked";
    }
}
"""


class TestNginx:
    @pytest.fixture
    def proxy(self, hinge, backend):
        origin = backend()
        names = dns.Server({"example.com": "127.0.0.1", "inside.example": "10.0.0.5"})
        text = NGINX.replace("listen 8888;", "listen %%port%%; egress_allow 127.0.0.1; access_log a.log;").replace("8.8.8.8;", f"{names};")
        h = hinge.prepare("daemon off; pid hinge.pid; error_log error.log info;" + text)
        h.origin = origin
        h.allow("nginx.conf")
        h.start("--lenient")
        yield h
        names.close()

    def ask(self, h, url):
        return h.ask(lines(f"GET {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close"))

    def test_it_forwards(self, proxy):
        got = self.ask(proxy, f"http://example.com:{proxy.origin.port}/a?b").json()
        fields = dict(got["headers"])
        assert got["target"] == "/a?b" and fields["Host"] == f"example.com:{proxy.origin.port}" and fields["X-Forwarded-For"] == "127.0.0.1"
        assert f'"GET http://example.com:{proxy.origin.port}/a?b HTTP/1.1" 200' in proxy.wait_lines("a.log")[0]

    @pytest.mark.parametrize("url", ["http://10.0.0.5/", "http://192.168.1.1/", "http://172.16.0.1/", "http://inside.example/", "http://169.254.169.254/latest",
                                     "http://0x0a000005/", "http://[::ffff:10.0.0.5]/"])
    def test_private_networks_stay_out_of_reach(self, proxy, url):
        """The article's second location never matches, for a location sees the path alone; what it is meant for holds by itself."""
        assert self.ask(proxy, url).status in (400, 403)
        assert not proxy.origin.connections

    def test_no_connect_without_the_module(self, proxy):
        assert proxy.ask(lines("CONNECT example.com:443 HTTP/1.1", "Host: example.com:443"), method="CONNECT").status == 405

    def test_it_is_told_that_the_location_never_matches(self, proxy):
        told = proxy.run("-t", "--lenient").stderr
        assert re.search(r"\[warn\] .*(?:\n.*)*location ~\* \^http://", told), told


# -- Squid's snippets

OFFICE = """\
http_port 3128
acl allowed_clients src 192.168.1.0/24
http_access allow allowed_clients
http_access deny all
"""
SCHOOL = """\
# Squid proxy configuration
acl blocked_sites dstdomain .facebook.com .youtube.com
http_access deny blocked_sites
"""
BESIDE = """
pid_filename {dir}/squid.pid
cache_log {dir}/cache.log
access_log none
coredump_dir {dir}
cache_effective_user proxy
netdb_filename none
pinger_enable off
shutdown_lifetime 1 seconds
visible_hostname beside.test
"""


@pytest.fixture
def place(hinge, backend, tmp_path):
    """place(squid.conf, clients' addresses): get(url, address) asks hinge and Squid, which serve the same file, and gives what both say."""
    net, running = Network(), []

    def start(text, *clients):
        client, proxy, world = (net.host(n) for n in ("client", "proxy", "world"))
        gates = [re.sub(r"\d+$", "1", c) for c in clients]
        net.cable(client, [f"{c}/24" for c in clients], proxy, [f"{g}/24" for g in gates])
        net.cable(proxy, ["93.184.216.1/24"], world, [f"{PUBLIC}/24"])
        peers = []

        def site(conn):
            peers.append(conn.sock.getpeername()[0])
            serve(lambda req: answer(f"{req['Host']} {req['X-Forwarded-For']}".encode()))(conn)
        with world.inside():
            backend(site, address=PUBLIC, port=80)
            backend(site, address=PUBLIC, port=443)
            running.append(dns.Server({n: PUBLIC for n in NAMES}, address=PUBLIC, port=53))
        proxy.names_from(PUBLIC, tmp_path / "resolv.conf")
        h = hinge.prepare_squid(text, host=proxy)
        h.start()
        beside = start_squid(proxy, text.replace("3128", "3129"))

        def ask(port, url, address, *more):
            gate = gates[clients.index(address)]
            words = client.command("curl", "-s", "--max-time", 20 * SLOW, "--interface", address, "-x", f"http://{gate}:{port}", "-o", f"{tmp_path}/body",
                                   "-w", "%{http_connect}" if "-p" in more else "%{http_code}", *more, url)
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE * 4, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
            body = (tmp_path / "body").read_text() if done.stdout == "200" and "-p" not in more else ""
            return int(done.stdout), body

        def get(url, address, *more):
            ours = ask(3128, url, address, *more)
            if beside:
                assert ask(3129, url, address, *more) == ours
            return ours
        get.server, get.peers, get.beside = h, peers, beside
        return get

    def start_squid(host, text):
        if not shutil.which("squid") and not os.path.exists("/usr/sbin/squid"):
            return False
        home = tmp_path / "squid"
        home.mkdir(mode=0o777)
        home.chmod(0o777)
        for parent in home.parents:
            if str(parent).startswith("/tmp/pytest"):
                parent.chmod(parent.stat().st_mode | 0o011)
        (home / "squid.conf").write_text(text + BESIDE.format(dir=home))
        log = open(home / "out", "wb")
        p = subprocess.Popen(host.command("/usr/sbin/squid", "-N", "-n", f"t{os.getpid()}s", "-f", home / "squid.conf"), stdout=log, stderr=log, cwd=home)
        running.append(p)

        def listens():
            assert p.poll() is None, (home / "out").read_text() + (home / "cache.log").read_text()
            return re.search(r":0C39 \S+ 0A", "".join(open(f"/proc/{p.pid}/net/{f}").read() for f in ("tcp", "tcp6")))
        wait_until(listens, "Squid listens", seconds=PATIENCE * 4)
        return True

    yield start
    try:
        hinge.finish()
    finally:
        hinge.started = []
        for r in running:
            r.close() if hasattr(r, "close") else r.terminate()
        for r in running:
            if hasattr(r, "wait"):
                r.wait()
        for name in os.listdir("/dev/shm"):  # Squid leaves its segments behind
            if name.startswith(f"t{os.getpid()}s"):
                os.unlink(f"/dev/shm/{name}")
        net.close()


def test_the_office_lets_its_network_out(place):
    get = place(OFFICE, "192.168.1.100", "192.168.2.100")
    status, body = get("http://example.com/", "192.168.1.100")
    assert (status, body) == (200, "example.com 192.168.1.100"), "forwarded_for is on, as in Squid"
    assert get("http://example.com/", "192.168.2.100")[0] == 403
    assert get("http://example.com:443/", "192.168.1.100", "-p")[0] == 200
    assert get("http://example.com:443/", "192.168.2.100", "-p")[0] == 403
    assert set(get.peers) == {"93.184.216.1"}, "the server sees the proxy as the client"


def test_the_school_blocks_social_media(place):
    """Where Squid has only a rule that denies, everybody else may: so the article's two lines do what it says, and -t warns of an open proxy."""
    get = place("http_port 3128\n" + SCHOOL, "10.10.0.7")
    for host, status in {"www.facebook.com": 403, "facebook.com": 403, "www.youtube.com": 403, "notfacebook.com": 200, "example.com": 200}.items():
        assert get(f"http://{host}/", "10.10.0.7")[0] == status, host
        assert get(f"http://{host}:443/", "10.10.0.7", "-p")[0] == status, host
    assert "this is an open proxy" in get.server.run("-t", check=0).stderr


def test_a_snippet_on_one_line_is_told(hinge):
    """As one article prints it: its line ends are lost, so that all of it is a comment."""
    text = "# Squid proxy configuration acl blocked_sites dstdomain .facebook.com .youtube.com http_access deny blocked_sites\n"
    assert 'this comment holds "acl" and "http_access": are line ends missing?' in hinge.prepare_squid("http_port %%port%%\n" + text).run("-t").stderr
    told = hinge.prepare_squid("http_port %%port%%\n" + text.partition("configuration ")[2]).run("-t").stderr
    assert '"http_access" is taken as a domain, not as a directive: is a line end missing?' in told


def test_the_same_rules_in_a_block(hinge, backend):
    """The articles' words in a forward block: with semicolons, and with a last word about who may come in."""
    origin = backend()
    names = dns.Server({n: "127.0.0.1" for n in NAMES})
    try:
        h = hinge.http(f"""forward {{ listen %%port%%; resolver {names}; egress_allow 127.0.0.0/8;
            acl allowed_clients src 127.0.0.0/8; acl blocked_sites dstdomain .facebook.com .youtube.com;
            http_access deny blocked_sites; http_access allow allowed_clients; http_access deny all; }}""")
        for host, status in {"www.facebook.com": 403, "notfacebook.com": 200, "example.com": 200}.items():
            at = f"{host}:{origin.port}"
            got = h.ask(lines(f"GET http://{at}/ HTTP/1.1", f"Host: {at}", "Connection: close"))
            assert got.status == status
        assert "X-Forwarded-For" not in str(origin.requests), "hides the client's identity"
        h.wait_log(r"www.facebook.com:\d+ is refused by http_access")
    finally:
        names.close()
