"""The same configuration and the same requests for hinge and for Debian's nginx, which decides where its manual is silent.

    same_as_nginx(hinge, "location / { rewrite ^ /x redirect; }", ["/a", "/b?c", "POST /d"])

The text is the inside of a server block, or with http=True of an http block (which then listens on %%port%% itself). A request is a
target, or a method and a target, or the bytes themselves. Status, the fields in FIELDS and the body must be equal, but for the port and,
in the plain page of an error, for the name of the server and the words of the status. With log=PATTERN, so must be what the pattern
finds in the lines of the error log that speak of a request.
"""
import os
import re
import shutil

import pytest

from .wire import lines

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
needs_nginx = pytest.mark.skipif(not os.path.exists(NGINX), reason="needs nginx")
FIELDS = ("Location", "Content-Type", "WWW-Authenticate", "Allow")


def _text(server, value):
    value = value.replace(f":{server.ports['port']}", ":PORT").replace(str(server.home), "DIR")
    value = re.sub(r"(\d+) [\w -]+(?=</title>|</h1>)", r"\1 REASON", value)
    return re.sub(r"(?:nginx|hinge)/[0-9.]+", "SERVER", value)


def _ask(server, request):
    if isinstance(request, bytes):
        res = server.ask(request)
    else:
        method, target = request.split(" ", 1) if " " in request else ("GET", request)
        res = server.ask(lines(f"{method} {target} HTTP/1.1", "Host: a.example", "Connection: close"), method=method)
    body = _text(server, res.text)
    fields = [(name, _text(server, value)) for name in FIELDS for value in dict.fromkeys(res.all(name))]  # nginx may say it twice
    return res.status, fields, body


def _logged(server, pattern):
    found = [match[0] for line in server.log.splitlines() if "client: " in line and (match := re.search(pattern, line))]
    return [_text(server, text) for text in found]


def pair(text, http=False, log=None, **names):
    """What hinge and nginx are to be started with: their common inside of an http block, and the names of each."""
    inside = text if http else "server {\n listen %%port%%;\n" + text + "\n}"
    names = {**names, "log_level": "notice" if log else "info"}
    return inside, [names, {**names, "binary": NGINX}]


def same_as_nginx(hinge, text, requests, http=False, log=None, setup=None, **names):
    """Gives hinge's answers, after comparing them with nginx's. setup(dir) may put files in each server's directory."""
    inside, both = pair(text, http, log, **names)
    if setup:
        ours, theirs = (hinge.prepare_http(inside, **own) for own in both)
        for server in (ours, theirs):
            setup(server.dir)
            server.start()
    else:
        ours, theirs = (hinge.http(inside, **own) for own in both)
    answers = []
    for request in requests:
        mine, yours = _ask(ours, request), _ask(theirs, request)
        assert mine == yours, f"{request}\n hinge: {mine}\n nginx: {yours}\n{ours.log[-2000:]}"
        answers.append(mine)
    if log:
        assert _logged(ours, log) == _logged(theirs, log)
    return answers


def refused_like_nginx(hinge, text, http=False):
    """Both refuse the file, with the same first line; gives its text."""
    messages = []
    inside, both = pair(text, http)
    for own in both:
        server = hinge.prepare_http(inside, **own)
        done = server.run("-t")
        assert done.returncode != 0, f"accepted by {server.binary}"
        first = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*?) in \S+:(\d+)", done.stderr)
        assert first, done.stderr
        messages.append((first[1], first[2]))
    assert messages[0] == messages[1]
    return messages[0][0]
