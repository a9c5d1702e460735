"""Targets are ratios of a report's figures, reached or not, and unknown where they were not measured."""

import msgspec
import pytest

from treadle.bench.serving.checks import checks
from treadle.bench.serving.report import Report


def by_name(report):
    return {check.name: check for check in checks(report)}


def test_a_report_that_reaches_every_target(report):
    assert {check.reached for check in checks(report)} == {True}
    assert len(by_name(report)) == len(checks(report)) == 14


def test_ratios(report):
    found = by_name(report)
    assert found["throughput-binary"].measured == pytest.approx(1.5)
    assert found["throughput-mlserver"].measured == pytest.approx(7000 / 1600)
    assert found["overload-mlp-json-mlserver"].measured == pytest.approx(5)
    assert found["overload-mlp-binary-aiohttp"].measured == 1000  # (a) answered nothing in time
    assert found["merging-factor"].measured == 5.5
    assert found["memory-merged"].measured == pytest.approx(65 / 60)
    assert found["memory-segments"].measured == pytest.approx(700 / 1500)


def spoilt(report, suite, server, **changes):
    """The report with other figures in every row of `server` in `suite`."""
    rows = [
        msgspec.structs.replace(row, **changes) if (row.suite, row.server) == (suite, server) else row
        for row in report.rows
    ]
    return msgspec.structs.replace(report, rows=tuple(rows))


@pytest.mark.parametrize(
    ("suite", "server", "changes", "name"),
    [
        ("magika", "treadle:space-time", {"p50_ms": 1.31}, "latency-magika"),
        ("rapidocr-cls", "aiohttp", {"p50_ms": 0.5}, "latency-rapidocr-cls"),
        ("mlp-json", "aiohttp", {"goodput_rps": 400.0}, "overload-mlp-json-aiohttp"),
        ("mlp-binary", "treadle:space-time", {"goodput_rps": 0.0}, "overload-mlp-binary-aiohttp"),
    ],
)
def test_a_figure_that_misses_its_target_is_told(report, suite, server, changes, name):
    missed = {check.name for check in checks(spoilt(report, suite, server, **changes)) if check.reached is False}
    assert name in missed


def test_too_little_merging_is_told(report):
    few = tuple(msgspec.structs.replace(one, merge_factor=3.9) for one in report.saturation)
    found = by_name(msgspec.structs.replace(report, saturation=few))
    assert found["merging-factor"].reached is False
    assert found["merging-requests"].reached is True


def test_what_was_not_measured_is_neither_reached_nor_missed(report):
    nothing = msgspec.structs.replace(report, rows=(), saturation=(), memory=())
    assert {check.reached for check in checks(nothing)} == {None}
    assert {check.measured for check in checks(nothing)} == {None}


def test_reports_survive_json(report):
    report = msgspec.structs.replace(report, checks=checks(report))
    document = msgspec.json.encode(report)
    assert msgspec.json.decode(document, type=Report) == report
    row = msgspec.json.decode(document)["rows"][0]
    assert {"server", "load", "offered_rps", "goodput_rps", "p50_ms", "p99_ms"} <= set(row)
