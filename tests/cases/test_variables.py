"""Variables: what each one says, and when."""
import json
import os
import re
import socket

import pytest
from tools.backend import named, says
from tools.raw import Client
from tools.wire import answer, lines

pytestmark = pytest.mark.shared_servers


def logged(hinge, server, names, send, **more):
    """Serves one request and gives the variables as its log line has them."""
    fmt = "{" + ",".join(f'"{n}":"${n}"' for n in names) + "}"
    h = hinge.http("log_format t escape=json '" + fmt + "'; server { listen %%port%%; server_name named.example; access_log %%dir%%/t.log t;\n"
                   + server + "\n}", **more)
    send(h)
    return h, json.loads(h.wait_lines("t.log")[0])


REQUEST = lines("POST /Some%20Path/./x?a=1&B=two&empty=&flag HTTP/1.1", "Host: Named.Example:8080", "User-Agent: test/1", "Referer: http://r/",
                "X-Own-Field: own", "X-Twice: one", "X-Twice: two", "Cookie: sid=abc; other=def", "Cookie: third=ghi",
                "Content-Type: text/x", "Content-Length: 5") + b"hello"

KNOWN = {
    "request_uri": "/Some%20Path/./x?a=1&B=two&empty=&flag", "uri": "/Some Path/x", "document_uri": "/Some Path/x",
    "args": "a=1&B=two&empty=&flag", "query_string": "a=1&B=two&empty=&flag", "is_args": "?",
    "arg_a": "1", "arg_b": "two", "arg_empty": "", "arg_none": "",
    "host": "named.example", "http_host": "Named.Example:8080", "server_name": "named.example", "server_addr": "127.0.0.1",
    "scheme": "http", "https": "", "request_method": "POST", "server_protocol": "HTTP/1.1",
    "request": "POST /Some%20Path/./x?a=1&B=two&empty=&flag HTTP/1.1",
    "http_user_agent": "test/1", "http_referer": "http://r/", "http_x_own_field": "own", "http_x_twice": "one, two", "http_none": "",
    "cookie_sid": "abc", "cookie_other": "def", "cookie_third": "ghi", "cookie_none": "",
    "content_length": "5", "content_type": "text/x", "remote_addr": "127.0.0.1", "remote_user": "",
    "request_length": str(len(REQUEST)), "status": "200", "body_bytes_sent": "2", "sent_http_x_out": "out", "sent_http_content_length": "2",
    "request_completion": "OK", "connection_requests": "1", "hostname": socket.gethostname(),
    "http_cookie": "sid=abc; other=def; third=ghi", "upstream_status": "200",
}

@pytest.mark.parametrize("name", KNOWN)
def test_a_variable_says(hinge, backend, name):
    origin = backend(named("200 OK", "X-Out: out", body=b"ok"))
    _, seen = logged(hinge, "location / { proxy_pass http://%%origin%%; }", [name], lambda h: h.ask(REQUEST), origin=origin)
    assert seen[name] == KNOWN[name]


PATTERNS = {
    "remote_port": r"\d+", "server_port": r"\d+", "request_time": r"\d+\.\d{3}", "bytes_sent": r"\d+", "connection": r"\d+",
    "msec": r"\d{10}\.\d{3}", "pid": r"\d+", "nginx_version": r"1\.\d+\.\d+", "request_id": r"[0-9a-f]{32}", "connection_time": r"\d+\.\d{3}",
    "time_iso8601": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", "time_local": r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}",
    "upstream_addr": r"127\.0\.0\.1:\d+", "upstream_status": "200", "upstream_response_time": r"\d+\.\d{3}",
    "upstream_connect_time": r"\d+\.\d{3}", "upstream_header_time": r"\d+\.\d{3}", "upstream_response_length": "2",
    "upstream_bytes_sent": r"[1-9]\d+", "upstream_bytes_received": r"[1-9]\d+", "upstream_http_x_out": "out", "upstream_cookie_sid": "abc",
    "proxy_host": r"127\.0\.0\.1:\d+", "proxy_port": r"\d+", "proxy_add_x_forwarded_for": r"127\.0\.0\.1",
    "tcpinfo_rtt": r"\d+", "tcpinfo_rttvar": r"\d+", "tcpinfo_snd_cwnd": r"\d+",
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_variable_looks_like(hinge, backend, name):
    origin = backend(named("200 OK", "X-Out: out", "Set-Cookie: sid=abc; Path=/", body=b"ok"))
    _, seen = logged(hinge, "location / { proxy_pass http://%%origin%%; }", [name], lambda h: h.get("/"), origin=origin)
    assert re.fullmatch(PATTERNS[name], seen[name])


def test_addresses_and_ports_are_those_of_the_connection(hinge):
    h = hinge.server('return 200 "$remote_addr:$remote_port $server_addr:$server_port";')
    with h.connect(source="127.0.0.7") as c:
        mine = c.local
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == f"127.0.0.7:{mine[1]} 127.0.0.1:{h.ports['port']}"


def test_connection_numbers_and_request_counts(hinge):
    h = hinge.server('return 200 "$connection $connection_requests";')
    seen = []
    for _ in range(2):
        with h.connect() as c:
            seen += [c.ask(lines("GET / HTTP/1.1", "Host: a")).text.split() for _ in range(3)]
    assert [n for _, n in seen] == ["1", "2", "3"] * 2
    assert len({c for c, _ in seen}) == 2


def test_bytes_sent_counts_the_head_too(hinge):
    h = hinge.http("""
        log_format t '$bytes_sent $body_bytes_sent';
        server { listen %%port%%; access_log %%dir%%/t.log t; location / { return 200 hello; } }""")
    with h.connect() as c:
        c.send(lines("GET / HTTP/1.1", "Host: a", "Connection: close"))
        raw = c.all_bytes()
    assert h.wait_lines("t.log")[0].split() == [str(len(raw)), "5"]


def test_the_upstream_family_lists_every_attempt(hinge, backend):
    bad, good = backend(says(), name="bad"), backend(name="good")
    names = ["upstream_addr", "upstream_status", "upstream_response_time", "upstream_connect_time", "upstream_header_time",
             "upstream_bytes_received", "upstream_response_length"]
    fmt = "{" + ",".join(f'"{n}":"${n}"' for n in names) + "}"
    h = hinge.http("""
        log_format t escape=json '%%fmt%%';
        upstream u { server %%bad%%; server %%good%% backup; }
        server { listen %%port%%; access_log %%dir%%/t.log t; location / { proxy_pass http://u; } }""", fmt=fmt, bad=bad, good=good)
    h.get("/")
    seen = json.loads(h.wait_lines("t.log")[0])
    assert seen["upstream_addr"] == f"{bad}, {good}"
    assert seen["upstream_status"] == "502, 200"
    assert re.fullmatch(r"\d+\.\d{3}, \d+\.\d{3}", seen["upstream_response_time"])
    assert re.fullmatch(r"(-|\d+\.\d{3}), \d+\.\d{3}", seen["upstream_header_time"])
    assert seen["upstream_response_length"].startswith("0, ")


def test_without_an_upstream_its_variables_are_empty(hinge):
    names = ["upstream_addr", "upstream_status", "upstream_response_time", "upstream_http_x"]
    _, seen = logged(hinge, "location / { return 200; }", names, lambda h: h.get("/"))
    assert set(seen.values()) == {""}


def test_status_of_an_aborted_client_is_499(hinge, backend):
    origin = backend(lambda conn: (conn.request(), conn.hang()))

    def send(h):
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: a"))
            origin.wait_requests(1)
            c.reset()

    _, seen = logged(hinge, "location / { proxy_pass http://%%origin%%; }", ["status"], send, origin=origin)
    assert seen["status"] == "499"


def test_server_name_is_the_first_name_and_host_falls_back_to_it(hinge):
    h = hinge.server('server_name first.example second.example; return 200 "$server_name $host [$http_host]";')
    assert h.get("/", host="second.example").text == "first.example second.example [second.example]"
    assert h.ask(lines("GET / HTTP/1.0")).text == "first.example first.example []"


def test_request_uri_stays_and_uri_follows_the_redirect(hinge):
    h = hinge.server("""
        error_page 404 /page?from=page;
        location / { return 404; }
        location = /page { return 200 "$request_uri $uri $args"; }""")
    assert h.get("/x?y").text == "/x?y /page from=page"


def test_braces_and_dollars(hinge):
    h = hinge.server("""set $a x; return 200 "${a}b ${a}$a a$a.";""")
    assert h.get("/").text == "xb xx ax."


def test_the_pid_is_that_of_a_running_process(hinge):
    h = hinge.server("return 200 $pid;")
    assert int(h.get("/").text) in [h.pid, *h.children()]


def test_a_unix_client_has_a_name(hinge):
    h = hinge.http('server { listen unix:%%dir%%/s; return 200 "$remote_addr $remote_port"; }')
    with Client(os.path.join(h.dir, "s")) as c:
        assert c.ask(lines("GET / HTTP/1.1", "Host: a")).text == "unix: "


def test_upstream_values_are_known_to_added_fields(hinge, backend):
    origin = backend(says(answer(b"ok", "X-Own: theirs")))
    h = hinge.proxy(origin, 'add_header X-Seen "$upstream_addr $upstream_status $upstream_http_x_own";')
    assert h.get("/")["X-Seen"] == f"{origin} 200 theirs"
