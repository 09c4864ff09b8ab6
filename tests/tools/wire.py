"""HTTP/1.1 as bytes: building messages literally, and reading them strictly.

The reader is deliberately unforgiving. It is a second opinion about what hinge writes to clients and to backends: own framing on
every hop, one meaning for every length. Whatever it does not understand is a `Malformed`, never a guess.
"""
import json
import re

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*")
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]+) HTTP/(1\.[01])")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})")
NO_BODY = (204, 304)


class Malformed(Exception):
    """The peer wrote something that is not clean HTTP/1.1."""


class Ended(Exception):
    """The peer closed the connection in the middle of what was being read."""

    def __init__(self, got):
        super().__init__(f"connection ended after {got[-200:]!r}")
        self.got = got


def lines(*parts):
    """A head: the lines with CRLF, and the empty line. Text is Latin-1, so every byte can be written."""
    return b"".join((p if isinstance(p, bytes) else p.encode("latin-1")) + b"\r\n" for p in parts) + b"\r\n"


def chunked(*pieces, trailers=()):
    """A chunked body of these pieces, closed by the last chunk and the trailer lines."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
    return body + b"0\r\n" + lines(*trailers)


def answer(body=b"", *fields, status="200 OK"):
    """A response with Content-Length."""
    body = body.encode() if isinstance(body, str) else body
    return lines(f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields) + body


class Fields:
    """Header fields in the order in which they came; names compare without case."""

    def __init__(self, pairs=()):
        self.pairs = list(pairs)

    def all(self, name):
        return [v for n, v in self.pairs if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else default

    def names(self):
        return [n.lower() for n, _ in self.pairs]

    def __contains__(self, name):
        return bool(self.all(name))


class Message:
    """What request and response have in common: version, fields, body and how the body was framed."""

    version = "1.1"
    framing = "none"  # none, length, chunked, close

    def __init__(self):
        self.headers, self.trailers = Fields(), Fields()
        self.body, self.chunks, self.head = b"", [], b""

    def __getitem__(self, name):
        return self.headers.get(name)

    def __contains__(self, name):
        return name in self.headers

    def all(self, name):
        return self.headers.all(name)

    @property
    def text(self):
        return self.body.decode("latin-1")

    def json(self):
        return json.loads(self.body)


class Request(Message):
    method = target = ""


class Response(Message):
    status, reason = 0, ""

    def __init__(self):
        super().__init__()
        self.interim = []  # the 1xx answers that came before


class Reader:
    """Reads messages out of `more()`, which gives the next bytes, or b"" at the end of the stream."""

    def __init__(self, more):
        self.more, self.buffer = more, b""

    def _fill(self):
        data = self.more()
        if not data:
            raise Ended(self.buffer)
        self.buffer += data

    def exactly(self, n):
        parts, have = [self.buffer[:n]], min(n, len(self.buffer))
        self.buffer = self.buffer[n:]
        while have < n:
            data = self.more()
            if not data:
                raise Ended(b"".join(parts))
            parts.append(data[:n - have])
            self.buffer = data[n - have:]
            have += len(parts[-1])
        return b"".join(parts)

    def to_the_end(self):
        parts, self.buffer = [self.buffer], b""
        while data := self.more():
            parts.append(data)
        return b"".join(parts)

    def until(self, mark):
        while mark not in self.buffer:
            self._fill()
        found, self.buffer = self.buffer.split(mark, 1)
        return found

    def line(self):
        found = self.until(b"\n")
        if not found.endswith(b"\r") or b"\r" in found[:-1]:
            raise Malformed(f"line not ended by CRLF alone: {found!r}")
        return found[:-1]

    def _fields(self):
        pairs = []
        while raw := self.line():
            m = FIELD.fullmatch(raw)
            if not m:
                raise Malformed(f"field line {raw!r}")
            pairs.append((m[1].decode("latin-1"), m[2].decode("latin-1")))
        return Fields(pairs)

    def request(self):
        """The next request, or None when the stream ends cleanly before it."""
        if not self.buffer and not self._ready():
            return None
        req = Request()
        first = self.line()
        m = REQUEST_LINE.fullmatch(first)
        if not m:
            raise Malformed(f"request line {first!r}")
        req.method, req.target, req.version = (g.decode("latin-1") for g in m.groups())
        req.headers = self._fields()
        if len(req.all("Host")) > 1 or (req.version == "1.1" and not req.all("Host")):
            raise Malformed(f"Host fields: {req.all('Host')}")
        return req

    def _ready(self):
        self.buffer = self.more()
        return bool(self.buffer)

    def request_body(self, req):
        self._body(req, close_delimited=False)
        return req

    def response(self, method="GET"):
        """The next final response, its 1xx predecessors in `.interim`. `method` is what it answers: HEAD has no body."""
        interim = []
        while True:
            res = self._response_head()
            if res.status >= 200 or res.status == 101:
                break
            interim.append(res)
        res.interim = interim
        if res.status == 101 or method == "CONNECT" and res.status < 300:
            return res
        if method == "HEAD" or res.status in NO_BODY:
            if res.status == 204 and ("Content-Length" in res or "Transfer-Encoding" in res):
                raise Malformed("204 with framing fields")
            return res
        self._body(res, close_delimited=True)
        return res

    def _response_head(self):
        res = Response()
        first = self.line()
        m = STATUS_LINE.fullmatch(first)
        if not m:
            raise Malformed(f"status line {first!r}")
        res.version, res.status, res.reason = m[1].decode(), int(m[2]), m[3].decode("latin-1")
        res.headers = self._fields()
        return res

    def _body(self, msg, close_delimited):
        codings, lengths = msg.all("Transfer-Encoding"), msg.all("Content-Length")
        if codings and (codings != ["chunked"] or lengths or msg.version == "1.0"):
            raise Malformed(f"framing: Transfer-Encoding {codings}, Content-Length {lengths}, HTTP/{msg.version}")
        if len(lengths) > 1 or lengths and not re.fullmatch(r"0|[1-9][0-9]*", lengths[0]):
            raise Malformed(f"Content-Length {lengths}")
        if codings:
            msg.framing = "chunked"
            self._chunks(msg)
        elif lengths:
            msg.framing = "length"
            msg.body = self.exactly(int(lengths[0]))
        elif close_delimited:
            msg.framing = "close"
            msg.body = self.to_the_end()

    def _chunks(self, msg):
        while True:
            raw = self.line()
            if not CHUNK_SIZE.fullmatch(raw):
                raise Malformed(f"chunk size line {raw!r}")
            size = int(raw, 16)
            if size == 0:
                break
            msg.chunks.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise Malformed("chunk data longer than its size")
        msg.trailers = self._fields()
        msg.body = b"".join(msg.chunks)
