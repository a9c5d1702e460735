"""After devices that could not load a tenant, others are tried less and less often."""

from __future__ import annotations

from treadle_operator.policy.retries import LONGEST_WAIT, MOST_FAILED, next_try


def test_the_first_try_needs_no_wait() -> None:
    assert next_try([], 100.0) is None


def test_waits_grow_and_end() -> None:
    waits = []
    for count in range(1, 6):
        at = next_try([0.0] * count, 0.0)
        assert at is not None
        assert next_try([0.0] * count, at - 0.001) == at
        assert next_try([0.0] * count, at) is None
        waits.append(at)
    assert waits == sorted(waits)
    assert waits[0] <= 20.0
    assert waits[MOST_FAILED - 1] >= 600.0
    assert waits[-1] == LONGEST_WAIT


def test_the_wait_is_from_the_latest_failure() -> None:
    first, second = next_try([0.0], 0.0), next_try([50.0], 50.0)
    assert first is not None
    assert second == first + 50.0
