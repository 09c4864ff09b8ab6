"""filter_list, filter_block, filter_allow: which hosts a forward proxy leads to."""
import base64
import datetime
import os
import signal
import time

import pytest
from tools import socks
from tools.backend import serve
from tools.times import SLOW, wait_until
from tools.wire import answer, lines

OUT = "egress_allow 127.0.0.0/8; connect_ports all; resolver 127.0.0.1:1; resolver_timeout 100ms; access_log off;"


def proxy(hinge, rules, outer="", **files):
    h = hinge.prepare_http(f"{outer} forward {{ listen %%port%%; {OUT} {rules} }}")
    for name, text in files.items():
        h.write(name, text)
    return h.start()


def through(h, url, *fields, method="GET"):
    return h.ask(lines(f"{method} {url} HTTP/1.1", f"Host: {url.split('/')[2]}", "Connection: close", *fields), method=method)


def tunnel(h, target, *fields):
    return h.ask(lines(f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields), method="CONNECT")


def blocked(h, host):
    """502: the filter had nothing against it, and there is no such name."""
    status = {through(h, f"http://{host}/").status, tunnel(h, f"{host}:443").status}
    assert status in ({403}, {502}), status
    return status == {403}


class TestLists:
    def test_forms(self, hinge):
        h = proxy(hinge, "filter_list ads a b; filter_block ads;",
                  a="# mine\nplain.test\n*.below.test\n0.0.0.0 host.test other.test\n127.0.0.1 localhost\n",
                  b="! theirs\n||rule.test^\n@@||good.rule.test^\nb\u00fccher.test\n")
        for host in "plain.test", "x.PLAIN.test", "plain.test.", "a.below.test", "host.test", "other.test", "rule.test", "x.rule.test", "xn--bcher-kva.test":
            assert blocked(h, host), host
        for host in "lookplain.test", "below.test", "x.host.test", "good.rule.test", "test", "plain.test.org":
            assert not blocked(h, host), host

    def test_many_files(self, hinge):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} filter_list many lists/*.txt extra; filter_block many; }}")
        (h.dir / "lists").mkdir()
        for name, text in ("lists/1.txt", "one.test"), ("lists/2.txt", "two.test"), ("lists/3.old", "three.test"), ("extra", "four.test"):
            h.write(name, text)
        h.start()
        assert [blocked(h, f"{n}.test") for n in ("one", "two", "three", "four")] == [True, True, False, True]

    def test_lines_that_cannot_be_decided_are_told(self, hinge):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} filter_list ads a b; filter_block ads; }}")
        h.write("a", "fine.test\n")
        h.write("b", "fine.test\n\n||x.test^$third-party\n/banner/*\nexample.test##.ad\n")
        told = h.run("-t").stderr
        assert 'list "ads" has 3 lines that are no rule for a name' in told and "the first is line 3 of" in told and "/b\"" in told

    def test_a_list_of_http_is_known_in_all_blocks(self, hinge):
        h = hinge.prepare_http(f"filter_list ads ads; forward {{ listen %%port%%; {OUT} filter_block ads; }} forward {{ listen %%port2%%; {OUT} }}")
        h.write("ads", "ads.test")
        h.start()
        assert through(h, "http://ads.test/").status == 403
        assert h.ask(lines("GET http://ads.test/ HTTP/1.1", "Host: ads.test", "Connection: close"), port="port2").status == 502

    def test_a_file_that_can_be_read_but_once(self, hinge):
        """Files are read twice; a list is never what was left for the second time."""
        h = hinge.prepare_http("forward { listen %%port%%; filter_list ads %%dir%%/pipe; }")
        os.mkfifo(h.dir / "pipe")
        fd = os.open(h.dir / "pipe", os.O_RDWR)
        os.write(fd, b"a.test\n")
        told = h.run("-t", check=1).stderr
        os.close(fd)
        assert "change while they are read" in told or "cannot read" in told, told

    @pytest.mark.parametrize("rules, text", [
        ("filter_list ads none;", "cannot read"), ("filter_list a/b f;", "invalid name of a list"), ("filter_list ads f; filter_list ads f;", "already"),
        ("filter_list ads f; filter_block adz;", 'did you mean "ads"'), ("filter_block zzzzz;", "neither a filter_list nor an acl"), ("filter_list ads f; filter_block ads who;", "who"),
        ("filter_list x f; acl x port 80; filter_block x;", "the name of a filter_list and of an acl")])
    def test_what_is_wrong_is_told(self, hinge, rules, text):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {rules} }}")
        h.write("f", "a.test")
        told = h.run("-t", check=1).stderr
        assert text in told and "nginx.conf:" in told

    def test_wildcards_that_match_nothing_are_told(self, hinge):
        told = hinge.prepare_http("forward { listen %%port%%; filter_list ads none/*; filter_block ads; }").run("-t").stderr
        assert "no file is" in told and "successful" in told

    def test_they_belong_to_forward_blocks(self, hinge):
        assert "is not allowed here" in hinge.prepare_http("server { filter_block x; }").run("-t", check=1).stderr


class TestRules:
    def test_the_first_line_that_holds_decides(self, hinge):
        h = proxy(hinge, "filter_list good good; filter_list bad bad; filter_allow good; filter_block bad;", good="fine.bad.test", bad="bad.test")
        assert (blocked(h, "bad.test"), blocked(h, "fine.bad.test"), blocked(h, "other.test")) == (True, False, False)

    def test_only_what_is_allowed(self, hinge):
        h = proxy(hinge, "filter_list school school; filter_allow school; filter_block all;", school="school.test")
        assert (blocked(h, "www.school.test"), blocked(h, "games.test")) == (False, True)
        h.wait_log("blocked by filter: .* host=games.test list=- entry=-")

    def test_conditions(self, hinge):
        h = proxy(hinge, "filter_list bad bad; acl secure port 443; acl plain proto HTTP; filter_block bad !secure;", bad="bad.test")
        assert through(h, "http://bad.test/").status == 403
        assert tunnel(h, "bad.test:443").status == 502

    def test_time_windows(self, hinge):
        """A category that counts at certain hours; the windows are made around now."""
        day = "SMTWHFA"[int(datetime.datetime.now().strftime("%w"))]
        other = "SMTWHFA".replace(day, "").replace("SMTWHFA"[(int(datetime.datetime.now().strftime("%w")) + 1) % 7], "")
        h = proxy(hinge, f"filter_list games games; filter_list social social; acl now time {day} 00:00-24:00; acl later time {other} 00:00-24:00; "
                  "filter_block games now; filter_block social later;", games="games.test", social="social.test")
        if "SMTWHFA"[int(datetime.datetime.now().strftime("%w"))] != day:
            pytest.skip("midnight")
        assert (blocked(h, "games.test"), blocked(h, "social.test")) == (True, False)

    def test_users_and_addresses(self, hinge):
        h = proxy(hinge, "auth_basic x; auth_basic_user_file users; filter_list games games; acl kids proxy_auth kim; acl here src 127.0.0.1; filter_block games kids here;",
                  users="kim:{PLAIN}k\nann:{PLAIN}a\n", games="games.test")

        def by(who):
            return through(h, "http://games.test/", "Proxy-Authorization: Basic " + base64.b64encode(who).decode()).status
        assert (by(b"kim:k"), by(b"ann:a"), by(b"kim:x")) == (403, 502, 407)
        h.wait_log(r"blocked by filter: user=kim client=127.0.0.1 host=games.test list=games entry=games.test rule=\S*nginx.conf:\d+")

    def test_a_user_is_asked_for_where_a_line_needs_one(self, hinge):
        """With auth_param nobody has to say a name before a rule asks for it."""
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} auth_param basic program /usr/lib/squid/basic_ncsa_auth %%dir%%/users; acl kids proxy_auth kim;"
                               " http_access allow localhost; filter_list games games; filter_block games kids; }")
        h.write("users", "kim:{PLAIN}k\nann:{PLAIN}a\n")
        h.write("games", "games.test\n")
        h.start()

        def by(host, *who):
            return through(h, f"http://{host}/", *("Proxy-Authorization: Basic " + base64.b64encode(w).decode() for w in who))
        assert by("games.test").status == 407 and by("games.test")["Proxy-Authenticate"].startswith("Basic ")
        assert (by("games.test", b"kim:k").status, by("games.test", b"ann:a").status, by("other.test").status) == (403, 502, 502)

    def test_after_the_access_rules(self, hinge):
        h = proxy(hinge, "filter_list bad bad; filter_allow bad; acl b dstdomain bad.test; http_access deny b; http_access allow localhost;", bad="bad.test")
        assert blocked(h, "bad.test"), "filter_allow opens nothing that http_access shuts"

    def test_addresses_in_lists(self, hinge, backend):
        origin = backend()
        h = proxy(hinge, "filter_list bad bad; filter_block bad;", bad="127.0.0.9\n")
        assert through(h, f"http://127.0.0.1:{origin.port}/").status == 200
        assert through(h, f"http://127.0.0.9:{origin.port}/").status == 403
        assert through(h, f"http://[::ffff:127.0.0.9]:{origin.port}/").status == 403
        assert through(h, f"http://[::ffff:7f00:1]:{origin.port}/").status == 200

    def test_rules_of_addresses_are_asked_by_the_dial(self, hinge, backend):
        origin = backend()
        h = proxy(hinge, "acl inside dst 127.0.0.1; filter_block inside;")
        assert through(h, f"http://127.0.0.1:{origin.port}/").status == 403
        assert through(h, f"http://localhost:{origin.port}/").status in (403, 502)
        assert not origin.requests

    @pytest.mark.parametrize("version, code", [(4, socks.REJECTED), (5, socks.NOT_ALLOWED)])
    def test_socks(self, hinge, version, code):
        h = proxy(hinge, "filter_list bad bad; filter_block bad;", bad="bad.test")
        with h.connect() as c:
            assert socks.ask(c, version, "www.bad.test", 443) == code
        with h.connect() as c:
            assert socks.ask(c, version, "other.test", 443) not in (code, socks.DONE, socks.GRANTED) or version == 4
        h.wait_log("blocked by filter: .* host=www.bad.test list=bad entry=bad.test")

    def test_counted(self, hinge):
        h = proxy(hinge, "filter_list bad bad; filter_block bad;", outer="server { listen %%port2%%; location / { counters; } }", bad="bad.test")
        for _ in range(3):
            through(h, "http://bad.test/")
        assert h.get("/", port="port2").json()["filter_blocked"] == 3

    def test_explain(self, hinge):
        h = hinge.prepare_http(f"forward {{ listen %%port%%; {OUT} filter_list ads ads; filter_block ads; }}")
        h.write("ads", "ads.test")
        told = h.explain("CONNECT", "www.ads.test:443", "--listen", f"127.0.0.1:{h.ports['port']}", check=0).stdout
        assert 'www.ads.test is blocked by "filter_block ads": list "ads", entry "ads.test"' in told and "nginx.conf:" in told, told


class TestReload:
    def test_lists_are_read_anew(self, hinge):
        h = proxy(hinge, "filter_list ads ads; filter_block ads;", ads="one.test")
        assert (blocked(h, "one.test"), blocked(h, "two.test")) == (True, False)
        h.write("ads", "two.test")
        h.reload_until(lambda: through(h, "http://two.test/").status == 403)
        assert not blocked(h, "one.test")


MILLION = 1_000_000
ROOM = (60 << 20) * (4 if SLOW > 1 else 1)  # a sanitizer keeps freed memory for a while


@pytest.fixture(scope="module")
def million():
    return "".join(f"host{i}.ads{i % 977}.test\n" for i in range(MILLION))


def memory(h):
    """Of master and engine together; what both have mapped counts once."""
    total = 0
    for pid in [h.pid, *h.children()]:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:")) * 1024
    return total


@pytest.mark.timeout(180)
class TestAMillion:
    def test_memory_reload_and_crash(self, hinge, backend, million):
        """The whole server stays below 60 MB, also when the list is read again; requests do not wait for it; an engine that
        crashed is followed by one with the same list, whatever the file says by then."""
        origin = backend(serve(lambda req: answer(b"x")))
        h = proxy(hinge, "")
        h.write("big", million)
        h.rewrite_http(f"forward {{ listen %%port%%; {OUT} keepalive_requests 1000000; filter_list big big; filter_block big; }}")
        h.reload_until(lambda: through(h, "http://host777.ads777.test/").status == 403, seconds=60)
        first = wait_until(lambda: (n := memory(h)) < ROOM and n, lambda: f"{memory(h) >> 20} MB")
        worst, n = 0.0, 0
        h.reload()
        with h.connect() as c:
            ask = lines(f"GET http://127.0.0.1:{origin.port}/ HTTP/1.1", f"Host: 127.0.0.1:{origin.port}")
            while "generation 2 exited" not in h.log:
                since = time.monotonic()
                assert c.ask(ask).status == 200
                worst, n = max(worst, time.monotonic() - since), n + 1
        assert n > 10, "requests were answered while the list was read"
        print(f"{first >> 20} {memory(h) >> 20} MB, {n} requests, the slowest {worst * 1000:.1f} ms")
        wait_until(lambda: memory(h) < ROOM, "an unchanged list is not held twice")
        assert through(h, "http://host999999.ads528.test/").status == 403
        assert through(h, "http://host999999.ads529.test/").status == 502
        h.write("big", "other.test\n")
        h.allow("exited on signal 9")
        engine, = h.children()
        os.kill(engine, signal.SIGKILL)
        wait_until(lambda: h.children() not in ([], [engine]), "another engine")
        assert through(h, "http://host999999.ads528.test/").status == 403
        assert through(h, "http://other.test/").status == 502
        h.reload_until(lambda: through(h, "http://other.test/").status == 403, seconds=60)
        assert through(h, "http://host999999.ads528.test/").status == 502
