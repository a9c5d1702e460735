from __future__ import annotations

import pytest

from treadle_agent.executor.flight_record import Activity, Flight
from treadle_agent.executor.post_mortem import examine
from treadle_agent.executor.replay import End
from treadle_agent.executor.watchdog import Hang


def flight(activity: Activity, *names: int, complete: bool = True) -> Flight:
    return Flight(0, 1, activity, names, 0.0, 0.0, complete)


@pytest.mark.parametrize(
    ("code", "end", "reason"),
    [
        (-11, End.CRASHED, "signal SIGSEGV"),
        (-9, End.KILLED, "signal SIGKILL"),
        (-15, End.KILLED, "signal SIGTERM"),
        (1, End.CRASHED, "exit code 1"),
        (-63, End.CRASHED, "signal 63"),
    ],
)
def test_how_it_ended(code: int, end: End, reason: str) -> None:
    crash = examine(code, None, [], loading=None, served=True)
    assert (crash.end, crash.reason, crash.names_nobody) == (end, reason, True)


def test_the_record_names_requests_and_loads() -> None:
    flights = [flight(Activity.LAUNCH, 1, 2), flight(Activity.LAUNCH, 3, complete=False), flight(Activity.LOAD, 9)]
    crash = examine(-6, None, flights, loading=8, served=True)
    assert (crash.launched, crash.complete, crash.loading) == ({1, 2, 3}, False, 9)


def test_a_load_that_was_not_recorded_counts_only_when_nothing_else_ran() -> None:
    assert examine(-6, None, [], loading=8, served=True).loading == 8
    assert examine(-6, None, [flight(Activity.LAUNCH, 1)], loading=8, served=True).loading is None


def test_the_record_tells_a_load_from_input_shapes_that_are_tried() -> None:
    crash = examine(-6, None, [flight(Activity.BIND, 9)], loading=None, served=True)
    assert (crash.loading, crash.binding, crash.names_nobody) == (None, 9, False)


def test_of_a_hang_only_what_hangs_is_suspect() -> None:
    hang = Hang("a launch ran for 7 s", (flight(Activity.LAUNCH, 4),))
    crash = examine(-9, hang, [flight(Activity.LAUNCH, 4), flight(Activity.LAUNCH, 5)], loading=None, served=True)
    assert (crash.end, crash.reason, crash.launched) == (End.HUNG, "a launch ran for 7 s", {4})
