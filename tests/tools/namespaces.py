"""Hosts of our own: network namespaces, joined by cables (veth pairs) with real addresses at both ends.

    net = Network()                                 # skips the case where the kernel or the user's rights refuse
    client, proxy = net.host("client"), net.host("proxy")
    net.cable(client, ["10.1.0.2/24"], proxy, ["10.1.0.1/24"])
    with proxy.inside(): ...                        # sockets made here are that host's, and stay so
    client.command("curl", ...)                     # the words that run a program there
    net.close()
"""
import contextlib
import ctypes
import itertools
import os
import subprocess

import pytest

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()
CLONE_NEWNET = 0x40000000


def _ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


class Host:
    def __init__(self, role):
        self.name = f"hinge-{os.getpid()}-{next(_numbers)}-{role}"
        _ip("netns", "add", self.name)
        self.resolv = None
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        return _ip("-n", self.name, *words)

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    @contextlib.contextmanager
    def inside(self):
        """This thread is on that host meanwhile."""
        before, here = (os.open(p, os.O_RDONLY) for p in ("/proc/thread-self/ns/net", self.path))
        try:
            _enter(here)
            yield self
        finally:
            _enter(before)
            os.close(before)
            os.close(here)

    def names_from(self, address, file):
        """Programs started from now on find `nameserver ADDRESS` in their /etc/resolv.conf."""
        file.write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")
        file.chmod(0o644)
        self.resolv = file

    def command(self, *words):
        """The words that run a program here. It keeps its process number: nothing forks."""
        here = ["nsenter", f"--net={self.path}"]
        if self.resolv:
            here += ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(self.resolv)]
        return here + [str(w) for w in words]

    def close(self):
        _ip("netns", "del", self.name)


def _enter(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    def __init__(self):
        self.hosts = []
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        try:
            probe = self.host("probe")
            with probe.inside():
                pass
            subprocess.run(["nsenter", f"--net={probe.path}", "unshare", "--mount", "true"], check=True, capture_output=True, timeout=10)
        except (OSError, subprocess.SubprocessError) as e:
            self.close()
            pytest.skip(f"no network namespaces here: {e}")

    def host(self, role):
        self.hosts.append(Host(role))
        return self.hosts[-1]

    def cable(self, one, addresses, other, others):
        """A cable between two hosts, with the addresses (with their prefix lengths) of either end."""
        a, b = (f"v{os.getpid() % 100000}x{next(_numbers)}" for _ in range(2))
        _ip("link", "add", a, "netns", one.name, "type", "veth", "peer", "name", b, "netns", other.name)
        for host, end, own in ((one, a, addresses), (other, b, others)):
            for address in own:
                host.ip("addr", "add", address, "dev", end, *(["nodad"] if ":" in address else []))
            host.ip("link", "set", end, "up")

    def close(self):
        for h in self.hosts:
            h.close()
        self.hosts = []
