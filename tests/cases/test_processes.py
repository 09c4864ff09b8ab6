"""Processes: start, reload, the graceful and the fast end, crashes, and who runs as whom."""
import contextlib
import os
import pathlib
import pwd
import re
import signal
import socket
import threading
import time

import pytest
from tools.backend import echo
from tools.ports import free_port
from tools.raw import Client
from tools.server import BINARY, HTTP
from tools.times import PATIENCE, SLOW, wait_until
from tools.wire import Ended, answer, lines

GET = lines("GET / HTTP/1.1", "Host: a")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def saying(word, more=""):
    return f"server {{ listen %%port%%; return 200 {word}; }} {more}"


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


class TestStart:
    def test_the_pid_file_is_the_ready_signal(self, hinge):
        for _ in range(5):
            h = hinge.http(saying("ok"))  # returns as soon as the pid file is there
            assert h.get("/").text == "ok"

    def test_the_pid_file_goes_with_the_process(self, hinge):
        h = hinge.http(saying("ok"))
        assert h.terminate().wait() == 0
        assert not (h.dir / "hinge.pid").exists()

    def test_the_error_log_exists_from_the_start(self, hinge):
        assert (hinge.http(saying("ok")).dir / "error.log").exists()

    @pytest.mark.parametrize("workers", ["1", "4", "auto"])
    def test_worker_processes(self, hinge, workers):
        h = hinge.http(saying("ok"), workers=workers)
        assert all(h.get("/").text == "ok" for _ in range(50))

    def test_master_process_off_is_one_process(self, hinge):
        h = hinge.http(saying("$pid"), main="master_process off;")
        assert h.get("/").text == str(h.pid)
        assert h.children() == []

    def test_daemon_goes_into_the_background(self, hinge):
        h = hinge.prepare_http(saying("ok"))
        h.write("nginx.conf", HTTP.replace("daemon off;", "daemon on;"), inside=saying("ok"))
        try:
            h.run(check=0)
            wait_until(lambda: h.read("hinge.pid").strip(), "the pid file")
            pid = int(h.read("hinge.pid"))
            assert h.get("/").text == "ok"
            h.run("-s", "quit", check=0)
            wait_until(lambda: gone(pid), "the daemon ends")
        finally:  # nobody else would end it
            left = h.read("hinge.pid").strip()
            if left and not gone(int(left)):
                os.kill(int(left), signal.SIGTERM)

    def test_processes_have_names(self, hinge):
        """comm is what `top` and `ps -C` show, the command line what `ps` shows: nginx's form, with the arguments in full."""
        def title(pid):
            return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()

        h = hinge.http(saying("ok"))
        h.get("/")
        (engine,) = h.children()
        assert title(h.pid) == "hinge: master process " + " ".join(h.command())
        assert title(engine) == "hinge: engine process"
        for pid in (h.pid, engine):
            assert pathlib.Path(f"/proc/{pid}/comm").read_text() == "hinge\n"
        threads = {pathlib.Path(f"/proc/{engine}/task/{t}/comm").read_text() for t in os.listdir(f"/proc/{engine}/task")}
        assert threads == {"hinge\n", "worker 0\n"}

    @AS_ROOT
    def test_what_speaks_to_the_network_is_not_root(self, hinge):
        h = hinge.http(saying("ok"))
        h.get("/")
        for pid in h.children():
            uids = re.search(r"Uid:\s+(\d+)\s+(\d+)\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
            assert "0" not in uids.groups()

    @AS_ROOT
    def test_user_says_who_it_is(self, hinge):
        h = hinge.http(saying("ok"), main="user daemon;")
        status = pathlib.Path(f"/proc/{h.children()[0]}/status").read_text()
        assert re.search(rf"Uid:\s+{pwd.getpwnam('daemon').pw_uid}\b", status)

    def test_worker_rlimit_nofile(self, hinge):
        h = hinge.http(saying("ok"), main="worker_rlimit_nofile 2345;")
        limits = pathlib.Path(f"/proc/{h.children()[0]}/limits").read_text()
        assert re.search(r"Max open files\s+2345\s+", limits)


class TestReload:
    def test_new_connections_get_the_new_configuration(self, hinge):
        h = hinge.http(saying("old"))
        h.rewrite_http(saying("new"))
        h.reload_until(lambda: h.get("/").text == "new")

    def test_the_end_of_the_old_one_is_logged(self, hinge):
        h = hinge.http(saying("old"))
        h.rewrite_http(saying("new"))
        h.reload().wait_log(r"\[notice\].*exited with code 0")

    def test_a_kept_connection_is_not_cut_and_goes_on_in_the_new_one(self, hinge):
        h = hinge.http(saying("old"))
        with h.connect() as c:
            assert c.ask(GET).text == "old"
            h.rewrite_http(saying("new"))
            h.reload_until(lambda: h.get("/").text == "new")
            assert c.ask(GET).text == "new"

    def test_a_request_under_way_ends_in_the_old_one(self, hinge, backend):
        go = threading.Event()

        def slow(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"first")
            go.wait(PATIENCE)
            conn.send(b"later")

        h = hinge.http("""
            server {
                listen %%port%%;
                location / { proxy_pass http://%%origin%%; proxy_buffering off; }
                location /v { return 200 old; }
            }""", origin=backend(slow))
        with h.connect() as c:
            c.send(GET)
            c.reader.until(b"\r\n\r\n")
            h.rewrite_http(saying("new"))
            h.reload_until(lambda: h.get("/v").text == "new")
            go.set()
            assert c.exactly(10) == b"firstlater"

    def test_an_upload_under_way_survives(self, hinge, backend):
        h = hinge.http("server { listen %%port%%; location / { proxy_pass http://%%origin%%; } location /v { return 200 old; } }",
                       origin=backend())
        with h.connect() as c:
            c.send(lines("POST / HTTP/1.1", "Host: a", "Content-Length: 10") + b"first")
            time.sleep(0.05)
            h.rewrite_http(saying("new"))
            h.reload_until(lambda: h.get("/v").text == "new")
            assert c.send(b"later").response().json()["length"] == 10

    def test_listeners_come_and_go(self, hinge):
        h = hinge.http(saying("ok", "server { listen %%port2%%; return 200 second; }"))
        with h.connect("port2") as kept:
            assert kept.ask(GET).text == "second"
            h.rewrite_http(saying("ok", "server { listen %%port3%%; return 200 third; }"))
            h.reload()
            wait_until(lambda: not refused(h.ports["port3"]), "the new listener listens")
            assert h.get("/", port="port3").text == "third"
            wait_until(lambda: refused(h.ports["port2"]), "the old listener is closed")
            assert h.get("/").text == "ok"

    def test_the_address_of_a_log_may_change(self, hinge):
        h = hinge.http("server { listen %%port%%; access_log %%dir%%/one.log; return 200 one; }")
        with h.connect() as c:
            c.ask(GET)
            h.wait_lines("one.log", 1)
            h.rewrite_http("server { listen %%port%%; access_log %%dir%%/two.log; return 200 two; }")
            h.reload_until(lambda: h.get("/").text == "two")
            c.ask(GET)
        h.wait_lines("two.log", 2)

    def test_a_wildcard_may_take_over_from_an_address_and_give_it_back(self, hinge):
        port = free_port()
        h = hinge.http("server { listen 127.0.0.1:%%number%%; return 200 one; }", number=port)
        h.ports["port"] = port

        def says(word):
            """Not yet, too, for a connection that reached the old socket between its last accept and its close: the kernel resets it."""
            with contextlib.suppress(ConnectionResetError):
                return h.get("/").text == word
        for word, listen in (("two", "*"), ("three", "127.0.0.1")):
            h.rewrite_http(f"server {{ listen {listen}:%%number%%; return 200 {word}; }}")
            h.reload_until(lambda word=word: says(word))

    def test_names_and_backends_change(self, hinge, backend):
        one, two = backend(name="one"), backend(name="two")
        conf = "upstream u {{ server {}; keepalive 4; }} server {{ listen %%port%%; location / {{ proxy_pass http://u; }} }}"
        h = hinge.http(conf.format(one))
        with h.connect() as c:
            assert c.ask(GET).json()["backend"] == "one"
            h.rewrite_http(conf.format(two))
            h.reload_until(lambda: h.get("/").json()["backend"] == "two")
            assert c.ask(GET).json()["backend"] == "two"
        for conn in one.connections:
            conn.assert_hung_up()

    @pytest.mark.parametrize("bad, message", [
        ("server { listen %%port%%; nonsense; }", r'unknown directive "nonsense" in \S+nginx\.conf:\d+'),
        ("server { listen %%port%%; return 200 $nothing_like_it; }", 'unknown "nothing_like_it" variable'),
        ("server {", "unexpected end of file"),
        ("include nowhere.conf;", r'open\(\) "\S+nowhere\.conf" failed \(2: No such file or directory\)'),
        ("server { listen 192.0.2.1:80; }", r"bind\(\) to 192\.0\.2\.1:80 failed \(99: Cannot assign requested address\)"),
    ], ids=["directive", "variable", "brace", "include", "address"])
    def test_a_bad_file_changes_nothing_and_says_why(self, hinge, bad, message):
        h = hinge.http(saying("old")).allow(r"\[emerg\]")
        with h.connect() as c:
            assert c.ask(GET).text == "old"
            h.rewrite_http(bad)
            h.reload().wait_log(r"\[emerg\].*" + message)
            assert (c.ask(GET).text, h.get("/").text) == ("old", "old")
        h.rewrite_http(saying("new"))
        h.reload_until(lambda: h.get("/").text == "new")

    def test_a_port_in_use_changes_nothing(self, hinge):
        h = hinge.http(saying("old")).allow("in use|could not bind")
        with socket.create_server(("127.0.0.1", free_port())) as taken:
            h.rewrite_http(saying("new", f"server {{ listen 127.0.0.1:{taken.getsockname()[1]}; }}"))
            h.reload().wait_log(r"\[emerg\].*Address already in use")
            assert h.get("/").text == "old"

    def test_a_storm_of_signals_ends_in_the_last_configuration(self, hinge):
        h = hinge.http(saying("0"))
        for i in range(1, 21):
            h.rewrite_http(saying(i))
            h.reload()
        wait_until(lambda: h.get("/").text == "20", "the last configuration serves")

    def test_old_generations_are_freed(self, hinge):
        """Forty reloads of a large configuration: memory does not grow with their number."""
        big = "".join(f"server {{ listen %%port%%; server_name s{i}; location /x {{ return 200 {'y' * 500}; }} }}\n" for i in range(500))
        h = hinge.http(saying("0", big))

        def reload_to(i):
            h.rewrite_http(saying(i, big))
            h.reload_until(lambda: h.get("/").text == str(i))

        for i in range(1, 11):
            reload_to(i)
        before = h.rss()
        for i in range(11, 41):
            reload_to(i)
        assert h.rss() < before + 30 * 2**20 * (8 if SLOW > 1 else 1)


class TestQuit:
    def test_it_ends_at_once_when_idle(self, hinge):
        assert hinge.http(saying("ok")).quit().wait() == 0

    def test_idle_connections_are_closed_and_running_ones_end(self, hinge, backend):
        go = threading.Event()

        def slow(conn):
            conn.request()
            go.wait(PATIENCE)
            conn.send(answer(b"done"))

        origin = backend(slow)
        h = hinge.http("server { listen %%port%%; location / { proxy_pass http://%%origin%%; } location /quick { return 200 ok; } }",
                       origin=origin)
        with h.connect() as idle, h.connect() as busy:
            idle.ask(lines("GET /quick HTTP/1.1", "Host: a"))
            busy.send(GET)
            origin.wait_requests(1)
            h.quit()
            idle.assert_closed()
            wait_until(lambda: refused(h.ports["port"]), "the listener is closed")
            assert h.process.poll() is None
            go.set()
            res = busy.response()
            assert (res.body, res["Connection"]) == (b"done", "close")
            busy.assert_closed()
        assert h.wait() == 0

    def test_worker_shutdown_timeout_bounds_it(self, hinge, backend):
        origin = backend(lambda conn: (conn.request(), conn.hang()))
        h = hinge.proxy(origin, main="worker_shutdown_timeout 300ms;")
        with h.connect() as c:
            c.send(GET)
            origin.wait_requests(1)
            assert h.quit().wait() == 0
            c.assert_closed()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_the_fast_end_does_not_wait(self, hinge, backend, number):
        origin = backend(lambda conn: (conn.request(), conn.hang()))
        h = hinge.proxy(origin)
        with h.connect() as c:
            c.send(GET)
            origin.wait_requests(1)
            assert h.signal(number).wait() == 0
            c.assert_closed()

    def test_a_connection_whose_answer_was_under_way_is_not_kept(self, hinge, backend):
        """Its head was sent before the end began, and told the client that it would be kept."""
        def slow(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"first")
            go.wait(PATIENCE)
            conn.send(b"later")

        go = threading.Event()
        h = hinge.http("""server { listen %%port%%; keepalive_timeout 1h; lingering_timeout 1s;
            location / { proxy_pass http://%%origin%%; proxy_buffering off; } }""", origin=backend(slow))
        with h.connect() as c:
            c.send(GET)
            c.reader.until(b"\r\n\r\n")
            h.quit()
            wait_until(lambda: refused(h.ports["port"]), "the listener is closed")
            go.set()
            assert c.exactly(10) == b"firstlater"
            c.assert_closed()
            assert h.wait() == 0

    def test_term_after_quit_hurries_it(self, hinge, backend):
        origin = backend(lambda conn: (conn.request(), conn.hang()))
        h = hinge.proxy(origin)
        with h.connect() as c:
            c.send(GET)
            origin.wait_requests(1)
            h.quit()
            wait_until(lambda: refused(h.ports["port"]), "the listener is closed")
            assert h.terminate().wait() == 0

    @pytest.mark.skipif(BINARY.endswith("nginx"), reason="nginx starts a second master")
    def test_usr2_is_logged_and_ignored(self, hinge):
        h = hinge.http(saying("ok"))
        h.signal(signal.SIGUSR2).wait_log("(?i)usr2")
        assert h.get("/").text == "ok"


class TestCrash:
    def test_a_killed_engine_is_replaced_while_the_sockets_stay_open(self, hinge):
        h = hinge.http(saying("$pid")).allow("exited on signal 9")
        before = h.children()
        os.kill(before[0], signal.SIGKILL)
        for _ in range(20):
            with h.connect() as c:  # never refused; one that the dead process had accepted may be lost
                with contextlib.suppress(Ended, ConnectionResetError):
                    c.ask(GET)
        wait_until(lambda: h.children() and before[0] not in h.children(), "a new engine")
        assert h.get("/").status == 200
        h.wait_log(r"exited on signal 9")

    def test_after_a_crash_and_a_bad_file_the_last_good_configuration_serves(self, hinge):
        """What a new engine gets is what was acknowledged last, not what lies on the disk."""
        h = hinge.http(saying("good")).allow("exited on signal 9")
        h.rewrite_http("nonsense;")
        before = h.children()[0]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: h.children() and before not in h.children(), "a new engine")
        assert h.get("/").text == "good"

    def test_signals_work_after_a_crash(self, hinge):
        h = hinge.http(saying("old")).allow("exited on signal 9")
        before = h.children()[0]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: h.children() and before not in h.children(), "a new engine")
        h.rewrite_http(saying("new"))
        h.reload_until(lambda: h.get("/").text == "new")
        assert h.quit().wait() == 0

    def test_the_engine_survives_its_master(self, hinge, backend):
        h = hinge.proxy(backend(echo))
        engines = h.children()
        os.kill(h.pid, signal.SIGKILL)
        h.process.wait()
        try:
            assert h.get("/").status == 200
            for pid in engines:
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda: all(gone(pid) for pid in engines), "the orphan ends when told")
        finally:
            for pid in engines:
                if not gone(pid):
                    os.kill(pid, signal.SIGKILL)
            h.process = None

    def test_unix_sockets_survive_a_crash_too(self, hinge):
        h = hinge.http("server { listen unix:%%dir%%/s; return 200 ok; }").allow("exited on signal 9")
        before = h.children()[0]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: h.children() and before not in h.children(), "a new engine")
        with Client(str(h.dir / "s")) as c:
            assert c.ask(GET).text == "ok"
