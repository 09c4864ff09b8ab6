"""gzip: what is compressed for whom, beside nginx; and that the body is right, however it comes and goes."""
import gzip
import json
import os
import random
import subprocess
import threading
import time
import zlib

import httpx
import pytest
from tools.backend import answers, echo, named, serve
from tools.beside import both, both_proxies, needs_nginx
from tools.times import PATIENCE
from tools.wire import answer, chunked, lines

pytestmark = pytest.mark.shared_servers

TEXT = b"".join(b"line %d of a text that is worth compressing\n" % i for i in range(300))
ON = "gzip on; gzip_http_version 1.0; gzip_types text/plain;"
ASK = "Accept-Encoding: gzip"


def plain(body=TEXT, *fields, status="200 OK"):
    return named(status, "Content-Type: text/plain", *fields, body=body)


def unpacked(res):
    return gzip.decompress(res.body) if res["Content-Encoding"] == "gzip" else res.body


class TestAnswer:
    def test_the_fields(self, hinge, backend):
        h = hinge.proxy(backend(plain(TEXT, 'ETag: "abc"', "Accept-Ranges: bytes", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT")), ON + "gzip_vary on;")
        res = h.get("/", ASK)
        assert (res["Content-Encoding"], res["ETag"], res["Vary"], res.framing) == ("gzip", 'W/"abc"', "Accept-Encoding", "chunked")
        assert "Accept-Ranges" not in res and "Content-Length" not in res and res["Last-Modified"]
        assert gzip.decompress(res.body) == TEXT and len(res.body) < len(TEXT) / 5
        res = h.get("/")
        assert (res.body, res["ETag"], res["Vary"], res["Accept-Ranges"], res.framing) == (TEXT, '"abc"', "Accept-Encoding", "bytes", "length")

    def test_what_the_backend_sent_can_still_be_told(self, hinge, backend):
        h = hinge.proxy(backend(plain(TEXT, 'ETag: "abc"')), ON, access_log="log_format f '$upstream_http_etag $sent_http_etag [$upstream_http_content_encoding]'; access_log a.log f;")
        h.get("/", ASK)
        assert h.wait_lines("a.log")[0] == r'\x22abc\x22 W/\x22abc\x22 [-]'

    @needs_nginx
    @pytest.mark.parametrize("fields", [['ETag: "a"'], ['ETag: W/"a"'], ["ETag: a"], ["ETag: "], ['ETag: ""'], ["Content-Encoding: br"], ["Content-Encoding: gzip", "Content-Encoding: gzip"],
                                        ["Content-Encoding: "], ["Content-Encoding: identity"], ["Content-Type: text/html; charset=x"], ["Content-Type: TEXT/PLAIN"], ["Content-Type: image/png"],
                                        ["Content-Type: "], ["Content-Type: text/plain;charset=utf-8"], ["Vary: Cookie"], ["Accept-Ranges: bytes"], ["Cache-Control: no-transform"],
                                        ["Content-Range: bytes 0-1/2"], ["Transfer-Encoding: chunked"]], ids=str)
    @pytest.mark.parametrize("status", ["200 OK", "403 x", "404 x", "201 x", "206 x", "301 x", "500 x"])
    def test_like_nginx(self, hinge, backend, fields, status):
        data = lines(f"HTTP/1.1 {status}", *fields, *([] if "Content-Type" in fields[0] else ["Content-Type: text/plain"]), *([] if "Transfer" in fields[0] else [f"Content-Length: {len(TEXT)}"]))
        origin = backend(answers(data + (chunked(TEXT) if "Transfer" in fields[0] else TEXT)))
        seen = []
        for h in both_proxies(hinge, origin, "proxy_http_version 1.1; proxy_set_header Connection ''; gzip_vary on;" + ON):
            res = h.get("/", ASK)
            body = gzip.decompress(res.body) if res.body[:2] == b"\x1f\x8b" else res.body
            coding = [v for v in res.all("Content-Encoding") if v]  # nginx leaves an empty one beside its own
            seen.append((res.status, body == TEXT, [coding] + [sorted(res.all(n)) for n in ("ETag", "Vary", "Accept-Ranges", "Content-Type", "Content-Length")]))
        if fields == ["Content-Type: "] or fields == ["ETag: "]:  # nginx drops an empty Content-Type, and keeps an empty tag
            seen = [(s[0], s[1], s[2][0]) for s in seen]
        assert seen[0] == seen[1]

    def test_a_vary_that_names_it_stays_alone(self, hinge, backend):
        for value in ("Accept-Encoding", "Cookie, accept-encoding", "*"):
            assert hinge.proxy(backend(plain(TEXT, f"Vary: {value}")), ON + "gzip_vary on;").get("/", ASK).all("Vary") == [value]

    @pytest.mark.parametrize("status", [204, 304])
    def test_not_without_a_body(self, hinge, backend, status):
        def script(conn):
            while conn.request():
                conn.send(lines(f"HTTP/1.1 {status} x", "Content-Type: text/plain", 'ETag: "a"'))
        res = hinge.proxy(backend(script), ON + "gzip_vary on; gzip_min_length 0;").get("/", ASK)
        assert ("Content-Encoding" in res, "Vary" in res, res["ETag"]) == (False, False, '"a"')

    @needs_nginx
    def test_head_like_nginx(self, hinge, backend):
        def script(conn):
            while conn.request():
                conn.send(lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 1000"))
        seen = [(r["Content-Encoding"], r["Content-Length"], r["Vary"]) for r in
                (h.get("/", ASK, method="HEAD") for h in both_proxies(hinge, backend(script), ON + "gzip_vary on;"))]
        assert seen == [("gzip", None, "Accept-Encoding")] * 2

    def test_answers_of_our_own(self, hinge):
        h = hinge.server(f'gzip on; gzip_types *; location / {{ return 200 "{"x" * 1000}"; }} location /404 {{ return 404; }} location /500 {{ return 500; }}')
        assert unpacked(h.get("/", ASK)) == b"x" * 1000 and h.get("/", ASK)["Content-Encoding"] == "gzip"
        assert b"404 Not Found" in unpacked(h.get("/404", ASK)) and h.get("/404", ASK)["Content-Encoding"] == "gzip"
        assert h.get("/500", ASK)["Content-Encoding"] is None

    def test_error_page_passes(self, hinge, backend):
        h = hinge.http("""gzip on; server { listen %%port%%; location / { proxy_pass http://%%origin%%; proxy_intercept_errors on; error_page 500 /e; }
            location /e { return 200 "%%page%%"; } }""", origin=backend(plain(TEXT, status="500 x")), page="e" * 500)
        res = h.get("/", ASK)
        assert res.status == 500 and unpacked(res) == b"e" * 500


class TestSettings:
    @needs_nginx
    @pytest.mark.parametrize("size, text", [(0, ""), (19, ""), (20, ""), (21, ""), (99, "gzip_min_length 100;"), (100, "gzip_min_length 100;"), (1, "gzip_min_length 0;"), (5, "gzip_min_length 1k;")])
    def test_min_length(self, hinge, backend, size, text):
        seen = [h.get("/", ASK)["Content-Encoding"] for h in both_proxies(hinge, backend(plain(b"x" * size)), ON + text)]
        assert seen[0] == seen[1]

    def test_min_length_is_about_a_length_that_is_told(self, hinge, backend):
        data = lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked") + chunked(b"tiny")
        res = hinge.proxy(backend(answers(data)), ON + "gzip_min_length 1k;").get("/", ASK)
        assert gzip.decompress(res.body) == b"tiny"

    @needs_nginx
    @pytest.mark.parametrize("value", ["", "gzip", "GZIP", "gzip, deflate, br", "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=0", "gzip;q=0.000", "gzip;q=0.001", "gzip;q=1.001", "gzip;q=", "gzip;", "gzip; q=0.5",
                                       "gzip ;q=0.5", "*", "identity", "x-gzip", "gzipped", "gzip;q=0.5,br", "br,gzip", "gzip;level=1", "gzip x", "deflate;gzip", "gzip;q=2", "gzip;q=1.", "gzi", " gzip",
                                       "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip;Q=0.5", "gzip;q =1", "gzip;q=0, gzip", "compress, gzip"])
    def test_accept_encoding(self, hinge, backend, value):
        seen = [h.get("/", f"Accept-Encoding: {value}")["Content-Encoding"] for h in both_proxies(hinge, backend(plain()), ON)]
        assert seen[0] == seen[1]

    @needs_nginx
    @pytest.mark.parametrize("version", ["", "gzip_http_version 1.0;", "gzip_http_version 1.1;"])
    @pytest.mark.parametrize("minor", [0, 1])
    def test_http_version(self, hinge, backend, version, minor):
        seen = [h.ask(lines(f"GET / HTTP/1.{minor}", "Host: a", ASK, "Connection: close"))["Content-Encoding"] for h in both_proxies(hinge, backend(plain()), f"gzip on; gzip_types text/plain; {version}")]
        assert seen[0] == seen[1]

    def test_http_1_0_ends_with_the_connection(self, hinge, backend):
        res = hinge.proxy(backend(plain()), ON).ask(lines("GET / HTTP/1.0", "Host: a", ASK, "Connection: keep-alive"))
        assert (res.framing, res["Connection"], gzip.decompress(res.body)) == ("close", "close", TEXT)

    @needs_nginx
    @pytest.mark.parametrize("agent", ["", "curl/8", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1)", "Mozilla/4.0 (compatible; MSIE 5.5; x)",
                                       "Mozilla/4.0 (compatible; MSIE 4.01)", "Mozilla/4.0 (compatible; MSIE 7.0)", "MSIE 6", "MSIE 6.", "MSIE", "xMSIE 5.0 MSIE 7.0", "old-robot/1", "OLD-ROBOT"])
    @pytest.mark.parametrize("text", ["gzip_disable msie6;", "gzip_disable old-robot 'MSIE [4-5]\\.';", "gzip_disable msie6 ^curl;"])
    def test_disable(self, hinge, backend, agent, text):
        fields = [f"User-Agent: {agent}"] if agent else []
        seen = [h.get("/", ASK, *fields)["Content-Encoding"] for h in both_proxies(hinge, backend(plain()), ON + text)]
        assert seen[0] == seen[1]

    PAST, FUTURE = "Thu, 01 Jan 1970 00:00:01 GMT", "Thu, 31 Dec 2037 23:55:55 GMT"

    @needs_nginx
    @pytest.mark.parametrize("text", ["", "off", "any", "expired", "no-cache", "no-store", "private", "no_last_modified", "no_etag", "auth", "no-cache no-store private expired auth", "no_last_modified no_etag"])
    def test_proxied(self, hinge, backend, text):
        cases = [[], ["Expires: " + self.PAST], ["Expires: " + self.FUTURE], ["Expires: 0"], ["Cache-Control: no-cache"], ["Cache-Control: no-store"], ["Cache-Control: private"], ["Cache-Control: public"],
                 ["Cache-Control: max-age=1, no-cache"], ["Cache-Control: max-age=1", "Cache-Control: private"], ["Cache-Control: no-cache-x"], ["Cache-Control: PRIVATE"], ["Last-Modified: " + self.PAST],
                 ['ETag: "a"'], ['ETag: "a"', "Last-Modified: " + self.PAST], ["Expires: " + self.PAST, "Cache-Control: public"], ["Expires: " + self.FUTURE, "Cache-Control: no-cache"]]
        origin = backend(serve(lambda req: answer(TEXT, "Content-Type: text/plain", *cases[int(req.target[1:])])))
        ours, theirs = both_proxies(hinge, origin, ON + (f"gzip_proxied {text};" if text else ""))
        for i, case in enumerate(cases):
            for more in ([], ["Authorization: x"]):
                seen = [h.get(f"/{i}", ASK, "Via: 1.1 other", *more)["Content-Encoding"] for h in (ours, theirs)]
                assert seen[0] == seen[1], (case, more)

    @needs_nginx
    def test_proxied_sees_what_expires_sets(self, hinge, backend):
        pair = both_proxies(hinge, backend(plain()), ON + "gzip_proxied expired; expires $arg_e;")
        for e in ("epoch", "1h", "off", "-1", "max"):
            seen = [h.get(f"/?e={e}", ASK, "Via: x")["Content-Encoding"] for h in pair]
            assert seen[0] == seen[1], e

    def test_types_and_inheritance(self, hinge, backend):
        h = hinge.http("""gzip on; gzip_types text/css text/plain; server { listen %%port%%;
            location / { proxy_pass http://%%origin%%; }
            location /own { gzip_types application/json; proxy_pass http://%%origin%%; }
            location /all { gzip_types *; proxy_pass http://%%origin%%; }
            location /off { gzip off; proxy_pass http://%%origin%%; } }""",
                       origin=backend(serve(lambda req: answer(TEXT, "Content-Type: " + req.target.partition("?")[2]))))
        kinds = ["text/html", "text/plain", "text/css", "application/json", "image/png"]
        seen = {t: [h.get(f"{t}?{k}", ASK)["Content-Encoding"] is not None for k in kinds] for t in ("/", "/own", "/all", "/off")}
        assert seen == {"/": [True, True, True, False, False], "/own": [True, False, False, True, False], "/all": [True] * 5, "/off": [False] * 5}

    @pytest.mark.parametrize("level", range(1, 10))
    def test_levels(self, hinge, backend, level):
        res = hinge.proxy(backend(plain()), ON + f"gzip_comp_level {level};").get("/", ASK)
        assert gzip.decompress(res.body) == TEXT

    @pytest.mark.parametrize("line", ["gzip_comp_level 0;", "gzip_comp_level 10;", "gzip maybe;", "gzip_proxied sometimes;", "gzip_disable (;", "gzip_http_version 2;", "gzip_min_length x;"])
    def test_refused(self, hinge, line):
        assert "[emerg]" in hinge.prepare_http(f"server {{ listen %%port%%; {line} }}").run("-t", check=1).stderr

    def test_duplicate_types_are_warned_of(self, hinge):
        err = hinge.prepare_http("gzip_types text/html text/plain text/plain; server { listen %%port%%; }").run("-t", check=0).stderr
        assert err.count("duplicate MIME type") == 2

    def test_tuning(self, hinge):
        err = hinge.prepare_http("gzip_buffers 16 8k; gzip_window 16k; gzip_hash 16k; gzip_no_buffer on; postpone_gzipping 1k; server { listen %%port%%; }").run("-t", check=0).stderr
        assert err.count("[warn]") == 5

    @needs_nginx
    def test_ratio(self, hinge, backend):
        pair = both_proxies(hinge, backend(plain()), ON, access_log="log_format f '$gzip_ratio'; access_log a.log f;")
        for h in pair:
            h.get("/", ASK), h.get("/")
        ours, theirs = (h.wait_lines("a.log", 2) for h in pair)
        assert ours[1] == theirs[1] == "-" and abs(float(ours[0]) / float(theirs[0]) - 1) < 0.5
        res = pair[0].get("/", ASK)
        assert abs(float(ours[0]) - len(TEXT) / len(res.body)) < 0.02


class TestBody:
    def body(self, n, seed=1):
        rng = random.Random(seed)
        return b"".join(rng.choice([b"the same words ", b"other words, ", rng.randbytes(9)]) for _ in range(n // 11))[:n]

    @pytest.mark.parametrize("size", [1, 1000, 65_536, 1_000_000, 5_000_000])
    @pytest.mark.parametrize("text", ["", "proxy_buffering off;", "proxy_buffers 2 4k; proxy_busy_buffers_size 4k;", "gzip_comp_level 9;"])
    def test_sizes(self, hinge, backend, size, text):
        body = self.body(size)
        res = hinge.proxy(backend(plain(body)), ON + "gzip_min_length 0;" + text).get("/", ASK)
        assert gzip.decompress(res.body) == body

    def test_byte_by_byte(self, hinge, backend):
        body = self.body(2000)

        def script(conn):
            while conn.request():
                conn.drip(lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked") + chunked(body[:700], body[700:]), pause=0)
        h = hinge.proxy(backend(script), ON)
        with h.connect() as c:
            res = c.ask(lines("GET / HTTP/1.1", "Host: a", ASK))
            assert gzip.decompress(res.body) == body

    def test_random_cuts_on_one_connection(self, hinge, backend):
        rng = random.Random(7)
        bodies = [self.body(rng.randrange(1, 200_000), i) for i in range(12)]

        def script(conn):
            while req := conn.request():
                body = bodies[int(req.target[1:])]
                cuts = sorted(rng.randrange(len(body) + 1) for _ in range(rng.randrange(12)))
                pieces = [p for a, b in zip([0, *cuts], [*cuts, len(body)]) if (p := body[a:b])]
                conn.send(lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Transfer-Encoding: chunked"), *(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces), b"0\r\n\r\n")
        h = hinge.pooled(backend(script), ON)
        with h.connect() as c:
            for i, body in enumerate(bodies):
                assert gzip.decompress(c.ask(lines(f"GET /{i} HTTP/1.1", "Host: a", ASK)).body) == body

    def test_a_slow_client(self, hinge, backend):
        body = self.body(3_000_000)
        h = hinge.proxy(backend(plain(body)), ON)
        with h.connect(rcvbuf=4096) as c:
            c.send(lines("GET / HTTP/1.1", "Host: a", ASK))
            for _ in range(5):
                time.sleep(0.05)
                c.reader.buffer += c.sock.recv(3000)
            assert gzip.decompress(c.response().body) == body

    def test_spilled_answers(self, hinge, backend):
        body = self.body(3_000_000)
        h = hinge.proxy(backend(plain(body)), ON + "proxy_buffers 2 4k; proxy_busy_buffers_size 4k; proxy_max_temp_file_size 10m;")
        with h.connect(rcvbuf=4096) as c:
            c.send(lines("GET / HTTP/1.1", "Host: a", ASK))
            time.sleep(0.3)
            assert gzip.decompress(c.response().body) == body

    @pytest.mark.parametrize("text, field", [("", ""), ("proxy_buffering off;", ""), ("", "X-Accel-Buffering: no")])
    def test_a_stream_of_events_is_not_held(self, hinge, backend, text, field):
        go = threading.Semaphore(0)

        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked", *([field] if field else [])))
            for i in range(20):
                go.acquire(timeout=PATIENCE)
                event = b"data: event %d\n\n" % i
                conn.send(b"%x\r\n%s\r\n" % (len(event), event))
            conn.send(b"0\r\n\r\n")
        h = hinge.proxy(backend(script), "gzip on; gzip_types text/event-stream;" + text)
        unpack = zlib.decompressobj(31)
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a", ASK))
            assert c.reader.until(b"\r\n\r\n")
            for i in range(20):
                go.release()
                seen = b""
                while not seen.endswith(b"\n\n"):
                    size = int(c.reader.line(), 16)
                    seen += unpack.decompress(c.exactly(size))
                    c.exactly(2)
                assert seen == b"data: event %d\n\n" % i

    @pytest.mark.parametrize("minor", [0, 1])
    def test_a_body_that_breaks_off_is_not_whole(self, hinge, backend, minor):
        def script(conn):
            conn.request()
            conn.send(lines("HTTP/1.1 200 OK", "Content-Type: text/plain", "Content-Length: 100000") + TEXT)
        h = hinge.proxy(backend(script), ON)
        with h.connect() as c:
            c.send(lines(f"GET / HTTP/1.{minor}", "Host: a", ASK))
            data = c.all_bytes()
            head, _, body = data.partition(b"\r\n\r\n")
            if minor == 0:  # a reset, which may overtake what came before it
                return
            assert b"Content-Encoding: gzip" in head and body and not body.endswith(b"0\r\n\r\n")
            size, _, rest = body.partition(b"\r\n")
            assert TEXT.startswith(zlib.decompressobj(31).decompress(rest[:int(size, 16)]))

    def test_with_trailers_and_pace(self, hinge, backend):
        body = self.body(100_000)
        h = hinge.proxy(backend(plain(body)), ON + "add_trailer X-Ratio $upstream_response_length; limit_rate 20k; proxy_limit_rate 200k;")
        res = h.get("/", ASK)
        assert gzip.decompress(res.body) == body and res.trailers.names() == ["x-ratio"]

    def test_a_client_that_leaves(self, hinge, backend):
        h = hinge.proxy(backend(plain(self.body(2_000_000))), ON)
        for _ in range(30):
            with h.connect(rcvbuf=4096) as c:
                c.send(lines("GET / HTTP/1.1", "Host: a", ASK))
                c.exactly(500)
                c.reset()
        assert gzip.decompress(h.get("/", ASK).body) == self.body(2_000_000)

    def test_memory_has_a_limit(self, hinge, backend):
        gate = threading.Event()

        def script(conn):
            while req := conn.request():
                conn.send(lines("HTTP/1.1 200 OK", "Content-Type: text/plain", f"Content-Length: {len(TEXT)}") + TEXT[:100])
                if req.target == "/wait":
                    gate.wait(PATIENCE)
                conn.send(TEXT[100:])
        h = hinge.proxy(backend(script), ON + "gzip_memory 400k;")
        waiting = [h.connect() for _ in range(4)]
        for c in waiting:
            c.send(lines("GET /wait HTTP/1.1", "Host: a", ASK))
            c.reader._fill()
        assert h.get("/", ASK)["Content-Encoding"] is None
        gate.set()
        seen = [c.response() for c in waiting]
        assert [unpacked(r) == TEXT for r in seen] == [True] * 4
        coded = [r["Content-Encoding"] for r in seen]
        assert "gzip" in coded and None in coded
        assert h.get("/", ASK)["Content-Encoding"] == "gzip"  # given back
        for c in waiting:
            c.close()

    def test_reload_and_workers(self, hinge, backend):
        h = hinge.proxy(backend(plain()), ON, workers=3)
        for i in range(6):
            if i == 3:
                h.reload()
                h.wait_log("generation 2 serves")
            assert gzip.decompress(h.get("/", ASK).body) == TEXT


class TestRealClients:
    def test_curl(self, hinge, backend):
        h = hinge.proxy(backend(plain(TEXT * 50)), ON)
        done = subprocess.run(["curl", "-sS", "--compressed", "--max-time", str(PATIENCE), f"http://127.0.0.1:{h.ports['port']}/"], capture_output=True)
        assert done.returncode == 0 and done.stdout == TEXT * 50

    def test_httpx(self, hinge, backend):
        h = hinge.pooled(backend(echo), "gzip on; gzip_types application/json;")
        with httpx.Client(base_url=f"http://127.0.0.1:{h.ports['port']}", timeout=PATIENCE) as client:
            for i in range(20):
                res = client.get(f"/{i}")
                assert res.headers["Content-Encoding"] == "gzip" and res.json()["target"] == f"/{i}"

    @needs_nginx
    def test_a_compressed_answer_of_nginx_passes(self, hinge, backend):
        behind = hinge.prepare_http("gzip on; gzip_proxied any; gzip_types *; gzip_http_version 1.0; server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }",
                                    binary=both.__globals__["NGINX"], origin=backend(plain(TEXT))).start()
        res = hinge.proxy(f"127.0.0.1:{behind.ports['port']}", ON).get("/", ASK)
        assert res.all("Content-Encoding") == ["gzip"] and gzip.decompress(res.body) == TEXT


def test_json_of_every_length(hinge, backend):
    """Around the sizes at which buffers end."""
    sizes = [n + d for n in (4096, 8192, 16384, 32768, 65536) for d in (-1, 0, 1)]
    rng = random.Random(3)
    bodies = {n: (json.dumps([rng.random() for _ in range(n // 18)]).encode() + os.urandom(n))[:n] for n in sizes}
    h = hinge.pooled(backend(serve(lambda req: answer(bodies[int(req.target[1:])], "Content-Type: text/plain"))), ON)
    with h.connect() as c:
        for n in sizes:
            assert gzip.decompress(c.ask(lines(f"GET /{n} HTTP/1.1", "Host: a", ASK)).body) == bodies[n]
