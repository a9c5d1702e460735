"""What could be promised instead of what cannot: each figure was tried on the devices as they are, with headroom."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from treadle_api.tenant import LONGEST_DEADLINE, Tenant
from treadle_api.units import Percent, PerSecond, Seconds, format_decimal, format_duration
from treadle_operator.policy.capacity import DEADLINE_SHARE, LIMIT, MARGIN, UNKNOWN_RATE
from treadle_operator.policy.ledger import DeviceLedger
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.scaling import devices_needed
from treadle_operator.tenant_status import CounterOffer

# An offer holds though the tenant's models take so many times as long as is known: the agent that loads them for it
# measures them anew, and no two measurements agree.
HEADROOM = 1.25

_NONE_HELPS = "no change of slo.deadline, slo.minAccuracy or load.requestsPerSecond alone would surely do"


class Offers:
    """Tries what a tenant could have been instead, beside all who are there.

    Nobody gives way to what is only offered, so a figure nearer to the one that was asked for may do in the end.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def make(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float) -> CounterOffer | None:
        """The nearest promises that could be kept to the tenant; None where no single one helps.

        Args:
            tenant: as its manifest has it.
            ledgers: the devices that it may be on; nothing of its own is booked there.
            kept: how many of them, the first ones, it is on.
            seen: requests a second that are seen of it, whatever it declares.
        """
        offer = CounterOffer(
            deadline=self._deadline(tenant, ledgers, kept, seen),
            min_accuracy=self._accuracy(tenant, ledgers, kept, seen),
            requests_per_second=self._rate(tenant, ledgers, kept, seen),
        )
        return offer if offer != CounterOffer() else None

    def _deadline(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float) -> Seconds | None:
        """The shortest deadline, longer than its own, that lets one more tier answer, and is enough."""
        kinds = {ledger.state.model: ledger for ledger in ledgers}.values()
        latest = DEADLINE_SHARE * tenant.slo.deadline
        may = tenant.served_tiers if tenant.pinned is None else [t for t in tenant.tiers if t.name == tenant.pinned]
        late = {p99 for one in kinds for tier in may if (p99 := self._fleet.cost(tenant, tier, one).p99) > latest}
        for deadline in sorted({_whole_milliseconds(p99 * HEADROOM / DEADLINE_SHARE) for p99 in late}):
            longer = replace(tenant, slo=replace(tenant.slo, deadline=deadline))
            if deadline <= LONGEST_DEADLINE and self._would_do(longer, ledgers, kept, seen):
                return deadline
        return None

    def _accuracy(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float) -> Percent | None:
        """The highest accuracy floor, below its own, that lets one more tier answer, and is enough."""
        if tenant.pinned is not None:
            return None
        for tier in tenant.tiers[len(tenant.served_tiers) :]:
            lower = replace(tenant, slo=replace(tenant.slo, min_accuracy=tier.accuracy))
            if self._would_do(lower, ledgers, kept, seen):
                return tier.accuracy
        return None

    def _rate(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float) -> PerSecond | None:
        """The highest load, lower than what it declares, that the devices have room for."""
        declared = math.inf if tenant.requests_per_second is None else tenant.requests_per_second
        silent = replace(tenant, requests_per_second=None)  # nothing is assumed to be cheap because much is asked of it
        rooms = self._rooms(silent, ledgers, kept, HEADROOM)
        most = math.inf if rooms.cheapest <= 0 else LIMIT / rooms.cheapest  # of one replica
        shares = rooms.shares[: tenant.replicas.maximum]
        rates = [count * min(share, rooms.least_kept, most) for count, share in enumerate(shares, 1)]
        for rate in sorted({_round_down(rate) for rate in rates}, reverse=True):
            if rate > 0 and seen <= rate < declared:
                less = replace(tenant, requests_per_second=rate)
                if self._would_do(less, ledgers, kept, seen):
                    return rate
        return None

    def _would_do(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float) -> bool:
        """Whether its promise could be kept, as its models are known and where they are slower."""
        return all(self._does(tenant, ledgers, kept, seen, slower) for slower in (HEADROOM, 1.0))

    def _does(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, seen: float, slower: float) -> bool:
        """Whether it could with as many replicas as it wants, or as many as its load needs."""
        rooms = self._rooms(tenant, ledgers, kept, slower)
        if not rooms.shares:
            return False
        offered = max(tenant.requests_per_second or 0.0, seen) or UNKNOWN_RATE
        bounds, needed = tenant.replicas, devices_needed(offered, rooms.cheapest)
        wanted = max(min(max(bounds.minimum, needed), bounds.maximum), kept)
        fitting = rooms.fitting(offered / wanted)
        if fitting >= wanted or kept:  # who is served keeps all it has, so each of these must do
            return fitting >= wanted and offered / wanted <= rooms.least_kept * MARGIN
        return fitting >= min(needed, wanted) and rooms.fitting(offered / fitting) >= fitting

    def _rooms(self, tenant: Tenant, ledgers: Sequence[DeviceLedger], kept: int, slower: float) -> _Rooms:
        kinds = {ledger.state.model: ledger for ledger in ledgers}
        demands = {model: self._fleet.imagine(tenant, ledger, slower) for model, ledger in kinds.items()}
        costs = [(demand.floor is None, (demand.floor or demand.fastest).seconds) for demand in demands.values()]
        rooms = [ledger.room(demands[ledger.state.model]) for ledger in ledgers]
        return _Rooms(
            cheapest=min(costs, default=(True, 0.0))[1],
            shares=sorted((room for room in rooms if room > 0), reverse=True),
            least_kept=min(rooms[:kept], default=math.inf),
        )


@dataclass(frozen=True, slots=True)
class _Rooms:
    """What devices have left for a tenant.

    `cheapest`: device seconds of a request where it costs least. `shares`: the requests a second that each device has
    room for, the largest first, without those that have none; `least_kept`: the least of those that it is on.
    """

    cheapest: float
    shares: list[float]
    least_kept: float

    def fitting(self, share: float) -> int:
        """On how many devices a replica with this share would fit."""
        return bisect_right(self.shares, -share, key=lambda room: -room * MARGIN)


def words(offer: CounterOffer | None) -> str:
    """What could be promised instead, as the end of a message."""
    ways = []
    if offer is not None and offer.deadline is not None:
        ways.append(f"slo.deadline {format_duration(offer.deadline)}")
    if offer is not None and offer.min_accuracy is not None:
        ways.append(f"slo.minAccuracy {offer.min_accuracy:g}")
    if offer is not None and offer.requests_per_second is not None:
        ways.append(f"load.requestsPerSecond {format_decimal(offer.requests_per_second, 6)}")
    return f"; possible is {' or '.join(ways)}" if ways else f"; {_NONE_HELPS}"


def _whole_milliseconds(seconds: float) -> Seconds:
    return Seconds(math.ceil(round(seconds * 1e3, 6)) / 1e3)


def _round_down(rate: float) -> PerSecond:
    """To three digits, and to the six places that a manifest may have; a little less than it could be."""
    if not 0 < rate < math.inf:
        return PerSecond(0.0)
    unit = 10.0 ** max(-6, math.floor(math.log10(rate)) - 2)
    return PerSecond(round(math.floor(rate / unit + 1e-9) * unit, 6))
