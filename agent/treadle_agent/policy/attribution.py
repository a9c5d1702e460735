"""Whose time a launch was: the seconds of a super-kernel divided by what its problems would cost alone."""

from __future__ import annotations

from collections.abc import Sequence


def attribute(seconds: float, alone: Sequence[float]) -> list[float]:
    """Divide `seconds`, which sum to the result, by the problems' expected costs `alone`, seconds each.

    An equal split would let a large problem be paid for by the small ones beside it. Where nothing is known of the
    costs (all zero), the split is equal.
    """
    total = sum(alone)
    if total <= 0.0:
        return [seconds / len(alone)] * len(alone)
    return [seconds * cost / total for cost in alone]
