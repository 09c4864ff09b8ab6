"""Which location serves: nginx's precedence, over the one decoded and normal path."""
import pytest
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

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


# name: (inside of a server, targets); nginx runs beside, with the same file
SAME = {
    "precedence": (SITE.split("listen %%port%%;")[1].rsplit("}", 1)[0],
                   ["/", "/x", "/a", "/ab", "/a/b", "/a/b/c", "/a/b/c/", "/static/x.php", "/x.php", "/x.GIF", "/user/tom/12", "/a/b/xyz", "/outer", "/outer/in/x",
                    "/outer/exact", "/outer/x.txt", "/outer/x.php", "/with%20space/x", "/%61/b", "/a%2Fb", "/x/../a/b", "/p", "/%2541"]),
    "nested": (r"""
        location /a { location /a/b { location /a/b/c { return 200 c; } location = /a/b/x { return 200 x; } return 200 b; } return 200 a; }
        location ~ \.t$ { return 200 "regex"; }""", ["/a", "/a/b", "/a/b/c", "/a/b/x", "/a/b/x/", "/a/c", "/a/b/c.t", "/a/z.t", "/b.t"]),
    "nested regular expressions": (r"""
        location /a { location ~ ^/a/(\w+)\.t$ { return 200 "in $1"; } return 200 a; }
        location ~ \.t$ { return 200 "regex"; }""", ["/a", "/a/x.t", "/a/x.y.t", "/b.t"]),
    "inside a regular expression": (r"""
        location ~ ^/(\w+)/ { location ~ ^/(\w+)/x { return 200 "x of $1"; } location ~ \.t$ { location ~ ^/b { return 200 "b"; } return 200 "t $1"; } return 200 "outer $1"; }
        location ~ x { return 200 "later"; }""", ["/a/", "/a/x", "/a/y.t", "/b/y.t", "/b/x.t", "/ax"]),
    "^~ with nested": (r"""
        location ^~ /a { location ~ \.t$ { return 200 inner; } return 200 a; }
        location /b { location ^~ /b/c { return 200 c; } location ~ \.t$ { return 200 "b regex"; } return 200 b; }
        location ~ \.t$ { return 200 regex; }""", ["/a/x.t", "/a/x", "/b/c/x.t", "/b/x.t", "/b/c", "/x.t"]),
    "prefix and exact of one path": ("location /a { return 200 prefix; } location = /a { return 200 exact; }", ["/a", "/a/", "/a?x"]),
    "modifiers without a space": (r"location =/e { return 200 e; } location ^~/p { return 200 p; } location ~\.t$ { return 200 t; } location ~*\.u$ { return 200 u; }",
                                  ["/e", "/p/x.t", "/x.t", "/x.U"]),
    "letter case": (r"location /Ab { return 200 Ab; } location ~ ^/cD { return 200 cD; } location ~* ^/eF { return 200 eF; } location / { return 200 none; }",
                    ["/Ab", "/ab", "/cD", "/cd", "/eF", "/EF", "/ef"]),
    "the path with a slash": ("""
        location /p/ { proxy_pass http://127.0.0.1:1; } location /q/ { return 200 q; } location = /r/ { proxy_pass http://127.0.0.1:1; } location /s/ { proxy_pass http://127.0.0.1:1; }
        location = /s { return 200 s; } location "/t u/" { proxy_pass http://127.0.0.1:1; }""", ["/p", "/p?x=1", "/q", "/r", "/s", "/t%20u", "/t%20u?y"]),
    "the path with a slash, relative": ("absolute_redirect off; location /p/ { proxy_pass http://127.0.0.1:1; }", ["/p", "/p?x"]),
    "merge_slashes": ("location / { return 200 $uri; } location /a/b { return 200 merged; }", ["//a//b", "/a//b", "/a/b", "/a%2F%2Fb", "///"]),
    "merge_slashes off": ("merge_slashes off; location / { return 200 $uri; } location /a/b { return 200 merged; } location //a { return 200 two; }", ["//a//b", "/a//b", "/a/b", "//a"]),
    "an empty path": ('location "" { return 200 "empty $uri"; } location /a { return 200 a; }', ["/", "/a", "/b"]),
    "a regular expression against the decoded path": (r'location ~ "^/a b$" { return 200 space; } location ~ "^/é" { return 200 "e"; } location / { return 200 $uri; }',
                                                      ["/a%20b", "/a+b", "/%C3%A9"]),
}


@needs_nginx
@pytest.mark.parametrize("name", SAME)
def test_the_same_as_nginx(hinge, name):
    text, requests = SAME[name]
    same_as_nginx(hinge, text, requests)


@needs_nginx
@pytest.mark.parametrize("line", [
    "location /a { } location /a { }", "location = /a { } location = /a { }", "location ^~ /a { } location /a { }",
    "location ~ ( { }", "location = /a { location /a/b { } }", "location @a { location /b { } }", "location /a { location /b { } }",
    "location /a { location @b { } }", "location /a { internal x; }", "location x y z { }", "location ! /a { }", "internal;",
])
def test_refused_like_nginx(hinge, line):
    refused_like_nginx(hinge, line)
