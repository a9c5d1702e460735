"""Hold a result of `treadle bench serving` to the committed ranges: exit code 1 when a ratio lies outside.

    python benchmarks/check_expected.py [RESULT.json]

Ranges are ratios within one run, so that they hold on any machine. Their outer ends catch a benchmark that has broken:
a ratio that is too good is as wrong as one that is not good enough. What a run did not measure is named, and passes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

import ranges
from treadle.bench.serving.report import Report

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
RESULT = HERE / "results" / "serving.json"


def outside(report: Report, expected: Mapping[str, tuple[float, float]]) -> list[str]:
    """What lies outside its range, one line each; a check without a range, or a range without a check, is such too."""
    return ranges.outside({check.name: check.measured for check in report.checks}, expected, EXPECTED.name)


def main(arguments: Sequence[str]) -> int:
    """Compare; say what is outside or was not measured."""
    result = Path(arguments[0]) if arguments else RESULT
    report = msgspec.json.decode(result.read_bytes(), type=Report)
    expected = ranges.read(EXPECTED)
    for check in report.checks:
        if check.measured is None:
            print(f"not measured: {check.name}")
    lines = outside(report, expected)
    print(*lines or [f"all of {len(expected)} ratios lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
