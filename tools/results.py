#!/usr/bin/python3
"""results.py - counts tests in the reports that their runners leave.

    results.py unit  testlog.json       meson's log; each program's output may be TAP, then its points are counted
    results.py junit FILE.xml           pytest's report
    results.py fuzz  DIR NUMBER         what tools/fuzz_one.sh left of NUMBER fuzzers

Prints `passed failed skipped` on descriptor 3 (on standard output when there is none), and on standard output whatever
the runner did not show of its failures. A program that dies, times out or stops short of its plan is a failure whatever
it said before, and a report without any test is one too.
"""
import json
import os
import re
import sys
import xml.etree.ElementTree as ET

TAIL = 200  # lines of a failed program's output


def tap_points(text):
    """(passed, failed, skipped, planned) of a TAP stream; planned is None when the stream has no plan."""
    passed = failed = skipped = 0
    planned = None
    for line in text.splitlines():
        plan = re.match(r"1\.\.(\d+)\s*$", line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        point = re.match(r"(not )?ok\b(.*)", line)
        if not point:
            continue
        if re.search(r"#\s*skip", point.group(2), re.I):
            skipped += 1
        elif point.group(1):
            failed += 1
        else:
            passed += 1
    return passed, failed, skipped, planned


def unit_program(entry):
    """(passed, failed, skipped) of one program in meson's log."""
    passed, failed, skipped, planned = tap_points(entry.get("stdout", ""))
    verdict = entry["result"]
    if planned is None and passed + failed + skipped == 0:
        return (int(verdict == "OK"), int(verdict not in ("OK", "SKIP")), int(verdict == "SKIP"))
    short = planned is not None and passed + failed + skipped != planned
    if failed == 0 and (short or verdict not in ("OK", "SKIP")):
        failed = 1
    return passed, failed, skipped


def count_unit(path):
    total = [0, 0, 0]
    with open(path, encoding="utf-8") as log:
        entries = [json.loads(line) for line in log if line.strip()]
    for entry in entries:
        numbers = unit_program(entry)
        total = [a + b for a, b in zip(total, numbers)]
        if numbers[1]:
            print(f"--- {entry['name']}: {entry['result']} (status {entry.get('returncode')})")
            for stream in ("stdout", "stderr"):
                print("\n".join(entry.get(stream, "").splitlines()[-TAIL:]))
    return total


def count_junit(path):
    total = [0, 0, 0]
    for case in ET.parse(path).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error")]
        if bad:
            total[1] += 1
        elif case.find("skipped") is not None:
            total[2] += 1
        else:
            total[0] += 1
    return total


def count_fuzz(directory, expected):
    total = [0, 0, 0]
    for name in sorted(f[:-7] for f in os.listdir(directory) if f.endswith(".status")):
        with open(os.path.join(directory, name + ".status"), encoding="ascii") as f:
            status = int(f.read())
        with open(os.path.join(directory, name + ".log"), encoding="utf-8", errors="replace") as f:
            log = f.read()
        runs = re.search(r"number_of_executed_units:\s*(\d+)", log)
        executed = int(runs.group(1)) if runs else 0
        if status == 0 and executed > 0:
            total[0] += 1
            print(f"{name}: {executed} runs")
        else:
            total[1] += 1
            print(f"--- fuzz_{name}: status {status}, {executed} runs")
            print("\n".join(log.splitlines()[-TAIL:]))
    missing = int(expected) - total[0] - total[1]
    if missing > 0:
        print(f"--- {missing} fuzzers did not run at all")
        total[1] += missing
    return total


def main(argv):
    kinds = {"unit": count_unit, "junit": count_junit, "fuzz": count_fuzz}
    try:
        total = kinds[argv[1]](*argv[2:])
    except (OSError, ValueError, KeyError, ET.ParseError) as e:
        print(f"--- no readable report: {e!r}")
        return 1
    if argv[1] != "fuzz" and sum(total) == 0:
        print(f"--- {argv[2]}: no tests at all")
        total[1] = 1
    sys.stdout.flush()
    try:
        out = os.fdopen(3, "w")
    except OSError:
        out = sys.stdout
    print(*total, file=out, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
