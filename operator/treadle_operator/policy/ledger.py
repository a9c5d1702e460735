"""What tenants take of one device, while a plan is made: memory, and predicted time at best and cheapest tiers."""

from __future__ import annotations

import math

from treadle_api.units import PerSecond
from treadle_operator.policy.capacity import LIMIT, MARGIN, Demand, TierCost
from treadle_operator.policy.devices import DeviceState
from treadle_operator.policy.memory_account import MemoryAccount

MEMORY_WEIGHT = 0.5  # of a device's memory against its time, where devices are compared


class Load:
    """Predicted utilisation of a device by one tier of each tenant; requests of one architecture merge."""

    __slots__ = ("_groups", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self._groups: dict[str, _Group] = {}

    def with_one(self, cost: TierCost, rate: float) -> float:
        """The utilisation with one tenant more."""
        group = self._groups.get(cost.architecture) if cost.architecture else None
        if group is None:
            return self.total + rate * cost.seconds
        together = (group.seconds + rate * cost.seconds) * cost.share(group.tenants + 1)
        return self.total - group.utilisation + together

    def add(self, cost: TierCost, rate: float, sign: int = 1) -> None:
        """Count a tenant in, or with sign -1 out."""
        if not cost.architecture:
            self.total += sign * rate * cost.seconds
            return
        group = self._groups.setdefault(cost.architecture, _Group())
        self.total -= group.utilisation
        group.tenants += sign
        group.seconds += sign * rate * cost.seconds
        if not group.tenants:
            del self._groups[cost.architecture]
            return
        group.utilisation = group.seconds * cost.share(group.tenants)
        self.total += group.utilisation

    def merges(self, cost: TierCost) -> bool:
        """Whether a tenant of this architecture is here."""
        return bool(cost.architecture) and cost.architecture in self._groups


class _Group:
    """Tenants whose requests merge."""

    __slots__ = ("seconds", "tenants", "utilisation")

    def __init__(self) -> None:
        self.tenants = 0
        self.seconds = 0.0
        self.utilisation = 0.0


class DeviceLedger:
    """One device's account.

    `best` and `floor`: the load at the tenants' most accurate and cheapest tiers. `crowding`: how full the device is,
    to compare devices by. `overbooked`: more is asked of it than can be promised. `residents`: demand and rate of those
    that stay, by tenant key.
    """

    __slots__ = ("_longest", "_tightest", "best", "crowding", "floor", "memory", "overbooked", "residents", "state")

    def __init__(self, state: DeviceState) -> None:
        self.state = state
        self.best = Load()
        self.floor = Load()
        self.memory = MemoryAccount(state.memory)
        self.crowding = 0.0
        self.overbooked = False
        self.residents: dict[str, tuple[Demand, PerSecond]] = {}
        self._longest = 0.0  # seconds of a request of any resident
        self._tightest = float("inf")  # slack of any resident

    def add(self, tenant: str, demand: Demand, rate: PerSecond) -> None:
        """A replica that is, or will be, here."""
        self.memory.keep(demand.memory)
        self._move_in(tenant, demand, rate)

    def remove(self, tenant: str, *, loaded: bool) -> None:
        """A replica that was added goes; `loaded`: its memory is given back later."""
        demand, rate = self.residents.pop(tenant)
        if loaded:
            self.memory.give_back(demand.memory)
        else:
            self.memory.forget(demand.memory)
        self._longest, self._tightest = 0.0, float("inf")
        for other, _ in self.residents.values():
            self._note(other)
        self._count(demand, rate, -1)

    def carry(self, tenant: str, rate: PerSecond) -> None:
        """A replica that is here gets another share of its tenant's load."""
        demand, before = self.residents[tenant]
        self.residents[tenant] = (demand, rate)
        self._count(demand, before, -1)
        self._count(demand, rate, 1)

    def restore(self, tenant: str, demand: Demand, rate: PerSecond) -> None:
        """Undo a `remove` of one that was loaded."""
        self.memory.take_back(demand.memory)
        self._move_in(tenant, demand, rate)

    def fits(self, demand: Demand, rate: PerSecond) -> bool:
        """Whether a replica more breaks no promise here, once those who leave have left."""
        return self.fits_time(demand, rate) and self.memory.fits(demand.memory)

    def fits_time(self, demand: Demand, rate: PerSecond) -> bool:
        """Whether all tenants of the device can keep their deadlines, at their cheapest tiers where need be."""
        return demand.floor is not None and self.floor.with_one(demand.floor, rate) <= LIMIT * MARGIN

    def room(self, demand: Demand) -> float:
        """The requests a second that one more replica could have here; 0 where there is no room for it."""
        if demand.floor is None or not self.memory.fits(demand.memory):
            return 0.0
        none, one = self.floor.with_one(demand.floor, 0.0), self.floor.with_one(demand.floor, 1.0)
        if none >= LIMIT:
            return 0.0
        return (LIMIT - none) / (one - none) if one > none else math.inf

    def conflicts(self, demand: Demand) -> bool:
        """Whether a request of it, or of a tenant here, takes longer than one of the other can wait."""
        return self._longest > demand.slack or (demand.best or demand.fastest).seconds > self._tightest

    def _move_in(self, tenant: str, demand: Demand, rate: PerSecond) -> None:
        self.residents[tenant] = (demand, rate)
        self._count(demand, rate, 1)
        self._note(demand)

    def _note(self, demand: Demand) -> None:
        self._longest = max(self._longest, (demand.best or demand.fastest).seconds)
        self._tightest = min(self._tightest, demand.slack)

    def _count(self, demand: Demand, rate: PerSecond, sign: int) -> None:
        # One that cannot keep its deadline here any more costs what its fastest tier does.
        self.best.add(demand.best or demand.fastest, rate, sign)
        self.floor.add(demand.floor or demand.fastest, rate, sign)
        self.crowding = self.best.total + MEMORY_WEIGHT * self.memory.staying / max(1, self.state.memory)
