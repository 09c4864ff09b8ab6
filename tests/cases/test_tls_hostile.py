"""TLS clients that ask for more than they give: renegotiation, key updates, hellos without end."""
import socket
import ssl
import subprocess
import time

import pytest
from tools.certs import certificate
from tools.times import PATIENCE, SLOW, wait_until

from test_tls import address, ask, body

COUNTED = "location / { return 200 whole; } location = /counters { counters; }"


def counters(h, port="port2"):
    return h.get("/counters", port=port).json()


@pytest.fixture
def server(hinge):
    return hinge.http(f"""server {{ listen %%port%% ssl; {certificate().lines} {COUNTED} }} server {{ listen %%port2%%; {COUNTED} }}""")


class Typist:
    """openssl s_client, a letter at a time: each line that begins with k asks for our next key, R for a renegotiation."""

    def __init__(self, h, *args):
        self.process = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % address(h), "-servername", "a.test", *args],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def type(self, line):
        try:
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        time.sleep(0.03 * SLOW)

    def end(self):
        try:
            return self.process.communicate(timeout=PATIENCE)[0]
        finally:
            self.process.kill()


@pytest.mark.parametrize("letter", [b"k", b"K"])
def test_some_key_updates_are_followed(server, letter):
    t = Typist(server, "-tls1_3", "-crlf")
    time.sleep(0.2 * SLOW)
    for i in range(10):
        t.type(letter)
        wait_until(lambda: counters(server)["tls_key_updates"] == i + 1, "a key update that is counted")
    for line in [b"GET / HTTP/1.1", b"Host: a.test", b"Connection: close", b""]:
        t.type(line)
    assert b"whole" in t.end()


def test_a_storm_of_key_updates_ends_the_connection(server):
    t = Typist(server, "-tls1_3")
    time.sleep(0.2 * SLOW)
    for _ in range(40):
        t.type(b"k")
    t.end()
    assert counters(server)["tls_key_updates"] == 17
    assert body(ask(server)) == "whole"


def test_renegotiation_is_refused(server):
    t = Typist(server, "-tls1_2")
    time.sleep(0.2 * SLOW)
    t.type(b"R")
    assert b"no renegotiation" in t.end()
    assert counters(server)["tls_renegotiations"] == 1
    assert body(ask(server)) == "whole"


def test_a_hello_has_a_size(server):
    """A hello that says it is large, in records that go on and on."""
    with socket.create_connection(address(server), PATIENCE) as s:
        hello = b"\x01\x01\xff\xff" + b"\x03\x03" + b"r" * 32 + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" + b"x" * 120000
        try:
            for i in range(0, len(hello), 4096):
                part = hello[i:i + 4096]
                s.sendall(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part)
            assert s.recv(100) == b""
        except OSError:
            pass
    server.wait_log("SSL_do_handshake.. failed .the client's hello is too large")
    assert body(ask(server)) == "whole"


def test_a_hello_of_many_names_is_no_hello_too_large(server):
    """Some 14 KB of protocols: as much as any browser with its keys of tomorrow needs, and more."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.set_alpn_protocols(["http/1.1"] + ["x" * 200 + str(i) for i in range(70)])
    with c.wrap_socket(socket.create_connection(address(server), PATIENCE), server_hostname="a.test") as s:
        assert s.selected_alpn_protocol() == "http/1.1"


def test_tiny_records(server):
    """A request in records of a byte each."""
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    with c.wrap_socket(socket.create_connection(address(server), PATIENCE), server_hostname="a.test") as s:
        for b in b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n":
            s.sendall(bytes([b]))
        out = b""
        while chunk := s.recv(1000):
            out += chunk
    assert out.endswith(b"whole")
