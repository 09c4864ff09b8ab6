"""--lenient: files whose lines stand too far out are repaired, each repair is told, and nothing else is touched."""
import pytest
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

REPAIRED = [
    ("server { listen %%port%%; location / { return 200 hello; } }", ["server"]),
    ("server { listen %%port%%; return 200 hello; } events { }", ["server"]),
    ("events { } location / { return 200 hello; } listen %%port%%;", ["location", "listen"]),
    ("events { } http { listen %%port%%; location / { return 200 hello; } }", ["listen", "location"]),
    ("upstream u { server %%origin%%; } server { listen %%port%%; location / { proxy_pass http://u; } }", ["upstream", "server"]),
    ("listen %%port%%; proxy_pass http://%%origin%%;", ["listen", "proxy_pass"]),
    ("http { upstream u { server %%origin%%; } } server { listen %%port%%; location / { proxy_pass http://u; } }", ["server"]),
    ("http { include more.conf; }", ["listen"]),
]


@pytest.mark.parametrize("text, moved", REPAIRED, ids=[str(i) for i in range(len(REPAIRED))])
def test_a_repaired_file_serves(hinge, backend, text, moved):
    origin = backend(answers_hello)
    h = hinge.prepare("daemon off; pid hinge.pid; error_log error.log info;" + text, origin=origin)
    h.allow("nginx.conf|more.conf|events")
    h.write("more.conf", "listen %%port%%; return 200 hello;")
    h.run("-t", check=1)
    told = h.run("-t", "--lenient", check=0).stderr
    for name in moved:
        assert f'[notice] "{name}" is read as if it stood in "' in told
    h.start("--lenient")
    assert h.get("/").body == b"hello"
    h.reload_until(lambda: "generation 2 serves" in h.log, "a reload repairs it again")
    assert h.get("/").body == b"hello"


def answers_hello(conn):
    while conn.request():
        conn.send(lines("HTTP/1.1 200 OK", "Content-Length: 5") + b"hello")


def test_a_missing_events_block_is_assumed(hinge):
    h = hinge.prepare("http { }")
    assert 'no "events" section in configuration' in h.run("-t", check=1).stderr
    assert '[notice] no "events" section in configuration: "events { }" is assumed' in h.run("-t", "--lenient", check=0).stderr


def test_a_whole_file_is_left_alone(hinge):
    h = hinge.prepare("events { } http { server { listen 127.0.0.1:1; location / { return 200; } } }")
    assert "[notice]" not in h.run("-t", "--lenient", check=0).stderr


@pytest.mark.parametrize("text, message", [
    ("nonsense on;", 'unknown directive "nonsense"'),
    ("server { listen 127.0.0.1:1; location / { return 200; } proxy_pass http://127.0.0.1:1; }", '"proxy_pass" directive is not allowed here'),
    ("events { } http { worker_processes 1; }", '"worker_processes" directive is not allowed here'),
    ("upstream { }", 'invalid number of arguments in "upstream" directive'),
])
def test_what_cannot_be_repaired_is_an_error(hinge, text, message):
    assert message in hinge.prepare(text).run("-t", "--lenient", check=1).stderr


def test_places_of_errors_are_those_of_the_file(hinge):
    h = hinge.prepare("\n\nserver {\n  listen nonsense:x;\n}\n")
    assert "nginx.conf:4" in h.run("-t", "--lenient", check=1).stderr
