"""What tenants take of one device, while a plan is made: memory, and predicted time at best and cheapest tiers."""

from __future__ import annotations

from collections.abc import Iterable

from treadle_api.units import Bytes, PerSecond
from treadle_operator.policy.capacity import LIMIT, Demand, TierCost
from treadle_operator.policy.devices import DeviceState

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
    """One device's account. Memory counts a model once, however many tenants have it.

    `memory`: what stays according to the plan; `memory_now`: with what has still to be given back. `crowding`: how full
    it is, to compare devices by. `residents`: demand and rate of those that stay, by tenant key.
    """

    __slots__ = (
        "_longest",
        "_models",
        "_tightest",
        "best",
        "crowding",
        "floor",
        "memory",
        "memory_now",
        "overhead",
        "residents",
        "state",
    )

    def __init__(self, state: DeviceState) -> None:
        self.state = state
        self.best = Load()
        self.floor = Load()
        self.crowding = 0.0
        self.memory = 0
        self.memory_now = 0
        self.overhead = 0
        self.residents: dict[str, tuple[Demand, PerSecond]] = {}
        self._models: dict[str, _Model] = {}
        self._longest = 0.0  # seconds of a request of any resident
        self._tightest = float("inf")  # slack of any resident

    def add(self, tenant: str, demand: Demand, rate: PerSecond) -> None:
        """A replica that is, or will be, here."""
        self.residents[tenant] = (demand, rate)
        for name, size in demand.memory:
            model = self._model(name, size)
            model.staying += 1
            if model.staying == 1:
                self.memory += model.size
                self.memory_now += 0 if model.leaving else model.size
        self._count(demand, rate, 1)
        self._note(demand)

    def remove(self, tenant: str, *, loaded: bool) -> None:
        """A replica that was added goes; `loaded`: its memory is given back later."""
        demand, rate = self.residents.pop(tenant)
        self._longest, self._tightest = 0.0, float("inf")
        for other, _ in self.residents.values():
            self._note(other)
        for name, _ in demand.memory:
            model = self._models[name]
            model.staying -= 1
            if not model.staying:
                self.memory -= model.size
            if loaded:
                model.leaving += 1
            elif not model.staying and not model.leaving:
                self.memory_now -= model.size
        self._count(demand, rate, -1)

    def restore(self, tenant: str, demand: Demand, rate: PerSecond) -> None:
        """Undo a `remove` of one that was loaded."""
        for name, _ in demand.memory:
            self._models[name].leaving -= 1
            if not self._held(name):
                self.memory_now -= self._models[name].size
        self.add(tenant, demand, rate)

    def add_leaving(self, models: Iterable[tuple[str, Bytes]]) -> None:
        """Models that somebody holds who is going, or an old version."""
        for name, size in models:
            model = self._model(name, size)
            model.leaving += 1
            if model.leaving == 1 and not model.staying:
                self.memory_now += model.size

    def settle(self) -> None:
        """To be called once all that is there has been added: what the agent says is used beyond it is overhead."""
        self.overhead = max(0, self.state.used - self.memory_now)

    def fits(self, demand: Demand, rate: PerSecond) -> bool:
        """Whether a replica more breaks no promise here, once those who leave have left."""
        return self.fits_memory(demand) and self.fits_time(demand, rate)

    def fits_memory(self, demand: Demand) -> bool:
        """Whether its models fit beside those that stay."""
        free = self.state.memory - self.overhead - self.memory
        return self.adds(demand) <= free

    def adds(self, demand: Demand) -> int:
        """Bytes that its models would add to those that stay."""
        return sum(size for name, size in demand.memory if not self._staying(name))

    def fits_time(self, demand: Demand, rate: PerSecond) -> bool:
        """Whether all tenants of the device can keep their deadlines, at their cheapest tiers where need be."""
        return demand.floor is not None and self.floor.with_one(demand.floor, rate) <= LIMIT

    def fits_now(self, demand: Demand) -> bool:
        """Whether its models fit beside all that is there still."""
        free = self.state.memory - self.overhead - self.memory_now
        return sum(size for name, size in demand.memory if not self._held(name)) <= free

    def conflicts(self, demand: Demand) -> bool:
        """Whether a request of it, or of a tenant here, takes longer than one of the other can wait."""
        return self._longest > demand.slack or (demand.best or demand.fastest).seconds > self._tightest

    def _note(self, demand: Demand) -> None:
        self._longest = max(self._longest, (demand.best or demand.fastest).seconds)
        self._tightest = min(self._tightest, demand.slack)

    def _staying(self, name: str) -> bool:
        model = self._models.get(name)
        return model is not None and model.staying > 0

    def _held(self, name: str) -> bool:
        model = self._models.get(name)
        return model is not None and model.staying + model.leaving > 0

    def _model(self, name: str, size: Bytes) -> _Model:
        model = self._models.get(name)
        if model is None:
            model = self._models[name] = _Model(size)
        return model

    def _count(self, demand: Demand, rate: PerSecond, sign: int) -> None:
        # One that cannot keep its deadline here any more costs what its fastest tier does.
        self.best.add(demand.best or demand.fastest, rate, sign)
        self.floor.add(demand.floor or demand.fastest, rate, sign)
        self.crowding = self.best.total + MEMORY_WEIGHT * self.memory / max(1, self.state.memory)


class _Model:
    """A model in a device's memory."""

    __slots__ = ("leaving", "size", "staying")

    def __init__(self, size: Bytes) -> None:
        self.size = size
        self.staying = 0
        self.leaving = 0
