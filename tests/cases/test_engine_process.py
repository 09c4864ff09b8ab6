"""What the engine is as a process: its priority, its directory, its core files. Read from /proc, beside the master's."""
import os
import pathlib
import re
import signal

import pytest
from tools.times import SLOW, wait_until

SAYING = "server { listen %%port%%; return 200 ok; }"


def nice_values(pid):
    """Of all threads of a process."""
    stats = [task / "stat" for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return {int(stat.read_text().rsplit(")", 1)[1].split()[16]) for stat in stats}


def core_limits(pid):
    """Soft and hard."""
    return re.search(r"Max core file size\s+(\S+)\s+(\S+)", pathlib.Path(f"/proc/{pid}/limits").read_text()).groups()


def directory(pid):
    return os.readlink(f"/proc/{pid}/cwd")


def engine(h):
    pid, = h.children()
    return pid


def test_worker_priority(hinge):
    h = hinge.http(SAYING, main="worker_priority 13;", workers=2)
    assert h.get("/").text == "ok"
    assert nice_values(engine(h)) == {13}
    assert nice_values(h.pid) == nice_values(os.getpid())


@pytest.mark.parametrize("value", ["21", "-21", "x", "--1"])
def test_worker_priority_has_bounds(hinge, value):
    told = hinge.prepare_http(SAYING, main=f"worker_priority {value};").run("-t", check=1).stderr
    assert f'invalid priority "{value}", it lies between -20 and 20' in told


@pytest.mark.parametrize("size, bytes", [("0", "0"), ("64k", "65536")])
def test_worker_rlimit_core(hinge, size, bytes):
    h = hinge.http(SAYING, main=f"worker_rlimit_core {size};")
    soft, hard = core_limits(engine(h))
    assert hard == bytes and soft in ((bytes, "0") if SLOW > 1 else (bytes,))  # AddressSanitizer wants no core, and lowers what it may
    assert core_limits(h.pid) == core_limits(os.getpid())


def test_a_core_may_be_written_when_it_is_asked_for(hinge):
    """A process that has changed its user leaves none, and its files in /proc are root's, unless it says that it may."""
    asked, silent = hinge.http(SAYING, main="worker_rlimit_core 1m;"), hinge.http(SAYING)
    if os.geteuid() != 0:
        pytest.skip("needs root")
    owners = [pathlib.Path(f"/proc/{engine(h)}/stat").stat().st_uid for h in (asked, silent)]
    assert owners[0] != 0 and owners[1] == 0


def test_working_directory(hinge):
    """Of this engine and of the next one; the master stays where it was."""
    h = hinge.prepare_http(SAYING, main="working_directory %%dir%%/cores;").allow("exited on signal 9")
    (h.dir / "cores").mkdir(mode=0o777)
    h.start()
    first = engine(h)
    assert directory(first) == f"{h.dir}/cores"
    assert directory(h.pid) == os.getcwd()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: h.children() and first not in h.children(), "a new engine")
    assert h.get("/").text == "ok"
    assert directory(engine(h)) == f"{h.dir}/cores"


def test_a_directory_that_is_not_there(hinge):
    h = hinge.prepare_http(SAYING, main="working_directory %%dir%%/nowhere;").allow("nowhere")
    done = h.run()
    assert done.returncode == 1
    assert f'chdir("{h.dir}/nowhere") failed (2: No such file or directory)' in h.log + done.stderr


def test_a_reload_says_that_they_wait_for_the_next_engine(hinge):
    h = hinge.http(SAYING)
    before = nice_values(engine(h))
    h.rewrite_http(SAYING, main="worker_priority 13;")
    h.reload().wait_log(r'"worker_priority".*obeyed by the next engine')
    assert nice_values(engine(h)) == before
