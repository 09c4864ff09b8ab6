"""The judge of the benchmark: what counts as met, and that nothing unmeasured does."""
import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import report  # noqa: E402
import scenarios  # noqa: E402
from harness import render  # noqa: E402


def run(cpu, errors=0):
    return dict(cpu=cpu, user=1, rps=1000, p50=1, p99=2, memory=1, util=1, requests=1, errors=errors, stale=0)


def passes(*pairs, scenario="small", errors=0):
    """Passes in which ours and nginx cost so much."""
    return [{scenario: {"ours": run(ours, errors), "nginx": run(nginx), "haproxy": run(nginx)}} for ours, nginx in pairs]


@pytest.mark.parametrize("values,verdict", [
    ([1.19], "missed"), ([1.20], "met"), ([1.29], "met"), ([1.30], "met, goal too"), ([1.0, 1.25], "met"),
    ([None], "not measured"), ([], "not measured"), ([None, 1.1], "missed"),
])
def test_at_least(values, verdict):
    assert report.judge(values, 1.20, 1.30) == verdict


@pytest.mark.parametrize("values,verdict", [
    ([1001], "missed"), ([1000], "met"), ([600], "met, goal too"), ([1200, 900], "met"), ([], "not measured"),
])
def test_at_most(values, verdict):
    assert report.judge(values, 1000, 600, at_most=True) == verdict


def test_ratios_ignore_runs_with_errors_and_absent_peers():
    assert report.ratios(passes((10, 13), (10, 12)), "small", "nginx") == [1.3, 1.2]
    assert report.ratios(passes((10, 13), errors=1), "small", "nginx") == [None]
    assert report.ratios(passes((10, 13)), "small", "squid") == [None]
    assert report.ratios(passes((10, 13)), "close", "nginx") == [None]


def test_a_scenario_is_as_good_as_its_worst_gate():
    assert report.worst_of(["met", "missed"]) == "missed"
    assert report.worst_of(["met, goal too", "met"]) == "met"
    assert report.worst_of(["met", "not measured"]) == "not measured"
    assert report.worst_of([]) == ""


def page(data, names, routes="1,1000"):
    a = argparse.Namespace(scenarios=names, peers=["ours", "nginx", "haproxy"], forward=["ours", "squid"], passes=len(data), rounds=1, seconds=1,
                           routes=routes)
    return report.page(data, a)


def line(text, start):
    found = [one for one in text.splitlines() if one.startswith(f"| {start} |")]
    assert found, text
    return found[0]


def test_page_with_a_missed_and_a_met_gate():
    assert line(page(passes((10, 11)), ["small"]), scenarios.BY_NAME["small"].title).endswith("| missed |")
    assert line(page(passes((10, 11), (10, 12.5)), ["small"]), scenarios.BY_NAME["small"].title).endswith("| met |")


def test_page_without_ours():
    data = passes((10, 11))
    del data[0]["small"]["ours"]
    assert line(page(data, ["small"]), scenarios.BY_NAME["small"].title).endswith("| not measured |")


@pytest.mark.parametrize("many,verdict", [(10.2, "met, goal too"), (10.4, "met"), (10.6, "missed")])
def test_routes(many, verdict):
    data = [{"route": {"ours@1": run(10), "ours@1000": run(many), "nginx@1": run(10), "nginx@1000": run(12)}}]
    text = page(data, ["route"])
    assert line(text, "hinge").endswith(f"| {verdict} |")
    assert "+20.0 %" in line(text, "nginx")


def test_idle():
    data = [{"idle": {"ours": {"bytes": 700.0, "cpu": 0}, "nginx": {"bytes": 1050.0, "cpu": 0}}}]
    assert line(page(data, ["idle"]), "hinge") == "| hinge | 700 | 1000 (600) | met |"


def test_forward_proxies_have_a_table_of_their_own():
    data = [{"small": {"ours": run(10), "nginx": run(13), "haproxy": run(13)}, "fwdget": {"ours": run(10), "squid": run(45)}}]
    text = page(data, ["small", "fwdget"])
    assert line(text, scenarios.BY_NAME["fwdget"].title).endswith("| 4.00 Squid (4.80) | met |")
    assert "nginx" not in line(text, scenarios.BY_NAME["fwdget"].title) and "Squid" not in line(text, scenarios.BY_NAME["small"].title)


@pytest.mark.parametrize("cpu,memory,verdicts", [(10.05, 30, ["met, goal too"] * 2), (10.15, 50, ["met"] * 2), (10.3, 70, ["missed"] * 2)])
def test_a_list(cpu, memory, verdicts):
    data = [{"fwdlist": {"ours": run(10), "ours-list": dict(run(cpu), memory=1 + memory * 1024)}}]
    text = page(data, ["fwdlist"])
    assert [line(text, t).split("|")[-2].strip()
            for t in ("CPU a request, more", "memory of the whole server")] == verdicts


def test_idle_tunnels():
    assert line(page([{"fwdtunnels": {"ours": {"bytes": 1900.0, "cpu": 0}}}], ["fwdtunnels"]), "hinge") == "| hinge | 1900 | 2048 (1536) | met |"


def test_write_between_marks(tmp_path):
    doc = tmp_path / "performance.md"
    doc.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    for text in ("one\n", "two\n"):
        report.write_between_marks(doc, text)
        assert doc.read_text() == f"before\n{report.BEGIN}\n\n{text}\n{report.END}\nafter\n"
    doc.write_text("nothing\n")
    with pytest.raises(SystemExit):
        report.write_between_marks(doc, "x")


def test_every_gate_names_a_known_scenario():
    assert set(scenarios.DEFAULT) - set(scenarios.SPECIAL) <= set(scenarios.BY_NAME)
    assert set(scenarios.QUICK) <= set(scenarios.BY_NAME)


def test_templates():
    text = "a @X@\n@FOREACH_ROUTE@\nr@I@ @X@\n@END@\nz\n"
    assert render(text, {"X": 7}, 2) == "a 7\nr0 7\nr1 7\n\nz\n"
