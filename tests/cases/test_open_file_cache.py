"""open_file_cache: what it remembers, for how long, and how much."""
import os
import threading
import time

import pytest
from tools.sites import OLD
from tools.times import PATIENCE, wait_until
from tools.wire import answer, lines


def open_files(h, tree):
    engine = h.children()[0]
    names = []
    for n in os.listdir(f"/proc/{engine}/fd"):
        try:
            name = os.readlink(f"/proc/{engine}/fd/{n}")
        except FileNotFoundError:
            continue
        if name.startswith(f"{tree}/"):
            names.append(name.removesuffix(" (deleted)")[len(str(tree)) + 1:])
    return sorted(names)


def wait_open_files(h, tree, names):
    """An exchange closes what it has opened a moment after its client has the last byte."""
    wait_until(lambda: open_files(h, tree) == names, lambda: f"open: {open_files(h, tree)}, not {names}")


def serve(hinge, tree, lines):
    return hinge.server("root %%tree%%;\n" + lines, tree=tree)


def test_files_stay_open(hinge, tree):
    for name in "abc":
        tree.file(name, name)
    h = serve(hinge, tree, "open_file_cache max=10;")
    for _ in range(3):
        assert [h.get(f"/{n}").text for n in "abc"] == ["a", "b", "c"]
    wait_open_files(h, tree, ["a", "b", "c"])


def test_without_it_none_does(hinge, tree):
    tree.file("a", "a")
    h = serve(hinge, tree, "")
    h.get("/a")
    wait_until(lambda: open_files(h, tree) == [], "the file is closed")


def test_what_was_seen_is_believed_while_valid(beside, tree):
    tree.file("a", "old")
    s = beside("server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1h; }")
    s.same("/a")
    os.rename(tree.file("b", "newer", OLD + 5), tree.path / "a")
    assert s.same("/a").body == "old"
    (tree.path / "a").unlink()
    assert s.same("/a").body == "old"


def test_then_it_is_looked_at_again(beside, tree):
    tree.file("a", "old")
    s = beside("server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1s; }")
    s.same("/a")
    os.rename(tree.file("b", "newer", OLD + 5), tree.path / "a")
    wait_until(lambda: s.hinge.get("/a").text == "newer", "the new file")
    (tree.path / "a").unlink()
    wait_until(lambda: s.hinge.get("/a").status == 404, "it is gone")
    assert open_files(s.hinge, tree) == []


def test_the_coldest_goes_when_there_are_too_many(hinge, tree):
    for i in range(10):
        tree.file(f"f{i}", str(i))
    h = serve(hinge, tree, "open_file_cache max=3;")
    for i in range(10):
        h.get(f"/f{i}")
        h.get("/f0")
    wait_open_files(h, tree, ["f0", "f8", "f9"])


def test_what_nobody_wants_goes(hinge, tree):
    tree.file("a", "a")
    tree.file("b", "b")
    h = serve(hinge, tree, "open_file_cache max=10 inactive=1s;")
    h.get("/a")
    time.sleep(1.3)
    h.get("/b")
    wait_open_files(h, tree, ["b"])


def test_min_uses(hinge, tree):
    tree.file("a", "a")
    h = serve(hinge, tree, "open_file_cache max=10; open_file_cache_min_uses 3;")
    for uses in range(1, 5):
        assert h.get("/a").text == "a"
        wait_until(lambda uses=uses: open_files(h, tree) == (["a"] if uses >= 3 else []), f"what is open after {uses} uses")


@pytest.mark.parametrize("errors, later", [("on", 404), ("off", 200)])
def test_failures(beside, tree, errors, later):
    s = beside("server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1h; open_file_cache_errors " + errors + "; }")
    s.same("/a")
    tree.file("a", "now")
    assert s.same("/a").status == later


def test_index_and_try_files_and_directories_use_it(beside, tree):
    tree.file("d/index.html", "index")
    tree.file("t", "t")
    s = beside("""server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1h; open_file_cache_errors on;
                 location /try/ { try_files /none /t =404; } }""")
    for _ in range(2):
        for target in ("/d/", "/d", "/try/x", "/", "/none/"):
            s.same(target)
    (tree.path / "t").unlink()
    (tree.path / "d/index.html").unlink()
    for target in ("/d/", "/try/x"):
        s.same(target)


def test_ranges_and_conditions_of_what_is_cached(beside, tree):
    tree.file("a", "0123456789")
    s = beside("server { listen %%port%%; root %%tree%%; open_file_cache max=10; }")
    etag = s.same("/a").response["ETag"]
    for fields in (["Range: bytes=1-2"], ["Range: bytes=1-2,4-5"], [f"If-None-Match: {etag}"], ["Range: bytes=10-"]):
        s.same("/a", *fields)


def test_a_reload_forgets(hinge, tree):
    tree.file("a", "old")
    text = "server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1h; }"
    h = hinge.http(text, tree=tree)
    assert h.get("/a").text == "old"
    os.rename(tree.file("b", "new", OLD + 5), tree.path / "a")
    assert h.get("/a").text == "old"
    h.rewrite_http(text)
    h.reload_until(lambda: h.get("/a").text == "new")


def test_a_file_that_is_being_sent_stays_whole(hinge, tree):
    data = os.urandom(8_000_000)
    tree.file("a", data)
    for i in range(5):
        tree.file(f"f{i}", "x")
    h = serve(hinge, tree, "open_file_cache max=1; open_file_cache_valid 0;")
    with h.connect(rcvbuf=4096) as c:
        c.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert c.sock.recv(1, 2) == b"H"
        for i in range(5):
            h.get(f"/f{i}")
        os.rename(tree.file("b", "other"), tree.path / "a")
        assert h.get("/a").text == "other"
        assert c.response().body == data


def test_links_are_judged_by_where_they_are_asked_for(hinge, tree):
    tree.file("secret", "secret")
    tree.dir("www")
    tree.link("www/out", "../secret")
    h = hinge.http("""open_file_cache max=10; open_file_cache_valid 1h; open_file_cache_errors on;
        server { listen %%port%%; root %%tree%%/www; location /free/ { disable_symlinks off; alias %%tree%%/www/; } }""", tree=tree)
    for _ in range(2):
        assert h.get("/free/out").status == 200
        assert h.get("/out").status == 403


def test_links_are_judged_by_what_is_exempt(hinge, tree):
    tree.file("dir/f", "text")
    tree.link("link", "dir")
    h = serve(hinge, tree, "open_file_cache max=10; open_file_cache_valid 1h; open_file_cache_errors on; disable_symlinks on from=%%tree%%$arg_from;")
    for _ in range(2):
        assert h.get("/link/f?from=/link").status == 200
        assert h.get("/link/f").status == 403
        assert h.get("/link/f?from=/link/").status == 200


def test_what_the_old_configuration_serves_yet_does_not_stay_open(hinge, backend, tree):
    tree.file("a", "a")
    tree.file("b", "b")
    go = threading.Event()

    def judge(conn):
        conn.request()
        go.wait(PATIENCE)
        conn.send(answer())

    text = """server { listen %%port%%; root %%tree%%; open_file_cache max=10; open_file_cache_valid 1h;
        location /a { auth_request /judge; } location = /judge { internal; proxy_pass http://%%origin%%; } location = /which { return 200 1; } }"""
    origin = backend(judge)
    h = hinge.http(text, tree=tree, origin=origin)
    with h.connect() as c:
        c.send(lines("GET /a HTTP/1.1", "Host: a"))
        origin.wait_requests(1)
        h.rewrite_http(text.replace("200 1", "200 2"), tree=tree, origin=origin)
        h.reload_until(lambda: h.get("/which").text == "2")
        assert h.get("/b").text == "b"
        go.set()
        assert c.response().text == "a"
    wait_open_files(h, tree, ["b"])


@pytest.mark.parametrize("line", ["open_file_cache;", "open_file_cache max=0;", "open_file_cache inactive=1s;", "open_file_cache max=x;", "open_file_cache max=1 inactive=x;"])
def test_what_is_refused(hinge, line):
    hinge.prepare_http("server { listen %%port%%; " + line + " }").run("-t", check=1)
