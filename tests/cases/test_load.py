"""Under load: reloads, dying engines and dying backends. Every failure is counted by its kind; most kinds must not occur at all."""
import os
import signal
import time

import pytest
from tools.backend import serve
from tools.load import Load
from tools.times import FULL, wait_until
from tools.wire import answer

LENGTH = 60 if FULL else 6  # seconds of load where the length is free


def site(word):
    return """
        upstream u { server %%one%%; server %%two%%; keepalive 16; }
        server {
            listen %%port%%;
            location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; }
            location /version { return 200 """ + word + """; }
        }"""


BAD = ["nonsense;", "server {", "server { listen %%port%%; return 200 $no_such_variable; }", "include nowhere.conf;"]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept connections", "new connections"])
def test_no_request_fails_in_twenty_reloads(hinge, backend, keep_alive):
    h = hinge.http(site("0"), workers=2, one=backend(process=True), two=backend(process=True)).allow(r"\[emerg\]")
    with Load(h.address, connections=6, keep_alive=keep_alive) as load:
        for i in range(1, 21 if not FULL else 101):
            if i % 5 == 0:
                h.rewrite_http(BAD[i // 5 % len(BAD)])
                errors = h.log.count("[emerg]")
                h.reload().wait_log(r"\[emerg\]", errors + 1)
            else:
                h.rewrite_http(site(str(i)))
                h.reload_until(lambda: h.get("/version").text == str(i))
            before = load.ok
            wait_until(lambda: load.ok > before + 10, "requests are served between the reloads")
    assert not load.failures, load.failures
    assert load.ok > 200


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reuseport", ["", "reuseport"])
def test_another_number_of_workers_fails_no_request(hinge, backend, reuseport):
    def conf(i):
        return site(str(i)).replace("listen %%port%%", "listen %%port%% " + reuseport)

    h = hinge.http(conf(0), workers=1, one=backend(process=True), two=backend(process=True))
    with Load(h.address, 4, keep_alive=False) as new, Load(h.address, 2) as kept:
        for i, workers in enumerate((4, 2, 1, 3), 1):
            h.rewrite_http(conf(i), workers=workers)
            h.reload_until(lambda: h.get("/version").text == str(i))
            before = new.ok, kept.ok
            wait_until(lambda: new.ok > before[0] + 50 and kept.ok > before[1] + 50, "requests are served")
    assert not new.failures and not kept.failures, (new.failures, kept.failures)


@pytest.mark.timeout(120)
def test_a_killed_engine_costs_only_what_it_held(hinge, backend):
    h = hinge.http(site("0"), workers=2, one=backend(process=True), two=backend(process=True)).allow("exited on signal 9")
    connections, kills = 8, 2
    with Load(h.address, connections=connections, keep_alive=False) as load:
        for _ in range(kills):
            before, engine = load.ok, h.children()[0]
            wait_until(lambda: load.ok > before + 50, "load")
            os.kill(engine, signal.SIGKILL)
            wait_until(lambda: h.children() and engine not in h.children(), "a new engine")
            before = load.ok
            wait_until(lambda: load.ok > before + 50, "the new engine serves")
    assert set(load.failures) <= {"reset", "closed without an answer", "short answer"}, load.failures
    assert sum(load.failures.values()) <= connections * kills


@pytest.mark.timeout(120)
def test_a_killed_backend_fails_no_idempotent_request(hinge, backend):
    servers = [backend(name=n, process=True) for n in "abc"]
    h = hinge.http("""
        upstream u { server %%a%%; server %%b%%; server %%c%%; keepalive 16; }
        server { listen %%port%%; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }""",
                   workers=2, **{s.name: s for s in servers})
    with Load(h.address, connections=8) as load:
        for victim in servers[:2]:
            before = load.ok
            wait_until(lambda: load.ok > before + 100, "load")
            victim.kill()
            before = load.ok
            wait_until(lambda: load.ok > before + 100, "the others serve")
            victim.start()
    assert not load.failures, load.failures


@pytest.mark.timeout(120)
def test_all_backends_dead_is_an_error_at_once_and_they_may_come_back(hinge, backend):
    servers = [backend(name=n, process=True) for n in "ab"]
    h = hinge.http("""
        upstream u { server %%a%% fail_timeout=1s; server %%b%% fail_timeout=1s; keepalive 4; }
        server { listen %%port%%; location / { proxy_pass http://u; } }""", **{s.name: s for s in servers})
    assert h.get("/").status == 200
    for s in servers:
        s.kill()
    assert [h.get("/").status for _ in range(20)] == [502] * 20
    for s in servers:
        s.start()
    wait_until(lambda: h.get("/").status == 200, "recovery")


@pytest.mark.timeout(180)
def test_the_keep_alive_race_never_reaches_a_client(hinge, backend):
    """Backends that close after a few answers without saying so, at the very moment at which the next request may arrive."""
    def fickle(conn):
        for i in range(2 + conn.number % 5):
            if not conn.request():
                return
            conn.send(answer(b"ok"))
            if conn.number % 3 == 0:
                time.sleep(0.0005)

    h = hinge.http("""
        upstream u { server %%one%% max_fails=0; server %%two%% max_fails=0; keepalive 16; }
        server { listen %%port%%; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } }""",
                   one=backend(fickle), two=backend(fickle))
    with Load(h.address, connections=8) as load:
        end = time.monotonic() + LENGTH
        wait_until(lambda: time.monotonic() > end, "the end", LENGTH + 5)
    assert not load.failures, load.failures
    assert load.ok > 100


@pytest.mark.timeout(120)
def test_a_mixed_load_ends_with_every_body_right(hinge, backend):
    """GETs and POSTs, kept and new connections, at once; a client that only ever breaks off among them."""
    h = hinge.http(site("0"), workers=2, one=backend(process=True), two=backend(process=True))
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"x" * 20000
    with Load(h.address, 4) as kept, Load(h.address, 4, keep_alive=False) as new, Load(h.address, 4, post) as posts:
        end = time.monotonic() + LENGTH / 2
        while time.monotonic() < end:
            with h.connect() as c:
                c.send(post[:1000])
                c.reset()
            time.sleep(0.005)
    for load in (kept, new, posts):
        assert not load.failures and load.ok > 20, load.failures


def test_a_pool_is_shared_by_many_clients(hinge, backend):
    origin = backend(serve(lambda req: answer(b"ok")))
    h = hinge.pooled(origin)
    with Load(h.address, 8, keep_alive=False) as load:
        wait_until(lambda: load.ok > 500, "500 requests")
    assert not load.failures, load.failures
    assert len(origin.connections) <= 16
