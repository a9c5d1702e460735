"""Where a replica goes: all that must fit fits, and of what remains the emptiest, with its like, and spread."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter

from treadle_api.tenant import Tenant, Tier
from treadle_api.units import PerSecond
from treadle_operator.policy.capacity import Demand, Knowledge, TierCost
from treadle_operator.policy.devices import DeviceState, Terms, lacking, terms_of
from treadle_operator.policy.ledger import MEMORY_WEIGHT, DeviceLedger

# In units of a device's utilisation: how much fuller a device may be than another, and still be the better place.
AFFINITY = 0.15  # tenants of the architecture are there: requests merge
SAME_NODE = 1.0  # another replica of the tenant is on the node: they would be lost together
AVOIDED = 0.5  # the node's taint asks to prefer others
CONFLICT = 0.3  # somebody's requests take as long as another's can wait
WAITS = 0.25  # memory has to be given back first

SHORTLIST = 8  # devices looked at closely: the emptiest, and as many of those with tenants of the architecture


@dataclass(frozen=True, slots=True)
class Kind:
    """Devices of one model: the one with the most memory, and how many there are."""

    largest: DeviceLedger
    devices: int


def kinds_of(ledgers: Iterable[DeviceLedger]) -> list[Kind]:
    """The kinds among some devices, in the order in which they come."""
    kinds: dict[str, Kind] = {}
    for ledger in ledgers:
        known = kinds.get(ledger.state.model)
        if known is None:
            kinds[ledger.state.model] = Kind(ledger, 1)
        else:
            larger = ledger if ledger.state.memory > known.largest.state.memory else known.largest
            kinds[ledger.state.model] = Kind(larger, known.devices + 1)
    return list(kinds.values())


class Fleet:
    """The devices' ledgers, and the choice among them."""

    def __init__(self, states: Mapping[str, DeviceState], knowledge: Knowledge) -> None:
        self.ledgers = {place: DeviceLedger(state) for place, state in states.items()}
        self._knowledge = knowledge
        self._open: dict[Terms, dict[str, DeviceLedger]] = {}
        self._kinds: dict[Terms, list[Kind]] = {}
        self._hosts: dict[str, dict[str, DeviceLedger]] = {}

    def demand(self, tenant: Tenant, ledger: DeviceLedger, *, kept: bool = False) -> Demand:
        """What a tenant costs there."""
        return self._knowledge.demand(tenant, ledger.state.model, kept=kept)

    def imagine(self, tenant: Tenant, ledger: DeviceLedger, slower: float) -> Demand:
        """What a tenant would cost there if it were as this one is, and its models took so many times as long."""
        return self._knowledge.imagine(tenant, ledger.state.model, slower)

    def cost(self, tenant: Tenant, tier: Tier, ledger: DeviceLedger) -> TierCost:
        """What one tier costs there."""
        return self._knowledge.cost(tenant, tier, ledger.state.model)

    @contextmanager
    def without(self, tenant: Tenant, places: Iterable[str]) -> Iterator[None]:
        """Leave a tenant's replicas on some devices out of account, for a moment."""
        ledgers = [self.ledgers[place] for place in places if place in self.ledgers]
        there = [(ledger, *ledger.residents[tenant.key]) for ledger in ledgers if tenant.key in ledger.residents]
        for ledger, _, _ in there:
            ledger.remove(tenant.key, loaded=False)
        try:
            yield
        finally:
            for ledger, demand, rate in there:
                ledger.add(tenant.key, demand, rate)

    def open_to(self, tenant: Tenant) -> Mapping[str, DeviceLedger]:
        """The devices that take new replicas of a tenant, whether they have room or not, by place, in that order."""
        terms = terms_of(tenant)
        if (known := self._open.get(terms)) is None:
            known = self._open[terms] = {
                place: ledger
                for place, ledger in self.ledgers.items()
                if not ledger.state.closed and not lacking(terms, ledger.state)
            }
        return known

    def kinds(self, tenant: Tenant) -> list[Kind]:
        """The kinds of the devices that take new replicas of a tenant."""
        terms = terms_of(tenant)
        if (known := self._kinds.get(terms)) is None:
            known = self._kinds[terms] = kinds_of(self.open_to(tenant).values())
        return known

    def add(self, tenant: Tenant, ledger: DeviceLedger, rate: PerSecond, *, kept: bool = False) -> Demand:
        """Count a replica in; returns what it costs there."""
        demand = self.demand(tenant, ledger, kept=kept)
        ledger.add(tenant.key, demand, rate)
        if demand.best is not None and demand.best.architecture:
            self._hosts.setdefault(demand.best.architecture, {})[ledger.state.place] = ledger
        return demand

    def choose(
        self, tenant: Tenant, rate: PerSecond, taken: Collection[str], busy: Collection[str]
    ) -> DeviceLedger | None:
        """The best device for one more replica; None where no device has room.

        Args:
            tenant: whose replica it is.
            rate: its share of the tenant's requests.
            taken: places where it cannot go, because the tenant has a replica there.
            busy: places where it can go later, because one of its name is leaving.
        """
        candidates = self.open_to(tenant)
        if taken:
            candidates = {place: ledger for place, ledger in candidates.items() if place not in taken}
        if not candidates:
            return None
        emptiest = _emptiest(candidates.values())
        with_its_like = _emptiest(self._with_its_like(tenant, emptiest[0], candidates))
        nodes = {place.partition("/")[0] for place in taken}
        return self._best({*emptiest, *with_its_like}, tenant, rate, nodes, busy) or self._best(
            candidates.values(), tenant, rate, nodes, busy
        )

    def _with_its_like(
        self, tenant: Tenant, any_: DeviceLedger, candidates: Mapping[str, DeviceLedger]
    ) -> Iterable[DeviceLedger]:
        """Those of the candidates that have tenants of its architecture."""
        demand = self.demand(tenant, any_)
        hosts = self._hosts.get((demand.best or demand.fastest).architecture, {})
        return [ledger for place, ledger in hosts.items() if place in candidates]

    def _best(
        self,
        ledgers: Iterable[DeviceLedger],
        tenant: Tenant,
        rate: PerSecond,
        nodes: Collection[str],
        busy: Collection[str],
    ) -> DeviceLedger | None:
        best, least = None, (float("inf"), "")
        demands: dict[str, Demand] = {}  # by kind of device
        for ledger in ledgers:
            if (demand := demands.get(ledger.state.model)) is None:
                demand = demands[ledger.state.model] = self.demand(tenant, ledger)
            if ledger.fits(demand, rate):
                score = _score(ledger, demand, rate, nodes)
                if ledger.state.place in busy or not ledger.memory.fits_now(demand.memory):
                    score += WAITS
                if (key := (round(score, 9), ledger.state.place)) < least:
                    best, least = ledger, key
        return best


def _emptiest(ledgers: Iterable[DeviceLedger]) -> list[DeviceLedger]:
    return heapq.nsmallest(SHORTLIST, ledgers, key=attrgetter("crowding"))


def _score(ledger: DeviceLedger, demand: Demand, rate: PerSecond, nodes: Collection[str]) -> float:
    assert demand.best is not None
    state = ledger.state
    score = ledger.best.with_one(demand.best, rate)
    score += MEMORY_WEIGHT * (ledger.memory.staying + ledger.memory.adds(demand.memory)) / max(1, state.memory)
    if ledger.best.merges(demand.best):
        score -= AFFINITY
    if state.node in nodes:
        score += SAME_NODE
    if state.avoided:
        score += AVOIDED
    if ledger.conflicts(demand):
        score += CONFLICT
    return score
