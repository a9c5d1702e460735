"""The demo's load: Poisson arrivals, and in the middle third a spike beyond the large and the medium tier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treadle.demo.tenants import Tenant
from treadle.load.schedule import Phase, Schedule, merge, poisson
from treadle.load.targets import Target, infer_target


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests per second of a whole family of tenants, outside the spike and in it."""

    base: float
    spike: float


def choose_rates(tenants: Sequence[Tenant]) -> Mapping[str, Rates]:
    """Rates by family, from the service times measured on this machine.

    Pages: a quarter of what the large tier carries alone, then a fifth more than the medium tier carries. Digits cost
    little but their number: their share is a rate at which one request in flight is the rule, then four times it.
    Files: one core's twentieth, unchanged.
    """
    rates = {}
    for family in dict.fromkeys(tenant.family for tenant in tenants):
        tiers = next(tenant for tenant in tenants if tenant.family == family).tiers
        if len(tiers) > 1:
            rates[family] = Rates(0.25 / tiers[0].service, 1.2 / tiers[1].service)
        elif family == "files":
            rates[family] = Rates(0.05 / tiers[0].service, 0.05 / tiers[0].service)
        else:
            rates[family] = Rates(150.0, 600.0)
    return rates


def spike(seconds: float) -> tuple[float, float]:
    """When the spike of a run begins and ends: its middle third."""
    return seconds / 3, 2 * seconds / 3


def schedule(tenants: Sequence[Tenant], rates: Mapping[str, Rates], seconds: float, seed: int) -> Schedule:
    """Arrivals of a run: each family's rate, shared evenly by its tenants; targets are indices of `tenants`."""
    third = seconds / 3
    parts = []
    for number, (family, rate) in enumerate(rates.items()):
        weights = [float(tenant.family == family) for tenant in tenants]
        phases = [Phase(third, rate.base), Phase(third, rate.spike), Phase(third, rate.base)]
        parts.append(poisson(phases, seed=seed * len(rates) + number, weights=weights))
    return merge(*parts)


def targets(tenants: Sequence[Tenant]) -> tuple[Target, ...]:
    """What the load generator sends to each tenant, and the labels it compares the answers with."""
    return tuple(
        infer_target(tenant.name, tenant.inputs, binary=True, labels=tenant.labels, output=tenant.output)
        for tenant in tenants
    )
