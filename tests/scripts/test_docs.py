"""The lists of docs/from-nginx.md are made of the manual and of the names that nginx has."""
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.insert(0, str(TOOLS))
import docs  # noqa: E402

MANUAL = """# Directives

## one

### real

Does something: `x`.

### Accepted without effect

- `b`: Because.
- `c`: Other: `x`.

## two

### Accepted without effect

- `a`: Because.

"""
ROWS = "| | why |\n| --- | --- |\n| `a`, `b` | Because. |\n| `c` | Other: `x`. |\n"


def test_rows_are_grouped_by_reason_and_sorted():
    assert docs.table(docs.tuning(MANUAL)) == ROWS


def test_a_manual_without_such_directives_gives_an_empty_table():
    assert docs.table(docs.tuning("# Directives\n")) == docs.TABLE


def test_only_the_table_is_replaced():
    page = "# Page\n\n| | nginx |\n| --- | --- |\n| x | y |\n\ntext:\n\n| | why |\n| --- | --- |\n| `old` | Gone. |\n\nmore\n\n| | z |\n"
    assert docs.with_table(page, ROWS) == page.replace("| | why |\n| --- | --- |\n| `old` | Gone. |\n", ROWS)
    assert docs.with_table(docs.with_table(page, ROWS), ROWS) == docs.with_table(page, ROWS)


def test_a_page_without_the_table_is_an_error():
    with pytest.raises(ValueError):
        docs.with_table("# Page\n", ROWS)


PAGE = """# Page

## What differs on purpose

| | nginx |
| --- | --- |
| `purpose` | x |

## Directive by directive

<!-- differs: begin -->
| | how |
| --- | --- |
| `differs` | x `real` |
<!-- differs: end -->
<!-- own: begin -->
| | what for |
| --- | --- |
| `own` | x |
<!-- own: end -->
<!-- same: begin -->
old
<!-- same: end -->
| | why |
| --- | --- |
| `old` | Gone. |

<!-- missing: begin -->
<!-- missing: end -->
"""
MORE = MANUAL + """## three

### purpose

x

### differs

x

### own

x

### refused

- Syntax: x

Not supported in this version: x.

### Variables

"""
NAMES = """NAMES("",
      "gone away "
      "never")
NAMES("mail", "imap")
"""


@pytest.fixture
def tree(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "src/conf").mkdir(parents=True)
    (tmp_path / "src/conf/nginx_names.def").write_text(NAMES)
    (tmp_path / "docs/from-nginx.md").write_text(PAGE)
    monkeypatch.setattr(docs, "DOCS", tmp_path / "docs")
    return tmp_path


def test_what_no_table_names_is_the_same(tree):
    assert docs.same(PAGE, MORE) == "`real`.\n"


def test_what_is_refused_or_not_there_is_missing(tree):
    assert docs.missing(MORE) == "`away`, `gone`, `never`, `refused`.\n"


def test_a_table_that_names_what_is_not_there_is_an_error(tree):
    with pytest.raises(ValueError, match="differs"):
        docs.same(PAGE, MANUAL)


def test_check_says_what_differs(tree, capsys):
    hinge = tree / "hinge"
    hinge.write_text("#!/bin/sh\ncat <<'END'\n" + MORE + "END\n")
    hinge.chmod(0o755)
    assert docs.main(["--check", str(hinge)]) == 1
    out = capsys.readouterr().out
    assert "-| `old` | Gone. |" in out and "-old" in out
    assert docs.main([str(hinge)]) == 0
    assert docs.main(["--check", str(hinge)]) == 0
    assert (tree / "docs/directives.md").read_text() == MORE
    page = (tree / "docs/from-nginx.md").read_text()
    assert ROWS in page and "`real`.\n<!-- same: end -->" in page and "`refused`.\n<!-- missing: end -->" in page
