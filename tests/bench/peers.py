"""Who can be measured, and how each is started.

A peer is a dict:
  argv    command line; @NAME@ is replaced (see harness.py: DIR, PLAIN, BACKEND, ...), a first word "$X" comes from the
          environment, so that nothing here names a place on one machine
  conf    directory of templates under peers/ that are rendered into @DIR@
  can     the abilities that it is measured on (scenarios.py)
  env     extra environment
  prep    directories to make in @DIR@
  first   the port that shows that it is up, when that is not PLAIN
  source  C file under limit/ that is compiled to be the program, with its libraries
  version arguments that make it print its version
  domains how many names the file @DIR@/list gets
A peer whose program is absent is skipped.
"""
import os
import shutil

REVERSE = {"plain", "big", "close", "post", "idle", "growth"}

_NGINX = ["-p", "@DIR@", "-c", "@DIR@/nginx.conf", "-e", "@DIR@/error.log"]

PEERS = {
    # hinge itself: BENCH_OURS, or build/hinge. `can` grows with it.
    "ours": dict(argv=["$BENCH_OURS", "-p", "@DIR@", "-c", "@DIR@/ours.conf", "-e", "@DIR@/error.log"], conf="ours",
                 can=REVERSE | {"tls", "h2", "backh2", "gzip", "routes", "static", "connect", "fwdget", "socks"}, version=["-v"]),
    "nginx": dict(argv=["nginx"] + _NGINX, conf="nginx", can=REVERSE | {"tls", "h2", "backh2", "cache", "gzip", "routes", "static"},
                  version=["-v"]),
    "nginx-new": dict(argv=["$BENCH_NGINX_NEW"] + _NGINX, conf="nginx", version=["-v"],
                      sub=[("ssl http2 backlog=4096;", "ssl backlog=4096; http2 on;"),
                           ("@FOREACH_ROUTE@", "server { listen 127.0.0.1:@FWD@ backlog=4096; "
                            "location / { tunnel_pass; tunnel_buffer_size 64k; } }\n@FOREACH_ROUTE@")],
                      can=REVERSE | {"tls", "h2", "cache", "gzip", "routes", "static", "connect"}),
    "haproxy": dict(argv=["haproxy", "-db", "-f", "@DIR@/haproxy.cfg"], conf="haproxy", version=["-v"],
                    can=REVERSE | {"tls", "h2", "cache", "gzip", "routes", "l4"}),
    "haproxy-new": dict(argv=["$BENCH_HAPROXY_NEW", "-db", "-f", "@DIR@/haproxy.cfg"], conf="haproxy", version=["-v"],
                        can=REVERSE | {"tls", "h2", "cache", "gzip", "routes", "l4"}),
    "h2o": dict(argv=["h2o", "-c", "@DIR@/h2o.conf"], conf="h2o", can=REVERSE | {"tls", "h2", "gzip", "routes"}),
    "h2o-new": dict(argv=["$BENCH_H2O_NEW", "-c", "@DIR@/h2o.conf"], conf="h2o-new",
                    can=REVERSE | {"tls", "h2", "gzip", "routes", "connect"}),
    "squid": dict(argv=["squid", "-N", "-n", "bench@ID@", "-f", "@DIR@/squid.conf"], conf="squid",
                  can=REVERSE | {"cache", "fwdget", "connect"}, version=["-v"]),
    "varnish": dict(argv=["varnishd", "-F", "-n", "@DIR@/v", "-f", "@DIR@/default.vcl", "-s", "malloc,256m",
                          "-a", "p=127.0.0.1:@PLAIN@", "-a", "c=127.0.0.1:@CACHE@", "-a", "g=127.0.0.1:@GZIP@",
                          "-p", "listen_depth=4096", "-p", "timeout_idle=300", "-p", "thread_pools=1",
                          "-p", "thread_pool_min=100", "-p", "thread_pool_max=2000"],
                    conf="varnish", can=REVERSE | {"cache", "gzip"}),
    "caddy": dict(argv=["caddy", "run", "--config", "@DIR@/Caddyfile", "--adapter", "caddyfile"], conf="caddy",
                  env={"GOMAXPROCS": "1", "HOME": "@DIR@", "XDG_DATA_HOME": "@DIR@", "XDG_CONFIG_HOME": "@DIR@"},
                  can=REVERSE | {"tls", "h2", "gzip"}),
    "apache": dict(argv=["apache2", "-X", "-DFOREGROUND", "-f", "@DIR@/apache.conf"], conf="apache", prep=["cache"],
                   can=(REVERSE - {"growth"}) | {"tls", "h2", "cache", "gzip", "fwdget", "connect"}),
    "tinyproxy": dict(argv=["tinyproxy", "-d", "-c", "@DIR@/tinyproxy.conf"], conf="tinyproxy", first="FWD",
                      can={"fwdget", "connect"}, version=["-v"]),
    "microsocks": dict(argv=["microsocks", "-i", "127.0.0.1", "-p", "@FWD@"], first="FWD", can={"socks"}),
}

# The forward proxy with a list that nothing stands in that anybody asks for: `domains` lines in @DIR@/list.
PEERS["ours-list"] = dict(PEERS["ours"], can={"fwdget"}, domains=1000000, version=None,
                          sub=[("connect_ports all;", "connect_ports all; filter_list ads @DIR@/list; filter_block ads;")])

# The floor: minimal relays (limit/), and the origin itself for a cache hit.
_EPOLL = dict(argv=["@PROGRAM@", "@PLAIN@", "@BACKEND@"], can=REVERSE, source=("relay_epoll.c", []))
_URING = dict(argv=["@PROGRAM@", "@PLAIN@", "@BACKEND@"], can=REVERSE, source=("relay_uring.c", ["-luring"]))
PEERS["relay-epoll"] = _EPOLL
PEERS["relay-uring"] = _URING
PEERS["floor-cache"] = dict(argv=["$BENCH_BACKEND", "@CACHE@"], can={"cache"}, first="CACHE")

# Variants of the relays are environments; what they mean stands at the head of each source file.
for _name, _env in {"full": {"FULL": "1"}, "splice": {"SPLICE": "1"}, "splice1m": {"SPLICE": "1", "PIPE": "1048576"},
                    "buf16k": {"BUF": "16384"}, "buf64k": {"BUF": "65536"}, "buf128k": {"BUF": "131072"},
                    "buf512k": {"BUF": "524288"}, "buf1m": {"BUF": "1048576"}, "lowat": {"LOWAT": "131072"},
                    "lazy": {"LAZY": "1"}, "maxup128": {"MAXUP": "128"}, "maxup32": {"MAXUP": "32"}}.items():
    PEERS[f"relay-epoll-{_name}"] = dict(_EPOLL, env=_env)
for _name, _env in {"full": {"FULL": "1"}, "nodefer": {"NODEFER": "1"}, "oneshot": {"ONESHOT": "1"},
                    "buf64k": {"BUF": "65536", "NBUF": "512"}, "buf256k": {"BUF": "262144", "NBUF": "256"},
                    "zc": {"ZC": "1"}, "sqpoll": {"SQPOLL": "1"}}.items():
    PEERS[f"relay-uring-{_name}"] = dict(_URING, env=_env)
for _name, _env in {"": {}, "-splice": {"SPLICE": "1"}, "-buf64k": {"BUF": "65536"}}.items():
    PEERS[f"relay-tunnel{_name}"] = dict(_EPOLL, argv=["@PROGRAM@", "@FWD@", "@BACKEND@"], can={"connect"}, env=_env,
                                         first="FWD")


def program(peer):
    """The program of a peer that is found rather than built here, or None."""
    first = PEERS[peer]["argv"][0]
    if first.startswith("$"):
        first = os.environ.get(first[1:], "")
        return first if first and os.access(first, os.X_OK) else None
    return shutil.which(first) or shutil.which(first, path="/usr/sbin:/usr/local/sbin")
