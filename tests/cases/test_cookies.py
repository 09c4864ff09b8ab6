"""Set-Cookie of backends: proxy_cookie_domain, proxy_cookie_path, proxy_cookie_flags; beside nginx, byte for byte."""
import pytest
from tools.backend import serve
from tools.beside import both_proxies, needs_nginx
from tools.wire import answer

pytestmark = pytest.mark.shared_servers

RULES = r"""
    proxy_cookie_domain .one.example $http_to; proxy_cookie_domain three.example four.example; proxy_cookie_domain ~^(.+)\.two\.example$ $1.2;
    proxy_cookie_path /a/ /b/; proxy_cookie_path ~*^/re(.*)$ /q$1; proxy_cookie_path ~^/(?<rest>Case.*)$ /n/$rest; proxy_cookie_path $http_p $uri/;
    proxy_cookie_flags one secure httponly samesite=strict; proxy_cookie_flags two nosecure nohttponly nosamesite;
    proxy_cookie_flags ~^re samesite=lax $http_f; proxy_cookie_flags $http_n samesite=none;"""

COOKIES = [
    "one=1", "one=1; Secure; SameSite=None;  HttpOnly", "two=2; secure; HTTPONLY; SameSite=x; Max-Age=3", "ONE=1", "re1=1;samesite", "two=; Secure; secure",
    "RE2=2; Domain=one.example; Path=/a/b", "x=1; domain=one.example; path=/A/b; Domain = ONE.example ;; foo", "x=1; domain=.a.two.example; PATH=/ReX;",
    "noeq; Path=/a/", "=v; Path=/a/", "dyn=1; Path=/c", "x =  1 ; Domain=; Path=", 'x="a; b"; Path=/a/', "one=a=b; Path=/a/;",
    "one=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT; secure=1; secure", "x=1; domain=.one.example.x", "x=1; domain=xone.example", "x=1;path=\"/a/\"",
    "x=1; Domain=.three.example; Path=/Case1", "x=1; Domain=..three.example; Path=/case1", "x=1; Path=/a", "x=1; Path=/p/q", "x=1; Path", "x; one=1", ";", "a=", "=",
    "one", "one ;Secure", "x=\xe4\xf6; Path=/a/\xfc", "one=1" + "; a=b" * 300, "re=1; SAMESITE=Strict; SameSite", "x=1; Domain=.One.Example; domain=one.example",
]


def cookies(*values):
    return serve(lambda req: answer("", *(f"Set-Cookie: {v}" for v in values)))


FIELDS = ["To: new.example", "F: secure", "N: dyn", "P: /p/"]


@needs_nginx
@pytest.mark.parametrize("rules", [RULES, "", "proxy_cookie_domain off; proxy_cookie_path off; proxy_cookie_flags off;", "proxy_cookie_path / /x/;",
                                   "proxy_cookie_flags ~ nosecure samesite=none;", "proxy_cookie_flags ~. httponly; proxy_cookie_flags one secure;"])
def test_like_nginx(hinge, backend, rules):
    pair = both_proxies(hinge, backend(cookies(*COOKIES)), rules + "proxy_buffer_size 32k; proxy_buffers 4 32k;")
    ours, theirs = (h.get("/u", *FIELDS).all("Set-Cookie") for h in pair)
    assert ours == theirs


def test_the_dot_of_a_variable_does_not_count_either(hinge, backend):
    h = hinge.proxy(backend(cookies("a=1; Domain=.one.example", "a=1; Domain=one.example")), "proxy_cookie_domain one.example $http_to;")
    assert h.get("/", "To: .new.example").all("Set-Cookie") == ["a=1; Domain=.new.example", "a=1; Domain=new.example"]


def test_a_value_cannot_begin_another_attribute(hinge, backend):
    h = hinge.proxy(backend(cookies("a=1; Path=/a/")), "proxy_cookie_path /a/ $http_p;")
    assert h.get("/", "P: /b; Domain=evil").all("Set-Cookie") == ["a=1; Path=/a/"]


def test_variables_tell_the_cookies_that_came(hinge, backend):
    h = hinge.proxy(backend(cookies("a=1; Path=/a/", "b=2", "c=3; Path=/a/")), "proxy_cookie_path /a/ /b/; add_header X-A $upstream_http_set_cookie; add_header X-B $upstream_cookie_b;")
    res = h.get("/")
    assert res.all("Set-Cookie") == ["a=1; Path=/b/", "b=2", "c=3; Path=/b/"]
    assert (res["X-A"], res["X-B"]) == ("a=1; Path=/a/, b=2, c=3; Path=/a/", "2")


def test_hidden_cookies_stay_hidden(hinge, backend):
    h = hinge.proxy(backend(cookies("a=1; Path=/a/")), "proxy_cookie_path /a/ /b/; proxy_hide_header Set-Cookie;")
    assert "Set-Cookie" not in h.get("/")


def test_inheritance(hinge, backend):
    h = hinge.http("""proxy_cookie_path /a/ /outer/; proxy_cookie_flags ~. secure; server { listen %%port%%;
        location / { proxy_pass http://%%origin%%; }
        location /own { proxy_cookie_path /a/ /own/; proxy_pass http://%%origin%%; }
        location /off { proxy_cookie_path off; proxy_cookie_flags off; proxy_pass http://%%origin%%; } }""", origin=backend(cookies("a=1; Path=/a/")))
    assert [h.get(t)["Set-Cookie"] for t in ("/", "/own", "/off")] == ["a=1; Path=/outer/; Secure", "a=1; Path=/own/; Secure", "a=1; Path=/a/"]


@pytest.mark.parametrize("line, why", [
    ("proxy_cookie_domain x;", 'invalid parameter "x"'), ("proxy_cookie_path x;", 'invalid parameter "x"'), ("proxy_cookie_flags x;", 'invalid parameter "x"'),
    ("proxy_cookie_flags x bad;", 'invalid parameter "bad"'), ("proxy_cookie_flags off; proxy_cookie_flags x secure;", "is duplicate"),
    ("proxy_cookie_path a b; proxy_cookie_path off;", "is duplicate"), ("proxy_cookie_path ~( b;", "pcre2_compile() failed"), ("proxy_cookie_domain a 'b;c';", "another attribute"),
])
def test_refused(hinge, line, why):
    h = hinge.prepare_http("server { listen %%port%%; location / { proxy_pass http://127.0.0.1:1; " + line + " } }")
    assert why in h.run("-t", check=1).stderr
