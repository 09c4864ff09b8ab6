#!/usr/bin/python3
"""bench.py - measures proxies side by side on loopback. README.md says how to read the result.

    bench.py                                   hinge, nginx and HAProxy; as a forward proxy hinge, Squid, tinyproxy and
                                               microsocks; all gates; writes docs/performance.md
    bench.py --quick                           three scenarios, few rounds, prints only
    bench.py -p nginx,haproxy,relay-epoll -s small,post -r 5 -t 2

All peers of a scenario are started together and measured in turn, ROUNDS times over; a table shows medians. The whole
is done PASSES times, and a gate counts as missed only when every pass misses it.
"""
import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile

import report
import scenarios
from harness import HERE, Bench, Failure, raise_file_limit
from peers import PEERS, program

ROOT = os.path.abspath(f"{HERE}/../..")
WARM_UP = 0.4   # seconds of round 0
REVERSE = "ours,nginx,haproxy"
FORWARD = "ours,squid,tinyproxy,microsocks"
KEPT = ("rps", "cpu", "user", "p50", "p99", "memory", "util", "requests")


def complain(text):
    print(f"# {text}", file=sys.stderr, flush=True)


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("-p", "--peers", help=f"comma-separated (default: {REVERSE}; for forward proxying {FORWARD}); all known: "
                   + ", ".join(PEERS))
    p.add_argument("-s", "--scenarios", help="comma-separated: " + ", ".join(scenarios.SPECIAL + list(scenarios.BY_NAME)))
    p.add_argument("-r", "--rounds", type=int)
    p.add_argument("-t", "--seconds", type=float)
    p.add_argument("--passes", type=int)
    p.add_argument("--routes", default="1,1000", help="numbers of host names to compare in the scenario route")
    p.add_argument("--idle", type=int, default=5000, help="idle connections to hold")
    p.add_argument("--base", help="the peer that ratios in printed tables refer to (default: nginx, or squid)")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--write", metavar="FILE", help="put the table between the marks of FILE (default for a full run: "
                   "docs/performance.md)")
    p.add_argument("-o", "--output", metavar="FILE", help="all figures as JSON")
    a = p.parse_args()
    full = a.scenarios is None and a.peers is None and not a.quick
    a.scenarios = a.scenarios.split(",") if a.scenarios else scenarios.QUICK if a.quick else scenarios.DEFAULT
    a.rounds = a.rounds or (2 if a.quick else 5)
    a.seconds = a.seconds or (0.8 if a.quick else 1.5)
    a.passes = a.passes or (2 if full else 1)
    a.write = a.write or (f"{ROOT}/docs/performance.md" if full else None)
    a.forward = (a.peers or FORWARD).split(",")
    a.peers = (a.peers or REVERSE).split(",")
    unknown = [s for s in a.scenarios if s not in scenarios.BY_NAME and s not in scenarios.SPECIAL]
    unknown += [n for n in a.peers if n not in PEERS]
    if unknown:
        p.error("unknown: " + ", ".join(unknown))
    return a


def present(names):
    for name in names:
        if "source" in PEERS[name] or program(name):
            yield name
        else:
            complain(f"{name}: no program, skipped")


def start_all(bench, names, routes):
    """{label: Proxy} of the peers that start; several numbers of routes make several proxies of each peer."""
    started = {}
    for name in names:
        for number in routes:
            label = name if len(routes) == 1 else f"{name}@{number}"
            try:
                started[label] = bench.start(name, number)
            except Failure as e:
                complain(e)
    return started


def interleave(proxies, scenario, rounds, seconds):
    """{label: median figures}. Round 0 warms up. A peer that dies or cannot be loaded drops out."""
    runs = {label: [] for label, px in proxies.items() if px.can(scenario.needs)}
    for turn in range(rounds + 1):
        for label in list(runs):
            try:
                if not proxies[label].alive():
                    raise Failure(f"died: {proxies[label].said()}")
                figures = proxies[label].measure(scenario, seconds if turn else WARM_UP)
            except Failure as e:
                complain(f"{scenario.name} {label}: {e}")
                del runs[label]
                continue
            if turn:
                runs[label].append(figures)
    result = {}
    for label, figures in runs.items():
        result[label] = {k: statistics.median(f.get(k, 0) for f in figures) for k in KEPT}
        result[label]["errors"] = sum(f["errors"] for f in figures)
        result[label]["stale"] = sum(f.get("stale", 0) for f in figures)
        if result[label]["errors"]:
            complain(f"{scenario.name} {label}: {result[label]['errors']} errors: {figures[-1]['stderr']}")
    return result


# Of each kind of idle connection: what a peer must be able to, how it is warmed up, where and how one is opened.
IDLE = {"idle": ({"idle"}, scenarios.WARM_UP, "PLAIN", ""),
        "idletls": ({"idle", "tls"}, scenarios.WARM_UP_TLS, "TLS", "-S"),
        "fwdtunnels": ({"connect"}, scenarios.WARM_UP_FORWARD, "FWD", "-t @ORIGIN@")}


def measure_idle(bench, names, count, kind):
    """Every proxy is a fresh one: what earlier scenarios have left in its heap would serve idle connections."""
    result = {}
    needs, warm_up, port, how = IDLE[kind]
    for name in names:
        if not needs <= PEERS[name]["can"]:
            continue
        px = None
        try:
            px = bench.start(name)
            px.measure(warm_up, 0.4)
            size, cpu = px.idle_bytes(count, port, how)
            result[name] = {"bytes": size, "cpu": cpu}
        except Failure as e:
            complain(f"idle {name}: {e}")
        finally:
            if px:
                px.stop()
    return result


def groups_of(a, names, forward):
    """(scenarios, peers, numbers of routes) that are measured with one set of running proxies."""
    plain = [scenarios.BY_NAME[s] for s in a.scenarios if s in scenarios.BY_NAME]
    yield [s for s in plain if not scenarios.is_forward(s.name)], names, [1]
    yield [s for s in plain if scenarios.is_forward(s.name)], forward, [1]
    if "route" in a.scenarios:
        yield [scenarios.ROUTE], names, [int(n) for n in a.routes.split(",")]
    if "fwdlist" in a.scenarios:
        yield [scenarios.LIST], ["ours", "ours-list"], [1]


def one_pass(bench, names, forward, a):
    """{scenario: {label: figures}}"""
    results = {}
    for group, peers, routes in groups_of(a, names, forward):
        proxies = start_all(bench, peers, routes) if group else {}
        try:
            for scenario in group:
                results[scenario.name] = interleave(proxies, scenario, a.rounds, a.seconds)
                base = a.base or ("squid" if scenarios.is_forward(scenario.name) else "nginx")
                report.print_scenario(scenario, results[scenario.name], base)
        finally:
            for px in proxies.values():
                px.stop()
    for name in scenarios.IDLE:
        if name in a.scenarios:
            results[name] = measure_idle(bench, forward if scenarios.is_forward(name) else names, a.idle, name)
            report.print_idle(name, a.idle, results[name])
    return results


def main():
    a = arguments()
    os.environ.setdefault("BENCH_OURS", f"{ROOT}/build/hinge")
    raise_file_limit()
    work = tempfile.mkdtemp(prefix="bench-")
    os.chmod(work, 0o755)
    passes = []
    try:
        bench = Bench(work)
        try:
            names, forward = list(present(a.peers)), list(present(a.forward))
            for number in range(a.passes):
                if a.passes > 1:
                    print(f"\n# pass {number + 1} of {a.passes}", flush=True)
                passes.append(one_pass(bench, names, forward, a))
        finally:
            bench.close()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if a.output:
        with open(a.output, "w", encoding="utf-8") as f:
            json.dump(passes, f, indent=1)
    page = report.page(passes, a)
    print("\n" + page)
    if a.write:
        if "ours" not in names:
            complain("hinge was not measured, so nothing is written")
            return 1
        report.write_between_marks(a.write, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
