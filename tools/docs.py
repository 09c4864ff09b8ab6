#!/usr/bin/env python3
"""The documentation that comes from the directive tables: docs/directives.md, and a table in docs/from-nginx.md.

    tools/docs.py build/hinge            writes them
    tools/docs.py --check build/hinge    says what is not as it would be written, and exits 1

docs/directives.md is what the binary prints with --docs. In docs/from-nginx.md the table of directives that are accepted
without effect is made of the same text: one row for each reason.
"""
import difflib
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
SECTION = "### Accepted without effect\n\n"
TABLE = "| | why |\n| --- | --- |\n"


def tuning(manual):
    """(name, reason) of every directive that the manual lists as accepted without effect."""
    found = []
    for section in manual.split(SECTION)[1:]:
        for line in section.split("\n\n")[0].splitlines():
            match = re.fullmatch(r"- `(\w+)`: (.+)", line)
            if not match:
                raise ValueError(f"no line of a directive: {line}")
            found.append(match.groups())
    return found


def table(pairs):
    """The rows, by the first name in each."""
    reasons = {}
    for name, reason in pairs:
        reasons.setdefault(reason, set()).add(name)
    rows = sorted((sorted(names), reason) for reason, names in reasons.items())
    return TABLE + "".join(f"| {', '.join(f'`{n}`' for n in names)} | {reason} |\n" for names, reason in rows)


def with_table(page, rows):
    """The page with its table replaced."""
    if page.count(TABLE) != 1:
        raise ValueError("there must be one table headed '| | why |'")
    before, after = page.split(TABLE)
    old = re.match(r"(\|.*\n)*", after)
    return before + rows + after[old.end():]


def main(args):
    check = args[:1] == ["--check"]
    if len(args) != 1 + check:
        print(__doc__, file=sys.stderr)
        return 2
    manual = subprocess.run([args[-1], "--docs"], stdout=subprocess.PIPE, text=True, check=True).stdout
    from_nginx = DOCS / "from-nginx.md"
    wrong = 0
    for path, text in ((DOCS / "directives.md", manual), (from_nginx, with_table(from_nginx.read_text(), table(tuning(manual))))):
        now = path.read_text() if path.exists() else ""
        if check and now != text:
            wrong += 1
            sys.stdout.writelines(difflib.unified_diff(now.splitlines(True), text.splitlines(True), str(path), "as it would be written"))
        elif now != text:
            path.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
