"""The table of directives without effect is made of the manual."""
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


def test_check_says_what_differs(tmp_path, monkeypatch, capsys):
    hinge = tmp_path / "hinge"
    hinge.write_text("#!/bin/sh\ncat <<'END'\n" + MANUAL + "END\n")
    hinge.chmod(0o755)
    (tmp_path / "from-nginx.md").write_text("| | why |\n| --- | --- |\n| `old` | Gone. |\n")
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    assert docs.main(["--check", str(hinge)]) == 1
    assert "-| `old` | Gone. |" in capsys.readouterr().out
    assert docs.main([str(hinge)]) == 0
    assert docs.main(["--check", str(hinge)]) == 0
    assert (tmp_path / "directives.md").read_text() == MANUAL
    assert (tmp_path / "from-nginx.md").read_text() == ROWS
