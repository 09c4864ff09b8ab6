"""Files: root, alias, index, types and what surrounds them, each beside Debian's nginx with the same tree and configuration."""
import os
import signal
import socket
import time

import pytest
from tools.sites import OLD
from tools.times import wait_until
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"]


@pytest.fixture
def www(tree):
    tree.file("index.html", "<p>home</p>\n")
    tree.file("a.txt", "0123456789")
    tree.file("empty.txt")
    tree.file("big.bin", os.urandom(700_000))
    tree.file("sub/index.html", "sub index")
    tree.file("sub/x.css", "body{}")
    tree.file("sub/we ird&<name>.txt", "x")
    tree.file("no-index/y.js", "y")
    tree.file("noext", "plain")
    tree.file("UP.HTML", "upper")
    tree.dir("empty")
    return tree


class TestRoot:
    CONF = """
        types { text/html html; text/plain txt; text/css css; application/javascript js; }
        default_type application/x-default;
        server { listen %%port%%; root %%tree%%; }"""

    @pytest.mark.parametrize("method", METHODS)
    def test_every_method_is_answered_as_nginx_does(self, beside, www, method):
        s = beside(self.CONF)
        for target in ("/", "/a.txt", "/a.txt?q", "/empty.txt", "/none", "/none/", "/sub", "/sub?q=1", "/sub/", "/no-index", "/no-index/", "/a.txt/",
                       "/sub/we%20ird&%3Cname%3E.txt", "/noext", "/UP.HTML", "/a.txt/more", "/empty/", "/%61.txt", "//a.txt", "/sub/../a.txt"):
            s.same(target, method=method)

    def test_a_large_file_comes_whole(self, beside, www):
        said = beside(self.CONF).same("/big.bin")
        assert said.response.body == (www.path / "big.bin").read_bytes()
        assert said.response["Content-Length"] == "700000"

    @pytest.mark.parametrize("size", [1, 24 << 10, (24 << 10) + 1, 512 << 10, (512 << 10) + 1, (512 << 10) + (24 << 10), 3_000_000])
    def test_files_of_any_size(self, hinge, tree, size):
        data = os.urandom(size)
        tree.file("f", data)
        h = hinge.server("root %%tree%%;", tree=tree)
        assert h.get("/f").body == data
        with h.connect() as c:  # and the connection goes on
            for _ in range(3):
                assert c.ask(lines("GET /f HTTP/1.1", "Host: a")).body == data

    def test_http_1_0(self, beside, www):
        s = beside(self.CONF)
        s.same("/a.txt", version="1.0")
        s.same("/sub", version="1.0")

    def test_without_root_it_is_html_under_the_prefix(self, beside, tree):
        s = beside("server { listen %%port%%; }")
        for server in s.both:
            server.write("html/f.html", "here")
        assert s.ask("/f.html")[0].status == 200
        assert all(said.body == "here" for said in s.ask("/f.html"))

    def test_a_relative_root(self, hinge):
        h = hinge.prepare_http("server { listen %%port%%; root site; }")
        h.write("site/f", "relative")
        assert h.start().get("/f").text == "relative"

    @pytest.mark.parametrize("slash", ["", "/", "//"])
    def test_slashes_at_the_end_do_not_count(self, beside, www, slash):
        beside("server { listen %%port%%; root %%tree%%" + slash + "; }").same("/sub/x.css")

    def test_inheritance_and_nesting(self, beside, www):
        s = beside("""
            root %%tree%%;
            server {
                listen %%port%%;
                location /x { root %%tree%%/sub; }
                location /no-index/ { root %%tree%%/sub; location /no-index/y { root %%tree%%; } }
            }""")
        for target in ("/a.txt", "/x.css", "/no-index/y.js", "/no-index/z.js"):
            s.same(target)

    def test_variables(self, beside, www):
        s = beside("""
            server {
                listen %%port%%; root %%tree%%/$arg_d;
                location /h/ { root %%tree%%/$http_x/$host; }
            }""")
        www.file("site.test/h/f", "by host")
        www.file("site.test/f", "by argument")
        s.same("/x.css?d=sub")
        s.same("/a.txt")
        s.same("/f?d=site.test")
        s.same("/h/f", "X: .")

    @pytest.mark.parametrize("line, what", [
        ("root $host;", "must begin with the name of a directory"),
        ("root /$host;", "must begin with the name of a directory"),
        ("root $document_root/x;", "the $document_root variable cannot be used in the \"root\" directive"),
        ("root ${realpath_root}/x;", "the $realpath_root variable cannot be used in the \"root\" directive"),
        ("root /a; root /b;", "\"root\" directive is duplicate"),
        ("location / { root /a; alias /b; }", "\"alias\" directive is duplicate, \"root\" directive was specified earlier"),
        ("location @x { alias /b; }", "the \"alias\" directive cannot be used inside the named location"),
        ("alias /b;", "\"alias\" directive is not allowed here"),
    ])
    def test_what_is_refused(self, hinge, line, what):
        h = hinge.prepare_http("server { listen %%port%%; " + line + " }")
        assert what in h.run("-t", check=1).stderr

    def test_a_root_that_is_not_there_is_no_reason_to_stay_down(self, beside, tree):
        s = beside("server { listen %%port%%; root %%tree%%/later; }")
        assert 'later" cannot be opened (2: No such file or directory)' in s.hinge.read("stderr")
        s.same("/f")
        s.same("/")
        tree.file("later/f", "now")
        wait_until(lambda: s.hinge.get("/f").status == 200, "the directory is found")
        s.same("/f")

    def test_a_root_that_is_replaced(self, hinge, tree):
        """The usual way to publish: a link that points to the next release, or a directory that is moved into place."""
        tree.file("releases/1/f", "one")
        tree.file("releases/2/f", "two")
        tree.link("current", "releases/1")
        h = hinge.server("root %%tree%%/current;", tree=tree)
        assert h.get("/f").text == "one"
        tree.link("next", "releases/2")
        os.rename(tree.path / "next", tree.path / "current")
        wait_until(lambda: h.get("/f").text == "two", "the next release")
        os.rename(tree.path / "releases/2", tree.path / "old")
        tree.file("releases/2/f", "three")
        wait_until(lambda: h.get("/f").text == "three", "the directory that took its place")

    def test_a_reload_takes_another_root(self, hinge, www):
        h = hinge.server("root %%tree%%;", tree=www)
        assert h.get("/x.css").status == 404
        h.rewrite_http("server { listen %%port%%; root %%tree%%/sub; }")
        h.reload_until(lambda: h.get("/x.css").status == 200)

    def test_directories_above_need_not_be_open_to_the_engine(self, hinge, www):
        os.chmod(www.path, 0o755)
        inner = www.path / "closed" / "site"
        www.file("closed/site/f", "in")
        h = hinge.server("root %%inner%%;", inner=inner)
        assert h.get("/f").text == "in"

    def test_files_that_may_not_be_read(self, beside, www):
        os.chmod(www.path / "a.txt", 0o600)
        os.chmod(www.path / "sub", 0o700)
        s = beside(self.CONF)
        for target in ("/a.txt", "/sub/x.css", "/sub/", "/sub"):
            s.same(target)

    def test_names_that_are_too_long(self, beside, www):
        s = beside(self.CONF)
        s.same("/" + "x" * 300)
        s.same("/" + "x" * 300 + "/")

    def test_what_is_no_regular_file(self, beside, www):
        os.mkfifo(www.path / "fifo")
        with socket.socket(socket.AF_UNIX) as u:
            u.bind(str(www.path / "sock"))
            s = beside(self.CONF)
            assert s.same("/fifo").status == 404
            ours, theirs = s.ask("/sock")
            assert ours.status == theirs.status


class TestAlias:
    def test_prefixes(self, beside, www):
        s = beside("""
            server {
                listen %%port%%; root %%tree%%;
                location /i/ { alias %%tree%%/sub/; }
                location /j { alias %%tree%%/sub; }
                location /k/ { alias %%tree%%/; location /k/sub/ { } location ~ \\.css$ { add_header X-Nested 1; } }
                location = /one { alias %%tree%%/a.txt; }
                location /v/ { alias %%tree%%/$arg_d/; }
                location ^~ /n/ { alias %%tree%%/nothing/; }
            }""")
        for target in ("/i/x.css", "/i/", "/i", "/i/none", "/j/x.css", "/j/", "/j", "/k/a.txt", "/k/sub/x.css", "/k/sub/", "/k/sub", "/one",
                       "/one?x", "/v/x.css?d=sub", "/v/?d=sub", "/v/none?d=sub", "/n/x", "/n/"):
            s.same(target)

    def test_regular_expressions(self, beside, www):
        s = beside("""
            server {
                listen %%port%%; root %%tree%%;
                location ~ ^/re/(.*)$ { alias %%tree%%/sub/$1; }
                location ~ ^/named/(?<d>[^/]+)/(?<f>.+)$ { alias %%tree%%/$d/$f; }
                location ~ ^/fixed { alias %%tree%%/a.txt; }
            }""")
        for target in ("/re/x.css", "/re/none", "/re/", "/named/sub/x.css", "/named/sub/none", "/named/no-index/y.js", "/fixed", "/fixed/at/all"):
            s.same(target)

    def test_a_directory_without_its_slash_has_no_siblings(self, hinge, tree):
        """nginx would serve both: text behind text."""
        tree.file("data/f", "public")
        tree.file("data-private/f", "private")
        h = hinge.server("location /data { alias %%tree%%/data; }", tree=tree)
        assert h.get("/data/f").text == "public"
        assert h.get("/data-private/f").status == 404
        assert "which \"alias\" names without a slash" in h.log

    def test_nor_has_one_that_comes_later(self, hinge, tree):
        tree.file("data-private/f", "private")
        h = hinge.server("location /data { alias %%tree%%/data; }", tree=tree)
        tree.file("data/f", "public")
        wait_until(lambda: h.get("/data-private/f").status == 404, "the directory is noticed")
        assert h.get("/data/f").text == "public"
        assert h.get("/data-private/f").status == 404
        assert "which \"alias\" names without a slash" in h.log

    def test_a_name_may_go_on(self, beside, tree):
        tree.file("img_1.png", "one")
        beside("server { listen %%port%%; location /p { alias %%tree%%/img_; } }").same("/p1.png")


class TestIndex:
    def test_the_first_that_is_there(self, beside, www):
        www.file("second/second.html", "2")
        www.file("both/index.html", "1")
        www.file("both/second.html", "2")
        s = beside("""
            server {
                listen %%port%%; root %%tree%%; index index.html second.html;
                location /sub/ { index x.css; }
                location /fallback/ { index none.html /a.txt; }
                location /var/ { index $arg_i.html index.$host.html; }
                location = /elsewhere/ { index /no-index/y.js; }
                location /nested/ { index deep/er.html; }
            }""")
        www.file("var/one.html", "one")
        www.file("var/index.site.test.html", "host")
        www.file("nested/deep/er.html", "deep")
        for target in ("/", "/?a=b", "/second/", "/both/", "/sub/", "/fallback/", "/var/?i=one", "/var/", "/var/?i=none", "/elsewhere/", "/nested/",
                       "/empty/", "/none/"):
            s.same(target)

    def test_the_redirect_looks_for_its_location_anew(self, beside, www):
        s = beside("""
            server {
                listen %%port%%; root %%tree%%;
                location / { add_header X-Where slash; }
                location ~ \\.html$ { add_header X-Where "html $uri $args $document_uri"; }
                location = /sub/index.html { return 200 "caught $is_args$args"; }
            }""")
        s.same("/?x=1")
        s.same("/sub/?y")

    def test_an_index_that_is_a_directory(self, beside, tree):
        tree.file("index.html/f", "f")
        beside("server { listen %%port%%; root %%tree%%; }").same("/")

    def test_an_index_that_may_not_be_read(self, beside, tree):
        os.chmod(tree.file("index.html", "x"), 0o600)
        beside("server { listen %%port%%; root %%tree%%; }").same("/")

    def test_a_loop_ends(self, beside, tree):
        said = beside("server { listen %%port%%; root %%tree%%; location / { index /x/; } }").ask("/")
        assert [a.status for a in said] == [500, 500]


class TestRedirect:
    @pytest.mark.parametrize("line", ["", "absolute_redirect off;", "port_in_redirect off;", "server_name_in_redirect on; server_name n.test;"])
    def test_to_the_directory_with_its_slash(self, beside, www, line):
        www.dir("sp ace%d")
        s = beside("server { listen %%port%%; root %%tree%%; " + line + " }")
        for target in ("/sub", "/sub?a=b&c", "/sp%20ace%25d", "/no-index"):
            s.same(target)
        s.same("/sub", host="other.test:81")


class TestTypes:
    def test_by_extension(self, beside, www):
        www.file("a.b.CSS", "x")
        www.file("dir.css/file", "x")
        s = beside("""
            types { text/css css; text/x-one one; }
            server {
                listen %%port%%; root %%tree%%;
                location /d/ { default_type text/x-d; alias %%tree%%/; }
                location /t/ { types { } default_type text/x-t; alias %%tree%%/; }
            }""")
        for target in ("/sub/x.css", "/a.b.CSS", "/dir.css/file", "/noext", "/a.txt", "/d/noext", "/d/sub/x.css", "/t/sub/x.css"):
            s.same(target)

    def test_an_error_page_has_the_type_of_its_file(self, beside, www):
        s = beside("""
            types { text/x-css css; }
            server { listen %%port%%; root %%tree%%; error_page 404 /sub/x.css; error_page 403 =200 /a.txt; error_page 405 = /a.txt; }""")
        for kwargs in ({}, {"method": "HEAD"}, {"method": "POST"}):
            s.same("/none", **kwargs)
            s.same("/empty/", **kwargs)
        s.same("/a.txt", method="POST")
        s.same("/none", "Range: bytes=0-1")
        s.same("/empty/", "Range: bytes=0-1")


class TestVariables:
    def test_names_of_paths(self, beside, www):
        www.link("sym", "sub")
        s = beside("""
            server {
                listen %%port%%; root %%tree%%;
                location / { return 200 "$document_root $request_filename $realpath_root"; }
                location /al/ { alias %%tree%%/sub/; return 200 "$document_root $request_filename $realpath_root"; }
                location ~ ^/re/(.*) { alias %%tree%%/$1; return 200 "$document_root $request_filename"; }
                location /sym/ { root %%tree%%/sym; return 200 "$document_root $request_filename $realpath_root"; }
                location /arg/ { root %%tree%%/$arg_d; return 200 "$document_root $request_filename $realpath_root"; }
            }""")
        for target in ("/", "/a.txt", "/sub/none", "/al/x.css", "/re/x", "/sym/x", "/arg/x?d=sub", "/arg/x?d=sym"):
            s.same(target)


class TestLog:
    def test_log_not_found_off(self, beside, www):
        s = beside("server { listen %%port%%; root %%tree%%; log_not_found off; }")
        for target in ("/none", "/none/", "/empty/"):
            s.same(target)
        assert "none" not in s.hinge.log


class TestEtag:
    def test_off(self, beside, www):
        assert "ETag" not in beside("server { listen %%port%%; root %%tree%%; etag off; }").same("/a.txt").response

    @pytest.mark.parametrize("mtime", [0, 1, OLD, 4_000_000_000])
    def test_its_form(self, beside, www, mtime):
        www.file("f", "abc", mtime)
        said = beside("server { listen %%port%%; root %%tree%%; }").same("/f")
        assert said.response["ETag"] == f'"{mtime:x}-3"'


class TestTraversal:
    """Nothing outside of the root can be had, however it is written."""

    TARGETS = [
        "/../secret", "/../../../../etc/passwd", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/..%2fsecret", "/sub/..%2f..%2fsecret", "/sub/../../secret",
        "/.%2e/secret", "/%2e./secret", "/..%5csecret", "/..%c0%afsecret", "/..%252fsecret", "/%252e%252e/secret", "/....//secret", "/sub/%2e%2e/%2e%2e/secret",
        "/..;/secret", "/.%00./secret", "/%00/../secret", "/sub%00", "/a.txt%00.css", "/out", "/out/passwd", "/deep", "/deep/passwd", "/abs", "/chain",
        "/al../secret", "/al%2e%2e/secret", "/al/../secret", "/al..%2fsecret", "/al/..%2f..%2fsecret", "/al/%2e%2e/%2e%2e/secret", "/proc/self/environ",
        "/magic/root/etc/passwd", "/magic/cwd/x", "/re/../secret", "/re/..%2f..%2fsecret", "/arg/secret?d=..", "/arg/secret?d=../", "/arg/x?d=sub/../..",
        "/arg/passwd?d=../../../../etc", "/idx/", "/try/none",
    ]

    @pytest.fixture
    def site(self, hinge, tree):
        tree.file("secret", "SECRET")
        tree.file("www/a.txt", "public")
        tree.file("www/sub/b.txt", "public")
        tree.link("www/out", "../secret")
        tree.link("www/deep", "/etc")
        tree.link("www/abs", tree.path / "secret")
        tree.link("www/chain", "sub/hop")
        tree.link("www/sub/hop", "../../secret")
        tree.link("www/magic", "/proc/self")
        return hinge.server("""
            root %%tree%%/www;
            location /al { alias %%tree%%/www/sub/; }
            location ~ ^/re/(.*)$ { alias %%tree%%/www/sub/$1; }
            location /arg/ { root %%tree%%/www/$arg_d; }
            location /idx/ { index ../../secret out; alias %%tree%%/www/; }
            location /try/ { try_files /../secret ../secret /out /sub/../../secret =404; }
            """, tree=tree)

    @pytest.mark.parametrize("target", TARGETS)
    def test_it_stays_inside(self, site, target):
        res = site.get(target)
        assert res.status in (400, 403, 404), res.status
        assert "SECRET" not in res.text and "root:" not in res.text

    def test_the_log_says_why(self, site):
        site.get("/out")
        assert "leads out of" in site.log and "disable_symlinks off;" in site.log

    def test_a_backslash_is_a_character(self, site, tree):
        tree.file("www/back\\slash", "here")
        assert site.get("/back%5cslash").text == "here"
        assert site.get("/back\\slash").status == 400

    def test_the_root_may_be_swapped_for_a_link_out_of_itself(self, site, tree):
        """What the configuration names is followed, what lies beneath is not."""
        assert site.get("/sub/b.txt").text == "public"
        os.rename(tree.path / "www/sub", tree.path / "www/sub2")
        tree.link("www/sub", "..")
        time.sleep(1.2)
        assert site.get("/sub/secret").status == 403


class TestLinks:
    @pytest.fixture
    def links(self, tree):
        tree.file("outside/f", "outside")
        tree.file("www/real/f", "real")
        tree.link("www/dir", "real")
        tree.link("www/file", "real/f")
        tree.link("www/up", "../outside/f")
        tree.link("www/abs-in", tree.path / "www/real/f")
        tree.link("www/abs-dir", tree.path / "www/real")
        tree.link("www/loop", "loop")
        tree.link("www/dangling", "nothing")
        tree.link("root", "www")
        return tree

    def test_within_the_root_they_are_followed(self, beside, links):
        s = beside("server { listen %%port%%; root %%tree%%/www; }")
        for target in ("/dir/f", "/file", "/abs-in", "/abs-dir/f", "/dangling", "/dir", "/loop"):
            s.same(target)

    def test_a_root_that_is_a_link(self, beside, links):
        beside("server { listen %%port%%; root %%tree%%/root; }").same("/dir/f")

    def test_off_is_nginx(self, beside, links):
        s = beside("server { listen %%port%%; root %%tree%%/www; disable_symlinks off; }")
        for target in ("/dir/f", "/file", "/up", "/abs-in"):
            assert s.same(target).status == 200

    def test_on(self, beside, links):
        s = beside("server { listen %%port%%; root %%tree%%/www; disable_symlinks on from=$document_root; }")
        for target in ("/file", "/up", "/abs-in", "/real/f", "/none", "/loop"):
            s.same(target, log=False)
        assert s.hinge.get("/real/f").status == 200
        assert s.hinge.get("/dir/f").status == 403  # nginx: 404 for a link among the directories

    def test_from_spares_a_part(self, beside, links):
        s = beside("server { listen %%port%%; root %%tree%%/www; disable_symlinks on from=$document_root/dir; }")
        for target in ("/dir/f", "/file", "/real/f"):
            s.same(target, log=False)

    def test_if_not_owner(self, beside, links):
        os.lchown(links.path / "www/file", 1, 1)
        os.lchown(links.path / "www/dir", 1, 1)
        links.link("www/mine", "real/f")
        s = beside("server { listen %%port%%; root %%tree%%/www; disable_symlinks if_not_owner from=$document_root; }")
        for target in ("/dir/f", "/file", "/mine", "/real/f", "/real/", "/none/x", "/real"):
            s.same(target, log=False)

    def test_beneath_a_front_that_is_not_there_is_nothing(self, hinge, links):
        """What follows from='s directory must not be looked up in the root instead."""
        links.file("www/secret", "of the root")
        links.file("outside/secret", "outside")
        links.link("www/away", "../outside")
        h = hinge.server("root %%tree%%/www; disable_symlinks on from=$document_root/$arg_d;", tree=links)
        assert [h.get(f"/{d}/secret?d={d}").status for d in ("none", "file", "away", "real")] == [404, 404, 403, 404]
        assert h.get("/real/f?d=real").text == "real"

    def test_what_one_location_followed_another_may_not(self, hinge, links):
        """The index file is looked at by the rules of one location and sent by those of another."""
        links.link("www/index.html", "../outside/f")
        for line, status in (("disable_symlinks on;", 403), ("disable_symlinks outside;", 403), ("disable_symlinks off;", 200)):
            h = hinge.server("root %%tree%%/www; location = / { disable_symlinks off; } location / { " + line + " }", tree=links)
            assert (h.get("/").status, h.get("/index.html").status) == (status, status)

    @pytest.mark.parametrize("line", ["disable_symlinks maybe;", "disable_symlinks off from=/x;", "disable_symlinks on from=;", "disable_symlinks on x;"])
    def test_what_is_refused(self, hinge, line):
        h = hinge.prepare_http("server { listen %%port%%; " + line + " }")
        assert "invalid parameter" in h.run("-t", check=1).stderr


class TestChanging:
    def test_a_file_that_grows_or_is_replaced(self, beside, tree):
        s = beside("server { listen %%port%%; root %%tree%%; }")
        tree.file("f", "one")
        s.same("/f")
        tree.file("f", "longer than before", OLD + 1)
        s.same("/f")
        os.rename(tree.file("g", "other", OLD + 2), tree.path / "f")
        s.same("/f")
        (tree.path / "f").unlink()
        s.same("/f")

    def test_a_file_that_is_cut_while_it_is_sent_is_not_taken_for_whole(self, hinge, tree):
        size = 30_000_000
        tree.file("f", bytes(size))
        h = hinge.server("root %%tree%%;", tree=tree)
        with h.connect(rcvbuf=4096) as c:
            c.send(lines("GET /f HTTP/1.1", "Host: a"))
            assert c.sock.recv(1000)
            os.truncate(tree.path / "f", 100_000)
            got = 0
            try:
                while data := c.sock.recv(1 << 20):
                    got += len(data)
            except ConnectionError:
                pass
            assert got < size
        h.allow("truncated")
        h.wait_log('sendfile\\(\\) reported that ".*/f" was truncated')

    def test_a_client_that_leaves(self, hinge, tree):
        tree.file("f", bytes(10_000_000))
        h = hinge.server("root %%tree%%;", tree=tree)
        for _ in range(5):
            with h.connect(rcvbuf=4096) as c:
                c.send(lines("GET /f HTTP/1.1", "Host: a"))
                assert c.sock.recv(1000)
        assert len(h.get("/f").body) == 10_000_000
        engine = h.children()[0]
        wait_until(lambda: not any(os.readlink(f"/proc/{engine}/fd/{n}").endswith("/f") for n in _descriptors(engine)), "the file is closed")

    def test_descriptors_are_given_back(self, hinge, tree):
        for name in ("f", "d/index.html"):
            tree.file(name, "x")
        h = hinge.server("root %%tree%%; location /a/ { autoindex on; alias %%tree%%/; } location /t/ { try_files /none /f =404; }", tree=tree)
        engine = h.children()[0]
        targets = ("/f", "/d/", "/d", "/none", "/a/", "/t/x", "/")
        for _ in range(2):  # roots are opened again by their names, a second later: then they have what they need
            for target in targets:
                h.get(target)
            time.sleep(1.2)
        before = len(_descriptors(engine))
        for _ in range(20):
            for target in targets:
                h.get(target)
                h.get(target, method="HEAD")
                h.get(target, method="POST")
        wait_until(lambda: len(_descriptors(engine)) <= before, "no descriptor is left behind")


def _descriptors(pid):
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except FileNotFoundError:
        return []


class TestPlaces:
    """Where nobody else answers, files do."""

    def test_beside_other_content(self, beside, www, backend):
        s = beside("""
            server {
                listen %%port%%; root %%tree%%;
                location /api/ { proxy_pass http://%%origin%%; }
                location = /gone { return 410; }
                location /sub/ { add_header X-Sub 1; }
            }""", origin=backend())
        for target in ("/a.txt", "/gone", "/sub/x.css", "/sub/", "/none"):
            s.same(target)
        assert s.hinge.get("/api/x").json()["target"] == "/api/x"

    def test_master_process_off(self, hinge, www):
        h = hinge.http("server { listen %%port%%; root %%tree%%; }", main="master_process off;", tree=www)
        assert h.get("/a.txt").text == "0123456789"

    def test_a_crash_of_the_engine_keeps_the_roots(self, hinge, www):
        h = hinge.server("root %%tree%%;", tree=www)
        os.kill(h.children()[0], signal.SIGKILL)
        h.allow("exited on signal")
        wait_until(lambda: _text(h, "/a.txt") == "0123456789", "the next engine serves")

    def test_many_workers(self, hinge, www):
        h = hinge.http("open_file_cache max=10; server { listen %%port%%; root %%tree%%; }", workers=4, tree=www)
        assert {h.get("/a.txt").text for _ in range(40)} == {"0123456789"}

    def test_a_request_body_is_dropped(self, beside, www):
        s = beside("server { listen %%port%%; root %%tree%%; }")
        s.same("/a.txt", method="GET", body=b"x" * 1000)
        s.same("/a.txt", method="POST", body=b"x" * 1000)
        with s.hinge.connect() as c:
            for _ in range(3):
                assert c.ask(lines("GET /a.txt HTTP/1.1", "Host: a", "Content-Length: 5") + b"hello").text == "0123456789"

    def test_pipelined(self, hinge, www):
        h = hinge.server("root %%tree%%;", tree=www)
        with h.connect() as c:
            c.send(b"".join(lines(f"GET {t} HTTP/1.1", "Host: a") for t in ("/a.txt", "/big.bin", "/none", "/a.txt")))
            got = [c.response() for _ in range(4)]
        assert [r.status for r in got] == [200, 200, 404, 200]
        assert got[1].body == (www.path / "big.bin").read_bytes() and got[3].text == "0123456789"


def _text(h, target):
    try:
        return h.get(target).text
    except (OSError, EOFError, AssertionError):
        return None
