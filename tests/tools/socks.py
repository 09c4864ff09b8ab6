"""SOCKS as bytes: what a client says, and a client that says it.

    with socks.opened(h, 5, "127.0.0.1", port) as c: c.send(b"...")
"""
import ipaddress
import socket
import struct

CONNECT, BIND, UDP = 1, 2, 3
GREETING = b"\x05\x01\x00"
WITH_PASSWORD = b"\x05\x02\x00\x02"
DONE, FAILURE, NOT_ALLOWED, NET_UNREACHABLE, HOST_UNREACHABLE, REFUSED, TTL_EXPIRED, BAD_COMMAND, BAD_ADDRESS = range(9)
GRANTED, REJECTED = 90, 91


def destination(host, port):
    """Address type, address, port, as SOCKS 5 has them; a host in bytes is a name whatever it looks like."""
    if isinstance(host, bytes):
        return b"\x03" + bytes([len(host)]) + host + struct.pack(">H", port)
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return destination(host.encode(), port)
    return (b"\x01" if ip.version == 4 else b"\x04") + ip.packed + struct.pack(">H", port)


def request(host, port, command=CONNECT):
    return bytes([5, command, 0]) + destination(host, port)


def request4(host, port, command=CONNECT, user=b""):
    """4, or 4a for a name."""
    try:
        return bytes([4, command]) + struct.pack(">H", port) + ipaddress.IPv4Address(host).packed + user + b"\0"
    except ValueError:
        return bytes([4, command]) + struct.pack(">H", port) + b"\0\0\0\1" + user + b"\0" + host.encode() + b"\0"


def login(user, password):
    return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password


def read_answer(c):
    """(code, bound address, bound port) of SOCKS 5."""
    version, code, _, kind = c.exactly(4)
    assert version == 5 and kind in (1, 4)
    return code, str(ipaddress.ip_address(c.exactly(4 if kind == 1 else 16))), struct.unpack(">H", c.exactly(2))[0]


def read_answer4(c):
    zero, code = c.exactly(8)[:2]
    assert zero == 0
    return code


def ask(c, version, host, port, command=CONNECT):
    """The whole handshake, without credentials; the reply code."""
    if version == 4:
        return read_answer4(c.send(request4(host, port, command)))
    c.send(GREETING)
    assert c.exactly(2) == b"\x05\x00"
    return read_answer(c.send(request(host, port, command)))[0]


def opened(h, version, host, port, **kwargs):
    c = h.connect(**kwargs)
    code = ask(c, version, host, port)
    assert code == (GRANTED if version == 4 else DONE), code
    return c


def datagram(host, port, data, fragment=0):
    return bytes([0, 0, fragment]) + destination(host, port) + data


def read_datagram(data):
    """(host, port, payload)"""
    assert data[:3] == b"\0\0\0", data
    n = {1: 4, 4: 16}[data[3]]
    return str(ipaddress.ip_address(data[4:4 + n])), struct.unpack(">H", data[4 + n:6 + n])[0], data[6 + n:]


def udp_socket(address="127.0.0.1", timeout=10):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, 0))
    s.settimeout(timeout)
    return s
