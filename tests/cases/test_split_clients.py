"""split_clients: the same client falls into the same part as in Debian's nginx; the rest of its rules beside it, too."""
import pytest
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx

pytestmark = pytest.mark.shared_servers

SERVER = "server { listen %%port%%; location / { return 200 '[$v]'; } }"


@needs_nginx
class TestLikeNginx:
    def test_the_same_client_in_the_same_part(self, hinge):
        texts = [f"192.0.2.{i}" for i in range(250)] + ["", "a", "ab", "abc", "abcd", "abcde", "%FF%FE", "x" * 500]
        got = same_as_nginx(hinge, "split_clients $arg_k $v { 0.5% half; 10% ten; 33.33% third; 0.01% one; 20.1% fifth; * rest; }" + SERVER,
                            [f"/?k={t}" for t in texts], http=True)
        assert {body for _, _, body in got} >= {"[ten]", "[third]", "[fifth]", "[rest]"}

    def test_several_variables_and_text(self, hinge):
        same_as_nginx(hinge, 'split_clients "${remote_addr}AAA$arg_k" $v { 50% a; 50% b; }' + SERVER, [f"/?k={i}" for i in range(100)], http=True)

    def test_what_is_left_is_empty(self, hinge):
        got = same_as_nginx(hinge, "split_clients $arg_k $v { 10% a; }" + SERVER, [f"/?k={i}" for i in range(100)], http=True)
        assert {body for _, _, body in got} == {"[a]", "[]"}

    def test_all_to_one(self, hinge):
        got = same_as_nginx(hinge, "split_clients $arg_k $v { 100% a; }" + SERVER, [f"/?k={i}" for i in range(50)], http=True)
        assert {body for _, _, body in got} == {"[a]"}
        got = same_as_nginx(hinge, "split_clients $arg_k $v { * a; }" + SERVER, ["/", "/?k=1"], http=True)
        assert {body for _, _, body in got} == {"[a]"}

    def test_values_are_no_templates(self, hinge):
        assert same_as_nginx(hinge, "split_clients $arg_k $v { * $host; }" + SERVER, ["/"], http=True)[0][2] == "[$host]"

    def test_kept_over_a_redirect_and_set(self, hinge):
        text = """split_clients $uri $v { 50% a; * b; }
                  server { listen %%port%%; error_page 404 /page; location / { set $x $v; return 404; } location = /page { return 200 "$x $v"; }
                           location /set { set $v mine; return 200 $v; } }"""
        same_as_nginx(hinge, text, [f"/{i}" for i in range(20)] + ["/set"], http=True)

    @pytest.mark.parametrize("text, message", [
        ("split_clients $host v { * a; }", 'invalid variable name "v"'),
        ("split_clients $host $v { 10 a; }", 'invalid percent value "10"'),
        ("split_clients $host $v { 0% a; }", 'invalid percent value "0%"'),
        ("split_clients $host $v { 0.00% a; }", 'invalid percent value "0.00%"'),
        ("split_clients $host $v { 1.234% a; }", 'invalid percent value "1.234%"'),
        ("split_clients $host $v { -1% a; }", 'invalid percent value "-1%"'),
        ("split_clients $host $v { x% a; }", 'invalid percent value "x%"'),
        ("split_clients $host $v { % a; }", 'invalid percent value "%"'),
        ("split_clients $host $v { 1.2.3% a; }", 'invalid percent value "1.2.3%"'),
        ("split_clients $host $v { .% a; }", 'invalid percent value ".%"'),
        ("split_clients $host $host { * a; }", 'the duplicate "host" variable'),
    ])
    def test_refusals(self, hinge, text, message):
        assert refused_like_nginx(hinge, text + SERVER.replace("$v", "x"), http=True) == message

    @pytest.mark.parametrize("shares", ["60% a; 41% b;", "* a; 1% b;", "100% a; 0.01% b;", "101% a;"])
    def test_more_than_all(self, hinge, shares):
        """nginx reads the whole block and names its end; we name the line."""
        for binary in ({}, {"binary": "/usr/sbin/nginx"}):
            done = hinge.prepare_http("split_clients $host $v { " + shares + " }" + SERVER, **binary).run("-t")
            assert done.returncode == 1 and "percent total is greater than 100%" in done.stderr

    @pytest.mark.parametrize("share", [".5%", "5.%", "05%", "0.5%", "00.10%"])
    def test_odd_numbers(self, hinge, share):
        same_as_nginx(hinge, "split_clients $arg_k $v { 40% a; " + share + " b; }" + SERVER, [f"/?k={i}" for i in range(120)], http=True)


def test_shares_are_about_right(hinge):
    h = hinge.http("split_clients $arg_k $v { 25% a; 25% b; * c; }" + SERVER)
    seen = [h.get(f"/?k=10.0.{i // 256}.{i % 256}").text for i in range(400)]
    assert 60 < seen.count("[a]") < 140 and 60 < seen.count("[b]") < 140
