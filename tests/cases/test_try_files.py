"""try_files, beside nginx."""
import os

import pytest

pytestmark = pytest.mark.shared_servers


@pytest.fixture
def www(tree):
    tree.file("index.html", "front controller")
    tree.file("a.txt", "a")
    tree.file("dir/index.html", "dir index")
    tree.file("dir/b.css", "b")
    tree.file("noindex/c", "c")
    tree.file("cache/page.html", "cached")
    tree.file("404.html", "missing")
    tree.file("hidden", "h")
    os.chmod(tree.path / "hidden", 0o600)
    return tree


TARGETS = ["/", "/a.txt", "/a.txt?q=1", "/dir", "/dir/", "/dir/b.css", "/noindex", "/noindex/", "/none", "/none/", "/none?x=y", "/page", "/a.txt/x", "/hidden"]

CASES = {
    "front controller": "location / { try_files $uri $uri/ /index.html; }",
    "with arguments": "location / { try_files $uri $uri/ /front?path=$uri&$args; } location /front { return 200 \"$uri $args\"; }",
    "a code": "location / { try_files $uri =404; }",
    "a code with its page": "error_page 404 /404.html; location / { try_files $uri $uri/ =404; }",
    "a named location": "location / { try_files $uri @back; } location @back { return 200 \"named $uri $args\"; }",
    "no such named location": "location / { try_files $uri @nobody; }",
    "cache first": "location / { try_files /cache$uri.html $uri @back; } location @back { return 200 back; }",
    "directories only": "location / { try_files $uri/ =418; }",
    "fixed names": "location / { try_files /none /a.txt /index.html =404; }",
    "at the server": "try_files $uri /index.html; location /dir { }",
    "at the server with locations": "try_files /a.txt =404; location / { }",
    "not inherited": "location / { try_files /a.txt =404; location /dir/ { } location ~ \\.txt$ { } }",
    "the type of what is found": "location / { types { text/x-css css; } try_files /dir/b.css =404; }",
    "fallback without a slash": "location / { try_files $uri index.html; }",
    "back to itself": "location / { try_files /none /; }",
    "alias": "location /al/ { alias %%tree%%/dir/; try_files $uri $uri/ /al/index.html; } location / { try_files $uri @back; } location @back { return 200 back; }",
    "regex": "location ~ ^/(.*)$ { try_files /$1 /cache/$1.html =404; }",
    "variables of the result": "location / { try_files /a.txt =404; add_header X-Uri \"$uri $request_uri $request_filename\"; }",
}


@pytest.mark.parametrize("name", CASES)
def test_beside_nginx(beside, www, name):
    s = beside("server { listen %%port%%; root %%tree%%; " + CASES[name] + " }")
    log = name != "back to itself"  # the line about the cycle names the URI in nginx
    for target in TARGETS:
        s.same(target, log=log)
    for target in ("/", "/a.txt", "/none"):
        s.same(target, method="HEAD", log=log)
        s.same(target, method="POST", body=b"x", log=log)


@pytest.mark.parametrize("target", ["/al/b.css", "/al/", "/al/none", "/al", "/al/dir"])
def test_alias(beside, www, target):
    beside("server { listen %%port%%; root %%tree%%; " + CASES["alias"] + " }").same(target)


@pytest.mark.parametrize("target", ["/re/b.css", "/re/none", "/re/"])
def test_alias_by_a_regular_expression(beside, www, target):
    beside("""server { listen %%port%%; root %%tree%%;
        location ~ ^/re/(.*)$ { alias %%tree%%/dir/; try_files $1 $1/ index.html =404; } }""").same(target, log=False)


def test_it_goes_before_a_proxy(beside, www, backend):
    s = beside("""server { listen %%port%%; root %%tree%%;
        location / { try_files $uri @app; }
        location @app { proxy_pass http://%%origin%%; } }""", origin=backend())
    assert s.same("/a.txt").body == "a"
    for server in s.both:
        seen = server.get("/none/x?y=z").json()
        assert (seen["target"], seen["method"]) == ("/none/x?y=z", "GET")
    assert s.hinge.post("/none", b"body").json()["length"] == 4


def test_444(hinge, www):
    h = hinge.server("root %%tree%%; try_files $uri =444;", tree=www)
    with h.connect() as c:
        c.send(b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
        assert c.sock.recv(10) == b""


def test_the_file_that_was_found_is_opened_once(hinge, www):
    h = hinge.server("root %%tree%%; try_files $uri $uri/ /index.html;", tree=www)
    assert [h.get(t).text for t in ("/a.txt", "/none", "/dir/")] == ["a", "front controller", "dir index"]


def test_links_that_lead_out_are_not_there(hinge, www):
    www.link("out", "/etc/passwd")
    h = hinge.server("root %%tree%%; try_files $uri =404;", tree=www)
    assert h.get("/out").status == 404
    assert "leads out of" in h.log


@pytest.mark.parametrize("line, what", [("try_files $uri;", "invalid number of arguments"), ("try_files $uri =x;", "invalid code \"=x\""),
                                        ("try_files $uri =1000;", "invalid code"), ("try_files a b; try_files c d;", "directive is duplicate")])
def test_what_is_refused(hinge, line, what):
    assert what in hinge.prepare_http("server { listen %%port%%; " + line + " }").run("-t", check=1).stderr
