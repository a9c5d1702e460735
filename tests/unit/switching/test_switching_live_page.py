"""The page of the live benchmark holds what its result holds, and ranges are enforced both ways."""

from __future__ import annotations

import msgspec
import pytest

from treadle.bench.serving.report import Machine
from treadle.bench.switching.checks import checks
from treadle.bench.switching.report import SWITCHING, Decisions, Report, Row, Tier


def make_row(contestant: str, deadline: float, accuracy: float) -> Row:
    return Row(
        contestant=contestant, deadline_ms=deadline, sent=100, effective_accuracy=accuracy,
        declared_accuracy=accuracy - 0.03, scraped_accuracy=accuracy - 0.01, counted_of_sent=1.0, violation_ratio=0.015,
        shed_ratio=0.01, p99_ms=10.0, switches_per_request=0.02, share_by_tier={"large": 0.75, "small": 0.25},
    )  # fmt: skip


@pytest.fixture(name="report")
def _report() -> Report:
    rows = [make_row(SWITCHING, deadline, 95.0) for deadline in (100.0, 200.0)]
    rows += [make_row("large", 100.0, 60.0), make_row("large", 200.0, 95.2), make_row("small", 100.0, 90.0)]
    rows += [make_row("small", 200.0, 90.0)]
    report = Report(
        Machine("a processor", 2, 8.0, "Linux"), {"python": "3.11"}, "treadle bench switching", "2026-01-01T00:00:00",
        False, 3, 20.0, ((0.0, 70.0), (4.0, 330.0)), (Tier("large", 99.0, 50.0), Tier("small", 90.0, 500.0)),
        Decisions(6.5, 21.5, 16, 256), tuple(rows),
    )  # fmt: skip
    return msgspec.structs.replace(report, checks=checks(report))


def test_the_page_holds_every_figure(script, report) -> None:
    text = script("switching_page").render(report)
    assert all(f"| {check.what} |" in text for check in report.checks)
    assert f"| {SWITCHING} | 95.00 (1.50) | 95.00 (1.50) | 95.00 |" in text
    assert "| large | 60.00 (1.50) | 95.20 (1.50) | 77.60 |" in text
    assert "| small | 200 | 90.00 | 89.97 | 89.99 | 1.50 | 1.00 | 10 | 0.0200 | large 75 %, small 25 % |" in text
    assert "0: 70, 4: 330" in text
    assert "21.5 µs at the 99th percentile" in text
    assert "a quick run" not in text
    assert "a quick run" in script("switching_page").render(msgspec.structs.replace(report, quick=True))


def test_a_target_that_is_missed_is_said(script, report) -> None:
    worse = msgspec.structs.replace(report.rows[1], effective_accuracy=90.0)
    spoilt = msgspec.structs.replace(report, rows=(report.rows[0], worse, *report.rows[2:]))
    spoilt = msgspec.structs.replace(spoilt, checks=checks(spoilt))
    assert "| at least -0.3 | -5.2 | **no** |" in script("switching_page").render(spoilt)


def test_a_page_is_written_from_a_result(script, report, tmp_path) -> None:
    result, page = tmp_path / "result.json", tmp_path / "page.md"
    result.write_bytes(msgspec.json.encode(report))
    script("switching_page").main([str(result), str(page)])
    assert page.read_text() == script("switching_page").render(report)


@pytest.mark.parametrize(("change", "code"), [(0.0, 0), (-1000.0, 1), (1000.0, 1)])
def test_too_good_is_as_wrong_as_too_bad(script, report, tmp_path, capsys, change: float, code: int) -> None:
    moved = tuple(msgspec.structs.replace(check, measured=check.measured + change) for check in report.checks)
    file = tmp_path / "result.json"
    file.write_bytes(msgspec.json.encode(msgspec.structs.replace(report, checks=moved)))
    assert script("check_switching").main([str(file)]) == code
    assert len(capsys.readouterr().out.splitlines()) == (len(moved) if code else 1)
