"""docs/forward-guide.md: every configuration in it starts as it stands, each `hinge explain` line finds what stands behind it, and the
office and the school work on hosts of their own."""
import datetime
import re
import shlex
import subprocess

import pytest
from tools import dns
from tools.backend import serve
from tools.namespaces import Network
from tools.server import BINARY, ROOT
from tools.times import PATIENCE, SLOW
from tools.wire import answer

TEXT = (ROOT / "docs" / "forward-guide.md").read_text()
FILES = re.findall(r"`([\w./-]+)`(?:(?!`)[^\n]|\n)*?(?:\n\n)```(?:nginx|text|html)\n(.*?)```", TEXT, re.S)
NAMED = dict(FILES)
CONFIGURATIONS = sorted(n for n in NAMED if n.endswith(".conf"))
EXPLAINED = re.findall(r"^(hinge explain -c (\S+) .*?) +# (.*)$", TEXT, re.M)


@pytest.fixture
def guide(tmp_path):
    """A directory with all files of the guide."""
    for name, text in NAMED.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    tmp_path.chmod(0o755)
    return tmp_path


def run(guide, *words):
    return subprocess.run(words, cwd=guide, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False)


def test_what_the_guide_holds():
    assert CONFIGURATIONS == ["build.conf", "home.conf", "office.conf", "school.conf"]
    assert set(NAMED) - set(CONFIGURATIONS) == {"lists/social.txt", "lists/adult.txt", "lists/trackers.txt", "denied.html"}
    assert len(EXPLAINED) == 15 and TEXT.count("hinge explain -c") == 15
    assert TEXT.count("```nginx") == len(CONFIGURATIONS)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_each_starts(guide, name):
    done = run(guide, BINARY, "-t", "--strict", "-p", f"{guide}/", "-c", name, "-e", "stderr")
    assert done.returncode == 0 and "successful" in done.stderr, done.stderr


@pytest.mark.parametrize("line, name, finds", EXPLAINED, ids=[str(i) for i in range(len(EXPLAINED))])
def test_each_explanation(guide, line, name, finds):
    words = shlex.split(line)
    done = run(guide, BINARY, "explain", "-p", f"{guide}/", *words[2:])
    assert done.returncode == 0 and finds in done.stdout, done.stdout + done.stderr
    if "Referer" in line:
        assert "Referer" not in done.stdout.partition("sends ")[2] and "Via" not in done.stdout.partition("sends ")[2]


# -- on hosts of their own

PUBLIC = "93.184.216.34"


@pytest.fixture
def place(hinge, backend, guide):
    """place(configuration, client's address): a client inside and a world outside, and the proxy between them."""
    net, started = Network(), []

    def start(name, address):
        client, proxy, world = (net.host(n) for n in ("client", "proxy", "world"))
        gate = re.sub(r"\d+$", "1", address)
        net.cable(client, [f"{address}/24"], proxy, [f"{gate}/24"])
        net.cable(proxy, ["93.184.216.1/24"], world, [f"{PUBLIC}/24"])
        with world.inside():
            backend(serve(lambda req: answer(f"{req['Host']} {sorted(n.lower() for n, _ in req.headers.pairs)}".encode())), address=PUBLIC, port=80)
            started.append(dns.Server({n: PUBLIC for n in ("www.example.com", "www.facebook.com", "www.adult.example")}, address=PUBLIC, port=53))
        proxy.names_from(PUBLIC, guide / "resolv.conf")
        h = hinge.prepare("daemon off;\n" + NAMED[name], host=proxy)
        for other in NAMED:
            if not other.endswith(".conf"):
                h.write(other, NAMED[other])
        h.start()

        def curl(url, *more):
            words = client.command("curl", "-sS", "--max-time", 20 * SLOW, "-x", f"http://{gate}:3128", "-w", "\n%{http_code}", *more, url)
            done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE * 4, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
            body, _, status = done.stdout.rpartition("\n")
            return int(status), body
        curl.server, curl.gate = h, gate
        return curl

    yield start
    try:
        hinge.finish()
    finally:
        hinge.started = []
        for s in started:
            s.close()
        net.close()


def within(*hours):
    """Is it one of these spans of a working day, in minutes? None: about to change."""
    now = datetime.datetime.now()
    minutes = now.hour * 60 + now.minute
    if any(abs(minutes - edge) < 2 for span in hours for edge in span):
        return None
    return now.weekday() < 5 and any(first <= minutes < last for first, last in hours)


def test_the_office(place):
    curl = place("office.conf", "192.168.1.7")
    status, body = curl("http://www.example.com/")
    assert status == 200 and body.startswith("www.example.com ") and "forwarded" not in body and "x-forwarded-for" not in body and "'via'" in body
    if (work := within((540, 720), (780, 1020))) is not None:
        assert curl("http://www.facebook.com/")[0] == (403 if work else 200)
    assert curl("http://192.168.1.7/")[0] == 403
    status, pac = curl(f"http://{curl.gate}:3128/proxy.pac", "--noproxy", "*")
    assert status == 200 and f"PROXY {curl.gate}:3128" in pac
    seen = curl.server.wait_lines("forward.log", 3)
    assert "192.168.1.7" in seen[0] and "www.example.com" in seen[0] and "allow" in seen[0]


def test_strangers_of_the_office(place):
    curl = place("office.conf", "10.9.8.7")
    assert curl("http://www.example.com/")[0] == 403


@pytest.mark.parametrize("address", ["10.10.0.7", "10.20.0.7"], ids=["pupils", "teachers"])
def test_the_school(place, address):
    curl = place("school.conf", address)
    assert curl("http://www.example.com/")[0] == 200
    if (lessons := within((480, 930))) is not None:
        assert curl("http://www.facebook.com/")[0] == (403 if lessons and address == "10.10.0.7" else 200)
    status, page = curl("http://www.adult.example/?<script>")
    assert status == 403 and "<h1>Access Denied</h1>" in page and "www.adult.example: " in page and "<script>" not in page
