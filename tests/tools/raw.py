"""A client that is a socket: it sends exactly the bytes it is given, in exactly the pieces it is told to, and reads strictly."""
import contextlib
import socket
import struct
import time

from .times import PATIENCE
from .wire import Ended, Reader

PIECE_PAUSE = 0.001  # long enough for the peer to read one piece before the next arrives


class Client:
    """One connection. `address` is (host, port), or a path for a unix socket."""

    def __init__(self, address, source=None, rcvbuf=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.sock.bind((source, 0))
        self.sock.connect(address)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(lambda: self.sock.recv(65536))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def local(self):
        return self.sock.getsockname()

    # -- sending

    def send(self, data):
        self.sock.sendall(data)
        return self

    def send_in_pieces(self, *pieces):
        """Each piece is a packet of its own."""
        for piece in pieces:
            self.sock.sendall(piece)
            time.sleep(PIECE_PAUSE)
        return self

    def drip(self, data):
        """Byte by byte."""
        return self.send_in_pieces(*(data[i:i + 1] for i in range(len(data))))

    def send_as_far_as_it_goes(self, data):
        """For a peer that may close while we still write: what cannot be sent is dropped."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def half_close(self):
        with contextlib.suppress(OSError):  # the peer may be gone already
            self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        """Ends the connection by RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # -- reading

    def response(self, method="GET"):
        return self.reader.response(method)

    def ask(self, data, method=None):
        """Sends a request and reads its answer."""
        return self.send(data).response(method or data.split(b" ", 1)[0].decode("latin-1"))

    def exactly(self, n):
        return self.reader.exactly(n)

    def all_bytes(self):
        """Everything up to the end of the stream; a reset counts as the end."""
        try:
            return self.reader.to_the_end()
        except ConnectionResetError:
            return b""

    def assert_closed(self):
        """The peer has closed, or closes now, and writes nothing more."""
        try:
            rest = self.reader.to_the_end()
        except ConnectionResetError:
            rest = b""
        except socket.timeout:
            raise AssertionError("the connection is still open") from None
        assert rest == b"", f"unexpected bytes before the close: {rest[:200]!r}"

    def assert_reset_or_short(self, method="GET"):
        """The answer never ends cleanly: the connection breaks in the middle of it."""
        try:
            answer = self.response(method)
        except (Ended, ConnectionResetError):
            return
        raise AssertionError(f"the answer looks complete: {answer.status}, {len(answer.body)} bytes by {answer.framing}")

    def assert_open_and_quiet(self, seconds=0.1):
        """No byte and no end arrive for a moment."""
        assert self.reader.buffer == b"", f"unexpected bytes: {self.reader.buffer[:200]!r}"
        self.sock.settimeout(seconds)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            return
        finally:
            self.sock.settimeout(PATIENCE)
        raise AssertionError(f"unexpected bytes: {data[:200]!r}" if data else "the connection was closed")
