"""What is known about the death of an executor process: its exit code, its flight record, and what we did to it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from treadle_agent.executor.flight_record import Activity, Flight
from treadle_agent.executor.protocol import GPU_LOST
from treadle_agent.executor.replay import Crash, End
from treadle_agent.executor.watchdog import Hang

FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)


def examine(code: int, hang: Hang | None, flights: Sequence[Flight], *, loading: int | None, served: bool) -> Crash:
    """The crash for `replay`.

    Args:
        code: the exit code, negative for a signal.
        hang: why our watchdog killed the process, if it did.
        flights: the flight record.
        loading: the version whose Load was not answered, if any.
        served: see `Crash`.
    """
    if hang is not None:
        end, reason, flights = End.HUNG, hang.reason, hang.flights
    else:
        end, reason = (End.KILLED if code in FROM_OUTSIDE else End.CRASHED), _describe(code)
    launches = [flight for flight in flights if flight.activity is Activity.LAUNCH]
    loads = [flight.names[0] for flight in flights if flight.activity is Activity.LOAD]
    binds = [flight.names[0] for flight in flights if flight.activity is Activity.BIND]
    if not flights and loading is not None:
        loads = [loading]
    return Crash(
        end=end,
        reason=reason,
        launched=frozenset(name for flight in launches for name in flight.names),
        complete=all(flight.complete for flight in launches),
        loading=loads[0] if loads else None,
        binding=binds[0] if binds else None,
        served=served,
    )


def _describe(code: int) -> str:
    """An exit code in words: ``signal SIGSEGV``, ``exit code 1``."""
    if code == GPU_LOST:
        return "an error on the GPU, such as an illegal memory access (the executor's log has CUDA's words)"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
