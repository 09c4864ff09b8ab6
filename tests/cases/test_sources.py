"""The configurations of the articles that describe this product, as they are printed: each starts (with --lenient where nginx itself
refuses the text), and does what its article says. Only names and ports of machines are those of the test."""
import json
import re

import pytest
from tools.backend import serve
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


def test_its_locations_are_found_without_a_server_around_them(hinge, named):
    """As printed, they stand at the top of the file: --lenient says what it assumes."""
    text = GATEWAY.replace("server {\n", "", 1).rsplit("}", 1)[0]
    for name, address in named("user-service", "order-service", "payment-service").items():
        text = re.sub(rf"{name}:\d+", address, text)
    h = hinge.prepare(MAIN + text)
    h.allow("nginx.conf")
    told = h.run("-t", "--lenient", check=0).stderr
    assert '[notice] "location" is read as if it stood in "' in told and '[notice] no "events" section' in told
    assert h.run("-t", check=1)


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
