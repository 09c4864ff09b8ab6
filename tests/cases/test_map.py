"""map: every rule beside Debian's nginx, which answers the same requests with the same file; and what nginx does not do."""
import re
import time

import pytest
from tools.compare import needs_nginx, refused_like_nginx, same_as_nginx
from tools.wire import lines

pytestmark = pytest.mark.shared_servers


def host(name, target="/"):
    return lines(f"GET {target} HTTP/1.1", f"Host: {name}", "Connection: close")


def field(value):
    return lines("GET / HTTP/1.1", "Host: a", f"X: {value}", "Connection: close")


def server(*values):
    return "server { listen %%port%%; location / { return 200 '" + "|".join(f"[{v}]" for v in values) + "'; } }"


def same(hinge, blocks, requests, *values, **more):
    return [body for _, _, body in same_as_nginx(hinge, blocks + server(*(values or ["$v"])), requests, http=True, **more)]


@needs_nginx
class TestLikeNginx:
    def test_exact_keys_ignore_letter_case(self, hinge):
        got = same(hinge, 'map $arg_a $v { default none; one 1; TWO 2; "" empty; "a b" space; }',
                   ["/?a=one", "/?a=ONE", "/?a=two", "/?a=Two", "/?a=", "/", "/?a=three", "/?a=one%20"])
        assert got == ["[1]", "[1]", "[2]", "[2]", "[empty]", "[empty]", "[none]", "[none]"]

    def test_without_default_the_value_is_empty(self, hinge):
        assert same(hinge, "map $arg_a $v { one 1; }", ["/?a=one", "/?a=x", "/"]) == ["[1]", "[]", "[]"]

    def test_words_of_the_language_as_keys(self, hinge):
        got = same(hinge, r"""map $http_x $v { default d; \default D; \include I; \hostnames H; \volatile V; \~x T; \\x B; '\a' A; }""",
                   [field(text) for text in ("default", "include", "hostnames", "volatile", "~x", r"\x", "a", "*")])
        assert got == ["[D]", "[I]", "[H]", "[V]", "[T]", "[d]", "[A]", "[d]"]  # the file's \\\\x is \\x for the map, and that a plain x

    def test_a_backslash_stands_only_in_front(self, hinge):
        same(hinge, r"""map $http_x $v { default d; '\\\\x' two; 'a\b' inside; '\\' one; }""",
             [field(text) for text in (r"\x", r"\\x", r"a\b", "ab", "x", "\\")])

    def test_regular_expressions(self, hinge):
        got = same(hinge, r"""map $uri $v { default none; ~^/a 1; ~*^/b 2; ~C$ 3; ~\.php$ 4; "~^/q{2}" 5; ~ 6; }""",
                   ["/a", "/A", "/ab.php", "/B", "/b", "/xC", "/xc", "/x.php", "/qq"])
        assert got[:4] == ["[1]", "[6]", "[1]", "[2]"]

    def test_exact_before_regex_and_first_regex_wins(self, hinge):
        assert same(hinge, "map $arg_a $v { ~a regex; abc exact; ~b second; default d; }",
                    ["/?a=abc", "/?a=ABC", "/?a=ab", "/?a=b", "/?a=x"]) == ["[exact]", "[exact]", "[regex]", "[second]", "[d]"]

    def test_the_empty_text_matches_no_regex(self, hinge):
        assert same(hinge, "map $arg_a $v { ~^$ regex; default d; }", ["/", "/?a="]) == ["[d]", "[d]"]

    def test_captures_in_values(self, hinge):
        got = same(hinge, r"""map $uri $v { ~^/(\w+)/(\w+)$ "$2-$1"; ~^/n/(?<name>\w+)/(?P<rest>.*)$ "$name:$rest"; ~*^/(x) $1; }""",
                   ["/a/b", "/n/tom/x/y", "/X", "/"])
        assert got == ["[b-a]", "[tom:x/y]", "[X]", "[]"]

    def test_captures_remain_behind_the_map(self, hinge):
        got = same(hinge, r"map $uri $v { ~^/(?<who>\w+)/(\w+) seen; }", ["/tom/x", "/"], "$v", "$1", "$2", "$who")
        assert got[0] == "[seen]|[tom]|[x]|[tom]"

    def test_values_with_variables(self, hinge):
        got = same(hinge, 'map $arg_a $v { default "$scheme://$host$uri"; one $arg_b; two "<$arg_b>"; three "${arg_b}x"; }',
                   ["/p?a=one&b=B", "/?a=two&b=B", "/?a=three&b=B", "/?a=one", "/p"])
        assert got == ["[B]", "[<B>]", "[Bx]", "[]", "[http://a.example/p]"]

    def test_several_sources(self, hinge):
        assert same(hinge, 'map "$arg_a:$arg_b" $v { "1:2" both; ":" none; "~^1:" first; default "?"; }',
                    ["/?a=1&b=2", "/", "/?a=1&b=3", "/?b=2"]) == ["[both]", "[none]", "[first]", "[?]"]

    def test_a_text_without_variables(self, hinge):
        assert same(hinge, "map fixed $v { fixed yes; default no; }", ["/"]) == ["[yes]"]

    def test_host_masks(self, hinge):
        names = ["example.com", "www.example.com", "a.www.example.com", "b.example.com", "EXAMPLE.ORG", "x.example.org", "mail.example.net",
                 "mail.com", "mail.", "mail", "other", "x.deep.example.com", "deep.example.com", "dot.example.com.", "mail.long.x", "mail.long"]
        got = same(hinge, """map $http_host $v { hostnames; default none; example.com exact; *.example.com head; *.deep.example.com deep; .example.org both;
                             www.example.com www; mail.* tail; mail.long.* "long tail"; }""", [host(n) for n in names])
        assert got == ["[exact]", "[www]", "[head]", "[head]", "[both]", "[both]", "[tail]", "[tail]", "[none]", "[none]", "[none]", "[deep]", "[head]",
                       "[head]", "[long tail]", "[tail]"]

    def test_masks_are_plain_text_without_hostnames(self, hinge):
        assert same(hinge, "map $arg_a $v { *.b mask; .c dot; d.* tail; }",
                    ["/?a=a.b", "/?a=*.b", "/?a=.c", "/?a=x.c", "/?a=d.*"]) == ["[]", "[mask]", "[dot]", "[]", "[tail]"]

    def test_hostnames_counts_for_the_lines_behind_it(self, hinge):
        assert same(hinge, "map $arg_a $v { *.b plain; hostnames; *.c mask; }", ["/?a=x.b", "/?a=*.b", "/?a=x.c", "/?a=x.c."]) == [
            "[]", "[plain]", "[mask]", "[mask]"]

    def test_hostnames_drops_one_dot_at_the_end(self, hinge):
        same(hinge, "map $arg_a $v { hostnames; a.b exact; .c.d both; ~x regex; }",
             ["/?a=a.b.", "/?a=a.b..", "/?a=c.d.", "/?a=.", "/?a=", "/?a=e.c.d.", "/?a=x.", "/?a=.c.d"], "$v", "$1")

    def test_include(self, hinge):
        def files(where):
            (where / "more.map").write_text("# a comment\none 1; ~^t(.*) 't-$1';\n'two words' 2;\n")
            (where / "a.m").write_text("three 3;")
            (where / "b.m").write_text("default d;")

        got = same(hinge, "map $arg_a $v { include more.map; include *.m; four 4; }", ["/?a=one", "/?a=ten", "/?a=three", "/?a=four", "/?a=x"], setup=files)
        assert got == ["[1]", "[t-en]", "[3]", "[4]", "[d]"]

    def test_maps_of_maps(self, hinge):
        got = same(hinge, """map $b $c { default c-none; 2 three; }
                             map $a $b { default b-none; 1 2; ref $arg_x; }
                             map $arg_a $a { default a-none; one 1; ref ref; }""",
                   ["/?a=one", "/?a=x", "/?a=ref&x=2", "/"], "$a", "$b", "$c")
        assert got[0] == "[1]|[2]|[three]" and got[2] == "[ref]|[2]|[three]"

    def test_cached_over_a_redirect_unless_volatile(self, hinge):
        text = """map $uri $v { default "v$uri"; } map $uri $w { volatile; default "w$uri"; }
                  server { listen %%port%%; error_page 404 /page;
                    location / { set $x "$v $w"; return 404; } location = /page { return 200 "$x|$v $w"; } }"""
        got = same_as_nginx(hinge, text, ["/first"], http=True)
        assert got[0][2] == "v/first w/first|v/first w/page"

    def test_cached_and_changed_in_between(self, hinge):
        text = """map $arg_a $v { 1 one; 2 two; } map $arg_a $w { volatile; 1 one; 2 two; }
                  server { listen %%port%%; location / { set $x "$v $w"; set $args a=2; return 200 "$x|$v $w"; } }"""
        assert same_as_nginx(hinge, text, ["/?a=1"], http=True)[0][2] == "one one|one two"

    def test_set_may_assign_it(self, hinge):
        text = """map $arg_a $v { 1 one; default none; }
                  server { listen %%port%%; location / { return 200 $v; } location /set { set $v other; return 200 $v; } }"""
        assert [r[2] for r in same_as_nginx(hinge, text, ["/?a=1", "/set?a=1"], http=True)] == ["one", "other"]

    def test_of_two_blocks_the_last_counts(self, hinge):
        assert same(hinge, "map $arg_a $v { default first; } map $arg_b $v { default second; 1 one; }", ["/?a=1", "/?b=1"]) == ["[second]", "[one]"]

    def test_names_ignore_letter_case(self, hinge):
        assert same(hinge, "map $ARG_a $Some_Name { 1 one; }", ["/?a=1"], "$SOME_name") == ["[one]"]

    def test_a_member_of_a_family_may_be_defined(self, hinge):
        assert same(hinge, "map $arg_a $http_own { 1 one; }", ["/?a=1"], "$http_own") == ["[one]"]

    def test_in_conditions_and_targets(self, hinge, backend):
        one, two = backend(name="one"), backend(name="two")
        text = """map $arg_a $where { default one; 2 two; } map $http_user_agent $bad { default 0; ~*bot 1; }
                  upstream one { server %%one%%; } upstream two { server %%two%%; }
                  server { listen %%port%%; if ($bad) { return 403; } location / { return 200 $where; } }"""
        same_as_nginx(hinge, text, ["/", "/?a=2", lines("GET / HTTP/1.1", "Host: a", "User-Agent: SomeBot/1", "Connection: close")], http=True,
                      one=one, two=two)

    def test_a_cycle_ends_and_is_logged(self, hinge):
        same(hinge, "map $b $a { default a; '' empty; } map $a $b { default b; }", ["/"], "$a", log=None)
        h = hinge.http("map $b $a { default \"a$b\"; } map $a $b { default \"b$a\"; }" + server("$a", "$b"))
        assert h.get("/").text == "[ab]|[b]"
        h.wait_log(r'\[error\].*cycle while evaluating variable "a".*client: 127.0.0.1')

    @pytest.mark.parametrize("text, message", [
        ("map $a v { }", 'invalid variable name "v"'),
        ("map $host $v { a; }", "invalid number of the map parameters"),
        ("map $host $v { a b c; }", "invalid number of the map parameters"),
        ("map $host $v { hostnames x y; }", "invalid number of the map parameters"),
        ("map $host $v { default a; default b; }", "duplicate default map parameter"),
        ("map $host $v { ab 1; ab 2; }", 'conflicting parameter "ab"'),
        ("map $host $v { hostnames; .a 1; *.a 2; }", 'conflicting parameter "*.a"'),
        ("map $host $v { hostnames; a.*.b 1; }", 'invalid hostname or wildcard "a.*.b"'),
        ("map $host $v { hostnames; a..b 1; }", 'invalid hostname or wildcard "a..b"'),
        ("map $host $v { hostnames; * 1; }", 'invalid hostname or wildcard "*"'),
        ("map $host $host { }", 'the duplicate "host" variable'),
        ("map $host $v { ~( 1; }", None),
        ("map $host $v { a $nothing; }", None),
        ("map $nothing $v { }", None),
        ("map $host { }", 'invalid number of arguments in "map" directive'),
        ("map $host $v;", 'directive "map" has no opening "{"'),
        ("map $host $v { a 1 }", 'unexpected "}"'),
        ("map $host $v { a ${host; }", None),
    ])
    def test_refusals(self, hinge, text, message):
        if message is None:  # both refuse it; the words differ
            text += server("x")
            assert hinge.prepare_http(text, binary="/usr/sbin/nginx").run("-t").returncode != 0
            assert hinge.prepare_http(text).run("-t").returncode != 0
        else:
            assert refused_like_nginx(hinge, text + server("x"), http=True) == message


def test_a_map_in_the_log_sees_the_answer(hinge):
    h = hinge.http("""map $status $kind { ~^2 good; ~^[45] bad; default other; } map $sent_http_x_kind $sent { default none; own seen; }
        log_format t '$kind $sent'; server { listen %%port%%; access_log %%dir%%/t.log t; add_header X-Kind own; location / { set $early $sent; return 200; } location /n { return 404; } }""")
    h.get("/")
    h.get("/n")
    assert h.wait_lines("t.log", 2) == ["good seen", "bad none"]


def test_logs_by_condition(hinge):
    h = hinge.http("""map $status $log { ~^[23] 0; default 1; } log_format t '$status $uri'; server { listen %%port%%; access_log %%dir%%/t.log t if=$log; location / { return 200; } location /bad { return 400; } }""")
    h.get("/")
    h.get("/bad")
    assert h.wait_lines("t.log") == ["400 /bad"]


def test_values_choose_configured_backends(hinge, backend):
    """Constants and names of upstreams are no client's choice: a private address is no obstacle."""
    one, two = backend(name="one"), backend(name="two")
    h = hinge.http("""map $arg_a $where { default one; 2 two; 3 %%two%%; }
        upstream one { server %%one%%; } upstream two { server %%two%%; }
        server { listen %%port%%; location / { proxy_pass http://$where; } }""", one=one, two=two)
    for target, backend_, n in ("/", one, 1), ("/?a=2", two, 1), ("/?a=3", two, 2):
        assert h.get(target).status == 200
        assert len(backend_.requests) == n


@pytest.mark.parametrize("value", ["$arg_a", '"x.$http_x"', "$other"])
def test_values_of_the_client_are_the_clients_choice(hinge, value):
    h = hinge.http("map $http_y $other { default $arg_a; } map $uri $where { default " + value + "; }"
                   "server { listen %%port%%; location / { proxy_pass http://$where; } }").allow("no resolver")
    assert h.get("/?a=127.0.0.1:1", "X: y").status in (403, 502)


def test_captures_are_the_clients_choice(hinge, backend):
    origin = backend()
    h = hinge.http(r"map $uri $where { ~^/(.*)$ $1; } server { listen %%port%%; location / { proxy_pass http://$where; } }")
    assert h.get(f"/{origin}").status in (403, 502)
    assert not origin.requests


def test_two_definitions_are_warned_about(hinge):
    done = hinge.prepare_http("map $arg_a $v { } map $arg_b $v { }" + server("$v")).run("-t", check=0)
    assert '[warn] variable "v" is defined twice' in done.stderr


def test_all_errors_of_a_block_are_told(hinge):
    done = hinge.prepare_http("map $host $v {\n a;\n b 1;\n b 2;\n ~( x;\n}" + server("x")).run("-t")
    assert done.stderr.count("[emerg]") == 3


def test_hundred_thousand_entries(hinge):
    """They load, and are all found; how fast is measured elsewhere."""
    n = 100_000
    h = hinge.prepare_http("map_hash_max_size 262144; map_hash_bucket_size 128; map $arg_a $v { default none; include big.map; }" + server("$v"))
    (h.dir / "big.map").write_text("".join(f"key-{i:06d}.example.com value-{i};\n" for i in range(n)))
    start = time.monotonic()
    h.start()
    print(f"started in {time.monotonic() - start:.2f} s")
    with h.connect() as c:
        for i in (0, 1, 777, 50_000, n - 1):
            assert c.ask(lines(f"GET /?a=KEY-{i:06d}.example.com HTTP/1.1", "Host: a")).text == f"[value-{i}]"
        assert c.ask(lines(f"GET /?a=key-{n:06d}.example.com HTTP/1.1", "Host: a")).text == "[none]"


def test_explain_names_the_line(hinge):
    h = hinge.prepare_http("map $arg_a $v {\n default d;\n one 1;\n ~^t(.*) $1;\n}\n" + server("$v"))
    told = h.explain(f"http://127.0.0.1:{h.ports['port']}/?a=ten", check=0).stdout
    assert re.search(r'map of "ten": ~\^t\(\.\*\)\s+at .*nginx\.conf:\d+: ~\^t', told), told
