#!/usr/bin/env python3
"""The table of Squid's directives in docs/forward.md, from the table in src/forward/squid_policy.c.

    tools/squid_table.py            writes it
    tools/squid_table.py --check    says whether it is as it would be written, and exits 1 when not
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "forward.md"
BEGIN, END = "<!-- squid: begin -->\n", "<!-- squid: end -->"
ROW = re.compile(r'\{ SLICE\("(\w+)"\), (\w+)(?:, (\w+))? \}')


def words(names):
    return ", ".join(f"`{n}`" for n in sorted(names))


def table():
    source = (ROOT / "src" / "forward" / "squid_policy.c").read_text()
    block = re.search(r"const why\[\] = \{(.*?)\};", source, re.S)[1]
    why = [w.replace('\\"', "`").strip(": ") or "here" for w in re.findall(r'"((?:[^"\\]|\\.)*)"', block)]
    rows = ROW.findall(source[source.index("static const struct squid_directive"):])
    done, idle, refused = {"include"}, {}, set()
    for name, line, which in rows:
        if line == "line_idle":
            idle.setdefault(why[int(which or 0)], set()).add(name)
        elif line == "line_refused":
            refused.add(name)
        else:
            done.add(name)
    out = "| | |\n| --- | --- |\n" + f"| does its job | {words(done)} |\n"
    for reason, names in sorted(idle.items()):
        text = "has no effect" + ("" if reason == "here" else f": {reason}")
        out += f"| {text} | {words(names)} |\n"
    return out + f"| refused | {words(refused)} |\n"


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    wanted = before + BEGIN + table() + END + rest.split(END)[1]
    if sys.argv[1:] == ["--check"]:
        if wanted != page:
            sys.exit("docs/forward.md: run tools/squid_table.py")
    else:
        PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
