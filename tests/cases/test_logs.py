"""The access log and the error log: formats, escaping, levels, targets."""
import json
import os
import pathlib
import re
import signal
import subprocess

import pytest
from tools.h2 import H2
from tools.times import wait_until
from tools.wire import lines


def serve(hinge, log, location="return 200 hello;", **names):
    return hinge.http(log + " server { listen %%port%%; location / { %%location%% } }", location=location, access_log="", **names)


def test_combined_is_the_default_format(hinge):
    h = serve(hinge, "access_log %%dir%%/a.log;")
    h.get("/x?y=1", "Referer: http://from/", 'User-Agent: a "quoted" one')
    line = h.wait_lines("a.log")[0]
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /x\?y=1 HTTP/1\.1" 200 5 '
                        r'"http://from/" "a \\x22quoted\\x22 one"', line)


def test_missing_values_are_dashes(hinge):
    h = serve(hinge, "log_format t '[$http_x_none] [$arg_none] [$http_referer]'; access_log %%dir%%/a.log t;")
    h.get("/")
    assert h.wait_lines("a.log")[0] == "[-] [-] [-]"


def test_a_format_may_span_several_strings(hinge):
    h = serve(hinge, "log_format t '$request_method ' '$uri' \" $status\"; access_log %%dir%%/a.log t;")
    h.get("/x")
    assert h.wait_lines("a.log")[0] == "GET /x 200"


NASTY = 'quote " backslash \\ tab \t high \xe4\xf6'


@pytest.mark.parametrize("escape, expected", [
    ("", 'quote \\x22 backslash \\x5C tab \\x09 high \\xE4\\xF6'),
    ("escape=default", 'quote \\x22 backslash \\x5C tab \\x09 high \\xE4\\xF6'),
    ("escape=json", 'quote \\" backslash \\\\ tab \\t high \xe4\xf6'),
    ("escape=none", NASTY),
])
def test_escaping(hinge, escape, expected):
    h = serve(hinge, f"log_format t {escape} '$http_x_nasty'; access_log %%dir%%/a.log t;")
    h.get("/", f"X-Nasty: {NASTY}")
    h.wait_lines("a.log")
    assert (h.dir / "a.log").read_bytes() == expected.encode("latin-1") + b"\n"


def test_a_request_cannot_forge_the_parts_of_an_error_line(hinge):
    """nginx's error log has them as they came; here they are escaped as in an access log."""
    h = serve(hinge, "error_log %%dir%%/e.log info;", "proxy_pass http://127.0.0.1:1;")
    assert h.ask(lines('GET /?x",host:"forged HTTP/1.1', "Host: a")).status == 502
    line = h.wait_lines("e.log")[0]
    assert line.endswith('request: "GET /?x\\x22,host:\\x22forged HTTP/1.1", '
                         'upstream: "http://127.0.0.1:1/?x\\x22,host:\\x22forged", host: "a"'), line


def test_a_long_request_is_cut_in_the_error_log_at_a_whole_byte(hinge):
    h = serve(hinge, "error_log %%dir%%/e.log info;", "proxy_pass http://127.0.0.1:1;")
    assert h.ask(lines('GET /?' + '"' * 2000 + " HTTP/1.1", "Host: a")).status == 502
    line = h.wait_lines("e.log")[0]
    assert re.search(r'request: "GET /\?(\\x22)+", upstream: "http://127.0.0.1:1/\?(\\x22)+", host: "a"$', line), line
    assert len(line) < 2500


def test_json_of_missing_values_is_empty(hinge):
    h = serve(hinge, """log_format t escape=json '{"a":"$http_x_none","u":"$uri"}'; access_log %%dir%%/a.log t;""")
    h.get("/x%22y")
    assert json.loads(h.wait_lines("a.log")[0]) == {"a": "", "u": '/x"y'}


def test_off_logs_nothing_there(hinge):
    h = hinge.http("""
        access_log %%dir%%/a.log;
        server { listen %%port%%; location / { return 200; } location /off { access_log off; return 200; } }""", access_log="")
    h.get("/off"), h.get("/on")
    assert [line.split('"')[1] for line in h.wait_lines("a.log")] == ["GET /on HTTP/1.1"]


def test_a_level_that_sets_a_log_inherits_none(hinge):
    h = hinge.http("""
        access_log %%dir%%/outer.log;
        server { listen %%port%%; location / { return 200; } location /own { access_log %%dir%%/own.log; return 200; } }""", access_log="")
    h.get("/own"), h.get("/")
    assert (len(h.wait_lines("own.log")), len(h.wait_lines("outer.log"))) == (1, 1)


def test_several_logs_and_a_condition(hinge):
    h = serve(hinge, """
        log_format brief '$uri';
        access_log %%dir%%/all.log brief;
        access_log %%dir%%/some.log brief if=$arg_log;""")
    for target in ("/a", "/b?log=1", "/c?log=0", "/d?log="):
        h.get(target)
    assert (h.wait_lines("all.log", 4), h.wait_lines("some.log")) == (["/a", "/b", "/c", "/d"], ["/b"])


def test_refused_requests_are_logged_too(hinge):
    h = serve(hinge, "log_format t '$status [$request] $body_bytes_sent'; access_log %%dir%%/a.log t;")
    h.ask(lines("GET / HTTP/1.1", "Host: a", "Bad Name: x"))
    h.ask(b"rubbish\r\n\r\n")
    logged = h.wait_lines("a.log", 2)
    assert logged[0].startswith("400 [GET / HTTP/1.1] ")
    assert logged[1].startswith("400 [")


def test_one_line_a_request_whatever_the_client_sends(hinge):
    h = serve(hinge, "log_format t '$request $uri $http_x_a'; access_log %%dir%%/a.log t;")
    h.get("/a%1bb", "X-A: \x1b[31mred")
    h.get("/b")
    logged = h.wait_lines("a.log", 2)
    assert len(logged) == 2 and all("\x1b" not in line for line in logged)


def test_each_request_of_a_connection_is_a_line(hinge):
    h = serve(hinge, "log_format t '$uri $connection_requests'; access_log %%dir%%/a.log t;")
    with h.connect() as c:
        c.send(b"".join(lines(f"GET /{i} HTTP/1.1", "Host: a") for i in range(30)))
        for _ in range(30):
            c.response()
    assert h.wait_lines("a.log", 30) == [f"/{i} {i + 1}" for i in range(30)]


def test_buffered_logs_are_written_in_the_end(hinge):
    h = serve(hinge, "log_format t '$uri'; access_log %%dir%%/a.log t buffer=64k flush=300ms;")
    for i in range(10):
        h.get(f"/{i}")
    assert h.wait_lines("a.log", 10) == [f"/{i}" for i in range(10)]


def test_buffered_logs_survive_the_end_of_the_process(hinge):
    h = serve(hinge, "log_format t '$uri'; access_log %%dir%%/a.log t buffer=64k flush=1h;")
    for i in range(10):
        h.get(f"/{i}")
    assert h.quit().wait() == 0
    assert len(h.wait_lines("a.log", 10)) == 10


def test_usr1_reopens_the_logs(hinge):
    h = serve(hinge, "log_format t '$uri'; access_log %%dir%%/a.log t;")
    h.get("/before")
    h.wait_lines("a.log")
    for name in ("a.log", "error.log"):
        (h.dir / name).rename(h.dir / f"{name}.1")
    h.signal(signal.SIGUSR1)
    wait_until(lambda: (h.dir / "a.log").exists() and (h.dir / "error.log").exists(), "the logs are there again")
    wait_until(lambda: h.get("/after").status == 200 and "/after" in h.read("a.log"), "new lines go to the new file")
    assert "/before" in h.read("a.log.1") and "/before" not in h.read("a.log")


def open_files(pid):
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield os.readlink(fd)
        except FileNotFoundError:
            pass


class TestPathsWithVariables:
    """Each request names its file, beneath the directory that the path begins with."""

    def serve(self, hinge, cache="", root="root %%dir%%/www/$arg_site;", path="%%dir%%/logs/$arg_site.log", sites=("a", "b")):
        """A server whose sites are directories of www; its engine may write into logs, whoever it runs as."""
        h = hinge.prepare_http(f"log_format t '$uri'; access_log {path} t; {cache} {root} server {{ listen %%port%%; location / {{ return 200 x; }} }}",
                               access_log="")
        (h.dir / "logs").mkdir()
        (h.dir / "logs").chmod(0o777)
        h.dir.chmod(0o755)
        for name in sites:
            (h.dir / "www" / name).mkdir(parents=True)
        return h.start()

    @pytest.mark.parametrize("cache", ["", "open_log_file_cache max=1;", "open_log_file_cache max=10 min_uses=2 inactive=1s;", "open_log_file_cache off;"])
    def test_every_site_has_its_own(self, hinge, cache):
        h = self.serve(hinge, cache)
        for n in range(3):
            h.get(f"/{n}?site=a")
            h.get(f"/{n}?site=b")
        assert h.wait_lines("logs/a.log", 3) == ["/0", "/1", "/2"]
        assert h.wait_lines("logs/b.log", 3) == ["/0", "/1", "/2"]

    @pytest.mark.parametrize("site", ["../a", "..%2Fa", "../../tmp/x", "/etc/x", ".", ""])
    def test_no_value_leads_out_of_the_directory(self, hinge, site):
        h = self.serve(hinge, root="root %%dir%%/www;", path="%%dir%%/logs/$arg_site")
        before = {p.name for p in h.dir.iterdir()} | {"hinge.pid.engine"}  # comes behind the pid file
        assert h.get(f"/x?site={site}").status == 200
        h.get("/y?site=good")
        assert h.wait_lines("logs/good", 1) == ["/y"]
        assert {p.name for p in h.dir.iterdir()} | {"hinge.pid.engine"} == before and h.read("logs/x") == ""

    def test_a_site_without_a_root_has_no_log(self, hinge):
        h = self.serve(hinge)
        h.get("/x?site=nowhere")
        h.wait_log(r"testing \".*/www/nowhere\" existence failed")
        assert not (h.dir / "logs/nowhere.log").exists()

    def test_a_file_that_was_moved_away_is_made_again(self, hinge):
        h = self.serve(hinge, "open_log_file_cache max=10 valid=0;")
        h.get("/1?site=a")
        h.wait_lines("logs/a.log", 1)
        (h.dir / "logs/a.log").rename(h.dir / "logs/old")
        h.get("/2?site=a")
        assert h.wait_lines("logs/a.log", 1) == ["/2"] and h.read("logs/old") == "/1\n"

    def test_usr1_lets_go_of_kept_files(self, hinge):
        h = self.serve(hinge, "open_log_file_cache max=10 inactive=1h valid=1h;")
        h.get("/1?site=a")
        h.wait_lines("logs/a.log", 1)
        (h.dir / "logs/a.log").rename(h.dir / "logs/old")
        h.get("/2?site=a")
        wait_until(lambda: h.read("logs/old") == "/1\n/2\n", "the file is kept open")
        h.signal(signal.SIGUSR1)
        wait_until(lambda: h.get("/3?site=a").status == 200 and "/3" in h.read("logs/a.log"), "new lines go to the new file")

    def test_files_that_are_not_used_are_closed(self, hinge):
        h = self.serve(hinge, "open_log_file_cache max=10 inactive=300ms;")
        h.get("/1?site=a")
        h.wait_lines("logs/a.log", 1)
        wait_until(lambda: not any("logs/a.log" in name for pid in h.children() for name in open_files(pid)), "it is closed")

    def test_a_full_disk_loses_lines_and_nothing_else(self, hinge):
        h = self.serve(hinge, path="%%dir%%/logs/${arg_site}", sites=("full",))
        (h.dir / "logs/full").symlink_to("/dev/full")
        assert h.get("/x?site=full").status == 200
        h.wait_log(r"write\(\) to \".*logs/full\" failed")


@pytest.mark.parametrize("options", ["gzip", "gzip=9 buffer=4k", "buffer=1k gzip=5 flush=200ms"])
def test_a_compressed_log_is_a_gzip_file(hinge, options):
    h = serve(hinge, f"log_format t '$uri'; access_log %%dir%%/a.gz t {options};")
    for i in range(200):
        assert h.get(f"/{i}").status == 200
    assert h.quit().wait() == 0
    told = subprocess.run(["zcat", h.dir / "a.gz"], capture_output=True, text=True, check=True).stdout
    assert told.splitlines() == [f"/{i}" for i in range(200)]


class TestErrorLog:
    def test_the_form_of_a_line(self, hinge):
        h = hinge.server("location / { proxy_pass http://127.0.0.1:1; }")
        h.get("/")
        line = h.wait_log(r".*connect\(\) failed.*")[0]
        assert re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[error\] \d+#\d+: \*\d+ connect\(\) failed", line)

    @pytest.mark.parametrize("level, kept", [("info", True), ("warn", True), ("error", True), ("crit", False), ("emerg", False)])
    def test_levels_filter(self, hinge, level, kept):
        h = hinge.server(f"error_log %%dir%%/own.log {level}; location / {{ proxy_pass http://127.0.0.1:1; }}")
        assert h.get("/").status == 502
        if kept:
            wait_until(lambda: "connect() failed" in h.read("own.log"), "the error is logged")
        else:
            assert h.get("/").status == 502
            assert h.read("own.log") == ""

    def test_several_targets(self, hinge):
        h = hinge.server("error_log %%dir%%/one.log; error_log %%dir%%/two.log info; location / { proxy_pass http://127.0.0.1:1; }")
        h.get("/")
        for name in ("one.log", "two.log"):
            wait_until(lambda name=name: "connect() failed" in h.read(name), f"a line in {name}")

    def test_stderr_is_a_target(self, hinge):
        h = hinge.server("error_log stderr error; location / { proxy_pass http://127.0.0.1:1; }")
        h.get("/")
        wait_until(lambda: "connect() failed" in h.read("stderr"), "a line on stderr")

    def test_a_location_may_have_its_own(self, hinge):
        h = hinge.server("""
            location / { proxy_pass http://127.0.0.1:1; }
            location /own { error_log %%dir%%/own.log; proxy_pass http://127.0.0.1:1; }""")
        h.get("/own"), h.get("/other")
        wait_until(lambda: "/other" in h.log, "the other request is logged")
        assert "/own" in h.read("own.log") and '"GET /own' not in h.log

    def test_why_a_head_was_refused(self, hinge):
        h = hinge.server("return 200;")
        h.ask(lines("GET / HTTP/1.1", "Host: a", "Content-Length: 3", "Content-Length: 4"))
        line = h.wait_log(r".*\[info\].*client: 127\.0\.0\.1.*")[0]
        assert "ontent-Length" in line

    def test_control_bytes_of_a_client_do_not_reach_the_log(self, hinge):
        h = hinge.server("return 200;")
        h.ask(lines("GET /\x1b[31m\x07 HTTP/1.1", "Host: a\x08"))
        h.quit().wait()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", h.log)


@pytest.mark.parametrize("sent, line", [
    (b"GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a\\x5Cb HTTP/1.1"),
    (b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\\xE4 HTTP/1.1"),
    (b"\r\nGET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a b HTTP/1.1"),
    (b"GET\r\n\r\n", "GET"),
    (b"\x16\x03\x01\x02\x00\x01", "\\x16\\x03\\x01\\x02\\x00\\x01"),
    (b"GET /" + b"a" * 20000, "GET /" + "a" * 1019),
], ids=["backslash", "high", "space", "bare", "tls", "long"])
def test_a_line_that_is_no_request_is_in_the_logs(hinge, sent, line):
    """Whoever looks for the reason of a 400 finds what the client sent, in both logs."""
    h = serve(hinge, "log_format t '\"$request\" $status'; access_log %%dir%%/a.log t; error_log %%dir%%/e.log info;")
    assert h.ask(sent).status in (400, 414)
    assert re.fullmatch(r'"(.*)" (?:400|414)', h.wait_lines("a.log")[0]).group(1) == line
    wait_until(lambda: "client sent invalid request" in (h.dir / "e.log").read_text(), "the reason is in the error log")
    why = [one for one in (h.dir / "e.log").read_text().splitlines() if "client sent invalid request" in one]
    assert f'request: "{line}"' in why[0]


@pytest.mark.parametrize("target, line", [
    ("GET http://ann:secret@a/x@y", "GET http://ann:******@a/x@y"),
    ("GET ftp://ann:secret@a/", "GET ftp://ann:******@a/"),
    ("GET http://ann:secret@a/b c", "GET http://ann:******@a/b c"),
    ("CONNECT ann:secret@a:443", "CONNECT ann:******@a:443"),
])
def test_passwords_in_urls_are_in_no_log(hinge, target, line):
    """Such requests are refused, and a refused request has its line in both logs."""
    h = serve(hinge, "log_format t '\"$request\" $status'; access_log %%dir%%/a.log t; error_log %%dir%%/e.log info;")
    assert h.ask(f"{target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).status == 400
    assert h.wait_lines("a.log")[0] == f'"{line} HTTP/1.1" 400'
    wait_until(lambda: "client sent invalid request" in (h.dir / "e.log").read_text(), "the reason is in the error log")
    assert "secret" not in (h.dir / "e.log").read_text() and f'request: "{line}' in (h.dir / "e.log").read_text()


def test_passwords_in_urls_of_http2_are_in_no_log(hinge):
    h = serve(hinge, "log_format t '\"$request\" $status'; access_log %%dir%%/a.log t; error_log %%dir%%/e.log info; http2 on;")
    with H2(h.address) as c:
        for fields in ([(":method", "GET"), (":scheme", "http"), (":authority", "ann:secret@a"), (":path", "/")], [(":method", "CONNECT"), (":authority", "ann:secret@a:443")]):
            assert c.answer(c.headers(fields)).status == 400
    assert h.wait_lines("a.log", 2)[1] == '"CONNECT ann:******@a:443 HTTP/2.0" 400'
    assert "secret" not in (h.dir / "e.log").read_text()
