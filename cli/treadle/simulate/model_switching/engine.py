"""The simulated device: servers that each run one request at a time, on a clock of events."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

SERVICE_SPREAD = 0.05  # coefficient of variation of a service time: inference is nearly deterministic
NOBODY = -1  # the tier of a request that was never begun


class Asked(NamedTuple):
    """A request as the policies know it (`policy.queues.Request`); seconds from the start of the run."""

    request: int
    arrival: float
    deadline: float
    tenant: int = 0
    rows: int = 1
    binding: int = 0
    priority: int = 0
    tier: int = -1
    forbidden: int = 0


class Dispatch(NamedTuple):
    """A decision: this server begins this request at this tier of its tenant; None: it loads the tier, no more."""

    server: int
    request: Asked | None
    tier: int


class Dispatcher(Protocol):
    """Queues and policy under test; keeps requests until it dispatches or drops them."""

    @property
    def switches(self) -> int:
        """Changes of tier so far: of a tenant, or of a server where servers hold one tier each."""

    def arrive(self, request: Asked) -> None:
        """A request comes."""

    def dispatch(self, free: Sequence[int], now: float) -> Dispatch | None:
        """What one of the free servers begins; None: nothing before the next event."""

    def finished(self, request: Asked, tier: int, seconds: float) -> None:
        """What a request took, loading not counted."""


@dataclass(frozen=True, slots=True)
class Plant:
    """`services`: true mean seconds of a request, by tier; `switch_cost`: seconds in which a server changes tier."""

    servers: int
    services: tuple[float, ...]
    switch_cost: float = 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """What became of N requests: `tier` (N,) that began each, NOBODY where none did; `begin`, `end` (N,) seconds,
    infinite where none did.
    """

    requests: Sequence[Asked]
    tier: npt.NDArray[np.int16]
    begin: npt.NDArray[np.float64]
    end: npt.NDArray[np.float64]
    switches: int


def spread(count: int, seed: int) -> npt.NDArray[np.float64]:
    """(count,) factors of mean 1 on service times, log-normal: one sequence a seed, the same for all policies."""
    variance = np.log1p(SERVICE_SPREAD**2)
    return np.random.default_rng([seed, 1]).lognormal(-variance / 2, np.sqrt(variance), count)


def play(requests: Sequence[Asked], factors: Sequence[float], plant: Plant, dispatcher: Dispatcher) -> Played:
    """Run `requests`, in order of arrival; `factors[i]` stretches the service of request number i."""
    count = len(requests)
    tiers, begins, ends = [NOBODY] * count, [np.inf] * count, [np.inf] * count
    resident = [0] * plant.servers
    free = list(range(plant.servers))
    busy: list[tuple[float, Dispatch, float]] = []  # until when, with what, of it without loading
    upcoming = 0
    while upcoming < count or busy:
        if upcoming < count and (not busy or requests[upcoming].arrival <= busy[0][0]):
            request = requests[upcoming]
            now = request.arrival
            upcoming += 1
            dispatcher.arrive(request)
        else:
            now, done, took = heapq.heappop(busy)
            free.append(done.server)
            if done.request is not None:
                dispatcher.finished(done.request, done.tier, took)
        while free and (begun := dispatcher.dispatch(free, now)) is not None:
            server, asked, tier = begun
            free.remove(server)
            end = now + (plant.switch_cost if resident[server] != tier else 0.0)
            resident[server] = tier
            seconds = 0.0
            if asked is not None:
                seconds = plant.services[tier] * factors[asked.request]
                end += seconds
                tiers[asked.request], begins[asked.request], ends[asked.request] = tier, now, end
            heapq.heappush(busy, (end, begun, seconds))
    return Played(requests, np.array(tiers, np.int16), np.array(begins), np.array(ends), dispatcher.switches)
