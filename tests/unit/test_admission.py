"""Early refusal: nobody while turns are short, everybody when they are far too long, evenly between."""

import pytest

from treadle_agent.policy.admission import BEGIN_SHARE, END_SHARE, ORDINARY_TURN, Admission


@pytest.mark.parametrize(
    ("turn_share", "refused"),
    [(0.0, 0), (BEGIN_SHARE, 0), ((BEGIN_SHARE + END_SHARE) / 2, 500), (END_SHARE, 1000), (9.0, 1000)],
)
def test_the_share_refused_grows_with_the_length_of_a_turn(turn_share: float, refused: int) -> None:
    admission = Admission()
    answers = [admission.admit(turn_share * 0.5, 0.5) for _ in range(1000)]
    assert answers.count(False) == pytest.approx(refused, abs=1)


def test_refusals_are_spread_evenly() -> None:
    admission = Admission()
    quarter = BEGIN_SHARE + (END_SHARE - BEGIN_SHARE) / 4
    answers = [admission.admit(quarter, 1.0) for _ in range(100)]
    assert all(answers[start : start + 4].count(False) <= 1 for start in range(0, 100, 4))


def test_who_has_time_is_taken_on_while_who_has_none_is_refused() -> None:
    admission = Admission()
    assert not any(admission.admit(0.02, 0.05) for _ in range(3))
    assert all(admission.admit(0.02, 1.0) for _ in range(10))


def test_an_ordinary_turn_refuses_nobody_however_short_the_deadline() -> None:
    admission = Admission()
    assert all(admission.admit(ORDINARY_TURN, 0.002) for _ in range(100))
