"""`if` with all of its tests, what its block inherits, and limit_except. nginx runs beside, with the same file."""
import os

import pytest
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx
from tools.wire import answer

pytestmark = pytest.mark.shared_servers

SAME = {
    "a value": ('location / { if ($arg_a) { return 200 yes; } return 200 no; }', ["/", "/?a", "/?a=", "/?a=0", "/?a=00", "/?a=1", "/?a=x", "/?a=no"]),
    "equal": ("""
        location / { if ($arg_a = x) { return 200 "="; } if ($arg_a != y) { return 200 "!="; } return 200 y; }
        location /empty { if ($arg_a = "") { return 200 empty; } return 200 "not empty"; }
        location /var { if ($arg_a = $arg_b) { return 200 same; } return 200 different; }
        location /mixed { if ($arg_a = "x$arg_b") { return 200 same; } return 200 different; }
        location /spaces { if ( $arg_a = "x y" ) { return 200 same; } if ($arg_a = 'x)' ) { return 200 paren; } return 200 different; }""",
        [t + q for t in ("/", "/empty", "/var", "/mixed", "/spaces") for q in ("", "?a=x", "?a=X", "?a=y", "?a=x&b=x", "?a=xx&b=x", "?a=x%20y", "?a=x)", "?b")]),
    "regular expressions": (r"""
        location / { if ($arg_a ~ ^a(.*)$) { return 200 "~ $1"; } if ($arg_a ~* ^A(.*)$) { return 200 "~* $1"; } return 200 "[$1]"; }
        location /not { if ($arg_a !~ ^a) { return 200 "!~"; } return 200 a; }
        location /noti { if ($arg_a !~* ^A) { return 200 "!~*"; } return 200 a; }
        location /name { if ($arg_a ~ "^(?<one>.)(?<two>.)?") { return 200 "$one-$two-$1"; } return 200 "[$one]"; }
        location /paren { if ($arg_a ~ ^(a|b)$) { return 200 yes; } return 200 no; }
        location /count { if ($arg_a ~ "^a{2,3}$") { return 200 yes; } return 200 no; }""",
        [t + q for t in ("/", "/not", "/noti", "/name", "/paren", "/count") for q in ("", "?a=", "?a=a", "?a=ab", "?a=AB", "?a=aa", "?a=b", "?a=%61")]),
    "files": (r"""
        set $f %%dir%%/w$uri;
        if (-f $f) { set $r "${r}f"; } if (!-f $f) { set $r "$r!f"; } if (-d $f) { set $r "${r}d"; } if (!-d $f) { set $r "$r!d"; }
        if (-e $f) { set $r "${r}e"; } if (!-e $f) { set $r "$r!e"; } if (-x $f) { set $r "${r}x"; } if (!-x $f) { set $r "$r!x"; }
        location / { return 200 $r; }
        location /fixed { if (-f %%dir%%/w/file) { return 200 there; } }
        location /no { if (-e "") { return 200 there; } if (-d /nothing/here) { return 200 there; } return 200 no; }""",
        ["/file", "/dir", "/dir/", "/script", "/none", "/file/x", "/to_file", "/to_dir", "/to_none", "/fixed", "/" + "x" * 300, "/no"]),
    "several that hold": ("""
        add_header X-L location always;
        location / {
            if ($arg_a) { add_header X-L a always; set $x "${x}a"; }
            if ($arg_b) { add_header X-L b always; set $x "${x}b"; }
            if ($arg_c) { set $x "${x}c"; }
            error_page 404 =200 @e; return 404;
        }
        location @e { return 200 $x; }""", ["/", "/?a=1", "/?a=1&b=1", "/?b=1", "/?a=1&c=1"]),
    "lines behind it run on": ("""
        location / { set $x 0; if ($arg_a) { set $x 1; } set $x "${x}2"; return 200 $x; }
        location /break { set $x 0; if ($arg_a) { set $x 1; break; } error_page 404 =200 @x; set $x 2; return 404; }
        location @x { return 200 "$x"; }""", ["/", "/?a=1", "/break", "/break?a=1"]),
    "rewrite inside": ("""
        location / { return 200 "/ $uri"; }
        location /a { if ($arg_x) { rewrite ^/a(.*)$ /b$1 last; } return 200 "a $uri"; }
        location /b { return 200 "b $uri"; }
        location /c { if ($arg_x) { rewrite ^/c(.*)$ /d$1 break; return 200 never; } return 200 "c $uri"; }
        location /d { if ($arg_x) { rewrite ^/d(.*)$ /e$1; } return 200 "$uri"; }
        location /r { if ($arg_x) { rewrite ^ /gone permanent; } return 200 r; }
        location /two { if ($arg_x) { rewrite ^ /two2; } if ($uri = /two2) { return 200 two2; } return 200 two; }""",
        [t + q for t in ("/a", "/b", "/c", "/d", "/r", "/two") for q in ("", "?x=1")]),
    "in the server": ("""
        if ($arg_r) { return 403; }
        if ($arg_s) { set $s "set $arg_s"; }
        if ($arg_w) { rewrite ^ /w last; }
        if ($request_method = POST) { return 405; }
        if ($host != a.example) { return 301 http://a.example$request_uri; }
        location / { return 200 "/ $uri $s"; }
        location /w { return 200 "w $uri $s"; }""", ["/", "/?r=1", "/?s=1", "/?w=1", "/?s=1&w=1", "POST /"]),
    "in a nested location": ("""
        location /a { location /a/b { if ($arg_x) { return 200 x; } return 200 b; } if ($arg_x) { return 200 outer; } return 200 a; }""",
        ["/a", "/a?x=1", "/a/b", "/a/b?x=1"]),
    "in a regex location": (r"""
        location ~ ^/(\w+)/(\w+)$ {
            set $u $1; set $v $2;
            if ($u = a) { return 200 "a $v"; }
            if ($v ~ ^(b)) { return 200 "$1 $u"; }
            return 200 "[$1] $u $v";
        }""", ["/a/x", "/x/bc", "/x/y"]),
    "error_page inside": ("""
        location / { error_page 404 /outer; if ($arg_x) { error_page 404 =200 /inner; } if ($arg_y) { set $y 1; } return 404; }
        location /outer { return 200 outer; } location /inner { return 200 inner; }""", ["/", "/?x=1", "/?x=1&y=1", "/?y=1"]),
    "nothing inside": ("location / { if ($arg_x) { } return 200 x; }", ["/", "/?x=1"]),
    "captures of a test": (r"""
        location / { if ($arg_a ~ (b)) { set $s $1; } set $t "[$1]"; return 200 "$s $t"; }""", ["/?a=abc", "/?a=c", "/"]),
    "set in a block that does not hold": ("location / { if ($arg_a) { set $s 1; } return 200 \"[$s]\"; }", ["/", "/?a=1"]),
}


def files(dir):
    web = dir / "w"
    (web / "dir").mkdir(parents=True)
    (web / "file").write_text("x")
    (web / "script").write_text("x")
    os.chmod(web / "script", 0o755)
    for name in ("file", "dir", "none"):
        (web / f"to_{name}").symlink_to(name)


@needs_nginx
@pytest.mark.parametrize("name", SAME)
def test_the_same_as_nginx(hinge, name):
    text, requests = SAME[name]
    same_as_nginx(hinge, text, requests, setup=files)


CONTENT = {
    "its own": "location / { if ($arg_a) { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
    "inherited": "location / { if ($arg_a) { add_header X-A a; } proxy_pass http://%%first%%; }",
    "inherited with a URI": "location /x/ { if ($arg_a) { add_header X-A a; } proxy_pass http://%%first%%/y/; }",
    "the last one counts": "location / { if ($arg_a) { proxy_pass http://%%second%%; } if ($arg_b) { proxy_pass http://%%first%%; } proxy_pass http://%%first%%; }",
    "rewritten before": "location / { rewrite ^/x/(.*)$ /y/$1 break; if ($arg_a) { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
    "rewritten and followed": "location / { rewrite ^/x/(.*)$ /y/$1; if ($arg_a) { break; } proxy_pass http://%%second%%; } location /y/ { proxy_pass http://%%first%%; }",
    "rewritten inside": "location / { if ($arg_a) { rewrite ^/x/(.*)$ /y/$1 break; proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
    "rewritten inside, content outside": "location /x/ { if ($arg_a) { rewrite ^/x/(.*)$ /y/$1 break; } proxy_pass http://%%first%%/z/; }",
    "settings of the location hold": "location / { proxy_set_header X-F f; if ($arg_a) { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
    "a variable": "set $to %%first%%; location / { if ($arg_a) { set $to %%second%%; } proxy_pass http://$to; }",
}


def echo(name):
    def script(conn):
        while req := conn.request():
            conn.send(answer(f"{name} {req.method} {req.target} {req['X-F']}"))
    return script


@needs_nginx
@pytest.mark.parametrize("name", CONTENT)
def test_who_answers(hinge, backend, name):
    requests = [t + q for t in ("/x/y", "/x/a%20b") for q in ("", "?a=1", "?b=1", "?a=1&b=1")]
    same_as_nginx(hinge, CONTENT[name], requests, first=backend(echo("first")), second=backend(echo("second")))


def test_an_if_without_content_after_one_with_it_has_the_locations(hinge, backend):
    """nginx keeps the handler of the one and takes the configuration of the other, which then has no backend: 500."""
    h = hinge.server("""
        location / { if ($arg_a) { proxy_pass http://%%second%%; } if ($arg_b) { set $x 1; } proxy_pass http://%%first%%; }""",
                     first=backend(echo("first")), second=backend(echo("second")))
    assert [h.get(t).text.split()[0] for t in ("/", "/?a=1", "/?a=1&b=1")] == ["first", "second", "first"]


def test_fields_of_the_last_if_that_holds(hinge):
    h = hinge.server("""
        add_header X-L server;
        location / {
            add_header X-L location;
            if ($arg_a) { add_header X-L a; }
            if ($arg_b) { add_header X-L b; }
            if ($arg_c) { set $x 1; }
            return 200;
        }""")
    assert [h.get(t)["X-L"] for t in ("/", "/?a=1", "/?b=1", "/?a=1&b=1", "/?a=1&c=1", "/?c=1")] == ["location", "a", "b", "b", "location", "location"]


def test_an_access_log_inside(hinge):
    h = hinge.server("access_log off; location / { if ($arg_a) { access_log %%dir%%/if.log; } return 200; }")
    h.get("/")
    h.get("/?a=1")
    assert len(h.wait_lines("if.log")) == 1


@needs_nginx
@pytest.mark.parametrize("line", [
    "if { }", "if () { }", "if ($a) return 200;", "if $a { }", "if ($a { }", "if (a = b) { }", "if ($a = ) { }", "if ($a == b) { }", "if ($a = b c) { }",
    "if ($a b) { }", "if (-f) { }", "if (-y x) { }", "if (!-y x) { }", "if (-f x y) { }", "if (! -f x) { }", "if ($a ~ () { }", "if ($a !! b) { }",
    "if ($a) { if ($b) { } }", "location / { if ($a) { if ($b) { } } }", "if ($a) { location / { } }", "if ($a) { add_header X y; }",
    "if ($a) { proxy_pass http://127.0.0.1; }", "location / { if ($a) { proxy_pass http://127.0.0.1/x; } }", "location / { if ($a) { server_name x; } }",
    "location / { if ($a) { proxy_set_header X y; } }", "location / { if ($a) { location /x { } } }", "location / { if ($a) { limit_except GET { } } }",
    "limit_except GET { }", "location / { limit_except { } }", "location / { limit_except GET X { } }",
    "location / { limit_except TRACE { } }", "location / { limit_except GET { return 403; } }", "location / { limit_except GET { set $x 1; } }",
    "location / { limit_except GET { add_header X y; } }", "location / { limit_except GET { if ($uri) { } } }",
    "location / { limit_except GET { proxy_pass http://127.0.0.1/x; } }", "location / { limit_except GET { } limit_except GET { } }",
])
def test_refused_like_nginx(hinge, line):
    refused_like_nginx(hinge, "set $a 1; set $b 1; " + line)


class TestLimitExcept:
    METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "MKCOL", "PROPFIND", "BREW"]

    @needs_nginx
    @pytest.mark.parametrize("text", [
        "location / { limit_except GET { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
        "location / { limit_except HEAD { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
        "location / { limit_except GET POST MKCOL { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
        "location / { limit_except get post { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
        "location / { limit_except POST { } proxy_pass http://%%first%%/y; }",
        "location / { limit_except GET { proxy_pass http://%%second%%; } rewrite ^ /rewritten break; proxy_pass http://%%first%%; }",
        "location / { limit_except GET { proxy_pass http://%%second%%; } return 200 returned; }",
        "location / { limit_except GET { proxy_pass http://%%second%%; } if ($uri) { set $x 1; } proxy_pass http://%%first%%; }",
        "location / { limit_except GET { proxy_pass http://%%second%%; } location /in { proxy_pass http://%%first%%; } proxy_pass http://%%first%%; }",
        "location / { error_page 404 = @e; return 404; } location @e { limit_except GET { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
        "location / { error_page 404 = /e; return 404; } location /e { limit_except GET { proxy_pass http://%%second%%; } proxy_pass http://%%first%%; }",
    ])
    def test_the_same_as_nginx(self, hinge, backend, text):
        requests = [f"{m} {t}" for m in self.METHODS for t in ("/x", "/in")]
        same_as_nginx(hinge, text, requests, first=backend(echo_head("first")), second=backend(echo_head("second")))

    def test_its_own_log(self, hinge):
        h = hinge.server("location / { limit_except GET { access_log %%dir%%/other.log; } }")
        h.get("/x")
        h.post("/x")
        assert '"POST /x ' in h.wait_lines("other.log")[0]


def echo_head(name):
    def script(conn):
        while req := conn.request():
            body = f"{name} {req.method} {req.target}"
            conn.send(answer("" if req.method == "HEAD" else body, f"Content-Type: x/{name}"))
    return script


def test_a_test_does_not_touch_what_no_root_holds_as_a_device(hinge):
    h = hinge.server("location / { if (-e /dev/null) { return 200 yes; } if (-f /dev/null) { return 200 file; } return 200 no; }")
    assert h.get("/").text == "no"


def test_a_client_does_not_ask_about_files_elsewhere(hinge, tree):
    """A variable's ".." leads nowhere; one that is written does."""
    tree.file("secret")
    tree.file("www/sub/f")
    h = hinge.server("""
        root %%tree%%/www;
        location /arg { if (-e $document_root/$arg_f) { return 200; } if (!-e $document_root/$arg_f) { return 404; } }
        location /up { if (-f $document_root/../$arg_f) { return 200; } return 404; }""", tree=tree)
    assert [h.get(f"/arg?f={f}").status for f in ("sub/f", "sub/..f", "sub/../sub/f", "../secret", "..", "/../../../etc/passwd")] == [200, 404, 404, 404, 404, 404]
    assert [h.get(f"/up?f={f}").status for f in ("secret", "www/sub/f", "www/../secret")] == [200, 200, 404]


@needs_nginx
def test_disable_symlinks_holds_for_tests_of_files(beside, tree):
    tree.file("www/f")
    tree.link("www/link", "f")
    tree.link("www/out", "/etc/passwd")
    for line in ("disable_symlinks off;", "disable_symlinks on from=$document_root;", "disable_symlinks if_not_owner from=$document_root;"):
        s = beside("server { listen %%port%%; root %%tree%%/www; " + line + " if (-f $request_filename) { return 201; } if (-e /etc/passwd) { return 202; } }")
        for target in ("/f", "/link", "/out", "/none"):
            s.same(target, log=False)


@needs_nginx
def test_a_servers_rules_know_the_servers_root(beside, tree):
    tree.file("maintenance")
    tree.file("f")
    tree.file("sub/f")
    s = beside("""server {
        listen %%port%%; root %%tree%%; set $was "$document_root $realpath_root $request_filename";
        if (-f $document_root/$arg_off) { return 503 "closed $was"; }
        if (!-e $request_filename) { return 404 "nothing $was"; }
        location / { return 200 "$was $document_root $request_filename"; }
        location /sub/ { root %%tree%%/sub; return 200 "$was $document_root $request_filename"; } }""")
    for target in ("/f", "/f?off=maintenance", "/none", "/sub/f", "/sub/none", "/"):
        s.same(target)
