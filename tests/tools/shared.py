"""Servers that serve one case after another, for modules whose cases only ask questions.

Starting a server costs far more than one request, above all with sanitizers. A module that says

    pytestmark = pytest.mark.shared_servers

gets its servers from a pool: a case that wants just the configuration that an earlier case of the module wanted (the same text, the
same names in it) is given the server that still runs. So that texts come out the same, the first backend of every case has one and the
same port, the second another, and so on, and the tree has one and the same name; the backends and the files themselves are new ones in
every case, as ever.

What keeps cases apart:
- `log` and `read()` begin where the case began.
- A server is stopped and judged like any other at the end of a case that failed, after which it had ended or had written what alarms, or
  that did more than ask: took its directory or its pid, signalled it, wrote to its files, allowed an alert (Hinge.altered).
- The rest is stopped at the end of the module. What only shows there, a leak or an exit code, is told with the cases it had served.

A configuration that keeps something from one request to the next (and be it a directory below the tree that it holds open), or writes
lines when the answer is out already, is never shared: LASTING. Sharing is not for modules about memory or processes.
"""
import functools
import re

from .ports import free_port
from .server import Hinge, Starter
from .sites import Tree

LASTING = re.compile(r"access_log (?!off)|log_format|limit_|stub_status|counters;|max_fails|fail_timeout|resolver|open_file_cache|session|%%tree%%/\w|"
                     r"upstream[^}]*\bserver\b[^}]*\bserver\b")
AT_MOST = 6  # servers that wait for another case; the one that has waited longest goes


class Pool:
    """What a module's cases share: running servers, the numbers of ports, and a directory."""

    def __init__(self):
        self.idle = []  # the longest waiting first
        self.ports = []

    @functools.cached_property
    def tree(self):
        """The directory of files of every case; empty at its beginning."""
        return Tree()

    def backend_port(self, n):
        """The port of the n-th backend of a case."""
        while len(self.ports) <= n:
            self.ports.append(free_port(keep=True))
        return self.ports[n]

    def take(self, text, names):
        """A server with this configuration: one that runs, else a new one that is to be started."""
        wanted = (text, {name: str(value) for name, value in names.items()})
        for h in self.idle:
            if h.wanted == wanted:
                self.idle.remove(h)
                return h.begin_case()
        h = Hinge(text, **names)
        h.wanted, h.cases = wanted, []
        return h

    def give_back(self, h, case):
        h.cases.append(case)
        self.idle.append(h)
        while len(self.idle) > AT_MOST:
            self._stop(self.idle.pop(0))

    def _stop(self, h):
        try:
            h.finish()
        except AssertionError as e:
            raise AssertionError(f"{e}\nThis server served the cases\n  " + "\n  ".join(h.cases)) from None

    def close(self):
        self.tree.remove()
        failures = []
        for h in self.idle:
            try:
                self._stop(h)
            except AssertionError as e:
                failures.append(str(e))
        assert not failures, "\n".join(failures)


class SharingStarter(Starter):
    """A Starter that takes from a pool whatever is started at once; what is prepared first belongs to its case alone."""

    def __init__(self, pool, case):
        super().__init__()
        self.pool, self.case, self.taken = pool, case, []

    def raw(self, text, **names):
        if any(LASTING.search(str(part)) for part in (text, *names.values())):
            return super().raw(text, **names)
        h = self.pool.take(text, names)
        self.started.append(h)
        self.taken.append(h)
        return h if h.process else h.start()

    def end(self, h):
        if h in self.taken and not self.failed and not h.altered and not h.alarms() and h.process.poll() is None:
            self.pool.give_back(h, self.case)
        else:
            h.finish()
