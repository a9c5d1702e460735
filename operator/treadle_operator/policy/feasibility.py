"""Whether a tenant's promise can be kept, and if not, why, and what could be promised instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from treadle_api.tenant import Tenant
from treadle_api.units import Percent, PerSecond, Seconds, format_decimal, format_duration, format_rate
from treadle_operator.policy.capacity import DEADLINE_SHARE, LIMIT, Demand, Knowledge, TierCost
from treadle_operator.policy.devices import explain_none
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.placement import Fleet, Kind
from treadle_operator.policy.plan import Reason, Verdict
from treadle_operator.tenant_status import CounterOffer

KEPT_LIMIT = 1.0  # `LIMIT` for tenants that are served already: measurements vary, admission must not

_Pairs = list[tuple[DeviceLedger, Demand]]


class Judge:
    """Answers for one plan."""

    def __init__(self, fleet: Fleet, knowledge: Knowledge) -> None:
        self._fleet = fleet
        self._knowledge = knowledge

    def alone(self, tenant: Tenant, kinds: Sequence[Kind], *, kept: bool = False) -> Verdict | None:
        """Why the tenant could not be served even with devices of these kinds for itself; None where it could.

        `kept`: it is served already.
        """
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
        return self._too_much(tenant, roomy, kept=kept)

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
        offer = CounterOffer(
            min_accuracy=self._accuracy(tenant, pairs, lambda ledger, cost: ledger.floor.with_one(cost, rate) <= LIMIT),
            requests_per_second=_less(_rate_now(tenant, pairs), tenant),
        )
        message = (
            f"{format_rate(rate)} requests/s on any device that fits would break what is promised to other tenants"
            f" there, though all gave up what accuracy they may{_or(offer)}"
        )
        some = offer if offer != CounterOffer() else None
        return Verdict(admitted=False, reason=Reason.INSUFFICIENT_CAPACITY, message=message, counter_offer=some)

    def _late(self, tenant: Tenant, pairs: _Pairs) -> Verdict:
        ledger, demand = min(pairs, key=lambda pair: pair[1].fastest.p99)
        fastest, model = demand.fastest, ledger.state.model
        deadline = Seconds(math.ceil(round(fastest.p99 / DEADLINE_SHARE * 1e3, 6)) / 1e3)
        latest = DEADLINE_SHARE * tenant.slo.deadline
        accuracy = self._accuracy(tenant, pairs, lambda _, cost: cost.p99 <= latest)
        offer = CounterOffer(deadline=deadline, min_accuracy=accuracy)
        message = (
            f"tier {fastest.name}, the fastest that may answer, takes {fastest.p99 * 1e3:.3g} ms (p99) alone on"
            f" {model}, too long for slo.deadline {format_duration(tenant.slo.deadline)}{_or(offer)}"
        )
        reason = Reason.DEADLINE_INFEASIBLE if accuracy is None else Reason.ACCURACY_INFEASIBLE
        return Verdict(admitted=False, reason=reason, message=message, counter_offer=offer)

    def _too_much(self, tenant: Tenant, kinds: list[tuple[Kind, Demand]], *, kept: bool) -> Verdict | None:
        """Why its declared load cannot be carried, if so."""
        if tenant.requests_per_second is None:
            return None
        rate, devices = tenant.requests_per_second, min(tenant.replicas.maximum, sum(kind.devices for kind, _ in kinds))
        limit = KEPT_LIMIT if kept else LIMIT
        rates: list[float] = []
        for kind, demand in kinds:
            seconds = demand.floor.seconds if demand.floor is not None else math.inf
            rates += [limit / seconds if seconds > 0 else math.inf] * min(kind.devices, devices)
        carried = sum(sorted(rates, reverse=True)[:devices])
        if rate <= carried * (1 + 1e-9):
            return None
        pairs, latest = [(kind.largest, demand) for kind, demand in kinds], DEADLINE_SHARE * tenant.slo.deadline
        possible = _round_down(carried * LIMIT / limit)
        if not kept:  # others may be there
            now = [(ledger, self._fleet.demand(tenant, ledger)) for ledger in self._fleet.open_to(tenant).values()]
            possible = min(possible, _rate_now(tenant, now))
        offer = CounterOffer(
            min_accuracy=self._accuracy(
                tenant, pairs, lambda _, cost: rate * cost.seconds <= LIMIT * devices and cost.p99 <= latest
            ),
            requests_per_second=possible if possible > 0 else None,
        )
        count = f"{devices} device{'s' if devices > 1 else ''} (replicas.max is {tenant.replicas.maximum})"
        message = f"{format_rate(rate)} requests/s are too much for {count} even at the cheapest tier{_or(offer)}"
        some = offer if offer != CounterOffer() else None
        return Verdict(admitted=False, reason=Reason.INSUFFICIENT_CAPACITY, message=message, counter_offer=some)

    def _accuracy(
        self, tenant: Tenant, pairs: _Pairs, fits: Callable[[DeviceLedger, TierCost], bool]
    ) -> Percent | None:
        """The highest accuracy floor with which some device would do, where one more tier might answer."""
        if tenant.pinned is not None:
            return None
        for tier in tenant.tiers[len(tenant.served_tiers) :]:
            if any(fits(ledger, self._knowledge.cost(tenant, tier, ledger.state.model)) for ledger, _ in pairs):
                return tier.accuracy
        return None


def _rate_now(tenant: Tenant, pairs: _Pairs) -> PerSecond:
    """The load that the tenant could have on the devices as they are, spread over as many as it may use."""
    rates = []
    for ledger, demand in pairs:
        if demand.floor is not None and ledger.memory.fits(demand.memory):
            none, one = ledger.floor.with_one(demand.floor, 0.0), ledger.floor.with_one(demand.floor, 1.0)
            if none < LIMIT:
                rates.append((LIMIT - none) / (one - none) if one > none else math.inf)
    return _round_down(sum(sorted(rates, reverse=True)[: tenant.replicas.maximum]))


def _less(rate: PerSecond, tenant: Tenant) -> PerSecond | None:
    declared = tenant.requests_per_second
    return rate if rate > 0 and (declared is None or rate < declared) else None


def _needs(demand: Demand) -> int:
    return sum(size for _, size in demand.memory)


def _round_down(rate: float) -> PerSecond:
    """To three digits, and to the six places that a manifest may have."""
    if rate <= 0 or math.isinf(rate):
        return PerSecond(0.0)
    unit = 10.0 ** max(-6, math.floor(math.log10(rate)) - 2)
    return PerSecond(round(math.floor(rate / unit + 1e-9) * unit, 6))


def _size(size: int) -> str:
    return f"{size / (1 << 20):.4g} MiB"


def _or(offer: CounterOffer) -> str:
    """What could be promised instead, as the end of a message."""
    ways = []
    if offer.deadline is not None:
        ways.append(f"slo.deadline {format_duration(offer.deadline)}")
    if offer.min_accuracy is not None:
        ways.append(f"slo.minAccuracy {offer.min_accuracy:g}")
    if offer.requests_per_second is not None:
        ways.append(f"load.requestsPerSecond {format_decimal(offer.requests_per_second, 6)}")
    return f"; possible is {' or '.join(ways)}" if ways else ""
