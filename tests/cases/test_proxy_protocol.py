"""The PROXY protocol in: required where it is configured, strict, and believed only from whom the configuration trusts."""
import os
import shutil
import socket
import struct
import subprocess

import pytest
from tools.ports import free_port
from tools.raw import Client
from tools.times import PATIENCE, wait_until
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
GET = lines("GET / HTTP/1.1", "Host: a")
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 1234 443\r\n"
SEEN = ('"$proxy_protocol_addr|$proxy_protocol_port|$proxy_protocol_server_addr|$proxy_protocol_server_port|'
        '$remote_addr|$remote_port|$realip_remote_addr"')


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def v2(rest=b"", command=0x21, family=0x11, addresses=None):
    if addresses is None:
        addresses = socket.inet_aton("192.0.2.1") + socket.inet_aton("198.51.100.2") + struct.pack("!HH", 1234, 443)
    body = addresses + rest
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def v6(src, dst):
    return socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + struct.pack("!HH", 1234, 443)


@pytest.fixture
def seen(hinge):
    h = hinge.http(f"""server {{ listen %%port%% proxy_protocol; location / {{ return 200 {SEEN}; }} }}
                       server {{ listen %%port2%% proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
                                 location / {{ return 200 {SEEN}; }} }}
                       server {{ listen %%port3%% proxy_protocol; set_real_ip_from 10.0.0.1; real_ip_header proxy_protocol;
                                 location / {{ return 200 {SEEN}; }} }}""")

    def ask(header, port="port", request=GET):
        with h.connect(port) as c:
            mine = str(c.local[1])
            return c.send(header + request).response().text.replace(mine, "MINE").split("|")
    ask.server = h
    return ask


DIRECT = ["127.0.0.1", "MINE", "127.0.0.1"]
NAMED = ["192.0.2.1", "1234", "198.51.100.2", "443"]
NOBODY = ["", "", "", ""]


class TestHeaders:
    @pytest.mark.parametrize("header, says", [
        (V1, NAMED),
        (b"PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n", ["2001:db8::1", "1234", "2001:db8::2", "443"]),
        (b"PROXY UNKNOWN\r\n", NOBODY),
        (b"PROXY UNKNOWN and whatever follows\r\n", NOBODY),
        (v2(), NAMED),
        (v2(family=0x21, addresses=v6("2001:db8::1", "2001:db8::2")), ["2001:db8::1", "1234", "2001:db8::2", "443"]),
        (v2(command=0x20), NOBODY),
        (v2(command=0x20, family=0, addresses=b""), NOBODY),
        (v2(family=0, addresses=b""), NOBODY),
        (v2(family=0x12), NOBODY),
        (v2(family=0x31, addresses=b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), ["unix:/run/a", "", "unix:/run/b", ""]),
        (v2(tlv(4, b"\0" * 1000) + tlv(1, b"h2")), NAMED),
    ])
    def test_what_they_say(self, seen, header, says):
        assert seen(header) == says + DIRECT

    def test_byte_by_byte_and_with_the_request_behind(self, seen):
        for header in (V1, v2(tlv(1, b"h2"))):
            with seen.server.connect() as c:
                assert c.drip(header + GET).response().text.startswith("|".join(NAMED))
            with seen.server.connect() as c:  # and pipelined requests
                c.send(header + GET + GET)
                assert c.response().text == c.response().text
                assert c.ask(GET).text.startswith("|".join(NAMED))  # it holds for the whole connection

    def test_a_body_behind_it(self, hinge, backend):
        h = hinge.http("server { listen %%port%% proxy_protocol; location / { proxy_pass http://%%origin%%; } }", origin=backend())
        with h.connect() as c:
            assert c.send(v2() + lines("POST / HTTP/1.1", "Host: a", "Content-Length: 300000") + b"x" * 300_000).response().json()["length"] == 300_000

    @pytest.mark.parametrize("data", [
        GET, lines("PROXY / HTTP/1.1", "Host: a"), b"PROXY TCP4 192.0.2.1 198.51.100.2 1234\r\n" + GET,
        V1.replace(b"\r\n", b"\n") + GET, V1.replace(b"192", b"0192") + GET, V1.replace(b"1234", b"65536") + GET,
        V1.lower() + GET, b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n" + GET, V1.replace(b"TCP4", b"TCP6") + GET,
        v2(command=0x11) + GET, v2(command=0x22) + GET, v2(family=0x41) + GET, v2(addresses=b"abc") + GET,
        v2(tlv(1, b"h2")[:-1]) + GET, v2(tlv(3, b"\0\0\0\0")) + GET, v2(tlv(4, b"x" * 5000)) + GET, b"\r\n" + GET, b"\0" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ])
    def test_what_is_none_is_closed_without_an_answer(self, seen, data):
        with seen.server.connect() as c:
            c.send_as_far_as_it_goes(data)
            c.assert_closed()
        seen.server.wait_log(r"\[error\].* broken PROXY header: .*client: 127\.0\.0\.1")

    def test_a_second_header_is_a_bad_request(self, seen):
        with seen.server.connect() as c:
            assert c.send(V1 + V1 + GET).response().status == 400

    def test_an_ordinary_listener_takes_none(self, hinge):
        h = hinge.server("location / { return 200 '$proxy_protocol_addr|$proxy_protocol_tlv_alpn'; }")
        assert h.ask(GET).text == "|"
        for header in (V1, v2()):
            assert h.ask(header + GET).status == 400

    def test_a_checksum_is_checked(self, seen):
        fake = v2(tlv(3, b"\0\0\0\0") + tlv(1, b"h2"))
        at = fake.index(tlv(3, b"\0\0\0\0")) + 3
        good = fake[:at] + struct.pack("!I", crc32c(fake)) + fake[at + 4:]
        assert seen(good)[:4] == NAMED
        for i in range(16, len(good)):
            if 28 <= i < 31:
                continue  # its own type and length
            with seen.server.connect() as c:
                c.send_as_far_as_it_goes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1:] + GET)
                c.assert_closed()

    def test_client_header_timeout_runs(self, hinge):
        h = hinge.http("server { listen %%port%% proxy_protocol; client_header_timeout 300ms; location / { return 200 ok; } }")
        for start in (b"", V1[:10], v2()[:14]):
            with h.connect() as c:
                c.send(start)
                c.assert_closed()
        with h.connect() as c:
            c.send(V1)
            c.assert_closed()  # the header is there; its time goes on for the request

    def test_a_client_that_leaves_in_the_middle(self, hinge, seen):
        with seen.server.connect() as c:
            c.send(V1[:10]).half_close()
            c.assert_closed()
        seen.server.wait_log("closed in the middle of it")
        assert seen(V1)[:4] == NAMED


class TestValues:
    def test_tlv_variables(self, hinge):
        names = ["alpn", "authority", "unique_id", "netns", "0x02", "0xe0", "ssl_verify", "ssl_version", "ssl_cn", "ssl_cipher", "ssl_sig_alg",
                 "ssl_key_alg", "ssl_0x21", "nonsense", "ssl_nonsense"]
        h = hinge.http("server { listen %%port%% proxy_protocol; location / { return 200 '"
                       + "|".join(f"$proxy_protocol_tlv_{n}" for n in names) + "'; } }")
        tls = struct.pack("!BI", 1, 7) + b"".join(tlv(k, v) for k, v in [(0x21, b"TLSv1.3"), (0x22, b"me"), (0x23, b"C"), (0x24, b"S"), (0x25, b"K")])
        header = v2(tlv(1, b"h2") + tlv(2, b"a.example") + tlv(5, b"id") + tlv(0x30, b"ns") + tlv(0xe0, b"own") + tlv(0x20, tls))
        with h.connect() as c:
            assert c.send(header + GET).response().text == "h2|a.example|id|ns|a.example|own|7|TLSv1.3|me|C|S|K|TLSv1.3||"
        with h.connect() as c:
            assert c.send(V1 + GET).response().text == "|" * (len(names) - 1)


class TestTrust:
    def test_realip_believes_it_from_whom_it_trusts(self, seen):
        assert seen(V1, "port2") == NAMED + ["192.0.2.1", "1234", "127.0.0.1"]
        assert seen(V1, "port3") == NAMED + DIRECT
        assert seen(v2(command=0x20), "port2") == NOBODY + DIRECT
        assert seen(b"PROXY TCP6 2001:db8::1 ::1 1234 443\r\n", "port2")[4:] == ["2001:db8::1", "1234", "127.0.0.1"]

    def test_a_unix_client_is_not_a_unix_peer(self, seen):
        header = v2(family=0x31, addresses=b"\0" * 216)
        assert seen(header, "port2")[4:] == DIRECT


class TestLifetimes:
    def test_one_line_of_an_address_is_enough(self, hinge):
        h = hinge.http("""server { listen %%port%% proxy_protocol; server_name a; return 200 a; }
                          server { listen %%port%%; server_name b; return 200 b; }""")
        with h.connect() as c:
            assert c.send(V1 + GET).response().text == "a"
        with h.connect() as c:
            c.send(lines("GET / HTTP/1.1", "Host: b"))
            c.assert_closed()

    def test_a_unix_listener(self, hinge):
        h = hinge.http(f"server {{ listen unix:%%dir%%/s proxy_protocol; listen %%port%%; return 200 {SEEN}; }}")
        with Client(f"{h.dir}/s") as c:
            assert c.send(V1 + GET).response().text == "192.0.2.1|1234|198.51.100.2|443|unix:||unix:"

    def test_reload_asks_for_headers_from_then_on(self, hinge):
        """A connection that began without one serves its request and ends: nobody gets in without, once it is required."""
        inside = "server { listen %%port%% %%how%%; location / { return 200 '%%how%%'; } }"
        h = hinge.http(inside, how="")
        with h.connect() as c:
            assert c.ask(GET).text == ""
            h.rewrite_http(inside, how="proxy_protocol")

            def required():
                with h.connect() as d:
                    try:
                        return d.send_as_far_as_it_goes(V1 + GET).response().text == "proxy_protocol"
                    except Exception:
                        return False
            h.reload_until(required)
            answer = c.ask(GET)
            assert answer["Connection"] == "close" and answer.text == ""
            c.assert_closed()

    def test_counters(self, hinge):
        h = hinge.http("""server { listen %%port%% proxy_protocol; return 200 ok; }
                          server { listen %%port2%%; trusted_proxies none; location / { return 200; } location /c { counters; } }""")
        before = h.get("/c", port="port2").json()
        with h.connect() as c:
            c.send_as_far_as_it_goes(GET)
            c.assert_closed()
        h.get("/", "X-Real-IP: 1", "Forwarded: for=_a", port="port2")
        now = h.get("/c", port="port2").json()
        assert now["proxy_header_bad"] == before["proxy_header_bad"] + 1
        assert now["forwarding_dropped"] == before["forwarding_dropped"] + 2


HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


@pytest.mark.skipif(not os.path.exists(HAPROXY), reason="needs HAProxy")
@pytest.mark.parametrize("how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_haproxy_in_front(hinge, tmp_path, how):
    h = hinge.http(f"server {{ listen %%port%% proxy_protocol; set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol; return 200 {SEEN}; }}")
    port = free_port()
    (tmp_path / "cfg").write_text(f"""
        defaults
            mode tcp
            timeout connect 5s
            timeout client 5s
            timeout server 5s
        listen front
            bind 127.0.0.1:{port}
            server one 127.0.0.1:{h.ports['port']} {how}
""")
    process = subprocess.Popen([HAPROXY, "-db", "-f", str(tmp_path / "cfg")], stderr=subprocess.DEVNULL)
    try:
        def up():
            try:
                socket.create_connection(("127.0.0.1", port), PATIENCE).close()
                return True
            except OSError:
                return False
        wait_until(up, "HAProxy listens")
        with Client(("127.0.0.1", port)) as c:
            text = c.ask(GET).text
            assert text == f"127.0.0.1|{c.local[1]}|127.0.0.1|{port}|127.0.0.1|{c.local[1]}|127.0.0.1"
    finally:
        process.terminate()
        process.wait()
