"""Fixtures shared by every case: a way to start hinge and a way to start backends, both cleaned up and checked at the end.

A case asks for `hinge` and `backend` and reads like a story:

    def test_a_request_reaches_the_backend(hinge, backend):
        origin = backend()
        h = hinge.proxy(origin)
        assert h.get("/hello").json()["target"] == "/hello"
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from tools import backend as backends  # noqa: E402
from tools import dns  # noqa: E402
from tools import parents  # noqa: E402
from tools import server  # noqa: E402
from tools import shared  # noqa: E402
from tools import sites  # noqa: E402
from tools.times import SLOW  # noqa: E402


def pytest_collection_modifyitems(config, items):
    """A sanitizer build is allowed HINGE_SLOW times as long."""
    base = float(config.getini("timeout") or 60)
    for item in items:
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own else base
        item.add_marker(pytest.mark.timeout(seconds * SLOW), append=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed case shows what its servers had to say."""
    report = (yield).get_result()
    starter = item.funcargs.get("hinge") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and starter:
        starter.failed = True
        for h in starter.started:
            report.sections.append((f"{h.dir}", h.log[-4000:] + h.read("stderr")[-4000:]))


def shares_servers(request):
    return request.node.get_closest_marker("shared_servers")


@pytest.fixture(scope="module")
def pool():
    """The servers that the cases of a module share (tools/shared.py)."""
    p = shared.Pool()
    yield p
    p.close()


@pytest.fixture
def hinge(request, pool):
    """A starter of servers. Each one is stopped at the end, must exit with 0, and must have left a clean log."""
    starter = shared.SharingStarter(pool, request.node.nodeid) if shares_servers(request) else server.Starter()
    yield starter
    starter.finish()


@pytest.fixture
def backend(request, pool):
    """backend(script, ...) starts a scripted backend; without a script it is the echo, which answers JSON. process=True: in a process of its own."""
    started = []

    def start(*args, process=False, **kwargs):
        if shares_servers(request) and not process:
            kwargs.setdefault("port", pool.backend_port(len(started)))
        started.append((backends.BackendProcess if process else backends.Backend)(*args, **kwargs))
        return started[-1]

    yield start
    for b in started:
        b.close()
    violations = [v for b in started for v in b.violations]
    assert not violations, f"a backend complains: {violations}"


@pytest.fixture
def parent():
    """parent(...) starts a proxy that hinge can go through (tools/parents.py)."""
    started = []

    def start(*args, **kwargs):
        started.append(parents.Parent(*args, **kwargs))
        return started[-1]

    yield start
    for p in started:
        p.close()


@pytest.fixture
def names():
    """A DNS server that knows nothing: what is asked of it is a leak. Modules with names of their own have their own."""
    nothing = dns.Server({})
    yield nothing
    nothing.close()


@pytest.fixture
def tree(request, pool):
    """A directory of files to serve (tools/sites.py)."""
    if shares_servers(request):
        yield pool.tree
        pool.tree.clear()
    else:
        t = sites.Tree()
        yield t
        t.remove()


@pytest.fixture
def beside(hinge, tree):
    """beside(text): hinge and Debian's nginx, both with this http block, serving the same tree. Skipped without nginx."""
    def start(text, **names):
        if not os.path.exists(sites.NGINX):
            pytest.skip("needs nginx")
        return sites.Sites(hinge, tree, text, **names)
    return start
