"""Whether a tenant's promise can be kept, and if not, why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from treadle_api.tenant import Tenant
from treadle_api.units import PerSecond, format_duration, format_rate
from treadle_operator.policy.bookings import limit_of
from treadle_operator.policy.capacity import DEADLINE_SHARE, LIMIT, MARGIN, Demand
from treadle_operator.policy.case import Case
from treadle_operator.policy.counter_offers import Offers, words
from treadle_operator.policy.devices import explain_none
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.placement import Fleet, Kind, kinds_of
from treadle_operator.policy.plan import Reason, Verdict


class Judge:
    """Answers for one plan."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._offers = Offers(fleet)

    def alone(self, tenant: Tenant, kinds: Sequence[Kind]) -> Verdict | None:
        """Why a newcomer could not be served even with devices of these kinds for itself; None where it could."""
        return self._alone(tenant, kinds, LIMIT)

    def no_room(self, tenant: Tenant, rate: PerSecond) -> Verdict:
        """Why a tenant that could be served alone finds no place now, where each replica would take `rate`."""
        pairs = [(ledger, self._fleet.demand(tenant, ledger)) for ledger in self._fleet.open_to(tenant).values()]
        with_time = [(ledger, demand) for ledger, demand in pairs if ledger.fits_time(demand, rate)]
        if with_time and not any(ledger.memory.fits(demand.memory) for ledger, demand in with_time):
            ledger, demand = max(with_time, key=lambda pair: pair[0].memory.free - pair[0].memory.adds(pair[1].memory))
            message = (
                f"it needs {_size(ledger.memory.adds(demand.memory))} more on a device, and of those with time to spare"
                f" the one with the most memory left, {ledger.state.place}, has {_size(ledger.memory.free)}"
            )
            return Verdict(admitted=False, reason=Reason.INSUFFICIENT_MEMORY, message=message)
        message = (
            f"{_load(rate, tenant)} requests/s on any device that fits would break what is promised to other tenants"
            f" there, though all gave up what accuracy they may"
        )
        return Verdict(admitted=False, reason=Reason.INSUFFICIENT_CAPACITY, message=message)

    def kept(self, case: Case) -> Verdict | None:
        """Why the promise to a tenant that is served already cannot be kept; None where it can."""
        here, limit = [self._fleet.ledgers[place] for place in case.placements], limit_of(case)
        refused = self._alone(case.tenant, kinds_of(here), limit, kept=True)
        if refused is not None:  # looked at no sooner: nearly all are settled, and there are many devices
            refused = self._alone(case.tenant, kinds_of(self._devices(case)), limit, kept=True)
        if refused is None and (short := case.short & case.placements.keys()):
            message = (
                f"{_load(case.rate, case.tenant)} requests/s are more than {', '.join(sorted(short))} has left beside"
                f" what is promised to other tenants there, though all gave up what accuracy they may"
            )
            refused = Verdict(admitted=False, reason=Reason.INSUFFICIENT_CAPACITY, message=message)
        return refused

    def with_offer(self, case: Case, refused: Verdict) -> Verdict:
        """The same, with what could be promised instead; to be asked for once all have their places."""
        if refused.reason == Reason.NO_NODE_MATCHES:
            return refused
        with self._fleet.without(case.tenant, case.placements):
            offer = self._offers.make(case.tenant, self._devices(case), len(case.placements), case.state.rate or 0.0)
        return replace(refused, message=refused.message + words(offer), counter_offer=offer)

    def _devices(self, case: Case) -> list[DeviceLedger]:
        """Those that it is on, then others that it may be on."""
        here, open_ = [self._fleet.ledgers[place] for place in case.placements], self._fleet.open_to(case.tenant)
        return here + [ledger for place, ledger in open_.items() if place not in case.placements]

    def _alone(self, tenant: Tenant, kinds: Sequence[Kind], limit: float, *, kept: bool = False) -> Verdict | None:
        """`limit`: of a device's time; `kept`: it is served already."""
        if not kinds:
            message = explain_none(tenant, (ledger.state for ledger in self._fleet.ledgers.values()))
            return Verdict(admitted=False, reason=Reason.NO_NODE_MATCHES, message=message)
        pairs = [(kind, self._fleet.demand(tenant, kind.largest, kept=kept)) for kind in kinds]
        timely = [(kind, demand) for kind, demand in pairs if demand.floor is not None]
        if not timely:
            return self._late(tenant, [(kind.largest, demand) for kind, demand in pairs])
        roomy = [(kind, demand) for kind, demand in timely if _needs(demand) <= kind.largest.state.memory]
        if not roomy:
            kind, demand = max(timely, key=lambda pair: pair[0].largest.state.memory)
            message = (
                f"its tiers take {_size(_needs(demand))}, and the largest device that is fast enough,"
                f" {kind.largest.state.place}, has {_size(kind.largest.state.memory)}: leave tiers out"
            )
            return Verdict(admitted=False, reason=Reason.INSUFFICIENT_MEMORY, message=message)
        return _too_much(tenant, roomy, limit, kept=kept)

    def _late(self, tenant: Tenant, pairs: Sequence[tuple[DeviceLedger, Demand]]) -> Verdict:
        ledger, demand = min(pairs, key=lambda pair: pair[1].fastest.p99)
        fastest, latest = demand.fastest, DEADLINE_SHARE * tenant.slo.deadline
        message = (
            f"tier {fastest.name}, the fastest that may answer, takes {fastest.p99 * 1e3:.3g} ms (p99) alone on"
            f" {ledger.state.model}, too long for slo.deadline {format_duration(tenant.slo.deadline)}"
        )
        below = [] if tenant.pinned is not None else tenant.tiers[len(tenant.served_tiers) :]
        would = any(self._fleet.cost(tenant, tier, one).p99 <= latest for tier in below for one, _ in pairs)
        reason = Reason.ACCURACY_INFEASIBLE if would else Reason.DEADLINE_INFEASIBLE
        return Verdict(admitted=False, reason=reason, message=message)


def _too_much(tenant: Tenant, kinds: Sequence[tuple[Kind, Demand]], limit: float, *, kept: bool) -> Verdict | None:
    """Why its declared load cannot be carried, if so; `kept`: it is served, and its models were measured for it."""
    if tenant.requests_per_second is None:
        return None
    rate, devices = tenant.requests_per_second, min(tenant.replicas.maximum, sum(kind.devices for kind, _ in kinds))
    rates: list[float] = []
    floors = [(kind, demand.floor) for kind, demand in kinds if demand.floor is not None]
    for kind, cost in floors:
        rates += [limit / cost.seconds if cost.seconds > 0 else math.inf] * min(kind.devices, devices)
    if rate <= sum(sorted(rates, reverse=True)[:devices]) * MARGIN:
        return None
    count = f"{devices} device{'s' if devices > 1 else ''} (replicas.max is {tenant.replicas.maximum})"
    kind, cost = min(floors, key=lambda pair: pair[1].seconds)
    takes = "takes" if cost.measured else "is assumed to take"
    message = (
        f"{_load(rate, tenant)} requests/s are too much for {count} even at the cheapest tier:"
        f" {cost.name} {takes} {cost.seconds * 1e3:.3g} ms of {kind.largest.state.model}{' by now' if kept else ''}"
    )
    return Verdict(admitted=False, reason=Reason.INSUFFICIENT_CAPACITY, message=message)


def _load(rate: float, tenant: Tenant) -> str:
    return format_rate(rate, exact=tenant.requests_per_second)


def _needs(demand: Demand) -> int:
    return sum(size for _, size in demand.memory)


def _size(size: int) -> str:
    return f"{size / (1 << 20):.4g} MiB"
