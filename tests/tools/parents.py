"""Other proxies for hinge to go through: HTTP, SOCKS 5 and 4a in one, told apart by the first byte, with or without TLS.

    far = parents.Parent({"far.test": origin})           # names are resolved here, by this table, and nowhere else
    far.asked == [Asked("connect", "far.test", 80, "tom", "secret", head)]

A name that leads to NEVER is one that this proxy waits for until it is closed.
`says` replaces the answer to the request for a target by these bytes (None: silence); the connection then closes, or goes on with `then`.
"""
import base64
import collections
import select
import socket
import ssl
import struct
import threading
import time

from .ports import free_port
from .wire import lines

NEVER = object()
WOULD_BLOCK = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
Asked = collections.namedtuple("Asked", "kind host port user password head")


class Parent:
    def __init__(self, names=None, login=None, says=Ellipsis, cert=None, path=None):
        self.names, self.login, self.says, self.asked, self.count, self.closed = dict(names or {}), login, says, [], 0, False
        self.tls = None
        if cert:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(cert.cert, cert.key)
        self.port = 0 if path else free_port()
        self.address = path or ("127.0.0.1", self.port)
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(self.address)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def __str__(self):
        return f"127.0.0.1:{self.port}"

    def close(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    @property
    def targets(self):
        return [(a.host, a.port) for a in self.asked]

    # -- the proxy

    def _accept(self):
        while not self.closed:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._run, args=(conn,), daemon=True).start()

    def _run(self, conn):
        try:
            conn.settimeout(20)
            if conn.family == socket.AF_INET:
                conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            first = self._exactly(conn, 1)
            {b"\5": self._socks5, b"\4": self._socks4}.get(first, self._http)(conn, first)
        except (OSError, EOFError):
            pass
        finally:
            conn.close()

    @staticmethod
    def _exactly(conn, n):
        data = b""
        while len(data) < n:
            piece = conn.recv(n - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def _until(self, conn, end, data=b""):
        while not data.endswith(end):
            data += self._exactly(conn, 1)
        return data

    def _told(self, conn):
        """Says what the case wants to be said instead of the truth. True: that was all."""
        if self.says is Ellipsis:
            return False
        if self.says is None:
            while conn.recv(4096):
                pass
        else:
            conn.sendall(self.says)
            conn.settimeout(2)
            while conn.recv(4096):
                pass
        return True

    def _reach(self, host, port):
        """The other side, or None."""
        to = self.names.get(host, self.names.get(f"{host}:{port}"))
        if to is None and (host in ("127.0.0.1", "::1")):
            to = (host, port)
        while to is NEVER and not self.closed:
            time.sleep(0.02)
        if to is None or to is NEVER:
            return None
        if hasattr(to, "address"):
            to = to.address
        try:
            return socket.create_connection(to, 5)
        except OSError:
            return None

    def _relay(self, a, b):
        """Both directions in one thread: an object of TLS is not for two."""
        reading, writing, out = {a, b}, {a, b}, {a: b"", b: b""}
        for s in (a, b):
            s.setblocking(False)
        with b:
            while writing:
                moved = False
                for x, y in ((a, b), (b, a)):
                    moved = self._pass_on(x, y, reading, writing, out) or moved
                if not moved:
                    select.select(list(reading), [s for s in writing if out[s]], [], 0.05 if self.tls else 20)

    @staticmethod
    def _pass_on(x, y, reading, writing, out):
        """What x has said, to y. True: something moved."""
        moved = False
        if x in reading and len(out[y]) < 1 << 18:
            try:
                data = x.recv(65536)
                moved = True
                out[y] += data
                if not data:
                    reading.discard(x)
            except WOULD_BLOCK:
                pass
        if out[y]:
            try:
                n = y.send(out[y])
                moved = moved or n > 0
                out[y] = out[y][n:]
            except WOULD_BLOCK:
                pass
        if x not in reading and y in writing and not out[y]:
            writing.discard(y)
            if isinstance(y, ssl.SSLSocket):
                try:
                    y.unwrap()
                except (ssl.SSLError, OSError):
                    pass  # said, and theirs is not there yet
            socket.socket.shutdown(y, socket.SHUT_WR)
            moved = True
        return moved

    def _socks5(self, conn, _):
        methods = self._exactly(conn, self._exactly(conn, 1)[0])
        user = password = ""
        if self.login:
            if 2 not in methods:
                conn.sendall(b"\5\xff")
                return
            conn.sendall(b"\5\2")
            self._exactly(conn, 1)
            user = self._exactly(conn, self._exactly(conn, 1)[0]).decode()
            password = self._exactly(conn, self._exactly(conn, 1)[0]).decode()
            good = f"{user}:{password}" == self.login
            conn.sendall(b"\1\0" if good else b"\1\1")
            if not good:
                return
        else:
            conn.sendall(b"\5\0")
        _, command, _, kind = self._exactly(conn, 4)
        assert command == 1
        host = (self._exactly(conn, self._exactly(conn, 1)[0]).decode() if kind == 3 else
                socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, self._exactly(conn, 4 if kind == 1 else 16)))
        port, = struct.unpack(">H", self._exactly(conn, 2))
        self.asked.append(Asked("socks5" if kind == 3 else "socks5-ip", host, port, user, password, b""))
        if self._told(conn):
            return
        there = self._reach(host, port)
        conn.sendall(b"\5" + (b"\0" if there else b"\4") + b"\0\1\0\0\0\0\0\0")
        if there:
            self._relay(conn, there)

    def _socks4(self, conn, _):
        command, port = struct.unpack(">BH", self._exactly(conn, 3))
        ip = self._exactly(conn, 4)
        user = self._until(conn, b"\0")[:-1].decode()
        named = ip[:3] == b"\0\0\0" and ip[3]
        host = self._until(conn, b"\0")[:-1].decode() if named else socket.inet_ntoa(ip)
        self.asked.append(Asked("socks4a" if named else "socks4", host, port, user, "", b""))
        if self._told(conn):
            return
        good = not self.login or user == self.login
        there = self._reach(host, port) if good else None
        conn.sendall(bytes([0, 90 if there else 91 if good else 93]) + bytes(6))
        if there:
            self._relay(conn, there)

    def _http(self, conn, first):
        head = self._until(conn, b"\r\n\r\n", first)
        method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
        login = next((base64.b64decode(line.split()[2]).decode() for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-authorization:")), ":")
        user, _, password = login.partition(":")
        place = target if method == "CONNECT" else target.split("/")[2]
        host, _, port = place.rpartition(":") if ":" in place and not place.endswith("]") else (place, "", "80")
        self.asked.append(Asked("connect" if method == "CONNECT" else "http", host.strip("[]"), int(port), user, password, head))
        if self.login and login != self.login:
            conn.sendall(lines("HTTP/1.1 407 Proxy Authentication Required", "Proxy-Authenticate: Basic realm=far", "Content-Length: 0", "Connection: close"))
            return
        if self._told(conn):
            return
        there = self._reach(host.strip("[]"), int(port))
        if not there:
            conn.sendall(lines("HTTP/1.1 502 Bad Gateway", "Content-Length: 4", "Connection: close") + b"none")
            return
        if method == "CONNECT":
            conn.sendall(lines("HTTP/1.1 200 Fine"))
        else:
            path = target.split("://")[1]
            path = path[path.index("/"):] if "/" in path else "/"
            kept = [line for line in head.split(b"\r\n")[1:-2] if not line.lower().startswith((b"proxy-", b"connection:"))]
            there.sendall(b"\r\n".join([f"{method} {path} HTTP/1.1".encode(), *kept, b"Connection: close", b"", b""]))
            length = next((int(line.split()[1]) for line in kept if line.lower().startswith(b"content-length:")), 0)
            there.sendall(self._exactly(conn, length))
            conn.sendall(self._until(there, b"\r\n\r\n")[:-2] + b"Connection: close\r\n\r\n")
        self._relay(conn, there)
