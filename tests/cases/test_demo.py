"""`hinge --demo`, which `./run` starts: what it says is what it does, and a port in use is told with a way out."""
import json
import re
import signal
import socket
import subprocess
import urllib.request

import pytest
from tools.ports import is_free, free_port
from tools.server import BINARY
from tools.times import PATIENCE, wait_until

HTTPS_BESIDE = 363
FORWARD_BEHIND = 4


def free_base():
    """A port with four free ones behind it, and one beside it for https."""
    while True:
        base = free_port()
        if all(is_free(base + n) for n in (1, 2, 3, FORWARD_BEHIND, HTTPS_BESIDE)):
            return base


@pytest.fixture
def demo(tmp_path):
    """demo(port): the process, once it has greeted or ended."""
    started = []

    def start(port):
        with open(tmp_path / "out", "w") as out, open(tmp_path / "err", "w") as err:
            p = subprocess.Popen([BINARY, "--demo", str(port)], stdout=out, stderr=err, stdin=subprocess.DEVNULL,
                                 env={"XDG_STATE_HOME": str(tmp_path / "state")})
        started.append(p)
        p.out = lambda: (tmp_path / "out").read_text()
        p.err = lambda: (tmp_path / "err").read_text()
        wait_until(lambda: "Ctrl-C" in p.out() or p.poll() is not None, "the demonstration greets")
        return p

    yield start
    for p in started:
        if p.poll() is None:
            p.kill()
        p.wait()


def test_what_it_prints_works(demo):
    port = free_base()
    p = demo(port)
    listed = re.findall(r"^  (https?://127\.0\.0\.1:\d+) +\S", p.out(), re.M)
    assert listed == [f"http://127.0.0.1:{port}", f"https://127.0.0.1:{port + HTTPS_BESIDE}"] + [
        f"http://127.0.0.1:{port + n}" for n in (1, 2, 3, FORWARD_BEHIND)]
    seen = {urllib.request.urlopen(listed[0]).headers["X-Backend"] for _ in range(3)}
    assert seen == {f"127.0.0.1:{port + n}" for n in (1, 2, 3)}
    tries = re.findall(r"^  (curl .*)$", p.out(), re.M)
    assert len(tries) == 5
    for one in tries[:3] + [f"curl -k {listed[1]}"]:
        done = subprocess.run(["sh", "-c", one], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0 and '"backend":"' in done.stdout, one


def test_the_forward_proxy(demo):
    """It says what works offline too: the guard; and that a name was looked for, whatever came of it."""
    port = free_base()
    forward = port + FORWARD_BEHIND
    outside, guarded = [t for t in re.findall(r"^  (curl .*)$", demo(port).out(), re.M) if "-x" in t]
    assert f"-x http://127.0.0.1:{forward} " in outside and f"-x http://127.0.0.1:{forward} " in guarded

    def status(line):
        line = line.partition("#")[0].replace("curl", "curl -s -o /dev/null -w %{http_code} --max-time 40", 1)
        return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=PATIENCE * 4).stdout

    assert status(guarded) == "403"
    assert status(outside) not in ("000", "403", "508")
    assert status(f"curl -x http://127.0.0.1:{forward} http://127.0.0.1:{port + 1}/") == "508", "its own backends are no targets"
    pac = urllib.request.urlopen(f"http://127.0.0.1:{forward}/proxy.pac").read().decode()
    assert f"PROXY 127.0.0.1:{forward}" in pac
    with socket.create_connection(("127.0.0.1", forward)), pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", forward)).close()


def test_ctrl_c_ends_it_cleanly(demo):
    port = free_base()
    p = demo(port)
    p.send_signal(signal.SIGINT)
    assert p.wait(PATIENCE) == 0
    assert is_free(port)


@pytest.mark.parametrize("taken", [0, 2, FORWARD_BEHIND, HTTPS_BESIDE])
def test_a_port_in_use_says_which_must_be_free_and_how_to_choose_others(demo, taken):
    port = free_base()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of earlier cases may linger there
        other.bind(("0.0.0.0", port + taken))
        other.listen(1)
        p = demo(port)
    assert p.wait() == 1
    assert f":{port + taken} failed (98: Address already in use)" in p.err()
    assert p.err().splitlines()[-1] == (
        f"hinge: the ports {port} to {port + FORWARD_BEHIND} and {port + HTTPS_BESIDE} must be free; "
        f"choose another first port: ./run {port + 1000} (or hinge --demo {port + 1000})")


def test_the_usual_ports_are_told(demo):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("0.0.0.0", 8080))
            other.listen(1)
        except OSError:
            pass  # somebody else's, which is as good
        assert "hinge: the ports 8080 to 8083, 3128 and 8443 must be free; " in demo(8080).err()


@pytest.mark.parametrize("port", ["0", "65532", "x"])
def test_no_port(demo, port):
    p = demo(port)
    assert p.wait() == 1 and p.err() == f'hinge: invalid port "{port}": --demo takes a number from 1 to 65531\n'


@pytest.mark.parametrize("content", ["", "junk\n"])
def test_a_broken_certificate_is_made_anew(demo, tmp_path, content):
    (tmp_path / "state" / "hinge").mkdir(parents=True)
    (tmp_path / "state" / "hinge" / "demo.pem").write_text(content)
    port = free_base()
    demo(port)
    done = subprocess.run(["curl", "-sk", f"https://127.0.0.1:{port + HTTPS_BESIDE}/"], capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0 and b'"backend":"' in done.stdout


def test_a_good_certificate_is_kept(demo, tmp_path):
    demo(free_base())
    first = (tmp_path / "state" / "hinge" / "demo.pem").read_text()
    demo(free_base())
    assert (tmp_path / "state" / "hinge" / "demo.pem").read_text() == first


def test_the_backends_of_it_can_be_had_anywhere(hinge):
    """demo_backend says what arrived, and its name."""
    h = hinge.server("location / { demo_backend blue; } location /p/ { proxy_pass http://%%port%%/x/; proxy_set_header X-More yes; }")
    told = h.get("/p/y?z").json()
    assert told["backend"] == "blue" and "/x/y?z" in json.dumps(told)
    assert "yes" in json.dumps(told)
    assert h.post("/", b"abc").status == 200
