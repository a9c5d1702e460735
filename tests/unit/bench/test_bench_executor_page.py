"""The page on the executor holds what its results hold, and ranges are enforced both ways."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from treadle.bench.host.report import Report as Host
from treadle.bench.host.report import Row
from treadle.bench.host.subjects import SUBJECTS
from treadle.bench.scheduling.decisions import Decisions
from treadle.bench.scheduling.report import Plays, checks
from treadle.bench.scheduling.report import Report as Scheduling
from treadle.bench.serving.report import Machine

MACHINE = Machine("a processor", 2, 8.0, "Linux")
ROOT = Path(__file__).parents[3]


def make_host(**change: object) -> Host:
    """Every target is reached just so."""
    rows = [
        Row(one.name, one.tenants, "merged", 0.002, one.target + 0.2, one.target, one.target - 0.1, one.target, 1e-6)
        for one in SUBJECTS
    ]
    rows[0] = msgspec.structs.replace(rows[0], **change)
    return Host(MACHINE, {"python": "3.11"}, "treadle bench host", "2026-01-01T00:00:00", tuple(rows))


def make_scheduling(*, missed: int = 1100, p99: float = 49e-6, broken: int = 0) -> Scheduling:
    plays = [
        Plays(error, delays, 250_000, missed if delays else 1000, 10, 2000, 5000, 70, 100.0)
        for error in (0.0, 0.2)
        for delays in (True, False)
    ]
    plays[0].forks, plays[0].fork_requests, plays[0].broken = 1234, 56_789, broken
    decisions = [
        Decisions(64, 256, 10e-6, p99, 3.5, 75e-6, (p99, 2 * p99)),
        Decisions(1000, 4000, 40e-6, 300e-6, 4.5, 400e-6, (300e-6, 320e-6)),
    ]
    judged = tuple(checks(plays, decisions))
    return Scheduling("treadle bench scheduling", "2026-01-01T00:00:00", MACHINE, plays, decisions, judged)


def test_the_page_holds_every_figure(script) -> None:
    text = script("executor_page").render(make_host(), make_scheduling())
    assert "| MLP 64-64-10 | 64 | merged | 2.000 | 8.20× | 8.00× | 7.90× | 8.00× | yes |" in text
    assert all(f"| {one.name} |" in text for one in SUBJECTS)
    assert all(f"| {check.what} |" in text for check in make_scheduling().checks)
    assert "| 20% | yes | 250,000 | 1,100 | 10 | 70 | 2.50 | 100 |" in text
    assert "| 64 | 256 | 10.0 | 49.0 | 49.0–98.0 | 75.0 | 3.5 |" in text
    assert "250,000 distinct requests in random worlds, each played in 4 ways, which makes 1,000,000:" in text
    assert "in time. 1,234\ndelays" in text
    assert "56,789 requests" in text
    assert "No GPU code ran" in text
    assert text.count("a processor, 2 cores") == 2
    assert "**no**" not in text


def test_what_is_missed_or_left_out_is_said(script) -> None:
    host = msgspec.structs.replace(make_host(speed=7.9), left_out=(("magika", "no wheel"),))
    text = script("executor_page").render(host, make_scheduling(p99=51e-6))
    assert text.count("**no**") == 2
    assert "Left out: magika, no wheel" in text


def test_good_results_lie_in_the_committed_ranges(script) -> None:
    assert script("check_executor").failures(make_host(), make_scheduling()) == []


@pytest.mark.parametrize(
    ("host", "scheduling", "line"),
    [
        ({"speed": 1.9}, {}, "MLP 64-64-10: 1.9 lies outside 3 to 40"),
        ({"speed": 1e9}, {}, "MLP 64-64-10: 1e+09 lies outside 3 to 40"),
        ({"deviation": 0.5}, {}, "MLP 64-64-10: answers differ by 0.5"),
        ({}, {"p99": 126e-6}, "decision-p99: 126 lies outside 1 to 75"),
        ({}, {"broken": 1}, "delay-known: 1 lies outside 0 to 0"),
    ],
)
def test_too_good_is_as_wrong_as_too_bad(script, host, scheduling, line: str) -> None:
    assert script("check_executor").failures(make_host(**host), make_scheduling(**scheduling)) == [line]


def test_delays_that_cost_more_than_one_request_in_a_thousand(script) -> None:
    lines = script("check_executor").failures(make_host(), make_scheduling(missed=1000 + 251))
    assert [line.split(":")[0] for line in lines] == ["delay-misses-0", "delay-misses-0.2"]


def test_ranges_and_figures_name_each_other_and_reach_the_targets(script) -> None:
    check = script("check_executor")
    expected = script("ranges").read(check.EXPECTED)
    assert expected.keys() == check.figures(make_host(), make_scheduling()).keys()
    for subject in SUBJECTS:
        assert expected[subject.name][0] <= subject.target <= expected[subject.name][1]


def test_what_is_committed_is_fresh_and_judged_by_todays_targets(script) -> None:
    page = script("executor_page")
    assert page.PAGE.exists() == page.HOST.exists() == page.SCHEDULING.exists(), "run: make executor"
    for host, scheduling in [page.read()] if page.PAGE.exists() else []:
        assert page.PAGE.read_text() == page.render(host, scheduling), "run: python benchmarks/executor_page.py"
        assert [(row.subject, row.target) for row in host.rows] == [(one.name, one.target) for one in SUBJECTS]
        assert list(scheduling.checks) == list(checks(scheduling.plays, scheduling.decisions))
        assert script("check_executor").failures(host, scheduling) == []


def test_make_runs_and_checks_it() -> None:
    [rule] = re.findall(r"^executor: .*?(?=^\S|\Z)", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert re.findall(r"bench (\w+)|benchmarks/(\w+)\.py", rule) == [
        ("host", ""), ("scheduling", ""), ("", "executor_page"), ("", "readme_figures"), ("", "check_executor"),
    ]  # fmt: skip
