"""Bodies that do not fit their buffers wait in temporary files, which threads of the job pool write.

Whatever the disk says, and whoever goes while a write is under way: no byte is lost or doubled, nothing stays behind, and a failure costs
an answer its file, never its bytes.
"""
import contextlib
import hashlib
import os
import pathlib
import random
import subprocess
import threading
import time

import pytest
from tools.backend import echo
from tools.server import BINARY
from tools.times import PATIENCE, wait_until
from tools.wire import chunked, lines

WHOLE = bytes(bytearray(i * 7 % 251 for i in range(100_003))) * 60
SPILLS = "proxy_max_temp_file_size 100m; proxy_temp_path %%dir%%/temp; client_body_temp_path %%dir%%/body; client_max_body_size 0; client_body_buffer_size 8k;"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def answers(conn):
    """Answers every request with as many bytes of WHOLE as its target says."""
    while req := conn.request():
        n = int(req.target[1:])
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {n}", f"X-Sha: {sha(req.body)}") + WHOLE[:n])


def engine(h):
    return (h.children() or [h.pid])[0]


def temporary_files(h):
    """How many files without a name the engine holds open."""
    n = 0
    for fd in pathlib.Path(f"/proc/{engine(h)}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            n += "/temp/#" in target or "/body/#" in target
    return n


def pool_threads(h):
    """Names of the job pool's threads, and the CPUs that each may run on."""
    found = {}
    for task in pathlib.Path(f"/proc/{engine(h)}/task").iterdir():
        with contextlib.suppress(OSError):
            if (name := (task / "comm").read_text().strip()).startswith("jobs "):
                found[name] = [line for line in (task / "status").read_text().splitlines() if line.startswith("Cpus_allowed_list")][0]
    return found


def counters(h):
    return h.get("/counters").json()


@pytest.fixture
def spilling(hinge, backend):
    def start(main="", text="", script=answers, **names):
        return hinge.server(SPILLS + "location / { proxy_pass http://%%origin%%; " + text + " }\nlocation = /counters { counters; }",
                            origin=backend(script), main=main, **names)
    return start


@pytest.mark.parametrize("main", ["", "job_threads 1;", "job_threads 16;", "master_process off;"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies_spill_both_ways_to_and_from_slow_peers(spilling, main, framing):
    h = spilling(main)
    sizes = [8191, 8192, 8193, 100_000, 3_000_001]

    def client(i):
        rnd = random.Random(i)
        try:
            with h.connect(rcvbuf=4096) as c:
                for n in sizes:
                    c.sock.settimeout(PATIENCE * 3)
                    head = lines(f"PUT /{n + i} HTTP/1.1", "Host: a", f"Content-Length: {n}" if framing == "length" else "Transfer-Encoding: chunked")
                    wire = head + (WHOLE[i:n + i] if framing == "length" else chunked(WHOLE[i:n + i]))
                    while wire:
                        step = rnd.choice([1000, 20_000, 300_000])
                        c.send(wire[:step])
                        wire = wire[step:]
                        time.sleep(0.0005)
                    answer = c.response("PUT")
                    if (answer.status, answer.headers.get("X-Sha"), sha(answer.body)) != (200, sha(WHOLE[i:n + i]), sha(WHOLE[:n + i])):
                        failures.append((i, n, answer.status))
        except Exception as e:  # noqa: BLE001
            failures.append((i, e))

    failures = []
    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert failures == []
    now = counters(h)
    assert now["spilled"] > 0 and now["jobs_done"] > 0 and now["jobs_refused"] == 0
    wait_until(lambda: temporary_files(h) == 0, "temporary files stay open")


def test_a_full_job_queue_costs_answers_only_their_files(spilling):
    h = spilling("job_threads 1; job_queue 1;", workers=2)
    clients = [h.connect(rcvbuf=4096).send(lines("GET /3000000 HTTP/1.1", "Host: a")) for _ in range(40)]
    time.sleep(0.3)
    for c in clients:
        assert sha(c.response().body) == sha(WHOLE[:3_000_000])
        c.close()
    assert counters(h)["jobs_refused"] == h.log.count("no place in the job queue to write a temporary file")


def test_threads_start_with_the_first_job(spilling):
    h = spilling("job_threads 2;")
    assert h.get("/10").status == 200
    assert pool_threads(h) == {}
    for _ in range(5):
        assert h.post("/10", WHOLE[:1_000_000]).status == 200
    assert set(pool_threads(h)) in ({"jobs 0"}, {"jobs 0", "jobs 1"})


def test_pool_threads_are_not_bound_to_a_workers_cpu(spilling):
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("one CPU")
    h = spilling("worker_cpu_affinity auto;", workers=2)
    assert h.post("/10", WHOLE[:1_000_000]).status == 200
    allowed = [line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("Cpus_allowed_list")]
    assert set(pool_threads(h).values()) == set(allowed)


# -- a disk that does not take it

@pytest.fixture
def started_by(tmp_path):
    """A program that starts the server behind `command`; what that refers to stands in the directory `tmp_path`, which all may enter."""
    def make(command):
        for directory in [tmp_path, *tmp_path.parents]:
            if str(directory) not in ("/", "/tmp"):
                directory.chmod(directory.stat().st_mode | 0o055)
        wrapper = tmp_path / "start"
        wrapper.write_text(f'#!/bin/sh\nexec {command} {BINARY} "$@"\n')
        wrapper.chmod(0o755)
        return str(wrapper)
    return make


def test_a_request_body_that_cannot_be_written_is_a_500(spilling, started_by):
    h = spilling(binary=started_by("prlimit --fsize=300000"))
    for n in range(1, 4):
        with h.connect() as c:
            c.send_as_far_as_it_goes(lines("POST /1 HTTP/1.1", "Host: a", "Content-Length: 6000000") + WHOLE[:6_000_000])
            assert c.response().status == 500
        h.wait_log(r"\[crit\].*pwritev\(\) to a temporary file failed \(27: File too large\)", n)
    assert h.log.count("pwritev()") == 3
    assert h.post("/1", WHOLE[:200_000]).headers.get("X-Sha") == sha(WHOLE[:200_000])
    wait_until(lambda: temporary_files(h) == 0, "temporary files stay open")


def test_an_answer_that_cannot_be_written_keeps_the_backend_waiting(spilling, started_by):
    sent = threading.Event()

    def script(conn):
        conn.request()
        conn.send(lines("HTTP/1.1 200 OK", f"Content-Length: {5 * len(WHOLE)}") + 5 * WHOLE)
        if not conn.closed_by_peer.is_set():
            sent.set()
        conn.hang()

    h = spilling(script=script, binary=started_by("prlimit --fsize=300000"))
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        h.wait_log(r"\[crit\].*pwritev\(\) to a temporary file failed \(27: File too large\)")
        assert not sent.wait(0.3)
        c.reader.until(b"\r\n\r\n")
        assert sha(c.exactly(len(WHOLE))) == sha(WHOLE)
    assert h.log.count("pwritev()") == 1


@pytest.mark.skipif(subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0, reason="no mount namespaces here")
def test_a_full_disk(hinge, backend, started_by, tmp_path):
    """A file system of one megabyte, in a mount namespace of the server's own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    start = started_by(f"""unshare -m sh -c 'mount -t tmpfs -o size=1m,mode=777 none {disk} && exec "$0" "$@"'""")
    h = hinge.server("client_max_body_size 0; client_body_buffer_size 8k; client_body_temp_path %%disk%%/a; proxy_temp_path %%disk%%/b;"
                     "location / { proxy_pass http://%%origin%%; proxy_max_temp_file_size 100m; }",
                     origin=backend(answers), binary=start, disk=disk)
    with h.connect() as c:
        c.send_as_far_as_it_goes(lines("POST /1 HTTP/1.1", "Host: a", "Content-Length: 6000000") + WHOLE[:6_000_000])
        assert c.response().status == 500
    h.wait_log(r"pwritev\(\) to a temporary file failed \(28: No space left on device\)")
    with h.connect(rcvbuf=4096) as c:
        c.send(lines("GET /6000000 HTTP/1.1", "Host: a"))
        h.wait_log(r"pwritev\(\) to a temporary file failed \(28: No space left on device\)", 2)
        assert h.post("/1", WHOLE[:100_000]).status == 500  # the disk is full while the answer waits
        assert sha(c.response().body) == sha(WHOLE[:6_000_000])
    assert h.post("/1", WHOLE[:900_000]).headers.get("X-Sha") == sha(WHOLE[:900_000])  # and empty again


def test_a_directory_that_is_gone(spilling):
    h = spilling()
    (h.dir / "body").rename(h.dir / "elsewhere")
    os.rmdir(h.dir / "elsewhere")
    assert h.post("/1", WHOLE[:100_000]).status == 500
    assert h.post("/1", WHOLE[:8000]).status == 200
    h.wait_log(r"\[crit\].*open\(\) of a temporary file in \"[^\"]*/body\" failed \(\d+: ")


# -- somebody goes in the middle of it

def go_away(h, seed, until, big=3_000_000):
    """Uploads and downloads that are cut somewhere."""
    rnd = random.Random(seed)
    while not until.is_set():
        with contextlib.suppress(OSError), h.connect(rcvbuf=4096) as c:
            n = rnd.randrange(20_000, big)
            if rnd.random() < 0.5:
                c.send(lines("PUT /10 HTTP/1.1", "Host: a", f"Content-Length: {n}") + WHOLE[:rnd.randrange(n)])
            else:
                c.send(lines(f"GET /{n} HTTP/1.1", "Host: a"))
                c.sock.recv(rnd.randrange(1, 5000))
            time.sleep(rnd.random() * 0.01)
            c.reset() if rnd.random() < 0.5 else c.close()


@contextlib.contextmanager
def clients_that_go_away(h, n=4):
    stop = threading.Event()
    threads = [threading.Thread(target=go_away, args=(h, i, stop)) for i in range(n)]
    [t.start() for t in threads]
    try:
        yield
    finally:
        stop.set()
        [t.join() for t in threads]


def test_clients_that_go_away_leave_nothing(spilling):
    h = spilling("job_threads 2;", workers=2)
    with clients_that_go_away(h):
        wait_until(lambda: counters(h)["client_gone"] > 100, "100 clients have gone", PATIENCE * 3)
    wait_until(lambda: temporary_files(h) == 0, "temporary files stay open")
    assert h.post("/1000000", WHOLE[:1_000_000]).headers.get("X-Sha") == sha(WHOLE[:1_000_000])


@pytest.mark.parametrize("main", ["", "master_process off;"])
@pytest.mark.parametrize("how", ["terminate", "quit"])
def test_the_process_ends_while_bodies_spill(spilling, how, main):
    h = spilling("job_threads 1;" + main, workers=2)
    with clients_that_go_away(h):
        wait_until(lambda: counters(h)["jobs_done"] > 100, "100 writes")
        getattr(h, how)()
        assert h.wait(PATIENCE * 2) == 0


def test_reloads_with_fewer_workers_and_threads_while_bodies_spill(spilling):
    h = spilling("job_threads 8;", workers=4)
    text = (h.dir / "nginx.conf").read_text()
    with clients_that_go_away(h):
        for i in range(6):
            few = i % 2 == 0
            h.write("nginx.conf", text.replace("worker_processes 4", f"worker_processes {1 if few else 4}").replace("job_threads 8", f"job_threads {1 if few else 8}"))
            h.reload()
            h.wait_log(rf"serves with {1 if few else 4} workers", i // 2 + (1 if few else 2))
    assert h.post("/1000000", WHOLE[:1_000_000]).headers.get("X-Sha") == sha(WHOLE[:1_000_000])
    wait_until(lambda: temporary_files(h) == 0, "temporary files stay open")
    wait_until(lambda: len(pool_threads(h)) <= 8, "threads end")


@pytest.mark.parametrize("words", ["", "client_body_in_file_only off;"])
def test_a_body_in_a_file_has_no_name(spilling, words):
    """Neither for the directory, while the body is on its way and afterwards, nor for a variable."""
    h = spilling(text=words + " proxy_set_header X-File =$request_body_file;", script=echo)
    with h.connect() as c:
        c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 1000000") + WHOLE[:500_000])
        wait_until(lambda: temporary_files(h), "a temporary file")
        assert list((h.dir / "body").glob("**/*")) == []
        told = c.send(WHOLE[500_000:1_000_000]).response("POST").json()
    assert told["sha256"] == sha(WHOLE[:1_000_000]) and dict(told["headers"])["X-File"] == "="
    wait_until(lambda: temporary_files(h) == 0, "temporary files stay open")
    assert list((h.dir / "body").glob("**/*")) == []


@pytest.mark.parametrize("value", ["on", "clean"])
def test_files_with_names_are_refused(hinge, value):
    told = hinge.prepare_http(f"server {{ listen %%port%%; client_body_in_file_only {value}; }}").run("-t", check=1).stderr
    assert f'"client_body_in_file_only {value}" is not supported: request bodies are kept in memory or in unlinked files' in told
