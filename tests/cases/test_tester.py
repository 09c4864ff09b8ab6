"""What the tester proves of files that start: a warning with the reason and the fix, an error with --strict, and silence where all is well."""
import pytest

pytestmark = pytest.mark.shared_servers

ACME = """
    upstream app { server 10.1.2.3:80; }
    server {
        listen %%port%%;
        server_name shop.example;
"""


def told_by_t(hinge, inside, *args, check=0):
    return hinge.prepare_http(inside).run("-t", *args, check=check).stderr


# Each from life: a forward proxy of a tutorial, a migrated site, a copied fragment.
FAULTS = {
    "the scheme is no part of a path": ("""
        server { listen %%port%%; location ~* ^(http|https)://(10\\.|192\\.168\\.) { return 403; } location / { return 200; } }""",
        'location "^(http|https)://(10\\.|192\\.168\\.)" can never match', 'a path begins with "/"'),
    "the same expression twice": (
        "server { listen %%port%%; location ~ \\.php$ { return 200 a; } location ~ \\.php$ { return 200 b; } }",
        'location "\\.php$" can never match', "is tried first and matches what it would"),
    "an expression for everything above": (
        "server { listen %%port%%; location ~ ^/(.*)$ { return 200 a; } location ~ \\.png$ { return 200 b; } }",
        'location "\\.png$" can never match', "is tried first"),
    "an expression under ^~": (
        "server { listen %%port%%; location ^~ /static/ { return 200 a; } location ~ ^/static/.*\\.css$ { return 200 b; } location / { return 404; } }",
        'location "^/static/.*\\.css$" can never match', '"^~ /static/" in line'),
    "a prefix beside an expression for everything": (
        "server { listen %%port%%; location /status { return 200 a; } location ~ / { return 200 b; } }",
        'location "/status" is never used', 'write "location ^~ /status"'),
    "a slash too few": (ACME + "location /api/ { proxy_pass http://app/v1; } } ",
        'proxy_pass with "/v1" in location "/api/" joins paths', '"/api/x" is passed on as "/v1x"'),
    "a slash too many": (ACME + "location /api { proxy_pass http://app/; } } ",
        'proxy_pass with "/" in location "/api" joins paths', '"/api/x" is passed on as "//x"'),
    "an upstream with a typing error": (
        "upstream backend { server 10.0.0.1; } upstream backnd { server 10.0.0.2; } server { listen %%port%%; location / { proxy_pass http://backend; } }",
        'upstream "backnd" is used by nobody', "no proxy_pass names it"),
    "a public backend in the clear": ("trusted_proxies none; server { listen %%port%%; location / { proxy_pass http://8.8.4.4/; } }",
        "proxy_pass sends requests in the clear to 8.8.4.4:80, a public address", "https:// and proxy_ssl_verify"),
    "one of a group's": ("""trusted_proxies none; upstream g { server 10.0.0.1; server [2a00:1450::1]:8080 backup; }
        server { listen %%port%%; location / { proxy_pass http://g; } }""",
        "in the clear to [2a00:1450::1]:8080, a public address", "https:// and proxy_ssl_verify"),
    "a twin that nobody is led to": ("""server { listen 80; server_name a.test www.a.test; location / { return 200; } }
        server { listen 443 ssl; server_name www.a.test; ssl_reject_handshake on; }""",
        '"www.a.test" is served by http on port 80 although the server of line', "return 301 https://$host$request_uri;"),
    "one server for both": ("""server { listen 80; listen 443 ssl; server_name a.test; ssl_reject_handshake on; location / { return 200; } }""",
        '"a.test" is served by http on port 80 as by https', "return 301 https://$host$request_uri;"),
    "a loop": ("server { listen %%port%%; location / { proxy_pass http://127.0.0.1:%%port-number%%; } }",
        "is a loop", "listens on"),
    "the Host field decides": ("server { listen %%port%%; location / { proxy_pass http://$http_host$request_uri; } }",
        '$http_host decides where "http://$http_host$request_uri" leads', "use $host"),
    "an expression that explodes": ("server { listen %%port%%; location ~ ^/([a-z]+)+\\.html$ { return 200; } }",
        '"^/([a-z]+)+\\.html$" takes exponentially long on some requests', "say what separates its turns"),
    "security headers lost where a header is added": (
        """server { listen %%port%%; add_header Strict-Transport-Security max-age=31536000; add_header X-Frame-Options DENY; location / { return 200; }
           location /assets/ { add_header Cache-Control "public, immutable"; return 200; } }""",
        "add_header drops what the level around it sets", '"Strict-Transport-Security" of line'),
    "a header added under an if": (
        "server { listen %%port%%; location / { add_header X-A a; if ($arg_d) { add_header X-D d; } return 200; } }",
        "add_header drops what the level around it sets", '"X-A" of line'),
    "Host lost where the websocket's fields are set": (ACME + """ proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr;
        location / { proxy_pass http://app; }
        location /ws/ { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; } }""",
        "proxy_set_header drops what the level around it sets", '"Host" of line'),
    "an alias without the slash": ("server { listen %%port%%; location /img/ { alias /srv/images; } }",
        'alias "/srv/images" in location "/img/" joins paths', '"/img/x" is looked for at "/srv/imagesx"'),
    "a location without the slash": ("server { listen %%port%%; location ^~ /img { alias /srv/images/; } }",
        'alias "/srv/images/" in location "/img" joins paths', '"/imgx/y" is looked for at "/srv/images/x/y"'),
    "an if that turns try_files off": (
        """server { listen %%port%%; root /srv; location / { try_files $uri /index.html; if ($arg_debug) { expires -1; } } }""",
        'this "if" turns try_files off', "try_files of line"),
    "two ifs of which one is lost": (
        """server { listen %%port%%; location / { if ($http_user_agent ~ Mobile) { add_header X-M 1; } if ($cookie_beta) { expires 1h; } return 200; } }""",
        'this "if" undoes the one in line', 'the "add_header" of line'),
    "a method list compared as text": (
        """server { listen %%port%%; location / { if ($request_method !~ x) { return 405; } if ($request_method = "POST|PUT") { return 403; } return 200; } }""",
        'the condition compares with the text "POST|PUT"', '"~" and "!~" match an expression'),
    "locations behind a redirect": (
        """server { listen %%port%%; server_name www.shop.example; return 301 https://www.shop.example$request_uri;
           location /.well-known/acme-challenge/ { root /srv/acme; } }""",
        "the locations of this server are never used", 'put it into "location / { }"'),
    "maps in a circle": (
        """map $b $a { default 1; x $c; } map $c $b { default $c; } map $arg_x $c { default ""; y "${a}z"; }
           server { listen %%port%%; return 200 $arg_q; }""",
        'the map of "$a" may need its own value', "reads it"),
    "an expression of any case under ^~ /": (
        "server { listen %%port%%; location ^~ / { return 200 a; } location ~* ^/[0-9]+$ { return 200 b; } }",
        'location "^/[0-9]+$" can never match', '"^~ /" in line'),
    "an alias whose modifier touches its path": ("server { listen %%port%%; location ^~/img/ { alias /srv/images; } }",
        'alias "/srv/images" in location "/img/" joins paths', '"/img/x" is looked for at "/srv/imagesx"'),
    "preflight answers without the fields of the origin": (
        """server { listen %%port%%; location /api/ { if ($http_origin ~ "^https://shop\\.example$") { add_header Access-Control-Allow-Origin $http_origin; }
           if ($request_method = OPTIONS) { add_header Access-Control-Allow-Methods "GET, POST"; return 204; } return 200; } }""",
        'this "if" undoes the one in line', 'the "add_header" of line'),
    "all but one method twice": (
        """server { listen %%port%%; location / { if ($request_method != GET) { add_header X-G 1; } if ($request_method != HEAD) { add_header X-H 1; } return 200; } }""",
        'this "if" undoes the one in line', 'the "add_header" of line'),
    "a move to https by rewrite beside locations": (
        """server { listen %%port%%; server_name shop.example; rewrite ^ https://$host$request_uri? permanent; location /.well-known/ { root /srv/acme; } }""",
        "the locations of this server are never used", 'the "rewrite" of line'),
    "a front controller at server level": (
        """server { listen %%port%%; rewrite ^ /index.php last; location = /index.php { return 200 a; } location /assets/ { return 200 b; } }""",
        'location "/assets/" is never used', 'leads every request of the server to "/index.php"'),
    "a device that is asked for before it is known": (
        """server { listen %%port%%; if ($mobile = yes) { return 302 http://m.example/; } if ($http_user_agent ~* "android|iphone") { set $mobile yes; } return 200; }""",
        'the condition looks at "$mobile", which is still empty', '"set" stands behind it, in line'),
    "a variable of another server": (
        """server { listen %%port%%; server_name a; set $closed 1; if ($closed) { return 503; } }
           server { listen %%port%%; server_name b; location / { if ($closed = 1) { return 503; } return 200; } }""",
        'the condition looks at "$closed", which is still empty', "another server sets it"),
    "a name that another server has": (
        "server { listen %%port%%; server_name a; return 200 1; } server { listen %%port%%; server_name b a; return 200 2; }",
        'conflicting server name "a" on', "ignored"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_reason_and_fix(hinge, name):
    text, fault, hint = FAULTS[name]
    if "%%port-number%%" in text:
        text = text.replace("listen %%port%%", "listen 18999").replace("%%port-number%%", "18999")
    told = told_by_t(hinge, text)
    assert "[warn] " in told and fault in told and hint in told, told
    assert "nginx.conf:" in next(line for line in told.splitlines() if fault in line)


@pytest.mark.parametrize("name", FAULTS)
def test_strict_makes_it_an_error(hinge, name):
    text, fault, _ = FAULTS[name]
    text = text.replace("127.0.0.1:%%port-number%%", "127.0.0.1:18999")
    if "18999" in text:
        text = text.replace("listen %%port%%", "listen 18999")
    told = told_by_t(hinge, text, "--strict", check=1)
    assert fault in told and "test failed" in told


SOUND = {
    "private backends, and a public one by https": """server { listen %%port%%; location / { proxy_pass http://192.168.1.1; }
        location /a { proxy_pass http://127.0.0.1:9; } location /b { proxy_pass https://8.8.4.4; } location /c { proxy_pass http://[fd00::1]; } }""",
    "a redirect to https": """server { listen 80; server_name a.test; return 301 https://$host$request_uri; }
        server { listen 443 ssl; server_name a.test; ssl_reject_handshake on; }""",
    "a redirect in a location": """server { listen 80; server_name a.test; location /.well-known/ { return 200; } location / { return 301 https://$host$request_uri; } }
        server { listen 443 ssl; server_name a.test; ssl_reject_handshake on; }""",
    "a condition on the scheme": """server { listen 80; listen 443 ssl; server_name a.test; ssl_reject_handshake on;
        if ($scheme != https) { return 301 https://$host$request_uri; } location / { return 200; } }""",
    "other names and other ports": """server { listen 80; server_name a.test; location / { return 200; } }
        server { listen 443 ssl; server_name b.test; ssl_reject_handshake on; } server { listen 8080; server_name b.test; location / { return 200; } }""",
    "fields that are repeated or merged": ACME + """
        add_header X-A a; add_header X-B b; proxy_set_header Host $host;
        location / { add_header x-a 1; add_header X-B 2; proxy_set_header Host $host; proxy_set_header X-C c; proxy_pass http://app; }
        location /m { add_header_inherit merge; add_header X-C c; return 200; }
        location /n { add_header_inherit merge; location /n/o { add_header X-D d; return 200; } return 200; }
        location /static { proxy_set_header X-Y y; return 200; } }""",
    "aliases": """server { listen %%port%%; location /a/ { alias /usr/share/; } location /b { alias /usr/share; } location = /c { alias /etc/passwd; }
        location ~ ^/d/(.*)$ { alias /usr/share/$1; } location ^~ /e/ { alias /usr/share/e$arg_v; } }""",
    "ifs that do what they say": """server { listen %%port%%; root /srv;
        if ($host = www.example.com) { return 301 http://example.com$request_uri; }
        location / { try_files $uri /index.html; if ($request_method = POST) { return 405; } if ($http_x ~ "a|b") { return 403; } }
        location /v { if ($arg_v = 1) { add_header X-V 1; } if ($arg_v = 2) { add_header X-V 2; } return 200; }
        location /w { set $x ""; if ($arg_a) { set $x a; } if ($arg_b) { set $x "${x}b"; } return 200 $x; } }""",
    "ifs of which one request takes one": """server { listen %%port%%;
        location /cors { if ($request_method = OPTIONS) { add_header A 1; return 204; } if ($http_origin ~ shop) { add_header B 2; } return 200; }
        location /not { if ($arg_a = x) { add_header A 1; } if ($arg_a != x) { add_header B 2; } return 200; }
        location /re { if ($uri ~ ^/re/a) { expires 1h; } if ($uri ~ ^/re/b) { expires 2h; } return 200; }
        location /file { if (-f /etc/passwd) { add_header A 1; } if (!-f /etc/passwd) { add_header B 2; } return 200; }
        location /moved { root /srv; try_files $uri /i; if ($arg_a = x) { expires 1h; rewrite ^ /new permanent; } } }""",
    "variables that have a value in time": """
        server { listen %%port%%; server_name a; set $m ""; if ($arg_a) { set $m 1; } if ($m = 1) { return 403; } location / { if ($m) { return 200; } return 201; } }
        server { listen %%port%%; server_name ~^(?<m>c.*)$; location / { if ($m = cd) { return 403; } return 200; } }
        server { listen %%port%%; server_name e; location /x { set $n 1; rewrite ^ /y last; } location /y { if ($n) { return 200; } set $n 2; return 201; } }
        server { listen %%port%%; server_name f; include closed.conf; location / { return 200; } }
        server { listen %%port%%; server_name g; set $closed 1; include closed.conf; location / { return 200; } }""",
    "rewrites that leave room": """
        server { listen %%port%%; server_name a; rewrite ^ /i.php last; location = /i.php { return 200; } location / { return 200; } location ~ \\.php$ { return 200; } location @n { return 200; } }
        server { listen %%port%%; server_name b; rewrite ^/old/(.*)$ /new/$1 permanent; location /new/ { return 200; } }
        server { listen %%port%%; server_name c; rewrite ^(.*)$ /site$1 last; location /x { return 200; } }
        server { listen %%port%%; server_name d; rewrite ^ /i last; location = /i { rewrite ^ /j last; } location /j { return 200; } }
        server { listen %%port%%; server_name e; rewrite ^ /i last; location = /i { error_page 404 /j; return 404; } location /j { return 200; } }""",
    "an error_page for all servers": """error_page 404 @e; server { listen %%port%%; return 404; location @e { return 200; } location / { return 200; } }""",
    "^~ and an expression of any case": "server { listen %%port%%; location ^~ /static/ { return 200; } location ~* ^/static/.*\\.css$ { return 200; } }",
    "a return that leaves room": """server { listen %%port%%; if ($host = a) { return 301 http://b/; } return 404; location / { return 200; } }
        server { listen %%port%%; server_name b; location / { return 301 http://c/; } location /x { return 200; } }
        server { listen %%port%%; server_name c; error_page 404 /e; return 404; location /e { return 200 e; } }
        server { listen %%port%%; server_name d; return 404; location @never { return 200; } }""",
    "maps behind maps": """map $b $a { default $bb; } map $arg_b $b { default $abc; } map $arg_c $abc { default 1; } map $arg_d $bb { default "${abc}a"; }
        server { listen %%port%%; return 200 $a; }""",
    "ordinary": ACME + """
        location / { proxy_pass http://app; }
        location /api/ { proxy_pass http://app/v1/; }
        location /old { proxy_pass http://app/new; }
        location ~ \\.php$ { proxy_pass http://app; }
        location ~* \\.(jpg|png)$ { return 200; }
        location ^~ /static/ { return 200; }
        location = /exact { return 200; } }""",
    "an expression beside ^~ that it does not catch": """
        server { listen %%port%%; location ^~ /a/ { return 200; } location /a/b/ { return 200; } location ~ ^/a/b/.*x$ { return 200; } }""",
    "an optional last letter": "server { listen %%port%%; location ^~ /ab { return 200; } location ~ ^/ab?c { return 200; } }",
    "alternatives": "server { listen %%port%%; location ^~ /a { return 200; } location ~ ^/a|^/b { return 200; } }",
    "a prefix with expressions of its own": "server { listen %%port%%; location /x { location ~ y { return 200; } } location ~ / { return 200; } }",
    "upstreams found when requests run": """
        upstream a { server 10.0.0.1; } upstream b { server 10.0.0.2; }
        server { listen %%port%%; set $to a; location / { proxy_pass http://$to; } }""",
    "another server behind the same port": """
        server { listen 18999; server_name a; location / { proxy_pass http://127.0.0.1:18999; proxy_set_header Host b; } }
        server { listen 18999; server_name b; location / { return 200; } }""",
    "a path that does not come back": "server { listen 18999; location /a/ { proxy_pass http://127.0.0.1:18999/b/; } location /b/ { return 200; } }",
    "repeated groups with separators": "server { listen %%port%%; location ~ ^(/[a-z]+)*/end$ { return 200; } }",
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_files_are_not_suspected(hinge, name):
    h = hinge.prepare_http("trusted_proxies none;" + SOUND[name])
    h.write("closed.conf", "if ($closed = 1) { return 503; }")
    told = h.run("-t", check=0).stderr
    assert "[warn]" not in told, told
    h.run("-t", "--strict", check=0)


def test_what_stands_in_another_file_is_named_with_it(hinge):
    """A site's own file loses what the main file sets."""
    h = hinge.prepare_http("trusted_proxies none;\nadd_header X-Frame-Options DENY;\ninclude site.conf;")
    h.write("site.conf", "server {\n listen %%port%%;\n location / {\n add_header X-Site 1;\n return 200;\n }\n}\n")
    told = h.run("-t", check=0).stderr
    first = next(line for line in told.splitlines() if "add_header drops" in line)
    outer = h.read("nginx.conf").split("\n").index("add_header X-Frame-Options DENY;") + 1
    assert first.endswith(f"{h.dir}/site.conf:4"), told
    assert f'"X-Frame-Options" of {h.dir}/nginx.conf:{outer} is lost here' in told


def test_what_the_front_controller_hides_is_hidden(hinge):
    """The claim of the warning, asked from outside."""
    h = hinge.server("rewrite ^ /index.php last; location = /index.php { return 200 a; } location /assets/ { return 200 b; }")
    assert [h.get(t).body for t in ("/", "/assets/x", "/index.php")] == [b"a"] * 3


def test_a_start_tells_it_too_and_serves(hinge):
    h = hinge.http("upstream unused { server 127.0.0.1:1; } server { listen %%port%%; location / { return 200 hello; } }")
    assert h.get("/").body == b"hello"
    h.wait_log(r"\[warn\] .*upstream \"unused\" is used by nobody")
