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

from treadle.bench.serving.report import Report

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
RESULT = HERE / "results" / "serving.json"


def outside(report: Report, expected: Mapping[str, tuple[float, float]]) -> list[str]:
    """What lies outside its range, one line each; a check without a range, or a range without a check, is such too."""
    measured = {check.name: check.measured for check in report.checks}
    lines = [f"{name}: no such check in the result" for name in expected if name not in measured]
    for name, value in measured.items():
        if name not in expected:
            lines.append(f"{name}: no range in {EXPECTED.name}")
        elif value is not None and not expected[name][0] <= value <= expected[name][1]:
            low, high = expected[name]
            lines.append(f"{name}: {value:.3g} lies outside {low:g} to {high:g}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Compare; say what is outside or was not measured."""
    result = Path(arguments[0]) if arguments else RESULT
    report = msgspec.json.decode(result.read_bytes(), type=Report)
    expected = msgspec.json.decode(EXPECTED.read_bytes(), type=dict[str, tuple[float, float]])
    for check in report.checks:
        if check.measured is None:
            print(f"not measured: {check.name}")
    lines = outside(report, expected)
    print(*lines or [f"all of {len(expected)} ratios lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
