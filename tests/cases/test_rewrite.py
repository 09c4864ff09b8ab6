"""The rewrite module: rewrite, set, return, break, and what they say in the log. nginx runs beside, with the same file."""
import pytest
from tools.backend import serve
from tools.wire import answer
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx

pytestmark = pytest.mark.shared_servers

ECHO = 'return 200 "$uri|$args|$is_args";'

# name: (inside of a server, targets)
SAME = {
    "plain": ("rewrite ^/a/(.*)$ /b/$1; rewrite ^/b/(.*)$ /c/$1; location / { " + ECHO + " }", ["/a/x", "/b/x?q=1", "/d", "/a/"]),
    "last at the server": ("rewrite ^/a /b last; rewrite ^/b /c; location / { " + ECHO + " }", ["/a", "/b", "/a?x"]),
    "break at the server": ("rewrite ^/a /b break; rewrite ^/b /c; location / { " + ECHO + " }", ["/a", "/b", "/a?x"]),
    "last in a location": ("""
        location /a { rewrite ^/a(.*)$ /b$1 last; return 200 never; }
        location /b { rewrite ^/b(.*)$ /c$1 last; }
        location / { """ + ECHO + " }", ["/a", "/a/x?y=z", "/b", "/c"]),
    "break in a location": ("""
        location /a { rewrite ^/a(.*)$ /b$1 break; return 200 never; }
        location /b { return 200 b; }""", ["/a", "/b"]),
    "no flag in a location": ("""
        location /a { rewrite ^/a(.*)$ /b$1; set $x "$uri"; }
        location /b { return 200 "$uri $x"; }""", ["/a", "/a/x?y"]),
    "break after no flag": ("""
        location /a { rewrite ^/a(.*)$ /b$1; break; return 200 never; }
        location /b { return 200 b; }""", ["/a/x"]),
    "the server's rules run once": ("""
        set $n "${n}s"; rewrite ^/x /a;
        location /a { set $n "${n}a"; rewrite ^ /b last; }
        location /b { set $n "${n}b"; return 200 $n; }""", ["/a", "/x", "/b"]),
    "arguments": ("""
        location /add { rewrite ^ /e?new=1 last; }
        location /drop { rewrite ^ /e? last; }
        location /both { rewrite ^ /e?new=1? last; }
        location /two { rewrite ^ /e?a=1?b=2 last; }
        location /only { rewrite ^ ?new=1 last; }
        location /keep { rewrite ^ /e last; }
        location /var { rewrite ^ /e?x=$arg_x&u=$uri last; }
        location /e { """ + ECHO + " }",
        [t + q for t in ("/add", "/drop", "/both", "/two", "/keep", "/var", "/only") for q in ("", "?", "?x=1", "?x=a%20b&y=2")]),
    "redirects": ("""
        location /r { rewrite ^/r(.*)$ /new$1 redirect; }
        location /p { rewrite ^/p(.*)$ /new$1 permanent; }
        location /h { rewrite ^/h(.*)$ http://other.example$1; return 200 never; }
        location /s { rewrite ^/s(.*)$ https://other.example$1 permanent; }
        location /v { rewrite ^/v(.*)$ $scheme://$host$1?a=b; }
        location /l { rewrite ^/l(.*)$ http://other.example/last last; }
        location /b { rewrite ^/b(.*)$ http://other.example/break break; }
        location /d { rewrite ^/d(.*)$ /new$1? redirect; }
        location /q { rewrite ^/q(.*)$ /new$1?z=1 redirect; }
        location /w { rewrite ^/w(.*)$ /new$1?z=1? redirect; }
        location /x { rewrite ^/x(.*)$ new$1 redirect; }""",
        [f"/{c}{rest}" for c in "rphsvlbdqwx" for rest in ("", "/y", "/y?x=1", "/%20y+z?a=%20")]),
    "captures and encoding": (r"""
        location /u/ { rewrite ^/u/(.*)$ /e/$1 last; }
        location /a/ { rewrite ^/a/(.*)$ /e?x=$1 last; }
        location /n/ { rewrite ^/n/(?<rest>.*)$ /e/$rest?x=$rest last; }
        location /o/ { rewrite ^/o/((\w+)-(\w+))$ /e/$3-$2-$1-$1?$1$2$3$4 last; }
        location /r/ { rewrite ^/r/(.*)$ /t/$1?$1 redirect; }
        location /e { """ + ECHO + " }",
        [f"/{c}/{rest}" for c in "uanor" for rest in ("x", "ab-cd", "a%20b", "a+b", "a%26b=c", "a&b=c", "%25", "%3F", "%23", "a%2Fb", "%C3%A9", "a;b", "a'b", "a%22b")]),
    "overlapping captures": (r"""
        location ~ ^/(((((((((.+)))))))))$ { rewrite ^/(((((((((.+)))))))))$ /$1$2$3$4$5$6$7$8$9$1?$9$8$7$6$5$4$3$2$1$9 break; return 200 x; }
        location /never { return 200 never; }""", ["/a", "/a%20b", "/" + "x+%26" * 20]),
    "overlapping captures, seen": (r"""
        rewrite ^/o/((.)(.*))$ /seen/$1$1$2$3$1?$1&$2$3;
        location /seen { """ + ECHO + " }", ["/o/abc", "/o/%26bc", "/o/%20%20%20", "/o/a"]),
    "what a redirect decodes": (r"""
        location /1 { rewrite ^ /z%41%20%7e%7E%c3%A9%2f%25%24%26?x=%41 redirect; }
        location /2 { rewrite ^/2(.*)$ /%3f%41$1%41 redirect; }
        location /3 { rewrite ^/3(.*)$ /$1%4%zz%41% redirect; }
        location /4 { rewrite ^/4(.*)$ /%4 redirect; }
        location /5 { rewrite ^/5(.*)$ "/$1%0d%0aX: y" redirect; }""",
        ["/1", "/2", "/2%41", "/3", "/3/%25", "/4", "/5", "/5%20"]),
    "set quotes captures": (r"""
        location ~ ^/s/(?<n>.*)$ { set $v "$1"; set $w "$n"; return 200 "$v|$w|$1|$n"; }
        location ~ ^/t/(.*)$ { rewrite ^/t/(.*)$ /t/$1; set $v "$1"; break; return 200 never; }
        location ~ ^/i/(.*)$ { if ($arg_x = $1) { return 200 "same $1"; } return 200 "other $1"; }""",
        ["/s/ab", "/s/a%20b", "/s/a+b", "/s/a%26", "/i/a%20b?x=a%20b", "/i/a%20b?x=a b".replace(" ", "+"), "/i/ab?x=ab"]),
    "captures that do not take part": (r"""
        location /c { rewrite ^/c/(a)?(b)?(c)?$ /e/[$1][$2][$3][$4] last; }
        location /e { """ + ECHO + " }", ["/c/", "/c/a", "/c/b", "/c/ac", "/c/abc", "/c/x"]),
    "a failed match leaves no captures": (r"""
        location ~ ^/(\w+)/(\w+) { rewrite ^/nothing(.) /x; return 200 "[$1][$2]"; }""", ["/a/b"]),
    "captures of a location survive": (r"""
        location ~ ^/(\w+)/x { rewrite ^ /e last; }
        location ~ ^/(\w+)/y { error_page 404 /e; return 404; }
        location ~ ^/(\w+)/z { error_page 404 @n; return 404; }
        location @n { return 200 "[$1] $uri"; }
        location /e { return 200 "[$1]"; }""", ["/a/x", "/a/z"]),
    "case": (r'location / { rewrite "(?i)^/AbC$" /hit; return 200 $uri; }', ["/abc", "/ABC", "/abcd"]),
    "an empty match": ("location /a { rewrite ^ /b; return 200 $uri; }", ["/a", "/a/b"]),
    "quoted braces": (r'location / { rewrite "^/(\d{2,3})$" /n/$1; return 200 $uri; }', ["/1", "/12", "/1234"]),
    "an internal location": ("""
        rewrite ^/server /in;
        location /in { internal; return 200 in; }
        location /last { rewrite ^ /in last; }
        location /named { error_page 404 = @in; return 404; }
        location @in { internal; return 200 named; }""", ["/in", "/server", "/last", "/named", "/server?x"]),
    "a URI of zero length": ("""location / { rewrite ^ "?"; } location /var { rewrite ^ $arg_none; }""", ["/", "/var"]),
    "a URI without a slash": ("location / { rewrite ^/(.*)$ $1; return 200 [$uri]; } location /l { rewrite ^/l(.*)$ x$1 last; }", ["/abc", "/l"]),
    "ten cycles": (r"""
        location / { return 200 "$uri"; }
        location /c { rewrite ^/c(x*)$ /cx$1 last; }
        location ~ "^/d(x{0,9})$" { rewrite ^/d(x*)$ /dx$1 last; }
        location /e { rewrite ^ /f last; } location /f { rewrite ^ /e; }""", ["/d", "/dx", "/c", "/e", "/dxxxxxxxxxx"]),
    "exactly ten are allowed": (r"""
        location ~ "^/t(x{0,9})$" { rewrite ^/t(x*)$ /tx$1 last; }
        location ~ "^/u(x{0,10})$" { rewrite ^/u(x*)$ /ux$1 last; }
        location / { return 200 "$uri"; }""", ["/t", "/u"]),
    "no page for a cycle": ("""
        error_page 500 /page; location /page { return 200 page; }
        location /c { rewrite ^ /c last; } location /d { return 500; }""", ["/c", "/d"]),
    "set": (r"""
        set $a 1; set $b "${a}2$a"; set $a "";
        location / { set $c $b$a$b; set $B x; return 200 "$a|$b|$c"; }
        location /args { set $args "n=1"; return 200 "$args|$query_string|$arg_n|$is_args|$request_uri"; }
        location /noargs { set $args ""; return 200 "$args|$is_args"; }
        location /rewritten { set $args "n=1"; rewrite ^ /args2 last; }
        location /args2 { return 200 "$args"; }
        location /cap { if ($uri ~ ^/cap(.*)$) { set $d $1; } return 200 $d; }""",
        ["/", "/args?x", "/noargs?x", "/rewritten?x", "/cap", "/cap/a%20b"]),
    "set stays": ("""
        location /a { set $v "of a"; rewrite ^ /b last; }
        location /b { return 200 "[$v]"; }
        location /c { set $v "of c"; error_page 404 = /b; return 404; }
        location /d { set $v "of d"; error_page 404 = @n; return 404; }
        location @n { return 200 "[$v] $uri"; }""", ["/a", "/b", "/c", "/d"]),
    "break ends lines, not the location": ("""
        location /a { break; return 200 never; }
        location /b { set $x 1; break; set $x 2; error_page 404 =200 @x; }
        location @x { return 200 "[$x]"; }
        break; return 200 never;""", ["/a", "/b"]),
    "return": ("""
        location /1 { return 200; } location /2 { return 204; } location /3 { return 302 /x; } location /4 { return 300 text; }
        location /5 { return 404 text; } location /6 { return 404; } location /7 { return 404 ""; } location /8 { return 307 /x?$args; }
        location /9 { return http://other.example$request_uri; } location /10 { return 201 made; } location /11 { return 503 "$uri"; }
        location /12 { return 308 relative; } location /13 { return 410 x; } location /14 { return 399 /x; } location /15 { return 200 ""; }
        location /16 { return 600 odd; }""", [f"/{n}?a=b" for n in range(1, 17)]),
    "return and HEAD": ("location /a { return 200 text; } location /b { return 404; } location /c { return 301 /x; }", ["HEAD /a", "HEAD /b", "HEAD /c"]),
    "return and a body": ("location /a { return 200 $request_method; } location /b { return 405; }", ["POST /a", "DELETE /a", "PUT /b"]),
    "redirects are made absolute": ("""
        server_name first.example second.example;
        location /a { absolute_redirect off; return 301 /x; } location /b { port_in_redirect off; return 301 /x; }
        location /c { server_name_in_redirect on; return 301 /x; } location /d { rewrite ^ /x permanent; }
        location /e { absolute_redirect off; rewrite ^ /x permanent; } location /f { server_name_in_redirect on; port_in_redirect off; rewrite ^ /x redirect; }
        location /g { return 301 //other.example/x; }""", [f"/{c}?q" for c in "abcdefg"]),
    "merged slashes": ("location / { rewrite ^/(.*)$ /b//$1 break; return 200 x; } location /a { return 200 $uri; }", ["//a//b", "/a//b"]),
    "slashes that stay": ("merge_slashes off; rewrite ^//(.*)$ /two/$1; location / { return 200 $uri; }", ["//a//b", "/a//b"]),
}


@needs_nginx
@pytest.mark.parametrize("name", SAME)
def test_the_same_as_nginx(hinge, name):
    text, requests = SAME[name]
    same_as_nginx(hinge, text, requests)


# What goes to the backend: the echo's target.
PROXIED = {
    "rewritten without a URI part": "location / { rewrite ^/a/(.*)$ /b/$1?x=$1 break; proxy_pass http://%%origin%%; }",
    "rewritten with a URI part, break": "location /a/ { rewrite ^/a/(.*)$ /a/b/$1 break; proxy_pass http://%%origin%%/new/; }",
    "rewritten at the server, break": "rewrite ^/a/(.*)$ /b/$1 break; location /b/ { proxy_pass http://%%origin%%/new/; }",
    "rewritten at the server, last": "rewrite ^/a/(.*)$ /b/$1 last; location /b/ { proxy_pass http://%%origin%%/new/; }",
    "rewritten at the server": "rewrite ^/a/(.*)$ /b/$1; location /b/ { proxy_pass http://%%origin%%/new/; }",
    "rewritten to another location": "location /a/ { rewrite ^/a/(.*)$ /b/$1 last; } location /b/ { proxy_pass http://%%origin%%/new/; }",
    "to one without a URI part": "location /a/ { rewrite ^/a/(.*)$ /b/$1 last; } location /b/ { proxy_pass http://%%origin%%; }",
    "no flag, then break": "location /a/ { rewrite ^/a/(.*)$ /a/b/$1; break; proxy_pass http://%%origin%%/new/; }",
    "not matched": "location /a/ { rewrite ^/nothing /b break; proxy_pass http://%%origin%%/new/; }",
    "redirect after a rewrite": "location /a/ { rewrite ^/a/(.*)$ /b/$1 last; } location /b/ { error_page 404 = /c/; return 404; } location /c/ { proxy_pass http://%%origin%%/new/; }",
    "set args": "location /a/ { set $args k=v; proxy_pass http://%%origin%%; }",
    "set args with a URI part": "location /a/ { set $args k=v; proxy_pass http://%%origin%%/new/; }",
    "named": "location /a/ { error_page 404 = @b; return 404; } location @b { proxy_pass http://%%origin%%; }",
    "named and rewritten": "location /a/ { error_page 404 = @b; return 404; } location @b { rewrite ^/a/(.*)$ /c/$1 break; proxy_pass http://%%origin%%; }",
    "a page": "location /a/ { error_page 404 = /b?x=1; return 404; } location /b { proxy_pass http://%%origin%%; }",
    "a page with a URI part": "location /a/ { error_page 404 = /b/c?x=1; return 404; } location /b/ { proxy_pass http://%%origin%%/new/; }",
    "variables": "location /a/ { rewrite ^/a/(.*)$ /b?x=$1 break; proxy_pass http://%%origin%%$uri$is_args$args; }",
}


@needs_nginx
@pytest.mark.parametrize("name", PROXIED)
def test_a_backend_sees_what_it_would_behind_nginx(hinge, backend, name):
    origin = backend(serve(lambda req: answer(f"{req.method} {req.target}".encode())))
    same_as_nginx(hinge, PROXIED[name], [t + q for t in ("/a/x", "/a/x%20y", "/a/", "/a/x%2Fy", "/a/x+y", "/a/%C3%A9") for q in ("", "?q=1", "?")], origin=origin)


LOGGED = r"(?:\"[^\"]*\" (?:matches|does not match) \"[^\"]*\"|rewritten (?:data|redirect): \"[^\"]*\"(?:, args: \"[^\"]*\")?|rewrite or internal[^,]*|the rewritten URI[^,]*|using uninitialized[^,]*)"


@needs_nginx
@pytest.mark.parametrize("text, requests", [
    ("rewrite_log on; rewrite ^/a(.*)$ /b$1; rewrite ^/none /x; location / { rewrite ^/b(.*)$ http://o.example/$1?x=1 redirect; }", ["/a1?q", "/z"]),
    ("rewrite_log on; location / { if ($uri ~* ^/B) { set $x 1; } if ($uri !~ c) { return 200 x; } }", ["/b", "/c"]),
    ("rewrite_log off; rewrite ^/a(.*)$ /b$1; location / { return 200 x; }", ["/a"]),
    ("location /a { rewrite ^ /b last; } location /b { rewrite ^ /a last; }", ["/a", "/b?x"]),
    ("location / { rewrite ^ '?'; }", ["/"]),
    ("location / { error_page 404 /again; return 404; } location /again { error_page 404 /again; recursive_error_pages on; return 404; }", ["/"]),
    ("location / { recursive_error_pages on; error_page 404 @again; return 404; } location @again { error_page 404 @again; return 404; }", ["/"]),
    ("location / { set $b $a; return 200 '$a'; } location /off { uninitialized_variable_warn off; return 200 '$a'; } location /s { set $a 1; return 200 $a; }",
     ["/", "/off", "/s"]),
    (r"location ~ ^/(?<cap>x)?y { return 200 $cap; } location / { return 200 $cap; }", ["/y", "/"]),
    (r"uninitialized_variable_warn off; location / { if ($arg_a) { uninitialized_variable_warn on; return 200 '$n'; } return 200 '$n'; } location /n { set $n 1; }",
     ["/", "/?a=1"]),
])
def test_the_log_says_what_nginx_says(hinge, text, requests):
    same_as_nginx(hinge, text, requests, log=LOGGED)


@needs_nginx
@pytest.mark.parametrize("line", [
    "rewrite ^ '';", "rewrite ^ /x lst;", "rewrite ^ /x break more;", "rewrite ^;", "rewrite ( /x;",
    "set x 1;", "set $x;", "set $uri 1;", "return;", "return x;", "return 1000;", "return /x;", "break x;", "rewrite_log maybe;",
    "location / { rewrite ^ '${x'; }",
])
def test_refused_like_nginx(hinge, line):
    refused_like_nginx(hinge, line)


def test_a_rewritten_request_keeps_its_body(hinge, backend):
    h = hinge.server("location /a { rewrite ^ /b last; } location /b { proxy_pass http://%%origin%%; }", origin=backend())
    seen = h.post("/a?x=1", b"some body").json()
    assert (seen["method"], seen["target"], seen["length"]) == ("POST", "/b?x=1", 9)


def test_the_size_of_a_body_is_judged_at_each_location(hinge, backend):
    h = hinge.server("""
        location /a { client_max_body_size 100; rewrite ^ /b last; }
        location /b { client_max_body_size 5; proxy_pass http://%%origin%%; }
        location /c { client_max_body_size 5; rewrite ^ /d last; }
        location /d { proxy_pass http://%%origin%%; }""", origin=backend())
    assert [h.post(t, b"some body").status for t in ("/a", "/c", "/d")] == [413, 413, 200]


def test_a_target_made_by_a_rewrite_cannot_split_the_request(hinge, backend):
    h = hinge.server(r"location / { rewrite ^/(.*)$ /x$1?$1$arg_a break; proxy_pass http://%%origin%%; }", origin=backend())
    assert h.get("/%09%20%7f".replace("%7f", "")).json()["target"].startswith("/x%09%20")


def test_a_pattern_that_explodes_is_a_500(hinge):
    h = hinge.server(r'location / { rewrite "^/(a+)+$" /x; return 200 $uri; }')
    assert h.get("/" + "a" * 30).text == "/x"
    assert h.get("/" + "a" * 2000 + "!").status in (200, 500)
