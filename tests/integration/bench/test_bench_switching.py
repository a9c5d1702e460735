"""The switching benchmark against a real server, as short as it goes; its targets need a quiet machine and minutes."""

import asyncio

import pytest
from rich.console import Console

from treadle.bench.progress import Progress
from treadle.bench.switching.report import SWITCHING
from treadle.bench.switching.run import Benchmark, Plan


def test_every_request_is_in_the_server_s_counters_and_its_worth_in_the_metric(tmp_path) -> None:
    plan = Plan(deadlines=(16.0,), rounds=1, seconds=3.0, saturation_seconds=0.5)
    with Progress(Console(stderr=True, quiet=True)) as progress:
        report = asyncio.run(Benchmark(plan, tmp_path, progress).run(quick=True, command="test"))
    assert [row.contestant for row in report.rows] == [SWITCHING, *(tier.name for tier in report.tiers)]
    assert all(row.counted_of_sent == 1.0 and row.sent > 20 for row in report.rows)
    for row in report.rows:
        # Answers at the edge of the deadline may be in time for the server and late for the client.
        assert row.scraped_accuracy == pytest.approx(row.declared_accuracy, abs=5.0)
        assert row.effective_accuracy == pytest.approx(row.declared_accuracy, abs=3.0)
        if row.contestant != SWITCHING:
            assert set(row.share_by_tier.values()) <= {0.0, 1.0}
