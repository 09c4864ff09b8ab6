"""What is measured, and what hinge is held to.

A scenario names the ability that a peer needs for it, the listener, the load client's arguments and the path. Gates are
the ratio `peer's CPU per request / ours` in one run: `least` is required, `goal` is aimed at.
"""
from dataclasses import dataclass


@dataclass(frozen=True)
class Gate:
    peer: str
    least: float
    goal: float


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    needs: str              # see `can` in peers.py
    port: str               # see PORTS in harness.py
    load: str               # arguments of src/load.c, or of h2load
    path: str
    gates: tuple = ()
    tool: str = "load"


def both(least, goal):
    return (Gate("nginx", least, goal), Gate("haproxy", least, goal))


def nginx(least, goal):
    return (Gate("nginx", least, goal),)


def squid(least, goal):
    return (Gate("squid", least, goal),)


# Not gates of CPU per request but of hinge against itself.
ROUTES_GATE = Gate("itself", 1.05, 1.03)    # CPU with 1000 names / CPU with one, at most
IDLE_GATE = Gate("itself", 1000, 600)       # bytes of user memory an idle connection, at most
IDLE_TLS_GATE = Gate("itself", 17 << 10, 4 << 10)
TUNNEL_GATE = Gate("itself", 2048, 1536)    # the same for an idle tunnel
LIST_GATE = Gate("itself", 1.02, 1.01)      # CPU with a list of a million domains / CPU without, at most
LIST_MB_GATE = Gate("itself", 60, 40)       # memory of both processes with that list, MB at most

ALL = [
    Scenario("small0", "keep-alive, empty body, 64 connections", "plain", "PLAIN", "-c 64", "/0", both(1.20, 1.30)),
    Scenario("small", "keep-alive, 1 KB, 64 connections", "plain", "PLAIN", "-c 64", "/1k", both(1.20, 1.30)),
    Scenario("body16k", "keep-alive, 16 KB, 64 connections", "big", "PLAIN", "-c 64", "/16k", nginx(1.25, 1.40)),
    Scenario("body64k", "keep-alive, 64 KB, 32 connections", "big", "PLAIN", "-c 32", "/64k", nginx(1.25, 1.40)),
    Scenario("body1m", "keep-alive, 1 MB, 16 connections", "big", "PLAIN", "-c 16", "/1m", nginx(1.5, 1.9)),
    Scenario("post", "POST of 100 KB, 32 connections", "post", "PLAIN", "-c 32 -b 102400", "/0", nginx(1.6, 1.9)),
    Scenario("close", "a new connection for every request, 1 KB", "close", "PLAIN", "-c 32 -k", "/1k", nginx(1.10, 1.25)),
    Scenario("static1k", "a file of 1 KB, 64 connections", "static", "STATIC", "-c 64", "/1k", nginx(1.0, 1.3)),
    Scenario("static16k", "a file of 16 KB, 64 connections", "static", "STATIC", "-c 64", "/16k"),
    Scenario("static64k", "a file of 64 KB, 32 connections", "static", "STATIC", "-c 32", "/64k", nginx(1.0, 1.3)),
    Scenario("static1m", "a file of 1 MB, 16 connections", "static", "STATIC", "-c 16", "/1m"),
    Scenario("c1", "1 connection, 1 KB", "growth", "PLAIN", "-c 1", "/1k"),
    Scenario("c1000", "1000 connections, 1 KB", "growth", "PLAIN", "-c 1000", "/1k", nginx(1.3, 1.5)),
    Scenario("c5000", "5000 connections, 1 KB", "growth", "PLAIN", "-c 5000", "/1k", nginx(1.3, 1.5)),
    Scenario("tls", "TLS 1.3 keep-alive, 1 KB", "tls", "TLS", "-c 64 -S", "/1k", both(1.20, 1.40)),
    Scenario("tls64k", "TLS 1.3 keep-alive, 64 KB", "tls", "TLS", "-c 32 -S", "/64k", nginx(1.5, 1.75)),
    Scenario("hsfull", "TLS 1.3 full handshake and one request", "tls", "TLS", "-c 32 -S -k", "/0",
             (Gate("nginx", 1.15, 1.15), Gate("haproxy", 1.25, 1.25))),
    Scenario("hsres", "TLS 1.3 resumed handshake and one request", "tls", "TLS", "-c 32 -S -k -r", "/0", both(1.20, 1.20)),
    Scenario("h2", "HTTP/2 over TLS, 1 KB, 16 connections of 16 streams", "h2", "TLS", "-c 16 -m 16", "/1k",
             (Gate("haproxy", 1.2, 1.4), Gate("nginx", 1.8, 1.8)), tool="h2load"),
    Scenario("backh2", "keep-alive, 1 KB, 64 connections, backend over HTTP/2 (nginx: over HTTP/1.1)", "backh2", "BACKH2", "-c 64", "/1k", nginx(1.0, 2.0)),
    Scenario("cache1k", "cache hit, 1 KB", "cache", "CACHE", "-c 64", "/c/1k"),
    Scenario("cache64k", "cache hit, 64 KB", "cache", "CACHE", "-c 32", "/c/64k"),
    Scenario("gzip", "gzip of 16 KB JSON", "gzip", "GZIP", "-c 32 -z", "/json/16k"),
    Scenario("fwdget", "forward proxy, absolute-form GET, 1 KB", "fwdget", "FWD", "-c 64 -a @ORIGIN@", "/1k", squid(4.0, 4.8)),
    Scenario("fwdconnect1m", "CONNECT tunnel, 1 MB bodies", "connect", "FWD", "-c 16 -t @ORIGIN@", "/1m", squid(1.8, 2.2)),
    Scenario("fwdconnect1k", "CONNECT tunnel, 1 KB round trips", "connect", "FWD", "-c 64 -t @ORIGIN@", "/1k"),
    Scenario("fwdsetup", "CONNECT, one request, close", "connect", "FWD", "-c 32 -k -t @ORIGIN@", "/0", squid(4.0, 4.0)),
    Scenario("fwdsocks1m", "SOCKS 5 tunnel, 1 MB bodies", "socks", "FWD", "-c 16 -5 -t @ORIGIN@", "/1m"),
    Scenario("fwdsocks1k", "SOCKS 5 tunnel, 1 KB round trips", "socks", "FWD", "-c 64 -5 -t @ORIGIN@", "/1k"),
    Scenario("fwdsockssetup", "SOCKS 5, one request, close", "socks", "FWD", "-c 32 -k -5 -t @ORIGIN@", "/0"),
    Scenario("l4", "TCP relay, 1 MB bodies", "l4", "L4", "-c 16", "/1m"),
]
BY_NAME = {s.name: s for s in ALL}


def is_forward(name):
    """Forward proxies are measured beside others than servers are."""
    return name.startswith("fwd")

# By Host header: measured with few and with many names at once, see bench.py.
ROUTE = Scenario("route", "keep-alive, 1 KB, by host name", "routes", "ROUTES", "-c 64 -H r%d.example.test -R 64", "/1k")

# Before idle connections are counted: a little traffic, so that the first growth of pools and buffers is over, but so
# little that the memory it leaves behind does not serve the connections.
WARM_UP = Scenario("warm", "warm-up", "plain", "PLAIN", "-c 4", "/1k")
WARM_UP_FORWARD = Scenario("warmfwd", "warm-up", "connect", "FWD", "-c 4 -k -t @ORIGIN@", "/1k")
WARM_UP_TLS = Scenario("warmtls", "warm-up", "tls", "TLS", "-c 4 -S", "/1k")

# The forward proxy with a list and without, measured against each other.
LIST = Scenario("fwdlist", "absolute-form GET, 1 KB, beside a list of a million domains", "fwdget", "FWD", "-c 64 -a @ORIGIN@", "/1k")

# These have their own way; each of IDLE holds idle connections of a kind.
IDLE = ["idle", "idletls", "fwdtunnels"]
SPECIAL = ["route", "fwdlist"] + IDLE

# What `make bench` runs.
DEFAULT = ["small0", "small", "body16k", "body64k", "body1m", "post", "close", "static1k", "static64k", "c1", "c1000", "c5000", "tls", "tls64k", "hsfull",
           "hsres", "h2", "route", "idle", "idletls", "fwdget", "fwdconnect1m", "fwdconnect1k", "fwdsetup", "fwdsocks1m", "fwdsocks1k", "fwdsockssetup",
           "fwdlist", "fwdtunnels"]
QUICK = ["small", "body64k", "post"]
