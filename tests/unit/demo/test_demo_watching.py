"""What is shown while the demo runs, and what is read from /metrics."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from treadle.demo.counters import Counters, parse_counters
from treadle.demo.runs import Sample
from treadle.demo.table import LiveTable, PlainLines
from treadle.load.records import Batch

METRICS = """\
# TYPE treadle_requests counter
treadle_requests_total{tenant="a",tenant_namespace="default",tier="x",outcome="good"} 7.0
treadle_requests_total{tenant="a",tenant_namespace="default",tier="",outcome="shed"} 2.0
treadle_requests_total{tenant="b",tenant_namespace="default",tier="x",outcome="good"} 0.0
# TYPE treadle_super_kernel_problems histogram
treadle_super_kernel_problems_bucket{device="host",le="1.0"} 2.0
treadle_super_kernel_problems_bucket{device="host",le="+Inf"} 10.0
treadle_super_kernel_problems_count{device="host"} 10.0
treadle_super_kernel_problems_sum{device="host"} 34.0
"""


def test_counters_sum_outcomes_and_know_the_merge_factor():
    counters = parse_counters(METRICS)
    assert counters == Counters({"a": 9, "b": 0}, launches=10, problems=34)
    later = Counters({"a": 10, "b": 1, "c": 5}, launches=12, problems=44).since(counters)
    assert later == Counters({"a": 1, "b": 1, "c": 5}, launches=2, problems=10)
    assert later.merge_factor == 5.0
    assert np.isnan(counters.since(counters).merge_factor)


@pytest.fixture
def in_the_spike(tenants, synthetic_run):
    """The batches of a run of 9 s up to its spike, and the table that saw them."""
    run = synthetic_run("main", "main", late=0.5)
    table = LiveTable(tenants, run.seconds)
    records = run.records[run.records["finished"] < 5.0]
    return table, [Batch(part, run.tiers) for part in np.array_split(records, 20)], len(records)


def test_the_table_shows_every_tenant_its_tier_and_all_requests(in_the_spike, tenants):
    table, batches, count = in_the_spike
    for batch in batches:
        table.answered(batch)
    table.counted(Sample(4.0, Counters({}, 100, 100)))
    table.counted(Sample(4.5, Counters({}, 200, 500)))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table)
    text = console.export_text()
    assert "SPIKE" in text
    assert "merge factor 4.0" in text
    rows = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert all(len(line) <= 80 for line in text.splitlines())
    for tenant in tenants:
        assert tenant.name in rows
    assert "small" in rows["pages-1"]
    assert f"so far {count} requests" in table.line()


def test_plain_lines_come_every_few_seconds(in_the_spike, capsys):
    table, batches, _ = in_the_spike
    lines = PlainLines(table, Console(width=80))
    for batch in batches:
        lines.answered(batch)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1
    assert printed[0].split()[1] == "s"
