"""Latencies by bucket: counts add up over replicas, and quantiles are right within a bucket."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_api.histogram import BOUNDS, add, quantile

latencies = st.lists(st.floats(1e-6, 200.0), min_size=1, max_size=60)


def counted(values: list[float]) -> tuple[int, ...]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return tuple(counts)


def test_the_bounds_are_five_a_decade_from_100_us_to_100_s():
    assert (BOUNDS[0], BOUNDS[-1], len(BOUNDS)) == (1e-4, 100.0, 31)
    assert all(high / low == pytest.approx(10**0.2, rel=1e-3) for low, high in pairwise(BOUNDS))
    assert BOUNDS[5::5] == (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)


@given(st.lists(latencies, max_size=4))
def test_the_sum_of_histograms_is_the_histogram_of_all(replicas):
    assert add(map(counted, replicas)) == counted([value for values in replicas for value in values])


def test_nothing_adds_up_to_zeros():
    assert add([]) == add([(), ()]) == (0,) * 32
    assert quantile(add([]), 0.99) is None
    assert quantile((), 0.5) is None


@given(latencies, st.floats(0.0, 1.0, exclude_min=True))
def test_a_quantile_lies_in_the_bucket_of_the_observation_of_that_rank(values, share):
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    found = quantile(counted(values), share)
    bucket = bisect_left(BOUNDS, exact)
    if bucket == len(BOUNDS):
        assert found == BOUNDS[-1], "what is longer than all bounds is reported as the longest"
    else:
        low = BOUNDS[bucket - 1] if bucket else 0.0
        assert found is not None
        assert low * (1 - 1e-9) <= found <= BOUNDS[bucket] * (1 + 1e-9)


@given(latencies, st.tuples(st.floats(0.01, 1.0), st.floats(0.01, 1.0)))
def test_quantiles_do_not_fall_as_the_share_rises(values, shares):
    counts = counted(values)
    low, high = (quantile(counts, share) for share in sorted(shares))
    assert low is not None
    assert high is not None
    assert low <= high * (1 + 1e-12)


def test_a_quantile_is_interpolated_inside_its_bucket():
    counts = [0] * 32
    counts[10] = 4  # 6.3 to 10 ms
    assert quantile(counts, 1.0) == BOUNDS[10]
    assert quantile(counts, 0.5) == pytest.approx((BOUNDS[9] + BOUNDS[10]) / 2)


def test_counts_by_other_bounds():
    assert quantile([0, 4, 0], 0.5, (1.0, 3.0)) == 2.0
    assert quantile([0, 0, 2], 0.5, (1.0, 3.0)) == 3.0, "what is longer than all bounds is reported as the longest"
