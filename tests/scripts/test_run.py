"""`./run` refuses what it cannot do before it installs or builds anything."""
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).resolve().parents[2] / "run"


def run(*args):
    return subprocess.run([RUN, *args], capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("port", ["0", "00", "65536", "65532", "70000", "100000", "999999999999999999999999", "abc", "", "-1", "80 81", "0x50", "80a"])
def test_a_bad_port_is_refused_with_usage(port):
    done = run(port)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[0] == f'run: "{port}" is no port: a number between 1 and 65531, with four more behind it'
    assert "usage: ./run [PORT]" in done.stderr and "building" not in done.stderr


def test_more_than_a_port_is_refused_with_usage():
    done = run("8080", "8081")
    assert done.returncode == 2 and "usage: ./run [PORT]" in done.stderr


def test_help_is_no_error():
    done = run("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: ./run [PORT]")
