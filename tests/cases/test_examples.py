"""docs/examples.md: every configuration in it starts without a warning, and each `hinge explain` line finds what stands behind it."""
import re
import shlex
import subprocess

import pytest
from tools import certs
from tools.server import BINARY, ROOT
from tools.times import PATIENCE

TEXT = (ROOT / "docs" / "examples.md").read_text()
NAMED = dict(re.findall(r"`(\w+\.conf)`(?:(?!\n\n```)(?!`\w+\.conf`).|\n)*?\n\n```nginx\n(.*?)```", TEXT, re.S))
EXPLAINED = re.findall(r"^(hinge explain -c (\S+) .*?) +# (.*)$", TEXT, re.M)


@pytest.fixture
def place(tmp_path):
    """A directory with the configurations, and with what they name."""
    for name, text in NAMED.items():
        (tmp_path / name).write_text(text)
    pair = certs.certificate("shop.example", alt="DNS:shop.example,DNS:www.shop.example,DNS:machines.example")
    for name in ("shop", "gate", "machines-ca", "inside-ca"):
        (tmp_path / f"{name}.crt").write_bytes(open(pair.cert, "rb").read())
        (tmp_path / f"{name}.key").write_bytes(open(pair.key, "rb").read())
        (tmp_path / f"{name}.key").chmod(0o600)
    for name in ("site", "pages", "sites"):
        (tmp_path / name).mkdir()
    (tmp_path / "users").touch()
    (tmp_path / "users").chmod(0o640)
    tmp_path.chmod(0o755)
    return tmp_path


def run(place, *words):
    return subprocess.run([BINARY, *words], cwd=place, capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, check=False)


def test_what_the_page_holds():
    assert sorted(NAMED) == ["app.conf", "behind.conf", "doors.conf", "files.conf", "inside.conf", "tls.conf", "tunnels.conf", "watch.conf"]
    assert TEXT.count("```nginx") == len(NAMED) and TEXT.count("hinge explain -c") == len(EXPLAINED) >= len(NAMED)
    assert {name for _, name, _ in EXPLAINED} == set(NAMED)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_each_starts(place, name):
    done = run(place, "-t", "--strict", "-p", f"{place}/", "-c", name, "-e", "stderr")
    assert done.returncode == 0 and "successful" in done.stderr and "[warn]" not in done.stderr, done.stderr


@pytest.mark.parametrize("line, name, finds", EXPLAINED, ids=[str(i) for i in range(len(EXPLAINED))])
def test_each_explanation(place, line, name, finds):
    done = run(place, "explain", "-p", f"{place}/", *shlex.split(line)[2:])
    assert done.returncode == 0 and finds in done.stdout and not done.stderr, done.stdout + done.stderr
