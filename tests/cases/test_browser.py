"""A real browser: headless Chromium loads a page through hinge, and the page says what became of it.

The page asks for all that pages ask for: it is reached by a redirect, has a style sheet, a script, an image, fetches JSON, and submits
a form. Its script writes what it saw into the document, which Chromium prints when nothing more is under way.
"""
import http.server
import json
import re
import socketserver
import struct
import threading
import urllib.parse
import zlib
from html import unescape

import pytest
from tools.browser import BROWSER, dom

pytestmark = BROWSER


def png(width, height):
    """A grey picture of that size."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + \
        chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>before</title><link rel="stylesheet" href="style.css"><link rel="icon" href="data:,"></head>
<body>
<p id="styled">styled</p>
<img id="image" src="image.png">
<form id="form" method="post" action="/form" target="frame"><input name="who" value="J&ouml;rg &amp; co"><input name="n" value="1"></form>
<iframe name="frame" id="frame"></iframe>
<pre id="seen"></pre>
<script src="app.js"></script>
</body></html>
"""
SCRIPT = """
const seen = { address: location.href };
const loaded = new Promise(done => addEventListener('load', done));
const json = fetch('/api/data?list=1,2').then(r => r.json()).then(j => { seen.json = j; });
const put = fetch('/api/put', { method: 'PUT', body: 'x'.repeat(200000), headers: { 'X-Own': 'yes' } })
    .then(r => r.text()).then(t => { seen.put = t; });
const missing = fetch('/nothing').then(r => { seen.missing = r.status; });
const sent = new Promise(done => {
    document.getElementById('frame').addEventListener('load', e => {
        const body = e.target.contentDocument.body;
        if (body && body.textContent) { seen.form = JSON.parse(body.textContent); done(); }
    });
    document.getElementById('form').submit();
});
Promise.all([loaded, json, put, missing, sent]).then(() => {
    seen.color = getComputedStyle(document.getElementById('styled')).color;
    seen.image = [document.getElementById('image').naturalWidth, document.getElementById('image').naturalHeight];
    document.getElementById('seen').textContent = JSON.stringify(seen);
    document.title = 'after';
});
"""


class Site(http.server.BaseHTTPRequestHandler):
    """The backend. Its redirect names its own address, as such servers do."""
    protocol_version = "HTTP/1.1"
    files = {
        "/app/page": ("text/html; charset=utf-8", PAGE.encode()),
        "/app/style.css": ("text/css", b"#styled { color: rgb(1, 2, 3) }"),
        "/app/app.js": ("text/javascript", SCRIPT.encode()),
        "/app/image.png": ("image/png", png(7, 5)),
    }

    def answer(self, status, kind, body, **fields):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store", **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/app/start":
            self.answer(302, "text/plain", b"", Location="http://127.0.0.1:%d/app/page" % self.server.server_address[1])
        elif path == "/v1/data":
            self.answer(200, "application/json", json.dumps({"query": query, "host": self.headers["Host"]}).encode())
        elif path in self.files:
            self.answer(200, *self.files[path])
        else:
            self.answer(404, "text/plain", b"nothing here")

    def do_POST(self):
        form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer(200, "text/plain; charset=utf-8", json.dumps(form).encode())

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, "text/plain", f"{len(body)} {self.headers['X-Own']}".encode())

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@pytest.fixture
def site():
    server = Server(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield "127.0.0.1:%d" % server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_browser_shows_a_page(hinge, site, tmp_path):
    h = hinge.http("""
        log_format t '$request_method $request_uri $status $connection_requests';
        upstream site { server %%site%%; keepalive 4; }
        server {
            listen %%port%%;
            access_log %%dir%%/a.log t;
            client_max_body_size 1m;
            location / { proxy_pass http://%%site%%; }
            location /api/ { proxy_pass http://site/v1/; proxy_set_header Host api.example; }
        }""", site=site, access_log="")
    page = dom(f"http://{h.expand('%%port%%')}/app/start", tmp_path)
    assert "<title>after</title>" in page, page
    seen = json.loads(unescape(re.search(r'<pre id="seen">(.*)</pre>', page, re.S)[1]))
    assert seen == {
        "address": f"http://{h.expand('%%port%%')}/app/page",  # not the backend's
        "json": {"query": "list=1,2", "host": "api.example"},
        "put": "200000 yes",
        "missing": 404,
        "form": {"who": ["J\xf6rg & co"], "n": ["1"]},
        "color": "rgb(1, 2, 3)",
        "image": [7, 5],
    }
    logged = [line.split() for line in h.wait_lines("a.log", 9)]
    assert sorted(" ".join(line[:3]) for line in logged) == [
        "GET /api/data?list=1,2 200", "GET /app/app.js 200", "GET /app/image.png 200", "GET /app/page 200", "GET /app/start 302",
        "GET /app/style.css 200", "GET /nothing 404", "POST /form 200", "PUT /api/put 200",
    ]
    assert max(int(line[3]) for line in logged) > 1, "the browser kept no connection"
