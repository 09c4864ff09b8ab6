"""A DNS server of our own: it answers what a case tells it to, properly or not at all like one.

    names = dns.Server({"a.test": "127.0.0.1", "six.test": "::1", "both.test": ["127.0.0.1", "::1"], "alias.test": dns.cname("a.test")})
    hinge.http(f"resolver {names}; ...")

A value may be a callable that gets the Question and returns bytes (sent as they are), records, or None (silence). Names that nobody named do
not exist. `names.asked` lists what came: (name, type, id, source port, transport).
"""
import collections
import ipaddress
import socket
import struct
import threading

A, CNAME, SOA, AAAA = 1, 5, 6, 28
OK, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
Question = collections.namedtuple("Question", "name type id port transport raw")
Record = collections.namedtuple("Record", "name type ttl data")


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".") if label) + b"\0"


def address(text, ttl=60, name=None):
    ip = ipaddress.ip_address(text)
    return Record(name, A if ip.version == 4 else AAAA, ttl, ip.packed)


def cname(target, ttl=60, name=None):
    return Record(name, CNAME, ttl, wire_name(target))


def soa(zone="test", ttl=60, least=60):
    return Record(zone, SOA, ttl, wire_name("ns." + zone) + wire_name("root." + zone) + struct.pack(">5I", 1, 2, 3, 4, least))


def reply(question, records=(), rcode=OK, authority=(), flags=0x8180, ident=None, asked=None, count=None):
    """An answer as bytes; every part of it can be made wrong."""
    head = struct.pack(">6H", question.id if ident is None else ident, flags | rcode, 1, len(records) if count is None else count, len(authority), 0)
    data = head + (asked if asked is not None else question.raw[12:])
    for r in [*records, *authority]:
        data += wire_name(r.name or question.name) + struct.pack(">HHIH", r.type, 1, r.ttl, len(r.data)) + r.data
    return data


class Server:
    def __init__(self, names=None, address="127.0.0.1", port=0):
        self.names = {k.lower(): v for k, v in (names or {}).items()}
        self.asked, self.lock = [], threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:  # one number that is free for both
            try:
                self.udp.bind((address, port))
                self.tcp.bind((address, self.udp.getsockname()[1]))
                break
            except OSError:
                if port:
                    raise
                self.udp.close()
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = self.udp.getsockname()
        self.tcp.listen(16)
        self.closed = False
        for work in (self._udp, self._tcp):
            threading.Thread(target=work, daemon=True).start()

    def __str__(self):
        return "%s:%d" % self.address

    def __setitem__(self, name, value):
        self.names[name.lower()] = value

    def close(self):
        self.closed = True
        for s in (self.udp, self.tcp):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()

    def count(self, name, kind=A):
        with self.lock:
            return sum(1 for q in self.asked if q.name == name and q.type == kind)

    def _udp(self):
        while not self.closed:
            try:
                data, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            if len(data) < 17:  # the wake-up of close()
                continue
            for answer in self._answers(data, peer[1], "udp"):
                try:
                    self.udp.sendto(answer, peer)
                except OSError:
                    pass

    def _tcp(self):
        while not self.closed:
            try:
                conn, peer = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn, peer), daemon=True).start()

    def _serve(self, conn, peer):
        with conn:
            data = b""
            while piece := conn.recv(4096):
                data += piece
                if len(data) >= 2 and len(data) >= 2 + struct.unpack(">H", data[:2])[0]:
                    size = struct.unpack(">H", data[:2])[0]
                    for answer in self._answers(data[2:2 + size], peer[1], "tcp"):
                        conn.sendall(struct.pack(">H", len(answer)) + answer)
                    data = data[2 + size:]

    def _answers(self, data, port, transport):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        kind = struct.unpack(">H", data[at + 1:at + 3])[0]
        q = Question(".".join(labels).lower(), kind, struct.unpack(">H", data[:2])[0], port, transport, data[:at + 5])
        with self.lock:
            self.asked.append(q)
        value = self.names.get(q.name)
        if callable(value):
            value = value(q)
            if value is None:
                return []
        if value is None:
            return [reply(q, rcode=NXDOMAIN, authority=[soa()])]
        return [value if isinstance(value, bytes) else self._records(q, value)]

    def _records(self, q, value):
        values = value if isinstance(value, (list, tuple)) and not isinstance(value, Record) else [value]
        if values and isinstance(values[0], bytes):
            return values[0]
        records = [v if isinstance(v, Record) else address(v) for v in values]
        records = [r for r in records if r.type in (q.type, CNAME) or r.name]
        seen, name = list(records), None
        for r in records:  # what an alias leads to comes along, as real servers do it
            while r and r.type == CNAME and not r.name:
                name = _name_of(r.data)
                more = self.names.get(name)
                if more is None or callable(more):
                    break
                more = more if isinstance(more, list) else [more]
                found = [(m if isinstance(m, Record) else address(m))._replace(name=name) for m in more]
                found = [f for f in found if f.type in (q.type, CNAME)]
                seen += found
                r = found[0] if found and found[0].type == CNAME else None
                if r:
                    r = r._replace(name=None)
        data = reply(q, seen, authority=[] if seen else [soa()])
        if len(data) > 512 and q.transport == "udp":
            return reply(q, [], flags=0x8380)
        return data


def _name_of(data):
    labels, at = [], 0
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(labels)
