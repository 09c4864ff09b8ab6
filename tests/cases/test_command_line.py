"""The command line is nginx's: -t, -T, -V, -v, -s, -g, -q, and errors that say where and what."""
import re
import subprocess

import pytest
from tools.server import BINARY, HTTP
from tools.times import PATIENCE, wait_until

GOOD = HTTP.replace("%%inside%%", "server { listen %%port%%; return 200 ok; }")


def verdict(hinge, text, *args):
    """What -t says of this configuration: (exit code, stderr)."""
    done = hinge.prepare(text).run("-t", *args)
    return done.returncode, done.stderr


def test_t_of_a_good_file(hinge):
    code, said = verdict(hinge, GOOD)
    assert code == 0
    assert re.search(r"the configuration file \S+/nginx\.conf syntax is ok\n(.*\n)*.*configuration file \S+/nginx\.conf test is successful", said)


def test_t_q_of_a_good_file_is_silent(hinge):
    code, said = verdict(hinge, GOOD, "-q")
    assert (code, said) == (0, "")


USUAL = """
user www-data;
worker_processes auto;
worker_cpu_affinity auto;
pid hinge.pid;
events { worker_connections 768; use epoll; multi_accept on; accept_mutex off; }
http {
    sendfile on; tcp_nopush on; tcp_nodelay on; types_hash_max_size 2048; server_names_hash_bucket_size 64; server_tokens off;
    include mime.types; default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"';
    access_log access.log main; error_log error.log warn;
    keepalive_timeout 65; client_max_body_size 10m; client_body_temp_path body; proxy_temp_path proxy;
    upstream app { server 127.0.0.1:1 weight=2 max_fails=3 fail_timeout=30s; server 127.0.0.1:2 backup; keepalive 32; }
    server {
        listen %%port%% default_server; server_name example.com www.example.com;
        location / {
            proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme;
            proxy_connect_timeout 5s; proxy_read_timeout 60s; proxy_send_timeout 60s; proxy_buffers 16 32k; proxy_buffer_size 64k;
            proxy_busy_buffers_size 64k; proxy_redirect off; proxy_next_upstream error timeout http_502;
        }
        location = /health { access_log off; return 200 "healthy\\n"; }
        error_page 500 502 503 504 /50x.html;
        location = /50x.html { return 200 sorry; }
    }
}
"""


def test_a_usual_file_is_accepted(hinge):
    h = hinge.prepare(USUAL)
    h.write("mime.types", "types { text/html html; }")
    h.run("-t", check=0)


def test_t_binds_no_port_that_is_in_use(hinge):
    h = hinge.raw(GOOD)
    h.run("-t", check=0)
    assert h.get("/").text == "ok"


BAD = {
    "unknown directive": ("foo bar;", 'unknown directive "foo"'),
    "unknown in http": ("http { proxy_pas x; }", 'unknown directive "proxy_pas"'),
    "wrong place": ("events { } proxy_pass http://x;", '"proxy_pass" directive is not allowed here'),
    "too few arguments": ("http { server { listen; } }", 'invalid number of arguments in "listen" directive'),
    "too many arguments": ("pid a b;", 'invalid number of arguments in "pid" directive'),
    "no semicolon": ("pid a", 'unexpected end of file, expecting ";" or "}"'),
    "no closing brace": ("events {", 'unexpected end of file, expecting "}"'),
    "one brace too many": ("events { } }", 'unexpected "}"'),
    "no block": ("events;", 'directive "events" has no opening "{"'),
    "a block where none may be": ("pid { }", None),
    "stray semicolon": (";", 'unexpected ";"'),
    "duplicate": ("pid a; pid b;", '"pid" directive is duplicate'),
    "bad value": ("http { tcp_nodelay maybe; }", 'invalid value "maybe" in "tcp_nodelay" directive, it must be "on" or "off"'),
    "bad size": ("http { client_max_body_size 10x; }", '"client_max_body_size" directive invalid value'),
    "bad time": ("http { keepalive_timeout 10x; }", None),
    "unknown variable": ('http { server { return 200 $nothing_like_it; } }', 'unknown "nothing_like_it" variable'),
    "unknown log format": ("http { access_log a.log nothing; }", 'unknown log format "nothing"'),
    "bad regex": ("http { server { location ~ '(' { } } }", None),
    "duplicate location": ("http { server { location /a { } location /a { } } }", 'duplicate location "/a"'),
    "duplicate default_server": ("http { server { listen 127.0.0.1:1 default_server; } server { listen 127.0.0.1:1 default_server; } }",
                                 "a duplicate default server for 127.0.0.1:1"),
    "missing include": ("include nothing.conf;", 'open() "'),
    "unterminated string": ('pid "a;', None),
    "bad port": ("http { server { listen 127.0.0.1:99999; } }", None),
    "empty upstream": ("http { upstream u { } }", "no servers are inside upstream"),
    "bad proxy_pass": ("http { server { location / { proxy_pass ftp://x; } } }", "invalid URL prefix"),
    "bad return code": ("http { server { return abc; } }", None),
}


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_an_error_names_its_place(hinge, text, message):
    if "events" not in text:
        text = "events { }\n" + text
        line = 2
    else:
        line = 1
    code, said = verdict(hinge, text)
    first = [x for x in said.splitlines() if "[emerg]" in x][0]
    assert code == 1
    assert re.search(r"in \S+/nginx\.conf:%d\b" % line, first), said
    assert message is None or message in first
    assert re.search(r"configuration file \S+/nginx\.conf test failed", said.splitlines()[-1])


def test_starting_with_a_bad_file_fails_in_the_same_words(hinge):
    h = hinge.prepare("events { }\nfoo bar;\n")
    done = h.run()
    assert done.returncode == 1
    assert re.search(r'\[emerg\] .*unknown directive "foo" in \S+/nginx\.conf:2$', done.stderr.splitlines()[0])
    assert 'unknown directive "foo"' in h.log


def test_t_reports_every_error_of_a_file(hinge):
    code, said = verdict(hinge, "events { }\nfoo 1;\nhttp {\n  server {\n    bar 2;\n    listen;\n  }\n}\n")
    assert code == 1
    assert [int(n) for n in re.findall(r"\[emerg\].* in \S+/nginx\.conf:(\d+)", said)] == [2, 5, 6]


def test_t_reports_what_merging_finds_beside_other_errors(hinge):
    code, said = verdict(hinge, """events { }
        http {
            nonsense;
            log_format main "$remote_addr $nothing";
            server {
                listen 127.0.0.1:1 default_server;
                proxy_busy_buffers_size 1k;
                location /a { }
                location /a { }
            }
            server { listen 127.0.0.1:1 default_server; }
        }
        """)
    assert code == 1
    assert [int(n) for n in re.findall(r"\[emerg\].* in \S+/nginx\.conf:(\d+)", said)] == [3, 5, 9, 11, 4]


def test_t_warns_of_an_error_page_at_a_named_location_that_is_not_there(hinge):
    code, said = verdict(hinge, "events { }\nhttp { server { listen 127.0.0.1:1;\n  error_page 502 @sorry; return 200; } }\n")
    assert code == 0
    assert re.search(r'\[warn\] named location "@sorry" does not exist in this server in \S+/nginx\.conf:3$', said, re.M), said


def test_an_error_shows_the_line_and_a_likely_name(hinge):
    _, said = verdict(hinge, "events { }\nhttp { server { location / { proxy_pas http://127.0.0.1:1; } } }\n")
    assert "proxy_pas http://127.0.0.1:1;" in said
    assert re.search(r"proxy_pass\b", said)


@pytest.mark.parametrize("line, hint", [
    ("http { image_filter off; }", "this is a directive of nginx that hinge does not have (yet)"),
    ("http { server { more_set_headers x; } }", "this is a directive of the headers-more module for nginx that hinge does not have (yet)"),
    ("mail { }", "mail proxying is not part of hinge"),
], ids=["nginx", "module", "mail"])
def test_a_directive_of_nginx_that_is_not_there_is_called_that(hinge, line, hint):
    code, said = verdict(hinge, f"events {{ }} {line}\n")
    assert code == 1
    assert hint in said and "did you mean" not in said, said


def test_an_error_in_an_included_file_names_that_file(hinge):
    h = hinge.prepare("events { }\nhttp {\n  include conf.d/*.conf;\n}\n")
    h.write("conf.d/a.conf", "server { return 200; }\n")
    h.write("conf.d/b.conf", "\n\nfoo;\n")
    done = h.run("-t", check=1)
    assert re.search(r'unknown directive "foo" in \S+/conf\.d/b\.conf:3', done.stderr)


def test_a_glob_without_matches_is_no_error(hinge):
    hinge.prepare("events { } http { include conf.d/*.conf; server { return 200; } }").run("-t", check=0)


HOSTILE = {
    "deep nesting": "events { }\n" + "http {" * 5000,
    "huge token": "events { }\npid " + "a" * 1_000_000 + ";\n",
    "many tokens": "events { }\npid " + "a " * 100_000 + ";\n",
    "NUL": "events { }\npid a\0b;\n",
    "binary": "".join(map(chr, range(1, 128))) * 10,
    "include of itself": "events { }\ninclude nginx.conf;\n",
    "include of a directory": "events { }\ninclude /;\n",
    "only a quote": '"',
    "only a backslash": "\\",
    "unclosed variable": 'events { }\nhttp { server { return 200 "${a"; } }\n',
    "endless braces": "}" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_an_error_and_never_a_crash(hinge, text):
    done = hinge.prepare(text).run("-t")
    assert done.returncode == 1 and "[emerg]" in done.stderr


def test_an_empty_file_or_none_is_an_error_of_its_own(hinge):
    assert verdict(hinge, "\n")[0] == 1
    h = hinge.prepare("")
    (h.dir / "nginx.conf").unlink()
    assert re.search(r'\[emerg\] .*open\(\) "\S+/nginx\.conf" failed \(2: No such file or directory\)', h.run("-t", check=1).stderr)


def test_a_file_of_this_directory_that_is_not_in_the_prefix(tmp_path):
    """Names are relative to the prefix, as nginx's are; who has the file before him is told how to say so."""
    (tmp_path / "mine.conf").write_text("events { }\n")

    def test(*args):
        return subprocess.run([BINARY, "-t", *args], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    told = test("-p", "/nonexistent", "-c", "mine.conf")
    assert told.returncode == 1 and 'for the "mine.conf" of this directory add -p ./, or give its whole path' in told.stderr
    assert test("-p", "./", "-c", "mine.conf", "-e", "stderr").returncode == test("-c", tmp_path / "mine.conf", "-e", "stderr").returncode == 0
    assert "this directory" not in test("-p", "/nonexistent", "-c", "other.conf").stderr


def test_capital_t_prints_every_file_once(hinge):
    h = hinge.prepare("events { }\nhttp { include a.conf; include a.conf; include b.conf; }\n")
    h.write("a.conf", "# file a\n")
    h.write("b.conf", "server { return 200; } # file b\n")
    out = h.run("-T", check=0).stdout
    assert re.findall(r"^# configuration file (\S+):$", out, re.M) == [str(h.dir / n) for n in ("nginx.conf", "a.conf", "b.conf")]
    assert out.count("# file a\n") == 1 and "# file b" in out


def test_capital_v_is_what_tools_parse():
    done = subprocess.run([BINARY, "-V"], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and done.stdout == ""
    said = done.stderr
    assert re.search(r"^nginx version: nginx/1\.31\.\d+$", said, re.M)
    assert re.search(r"hinge/\d+\.\d+\.\d+", said)
    arguments = re.search(r"^configure arguments:(.*)$", said, re.M)[1].split()
    assert "--without-http_uwsgi_module" in arguments
    assert not any(word in said for word in ("=dynamic", "BoringSSL", "LibreSSL"))


def test_small_v_says_the_version():
    said = subprocess.run([BINARY, "-v"], capture_output=True, text=True, timeout=10).stderr
    assert re.search(r"hinge/\d+\.\d+\.\d+", said)


def test_h_explains_the_options():
    done = subprocess.run([BINARY, "-h"], capture_output=True, text=True, timeout=10)
    for option in ("-t", "-T", "-c", "-p", "-g", "-s", "-v", "-V", "-q", "-e"):
        assert option in done.stdout + done.stderr


def test_an_unknown_option_is_an_error():
    done = subprocess.run([BINARY, "-Z"], capture_output=True, text=True, timeout=10)
    assert done.returncode != 0 and "invalid option" in done.stderr


def test_g_adds_directives(hinge):
    h = hinge.prepare("daemon off; events { } http { server { listen %%port%%; return 200 ok; } }")
    h.start("-g", f"pid {h.dir}/hinge.pid; error_log {h.dir}/error.log info;")
    assert h.get("/").text == "ok"


def test_g_is_checked_like_a_file(hinge):
    assert 'unknown directive "foo"' in verdict(hinge, GOOD, "-g", "foo;")[1]


def test_s_stop_and_quit(hinge):
    for how in ("stop", "quit"):
        h = hinge.raw(GOOD)
        h.run("-s", how, check=0)
        assert h.wait() == 0


def test_s_reload_and_reopen(hinge):
    h = hinge.raw(GOOD)
    h.write("nginx.conf", GOOD.replace("200 ok", "200 new"))
    h.run("-s", "reload", check=0)
    wait_until(lambda: h.get("/").text == "new", "the new configuration serves")
    (h.dir / "error.log").rename(h.dir / "old.log")
    h.run("-s", "reopen", check=0)
    wait_until((h.dir / "error.log").exists, "the log is there again")
    h.run("-s", "nonsense", check=1)


def test_s_without_a_running_server_is_an_error(hinge):
    done = hinge.prepare(GOOD).run("-s", "stop")
    assert done.returncode == 1 and "pid" in done.stderr.lower()


def test_quotes_comments_and_escapes(hinge):
    h = hinge.http(r"""
        server {
            listen %%port%%; # a comment { with ; signs
            location /single { return 200 'a "b" \'c\' # no comment'; }
            location /double { return 200 "a 'b' \"c\" ; { } $uri"; }
            location /escape { return 200 "tab\tline"; }
            location "/quoted path" { return 200 ok; }
        }""")
    assert h.get("/single").text == "a \"b\" 'c' # no comment"
    assert h.get("/double").text == "a 'b' \"c\" ; { } /double"
    assert h.get("/escape").text == "tab\tline"
    assert h.get("/quoted%20path").text == "ok"
