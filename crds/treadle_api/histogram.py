"""Latencies counted by bucket, so that replicas' figures add up (quantiles would not)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from treadle_api.units import Seconds

# Upper bounds in seconds, five a decade from 100 µs to 100 s: a quantile is known within 1.6×. Part of the API: an
# InferenceReplica's `latencyCounts` has one count for each, and a last one for what is longer.
BOUNDS: tuple[Seconds, ...] = tuple(Seconds(round(1e-4 * 10 ** (step / 5), 8)) for step in range(31))


def add(histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The counts of all, bucket by bucket; zeros for none."""
    total = [0] * (len(BOUNDS) + 1)
    for counts in histograms:
        for index, count in enumerate(counts):
            total[index] += count
    return tuple(total)


def quantile(counts: Sequence[int], share: float, bounds: Sequence[float] = BOUNDS) -> Seconds | None:
    """The quantile `share` (0–1), interpolated inside its bucket; None without observations.

    `bounds`: upper bounds of all buckets but the last one, of what is longer.
    """
    wanted, seen = share * sum(counts), 0
    if wanted <= 0:
        return None
    for index, count in enumerate(counts):
        if count and seen + count >= wanted:
            if index == len(bounds):
                break
            below = bounds[index - 1] if index else 0.0
            return Seconds(below + (bounds[index] - below) * (wanted - seen) / count)
        seen += count
    return Seconds(bounds[-1])
