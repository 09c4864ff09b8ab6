"""What is said about a configuration holds no password of it, neither in the line that is shown nor in the words that are quoted."""
import pytest

FORWARD = "forward { listen %%port%%; "


@pytest.mark.parametrize("conf", [
    FORWARD + "parent p { server socks5://ann:hush@10.0.0.1:1080 badd; } }",
    FORWARD + "parent p { server socks5:/ann:hush@10.0.0.1:1080; } }",
    FORWARD + "parent p { server socks5://ann:hu/sh@10.0.0.1:1080; } }",
    FORWARD + "parent p { server 'http://ann:hu sh@10.0.0.1:1080'; } }",
    FORWARD + "parent p { servr http://ann:hush@10.0.0.1:1080; } }",
    FORWARD + "parent p { server http://ann:hush@10.0.0.1:1080; } badd; }",
    FORWARD + "cache_peer 10.0.0.1 parent 3128 0 login=ann:hush badd; }",
    FORWARD + "cache_peer 10.0.0.1 parent 3128 0 no-query login=*:hush; }",
    FORWARD + "cache_peer 10.0.0.1 parent 3128 0 'login=ann:hush' badd; }",
    "server { location / { proxy_pass http://ann:hush@10.0.0.1:x/; } }",
    "server { location / { proxy_set_header Authorization Basic hush; } }",
    "server { location / { proxy_set_header Authorization \"Basic hush\" badd; } }",
    "server { location / { proxy_set_header X 'Bearer hush' badd; } }",
])
def test_passwords_are_not_shown(hinge, conf):
    told = hinge.prepare_http(conf).run("-t", check=1).stderr
    assert "hush" not in told and "hu/sh" not in told and "hu sh" not in told, told
    assert "***" in told and " | " in told and "^" in told, told


def test_nor_in_a_squid_conf(hinge):
    h = hinge.prepare_http(FORWARD + "squid_conf squid.conf; }")
    h.write("squid.conf", "http_port 3128\ncache_peer 10.0.0.1 parent 3128 0 badd login=ann:hush\n")
    told = h.run("-t", check=1).stderr
    assert "hush" not in told and "login=***" in told and "squid.conf:2" in told, told


def test_nor_in_the_log_of_a_reload(hinge):
    h = hinge.prepare_http(FORWARD + "}").start()
    h.allow("emerg")
    h.rewrite_http(FORWARD + "parent p { server http://ann:hush@10.0.0.1:1080 badd; } }")
    h.reload()
    h.wait_log("invalid parameter")
    assert "hush" not in h.log and "ann:***@10.0.0.1" in h.log
