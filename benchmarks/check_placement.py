"""Hold a result of benchmarks/placement_scale.py to its targets and the committed ranges: exit code 1 outside of them.

python benchmarks/check_placement.py [RESULT.json]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from treadle.bench.placement.report import Report, ratios_of, targets_of

HERE = Path(__file__).parent
EXPECTED = HERE / "expected_placement.json"
RESULT = HERE / "results" / "placement.json"


def read_expected() -> dict[str, tuple[float, float]]:
    """The committed ranges, by the names of ratios."""
    return msgspec.json.decode(EXPECTED.read_bytes(), type=dict[str, tuple[float, float]])


def failures(report: Report, expected: Mapping[str, tuple[float, float]]) -> list[str]:
    """Targets that were missed, and ratios outside of their ranges, one line each."""
    lines = [f"{target}: missed" for target, reached in targets_of(report).items() if not reached]
    measured = ratios_of(report)
    lines += [f"{name}: no range in {EXPECTED.name}" for name in measured.keys() - expected.keys()]
    lines += [f"{name}: no such ratio" for name in expected.keys() - measured.keys()]
    for name in measured.keys() & expected.keys():
        low, high = expected[name]
        if not low <= measured[name] <= high:
            lines.append(f"{name}: {measured[name]:.4g} lies outside {low:g} to {high:g}")
    return sorted(lines)


def main(arguments: Sequence[str]) -> int:
    """Compare; say what is missed or outside."""
    report = msgspec.json.decode((Path(arguments[0]) if arguments else RESULT).read_bytes(), type=Report)
    expected = read_expected()
    lines = failures(report, expected)
    print(*lines or [f"all targets are reached, and all of {len(expected)} ratios lie in their ranges"], sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
