from __future__ import annotations

import pytest

from treadle_agent.executor.flight_record import Activity, Flight
from treadle_agent.executor.supervisor_settings import SupervisorSettings
from treadle_agent.executor.watchdog import find_hang

SETTINGS = SupervisorSettings(hang_floor=5.0, hang_factor=20.0, silence=3.0)
NOW = 1000.0


def flight(age: float, expected: float, slot: int = 0) -> Flight:
    return Flight(slot, 1, Activity.LAUNCH, (slot,), NOW - age, expected, complete=True)


@pytest.mark.parametrize(
    ("age", "expected", "hangs"),
    [(4.9, 0.001, False), (5.1, 0.001, True), (5.1, 0.3, False), (6.1, 0.3, True), (19.0, 1.0, False)],
)
def test_a_launch_hangs_past_both_limits(age: float, expected: float, hangs: bool) -> None:
    assert (find_hang(SETTINGS, [flight(age, expected)], NOW, None) is not None) == hangs


def test_only_the_launches_that_hang_are_named() -> None:
    hang = find_hang(SETTINGS, [flight(1.0, 0.1), flight(7.0, 0.1, slot=3)], NOW, None)
    assert hang is not None
    assert [one.slot for one in hang.flights] == [3]
    assert "ran for 7.0 s" in hang.reason


def test_silence_counts_only_when_nothing_runs_and_something_is_owed() -> None:
    assert find_hang(SETTINGS, [], NOW, None) is None
    assert find_hang(SETTINGS, [], NOW, NOW - 2.9) is None
    assert find_hang(SETTINGS, [flight(1.0, 0.1)], NOW, NOW - 100) is None
    hang = find_hang(SETTINGS, [], NOW, NOW - 3.1)
    assert hang is not None
    assert hang.flights == ()
