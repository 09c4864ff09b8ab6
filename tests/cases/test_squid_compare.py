"""The same squid.conf and the same requests for Debian's Squid and for hinge --squid."""
import base64
import datetime
import subprocess

import pytest
from tools import squid
from tools.backend import serve
from tools.wire import Ended, answer, lines

pytestmark = squid.needs_squid

LOCAL = "http_access allow localhost\nhttp_access deny all\n"


@pytest.fixture
def pair(hinge):
    made = []

    def make(text, **files):
        made.append(squid.Pair(hinge, text, files))
        return made[-1]

    yield make
    for p in made:
        p.theirs.close()


@pytest.fixture
def at(backend):
    return f"127.0.0.1:{backend().port}"


def statuses(found):
    return [f[0] for f in found]


def test_allow_localnet(pair, at):
    p = pair("acl localnet src 10.0.0.0/8\nacl localnet src 127.0.0.0/8\nhttp_access allow localnet\nhttp_access deny all\n")
    assert statuses(p.same(f"GET http://{at}/", (f"GET http://{at}/x", "X-Forwarded-For: 1.2.3.4", "Via: 1.0 inside"), f"HEAD http://{at}/", f"OPTIONS http://{at}/")) == [200] * 4


def test_others_stay_out(pair, at):
    assert statuses(pair("acl localnet src 10.0.0.0/8\nhttp_access allow localnet\nhttp_access deny all\n").same(f"GET http://{at}/", f"CONNECT {at}")) == [403, 403]
    assert statuses(pair("").same(f"GET http://{at}/")) == [403]
    assert statuses(pair("acl x src 10.0.0.0/8\nhttp_access deny x\n").same(f"GET http://{at}/")) == [200]


def test_the_packaged_rules(pair, at):
    port = at.split(":")[1]
    p = pair(f"acl SSL_ports port 443\nacl Safe_ports port 80\nacl Safe_ports port {port}\nhttp_access deny !Safe_ports\nhttp_access deny CONNECT !SSL_ports\n"
             "http_access allow localhost manager\nhttp_access deny manager\n" + LOCAL)
    assert statuses(p.same(f"GET http://{at}/", f"CONNECT {at}", "GET http://127.0.0.1:25/", "CONNECT 127.0.0.1:22")) == [200, 403, 403, 403]


def test_tunnels(pair, at):
    port = at.split(":")[1]
    assert statuses(pair(f"acl SSL_ports port {port}\nhttp_access deny CONNECT !SSL_ports\n" + LOCAL).same(f"CONNECT {at}", "CONNECT 127.0.0.1:1")) == [200, 403]


def test_domains_of_files(pair, at):
    port = at.split(":")[1]
    p = pair('acl bad dstdomain "%%file:bad%%"\nacl good dstdomain localhost 127.0.0.1\nhttp_access deny bad\nhttp_access allow localhost good\nhttp_access deny all\n',
             bad="# theirs\n.ads.test\nexact.test\n")
    assert statuses(p.same(*[f"GET http://{h}:{port}/" for h in ("ads.test", "x.ads.test", "exact.test", "X.ADS.test")], f"GET http://{at}/")) == [403, 403, 403, 403, 200]


def test_patterns_of_urls(pair, at):
    p = pair('acl words url_regex -i "%%file:words%%"\nacl exe urlpath_regex \\.exe$\nhttp_access deny words\nhttp_access deny exe\n' + LOCAL, words="casino\n^http://[^/]*/secret\n")
    assert statuses(p.same(f"GET http://{at}/CASINO", f"GET http://{at}/secret/x", f"GET http://{at}/a.exe", f"GET http://{at}/a.exe?b", f"GET http://{at}/A.EXE", f"GET http://{at}/fine")) == \
        [403, 403, 403, 200, 200, 200]


def test_a_line_of_a_file_is_one_pattern(pair, at):
    p = pair('acl words url_regex "%%file:words%%"\nhttp_access deny words\n' + LOCAL, words="casino online\r\n  lead  # theirs\n# all\nhash#tag\n")
    found = p.same(*[f"GET http://{at}/{path}" for path in ("casino", "online", "casino%20online", "lead", "theirs", "hash", "hash%23tag")])
    assert statuses(found) == [200, 200, 403, 403, 200, 200, 403]


def test_hours(pair, at):
    now = datetime.datetime.now()
    today = "SMTWHFA"[(now.weekday() + 1) % 7]
    other = "SMTWHFA"[(now.weekday() + 3) % 7]
    assert statuses(pair(f"acl t time {today} 00:00-23:59\nhttp_access deny t\n" + LOCAL).same(f"GET http://{at}/")) == [403]
    assert statuses(pair(f"acl t time {other} 00:00-23:59\nhttp_access deny t\n" + LOCAL).same(f"GET http://{at}/")) == [200]


def basic(text):
    return "Proxy-Authorization: Basic " + base64.b64encode(text.encode()).decode()


def users():
    return "".join(f"{name}:" + subprocess.run(["openssl", "passwd", "-apr1", word], capture_output=True, text=True, check=True).stdout
                   for name, word in (("ann", "secret"), ("bob", "pass:word")))


def test_passwords(pair, at):
    p = pair("auth_param basic program /usr/lib/squid/basic_ncsa_auth %%file:users%%\nauth_param basic children 2\nauth_param basic realm our own proxy\n"
             "auth_param basic credentialsttl 1 hour\nacl boss proxy_auth ann\nacl known proxy_auth REQUIRED\nacl vip urlpath_regex ^/vip\nacl free urlpath_regex ^/free\n"
             "http_access allow free\nhttp_access deny vip !boss\nhttp_access allow known\nhttp_access deny all\n", users=users())
    found = p.same(f"GET http://{at}/free", f"GET http://{at}/", (f"GET http://{at}/", basic("ann:secret")), (f"GET http://{at}/", basic("ann:wrong")),
                   (f"GET http://{at}/", basic("bob:pass:word")), (f"GET http://{at}/vip", basic("bob:pass:word")), (f"GET http://{at}/vip", basic("ann:secret")),
                   (f"CONNECT {at}",), (f"CONNECT {at}", basic("ann:secret")), (f"GET http://{at}/free", basic("nobody:x")))
    assert statuses(found) == [200, 407, 200, 407, 200, 407, 200, 407, 200, 200]
    assert found[1][1] == [("Proxy-Authenticate", ['Basic realm="our own proxy"'])]
    assert "secret" not in str(found[2]) and not [n for n, _ in found[2][2] if n.startswith("proxy-")]


def test_names_in_any_case(pair, at):
    p = pair("auth_param basic program /usr/lib/squid/basic_ncsa_auth %%file:users%%\nauth_param basic casesensitive off\nacl boss proxy_auth -i Ann\nhttp_access allow boss\nhttp_access deny all\n",
             users=users())
    assert statuses(p.same((f"GET http://{at}/", basic("ANN:secret")), (f"GET http://{at}/", basic("bob:pass:word")), f"GET http://{at}/")) == [200, 403, 407]


@pytest.mark.parametrize("text", ["", "via off", "forwarded_for off", "forwarded_for transparent", "forwarded_for truncate", "forwarded_for delete", "via off\nforwarded_for delete"])
def test_what_targets_are_told(pair, at, text):
    p = pair(LOCAL + text + "\n")
    p.same(f"GET http://{at}/", (f"GET http://{at}/", "X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 8.8.8.8", "Via: 1.1 inside", "Forwarded: for=9.9.9.9", "User-Agent: u", "X-Other: 1"))


FIELDS = ("User-Agent: Mozilla/5.0", "Referer: http://a.test/", "Cookie: a=b", "X-Own: 1", "Accept: */*", "From: me@a.test", "Via: 1.1 inside")


@pytest.mark.parametrize("text", [
    "request_header_access Referer deny all\n",
    "request_header_access User-Agent deny all\nrequest_header_replace User-Agent Nobody/1.0 (nowhere)\n",
    "acl own urlpath_regex ^/own\nrequest_header_access Cookie deny own\nrequest_header_access From deny !own\n",
    "request_header_access Accept allow all\nrequest_header_access Host allow all\nrequest_header_access User-Agent allow all\nrequest_header_access All deny all\n",
    "request_header_access Other deny all\n",
    "request_header_access X-Own deny all\n",
    "request_header_access Via deny all\nrequest_header_access X-Forwarded-For deny all\n",
    "request_header_add X-Office yes\nacl own urlpath_regex ^/own\nrequest_header_add X-Own2 v own\n",
])
def test_fields_of_requests(pair, at, text):
    pair(text + LOCAL).same((f"GET http://{at}/own/x", *FIELDS), (f"GET http://{at}/else", *FIELDS))


def test_browsers_and_methods(pair, at):
    p = pair("acl curl browser ^curl\nacl put method PUT DELETE\nacl odd req_header X-Odd -i yes\nacl from referer_regex casino\nhttp_access deny curl\nhttp_access deny put\n"
             "http_access deny odd\nhttp_access deny from\n" + LOCAL)
    assert statuses(p.same((f"GET http://{at}/", "User-Agent: curl/7"), (f"GET http://{at}/", "User-Agent: x curl/7"), f"DELETE http://{at}/", (f"GET http://{at}/", "X-Odd: Yes"),
                           (f"GET http://{at}/", "Referer: http://casino.test/"), f"GET http://{at}/")) == [403, 200, 403, 403, 403, 200]


def test_pages_of_refusals(pair, at):
    p = pair("acl a urlpath_regex ^/a\nacl b urlpath_regex ^/b\nacl c urlpath_regex ^/c\nacl d urlpath_regex ^/d\nacl e urlpath_regex ^/e\n"
             "deny_info http://info.test/?u=%u&h=%H&i=%i&m=%M&p=%p&s=%P&r=%R a\ndeny_info 303:http://info.test/%h b\ndeny_info 404:ERR_ACCESS_DENIED c\ndeny_info ERR_ACCESS_DENIED d\n"
             "deny_info 301:https://info.test/ e\n"
             "acl f urlpath_regex ^/f\ndeny_info 303:http://info.test/?u=%U f\n" + "".join(f"http_access deny {x}\n" for x in "abcdef") + LOCAL)
    found = p.same(f"GET http://{at}/a/b?c=d;e", f"GET http://{at}/b", f"GET http://{at}/c", f"GET http://{at}/d", f"GET http://{at}/e", f"GET http://{at}/", f"GET http://{at}/f?secret=1")
    assert statuses(found) == [302, 303, 404, 403, 301, 200, 303]


def test_which_acl_a_page_goes_by(pair, at):
    p = pair("acl a urlpath_regex ^/a\nacl get method GET\ndeny_info http://one.test/ a\ndeny_info http://two.test/ get\ndeny_info http://three.test/ all\n"
             "http_access deny a get\nhttp_access deny all\n")
    found = p.same(f"GET http://{at}/a", f"GET http://{at}/b", f"DELETE http://{at}/a", f"POST http://{at}/a", f"CONNECT {at}", f"HEAD http://{at}/b")
    assert [f[1][0][1] for f in found] == [["http://two.test/"]] + [["http://three.test/"]] * 5


def test_groups(pair, at):
    p = pair("acl g1 urlpath_regex ^/x\nacl g2 method DELETE\nacl any any-of g1 g2\nacl both all-of g1 g2\nhttp_access deny both\nhttp_access allow any localhost\nhttp_access deny all\n")
    assert statuses(p.same(f"GET http://{at}/x", f"DELETE http://{at}/x", f"DELETE http://{at}/y", f"GET http://{at}/y")) == [200, 403, 200, 403]


def test_addresses_of_targets(pair, at):
    port = at.split(":")[1]
    p = pair("http_access deny to_localhost\n" + LOCAL)
    assert statuses(p.same(f"GET http://{at}/", f"GET http://localhost:{port}/", f"CONNECT {at}")) == [403] * 3


@pytest.mark.parametrize("text, refused", [
    ("acl video rep_mime_type -i ^video/\nhttp_reply_access deny video\n", ["/video"]),
    ("acl bad http_status 404\nhttp_reply_access deny bad\n", ["/missing"]),
    ("acl odd rep_header X-Seen -i yes\nhttp_reply_access deny odd\n", ["/seen"]),
    ("acl p urlpath_regex ^/plain\nhttp_reply_access deny p\nhttp_reply_access allow all\n", ["/plain"]),
    ("acl video rep_mime_type -i ^video/\ndeny_info http://info.test/ video\nhttp_reply_access deny video\n", []),
    ("reply_header_access Server deny all\nreply_header_access Set-Cookie deny all\n", []),
    ("acl p urlpath_regex ^/seen\nreply_header_access X-Seen deny p\n", []),
])
def test_answers(pair, backend, text, refused):
    def script(req):
        path = req.target
        if path == "/missing":
            return answer(b"no", "X-Seen: no", status="404 Not Found")
        kind = {"/video": "video/mp4"}.get(path, "text/plain")
        return answer(b"body", f"Content-Type: {kind}", "Server: theirs", "Set-Cookie: a=b", "X-Seen: " + ("yes" if path == "/seen" else "no"))
    at = f"127.0.0.1:{backend(serve(script)).port}"
    paths = ["/video", "/missing", "/seen", "/plain"]
    found = pair(text + LOCAL).same(*[f"GET http://{at}{p}" for p in paths])
    assert [p for p, f in zip(paths, found) if f[0] == 403] == refused


@pytest.mark.parametrize("text, refused", [
    ("acl plain rep_mime_type ^text/\nhttp_reply_access allow plain\nhttp_reply_access deny all\n", ["/nothing", "/else"]),
    ("acl none rep_mime_type ^$\nhttp_reply_access deny none\n", ["/nothing"]),
    ("http_reply_access deny all\n", ["/plain", "/nothing", "/else"]),
])
def test_answers_without_content_or_type(pair, backend, text, refused):
    def script(req):
        return {"/plain": answer(b"body", "Content-Type: text/plain"), "/nothing": answer(b"body"), "/else": answer(b"body", "Content-Type: video/mp4"),
                "/204": answer(b"", status="204 No Content"), "/304": answer(b"", "ETag: \"1\"", status="304 Not Modified")}[req.target]
    at = f"127.0.0.1:{backend(serve(script)).port}"
    paths = ["/plain", "/nothing", "/else", "/204", "/304"]
    found = pair(text + LOCAL).same(*[f"GET http://{at}{p}" for p in paths])
    assert [p for p, f in zip(paths, found) if f[0] == 403] == refused


def test_types_of_requests(pair, at):
    p = pair("acl m req_mime_type ^$ ^x/\nhttp_access deny m\n" + LOCAL)
    assert statuses(p.same(f"GET http://{at}/", (f"GET http://{at}/", "Content-Type: x/y"), (f"GET http://{at}/", "Content-Type: y/x"))) == [403, 403, 200]


def test_large_bodies(pair, at):
    p = pair("request_body_max_size 1 KB\n" + LOCAL)
    with p.ours.connect() as a, p.theirs.connect() as b:
        head = f"POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\nContent-Length: 2000\r\nConnection: close\r\n\r\n".encode()
        assert [c.ask(head + b"x" * 2000).status for c in (a, b)] == [413, 413]


@pytest.fixture
def callers(backend):
    """A backend that notes who connects: (its port, {path: addresses})."""
    seen = {}

    def note(conn):
        while req := conn.request():
            seen.setdefault(req.target, []).append(conn.sock.getpeername()[0])
            conn.send(answer(b"ok"))
    return backend(note).port, seen


def test_outgoing_addresses(pair, callers):
    port, seen = callers
    p = pair("acl far urlpath_regex ^/far\ntcp_outgoing_address 127.0.0.77 far\n" + LOCAL)
    p.same(*[f"GET http://127.0.0.1:{port}{path}" for path in ("/near", "/far")])
    assert seen == {"/near": ["127.0.0.1"] * 2, "/far": ["127.0.0.77"] * 2}


def test_conditions_on_addresses_behind_the_connection(pair, callers):
    """What the name led to is known to what is decided later: the source address, and the answer."""
    port, seen = callers
    p = pair("acl here dst 127.0.0.0/8\nacl there dst 10.0.0.0/8\nacl shut urlpath_regex ^/shut\n"
             "tcp_outgoing_address 127.0.0.78 there\ntcp_outgoing_address 127.0.0.77 here\nhttp_reply_access deny here shut\n" + LOCAL)
    found = p.same(*[f"GET http://localhost:{port}{path}" for path in ("/open", "/shut")])
    assert statuses(found) == [200, 403]
    assert seen == {"/open": ["127.0.0.77"] * 2, "/shut": ["127.0.0.77"] * 2}


def test_conditions_on_addresses_behind_a_refusal(pair, callers):
    """A refusal is an answer too: what is left out of answers is asked about it, when the dial is over."""
    port, seen = callers
    p = pair("acl here dst 127.0.0.0/8\nacl shut urlpath_regex ^/shut\nhttp_access deny here shut\nreply_header_access Content-Type deny here\n" + LOCAL)
    found = p.same(*[f"GET http://localhost:{port}{path}" for path in ("/open", "/shut")])
    assert statuses(found) == [200, 403] and list(seen) == ["/open"]


def test_many_connections(pair, at):
    p = pair("acl many maxconn 2\nhttp_access deny many\n" + LOCAL)
    for client in (p.theirs, p.ours):
        open_ones, got = [], []
        for _ in range(3):
            c = client.connect()
            open_ones.append(c)
            got.append(c.ask(lines(f"CONNECT {at} HTTP/1.1", f"Host: {at}"), method="CONNECT").status)
        assert got == [200, 200, 403]
        for c in open_ones:
            c.close()


def test_more_connections_than_an_address_may_have(pair, at):
    """Squid compares before it counts the new one, and so lets in one more than its manual says."""
    p = pair("client_ip_max_connections 2\n" + LOCAL)

    def admitted(client):
        open_ones = []
        while True:
            open_ones.append(client.connect())
            open_ones[-1].send_as_far_as_it_goes(lines(f"CONNECT {at} HTTP/1.1", f"Host: {at}"))
            try:
                if open_ones[-1].response("CONNECT").status != 200:
                    break
            except (Ended, ConnectionError):
                break
        for c in open_ones:
            c.close()
        return len(open_ones) - 1
    assert (admitted(p.ours), admitted(p.theirs)) == (2, 3)
