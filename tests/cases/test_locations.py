"""Which location serves: nginx's precedence, over the one decoded and normal path."""
import pytest
from tools.wire import lines

SITE = r"""
    server {
        listen %%port%%;
        location / { return 200 "/"; }
        location = / { return 200 "= /"; }
        location /a { return 200 "/a"; }
        location /a/b { return 200 "/a/b"; }
        location = /a/b/c { return 200 "= /a/b/c"; }
        location ^~ /static/ { return 200 "^~ /static/"; }
        location ~ \.php$ { return 200 "~ php"; }
        location ~* \.(gif|jpg)$ { return 200 "~* $1"; }
        location ~ ^/user/(?<name>\w+)/(\d+)$ { return 200 "$name-$2"; }
        location ~ ^/a/b/x { return 200 "~ first"; }
        location ~ ^/a/b/xy { return 200 "~ second"; }
        location /outer {
            location /outer/in { return 200 "nested prefix"; }
            location = /outer/exact { return 200 "nested exact"; }
            location ~ \.txt$ { return 200 "nested regex"; }
            return 200 "outer";
        }
        location "/with space" { return 200 "space"; }
        location /%41 { return 200 "percent"; }
        location /p/ { return 200 "/p/"; }
    }
"""


@pytest.mark.parametrize("target, served", [
    ("/", "= /"), ("/x", "/"), ("/?q", "= /"), ("/a", "/a"), ("/ab", "/a"), ("/a/b", "/a/b"), ("/a/bc", "/a/b"), ("/a/b/c", "= /a/b/c"),
    ("/a/b/c/", "/a/b"), ("/static/x.php", "^~ /static/"), ("/x.php", "~ php"), ("/x.PHP", "/"), ("/x.GIF", "~* GIF"), ("/x.jpg?y", "~* jpg"),
    ("/user/tom/12", "tom-12"), ("/user/tom/x", "/"), ("/a/b/xyz", "~ first"), ("/outer", "outer"), ("/outer/in/x", "nested prefix"),
    ("/outer/exact", "nested exact"), ("/outer/exact/", "outer"), ("/outer/x.txt", "nested regex"), ("/outer/x.php", "~ php"),
    ("/with%20space/x", "space"), ("/%61/b", "/a/b"), ("/a%2Fb", "/a/b"), ("/x/../a/b", "/a/b"), ("/a/./b", "/a/b"), ("//a//b", "/a/b"),
    ("/a/b/../../x.php", "~ php"), ("/%2e/a", "/a"), ("/p", "/"),
])
def test_a_path_finds_its_location_by_nginx_precedence(hinge, target, served):
    assert hinge.http(SITE).get(target).text == served


def test_merge_slashes_off_keeps_them(hinge):
    h = hinge.http("""
        merge_slashes off;
        server {
            listen %%port%%;
            location / { return 200 "$uri"; }
            location /a/b { return 200 "merged"; }
        }""")
    assert h.get("//a//b").text == "//a//b"


def test_no_location_at_all_serves_the_server_level(hinge):
    assert hinge.server("return 200 $uri;").get("/x/y").text == "/x/y"


def test_return_of_the_server_goes_before_any_location(hinge):
    assert hinge.server("location / { return 200 location; } return 200 server;").get("/").text == "server"


def test_a_location_inherits_what_it_does_not_set(hinge):
    h = hinge.server("""
        add_header X-Level server;
        location /plain { return 200; }
        location /own { add_header X-Own 1; return 200; }""")
    assert h.get("/plain")["X-Level"] == "server"
    assert (h.get("/own")["X-Level"], h.get("/own")["X-Own"]) == (None, "1")


def test_captures_of_one_request_do_not_leak_into_another(hinge):
    h = hinge.server(r"location ~ ^/u/(\w+) { return 200 '$1'; } location / { return 200 '[$1]'; }")
    with h.connect() as c:
        assert [c.ask(lines(f"GET {t} HTTP/1.1", "Host: a")).text for t in ("/u/tom", "/x", "/u/eve")] == ["tom", "[]", "eve"]
