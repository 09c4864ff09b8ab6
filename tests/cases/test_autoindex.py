"""autoindex: lists byte for byte as nginx's."""
import os

import pytest
from tools.sites import OLD

pytestmark = pytest.mark.shared_servers


@pytest.fixture
def listed(tree):
    for name in ("a.txt", "B.txt", "z z.txt", "ü.txt", "<&>\"'.txt", "x" * 49, "y" * 50, "w" * 51, "v" * 200, "%41", "a+b;c?d#e", "back\\slash", "tab\there", "&amp;"):
        tree.file(f"d/{name}", "12345")
    for n in (0, 1, 9999, 10000, 10239, 10240, 10752, 1048575, 1048576, 1572864, 5 << 30):
        path = tree.file(f"d/size{n}")
        os.truncate(path, n)
        os.utime(path, (OLD, OLD + n % 100000))
    for name in ("dir", "DIR2", "s" * 49, "t" * 50, "u" * 60):
        tree.dir(f"d/{name}")
    tree.file("d/.hidden", "x")
    tree.link("d/link", "a.txt")
    tree.link("d/linkdir", "dir")
    tree.link("d/dangling", "nowhere")
    os.mkfifo(tree.path / "d/fifo")
    tree.dir("empty")
    tree.file("indexed/index.html", "index")
    tree.dir("we ird<&>")
    return tree


def conf(line):
    return "server { listen %%port%%; root %%tree%%; autoindex on; " + line + " }"


LINES = ["", "autoindex_exact_size off;", "autoindex_localtime on;", "autoindex_format json;", "autoindex_format jsonp;", "autoindex_format xml;",
         "autoindex_format html; autoindex_exact_size off; autoindex_localtime on;"]


@pytest.mark.parametrize("line", LINES)
def test_a_list(beside, listed, line):
    s = beside(conf(line))
    for target in ("/d/", "/empty/", "/indexed/", "/we%20ird%3C&%3E/", "/none/", "/d", "/d/?x=y"):
        s.same(target)
    ours, theirs = s.ask("/d/", method="HEAD")
    assert (ours.status, ours.fields) == (theirs.status, theirs.fields)


@pytest.mark.parametrize("callback", ["f", "a.b_1", "F0", "", "x(y", "a%28b", "a<b", "x" * 128, "x" * 129])
def test_jsonp(beside, listed, callback):
    s = beside(conf("autoindex_format jsonp;"))
    s.same(f"/empty/?callback={callback}")
    s.same(f"/empty/?a=b&callback={callback}&c=d")


def test_off_and_other_methods(beside, listed):
    s = beside("server { listen %%port%%; root %%tree%%; location /d/ { } location /empty/ { autoindex on; } }")
    s.same("/d/")
    for method in ("POST", "PUT", "DELETE"):
        s.same("/empty/", method=method)


def test_a_directory_that_may_not_be_read(beside, listed):
    os.chmod(listed.path / "empty", 0o311)
    os.chmod(listed.path / "d", 0o700)
    s = beside(conf(""))
    s.same("/empty/", log=False)
    s.same("/d/", log=False)


def test_below_an_alias(beside, listed):
    beside("server { listen %%port%%; location /l/ { alias %%tree%%/d/; autoindex on; } }").same("/l/")


def test_links_that_lead_out_are_listed_as_links(hinge, tree):
    tree.file("secret", "x" * 12345)
    tree.dir("www")
    tree.link("www/out", "../secret")
    text = hinge.server("root %%tree%%/www; autoindex on; autoindex_format json;", tree=tree).get("/").text
    assert '"name":"out", "type":"other"' in text and "12345" not in text


def test_a_large_directory(hinge, tree):
    for i in range(30_000):
        (tree.path / f"{i:06}-{'x' * 60}").touch()
    h = hinge.server("root %%tree%%; autoindex on;", tree=tree)
    assert h.get("/").text.count("<a href=") == 30_001
    with h.connect() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert c.sock.recv(1000)
    assert h.get("/").status == 200
