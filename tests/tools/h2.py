"""HTTP/2 at frame level: a client that says whatever a case wants, in whatever order.

Frames are made and read by hand, so that broken ones can be made; only HPACK comes from a library.
"""
import socket
import ssl
import struct

from hpack import Decoder, Encoder

from .times import PATIENCE

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, PRIO = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL,
 COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    ids = {"table": 1, "push": 2, "streams": 3, "window": 4, "frame": 5, "list": 6}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", ids[k], v) for k, v in values.items()))


def request(path="/", method="GET", *fields, authority="localhost", scheme="http"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *fields]


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    @property
    def code(self):
        """The error code of RST_STREAM and GOAWAY."""
        return struct.unpack(">I", self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8])[0]

    def __repr__(self):
        return f"<{self.kind} flags={self.flags:#x} stream={self.stream} {self.payload[:24]!r}>"


class Answer:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interims = None, [], b"", [], []
        self.ended, self.reset = False, None

    def __getitem__(self, name):
        return dict(self.fields)[name]


class H2:
    """One connection. Everything that came is in `frames`; answers are collected by stream."""

    def __init__(self, address, greet=True, tls=None, **values):
        self.sock = socket.create_connection(address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:  # the name to ask for
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock, server_hostname=tls or None)
            assert self.sock.selected_alpn_protocol() == "h2"
        self.sock.settimeout(PATIENCE)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.buffer, self.frames, self.answers, self.block = b"", [], {}, b""
        self.auto, self.goaways, self.closed = True, [], False
        self.next = 1
        if greet:
            self.send(PREFACE + settings(**values))

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # what the server has to say about it is still to be read
        return self

    def frame(self, kind, flags=0, stream=0, payload=b""):
        return self.send(frame(kind, flags, stream, payload))

    def headers(self, fields, end=True, stream=None, flags=0):
        """Opens a stream; gives its number."""
        if stream is None:
            stream, self.next = self.next, self.next + 2
        self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0) | flags, stream, self.encoder.encode(fields))
        return stream

    def data(self, stream, payload=b"", end=True):
        return self.frame(DATA, END_STREAM if end else 0, stream, payload)

    def window(self, stream, n):
        return self.frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))

    def reset(self, stream, code=CANCEL):
        return self.frame(RST_STREAM, 0, stream, struct.pack(">I", code))

    # -- reading

    def read(self):
        """The next frame, or None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                more = b""
            if not more:
                self.closed = True
                return None
            self.buffer += more
        n = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        f = Frame(kind, flags, stream, self.buffer[9:9 + n])
        self.buffer = self.buffer[9 + n:]
        self.frames.append(f)
        self._note(f)
        return f

    def _note(self, f):
        a = self.answers.setdefault(f.stream, Answer()) if f.stream else None
        if f.kind in (HEADERS, CONTINUATION):
            self.block += f.payload
            if f.kind == HEADERS:
                self.ends = bool(f.flags & END_STREAM)
            if f.flags & END_HEADERS:
                fields = [(n, v) for n, v in self.decoder.decode(self.block)]
                self.block = b""
                self._head(a, fields)
                a.ended = a.ended or self.ends
        elif f.kind == DATA:
            a.body += f.payload
            a.ended = a.ended or bool(f.flags & END_STREAM)
            if self.auto and f.payload:
                self.window(0, len(f.payload))
                if not a.ended:
                    self.window(f.stream, len(f.payload))
        elif f.kind == RST_STREAM:
            a.reset = f.code
        elif f.kind == SETTINGS and not f.flags & ACK and self.auto:
            self.frame(SETTINGS, ACK)
        elif f.kind == PING and not f.flags & ACK and self.auto:
            self.frame(PING, ACK, 0, f.payload)
        elif f.kind == GOAWAY:
            self.goaways.append(f)

    def _head(self, a, fields):
        status = dict(fields).get(":status")
        rest = [(n, v) for n, v in fields if n != ":status"]
        if status is None:
            a.trailers = rest
        elif status[0] == "1":
            a.interims.append((int(status), rest))
        else:
            a.status, a.fields = int(status), rest

    def until(self, condition):
        while not condition():
            if self.read() is None:
                raise AssertionError(f"the connection ended: {self.frames[-8:]}")
        return self

    def answer(self, stream):
        """The answer of a stream, when it has ended or was reset."""
        a = self.answers.setdefault(stream, Answer())
        self.until(lambda: a.ended or a.reset is not None)
        return a

    def get(self, path="/", *fields, method="GET", body=None, **kwargs):
        s = self.headers(request(path, method, *fields, **kwargs), end=body is None)
        if body is not None:
            self.data(s, body)
        return self.answer(s)

    def ping(self):
        """Everything before it has been looked at when this returns."""
        self.frame(PING, 0, 0, b"areyouup")
        n = len(self.frames)
        return self.until(lambda: any(f.kind == PING and f.flags & ACK for f in self.frames[n:]))

    def end(self):
        """Reads to the end; gives the code of the last GOAWAY, or None."""
        while self.read() is not None:
            pass
        return self.goaways[-1].code if self.goaways else None

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
