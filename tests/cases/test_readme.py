"""The examples of README.md work when pasted: each prints exactly what stands below it. The default configuration and
the links of the documents are held to be true as well."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("HINGE_BIN") or str(ROOT / "build" / "hinge")
EXAMPLES = re.findall(r"```sh\n(.*?)```\n\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.S)


def test_there_are_five():
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("script,prints", EXAMPLES, ids=[f"example{i}" for i in range(1, len(EXAMPLES) + 1)])
def test_example(script, prints):
    assert "build/hinge" in script
    done = subprocess.run(["sh", "-c", script.replace("build/hinge", BINARY)], cwd=ROOT, capture_output=True, text=True,
                          timeout=50, check=False, stdin=subprocess.DEVNULL)
    assert done.stdout == prints, done


def test_default_configuration(tmp_path):
    """Every directive in it exists and means something: it passes the test with warnings as errors."""
    text = (ROOT / "dist" / "hinge.conf").read_text()
    conf = tmp_path / "hinge.conf"
    conf.write_text(text.replace("/var/log/hinge/", f"{tmp_path}/").replace("/run/", f"{tmp_path}/"))
    done = subprocess.run([BINARY, "-t", "--strict", "-p", f"{tmp_path}/", "-c", "hinge.conf", "-e", "stderr"],
                          capture_output=True, text=True, timeout=50, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
                         + [f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(document):
    here = (ROOT / document).parent
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / document).read_text())
    missing = [t for t in targets if "://" not in t and not (here / t).exists()]
    assert not missing
