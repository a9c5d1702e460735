"""How long an answer about a caller is believed, and that what is kept of answers is bounded."""

from __future__ import annotations

import pytest

from treadle_callers.answers import Answer, Answers, AnswerTiming, Standing

TIMING = AnswerTiming(believed=60.0, outage=300.0, refused=5.0, retry=5.0)
FRESH, DUE, OLD = Standing.FRESH, Standing.DUE, Standing.OLD


@pytest.mark.parametrize(
    ("granted", "age", "standing"),
    [
        (True, 0.0, FRESH), (True, 29.9, FRESH), (True, 30.0, DUE), (True, 59.9, DUE), (True, 60.0, OLD),
        (True, 359.9, OLD), (True, 360.0, None),
        (False, 0.0, FRESH), (False, 4.9, FRESH), (False, 5.0, OLD), (False, 359.9, OLD), (False, 360.0, None),
    ],
)  # fmt: skip
def test_by_age(granted: bool, age: float, standing: Standing | None) -> None:
    assert Answer("x", granted, asked=100.0).standing(TIMING, 100.0 + age) is standing


@pytest.mark.parametrize(
    ("age", "since", "standing"),
    [
        (40.0, 1.0, FRESH), (40.0, 5.0, DUE),
        # Old: believed since nobody answers, tried again beside it; who comes later waits for an answer.
        (100.0, 0.0, FRESH), (100.0, 4.9, FRESH), (100.0, 5.0, DUE), (100.0, 9.9, DUE), (100.0, 10.0, OLD),
        (360.0, 0.0, None),
    ],
)  # fmt: skip
def test_while_nobody_answers(age: float, since: float, standing: Standing | None) -> None:
    answer = Answer("x", granted=True, asked=0.0, failed=age - since)
    assert answer.standing(TIMING, age) is standing


def test_a_no_is_never_believed_for_longer_than_a_yes() -> None:
    timing = AnswerTiming(believed=1.0, outage=0.0, refused=5.0)
    assert Answer("x", granted=False, asked=0.0).standing(timing, 1.0) is None


def test_what_is_too_old_is_forgotten() -> None:
    answers = Answers[str, str](TIMING, most=4)
    answers.put("a", "yes", granted=True, asked=0.0)
    assert answers.find("a", 360.0) is None
    assert len(answers) == 0


def test_a_failure_is_kept_with_the_answer_and_a_new_answer_forgets_it() -> None:
    answers = Answers[str, str](TIMING, most=4)
    answers.failed("nobody", 0.0)
    answers.put("a", "yes", granted=True, asked=0.0)
    answers.failed("a", 100.0)
    found = answers.find("a", 101.0)
    assert found is not None
    assert found[1] is FRESH
    answers.put("a", "yes", granted=True, asked=102.0)
    assert answers.find("a", 162.0) == (Answer("yes", granted=True, asked=102.0), OLD)


def test_the_longest_unused_makes_room() -> None:
    answers = Answers[str, str](TIMING, most=2)
    for key in "ab":
        answers.put(key, key, granted=True, asked=0.0)
    answers.find("a", 1.0)
    answers.put("c", "c", granted=True, asked=1.0)
    assert [answers.find(key, 1.0) is not None for key in "abc"] == [True, False, True]


def test_refusals_drive_out_no_grant() -> None:
    answers = Answers[int, bool](TIMING, most=2)
    answers.put(-1, True, granted=True, asked=0.0)
    for key in range(100):
        answers.put(key, False, granted=False, asked=0.0)
    assert answers.find(-1, 1.0) is not None
    assert len(answers) == 3


def test_the_last_answer_counts_whichever_it_is() -> None:
    answers = Answers[str, bool](TIMING, most=2)
    for granted in (True, False, True):
        answers.put("a", granted, granted=granted, asked=0.0)
        found = answers.find("a", 1.0)
        assert found is not None
        assert found[0].value is granted
        assert len(answers) == 1
