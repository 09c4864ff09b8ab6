"""A site of files that is served twice: by hinge and by Debian's nginx, from one tree and one configuration.

What both answer is compared: status, fields (Date, Server and how the body is framed aside), body, and what the error log says.
"""
import os
import pathlib
import re
import shutil
import tempfile

from .times import wait_until
from .wire import lines

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
OWN = ("date", "server", "content-length", "transfer-encoding", "connection", "keep-alive")
OLD = 1_600_000_000  # when every file was changed, unless told otherwise

LOG_LINE = re.compile(r"\[(error|crit|alert)\] \d+#\d+: \*\d+ (.*?), client: ")


class Tree:
    """A directory of files that anybody may read."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="site-"))
        self.path.chmod(0o755)

    def file(self, name, data=b"", mtime=OLD):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        os.utime(path, (mtime, mtime))
        return path

    def dir(self, name, mtime=OLD):
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        os.utime(path, (mtime, mtime))
        return path

    def link(self, name, target):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target, path)
        return path

    def __str__(self):
        return str(self.path)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def clear(self):
        """The same directory, empty."""
        self.path.chmod(0o755)
        for path in self.path.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


class Said:
    """An answer as far as two servers can agree about it."""

    def __init__(self, server, response, log):
        port = str(server.ports["port"])
        self.status, self.reason, self.response = response.status, response.reason, response
        self.fields = sorted((n.lower(), self._plain(v.replace(f":{port}", ":PORT"))) for n, v in response.headers.pairs if n.lower() not in OWN)
        self.body = self._plain(self._page(response.body.decode("latin-1")))
        self.log = log

    @staticmethod
    def _page(text):
        """Error pages name the server, and the status in words that RFC 9110 has changed since."""
        text = re.sub(r"<center>(nginx|hinge)/[\d.]+</center>", "<center>SERVER</center>", text)
        return re.sub(r"(<title>|<h1>)(\d{3}) [A-Za-z -]+", r"\1\2", text)

    @staticmethod
    def _plain(text):
        return re.sub(r"(boundary=|--)\d{20}", r"\1BOUNDARY", text)

    def parts(self, log=True, body=True):
        return (self.status, self.fields, self.body if body else None, self.log if log else None)

    def __repr__(self):
        return f"{self.status} {self.fields} {self.body[:300]!r} {self.log}"


class Sites:
    """hinge and nginx with the same http block; %%tree%% is the tree."""

    def __init__(self, starter, tree, text, **names):
        self.tree = tree
        self.hinge = starter.http(text, tree=tree, **names)
        self.nginx = starter.http(text, binary=NGINX, tree=tree, **names)

    @property
    def both(self):
        return self.hinge, self.nginx

    def said(self, server, request, method):
        seen = len(server.log)
        response = server.ask(request, method=method)
        return Said(server, response, [m[2] for m in LOG_LINE.finditer(server.log[seen:])])

    def ask(self, target="/", *fields, method="GET", host="site.test", body=None, version="1.1"):
        """What hinge says, and what nginx says."""
        length = [] if body is None else [f"Content-Length: {len(body)}"]
        request = lines(f"{method} {target} HTTP/{version}", f"Host: {host}", "Connection: close", *fields, *length) + (body or b"")
        return tuple(self.said(s, request, method) for s in self.both)

    def same(self, target="/", *fields, log=True, compare_body=True, **kwargs):
        """Both say the same; what hinge says."""
        ours, theirs = self.ask(target, *fields, **kwargs)
        assert ours.parts(log, compare_body) == theirs.parts(log, compare_body), f"{target} {fields}\nhinge: {ours}\nnginx: {theirs}"
        return ours

    def reload(self):
        for s in self.both:
            done = len(re.findall("reconfigur", s.log))
            s.reload()
            wait_until(lambda s=s, done=done: len(re.findall("reconfigur", s.log)) > done, "reload")
