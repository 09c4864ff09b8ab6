"""Requests whose head could mean two things: framing (C), lines (L), fields, hosts and targets (H).

The ids are the rows of the vector catalogue. Whatever is ambiguous is answered with an error, the connection is closed, the bytes
behind it are never parsed, and the backend sees nothing at all.
"""
import pytest
from tools.verdict import SMUGGLED, assert_forwarded, assert_honest_request_is_alone, assert_refused
from tools.wire import chunked, lines

pytestmark = pytest.mark.shared_servers


def post(*fields, body=b""):
    return lines("POST /victim HTTP/1.1", "Host: a", *fields) + body


def get(*fields):
    return lines("GET /victim HTTP/1.1", "Host: a", *fields)


def line(request_line):
    return lines(request_line, "Host: a")


def target(text):
    return line(f"GET {text} HTTP/1.1")


def host(text):
    return lines("GET / HTTP/1.1", f"Host: {text}")


def length(value, body=b"abc"):
    return post(f"Content-Length: {value}", body=body)


def coding(value):
    return post(f"Transfer-Encoding: {value}", body=chunked(b"abc"))


CHUNKED_0 = b"0\r\n\r\n"

REFUSED = {
    # C: framing
    "C1 length and coding": post("Content-Length: 6", "Transfer-Encoding: chunked", body=CHUNKED_0 + b"X"),
    "C1 coding and length": post("Transfer-Encoding: chunked", "Content-Length: 5", body=CHUNKED_0),
    "C2 TE.CL with a hidden request": post("Content-Length: 4", "Transfer-Encoding: chunked",
                                           body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)),
    "C2 CL.TE with a hidden request": post("Content-Length: %d" % (5 + len(SMUGGLED)), "Transfer-Encoding: chunked", body=CHUNKED_0),
    "C4 comma before": coding(",chunked"),
    "C4 comma behind": coding("chunked,"),
    "C4 parameter": coding("chunked;a=b"),
    "C5 two lines": post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED_0),
    "C5 chunked twice": coding("chunked, chunked"),
    "C5 chunked not last": coding("chunked, gzip"),
    "C6 VT": coding("\x0bchunked"),
    "C6 FF": coding("chunked\x0c"),
    "C6 NUL": coding("chunked\0"),
    "C6 control": coding("\x01chunked"),
    "C6 high byte": coding("\xffchunked"),
    "C6 quotes": coding('"chunked"'),
    "C7 SP before colon": post("Transfer-Encoding : chunked", body=CHUNKED_0),
    "C7 TAB before colon": post("Transfer-Encoding\t: chunked", body=CHUNKED_0),
    "C7 SP before colon of length": post("Content-Length : 3", body=b"abc"),
    "C7 SP before the first field": lines("POST / HTTP/1.1", " Host: a", "Content-Length: 0"),
    "C7 TAB before the first field": lines("POST / HTTP/1.1", "\tX: y", "Host: a", "Content-Length: 0"),
    "C8 folded coding": post("Transfer-Encoding:", " chunked", body=CHUNKED_0),
    "C8 folded by TAB": post("Transfer-Encoding: chunked", "\tX: y", body=CHUNKED_0),
    "C8 folded other field": get("X-A: one", " two"),
    "C9 coding in 1.0": lines("POST / HTTP/1.0", "Host: a", "Connection: keep-alive", "Transfer-Encoding: chunked") + CHUNKED_0,
    "C10 two lengths": post("Content-Length: 3", "Content-Length: 4", body=b"abc"),
    "C10 list of lengths": length("3, 4"),
    "C11 equal lengths": post("Content-Length: 3", "Content-Length: 3", body=b"abc"),
    "C11 equal list": length("3, 3"),
    "C12 plus": length("+3"),
    "C12 minus": length("-3"),
    "C12 hexadecimal": length("0x3"),
    "C12 two numbers": length("3 3"),
    "C12 empty": length(""),
    "C12 semicolon": length("3;"),
    "C12 underscore": length("1_0", b"0123456789"),
    "C12 letter": length("3a"),
    "C13 2^63": length(2**63),
    "C13 2^64": length(2**64),
    "C13 2^64+3": length(2**64 + 3),
    "C13 21 digits": length("1" * 21),
    "C16 length hidden by VT": post("Content-Length\x0b: 3", body=b"abc"),
    "C16 length hidden by NUL": post("Content-Length\0: 3", body=b"abc"),
    "C16 length hidden by a control": post("\x01Content-Length: 3", body=b"abc"),
    "C16 length hidden by a bracket": post("(Content-Length): 3", body=b"abc"),
    "C16 length hidden by a high byte": post("\xa0Content-Length: 3", body=b"abc"),
    # L: lines
    "L1 LF ends a field": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "L1 LF ends the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "L1 LF ends the head": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "L1 LF alone everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "L2 CR inside a value": get("X-A: one\rtwo"),
    "L2 CR before CRLF": get("X-A: one\r"),
    "L2 CR hides a length": get("X-A: one\rContent-Length: 3"),
    "L3 NUL in a value": get("X-A: one\0two"),
    "L3 NUL in a name": get("X\0A: one"),
    "L3 NUL in the target": target("/a\0b"),
    "L3 control in a value": get("X-A: one\x02two"),
    "L3 DEL in a value": get("X-A: one\x7ftwo"),
    "L4 CR-only lines": b"GET / HTTP/1.1\rHost: a\r\r\r\n\r\n",
    "L4 white line": lines("GET / HTTP/1.1", "Host: a", "  ", "X: y"),
    "L4 white line first": b"  \r\n" + get(),
    "L4 two leading empty lines": b"\r\n\r\n" + get(),
    "L4 a leading LF": b"\n" + get(),
    # H: fields, host, target
    "H1 no colon": get("X-Header"),
    "H1 empty name": get(": value"),
    "H1 space in the name": get("X A: value"),
    "H1 bracket in the name": get("X(A): value"),
    "H1 high byte in the name": get("X\xe4: value"),
    "H2 two hosts": get("Host: b"),
    "H2 two equal hosts": get("Host: a"),
    "H2 list of hosts": host("a,b"),
    "H3 no host": lines("GET / HTTP/1.1"),
    "H4 path": host("a/b"),
    "H4 userinfo": host("user@a"),
    "H4 space": host("a b"),
    "H4 only @": host("@"),
    "H4 empty": host(""),
    "H4 port too large": host("a:65536"),
    "H4 port not a number": host("a:8x"),
    "H4 negative port": host("a:-1"),
    "H4 open bracket": host("[::1"),
    "H4 query": host("a?b"),
    "H4 backslash": host("a\\b"),
    "H6 TAB in the request line": line("GET\t/ HTTP/1.1"),
    "H6 TAB before the version": line("GET /\tHTTP/1.1"),
    "H6 two spaces": line("GET  / HTTP/1.1"),
    "H6 two spaces before the version": line("GET /  HTTP/1.1"),
    "H6 trailing space": line("GET / HTTP/1.1 "),
    "H6 leading space": line(" GET / HTTP/1.1"),
    "H6 no target": line("GET HTTP/1.1"),
    "H6 empty target": line("GET  HTTP/1.1"),
    "H6 lower-case protocol": line("GET / http/1.1"),
    "H6 leading zero": line("GET / HTTP/01.1"),
    "H6 two digits": line("GET / HTTP/1.10"),
    "H6 no minor": line("GET / HTTP/1"),
    "H6 HTTP/0.9": b"GET /\r\n\r\n",
    "H7 raw space": line("GET /a b HTTP/1.1"),
    "H7 fragment": target("/a#b"),
    "H7 backslash": target("/a\\b"),
    "H7 high byte": target("/\xe4"),
    "H7 DEL": target("/a\x7f"),
    "H7 control": target("/a\x01b"),
    "H8 %00": target("/a%00b"),
    "H8 %0d%0a": target("/a%0d%0aX:y"),
    "H8 overlong slash": target("/a%c0%af..%c0%afb"),
    "H8 overlong dot": target("/%c0%ae%c0%ae/b"),
    "H8 overlong in three bytes": target("/a%e0%80%afb"),
    "H8 above the root": target("/a/../../b"),
    "H8 above the root, encoded": target("/%2e%2e/b"),
    "H8 broken escape": target("/a%2"),
    "H8 no escape": target("/a%zz"),
    "H9 asterisk with GET": target("*"),
    "H9 authority with GET": target("a:80"),
    "H9 no leading slash": target("a/b"),
    "H10 junk method": line('G=":<>(e) / HTTP/1.1'),
    "H10 separator in the method": line("GE,T / HTTP/1.1"),
    "H10 empty method": line(" / HTTP/1.1"),
}

ANOTHER_STATUS = {  # same verdict, another answer
    "C3 unknown coding": (coding("xchunked"), (400, 501)),
    "C3 identity": (coding("identity"), (400, 501)),
    "C3 gzip": (coding("gzip"), (400, 501)),
    "C3 gzip, chunked": (coding("gzip, chunked"), (400, 501)),
    "C3 empty": (coding(""), (400, 501)),
    "H6 HTTP/2.0": (line("GET / HTTP/2.0"), (400, 505)),
    "C5 two lines, identity": (post("Transfer-Encoding: identity", "Transfer-Encoding: chunked", body=CHUNKED_0), (400, 501)),
    "H9 CONNECT on a reverse listener": (lines("CONNECT a:80 HTTP/1.1", "Host: a:80"), (400, 405, 501)),
    "H11 request line": (target("/" + "a" * 40000), (414,)),
    "H11 one field": (get("X-A: " + "a" * 40000), (431,)),
    "H11 whole head": (get(*(f"X-{i}: {'a' * 4000}" for i in range(20))), (431,)),
    "H11 number of fields": (get(*["a: b"] * 2000), (431,)),
    "H11 name": (get("X" * 5000 + ": a"), (431,)),
}


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
def test_an_ambiguous_head_is_refused_and_never_forwarded(hinge, backend, wire):
    origin = backend()
    assert_refused(hinge.pooled(origin), origin, wire + SMUGGLED)


@pytest.mark.parametrize("wire, statuses", ANOTHER_STATUS.values(), ids=ANOTHER_STATUS)
def test_an_unusable_head_is_refused_with_its_own_status(hinge, backend, wire, statuses):
    origin = backend()
    assert_refused(hinge.pooled(origin), origin, wire + SMUGGLED, statuses)


def test_h6_a_later_minor_version_counts_as_1_1_or_is_refused(hinge, backend):
    origin = backend()
    h = hinge.pooled(origin)
    res = h.ask(lines("GET /new HTTP/1.2", "Host: a"))
    assert res.status in (200, 505)
    assert_honest_request_is_alone(h, origin, before=["/new"] if res.status == 200 else [])


def test_c12_leading_zeros_are_legal_and_leave_in_canonical_form(hinge, backend):
    origin = backend()
    seen = assert_forwarded(hinge.pooled(origin), origin, length("003"), b"abc")
    assert seen["Content-Length"] == "3"


def test_white_space_around_a_length_is_legal_and_does_not_travel(hinge, backend):
    origin = backend()
    seen = assert_forwarded(hinge.pooled(origin), origin, post("Content-Length: \t 3 \t", body=b"abc"), b"abc")
    assert b"Content-Length: 3\r\n" in bytes(origin.received)
    assert seen.framing == "length"


@pytest.mark.parametrize("spelling", ["chunked", "Chunked", "CHUNKED", " chunked "])
def test_the_coding_is_compared_without_case(hinge, backend, spelling):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, coding(spelling), b"abc")


UNDERSCORED = ["Content_Length: 50", "Transfer_Encoding: chunked", "X_Forwarded_For: 6.6.6.6"]


def test_c14_names_with_underscores_are_dropped(hinge, backend):
    origin = backend()
    seen = assert_forwarded(hinge.pooled(origin), origin, post(*UNDERSCORED, "Content-Length: 3", body=b"abc"), b"abc")
    assert not [n for n in seen.headers.names() if "_" in n]


def test_c14_underscores_in_headers_lets_them_pass_as_ordinary_fields(hinge, backend):
    origin = backend()
    h = hinge.http("""
        underscores_in_headers on;
        server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    seen = assert_forwarded(h, origin, post(*UNDERSCORED, "Content-Length: 3", body=b"abc"), b"abc")
    assert [seen["Content_Length"], seen["Transfer_Encoding"], seen["X_Forwarded_For"]] == ["50", "chunked", "6.6.6.6"]
    assert seen["Content-Length"] == "3"


@pytest.mark.parametrize("setting, passes", [("", False), ("ignore_invalid_headers on;", False), ("ignore_invalid_headers off;", True)])
def test_h1_unusual_but_legal_names_follow_ignore_invalid_headers(hinge, backend, setting, passes):
    origin = backend()
    h = hinge.http(setting + "server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }", origin=origin)
    seen = assert_forwarded(h, origin, get("X!Odd: 1", "X.Dot: 2", "X-Fine: 3"))
    assert ("x!odd" in seen.headers.names(), "x.dot" in seen.headers.names()) == (passes, passes)
    assert seen["X-Fine"] == "3"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH"])
def test_c15_a_body_on_any_method_is_forwarded_exactly(hinge, backend, method):
    origin = backend()
    wire = lines(f"{method} /victim HTTP/1.1", "Host: a", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED
    seen = assert_forwarded(hinge.pooled(origin), origin, wire, SMUGGLED, method, framing="length")
    assert seen.method == method


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_c15_a_chunked_body_on_any_method_is_forwarded_exactly(hinge, backend, method):
    origin = backend()
    wire = lines(f"{method} /victim HTTP/1.1", "Host: a", "Transfer-Encoding: chunked") + chunked(SMUGGLED)
    assert_forwarded(hinge.pooled(origin), origin, wire, SMUGGLED)


def test_l1_bare_lf_in_heads_is_accepted_when_asked_for(hinge, backend):
    origin = backend()
    h = hinge.http("""
        http1_compat bare_lf;
        server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    assert_forwarded(h, origin, b"POST /victim HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", b"abc")


def test_l1_bare_lf_never_reaches_chunks(hinge, backend):
    origin = backend()
    h = hinge.http("""
        http1_compat bare_lf;
        server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    assert_refused(h, origin, b"POST /victim HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n" + SMUGGLED)


def test_l4_one_leading_empty_line_is_allowed(hinge, backend):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, b"\r\n" + get(), target="/victim")


@pytest.mark.parametrize("name", ["localhost", "a.example:8080", "[::1]", "[::1]:80", "127.0.0.1", "A.EXAMPLE", "a.example."])
def test_h4_proper_hosts_are_accepted(hinge, backend, name):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, host(name), target="/")


def test_h5_the_absolute_form_wins_over_host(hinge, backend):
    origin = backend()
    h = hinge.http("""
        server { listen %%port%% default_server; server_name decoy; return 403; }
        server {
            listen %%port%%; server_name real.example;
            location / { proxy_pass http://%%origin%%; proxy_set_header Host $host; }
        }
        server { listen %%port%%; server_name localhost; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    seen = assert_forwarded(h, origin, lines("GET http://Real.Example/path?q HTTP/1.1", "Host: decoy"), target="/path?q")
    assert seen["Host"] == "real.example"


def test_h7_a_fragment_is_cut_when_asked_for(hinge, backend):
    origin = backend()
    h = hinge.http("""
        http1_compat fragment;
        server { listen %%port%%; location / { proxy_pass http://%%origin%%; } }""", origin=origin)
    assert_forwarded(h, origin, target("/a?b#c?d"), target="/a?b")


def test_h8_what_stays_below_the_root_leaves_in_normal_form(hinge, backend):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, target("/a/../b/./c?d=../e"), target="/b/c?d=../e")


def test_h8_an_encoded_slash_stays_encoded(hinge, backend):
    origin = backend()
    assert_forwarded(hinge.pooled(origin), origin, target("/a%2Fb%20c"), target="/a%2Fb%20c")


def test_h12_fields_named_in_connection_are_removed_unless_protected(hinge, backend):
    origin = backend()
    protected = ["X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "Authorization: Basic eA==", "Via: 1.1 x"]
    listed = "Connection: close, X-Forwarded-For, X-Forwarded-Proto, Authorization, Via, Cookie, Host, X-Mine, Content-Length"
    seen = assert_forwarded(hinge.pooled(origin, "proxy_set_header Host $host;"), origin,
                            post(listed, *protected, "Cookie: a=b", "X-Mine: 1", "X-Other: 2", "Content-Length: 3", body=b"abc"), b"abc")
    assert "Cookie" not in seen and "X-Mine" not in seen
    assert [seen["X-Forwarded-For"], seen["X-Forwarded-Proto"], seen["Authorization"]] == ["1.1.1.1", "https", "Basic eA=="]
    assert (seen["Host"], seen["X-Other"], seen["Via"]) == ("a", "2", "1.1 x")


def test_h12_hop_by_hop_fields_do_not_travel(hinge, backend):
    origin = backend()
    hop = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eA==", "TE: gzip", "Trailer: X-A",
           "Upgrade: foo", "HTTP2-Settings: AAAA"]
    seen = assert_forwarded(hinge.pooled(origin), origin, get("Connection: keep-alive, TE, Upgrade, HTTP2-Settings", *hop))
    assert not set(seen.headers.names()) & {h.split(":")[0].lower() for h in hop}
