"""Prints figures as tables, judges the gates, and puts the page into a document.

Ratios are `peer's CPU per request / ours`: larger is better for us. With several passes a gate counts as missed only when
every pass misses it; a pass in which our server made an error meets nothing.
"""
import datetime
import os
import re
import statistics
import subprocess

import scenarios
from peers import PEERS, program

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"
OURS = "ours"
NAMES = {"ours": "hinge", "nginx": "nginx", "haproxy": "HAProxy", "squid": "Squid"}


def print_scenario(scenario, results, base):
    """A plain table of one scenario, cheapest first."""
    print(f"\n## {scenario.name}: {scenario.title}")
    print(f"{'proxy':14s} {'req/s':>8s} {'cpu us':>8s} {'user':>7s} {'p50us':>7s} {'p99us':>7s} {'MB':>7s} {'x cpu':>6s}  note")
    for label, m in sorted(results.items(), key=lambda kv: kv[1]["cpu"]):
        reference = results.get(base) or results.get(f"{base}@{label.partition('@')[2]}")
        notes = []
        if m["errors"]:
            notes.append(f"errors={m['errors']}")
        if m["stale"]:
            notes.append(f"closed between requests={m['stale']}")
        if m["util"] < 0.9:
            notes.append(f"util={m['util']:.2f}")
        ratio = reference["cpu"] / m["cpu"] if reference and m["cpu"] else 0
        print(f"{label:14s} {m['rps']:8.0f} {m['cpu']:8.2f} {m['user']:7.2f} {m['p50']:7.0f} {m['p99']:7.0f} "
              f"{m['memory'] / 1024:7.1f} {ratio:6.2f}  {' '.join(notes)}", flush=True)


def print_idle(name, count, results):
    print(f"\n## {name}: {count} idle {'tunnels' if name == 'fwdtunnels' else 'keep-alive connections'}")
    for label, m in results.items():
        print(f"{label:14s} {m['bytes']:8.0f} B/connection, {m['cpu'] * 1000:.0f} ms CPU a second", flush=True)


def over_passes(passes, scenario, label, key):
    """The figure of every pass that has it."""
    found = [p.get(scenario, {}).get(label, {}).get(key) for p in passes]
    return [f for f in found if f is not None]


def ratios(passes, scenario, peer):
    """Per pass: the peer's CPU / ours, or None when either was not measured or ours made errors."""
    out = []
    for p in passes:
        ours, other = (p.get(scenario, {}).get(n) for n in (OURS, peer))
        good = ours and other and not ours["errors"] and ours["cpu"] > 0
        out.append(other["cpu"] / ours["cpu"] if good else None)
    return out


def judge(values, least, goal, at_most=False):
    """'met, goal too', 'met', 'missed' or 'not measured'; values are the passes'."""
    values = [-v if at_most else v for v in values if v is not None]
    if not values:
        return "not measured"
    best = max(values)
    if best >= (-goal if at_most else goal):
        return "met, goal too"
    return "met" if best >= (-least if at_most else least) else "missed"


def worst_of(verdicts):
    order = ["missed", "not measured", "met", "met, goal too"]
    return min(verdicts, key=order.index) if verdicts else ""


def figures(values, form="{:.2f}"):
    return " / ".join(form.format(v) if v is not None else "-" for v in values) or "-"


def mean(values, form="{:.1f}"):
    return form.format(statistics.mean(values)) if values else "-"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def gates_text(gates):
    """'1.20 nginx and HAProxy (1.30)', or each by itself when they differ."""
    alike = {}
    for g in gates:
        alike.setdefault((g.least, g.goal), []).append(NAMES[g.peer])
    return ", ".join(f"{least:.2f} {' and '.join(held)} ({goal:.2f})" for (least, goal), held in alike.items()) or "none"


def cpu_table(passes, names, peers):
    lines = [row("scenario", *(f"{NAMES.get(p, p)} us" for p in [OURS] + peers),
                 *(f"x {NAMES.get(p, p)}" for p in peers), "gate (goal)", "result"),
             row("---", *["---:"] * (1 + 2 * len(peers)), "---", "---")]
    for name in names:
        scenario = scenarios.BY_NAME[name]
        verdicts = [judge(ratios(passes, name, g.peer), g.least, g.goal) for g in scenario.gates]
        lines.append(row(scenario.title, *(mean(over_passes(passes, name, p, "cpu")) for p in [OURS] + peers),
                         *(figures(ratios(passes, name, p)) for p in peers),
                         gates_text(scenario.gates), worst_of(verdicts) or "-"))
    return lines


def load_table(passes, names, peers):
    everyone = [OURS] + peers
    lines = [row("scenario", *(f"{NAMES.get(p, p)} req/s" for p in everyone), *(f"{NAMES.get(p, p)} p99 us" for p in everyone),
                 "our share of the core"),
             row("---", *["---:"] * (2 * len(everyone) + 1))]
    for name in names:
        lines.append(row(scenarios.BY_NAME[name].title,
                         *(mean(over_passes(passes, name, p, "rps"), "{:.0f}") for p in everyone),
                         *(mean(over_passes(passes, name, p, "p99"), "{:.0f}") for p in everyone),
                         mean(over_passes(passes, name, OURS, "util"), "{:.2f}")))
    return lines


def route_lines(passes, routes, peers):
    few, many = routes.split(",")[0], routes.split(",")[-1]
    gate = scenarios.ROUTES_GATE
    lines = [row("host names", f"{few}: us", f"{many}: us", "growth", "gate (goal)", "result"),
             row("---", "---:", "---:", "---:", "---", "---")]
    for peer in [OURS] + [p for p in peers if over_passes(passes, "route", f"{p}@{few}", "cpu")]:
        growth = []
        for p in passes:
            a, b = (p["route"].get(f"{peer}@{n}") for n in (few, many))
            good = a and b and a["cpu"] and not a["errors"] + b["errors"]
            growth.append(b["cpu"] / a["cpu"] if good else None)
        ours = peer == OURS
        lines.append(row(NAMES.get(peer, peer), *(mean(over_passes(passes, "route", f"{peer}@{n}", "cpu")) for n in (few, many)),
                         figures([None if g is None else (g - 1) * 100 for g in growth], "{:+.1f} %"),
                         f"+{gate.least * 100 - 100:.0f} % (+{gate.goal * 100 - 100:.0f} %)" if ours else "",
                         judge(growth, gate.least, gate.goal, at_most=True) if ours else ""))
    return lines


def list_lines(passes):
    """What a list costs: CPU a request, and memory."""
    growth, memory = [], []
    for p in passes:
        a, b = (p["fwdlist"].get(n) for n in (OURS, "ours-list"))
        good = a and b and a["cpu"] and not a["errors"] + b["errors"]
        growth.append(b["cpu"] / a["cpu"] if good else None)
        memory.append(b["memory"] / 1024 if good else None)
    lines = [row("a list of a million domains", "measured", "gate (goal)", "result"), row("---", "---:", "---", "---")]
    for title, values, gate, shown in (
            ("CPU a request, more", growth, scenarios.LIST_GATE, lambda v: f"{(v - 1) * 100:+.1f} %"),
            ("memory of the whole server", memory, scenarios.LIST_MB_GATE, lambda v: f"{v:.0f} MB")):
        lines.append(row(title, " / ".join("-" if v is None else shown(v) for v in values), f"{shown(gate.least)} ({shown(gate.goal)})",
                         judge(values, gate.least, gate.goal, at_most=True)))
    return lines


IDLE_LINES = {"idle": ("idle connection", scenarios.IDLE_GATE), "idletls": ("idle TLS connection", scenarios.IDLE_TLS_GATE),
              "fwdtunnels": ("idle tunnel", scenarios.TUNNEL_GATE)}


def idle_lines(passes, peers, name="idle"):
    title, gate = IDLE_LINES[name]
    lines = [row(title, "bytes of user memory", "gate (goal)", "result"), row("---", "---:", "---", "---")]
    for peer in [OURS] + [p for p in peers if over_passes(passes, name, p, "bytes")]:
        sizes = over_passes(passes, name, peer, "bytes")
        ours = peer == OURS
        lines.append(row(NAMES.get(peer, peer), figures(sizes, "{:.0f}"), f"{gate.least:.0f} ({gate.goal:.0f})" if ours else "",
                         judge(sizes, gate.least, gate.goal, at_most=True) if ours else ""))
    return lines


def first_match(path, pattern):
    try:
        with open(path, encoding="utf-8") as f:
            found = re.search(pattern, f.read(), re.M)
    except OSError:
        found = None
    return found.group(1) if found else "unknown"


def version(peer):
    if not program(peer) or not PEERS[peer].get("version"):
        return None
    done = subprocess.run([program(peer)] + PEERS[peer]["version"], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    return said.splitlines()[0].split(" - ")[0] if said else None


def facts(a):
    cpu = first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$")
    system = first_match("/etc/os-release", r'^PRETTY_NAME="?([^"\n]*)')
    peers = [v for v in map(version, dict.fromkeys(a.peers + a.forward)) if v]
    return (f"Measured {datetime.date.today().isoformat()} on {cpu} ({os.cpu_count()} processors visible), Linux "
            f"{os.uname().release}, {system}: {'; '.join(peers)}. {a.passes} pass{'es' if a.passes > 1 else ''} of {a.rounds} "
            f"rounds of {a.seconds:g} s; CPU in microseconds a request.")


def page(passes, a):
    """The whole result as Markdown."""
    measured = [s for s in a.scenarios if any(s in p for p in passes)]
    out = [facts(a), ""]
    for names, wanted in (([s for s in measured if not scenarios.is_forward(s)], a.peers), ([s for s in measured if scenarios.is_forward(s)], a.forward)):
        labels = [label for name in names for label in passes[0].get(name, {})]
        peers = [p for p in wanted if p != OURS and any(p in label for label in labels)]
        named = [s for s in names if s in scenarios.BY_NAME]
        if named:
            out += cpu_table(passes, named, peers) + [""]
        if "route" in names:
            out += route_lines(passes, a.routes, peers) + [""]
        if "fwdlist" in names:
            out += list_lines(passes) + [""]
        for name in scenarios.IDLE:
            if name in names:
                out += idle_lines(passes, peers, name) + [""]
        if named:
            out += load_table(passes, named, peers) + [""]
    return "\n".join(out)


def write_between_marks(path, text):
    with open(path, encoding="utf-8") as f:
        old = f.read()
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{path} has no marks {BEGIN} ... {END}")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"{head}{BEGIN}\n\n{text}\n{END}{tail}")
