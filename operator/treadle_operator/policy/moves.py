"""Moves that can wait: of stragglers, off devices that are too slow for a deadline, and off overloaded ones.

Each has a cool-down for the tenant and a share in a budget for all, so that a bad measurement cannot set a cluster in
motion. Both are read from the replicas themselves: when they were placed, and why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from treadle_operator.policy.assignment import put
from treadle_operator.policy.bookings import Bookings
from treadle_operator.policy.capacity import LIMIT
from treadle_operator.policy.case import Case
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import Note
from treadle_operator.snapshot import OPTIONAL_CAUSES, Cause, ReplicaView

COOL_DOWN = 300.0  # seconds between two moves of a tenant
REPEATED = 3600.0  # the same, if it straggles on the device that it was moved to for that: it is its own fault, then
BUDGET_SECONDS = 60.0
BUDGET_SHARE = 0.02  # of all replicas may move within BUDGET_SECONDS ...
BUDGET_LEAST = 3  # ... or this many
OVERLOADED = 1.0  # predicted utilisation at the cheapest tiers, above which somebody's promise is broken for sure


class Mover:
    """The moves of one plan. `wake`: when one may be made that had to wait."""

    def __init__(self, cases: Sequence[Case], fleet: Fleet, bookings: Bookings, now: float) -> None:
        self._cases = cases
        self._fleet = fleet
        self._bookings = bookings
        self._now = now
        replicas = [view for case in cases for view in (*case.state.current, *case.state.leaving)]
        recent = [
            view.created for view in replicas if view.cause in OPTIONAL_CAUSES and now - view.created < BUDGET_SECONDS
        ]
        self._left = max(BUDGET_LEAST, math.ceil(BUDGET_SHARE * len(replicas))) - len(recent)
        self._refill = min(recent, default=now) + BUDGET_SECONDS
        self.wake = math.inf

    def run(self) -> None:
        """Decide the moves: stragglers and the too slow by the tenants' order, then off overloaded devices."""
        for case in self._cases:
            for view in case.state.current:
                if view.place in case.placements:
                    self._consider(case, view)
                elif view.straggles:
                    case.straggling = Note("Moving", f"{view.place} is slower than it should be, and is being left")
        for ledger in self._fleet.ledgers.values():
            if ledger.overbooked or ledger.floor.total > OVERLOADED:
                self._relieve(ledger)

    def _consider(self, case: Case, view: ReplicaView) -> None:
        ledger = self._fleet.ledgers[view.place]
        if view.place in case.unsettled:
            return  # it is to leave anyway, and has nowhere to go, or not yet
        if view.straggles:
            case.straggling = self._move(case, view, Cause.STRAGGLING, "its agent finds it slower than it should be")
        elif ledger.state.leave is None and self._fleet.demand(case.tenant, ledger, kept=True).floor is None:
            self._move(case, view, Cause.TOO_SLOW, f"{ledger.state.model} is too slow for its deadline")

    def _relieve(self, ledger: DeviceLedger) -> None:
        """Move away whoever finds too little time left; and others who come last, if there is really too much to do."""
        place, overloaded = ledger.state.place, ledger.floor.total > OVERLOADED
        for case in self._bookings.beyond(ledger):
            if place not in case.short and not (overloaded and ledger.floor.total > LIMIT):
                continue
            view = next((view for view in case.state.current if view.place == place), None)
            if view is not None and place in case.placements and place not in case.unsettled:
                self._move(case, view, Cause.OVERLOADED, f"tenants of {place} need more time than it has")
                self._bookings.settle(ledger)

    def _move(self, case: Case, view: ReplicaView, cause: Cause, message: str) -> Note:
        """Move a replica if that is allowed and there is a place; returns what is done about it."""
        if (until := _cooled_down(case, view, cause)) > self._now:
            self.wake = min(self.wake, until)
            return Note("CoolingDown", f"{view.place}: {message}; it was moved lately, and stays for now")
        if self._left <= 0:
            self.wake = min(self.wake, self._refill)
            return Note("Queued", f"{view.place}: {message}; others are being moved before it")
        ledger = self._fleet.choose(case.tenant, case.rate, case.taken, case.busy)
        if ledger is None or ledger.state.place in case.busy:
            return Note("NoBetterPlace", f"{view.place}: {message}; no other device has room")
        self._left -= 1
        del case.placements[view.place]
        self._fleet.ledgers[view.place].remove(case.tenant.key, loaded=True)
        put(case, self._fleet, ledger, cause, view.place, message)
        return Note("Moving", f"{view.place}: {message}; it moves to {ledger.state.place}")


def _cooled_down(case: Case, view: ReplicaView, cause: Cause) -> float:
    """When a tenant may be moved."""
    moved: Iterable[float] = (one.created for one in case.state.current if one.cause in OPTIONAL_CAUSES)
    repeated = view.created + REPEATED if view.cause is cause else -math.inf
    return max(max(moved, default=-math.inf) + COOL_DOWN, repeated)
