"""Goodput, quantiles and medians, on records whose figures are known by counting."""

import math

import numpy as np
import pytest

from treadle.bench.analysis import median, summarise, throughput
from treadle.load.records import LOST, RECORD, UNANSWERED


def records(*rows):
    """Rows of (intended, finished, status)."""
    array = np.zeros(len(rows), RECORD)
    for index, (intended, finished, status) in enumerate(rows):
        array[index]["request"] = index
        array[index]["intended"], array[index]["finished"], array[index]["status"] = intended, finished, status
    return array


def test_each_request_of_the_window_is_counted_once():
    run = records(
        (0.5, 0.6, 200),  # before the window
        (1.0, 1.1, 200),
        (1.5, 1.9, 200),  # late
        (2.0, 2.1, 503),
        (2.1, 2.2, 429),
        (2.2, 2.3, 500),
        (2.3, 2.4, LOST),
        (2.5, 4.5, UNANSWERED),
        (3.0, 3.1, 200),  # after it
    )
    summary = summarise(run, deadline=0.2, begin=1.0, end=3.0)
    assert summary.offered_rps == 7 / 2
    assert summary.answered_rps == 2 / 2
    assert summary.goodput_rps == 1 / 2
    assert (summary.late, summary.refused, summary.failed, summary.unanswered) == (1, 2, 2, 1)
    assert summary.p50_ms == pytest.approx(400)  # of 100, 400 and at least 2000: not answering does not help


def test_quantiles_are_those_of_the_latencies():
    waited = np.linspace(0.001, 0.1, 1000)
    run = records(*((0.0, wait, 200) for wait in waited))
    summary = summarise(run, deadline=0.05, begin=0, end=1)
    assert summary.p50_ms == pytest.approx(1e3 * np.quantile(waited, 0.5))
    assert summary.p99_ms == pytest.approx(1e3 * np.quantile(waited, 0.99))
    assert summary.goodput_rps == (waited <= 0.05).sum()


def test_latency_counts_from_when_a_request_was_due():
    run = records((0.0, 1.0, 200))
    run["sent"] = 0.99
    assert summarise(run, deadline=0.5, begin=0, end=1).goodput_rps == 0


def test_no_answer_has_no_quantile():
    summary = summarise(records((0.0, 0.1, 503)), deadline=1, begin=0, end=1)
    assert math.isnan(summary.p50_ms)
    assert summary.goodput_rps == 0


def test_an_empty_window_is_refused():
    with pytest.raises(ValueError, match="window"):
        summarise(records(), deadline=1, begin=1, end=1)


def test_throughput_counts_answers_by_when_they_came():
    run = records((0, 0.9, 200), (0, 1.0, 200), (0, 1.5, 200), (0, 1.6, 503), (0, 2.0, 200))
    assert throughput(run, begin=1.0, end=2.0) == 2


def test_medians_are_taken_field_by_field():
    runs = [
        summarise(records(*((0.0, wait, 200) for _ in range(count))), deadline=0.05, begin=0, end=1)
        for count, wait in ((3, 0.01), (5, 0.1), (4, 0.02))
    ]
    middle = median(runs)
    assert middle.offered_rps == 4
    assert middle.p50_ms == pytest.approx(20)
    assert middle.goodput_rps == 3
