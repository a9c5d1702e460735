"""Effective accuracy is counted from answers: what is late, shed, failed or unanswered earns nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from treadle.demo.scoring import between, of_targets, score
from treadle.load.records import LOST, UNANSWERED

DEADLINES = [0.1, 0.1, 0.05]


def test_an_answer_in_time_earns_the_share_of_its_labels_that_are_right(record):
    result = score(np.concatenate([record(correct=3), record(correct=4)]), DEADLINES)
    assert (result.sent, result.good) == (2, 2)
    assert result.effective_accuracy == pytest.approx(87.5)
    assert result.error == pytest.approx(12.5 / np.sqrt(2))


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"latency": 0.11}, "late"),
        ({"latency": 0.06, "target": 2}, "late"),
        ({"status": 503}, "shed"),
        ({"status": 429}, "shed"),
        ({"status": 500}, "failed"),
        ({"status": 400}, "failed"),
        ({"status": LOST}, "failed"),
        ({"status": UNANSWERED}, "unanswered"),
    ],
)
def test_anything_else_counts_once_and_earns_nothing(record, fields, outcome):
    result = score(record(**fields), DEADLINES)
    assert getattr(result, outcome) == 1
    assert result.good + result.late + result.shed + result.failed + result.unanswered == result.sent == 1
    assert result.effective_accuracy == 0.0


def test_latencies_are_of_answers_good_and_late(record):
    records = np.concatenate([record(latency=0.02), record(latency=0.3), record(status=503, latency=9.0)])
    assert score(records, DEADLINES).p50 == pytest.approx(0.16)
    assert math.isnan(score(record(status=503), DEADLINES).p99)


def test_nothing_sent_has_no_accuracy(record):
    assert math.isnan(score(record()[:0], DEADLINES).effective_accuracy)


def test_records_are_chosen_by_when_they_were_due_and_by_target(record):
    records = np.concatenate([record(intended=each, target=target) for each, target in ((0.5, 0), (1.0, 1), (2.0, 2))])
    assert between(records, 1.0, 2.0)["target"].tolist() == [1]
    assert of_targets(records, [0, 2])["target"].tolist() == [0, 2]
