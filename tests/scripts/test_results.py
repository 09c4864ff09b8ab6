"""The counter of results counts what happened, and never turns a crash or a missing report into a pass."""
import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


def count(*args):
    """(numbers, what was shown) or (None, text) when the report is refused."""
    done = subprocess.run([sys.executable, str(TOOLS / "results.py"), *map(str, args)], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        return None, done.stdout
    *shown, last = done.stdout.splitlines()
    return tuple(map(int, last.split())), "\n".join(shown)


def unit(tmp_path, *entries):
    log = tmp_path / "testlog.json"
    log.write_text("".join(json.dumps({"name": "base/x", "stdout": "", "stderr": "", "returncode": 0, "result": "OK"} | e)
                           + "\n" for e in entries))
    return count("unit", log)


def test_points_of_a_program_are_counted(tmp_path):
    tap = "1..3\nok 1 - a\nok 2 - b\nok 3 # SKIP c\n"
    assert unit(tmp_path, {"stdout": tap})[0] == (2, 0, 1)
    assert unit(tmp_path, {"stdout": tap}, {"stdout": tap})[0] == (4, 0, 2)


def test_two_groups_in_one_program(tmp_path):
    assert unit(tmp_path, {"stdout": "1..1\nok 1 - a\n1..2\nok 1 - b\nok 2 - c\n"})[0] == (3, 0, 0)


def test_failed_point_is_shown(tmp_path):
    numbers, shown = unit(tmp_path, {"stdout": "1..2\nok 1 - a\nnot ok 2 - b\n# why\n", "stderr": "where",
                                     "result": "FAIL", "returncode": 1})
    assert numbers == (1, 1, 0)
    assert "base/x: FAIL" in shown and "# why" in shown and "where" in shown


def test_program_without_points_counts_once(tmp_path):
    assert unit(tmp_path, {}, {"result": "SKIP"}, {"result": "FAIL"})[0] == (1, 1, 1)


@pytest.mark.parametrize("result", ["FAIL", "TIMEOUT", "ERROR", "INTERRUPT"])
def test_crash_after_good_points(tmp_path, result):
    assert unit(tmp_path, {"stdout": "1..1\nok 1 - a\n", "result": result, "returncode": -11})[0] == (1, 1, 0)


def test_short_of_its_plan(tmp_path):
    assert unit(tmp_path, {"stdout": "1..3\nok 1 - a\n"})[0] == (1, 1, 0)


def test_junit(tmp_path):
    xml = tmp_path / "x.xml"
    xml.write_text('<testsuites><testsuite><testcase name="a"/><testcase name="b"><failure/></testcase>'
                   '<testcase name="c"><error/></testcase><testcase name="d"><skipped/></testcase>'
                   '<testcase name="e"><failure/><error/></testcase></testsuite></testsuites>')
    assert count("junit", xml)[0] == (1, 3, 1)


def test_reports_that_say_nothing(tmp_path):
    xml = tmp_path / "x.xml"
    xml.write_text("<testsuites/>")
    assert count("junit", xml)[0] == (0, 1, 0)
    xml.write_text("<testsuites>")
    assert count("junit", xml)[0] is None
    assert count("junit", tmp_path / "absent.xml")[0] is None
    assert count("unit", tmp_path / "absent.json")[0] is None
    assert unit(tmp_path)[0] == (0, 1, 0)


def fuzz(tmp_path, expected, **fuzzers):
    for name, (status, log) in fuzzers.items():
        (tmp_path / f"{name}.status").write_text(f"{status}\n")
        (tmp_path / f"{name}.log").write_text(log)
    return count("fuzz", tmp_path, expected)


def test_fuzzers(tmp_path):
    good = "stat::number_of_executed_units: 4711\n"
    assert fuzz(tmp_path, 0)[0] == (0, 0, 0)
    assert fuzz(tmp_path, 1, a=(0, good))[0] == (1, 0, 0)
    numbers, shown = fuzz(tmp_path, 2, b=(77, "ERROR: AddressSanitizer\n" + good))
    assert numbers == (1, 1, 0) and "AddressSanitizer" in shown
    assert fuzz(tmp_path, 5)[0] == (1, 4, 0)


def test_fuzzer_that_ran_nothing(tmp_path):
    assert fuzz(tmp_path, 1, a=(0, ""))[0] == (0, 1, 0)
