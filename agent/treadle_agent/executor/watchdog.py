"""When a running executor hangs: a pure rule over its flight record and over when it was last heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from treadle_agent.executor.flight_record import Flight
from treadle_agent.executor.supervisor_settings import SupervisorSettings


@dataclass(frozen=True, slots=True)
class Hang:
    """Why an executor has to be killed, and the flights that hang (none: it hangs between launches)."""

    reason: str
    flights: tuple[Flight, ...]


def find_hang(
    settings: SupervisorSettings, flights: Sequence[Flight], now: float, unheard_since: float | None
) -> Hang | None:
    """Whether the executor hangs.

    Args:
        settings: the limits.
        flights: what runs on the device.
        now: seconds of CLOCK_MONOTONIC, as everything here.
        unheard_since: since when the executor owes an answer to a message, or None when it owes nothing.
    """
    stuck = tuple(
        flight
        for flight in flights
        if now - flight.started > max(settings.hang_floor, settings.hang_factor * flight.expected)
    )
    if stuck:
        worst = min(stuck, key=lambda flight: flight.started)
        reason = f"a launch ran for {now - worst.started:.1f} s, {worst.expected:.3g} s were expected"
        return Hang(reason, stuck)
    if not flights and unheard_since is not None and now - unheard_since > settings.silence:
        return Hang(f"it said nothing for {now - unheard_since:.1f} s with requests waiting", ())
    return None
