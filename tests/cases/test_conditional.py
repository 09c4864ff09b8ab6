"""Conditional requests for files: RFC 9110 §13, and nginx beside it where nginx obeys the RFC."""
import pytest
from tools.wire import lines

pytestmark = pytest.mark.shared_servers

NEVER, LATER = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 2044 08:49:37 GMT"


@pytest.fixture
def site(beside, tree):
    tree.file("a.txt", "0123456789")
    tree.file("index.html", "index")
    return beside("""
        server {
            listen %%port%%; root %%tree%%;
            location /off/ { if_modified_since off; alias %%tree%%/; }
            location /before/ { if_modified_since before; alias %%tree%%/; }
            location /exact/ { if_modified_since exact; alias %%tree%%/; }
            location /noetag/ { etag off; alias %%tree%%/; }
            location /page/ { error_page 412 =200 /index.html; error_page 304 =200 /index.html; alias %%tree%%/; }
            location /add/ { add_header X-A a; add_header Last-Modified ""; alias %%tree%%/; }
            location /instead/ { error_page 404 /a.txt; alias %%tree%%/none/; }
            location /instead200/ { error_page 404 =200 /a.txt; alias %%tree%%/none/; }
        }""")


@pytest.fixture
def validators(site):
    res = site.hinge.get("/a.txt")
    return res["ETag"], res["Last-Modified"]


TARGETS = ["/a.txt", "/off/a.txt", "/before/a.txt", "/exact/a.txt", "/noetag/a.txt", "/page/a.txt", "/add/a.txt", "/", "/none", "/instead/x", "/instead200/x"]
SINGLE = [
    "If-None-Match: {etag}", "If-None-Match: W/{etag}", 'If-None-Match: "x", {etag}', 'If-None-Match: "x" , W/{etag} , "y"', "If-None-Match: *", 'If-None-Match: "x"',
    "If-None-Match: ", "If-None-Match: {etag}x", "If-None-Match: {bare}", "If-Match: {etag}", "If-Match: *", 'If-Match: "x"', 'If-Match: "x", {etag}', "If-Match: W/{etag}",
    "If-Modified-Since: {date}", "If-Modified-Since: " + NEVER, "If-Modified-Since: " + LATER, "If-Modified-Since: no date",
    "If-Unmodified-Since: {date}", "If-Unmodified-Since: " + NEVER, "If-Unmodified-Since: " + LATER,
]


@pytest.mark.parametrize("field", SINGLE)
def test_one_condition(site, validators, field):
    etag, date = validators
    line = field.format(etag=etag, date=date, bare=etag.strip('"'))
    for target in TARGETS:
        for method in ("GET", "HEAD"):
            ours = site.same(target, line, method=method)
            if ours.status == 304:
                assert "Content-Length" not in ours.response and "Content-Type" not in ours.response
        site.same(target, line, "Range: bytes=1-2")


def test_an_invalid_date_makes_no_condition(site):
    """nginx answers 412; RFC 9110 §13.1.4: a recipient must ignore it."""
    assert site.hinge.get("/a.txt", "If-Unmodified-Since: soon").status == 200


@pytest.mark.parametrize("fields, status", [
    (["If-None-Match: {etag}", "If-Modified-Since: " + NEVER], 304),     # §13.1.3: If-Modified-Since is ignored
    (['If-None-Match: "x"', "If-Modified-Since: {date}"], 200),
    (["If-None-Match: {etag}", "If-Modified-Since: {date}"], 304),
    (["If-Match: {etag}", "If-Unmodified-Since: " + NEVER], 200),        # §13.1.4: If-Unmodified-Since is ignored
    (['If-Match: "x"', "If-Unmodified-Since: {date}"], 412),
    (["If-Match: {etag}", "If-None-Match: {etag}"], 304),
    (['If-Match: "x"', "If-None-Match: {etag}"], 412),
    (['If-None-Match: "x"', "If-None-Match: {etag}"], 304),              # two lines are one list
    (['If-Match: "x"', "If-Match: {etag}"], 200),
    (['If-None-Match: "a,b", {etag}'], 304),                            # a tag may hold a comma
])
def test_several_conditions_in_the_order_of_the_rfc(site, validators, fields, status):
    etag, date = validators
    assert site.hinge.get("/a.txt", *(f.format(etag=etag, date=date) for f in fields)).status == status


def test_304_has_what_a_cache_needs(site, validators):
    etag, date = validators
    with site.hinge.connect() as c:
        for _ in range(3):
            res = c.ask(lines("GET /add/a.txt HTTP/1.1", "Host: a", f"If-None-Match: {etag}"))
            assert (res.status, res["ETag"], res["X-A"], res.body) == (304, etag, "a", b"")
        assert c.ask(lines("GET /a.txt HTTP/1.1", "Host: a")).text == "0123456789"


def test_what_does_not_ask_for_a_file_has_no_conditions(hinge, backend):
    origin = backend()
    h = hinge.server("location / { proxy_pass http://%%origin%%; } location /own { return 200 own; }", origin=origin)
    assert h.get("/x", "If-None-Match: *").status == 200
    assert origin.requests[0]["If-None-Match"] == "*"
    assert h.get("/own", "If-Modified-Since: " + LATER).status == 200
