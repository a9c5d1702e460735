"""The benchmark of the operator at scale: targets and ranges are enforced, and the page says what the result says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from treadle.bench.placement.report import PartReport, Report, ratios_of, targets_of
from treadle.bench.serving.report import Machine

ROOT = Path(__file__).parents[3]


@pytest.fixture
def report() -> Report:
    """Reaches every target, each just so."""
    return Report(
        command="python benchmarks/placement_scale.py",
        date="2026-01-01",
        machine=Machine("a processor", 2, 8.0, "Linux"),
        versions={"python": "3.11"},
        tenants=2000,
        nodes=200,
        cold=PartReport(60.0, 80.0, 20, 0.5, 1.0, 5.75, 2.25),
        loss=PartReport(16.0, 16.5, 7, 0.5, 0.7, 0.54, 0.2),
        edit=PartReport(25.0, 75.0, 21, 0.7, 0.9, 2.8, 2.0),
        create_seconds=4.0,
        edit_seconds=25.0,
        moved_tenants=200,
        rss_mib=300.0,
    )


MISSED = {
    "all placed within 60 s": {"cold": {"placed_seconds": 60.1}},
    "plan p99 within 1 s": {"edit": {"plan_p99_seconds": 1.5}},
    "at most 8 writes a tenant": {"cold": {"agent_writes": 2.3}},
    "operator within 300 MiB": {"rss_mib": 300.1},
}


def changed(report: Report, change: dict[str, object]) -> Report:
    parts = {
        name: msgspec.structs.replace(getattr(report, name), **value) if isinstance(value, dict) else value
        for name, value in change.items()
    }
    return msgspec.structs.replace(report, **parts)


def test_a_good_report_passes(script, report, tmp_path, capsys) -> None:
    check = script("check_placement")
    assert all(targets_of(report).values())
    assert check.failures(report, check.read_expected()) == []
    result = tmp_path / "result.json"
    result.write_bytes(msgspec.json.encode(report))
    assert check.main([str(result)]) == 0
    assert "all targets are reached" in capsys.readouterr().out


@pytest.mark.parametrize("target", MISSED)
def test_a_target_that_is_missed_fails_whatever_the_ranges_say(script, report, tmp_path, capsys, target: str) -> None:
    missed = changed(report, MISSED[target])
    assert [name for name, reached in targets_of(missed).items() if not reached] == [target]
    wide = dict.fromkeys(ratios_of(report), (0.0, 1000000000.0))
    assert script("check_placement").failures(missed, wide) == [f"{target}: missed"]
    result = tmp_path / "result.json"
    result.write_bytes(msgspec.json.encode(missed))
    assert script("check_placement").main([str(result)]) == 1
    assert f"{target}: missed" in capsys.readouterr().out
    assert f"| {target} |" in script("scale_page").render(missed)
    assert "**no**" in script("scale_page").render(missed)


def test_too_good_is_as_wrong_as_too_bad_and_ranges_and_ratios_name_each_other(script, report) -> None:
    check = script("check_placement")
    ranges = check.read_expected()
    assert ranges.keys() == ratios_of(report).keys()
    assert ranges["writes-a-tenant"][1] <= 8
    cheap = changed(report, {"cold": {"operator_writes": 1.0, "agent_writes": 0.0}})
    assert check.failures(cheap, ranges) == ["writes-a-tenant: 1 lies outside 4 to 8"]
    assert check.failures(report, {**ranges, "other": (0.0, 1.0)}) == ["other: no such ratio"]
    del ranges["rss-mib"]
    assert check.failures(report, ranges) == ["rss-mib: no range in expected_placement.json"]


def test_the_page_holds_every_figure(script, report) -> None:
    text = script("scale_page").render(report)
    assert "2,000 tenants on 200 nodes" in text
    assert "| cold | 60.0 | 80.0 | 20 | 0.5 | 1 | 5.8 | 2.2 |" in text
    assert "| loss | 16.0 | 16.5 | 7 | 0.5 | 0.7 | 5.4 | 2.0 |" in text, "of the moved ones"
    assert "| edit | 25.0 | 75.0 | 21 | 0.7 | 0.9 | 2.8 | 2.0 |" in text
    assert "| at most 8 writes a tenant | 8.0 | yes |" in text
    assert "**no**" not in text


def test_the_committed_page_is_fresh(script) -> None:
    page = script("scale_page")
    report = msgspec.json.decode(page.RESULT.read_bytes(), type=Report)
    assert page.PAGE.read_text() == page.render(report), "run: python benchmarks/scale_page.py"
    assert report.targets == targets_of(report), "the targets changed: run make scale"


def test_make_runs_and_checks_it() -> None:
    [rule] = re.findall(r"^scale: .*?(?=^\S|\Z)", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert re.findall(r"benchmarks/(\w+)\.py", rule) == ["placement_scale", "scale_page", "check_placement"]
