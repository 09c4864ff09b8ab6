"""The configurations of the articles that describe this product, as they are printed: each starts (with --lenient where nginx itself
refuses the text), and does what its article says. Only names and ports of machines are those of the test."""
import json
import re

import pytest
from tools.backend import serve
from tools.ports import free_port
from tools.wire import answer, lines

MAIN = "daemon off; pid hinge.pid; error_log error.log info;\n"


def who(name):
    """A backend that says who it is and what it was asked."""
    def body(req):
        return json.dumps({"served_by": name, "target": req.target, "fields": {n.lower(): v for n, v in req.headers.pairs}}).encode()
    return serve(lambda req: answer(body(req), "Content-Type: application/json"))


def start(hinge, text, *args, **names):
    """`text` with its host names put in place; a server without `listen` gets the port of the test."""
    for name, address in names.items():
        text = re.sub(rf"\b{re.escape(name)}(:\d+)?\b", address, text)
    text = text.replace("listen 80;", "listen %%port%%;")
    if "listen" not in text:
        text = text.replace("server {", "server {\nlisten %%port%%;")
    h = hinge.prepare(MAIN + text)
    h.allow("nginx.conf")
    return h.start(*args)


def seen(h, target, *fields, **kwargs):
    got = h.get(target, *fields, **kwargs)
    assert got.status == 200, got.text
    return got.json()


@pytest.fixture
def named(backend):
    """Addresses of backends by the names that they answer with."""
    return lambda *names: {name: str(backend(who(name))) for name in names}


LOAD_BALANCING = """
upstream backend {
server backend1.example.com weight=3;
server backend2.example.com;
server backend3.example.com;
}
server {
location / {
proxy_pass http://backend;
}
}
"""


def test_load_balancing_by_weight(hinge, named):
    names = named("backend1.example.com", "backend2.example.com", "backend3.example.com")
    h = start(hinge, LOAD_BALANCING, "--lenient", **names)
    turns = [seen(h, "/")["served_by"] for _ in range(10)]
    assert [turns.count(n) for n in names] == [6, 2, 2]


GATEWAY = """
server {
location /api/users {
proxy_pass http://user-service:3000;
}
location /api/orders {
proxy_pass http://order-service:4000;
}
location /api/payments {
proxy_pass http://payment-service:5000;
}
}
"""


def test_an_api_gateway_routes_by_path(hinge, named):
    h = start(hinge, GATEWAY, "--lenient", **named("user-service", "order-service", "payment-service"))
    for path, service in (("/api/users/7", "user-service"), ("/api/orders?x=1", "order-service"), ("/api/payments", "payment-service")):
        got = seen(h, path)
        assert (got["served_by"], got["target"]) == (service, path)
    assert h.get("/other").status == 404


def without_blocks_around(hinge, text, **names):
    """Starts lines that are printed without their server: --lenient says what it assumes. Only the port is put in front."""
    for name, address in names.items():
        text = re.sub(rf"\b{re.escape(name)}(:\d+)?(?=;)", address, text)
    h = hinge.prepare(MAIN + "listen %%port%%;\n" + text)
    h.allow('nginx.conf|no "events" section')
    h.run("-t", check=1)
    told = h.run("-t", "--lenient", check=0).stderr
    assert '[notice] no "events" section' in told
    return h.start("--lenient"), told


def test_its_locations_are_found_without_a_server_around_them(hinge, named):
    text = GATEWAY.replace("server {\n", "", 1).rsplit("}", 1)[0]
    h, told = without_blocks_around(hinge, text, **named("user-service", "order-service", "payment-service"))
    assert '[notice] "location" is read as if it stood in "' in told
    for path, service in (("/api/users/7", "user-service"), ("/api/orders?x=1", "order-service"), ("/api/payments", "payment-service")):
        got = seen(h, path)
        assert (got["served_by"], got["target"]) == (service, path)


COMPOSED = """
# nginx.conf
server {
location /users/ {
proxy_pass http://user-service:3000/;
}
location /orders/ {
proxy_pass http://order-service:4000/;
}
}
"""


def test_two_services_beneath_one_host(hinge, named):
    h = start(hinge, COMPOSED, "--lenient", **named("user-service", "order-service"))
    for path, service, target in (("/users/7?a=b", "user-service", "/7?a=b"), ("/orders/", "order-service", "/")):
        got = seen(h, path)
        assert (got["served_by"], got["target"]) == (service, target)
    assert h.get("/users", host="a.example").status == 301


COMPRESSED = """
server {
location / {
gzip on; gzip_types text/plain text/css application/json; proxy_pass http://backend;
}
}
"""


def test_compression(hinge, backend):
    body = b'{"a": "' + b"x" * 4000 + b'"}'
    kinds = {"/j": "application/json", "/c": "text/css", "/p": "image/png"}

    origin = backend(serve(lambda req: answer(body, f"Content-Type: {kinds[req.target]}")))
    h = start(hinge, COMPRESSED, "--lenient", backend=str(origin))
    for target in kinds:
        packed = h.get(target, "Accept-Encoding: gzip")
        assert (packed["Content-Encoding"] == "gzip") == (target != "/p")
        assert target == "/p" or len(packed.body) < 200
        assert h.get(target).body == body


COMPRESSED_BARE = """
gzip on; gzip_types text/plain text/css application/json; proxy_pass http://backend;
"""


def test_compression_as_one_line_without_blocks(hinge, backend):
    body = b"a {}" * 1000
    origin = backend(serve(lambda req: answer(body, "Content-Type: text/css")))
    h, told = without_blocks_around(hinge, COMPRESSED_BARE, backend=str(origin))
    assert '"proxy_pass" is read as if it stood in "location / { }"' in told
    packed = h.get("/", "Accept-Encoding: gzip")
    assert packed["Content-Encoding"] == "gzip" and len(packed.body) < len(body)
    assert h.get("/").body == body


BASIC = """
server {
    listen 80;
    server_name example.com;

    location / {
        proxy_pass http://backend_server:8080;
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
    }
}
"""


def test_the_basic_reverse_proxy_tells_who_asked(hinge, named):
    h = start(hinge, BASIC, "--lenient", **named("backend_server"))
    fields = seen(h, "/a/b?c", "X-Forwarded-For: 198.51.100.7", "X-Real-IP: 198.51.100.8", host="example.com")["fields"]
    assert fields["host"] == "example.com" and fields["x-real-ip"] == "127.0.0.1" and fields["x-forwarded-proto"] == "http"
    assert fields["x-forwarded-for"] == "198.51.100.7, 127.0.0.1"


BUFFERED = """
upstream backend {
    server backend1:8080;
    server backend2:8080;
}

server {
    listen 80;
    server_name example.com;

    location / {
        proxy_pass http://backend;
        proxy_buffering on;
        proxy_buffers 16 4k;
        proxy_buffer_size 2k;
    }
}
"""


def test_balancing_with_buffers(hinge, named):
    h = start(hinge, BUFFERED, "--lenient", **named("backend1", "backend2"))
    assert [seen(h, "/")["served_by"] for _ in range(4)] == ["backend1", "backend2"] * 2


CONCEPTUAL = """
http {
upstream backend_servers {
server backend1.example.com;
server backend2.example.com;
}
server {
listen 80;
server_name yourdomain.com;
location / {
proxy_pass http://backend_servers;
proxy_set_header Host $host;
proxy_set_header X-Real-IP $remote_addr;
# Other proxy headers and caching directives
}
}
}
"""


def test_a_conceptual_file_without_events(hinge, named):
    h = start(hinge, CONCEPTUAL, "--lenient", **named("backend1.example.com", "backend2.example.com"))
    got = seen(h, "/", host="yourdomain.com")
    assert got["fields"]["host"] == "yourdomain.com" and got["fields"]["x-real-ip"] == "127.0.0.1"
    assert {seen(h, "/")["served_by"] for _ in range(2)} == {"backend1.example.com", "backend2.example.com"}


PRODUCTION = """
# Production-style Reverse Proxy Configuration
# This Nginx config sits in front of three application server instances
# and handles load balancing, SSL termination, and health checking.

# Define the pool of backend application servers
# Nginx will distribute requests across these using round-robin by default
upstream application_servers {
    # Each 'server' directive points to a running application instance
    # These could be Node.js, Python/Gunicorn, Java/Spring — anything
    server 10.0.1.10:3000 weight=3;  # This server handles 3x the traffic (more powerful machine)
    server 10.0.1.11:3000 weight=1;  # Standard traffic share
    server 10.0.1.12:3000 weight=1;  # Standard traffic share

    # Health check: if a server fails to respond twice in 30 seconds, stop sending it traffic
    # Nginx will automatically recheck it every 30 seconds and re-add it when healthy
    server 10.0.1.13:3000 backup;    # Only used if ALL primary servers are down

    # Keepalive maintains persistent connections to backends — reduces TCP handshake overhead
    keepalive 32;
}

# Redirect all HTTP traffic to HTTPS — never serve your app unencrypted
server {
    listen 80;
    server_name api.yourapp.com;
    return 301 https://$server_name$request_uri;
}

server {
    listen 443;
    server_name api.yourapp.com;

    # Security headers added here once, for ALL backends — not in each app separately
    add_header Strict-Transport-Security "max-age=31536000; includeSubDomains" always;
    add_header X-Frame-Options DENY always;
    add_header X-Content-Type-Options nosniff always;

    location /api/ {
        # Hand the request off to our upstream pool
        proxy_pass http://application_servers;

        # Tell the backend the REAL client IP, not the proxy's IP
        # Your app needs this for logging, analytics, and fraud detection
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;  # Tell backend this came in over HTTPS

        # Pass the original hostname so the backend knows which virtual host was requested
        proxy_set_header Host $host;

        # Timeouts: don't let a slow backend server hang the proxy indefinitely
        proxy_connect_timeout 5s;   # Max time to establish connection to backend
        proxy_read_timeout    30s;  # Max time to wait for backend to send a response
        proxy_send_timeout    10s;  # Max time to send the request to backend
    }

    # Cache static assets at the proxy level — backends never even see these requests
    location /static/ {
        proxy_pass http://application_servers;
    }
}
"""
PRIMARY, SPARE = ("10.0.1.10", "10.0.1.11", "10.0.1.12"), "10.0.1.13"


class TestProduction:
    """As printed but for the lines about TLS, rate limits and the cache, which are not of this round."""

    def started(self, hinge, addresses):
        return start(hinge, PRODUCTION.replace("listen 443;", "listen %%port2%%;"), "--lenient", **addresses)

    def test_turns_by_weight_and_the_spare_one_rests(self, hinge, named):
        h = self.started(hinge, named(*PRIMARY, SPARE))
        turns = [seen(h, "/api/users", port="port2")["served_by"] for _ in range(10)]
        assert [turns.count(n) for n in (*PRIMARY, SPARE)] == [6, 2, 2, 0]
        assert seen(h, "/static/app.js", port="port2")["target"] == "/static/app.js"

    def test_the_spare_one_serves_when_all_others_are_down(self, hinge, named):
        dead = {name: f"127.0.0.1:{free_port()}" for name in PRIMARY}
        h = self.started(hinge, {**dead, **named(SPARE)})
        assert seen(h, "/api/users", port="port2")["served_by"] == SPARE

    def test_the_client_is_told_to_backends_and_backends_not_to_the_client(self, hinge, backend):
        answers = {"/api/users": "200 OK", "/api/none": "404 Not Found"}

        def app(req):
            fields = {n.lower(): v for n, v in req.headers.pairs}
            return answer(json.dumps(fields).encode(), "Server: Express", status=answers[req.target])

        origin = str(backend(serve(app)))
        h = self.started(hinge, {name: origin for name in (*PRIMARY, SPARE)})
        for target, status in (("/api/users", 200), ("/api/none", 404), ("/elsewhere", 404)):
            got = h.get(target, host="api.yourapp.com", port="port2")
            assert got.status == status and "Express" not in (got["Server"] or "") and got["X-Real-IP"] is None
            assert got["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
            assert (got["X-Frame-Options"], got["X-Content-Type-Options"]) == ("DENY", "nosniff")
        fields = h.get("/api/users", host="api.yourapp.com", port="port2").json()
        assert (fields["x-real-ip"], fields["x-forwarded-for"], fields["x-forwarded-proto"]) == ("127.0.0.1", "127.0.0.1", "http")
        assert fields["host"] == "api.yourapp.com"

    def test_plain_http_is_sent_to_https(self, hinge, named):
        h = self.started(hinge, named(*PRIMARY, SPARE))
        got = h.get("/api/users?page=2", host="api.yourapp.com")
        assert (got.status, got["Location"]) == (301, "https://api.yourapp.com/api/users?page=2")


FORWARDING = """
server {
    listen 80;
    location / {
        proxy_pass http://$http_host$request_uri;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header Host $http_host;
    }
    location ~* ^http://(10\\.|192\\.168\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.) {
        return 403 "Access to private network ranges is blocked";
    }
}
"""


def test_private_networks_are_out_of_reach_although_the_rule_for_them_never_matches(hinge):
    """The article's expression looks for a scheme and host where only a path is; the guard does not depend on it."""
    h = start(hinge, FORWARDING, "--lenient")
    told = h.run("-t", "--lenient", check=0).stderr
    assert "can never match" in told and "$http_host decides" in told
    for host in ("10.0.0.5", "192.168.1.1", "172.16.0.1", "127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"):
        assert h.ask(lines(f"GET http://{host}/x HTTP/1.1", f"Host: {host}", "Connection: close")).status == 403, host
    h.wait_log("access forbidden.*not a public address")
