"""In what pieces answers leave: records of TLS, frames of HTTP/2. Counted on the wire."""
import socket
import ssl

import pytest
from tools.backend import named
from tools.certs import certificate
from tools.h2 import DATA, H2, SETTINGS
from tools.times import PATIENCE
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

BIG = b"x" * 300_000
TAG = 17  # what a record of TLS 1.3 holds besides: the kind of its content, and the cipher's tag


def records(h, path="/big"):
    """The lengths of the records of an answer, without their framing, and the answer."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    tls = context.wrap_bio(into, out, server_hostname="a.test")
    wire, got = b"", b""
    with socket.create_connection(h.address, PATIENCE) as raw:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                raw.sendall(out.read())
                into.write(raw.recv(65536))
        tls.write(lines(f"GET {path} HTTP/1.1", "Host: a.test", "Connection: close"))
        raw.sendall(out.read())
        while True:
            try:
                if not (plain := tls.read(65536)):
                    break
                got += plain
            except ssl.SSLWantReadError:
                if not (data := raw.recv(65536)):
                    break
                wire += data
                into.write(data)
            except ssl.SSLZeroReturnError:
                break
    sizes, at = [], 0
    while at + 5 <= len(wire):
        sizes.append(int.from_bytes(wire[at + 3:at + 5], "big") - TAG)
        at += 5 + sizes[-1] + TAG
    assert got.endswith(BIG)
    return sizes


def tls_site(hinge, tree, words):
    tree.file("big", BIG)
    return hinge.http(f"server {{ listen %%port%% ssl; {certificate('a.test').lines} root {tree}; {words} }}")


@pytest.mark.parametrize("words, most", [("", 16384), ("ssl_buffer_size 4k;", 4096), ("ssl_buffer_size 512;", 512), ("ssl_buffer_size 1m;", 16384)])
def test_ssl_buffer_size(hinge, tree, words, most):
    sizes = records(tls_site(hinge, tree, words))
    assert max(sizes) == most
    assert sizes.count(most) > len(BIG) / most / 2, "most records are full"


def test_ssl_buffer_size_has_a_least_value(hinge):
    h = hinge.prepare_http(f"server {{ listen %%port%% ssl; {certificate('a.test').lines} ssl_buffer_size 511; }}")
    assert '"ssl_buffer_size" must be at least 512' in h.run("-t", check=1).stderr


def test_ssl_buffer_size_of_a_backends_answer(hinge, backend):
    h = hinge.http(f"server {{ listen %%port%% ssl; {certificate('a.test').lines} ssl_buffer_size 2k; location / {{ proxy_pass http://%%origin%%; }} }}",
                   origin=backend(named("200 OK", body=BIG)))
    assert max(records(h)) == 2048


@pytest.mark.parametrize("words, most", [("", 8192), ("http2_chunk_size 1k;", 1024), ("http2_chunk_size 100;", 100), ("http2_chunk_size 16k;", 16384)])
def test_http2_chunk_size(hinge, tree, words, most):
    tree.file("big", BIG)
    h = hinge.http(f"http2 on; server {{ listen %%port%%; root {tree}; location / {{ {words} }} }}")
    with H2(h.address, window=1 << 20) as c:
        c.window(0, 1 << 20).until(lambda: any(f.kind == SETTINGS for f in c.frames))
        c.auto = False  # the windows are large enough, and so many updates would be an attack
        assert c.get("/big").body == BIG
        sizes = [len(f.payload) for f in c.frames if f.kind == DATA]
    assert max(sizes) == most


def test_http2_chunk_size_has_bounds(hinge):
    for size in "0", "17k":
        hinge.prepare_http(f"server {{ listen %%port%%; http2_chunk_size {size}; }}").run("-t", check=1)
