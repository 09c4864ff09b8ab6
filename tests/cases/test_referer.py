"""valid_referers: who may refer, beside Debian's nginx, which answers the same requests with the same file."""
import re

import pytest
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

RETURN = "return 200 '[$invalid_referer]';"


def request(referer, target="/"):
    fields = [] if referer is None else [f"Referer: {referer}"]
    return lines(f"GET {target} HTTP/1.1", "Host: a.example", "Connection: close", *fields)


def judged(hinge, valid, referers, http=False):
    """For each referer, whether it is valid."""
    text = valid if http else f"location / {{ valid_referers {valid}; {RETURN} }}"
    return [body == "[]" for _, _, body in same_as_nginx(hinge, text, [request(r) for r in referers], http=http)]


MANY = [None, "", "http://a.example/", "http://b.example/x", "https://B.Example:8080/x?y", "ftp://b.example/", "b.example", "http://", "http://x", "http://i.ru",
        "HTTP://www.c.example/", "http://c.example", "http://x.y.c.example/", "http://www.d/", "http://www.d.e/", "http://www.d.e.f/", "http://dot/", "http://x.dot/",
        "http://e.example/dir", "http://e.example/dir/x", "http://e.example/di", "http://e.example", "http://e.example/DIR", "http://e.example:80/dir",
        "http://user@b.example/", "http://b.example./", "unknown", "http://" + "h" * 256 + "/", "http://" + "h" * 257 + "/", "http://b.examplex/", "-",
        "http://e.example?/dir", "https://google.com/search?q=x", "http://www.GOOGLE.com/", "http://other/google", "http://re.example/x", "http://[::1]/"]


@needs_nginx
class TestLikeNginx:
    @pytest.mark.parametrize("valid", [
        "none blocked b.example",
        "none b.example",
        "blocked b.example",
        "b.example c.example *.c.example",
        "*.c.example www.d.* .dot",
        ".dot b.example/x",
        "e.example/dir",
        "e.example/dir/ b.example",
        "server_names x.dot",
        "none server_names b.example",
        r"~\.google\.",
        r"~google\.com ~^re\.",
        r"~example/dir$ b.example",
        r"none blocked b.example ~^RE\.example/X$",
        r"b.example ~.",
    ])
    def test_who_is_valid(self, hinge, valid):
        seen = judged(hinge, valid, MANY)
        assert True in seen and (False in seen or valid.endswith("~"))

    def test_without_the_directive_everybody_is(self, hinge):
        assert all(judged(hinge, f"server {{ listen %%port%%; {RETURN} }}", MANY, http=True))

    def test_names_of_the_server(self, hinge):
        text = r"""server { listen %%port%%; server_name a.example *.m.example .n.example t.* ~^r(?<n>\d+)\.example$ ""; location / { valid_referers server_names; """ + RETURN + " } }"
        got = judged(hinge, text, ["http://a.example/", "http://x.m.example/", "http://m.example/", "http://n.example/", "http://t.z/", "http://r12.example/",
                                   "http://R12.EXAMPLE/x", "http://r.example/", "http:///longer/path", "http://b.example/"], http=True)
        assert got[:8] == [True, True, False, True, True, True, True, False]

    def test_levels(self, hinge):
        text = """server { listen %%port%%; valid_referers none b.example;
                    if ($arg_s) { return 200 "server [$invalid_referer]"; }
                    location / { return 200 "[$invalid_referer]"; }
                    location /own { valid_referers c.example; return 200 "[$invalid_referer]"; }
                    location /two { valid_referers c.example; valid_referers none; return 200 "[$invalid_referer]"; } }"""
        same_as_nginx(hinge, text, [request(r, t) for r in (None, "http://b.example/", "http://c.example/") for t in ("/", "/own", "/two", "/?s=1")], http=True)

    def test_the_usual_condition(self, hinge):
        text = """server { listen %%port%%; server_name a.example; location / { return 200 page; }
                    location ~ \\.(png|jpg)$ { valid_referers none blocked server_names *.example.org; if ($invalid_referer) { return 403; } return 200 picture; } }"""
        got = same_as_nginx(hinge, text, [request(r, "/x.png") for r in (None, "http://a.example/", "http://thief/", "http://www.example.org/", "masked")], http=True)
        assert [status for status, _, _ in got] == [200, 200, 403, 200, 200]

    def test_several_fields(self, hinge):
        two = lines("GET / HTTP/1.1", "Host: a.example", "Referer: http://b.example/", "Referer: http://c.example/", "Connection: close")
        same_as_nginx(hinge, f"location / {{ valid_referers b.example; {RETURN} }}", [two])

    @pytest.mark.parametrize("text, message", [
        ('valid_referers "";', 'invalid referer ""'),
        ("valid_referers a*b;", 'invalid hostname or wildcard "a*b"'),
        ("valid_referers a.b a.b;", 'conflicting parameter "a.b"'),
        ("valid_referers .a.b *.a.b;", 'conflicting parameter "*.a.b"'),
        ("valid_referers ~;", 'empty regex in "~"'),
        ("valid_referers none;", 'the "none" or "blocked" referers are specified in the "valid_referers" directive without any valid referer'),
        ("valid_referers none blocked;", None),
        ("valid_referers none ~x;", None),
        ("server_name a.b; valid_referers a.b server_names;", 'conflicting parameter "a.b"'),
        ("valid_referers ~(;", None),
        ("valid_referers;", 'invalid number of arguments in "valid_referers" directive'),
    ])
    def test_refusals(self, hinge, text, message):
        if message and "none" not in message and "server_names" not in text:
            assert refused_like_nginx(hinge, text) == message
            return
        for binary in ({}, {"binary": "/usr/sbin/nginx"}):  # told at another place of the file
            done = hinge.prepare_http("server { listen %%port%%; " + text + " }", **binary).run("-t")
            assert done.returncode == 1 and (not message or message in done.stderr), done.stderr


def test_tuning_is_accepted(hinge):
    done = hinge.prepare_http("server { listen %%port%%; referer_hash_max_size 512; referer_hash_bucket_size 64; return 200; }").run("-t", check=0)
    assert done.stderr.count("[warn]") == 2


def test_explain_names_the_line(hinge):
    h = hinge.prepare_http("server { listen %%port%%;\n valid_referers\n  b.example\n  *.c.example/dir;\n return 200 '[$invalid_referer]'; }")
    told = h.explain("-H", "Referer: http://x.c.example/other", f"http://127.0.0.1:{h.ports['port']}/", check=0).stdout
    assert re.search(r'valid_referers: host "x.c.example", another path\s+at .*nginx\.conf:\d+: \*\.c', told), told
    assert "the referer is invalid" in told
