"""Hold the results on the executor to the committed ranges: exit code 1 when a figure lies outside.

python benchmarks/check_executor.py

The ranges hold what was reached, so that it does not get worse unnoticed; whether a target is reached the page says.
"""

from __future__ import annotations

import sys
from pathlib import Path

import ranges
from executor_page import read
from treadle.bench.host.report import Report as Host
from treadle.bench.scheduling.report import Report as Scheduling

EXPECTED = Path(__file__).parent / "expected_executor.json"


def figures(host: Host, scheduling: Scheduling) -> dict[str, float]:
    """What the ranges are about, by name."""
    speeds = {row.subject: row.speed for row in host.rows}
    return speeds | {check.name: check.measured for check in scheduling.checks}


def failures(host: Host, scheduling: Scheduling) -> list[str]:
    """What lies outside its range, and what was answered wrongly; one line each."""
    wrong = [f"{row.subject}: answers differ by {row.deviation:.1g}" for row in host.rows if not row.right]
    return wrong + ranges.outside(figures(host, scheduling), ranges.read(EXPECTED), EXPECTED.name)


def main() -> int:
    """Compare; say what is outside."""
    results = read()
    lines = failures(*results)
    print(*lines or [f"all of {len(figures(*results))} figures lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
