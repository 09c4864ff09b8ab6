"""proxy_pass: where a request goes, and as what."""
import re

import pytest
from tools.backend import answers, named, says, serve
from tools.ports import free_port
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers

# location, proxy_pass URI, target asked for, target that arrives: nginx's rules of URI replacement
REWRITES = [
    ("/", "", "/a/b?c=d", "/a/b?c=d"),
    ("/a/", "", "/a/b%20c?d", "/a/b%20c?d"),
    ("/a/", "/", "/a/b", "/b"),
    ("/a/", "/x/", "/a/b?q=1", "/x/b?q=1"),
    ("/a", "/x", "/a/b", "/x/b"),
    ("/a", "/x/", "/a/b", "/x//b"),
    ("/a/", "/x", "/a/b", "/xb"),
    ("= /a", "/x", "/a?q", "/x?q"),
    ("/a/", "/x?y=z", "/a/b", "/x?y=zb"),
    ("/a/", "/x/", "/a/b%20c", "/x/b%20c"),
    ("/a/", "/x/", "/a/../a/b", "/x/b"),
    ("/", "", "/a%2Fb", "/a%2Fb"),
    ("/", "", "/a//b", "/a/b"),
    ("/", "", "/a?b?c", "/a?b?c"),
    ("/", "", "/?", "/?"),
    ("/", "", "/a?", "/a?"),
    ("^~ /a/", "/x/", "/a/b", "/x/b"),
    ("~ ^/a/", "", "/a/b", "/a/b"),
]


@pytest.mark.parametrize("location, uri, asked, arrives", REWRITES, ids=[f"{a} {b} {c}" for a, b, c, _ in REWRITES])
def test_the_uri_is_replaced_as_nginx_does(hinge, backend, location, uri, asked, arrives):
    h = hinge.server("location %%location%% { proxy_pass http://%%origin%%%%uri%%; }", origin=backend(), location=location, uri=uri)
    assert h.get(asked).json()["target"] == arrives


def test_variables_in_proxy_pass_give_the_whole_target(hinge, backend):
    h = hinge.server("""
        set $where %%origin%%;
        location /whole/ { proxy_pass http://$where/fixed?x=$arg_x; }
        location /as-is/ { proxy_pass http://$where; }
        location ~ ^/re/(.*)$ { proxy_pass http://$where/got/$1$is_args$args; }""", origin=backend())
    assert h.get("/whole/a?x=1").json()["target"] == "/fixed?x=1"
    assert h.get("/as-is/a%20b?x=1").json()["target"] == "/as-is/a%20b?x=1"
    assert h.get("/re/a/b?x=1").json()["target"] == "/got/a/b?x=1"


def test_variables_may_name_an_upstream(hinge, backend):
    h = hinge.http("""
        upstream red { server %%red%%; }
        upstream blue { server %%blue%%; }
        server { listen %%port%%; set $pool red; location / { proxy_pass http://$pool; }
                 location /blue { set $pool blue; proxy_pass http://$pool; } }""", red=backend(name="red"), blue=backend(name="blue"))
    assert [h.get(t).json()["backend"] for t in ("/", "/blue")] == ["red", "blue"]


def test_a_unix_socket_is_a_backend(hinge, backend):
    h = hinge.prepare_http("""
        upstream u { server unix:%%dir%%/back.sock; }
        server {
            listen %%port%%;
            location /direct/ { proxy_pass http://unix:%%dir%%/back.sock:/x/; }
            location / { proxy_pass http://u; }
        }""")
    origin = backend(path=str(h.dir / "back.sock"))
    h.start()
    assert h.get("/direct/a").json()["target"] == "/x/a"
    assert h.get("/b").json()["target"] == "/b"
    assert [r["Host"] for r in origin.requests] == ["localhost", "u"]


def test_ipv6_is_a_backend(hinge, backend):
    origin = backend(address="::1")
    h = hinge.proxy(origin)
    assert h.get("/six").json()["target"] == "/six"
    assert origin.requests[0]["Host"] == str(origin)


def test_the_default_request_says_proxy_host(hinge, backend):
    origin = backend()
    h = hinge.http("upstream pool { server %%origin%%; } server { listen %%port%%; location / { proxy_pass http://pool; } }", origin=origin)
    h.get("/", host="client.example")
    assert origin.requests[0]["Host"] == "pool"


def test_the_default_version_is_1_1(hinge, backend):
    assert hinge.proxy(backend()).get("/").json()["version"] == "1.1"


def test_version_1_0_is_spoken_when_asked_for(hinge, backend):
    origin = backend()
    h = hinge.proxy(origin, "proxy_http_version 1.0;")
    assert h.get("/").json()["version"] == "1.0"
    assert origin.requests[0]["Connection"] in (None, "close")


def test_1_0_gets_a_length_for_a_chunked_body(hinge, backend):
    h = hinge.proxy(backend(), "proxy_http_version 1.0;")
    seen = h.ask(lines("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n").json()
    assert (seen["framing"], seen["length"]) == ("length", 5)


class TestSetHeader:
    def test_values_replace_what_the_client_sent(self, hinge, backend):
        origin = backend()
        h = hinge.proxy(origin, """
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Text "a $request_method b";
            proxy_set_header X-Gone "";""")
        h.get("/", "X-Forwarded-For: 9.9.9.9", "X-Real-IP: 9.9.9.9", "X-Gone: 1", "X-Kept: 1", host="Client.Example:81")
        req = origin.requests[0]
        assert (req["Host"], req["X-Real-IP"], req["X-Forwarded-For"]) == ("Client.Example:81", "127.0.0.1", "9.9.9.9, 127.0.0.1")
        assert (req["X-Forwarded-Proto"], req["X-Text"], req["X-Gone"], req["X-Kept"]) == ("http", "a GET b", None, "1")

    def test_without_a_list_the_address_stands_alone(self, hinge, backend):
        origin = backend()
        hinge.proxy(origin, "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;").get("/")
        assert origin.requests[0]["X-Forwarded-For"] == "127.0.0.1"

    @pytest.mark.parametrize("value, sent", [("$host", "client.example"), ("$http_host", "Client.Example:81"), ("$proxy_host", None),
                                             ("fixed.example", "fixed.example"), ("$host:$server_port", None)])
    def test_host(self, hinge, backend, value, sent):
        origin = backend()
        h = hinge.proxy(origin, f"proxy_set_header Host {value};")
        h.get("/", host="Client.Example:81")
        special = {"$proxy_host": str(origin), "$host:$server_port": f"client.example:{h.ports['port']}"}
        assert origin.requests[0]["Host"] == special.get(value, sent)

    def test_a_level_that_sets_one_inherits_none(self, hinge, backend):
        origin = backend()
        h = hinge.http("""
            proxy_set_header X-Outer 1;
            server {
                listen %%port%%;
                location /inherits { proxy_pass http://%%origin%%; }
                location /own { proxy_pass http://%%origin%%; proxy_set_header X-Own 1; }
            }""", origin=origin)
        h.get("/inherits"), h.get("/own")
        assert [(r["X-Outer"], r["X-Own"]) for r in origin.requests] == [("1", None), (None, "1")]

    def test_framing_cannot_be_set(self, hinge, backend):
        origin = backend()
        h = hinge.proxy(origin, "proxy_set_header Content-Length 99; proxy_set_header Transfer-Encoding chunked;")
        h.post("/", b"hello")
        assert (origin.requests[0]["Content-Length"], origin.requests[0].body) == ("5", b"hello")

    def test_line_breaks_in_a_value_cannot_split_the_request(self, hinge, backend):
        origin = backend()
        h = hinge.server(r"""
            location ~ ^/(?<tail>.*)$ { proxy_pass http://%%origin%%; proxy_set_header X-Tail "$tail"; }""", origin=origin)
        h.get("/a%0d%0aX-Evil:%201")
        assert all("X-Evil" not in r for r in origin.requests)
        assert b"X-Evil: 1\r\n" not in origin.received

    def test_connection_upgrade_does_not_leak_the_field_without_a_tunnel(self, hinge, backend):
        origin = backend()
        hinge.proxy(origin, 'proxy_set_header Connection "close";').get("/")
        assert origin.requests[0]["Connection"] == "close"


@pytest.mark.parametrize("method, text, seen", [
    ("GET", "proxy_method POST;", "POST"), ("POST", "", "POST"), ("GET", "set $m PUT; proxy_method $m;", "PUT"),
])
def test_proxy_method(hinge, backend, method, text, seen):
    assert hinge.proxy(backend(), text).get("/", method=method, body=b"x").json()["method"] == seen


def test_some_answer_fields_are_hidden_unless_passed(hinge, backend):
    fields = ["X-Secret: 1", "X-Shown: 1", "Server: apache", "X-Accel-Limit-Rate: 0", "X-Powered-By: php"]
    origin = backend(answers(answer(b"", *fields)))
    h = hinge.server("""
        location / { proxy_pass http://%%origin%%; proxy_hide_header X-Secret; proxy_hide_header x-powered-by; }
        location /open { proxy_pass http://%%origin%%; proxy_pass_header Server; }""", origin=origin)
    hidden, shown = h.get("/"), h.get("/open")
    assert [n in hidden for n in ("X-Secret", "X-Shown", "X-Powered-By", "X-Accel-Limit-Rate")] == [False, True, False, False]
    assert hidden["Server"] != "apache" and shown["Server"] == "apache" and "X-Secret" in shown


class TestRedirect:
    """proxy_redirect rewrites Location and Refresh; a replacement without a host gets ours."""

    def location(self, hinge, backend, text, value, field="Location", path="/app/x"):
        origin = backend(serve(lambda req: answer(b"", field + ": " + value.replace("ORIGIN", f"http://{origin}"), status="302 Found")))
        h = hinge.server("server_name front.example; location /app/ { proxy_pass http://%%origin%%/back/;" + text + "}", origin=origin)
        got = h.get(path, host="front.example")[field]
        return got.replace(f":{h.ports['port']}", ":PORT").replace(f"http://{origin}", "ORIGIN")

    @pytest.mark.parametrize("text, value, rewritten", [
        ("", "ORIGIN/back/y", "http://front.example:PORT/app/y"),
        ("proxy_redirect default;", "ORIGIN/back/y?z", "http://front.example:PORT/app/y?z"),
        ("", "http://other.example/back/y", "http://other.example/back/y"),
        ("", "/relative", "/relative"),
        ("proxy_redirect off;", "ORIGIN/back/y", "ORIGIN/back/y"),
        ("proxy_redirect http://old.example/ http://new.example/;", "http://old.example/y", "http://new.example/y"),
        ("proxy_redirect http://old.example/ /;", "http://old.example/y", "http://front.example:PORT/y"),
        ("proxy_redirect http://$host/ https://$host/;", "http://front.example/y", "https://front.example/y"),
        ("proxy_redirect ~^http://([^/]+)/(.*)$ https://$1/r/$2;", "http://h.example/y/z", "https://h.example/r/y/z"),
        ("proxy_redirect ~*^HTTP://OLD(.*)$ /new$1;", "http://old/y", "http://front.example:PORT/new/y"),
        ("proxy_redirect default; proxy_redirect http://two.example/ /two/;", "http://two.example/y", "http://front.example:PORT/two/y"),
    ])
    def test_location(self, hinge, backend, text, value, rewritten):
        assert self.location(hinge, backend, text, value) == rewritten

    def test_refresh(self, hinge, backend):
        got = self.location(hinge, backend, "proxy_redirect http://old.example/ /new/;", "5; url=http://old.example/y", "Refresh")
        assert got == "5; url=/new/y"


@pytest.mark.parametrize("status", [200, 201, 206, 301, 404, 418, 500, 503, 599])
def test_a_status_travels_as_it_is(hinge, backend, status):
    res = hinge.proxy(backend(named(f"{status} Own Words", body=b"x"))).get("/")
    assert (res.status, res.body) == (status, b"x")


def test_a_refused_connection_is_502(hinge):
    h = hinge.proxy(f"127.0.0.1:{free_port()}")
    assert h.get("/").status == 502
    h.wait_log(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream, client: 127\.0\.0\.1, server: .*, "
               r'request: "GET / HTTP/1\.1", upstream: "http://127\.0\.0\.1:\d+/", host: "localhost"')


def test_a_backend_that_hangs_up_is_502(hinge, backend):
    h = hinge.proxy(backend(says()))
    assert h.get("/").status == 502
    h.wait_log("upstream prematurely closed connection while reading response header from upstream")


def test_a_backend_that_resets_is_502(hinge, backend):
    h = hinge.proxy(backend(says(then="reset")))
    assert h.get("/").status == 502
    h.wait_log(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header from upstream")


def test_a_backend_that_hangs_up_in_the_middle_is_logged(hinge, backend):
    h = hinge.proxy(backend(says(lines("HTTP/1.1 200 OK", "Content-Length: 10") + b"abc")))
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a"))
        c.assert_reset_or_short()
    h.wait_log("upstream prematurely closed connection while reading upstream")


def test_a_head_of_an_answer_must_fit_into_proxy_buffer_size(hinge, backend):
    origin = backend(answers(answer(b"ok", "X-A: " + "a" * 5000)))
    small = hinge.proxy(origin, "proxy_buffer_size 4k; proxy_buffers 8 4k;")
    assert small.get("/").status == 502
    small.wait_log("upstream sent too big header while reading response header from upstream")
    assert hinge.proxy(origin, "proxy_buffer_size 16k; proxy_buffers 4 16k; proxy_busy_buffers_size 32k;").get("/").body == b"ok"


def test_an_error_line_says_who_asked_what_of_whom(hinge, backend):
    origin = backend(says())
    h = hinge.server("server_name front.example; location / { proxy_pass http://%%origin%%/in/; }", origin=origin)
    h.get("/x?y", host="front.example")
    line = h.wait_log(r".*upstream prematurely closed.*")[0]
    assert re.match(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[error\] \d+#\d+: \*\d+ ", line)
    assert line.endswith('client: 127.0.0.1, server: front.example, request: "GET /x?y HTTP/1.1", '
                         f'upstream: "http://{origin}/in/x?y", host: "front.example"')


def test_a_body_of_a_bodiless_answer_never_reaches_the_next_request(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin)
    with h.connect() as c:
        assert c.ask(lines("HEAD / HTTP/1.1", "Host: a")).status == 200
        assert c.ask(lines("GET /next HTTP/1.1", "Host: a")).json()["target"] == "/next"
