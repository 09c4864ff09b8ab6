"""Real clients that name the forward proxy as theirs: by option, by file, by environment, by PAC file.

The names of the origin are known to the proxy's DNS server alone: a client that looked for them itself would find nothing.
"""
import gzip
import hashlib
import http.server
import os
import re
import shutil
import socketserver
import subprocess
import threading
import urllib.parse

import pytest
from tools import dns
from tools.browser import BROWSER, dom
from tools.certs import certificate
from tools.ports import free_port
from tools.times import PATIENCE, wait_until

SITE = certificate("site.test", alt="DNS:site.test,DNS:other.test,IP:127.0.0.1")
BIG = os.urandom(1 << 20)


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"needs {program}")


class World:
    """An origin (site.test and other.test, over http and https, with files) and a proxy that reaches it."""

    def __init__(self, hinge, tree, names, home):
        self.tree, self.home, self.names = tree, home, names
        tree.file("hello", "hello\n")
        tree.file("big", BIG)
        self.origin = hinge.http(f"""
            trusted_proxies none; log_format t '$scheme $server_protocol $request_uri';
            server {{ listen %%port%%; listen %%port2%% ssl; http2 on; {SITE.lines} client_max_body_size 0;
                      root {tree}; access_log %%dir%%/a.log t;
                      location /echo {{ client_body_buffer_size 4m; proxy_pass http://%%port3%%; }} }}
            server {{ listen %%port3%%; return 200 '$request_method $content_length\\n'; }}""", access_log="")
        self.http, self.https = (self.origin.ports[p] for p in ("port", "port2"))
        self.hinge = hinge

    def start(self, rules="", extra="", **files):
        """The proxy; `rules` into its block. More ports that CONNECT may ask for: `extra`."""
        h = self.hinge.prepare_http(f"""
            log_format t '$request $status $remote_user';
            forward {{ listen %%port%%; listen %%port2%% ssl; {SITE.lines} egress_allow 127.0.0.0/8; connect_ports {self.https} {extra}; resolver {self.names};
                       access_log %%dir%%/a.log t; proxy_pac on; {rules} }}""", access_log="")
        for name, text in files.items():
            h.write(name, text)
        self.proxy = h.start()
        self.url = f"http://127.0.0.1:{h.ports['port']}"
        return self

    @property
    def sealed(self):
        """The proxy itself by TLS."""
        return f"https://127.0.0.1:{self.proxy.ports['port2']}"

    @property
    def plain(self):
        return f"http://site.test:{self.http}"

    @property
    def secure(self):
        return f"https://site.test:{self.https}"

    @property
    def connected(self):
        return f"CONNECT site.test:{self.https} 200 -"

    def env(self, **more):
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", "http_proxy": self.url, "https_proxy": self.url, **more}

    def run(self, *args, env=None, check=0, **kwargs):
        done = subprocess.run([str(a) for a in args], capture_output=True, timeout=PATIENCE * 4, env=env or self.env(), stdin=subprocess.DEVNULL, **kwargs)
        assert done.returncode == check, (done.stdout[-2000:], done.stderr[-2000:])
        return done

    def curl(self, *args, **kwargs):
        return self.run("curl", "-sS", "--cacert", SITE.cert, *args, **kwargs).stdout

    def log(self, n=1):
        """What the proxy was asked: lines of its access log, without the version, once there are n."""
        return [re.sub(r" HTTP/\d\.\d", "", line) for line in self.proxy.wait_lines("a.log", n)]

    def idle(self):
        """Whether nobody came to the proxy."""
        return not self.proxy.read("a.log")


@pytest.fixture
def world(hinge, tree, tmp_path):
    names = dns.Server({"site.test": "127.0.0.1", "other.test": "127.0.0.1"})
    yield World(hinge, tree, names, tmp_path)
    names.close()


class TestCurl:
    def test_http_and_https(self, world):
        world.start()
        assert world.curl("-x", world.url, f"{world.plain}/hello") == b"hello\n"
        assert world.curl("-x", world.url, f"{world.secure}/hello") == b"hello\n"
        assert world.log(2) == [f"GET {world.plain}/hello 200 -", world.connected]

    def test_one_tunnel_is_used_again_and_speaks_http_2(self, world):
        world.start()
        assert world.curl("-x", world.url, "--http2", f"{world.secure}/hello", f"{world.secure}/hello") == b"hello\n" * 2
        assert world.log(1) == [world.connected]
        assert world.origin.wait_lines("a.log", 2) == ["https HTTP/2.0 /hello"] * 2

    def test_a_tunnel_for_http(self, world):
        world.start(extra=world.http)
        assert world.curl("-x", world.url, "--proxytunnel", f"{world.plain}/hello") == b"hello\n"
        assert world.log() == [f"CONNECT site.test:{world.http} 200 -"]

    def test_a_proxy_that_is_reached_by_tls(self, world):
        """And TLS inside of it."""
        world.start("auth_basic staff; auth_basic_user_file users;", users="tom:{PLAIN}secret\n")
        for url in (world.plain, world.secure):
            assert world.curl("-x", world.sealed, "--proxy-cacert", SITE.cert, "-U", "tom:secret", f"{url}/big") == BIG
        world.curl("-x", world.sealed, f"{world.plain}/hello", check=60)
        assert [line.split()[-2:] for line in world.log(2)] == [["200", "tom"]] * 2

    def test_an_old_proxy_client(self, world):
        world.start()
        assert world.curl("--proxy1.0", world.url[7:], "-p", f"{world.secure}/hello") == b"hello\n"
        assert world.curl("-x", world.url, "--http1.0", f"{world.plain}/hello") == b"hello\n"

    @pytest.mark.parametrize("by", ["--proxy-basic", "--proxy-anyauth"])
    def test_users(self, world, by):
        world.start("auth_basic staff; auth_basic_user_file users;", users="tom:{PLAIN}secret\n")
        for url in (f"{world.plain}/hello", f"{world.secure}/hello"):
            assert world.curl("-x", world.url, by, "--proxy-user", "tom:secret", url) == b"hello\n"
        wanted = {f"GET {world.plain}/hello 200 tom", f"CONNECT site.test:{world.https} 200 tom"}
        wait_until(lambda: wanted <= set(world.log(2)), lambda: f"{wanted} in {world.log(2)}")  # a tunnel is logged when it ends
        assert world.curl("-x", world.url, "-o", "/dev/null", "-w", "%{http_code}", f"{world.plain}/hello") == b"407"
        assert world.curl("-x", world.url, "-o", "/dev/null", "-w", "%{http_connect}", "-U", "tom:wrong", f"{world.secure}/hello", check=56) == b"407"

    def test_what_is_not_for_the_proxy(self, world):
        world.start()
        direct = f"http://127.0.0.1:{world.http}/hello"
        assert world.curl(direct, env=world.env(no_proxy="127.0.0.1")) == b"hello\n"
        assert world.curl("--noproxy", "*", direct) == b"hello\n"
        assert world.idle()
        assert world.curl(direct) == b"hello\n"
        assert world.log() == [f"GET {direct} 200 -"]

    def test_uploads_and_ranges(self, world, tmp_path):
        world.start()
        (tmp_path / "up").write_bytes(BIG)
        for url in (world.plain, world.secure):
            assert world.curl("-T", tmp_path / "up", f"{url}/echo") == f"PUT {len(BIG)}\n".encode()
            assert world.curl("-T", tmp_path / "up", "-H", "Transfer-Encoding: chunked", "--http1.1", f"{url}/echo") == f"PUT {len(BIG)}\n".encode()
            assert world.curl("-r", "1000-1999", f"{url}/big") == BIG[1000:2000]

    def test_a_refusal_has_its_reason(self, world):
        world.start()
        assert world.curl("-o", "/dev/null", "-w", "%{http_code}", "http://169.254.169.254/latest") == b"403"
        assert world.curl("-o", "/dev/null", "-w", "%{http_connect}", "https://site.test:1/", check=56) == b"403"
        assert world.curl("-o", "/dev/null", "-w", "%{http_code}", "http://nowhere.test/") == b"502"


class TestSocks:
    """The same port, asked in another language. curl leaves names to the proxy with socks4a and socks5h."""

    @pytest.mark.parametrize("scheme", ["socks5h", "socks4a"])
    def test_names_and_tls(self, world, scheme):
        world.start()
        proxy = world.url.replace("http", scheme)
        assert world.curl("-x", proxy, f"{world.plain}/hello") == b"hello\n"
        assert world.curl("-x", proxy, f"{world.secure}/hello") == b"hello\n"
        assert world.origin.wait_lines("a.log", 2) == ["http HTTP/1.1 /hello", "https HTTP/2.0 /hello"]

    @pytest.mark.parametrize("scheme", ["socks5", "socks4"])
    def test_addresses(self, world, scheme):
        world.start()
        proxy = world.url.replace("http", scheme)
        assert world.curl("-x", proxy, f"http://127.0.0.1:{world.http}/big") == BIG
        assert world.curl("-x", proxy, "-k", "-T", SITE.cert, f"https://127.0.0.1:{world.https}/echo").startswith(b"PUT ")

    def test_by_environment(self, world):
        world.start()
        env = world.env(ALL_PROXY=world.url.replace("http", "socks5h"), http_proxy="", https_proxy="")
        assert world.curl(f"{world.plain}/hello", env=env) == b"hello\n"
        assert world.curl(f"http://127.0.0.1:{world.http}/hello", env={**env, "no_proxy": "127.0.0.1"}) == b"hello\n"
        assert len(world.log(1)) == 1

    def test_what_is_refused(self, world):
        world.start("socks_ports 443;")
        proxy = world.url.replace("http", "socks5h")
        world.curl("-x", proxy, f"{world.plain}/hello", check=97)
        world.curl("-x", proxy, "http://169.254.169.254:443/", check=97)
        world.curl("-x", proxy, "https://nowhere.test/", check=97)

    def test_git(self, world, tmp_path):
        world.start()
        bare = world.tree.path / "own.git"
        world.run("git", "init", "-q", "--bare", bare)
        world.run("git", "--git-dir", bare, "update-server-info")
        world.run("git", "-c", f"http.proxy={world.url.replace('http', 'socks5h')}", "clone", "-q", f"{world.plain}/own.git", tmp_path / "copy")
        assert any("/own.git/info/refs" in line for line in world.origin.wait_lines("a.log"))


@needs("wget")
class TestWget:
    def test_http_and_https(self, world, tmp_path):
        world.start()
        for url in (world.plain, world.secure):
            world.run("wget", "-q", "--ca-certificate", SITE.cert, "-O", tmp_path / "out", f"{url}/big")
            assert (tmp_path / "out").read_bytes() == BIG
        assert world.log(2) == [f"GET {world.plain}/big 200 -", world.connected]

    def test_a_download_goes_on(self, world, tmp_path):
        world.start()
        (tmp_path / "big").write_bytes(BIG[:100_000])
        world.run("wget", "-q", "-c", f"{world.plain}/big", cwd=tmp_path)
        assert (tmp_path / "big").read_bytes() == BIG
        assert world.log() == [f"GET {world.plain}/big 206 -"]

    def test_users_and_exceptions(self, world, tmp_path):
        world.start("auth_basic staff; auth_basic_user_file users;", users="tom:{PLAIN}secret\n")
        world.run("wget", "-q", "-O", tmp_path / "out", "--proxy-user=tom", "--proxy-password=secret", f"{world.plain}/hello")
        world.run("wget", "-q", "-O", tmp_path / "out", "--tries=1", f"{world.plain}/hello", check=8)
        world.run("wget", "-q", "-O", tmp_path / "out", f"http://127.0.0.1:{world.http}/hello", env=world.env(no_proxy="127.0.0.1"))
        assert [line.split()[2:] for line in world.log(2)][0] == ["200", "tom"] and len(world.log(2)) == 2


class TestPython:
    @pytest.mark.parametrize("fetch", [
        "import ssl, urllib.request as u; print(u.urlopen(url, context=ssl.create_default_context(cafile=ca)).read().decode(), end='')",
        "import httpx; print(httpx.get(url, verify=ca, timeout=20).text, end='')",
        "import asyncio, httpx\nasync def f():\n    async with httpx.AsyncClient(verify=ca, timeout=20) as c:\n        print((await c.get(url)).text, end='')\nasyncio.run(f())",
    ], ids=["urllib", "httpx", "httpx-async"])
    def test_by_environment(self, world, fetch):
        world.start()
        def get(url, **env):
            return world.run("/usr/bin/python3", "-c", f"url, ca = {url!r}, {SITE.cert!r}\n{fetch}", env=world.env(**env)).stdout
        assert get(f"{world.plain}/hello") == b"hello\n"
        assert get(f"{world.secure}/hello") == b"hello\n"
        seen = world.log(2)
        assert seen == [f"GET {world.plain}/hello 200 -", world.connected]
        assert get(f"http://127.0.0.1:{world.http}/hello", no_proxy="127.0.0.1") == b"hello\n"
        assert world.log(2) == seen
        assert get(f"http://127.0.0.1:{world.http}/hello", no_proxy="site.test") == b"hello\n"
        assert len(world.log(3)) == 3

    def test_a_password_in_the_environment(self, world):
        world.start("auth_basic staff; auth_basic_user_file users;", users="tom:{PLAIN}p%23\n")
        own = world.url.replace("//", "//tom:p%2523@")
        env = world.env(http_proxy=own, https_proxy=own)
        for url in (world.plain, world.secure):
            text = f"import httpx; print(httpx.get('{url}/hello', verify='{SITE.cert}', timeout=20).text, end='')"
            assert world.run("/usr/bin/python3", "-c", text, env=env).stdout == b"hello\n"
        assert all(line.endswith("200 tom") for line in world.log(2))


@needs("node")
def test_node(world):
    """Its http module, told by hand as its manual does it: absolute form, and a tunnel whose Host is the proxy's own name."""
    world.start()
    script = f"""
        const http = require('http'), https = require('https'), fs = require('fs');
        const proxy = {{ host: '127.0.0.1', port: {world.proxy.ports['port']} }};
        const text = (res, next) => {{ let s = ''; res.on('data', d => s += d); res.on('end', () => next(s)); }};
        http.get({{ ...proxy, path: '{world.plain}/hello', headers: {{ Host: 'site.test:{world.http}' }} }}, res => text(res, plain => {{
            http.request({{ ...proxy, method: 'CONNECT', path: 'site.test:{world.https}' }}).on('connect', (res, socket) => {{
                https.get({{ socket, agent: false, host: 'site.test', servername: 'site.test', path: '/hello', ca: fs.readFileSync('{SITE.cert}') }},
                          res => text(res, secure => {{ console.log(JSON.stringify([plain, secure])); process.exit(0); }}));
            }}).end();
        }}));"""
    assert world.run("node", "-e", script).stdout == b'["hello\\n","hello\\n"]\n'
    assert world.log(2) == [f"GET {world.plain}/hello 200 -", world.connected]


# -- git

class Git(http.server.BaseHTTPRequestHandler):
    """git's own server side, which is a CGI program."""
    protocol_version = "HTTP/1.1"
    root = None

    def serve(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        env = {"PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "somebody", "HOME": self.root,
               "PATH_INFO": urllib.parse.unquote(path), "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
               "CONTENT_TYPE": self.headers.get("Content-Type", ""), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        out = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=True).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        self.send_response(int(dict(fields).get("Status", "200").split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = serve

    def log_message(self, *args):
        pass


class GitServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@needs("git")
class TestGit:
    @pytest.fixture
    def repository(self, tmp_path):
        """A bare repository with one commit, served; gives its port."""
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
        for command in (["git", "config", "--global", "user.email", "a@b.test"], ["git", "config", "--global", "user.name", "a"],
                        ["git", "config", "--global", "init.defaultBranch", "main"], ["git", "init", "-q", "work"],
                        ["git", "init", "-q", "--bare", "served/own.git"]):
            subprocess.run(command, cwd=tmp_path, env=env, check=True)
        (tmp_path / "work" / "file").write_bytes(BIG)
        for command in (["add", "."], ["commit", "-qm", "one"], ["push", "-q", "../served/own.git", "main"], ["update-server-info"]):
            subprocess.run(["git", *command], cwd=tmp_path / "work", env=env, check=True)
        server = GitServer(("127.0.0.1", 0), type("Own", (Git,), {"root": str(tmp_path / "served")}))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
        server.server_close()

    def test_clone_and_push_by_environment(self, world, repository, tmp_path):
        world.start()
        world.run("git", "clone", "-q", f"http://site.test:{repository}/own.git", tmp_path / "copy")
        assert (tmp_path / "copy" / "file").read_bytes() == BIG
        (tmp_path / "copy" / "more").write_bytes(os.urandom(300_000))
        for command in (["add", "."], ["commit", "-qm", "two"], ["push", "-q", "origin", "main"]):
            world.run("git", *command, cwd=tmp_path / "copy")
        tip = world.run("git", "rev-parse", "main", cwd=tmp_path / "copy").stdout
        assert world.run("git", "--git-dir", tmp_path / "served" / "own.git", "rev-parse", "main").stdout == tip
        assert all(f" http://site.test:{repository}/own.git/" in line for line in world.log(4))

    def test_over_a_tunnel_by_its_own_setting(self, world, repository, tmp_path):
        """The dumb protocol: files, over https."""
        world.start("auth_basic staff; auth_basic_user_file users;", users="tom:{PLAIN}secret\n")
        bare = tmp_path / "served" / "own.git"
        world.run("git", "--git-dir", bare, "update-server-info")
        shutil.copytree(bare, world.tree.path / "own.git")
        own = world.url.replace("//", "//tom:secret@")
        world.run("git", "-c", f"http.proxy={own}", "-c", f"http.sslCAInfo={SITE.cert}", "clone", "-q", f"{world.secure}/own.git", tmp_path / "copy",
                  env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
        assert (tmp_path / "copy" / "file").read_bytes() == BIG
        assert {line for line in world.log() if " 407 " not in line} == {f"CONNECT site.test:{world.https} 200 tom"}


# -- packages

@pytest.mark.skipif(not shutil.which("apt-get") or not shutil.which("dpkg-deb"), reason="needs apt-get and dpkg-deb")
class TestApt:
    @pytest.fixture
    def apt(self, world, tmp_path):
        """apt(scheme, *words): apt-get with nothing of this system's, and one small repository on site.test."""
        made = tmp_path / "made"
        (made / "DEBIAN").mkdir(parents=True)
        control = "Package: tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@b.test>\nDescription: nothing\n"
        (made / "DEBIAN" / "control").write_text(control)
        deb = world.tree.path / "deb" / "tiny_1.0_all.deb"
        deb.parent.mkdir()
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", made, deb], check=True, capture_output=True)
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        text = control + f"Filename: ./{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
        world.tree.file("deb/Packages.gz", gzip.compress(text.encode()))
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            (tmp_path / "apt" / name).mkdir(parents=True)
        (tmp_path / "apt" / "status").write_text("")

        def run(url, *words, env=None):
            (tmp_path / "apt" / "etc" / "sources.list").write_text(f"deb [trusted=yes] {url}/deb ./\n")
            home = tmp_path / "apt"
            own = {"Dir::Etc": f"{home}/etc", "Dir::State": f"{home}/state", "Dir::State::status": f"{home}/status", "Dir::Cache": f"{home}/cache",
                   "Dir::Etc::sourceparts": "-", "Dir::Etc::parts": "-", "Dir::Etc::main": "-", "Acquire::http::Proxy": world.url, "Acquire::https::Proxy": world.url,
                   "Acquire::https::CAInfo": SITE.cert, "APT::Sandbox::User": "root", "Acquire::Languages": "none", "Acquire::Retries": "0"}
            return world.run("apt-get", "-q", *[o for k, v in own.items() for o in ("-o", f"{k}={v}")], *words, cwd=tmp_path,
                             env={"PATH": os.environ["PATH"], "LC_ALL": "C"})
        return run

    @pytest.mark.parametrize("way", ["http", "https"])
    def test_update_and_download(self, world, apt, tmp_path, way):
        world.start()
        url = world.plain if way == "http" else world.secure
        assert b" Packages [" in apt(url, "update").stdout
        apt(url, "download", "tiny")
        assert (tmp_path / "tiny_1.0_all.deb").read_bytes() == (world.tree.path / "deb" / "tiny_1.0_all.deb").read_bytes()
        seen = world.log(2)
        if way == "http":
            assert f"GET {world.plain}/deb/./Packages.gz 200 -" in seen and f"GET {world.plain}/deb/./tiny_1.0_all.deb 200 -" in seen
        else:
            assert set(seen) == {world.connected}


class TestNpm:
    """One package from a registry of our own, by npm's settings, or by the environment as build machines have it."""

    @pytest.fixture
    def npm(self, world, tmp_path):
        """npm(registry, *options, **environment) installs the package and gives what the proxy was asked."""
        world.start()
        package, home = tmp_path / "package", tmp_path / "own"
        package.mkdir()
        (package / "package.json").write_text('{"name": "tiny", "version": "1.0.0"}')
        (package / "index.js").write_text("module.exports = 7;\n")
        packed = world.tree.path / "tiny.tgz"
        subprocess.run(["tar", "-czf", packed, "-C", tmp_path, "package"], check=True)
        digest = hashlib.sha1(packed.read_bytes()).hexdigest()
        home.mkdir()
        (home / "package.json").write_text("{}")

        def install(registry, *options, **env):
            world.tree.file("tiny", f'{{"name": "tiny", "dist-tags": {{"latest": "1.0.0"}}, "versions": {{"1.0.0": {{"name": "tiny", "version": "1.0.0", '
                            f'"dist": {{"tarball": "{registry}/tiny.tgz", "shasum": "{digest}"}}}}}}}}')
            world.run("npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", "--registry", f"{registry}/", *options, "tiny", cwd=home,
                      env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **env})
            assert (home / "node_modules" / "tiny" / "index.js").read_text() == "module.exports = 7;\n"
        return install

    def test_by_its_settings(self, world, npm):
        npm(world.plain, "--proxy", world.url)
        assert world.log(2) == [f"GET {world.plain}/tiny 200 -", f"GET {world.plain}/tiny.tgz 200 -"]

    def test_by_the_environment(self, world, npm):
        npm(world.secure, "--cafile", SITE.cert, "--fetch-retries", "0", HTTPS_PROXY=world.url, HTTP_PROXY=world.url)
        assert set(world.log()) == {world.connected}

    def test_what_is_not_for_the_proxy(self, world, npm):
        npm(f"http://127.0.0.1:{world.http}", HTTP_PROXY=world.url, NO_PROXY="127.0.0.1")
        assert world.idle()


# -- ssh

def openbsd_netcat():
    nc = shutil.which("nc")
    return nc and b"-X" in subprocess.run([nc, "-h"], capture_output=True, check=False).stderr


@pytest.fixture
def sshd(tmp_path):
    """A server of this user's on a port of the loopback; gives (port, the options of a client that may log in)."""
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    if not program or not shutil.which("ssh"):
        pytest.skip("needs ssh and sshd")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)
    home = tmp_path / "ssh"
    home.mkdir(mode=0o700)
    for name in ("host", "own"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", home / name], check=True)
    shutil.copy(home / "own.pub", home / "allowed")
    port = free_port()
    (home / "conf").write_text(f"""ListenAddress 127.0.0.1:{port}\nHostKey {home}/host\nAuthorizedKeysFile {home}/allowed\nStrictModes no\nUsePAM no
PasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n""")
    p = subprocess.Popen([program, "-D", "-e", "-f", home / "conf"], stderr=open(home / "log", "wb"))
    wait_until(lambda: "Server listening" in (home / "log").read_text() or p.poll() is not None, "sshd listens")
    yield port, ["-F", "none", "-i", f"{home}/own", "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={home}/known", "-o", "BatchMode=yes"]
    p.terminate()
    p.wait()


@pytest.mark.skipif(not openbsd_netcat(), reason="needs OpenBSD's netcat")
@pytest.mark.parametrize("how, version", [("connect", ""), ("5", " SOCKS5")], ids=["connect", "socks5"])
def test_ssh(world, sshd, how, version):
    port, options = sshd
    world.start(extra=port)
    text = "ssh through a tunnel"
    command = f"nc -X {how} -x 127.0.0.1:{world.proxy.ports['port']} %h %p"
    done = world.run("ssh", *options, "-o", f"ProxyCommand={command}", "-p", port, "site.test", f"echo {text}; cat /dev/zero | head -c 300000 | wc -c")
    assert done.stdout == f"{text}\n300000\n".encode()
    assert world.log() == [f"CONNECT site.test:{port}{version} 200 -"]


# -- a browser

class TestBrowser:
    pytestmark = BROWSER
    PAGE = """<!doctype html><html><head><title>before</title><link rel="icon" href="data:,"></head><body><pre id="seen"></pre><script>
        fetch('/hello').then(r => r.text()).then(t => { document.getElementById('seen').textContent = location.host + ' ' + t; document.title = 'after'; });
        </script></body></html>"""

    @pytest.mark.parametrize("by", ["--proxy-server={0}", "--proxy-pac-url={0}/proxy.pac", "--proxy-server=socks5://{1}",
                                    "--proxy-server={2}", "--proxy-server={2} "], ids=["named", "pac", "socks", "tls", "h2"])
    def test_pages(self, world, by, tmp_path):
        world.tree.file("page.html", self.PAGE)
        world.start("http2 on;" if by[-1] == " " else "")
        world.origin.rewrite_http(f"types {{ text/html html; }} server {{ listen %%port%%; listen %%port2%% ssl; {SITE.lines} root {world.tree}; }}").exists()
        world.origin.reload_until(lambda: "text/html" in (world.origin.get("/page.html")["Content-Type"] or ""))
        options = [by.strip().format(world.url, world.url[7:], world.sealed), "--ignore-certificate-errors"]
        for url, port in ((world.plain, world.http), (world.secure, world.https)):
            page = dom(f"{url}/page.html", tmp_path, *options)
            assert "<title>after</title>" in page and f"site.test:{port} hello" in page, page
        if "socks" in by:
            return  # whose targets are not in this log's words
        wanted = [f"GET {world.plain}/page.html 200 -", f"GET {world.plain}/hello 200 -", world.connected]
        wait_until(lambda: set(wanted) <= set(world.log(3)), lambda: f"{wanted} in {world.log(3)}")  # a tunnel is logged when it ends
        assert (" HTTP/2.0 " in world.proxy.read("a.log")) == (by[-1] == " ")
