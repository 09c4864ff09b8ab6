"""TLS to backends: what they must prove, which connections and sessions are shared, and what a broken handshake means."""
import pytest
from tools.certs import certificate

pytestmark = pytest.mark.shared_servers


def pair(hinge, inner, **server):
    """A front whose locations reach a TLS server of the same process at %%port2%%."""
    a = certificate("a.test")
    return hinge.http(f"""trusted_proxies none;
        upstream group {{ server %%port2%%; }}
        server {{ listen %%port2%% ssl; {a.lines} return 200 "$ssl_server_name|$ssl_session_reused|$connection|$ssl_protocol|$http_host"; }}
        server {{ listen %%port3%%; return 200 plain; }}
        server {{ listen %%port%%; {inner} }}""")


def fields(answer):
    assert answer.status == 200, answer
    return answer.text.split("|")


def test_a_backend_by_https(hinge):
    h = pair(hinge, "location /a { proxy_pass https://%%port2%%; } location /g { proxy_pass https://group; } "
                    "location /d { set $b %%port2%%; proxy_pass https://$b; }")
    for path in ["/a", "/g", "/d"]:
        assert fields(h.get(path))[3] == "TLSv1.3"
    assert fields(h.get("/g"))[4] == "group"


def test_names_and_verification(hinge):
    a, b = certificate("a.test"), certificate("b.test")
    h = pair(hinge, f"""location /off {{ proxy_pass https://%%port2%%; }}
        location /good {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {a.cert}; proxy_ssl_name a.test;
                          proxy_ssl_server_name on; }}
        location /name {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {a.cert}; proxy_ssl_name c.test; }}
        location /ca {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {b.cert}; proxy_ssl_name a.test; }}""")
    assert fields(h.get("/off"))[0] == ""
    assert fields(h.get("/good"))[0] == "a.test"
    assert h.get("/name").status == 502 and h.get("/ca").status == 502
    h.wait_log("hostname mismatch")
    h.wait_log("verify error: .*self-signed certificate")


def test_a_name_that_comes_to_nothing_is_no_leave_to_skip_it(hinge):
    a = certificate("a.test")
    h = pair(hinge, f"""location / {{ proxy_pass https://%%port2%%; proxy_ssl_verify on; proxy_ssl_trusted_certificate {a.cert};
                                      proxy_ssl_name $arg_name; }}""")
    assert h.get("/?name=a.test").status == 200
    for wrong in ("", ".test", ":443", "[]"):
        assert h.get(f"/?name={wrong}").status == 502, wrong
    h.wait_log("proxy_ssl_verify has no name to check")


def test_connections_are_shared_within_one_policy_only(hinge):
    h = pair(hinge, """location /a { proxy_pass https://group; } location /b { proxy_pass https://group; proxy_ssl_name other; }
                       location /c { proxy_pass https://group; proxy_ssl_protocols TLSv1.2; }""")
    numbers = [fields(h.get(p))[2] for p in ["/a", "/b", "/c", "/a", "/b", "/c"]]
    assert numbers[:3] == numbers[3:] and len(set(numbers)) == 3


@pytest.mark.parametrize("reuse", ["on", "off"])
def test_sessions_with_backends(hinge, reuse):
    h = pair(hinge, f"""proxy_ssl_session_reuse {reuse}; proxy_set_header Connection close;
                        location / {{ proxy_pass https://group; }}""")
    seen = [fields(h.get("/"))[1] for _ in range(3)]
    assert seen == [".", "r", "r"] if reuse == "on" else seen == [".", ".", "."]


def test_the_clear_before_the_handshake_is_a_502(hinge, backend):
    h = pair(hinge, "location / { proxy_pass https://%%port3%%; }")
    assert h.get("/").status == 502
    h.wait_log("SSL_do_handshake.. failed.* while SSL handshaking to upstream")


def test_the_next_one_is_asked(hinge):
    a = certificate("a.test")
    h = hinge.http(f"""trusted_proxies none; upstream group {{ server %%port3%%; server %%port2%%; }}
        server {{ listen %%port2%% ssl; {a.lines} return 200 tls; }}
        server {{ listen %%port3%%; return 200 plain; }}
        server {{ listen %%port%%; location / {{ proxy_pass https://group; }} }}""")
    for _ in range(4):
        assert h.get("/").text == "tls"


def test_bodies_through_two_transports(hinge):
    a = certificate("a.test")
    h = hinge.http(f"""trusted_proxies none; client_max_body_size 0;
        server {{ listen %%port2%% ssl; {a.lines} location / {{ proxy_pass http://%%port3%%; }} }}
        server {{ listen %%port3%%; location / {{ return 200 $request_method$content_length; }} }}
        server {{ listen %%port%%; location / {{ proxy_pass https://%%port2%%; }} }}""")
    with h.connect() as c:
        answer = c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000000).response()
    assert answer.text == "POST1000000"
