"""Scripted backends: TCP or unix servers in threads, one script a connection, every byte and every request recorded.

A script is a function of a `Conn`. When it returns, the connection closes. `Backend()` without a script is the echo, which answers
JSON saying what it saw. A list of scripts serves the first connection with the first script and so on; the last one repeats.
Run as a program (`python3 backend.py PORT NAME`) the echo lives in a process of its own, to be killed under load.
"""
import hashlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

if __package__ in (None, ""):
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from tools.ports import free_port  # noqa: E402
from tools.times import PATIENCE, wait_until  # noqa: E402
from tools.wire import Ended, Malformed, Reader, answer  # noqa: E402


class Conn:
    """One connection as its script sees it."""

    def __init__(self, sock, backend, number):
        self.sock, self.backend, self.number = sock, backend, number
        self.received, self.requests = bytearray(), []
        self.closed_by_peer, self.timed_out = threading.Event(), False
        self.reader = Reader(self._more)
        sock.settimeout(None)

    def _more(self):
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            self.timed_out = True
            return b""
        except OSError:
            data = b""
        if not data:
            self.closed_by_peer.set()
        self.received += data
        return data

    def head(self):
        """The next request's head, recorded; None at the end of the stream."""
        req = self.reader.request()
        if req:
            self.requests.append(req)
            self.backend._record(req)
        return req

    def body(self, req):
        return self.reader.request_body(req)

    def request(self):
        """The next request with its body; recorded once it is complete. None at the end of the stream."""
        req = self.reader.request()
        if req:
            self.reader.request_body(req)
            self.requests.append(req)
            self.backend._record(req)
        return req

    def send(self, *pieces):
        """Sends the pieces, a packet each. A peer that has gone is no error: many cases are about that."""
        for i, piece in enumerate(pieces):
            if i:
                time.sleep(0.002)
            try:
                self.sock.sendall(piece)
            except OSError:
                self.closed_by_peer.set()
                return self
        return self

    def drip(self, data, pause=0.001):
        for i in range(len(data)):
            self.send(data[i:i + 1])
            time.sleep(pause)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def hang(self):
        """Says nothing until the peer closes (or the backend is shut down)."""
        while self._more():
            pass

    def wait_closed(self):
        """For scripts: reads on, and complains when the proxy does not hang up."""
        self.sock.settimeout(PATIENCE)
        end = time.monotonic() + PATIENCE
        while self._more():
            assert time.monotonic() < end, "the proxy keeps talking"
        assert not self.timed_out, "the proxy left the connection open"

    def assert_hung_up(self):
        """For cases: the script has noticed, or notices now, that the proxy is gone."""
        wait_until(self.closed_by_peer.is_set, "the proxy left the backend connection open")


# -- scripts

def describe(req, name):
    """What the echo answers: the request as it arrived."""
    return json.dumps({"backend": name, "method": req.method, "target": req.target, "version": req.version, "headers": req.headers.pairs,
                       "length": len(req.body), "framing": req.framing, "trailers": req.trailers.pairs,
                       "sha256": hashlib.sha256(req.body).hexdigest()})


def echo(conn):
    """The well-behaved backend."""
    while req := conn.request():
        body = describe(req, conn.backend.name)
        conn.send(answer(b"" if req.method == "HEAD" else body, f"X-Backend: {conn.backend.name}", "Content-Type: application/json"))
        if req.version == "1.0" or "close" in (req["Connection"] or ""):
            return


def answers(*replies):
    """Answers the requests of a connection with these bytes in turn, the last one repeating; keeps the connection open."""
    def script(conn):
        turn = 0
        while conn.request():
            conn.send(replies[min(turn, len(replies) - 1)])
            turn += 1
    return script


def serve(handler):
    """Answers each request with the bytes that handler(request) gives."""
    def script(conn):
        while req := conn.request():
            conn.send(handler(req))
    return script


def says(*pieces, then="close"):
    """Reads one request, sends the pieces (a packet each), then: close, reset, hang or echo."""
    def script(conn):
        if not conn.request():
            return
        conn.send(*pieces)
        after(conn, then)
    return script


def drips(data, pause=0.001, then="hang"):
    """Reads one request and sends the answer byte by byte."""
    def script(conn):
        if not conn.request():
            return
        conn.drip(data, pause)
        after(conn, then)
    return script


def after(conn, then):
    if then == "reset":
        time.sleep(0.01)  # let what was sent leave: a reset would overtake it
        conn.reset()
    elif then == "hang":
        conn.hang()
    elif then == "echo":
        echo(conn)


def reset_at_once(conn):
    conn.reset()


def close_at_once(conn):
    pass


def hang(conn):
    conn.hang()


def named(status, *fields, body=b""):
    """Answers every request with this status."""
    return answers(answer(body, *fields, status=status))


class Backend:
    """A listening server. `str(backend)` is what `proxy_pass http://...` and `server ...;` want."""

    def __init__(self, script=echo, name="b", path=None, address="127.0.0.1", port=None, listening=True):
        self.scripts = list(script) if isinstance(script, (list, tuple)) else [script]
        self.name, self.path = name, path
        self.address = path or (address, port or free_port())
        self.connections, self.requests, self.violations = [], [], []
        self._lock, self._listener = threading.Lock(), None
        if listening:
            self.open()

    def __str__(self):
        if self.path:
            return f"unix:{self.path}"
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def port(self):
        return self.address[1]

    def open(self):
        family = socket.AF_UNIX if self.path else socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(self.address)
        if self.path:
            os.chmod(self.path, 0o666)
        self._listener.listen(512)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            if family_is_tcp(sock):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                number = len(self.connections)
                conn = Conn(sock, self, number)
                self.connections.append(conn)
            script = self.scripts[min(number, len(self.scripts) - 1)]
            threading.Thread(target=self._run, args=(script, conn), daemon=True).start()

    def _run(self, script, conn):
        try:
            script(conn)
        except Malformed as e:
            self.violations.append(str(e))
        except (Ended, OSError):
            pass
        except AssertionError as e:
            self.violations.append(str(e))
        finally:
            conn.close()

    def _record(self, req):
        with self._lock:
            self.requests.append(req)

    def stop_listening(self):
        """New connections are refused; those that stand stay."""
        if self._listener:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
            except OSError:
                pass
            self._listener.close()
            self._listener = None

    def close(self):
        self.stop_listening()
        for conn in list(self.connections):
            conn.close()

    # -- what it saw

    @property
    def received(self):
        """All bytes of all connections, in the order in which the connections came."""
        return b"".join(bytes(c.received) for c in self.connections)

    @property
    def targets(self):
        return [r.target for r in self.requests]

    def wait_requests(self, n):
        return wait_until(lambda: len(self.requests) >= n and self.requests, lambda: f"{len(self.requests)} of {n} requests arrived")

    def wait_connections(self, n):
        return wait_until(lambda: len(self.connections) >= n and self.connections, f"{n} backend connections")


def family_is_tcp(sock):
    return sock.family in (socket.AF_INET, socket.AF_INET6)


class BackendProcess:
    """The echo in a process of its own, so that it can be killed like one."""

    def __init__(self, name="b"):
        self.name, self.port, self.process = name, free_port(), None
        self.start()

    def __str__(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.process = subprocess.Popen([sys.executable, __file__, str(self.port), self.name], stdout=subprocess.PIPE)
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    close = kill
    violations = ()


def main():
    """The echo as a process: prints a line when it listens, ends when it is killed."""
    Backend(name=sys.argv[2], port=int(sys.argv[1]))
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
