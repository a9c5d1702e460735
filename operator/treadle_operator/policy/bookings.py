"""What is booked of a device whose tenants claim more of its time than it has: what was promised comes first."""

from __future__ import annotations

from collections.abc import Iterable

from treadle_api.conditions import Condition, find_condition
from treadle_api.units import PerSecond
from treadle_operator.policy.capacity import KEPT_LIMIT, LIMIT, MARGIN, TierCost
from treadle_operator.policy.case import Case
from treadle_operator.policy.ledger import DeviceLedger, Load
from treadle_operator.policy.placement import Fleet
from treadle_operator.tenant_status import TenantCondition


class Bookings:
    """Keeps the ledgers of one plan to what can be promised, or is really there."""

    def __init__(self, cases: Iterable[Case], fleet: Fleet) -> None:
        self._cases = {case.tenant.key: case for case in cases}
        self._fleet = fleet

    def check(self, places: Iterable[str]) -> None:
        """Settle the devices among these whose tenants claim too much together."""
        for place in places:
            ledger = self._fleet.ledgers.get(place)
            if ledger is not None and (ledger.overbooked or ledger.floor.total > LIMIT * MARGIN):
                self.settle(ledger)

    def settle(self, ledger: DeviceLedger) -> None:
        """Book as much as can be promised of the loads that the tenants of a device declare, and what is seen of them.

        Those for whose declared load too little is left are noted in `Case.short`, and booked with what is seen alone:
        a promise that cannot be kept takes nothing from others.
        """
        place, promised = ledger.state.place, Load()
        ledger.overbooked = False
        for case in self._by_entitlement(ledger):
            cost, limit = _cost(case, ledger), limit_of(case)
            declared = _share(case, case.tenant.requests_per_second)
            if not declared or promised.with_one(cost, declared) <= limit * MARGIN:
                promised.add(cost, declared)
                ledger.carry(case.tenant.key, case.rate)
                case.short.discard(place)
            else:
                ledger.carry(case.tenant.key, _share(case, case.state.rate))
                case.short.add(place)
                ledger.overbooked = True

    def beyond(self, ledger: DeviceLedger) -> list[Case]:
        """Those whose leaving would help a device that has too much to do, the first to go first.

        They are all who come after those whose loads fit together: nobody leaves for somebody less entitled, nor for a
        load that nobody was promised.
        """
        promised, here = Load(), sorted(self._by_entitlement(ledger), key=_exceeds)
        for index, case in enumerate(here):
            cost = _cost(case, ledger)
            if promised.with_one(cost, case.rate) > LIMIT * MARGIN:
                return here[index:][::-1]
            promised.add(cost, case.rate)
        return []

    def _by_entitlement(self, ledger: DeviceLedger) -> list[Case]:
        return sorted((self._cases[key] for key in ledger.residents), key=_entitlement)


def limit_of(case: Case) -> float:
    """How full a device may be for the promise to a tenant there: an edit is judged as a newcomer is."""
    return KEPT_LIMIT if _told(case) is None or not _asks(case) else LIMIT  # who has a place, had room when it came


def _exceeds(case: Case) -> bool:
    """Whether it sends more than it declares."""
    return case.rate > _share(case, case.tenant.requests_per_second) * MARGIN


def _entitlement(case: Case) -> tuple[bool, bool, int, float, str]:
    """First who has the devices that its load needs and was admitted as it is; then by importance and age."""
    declares = case.tenant.requests_per_second is not None
    lacks = declares and len(case.placements) < min(case.target.needed, case.target.replicas)
    return lacks, _asks(case), case.tenant.priority, case.state.view.created, case.tenant.key


def _asks(case: Case) -> bool:
    """Whether it was not admitted as it is: it is new, has been edited, or was refused."""
    told = _told(case)
    return told is None or not told.holds or told.observed_generation != case.state.view.generation


def _told(case: Case) -> Condition | None:
    return find_condition(case.state.view.status.conditions, TenantCondition.ADMITTED)


def _cost(case: Case, ledger: DeviceLedger) -> TierCost:
    demand, _ = ledger.residents[case.tenant.key]
    return demand.floor or demand.fastest


def _share(case: Case, rate: float | None) -> PerSecond:
    """What each of its replicas gets of a part of its load."""
    return PerSecond(case.rate * (rate or 0.0) / (case.state.offered or 1.0))
