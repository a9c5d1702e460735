"""The committed page and plots say what the committed result says, and ranges are enforced."""

import hashlib

import msgspec
import pytest

from treadle.simulate.model_switching.checks import checks
from treadle.simulate.model_switching.report import Report


@pytest.fixture(name="report")
def _report(script):
    return msgspec.json.decode(script("model_switching_page").RESULT.read_bytes(), type=Report)


def test_the_committed_page_is_fresh(script, report):
    page = script("model_switching_page")
    assert page.PAGE.read_text() == page.render(report), "run: python benchmarks/model_switching_page.py"


def test_the_committed_plots_are_of_the_committed_result(script):
    page = script("model_switching_page")
    digest = hashlib.sha256(page.RESULT.read_bytes()).hexdigest()
    plots = sorted(page.FIGURES.glob("*.svg"))
    assert [plot.stem for plot in plots] == ["deadlines", "latency", "load-accuracy", "tails", "timeline"]
    assert all(digest in plot.read_text() for plot in plots), "run: make switching"
    text = page.PAGE.read_text()
    assert all(f"(model-switching/{plot.name})" in text for plot in plots)


def test_the_committed_result_was_judged_by_the_targets_of_today(report):
    assert report.seeds == 5
    assert report.checks == checks(report), "the targets changed: run make switching"
    assert all(check.measured is not None for check in report.checks)
    assert report.simulated


def test_the_committed_result_lies_in_the_committed_ranges(script, capsys):
    assert script("check_model_switching").main([]) == 0
    assert "25 figures" in capsys.readouterr().out


def test_a_worse_policy_leaves_the_ranges(script, report, tmp_path, capsys):
    spoilt = tuple(msgspec.structs.replace(check, measured=check.measured + 5.0) for check in report.checks)
    file = tmp_path / "result.json"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(report, checks=spoilt)))
    assert script("check_model_switching").main([str(file)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(report.checks)


def test_targets_judge_both_ways(report):
    worse = tuple(msgspec.structs.replace(row, effective_accuracy=50.0, violation_ratio=0.1) for row in report.rows)
    judged = {check.name: check.reached for check in checks(msgspec.structs.replace(report, rows=worse))}
    assert not any(judged[name] for name in ("algorithm1-750", "sticky-750", "sticky-violations-250", "fluid-below"))
    assert judged["neighbour"]
