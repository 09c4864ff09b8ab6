"""squid_conf in a forward block, and hinge --squid FILE."""
import pathlib
import re
import subprocess

import pytest
from tools import server
from tools.wire import lines

BASE = "http_port %%port%%\naccess_log none\nvisible_hostname proxy.test\n"
DEBIAN = pathlib.Path("/etc/squid/squid.conf")


def squid(hinge, text="", **names):
    return hinge.squid(BASE + text, **names)


def through(h, url, *fields, method="GET", body=b""):
    head = lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields)
    return h.ask(head + body, method=method)


def tunnel(h, target, *fields):
    return h.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields), method="CONNECT")


def told_of(hinge, text, ok):
    done = hinge.prepare_squid(BASE + text).run("-t")
    assert ("test is successful" in done.stderr) == ok, done.stderr
    return done.stderr


ALLOW = "http_access allow localhost\nhttp_access deny all\n"


def test_its_rules_decide_alone(hinge, backend):
    """No connect_ports, no guard of special networks: http_access only."""
    origin = backend()
    h = squid(hinge, "acl bad urlpath_regex ^/bad\nhttp_access deny bad\n" + ALLOW)
    at = f"127.0.0.1:{origin.port}"
    assert through(h, f"http://{at}/").status == 200
    assert through(h, f"http://{at}/bad").status == 403
    assert tunnel(h, at).status == 200
    h.wait_log(r"squid.conf:5 \(http_access deny bad\)")


def test_what_it_leaves_open_is_told(hinge):
    told = "no http_access line names to_localhost"
    assert told in told_of(hinge, ALLOW, True)
    assert told not in told_of(hinge, "http_access deny to_localhost\n" + ALLOW, True)


def test_without_http_access_nobody_comes_in(hinge, backend):
    assert through(squid(hinge), f"http://127.0.0.1:{backend().port}/").status == 403


def test_a_reload_reads_it_again(hinge, backend):
    h = squid(hinge, ALLOW)
    url = f"http://127.0.0.1:{backend().port}/"
    assert through(h, url).status == 200
    h.write("squid.conf", BASE + "http_access deny all\n")
    h.reload_until(lambda: through(h, url).status == 403)


def test_in_a_block(hinge, backend):
    """Lines of ours beside it win."""
    h = hinge.prepare_http("forward { squid_conf squid.conf; connect_ports 1; }")
    h.write("squid.conf", "http_port %%port%%\n" + ALLOW)
    h.start()
    at = f"127.0.0.1:{backend().port}"
    assert through(h, f"http://{at}/").status == 200
    assert tunnel(h, at).status == 403


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's squid is not installed")
def test_debians_own_file(hinge):
    h = hinge.prepare_squid("")
    h.conf = ["--squid", str(DEBIAN)]
    told = h.run("-t", check=0).stderr
    assert "refresh_pattern" in told and "coredump_dir" in told
    dump = h.run("-T", check=0).stdout
    assert "http_access deny !Safe_ports" in dump and "debian.conf" in dump
    assert "deny CONNECT !SSL_ports" in h.explain("CONNECT", "a.test:80").stdout


@pytest.mark.parametrize("line, words", [
    ("http_port 3129 intercept", "intercept"), ("delay_pools 1", "delay_pools"), ("icap_enable on", "icap_enable"),
    ("external_acl_type x %SRC /bin/x", "external_acl_type"), ("ssl_bump bump all", "ssl_bump"), ("url_rewrite_program /bin/x", "url_rewrite_program"),
    ("auth_param negotiate program /bin/x", "auth_param"), ("http_acces allow all", 'did you mean "http_access"'), ("acl x arp 0:0:0:0:0:0", "arp"),
    ("access_log udp://1.2.3.4:5 squid", "udp"), ("access_log /l nosuch", "nosuch"), ("logformat x %ssl::>sni\naccess_log /tmp/l x", "ssl::"),
])
def test_what_cannot_be_had_is_refused_by_name_and_line(hinge, line, words):
    told = told_of(hinge, line + "\n", False)
    assert words in told and "squid.conf:" in told, told


@pytest.mark.parametrize("line", ["cache_dir ufs /var/spool/squid 100 16 256", "refresh_pattern . 0 20% 4320", "coredump_dir /x", "cache_mem 8 MB"])
def test_what_has_no_effect_is_told(hinge, line):
    assert f'"{line.split()[0]}" has no effect' in told_of(hinge, line + "\n" + ALLOW, True)


def test_lost_line_ends_are_noticed(hinge):
    assert "are line ends missing" in told_of(hinge, ALLOW + "# office acl net src 10.0.0.0/8 http_access allow net\n", True)
    assert "missing" not in told_of(hinge, ALLOW + "# the acl is the last of an http_access deny line\n", True)


def test_an_open_one_is_told(hinge):
    h = hinge.prepare_squid("http_port 0.0.0.0:3128\nhttp_access allow all\n")
    assert "this is an open proxy" in h.run("-t", check=0).stderr


def test_logs(hinge, backend):
    origin = backend()
    h = hinge.squid("http_port %%port%%\nlogformat mine %>a \"%{User-Agent}>h\" $1 %5>Hs|%-6rm|%03>Hs\nacl curl browser curl\naccess_log stdio:%%dir%%/native.log\n"
                    "access_log %%dir%%/mine.log mine curl\naccess_log daemon:%%dir%%/other.log logformat=combined !curl\n" + ALLOW)
    at = f"127.0.0.1:{origin.port}"
    assert through(h, f"http://{at}/x?y", "User-Agent: curl/1").status == 200
    assert through(h, "http://127.0.0.1:1/", "User-Agent: other", method="DELETE").status in (502, 503, 504)
    two, one = sorted(h.wait_lines("native.log", 2), key=lambda line: " GET " in line)  # each worker writes when it likes
    words = one.split()
    assert words[2:4] == ["127.0.0.1", "TCP_MISS/200"] and words[5:] == ["GET", f"http://{at}/x?", "-", "HIER_DIRECT/127.0.0.1", "application/json"]
    assert "DELETE http://127.0.0.1:1/" in two
    assert h.wait_lines("mine.log") == ['127.0.0.1 "curl/1" $1   200|GET   |200']
    assert '"DELETE http://127.0.0.1:1/ HTTP/1.1"' in h.wait_lines("other.log")[0]


@pytest.mark.parametrize("line, query", [("", ""), ("strip_query_terms on\n", ""), ("strip_query_terms off\n", "token=s3cret")])
def test_what_urls_hold_and_no_log_shall(hinge, backend, line, query):
    """As in Squid: what is behind the '?' unless it is wanted, and never a password."""
    origin = backend()
    h = hinge.squid("http_port %%port%%\n" + line + "logformat urls %ru|%rp\naccess_log stdio:%%dir%%/urls.log urls\n" + ALLOW)
    at = f"127.0.0.1:{origin.port}"
    assert through(h, f"http://{at}/x?token=s3cret").status == 200
    assert h.ask(lines(f"GET http://user:s4cret@{at}/y HTTP/1.1", f"Host: {at}", "Connection: close")).status == 400
    one, two = sorted(h.wait_lines("urls.log", 2))  # each worker writes when it likes
    assert one == f"http://{at}/x?{query}|/x?{query}"
    assert "s4cret" not in two and "user" not in two


def test_lines_with_semicolons(hinge, backend):
    """The same words in a forward block."""
    origin = backend()
    at = f"127.0.0.1:{origin.port}"
    h = hinge.prepare_http("""forward { http_port %%port%%; egress_allow all; forwarded_for truncate; via off; request_timeout 30 seconds; client_lifetime 1 day;
        acl bad urlpath_regex ^/bad; deny_info http://info.test/?%H bad; http_access deny bad;
        auth_param basic program /usr/lib/squid/basic_ncsa_auth users; auth_param basic realm our proxy; acl known proxy_auth REQUIRED;
        request_header_access Referer deny all; request_header_access User-Agent deny all; request_header_replace User-Agent "Nobody 1";
        reply_header_access Server deny all; http_access allow known; http_access deny all; }""")
    h.write("users", "ann:{PLAIN}x\n")
    h.start()
    assert through(h, f"http://{at}/bad")["Location"] == "http://info.test/?127.0.0.1"
    res = through(h, f"http://{at}/")
    assert res.status == 407 and res["Proxy-Authenticate"] == 'Basic realm="our proxy"'
    got = dict(through(h, f"http://{at}/", "Proxy-Authorization: Basic YW5uOng=", "Referer: r", "User-Agent: u", "X-Forwarded-For: 9.9.9.9").json()["headers"])
    assert got["User-Agent"] == "Nobody 1" and got["X-Forwarded-For"] == "127.0.0.1" and "Referer" not in got and "Via" not in got


def test_clients_do_not_stay_for_ever(hinge, backend):
    h = squid(hinge, "client_lifetime 1 seconds\n" + ALLOW)
    at = f"127.0.0.1:{backend().port}"
    with h.connect() as c:
        assert c.ask(lines(f"CONNECT {at} HTTP/1.1", f"Host: {at}"), method="CONNECT").status == 200
        c.assert_closed()


def test_processes_are_those_of_the_file(hinge):
    h = hinge.prepare_squid(BASE + "pid_filename %%dir%%/own.pid\ncache_log %%dir%%/cache.log\nworkers 2\nshutdown_lifetime 3 seconds\n" + ALLOW)
    h.run("-t", check=0)
    assert "hinge/" not in h.read("own.pid")
    done = h.run("-s", "reload")
    assert "own.pid" in done.stderr


def test_socks_is_not_spoken(hinge):
    with squid(hinge, ALLOW).connect() as c:
        c.send_as_far_as_it_goes(b"\x05\x01\x00")
        assert not c.all_bytes().startswith(b"\x05")


def test_what_patterns_see_decoded_is_shown_as_it_came(hinge):
    h = squid(hinge, "acl bad urlpath_regex bad\ndeny_info 302:http://info.test%R bad\nhttp_access deny bad\n" + ALLOW)
    got = through(h, "http://127.0.0.1:1/b%61d%20%22%09x?%3Cy%3E")
    assert (got.status, got["Location"]) == (302, "http://info.test/b%61d%20%22%09x?%3Cy%3E")


@pytest.mark.parametrize("host", ["[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]"])
def test_addresses_inside_of_addresses_are_destinations(hinge, host):
    """A squid.conf has no guard but its own lines: what a gateway would translate must not pass "deny to_localhost"."""
    h = squid(hinge, "http_access deny to_localhost\n" + ALLOW)
    assert through(h, f"http://{host}:1/").status == 403
    h.wait_log(r"is refused by http_access \S+ \(http_access deny to_localhost\)")


def test_the_table_of_directives_is_that_of_the_code():
    done = subprocess.run([server.ROOT / "tools" / "squid_table.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_each_directive_that_has_no_effect_says_why(hinge):
    rows = re.search("<!-- squid: begin -->(.*?)<!-- squid: end -->", (server.ROOT / "docs" / "forward.md").read_text(), re.S)[1].splitlines()
    idle = [n for row in rows if row.startswith("| has no effect") for n in re.findall(r"`(\w+)`", row.split("|")[2])]
    refused = [n for row in rows if row.startswith("| refused") for n in re.findall(r"`(\w+)`", row)]
    assert "cache_dir" in idle and "delay_pools" in refused
    told = told_of(hinge, "".join(f"{n} x\n" for n in idle) + ALLOW, True)
    assert not [n for n in idle if f'"{n}" has no effect' not in told]
    told = told_of(hinge, "".join(f"{n} x\n" for n in refused) + ALLOW, False)
    assert not [n for n in refused if f'"{n}" of Squid is not supported' not in told]
