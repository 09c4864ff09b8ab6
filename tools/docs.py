#!/usr/bin/env python3
"""The documentation that comes from the directive tables: docs/directives.md, and lists in docs/from-nginx.md.

    tools/docs.py build/hinge            writes them
    tools/docs.py --check build/hinge    says what is not as it would be written, and exits 1

docs/directives.md is what the binary prints with --docs. Of the same text three parts of docs/from-nginx.md are made: the
table of directives that are accepted without effect (one row for each reason), the list of those that mean the same as
in nginx (all that no table names), and, from src/conf/nginx_names.def, the list of those that are not there.
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


def marked(page, name):
    """What stands between the marks of that name."""
    return page.split(f"<!-- {name}: begin -->\n")[1].split(f"<!-- {name}: end -->")[0]


def with_marked(page, name, text):
    before, after = page.split(f"<!-- {name}: begin -->\n")
    return f"{before}<!-- {name}: begin -->\n{text}{after[after.index(f'<!-- {name}: end -->'):]}"


def named(rows):
    """The names in the first column of a table."""
    return {n for row in rows.splitlines()[2:] for n in re.findall(r"`(\w+)`", row.split("|")[1])}


def unsupported(manual):
    """Directives that are known only to be refused."""
    return {n for n, text in re.findall(r"^### (\w+)\n(.*?)(?=^##)", manual, re.M | re.S) if "\nNot supported in this version" in text}


def same(page, manual):
    """Directives of the manual that no table of the page names, as a paragraph."""
    purpose = page.split("## What differs on purpose")[1].split("\n## ")[0]
    known = set(re.findall(r"^### (\w+)$", manual, re.M)) - {"Variables"}
    others = named(marked(page, "differs")) | named(marked(page, "own")) | {n for n, _ in tuning(manual)} | unsupported(manual)
    others |= {n for row in purpose.splitlines() if row.startswith("|") for n in re.findall(r"`(\w+)`", row.split("|")[1])}
    unknown = (named(marked(page, "differs")) | named(marked(page, "own"))) - known
    if unknown:
        raise ValueError(f"docs/from-nginx.md names directives that are not there: {sorted(unknown)}")
    return ", ".join(f"`{n}`" for n in sorted(known - others)) + ".\n"


def missing(manual):
    """Directives of nginx, mail apart, that are not there."""
    text = (DOCS.parent / "src/conf/nginx_names.def").read_text()
    names = unsupported(manual)
    for own in re.findall(r'NAMES\("",((?:\s*"[^"]*")+)\)', text):
        names.update(" ".join(re.findall(r'"([^"]*)"', own)).split())
    return ", ".join(f"`{n}`" for n in sorted(names)) + ".\n"


def lists(page, manual):
    page = with_table(page, table(tuning(manual)))
    page = with_marked(page, "same", same(page, manual))
    return with_marked(page, "missing", missing(manual))


def main(args):
    check = args[:1] == ["--check"]
    if len(args) != 1 + check:
        print(__doc__, file=sys.stderr)
        return 2
    manual = subprocess.run([args[-1], "--docs"], stdout=subprocess.PIPE, text=True, check=True).stdout
    from_nginx = DOCS / "from-nginx.md"
    wrong = 0
    for path, text in ((DOCS / "directives.md", manual), (from_nginx, lists(from_nginx.read_text(), manual))):
        now = path.read_text() if path.exists() else ""
        if check and now != text:
            wrong += 1
            sys.stdout.writelines(difflib.unified_diff(now.splitlines(True), text.splitlines(True), str(path), "as it would be written"))
        elif now != text:
            path.write_text(text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
