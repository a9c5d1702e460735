"""The committed result of the live benchmark: its page is fresh, and it lies in the committed ranges."""

import msgspec
import pytest

from treadle.bench.switching.checks import checks
from treadle.bench.switching.report import Report
from treadle.bench.switching.run import FULL


@pytest.fixture(name="report")
def _report(script):
    return msgspec.json.decode(script("switching_page").RESULT.read_bytes(), type=Report)


def test_the_committed_page_is_fresh(script, report):
    page = script("switching_page")
    assert page.PAGE.read_text() == page.render(report), "run: python benchmarks/switching_page.py"


def test_the_committed_result_was_judged_by_the_targets_of_today(report):
    assert report.checks == checks(report), "the targets changed: run make switching-live"


def test_the_committed_result_is_that_of_a_full_run(report):
    assert (report.quick, report.rounds) == (False, FULL.rounds)
    assert len({row.deadline_ms for row in report.rows}) == len(FULL.deadlines)


def test_the_committed_result_lies_in_the_committed_ranges(script, capsys):
    assert script("check_switching").main([]) == 0
    assert "5 figures" in capsys.readouterr().out
