"""What a tenant costs a device: seconds, memory, and what it saves beside others of its architecture.

Figures come from ModelProfiles, else from what an agent measured when it loaded the model, else they are assumed, so
that a tenant with new models is admitted, and known from then on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from treadle_api.profile import BatchLatency, Profile
from treadle_api.replica import TierFigures
from treadle_api.tenant import Precision, Tenant, Tier, at_precision
from treadle_api.units import Bytes, Percent, PerSecond, Seconds, TierName
from treadle_operator.snapshot import Snapshot

MARGIN = 1 + 1e-9  # for the rounding of sums
LIMIT = 0.8  # of a device's time: what its tenants may be predicted to need, at their cheapest tiers
KEPT_LIMIT = 1.0  # the same for those who are served already: measurements vary, admission must not
DEADLINE_SHARE = 0.9  # of the deadline: what a request alone may take; the rest is for waiting and the network
KEPT_DEADLINE_SHARE = 1.0  # the same of a tenant that is served already

# Assumed of a model that nobody has measured on this kind of device.
UNKNOWN_DEADLINE_SHARE = 0.1  # a request takes this share of the deadline ...
UNKNOWN_SECONDS = Seconds(0.010)  # ... or this, if that is less ...
UNKNOWN_UTILISATION = 0.4  # ... or so much that the load which its owner declares takes this share of a device, ...
UNKNOWN_LEAST = Seconds(0.0001)  # ... but for that load not less than this: nobody's word is taken for anything
UNKNOWN_MEMORY = Bytes(64 << 20)
FLOAT16_SHARE = 0.52  # of a model's bytes at Float32: matrices are halved, and biases, up to 0.015 in models tried, not
UNKNOWN_RATE = PerSecond(1.0)  # of a tenant that says nothing of its load, and had none yet

MOST_MERGED = 16  # tenants: beyond that a launch gains little, and a prediction for it would be bold
MERGED = "merged"  # TierFigures.implementation of kernels that merge with those of other tenants


@dataclass(frozen=True, slots=True)
class TierCost:
    """One tier on one kind of device.

    `seconds`: device time of a request alone; `p99`: its latency, alone. `model`: the model's digest, or its URI where
    the digest is not known, at its precision; a device holds each once. `architecture`: likewise, "" where it merges
    with nothing. `merged`: by the number of tenants whose requests merge, from one: the share of `seconds` that each
    request then costs. `measured`: whether `seconds` are, on this kind of device; else they are assumed.
    """

    name: TierName
    accuracy: Percent
    seconds: Seconds
    p99: Seconds
    model: str
    memory: Bytes
    architecture: str = ""
    merged: tuple[float, ...] = (1.0,)
    measured: bool = False

    def share(self, tenants: int) -> float:
        """The share of `seconds` that a request costs where this many tenants merge."""
        return self.merged[min(tenants, len(self.merged)) - 1]


@dataclass(frozen=True, slots=True)
class Demand:
    """A tenant on one kind of device.

    `memory`: bytes by model, of all tiers that are loaded. `best` and `floor`: the most accurate and the cheapest of
    the tiers that may answer and keep the deadline; None where none does. `fastest`: of those that may answer. `slack`:
    how long a request may wait for others and still be answered by the best in time.
    """

    memory: tuple[tuple[str, Bytes], ...]
    best: TierCost | None
    floor: TierCost | None
    fastest: TierCost
    slack: Seconds


class Knowledge:
    """What is known of models at the time of a snapshot; one object serves one plan."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._profiles = snapshot.profiles
        self._anywhere = {
            profile.sha256: (profile.memory, profile.architecture) for profile in snapshot.profiles.values()
        }
        self._digests: dict[str, str] = {}
        self._figures: dict[tuple[str, str], TierFigures] = {}
        self._merged: dict[tuple[str, str, Seconds], tuple[float, ...]] = {}
        self._costs: dict[tuple[str, str], list[TierCost]] = {}
        self._demands: dict[tuple[str, str, bool], Demand] = {}
        self._learn(snapshot)

    def _learn(self, snapshot: Snapshot) -> None:
        models = {
            (name, device.id): device.model for name, view in snapshot.nodes.items() for device in view.node.devices
        }
        for key in sorted(snapshot.replicas):
            replica = snapshot.replicas[key].replica
            model = models.get((replica.node, replica.device), "")
            uris = {tier.name: tier.model.uri for tier in replica.tenant.tiers} if replica.status.tiers else {}
            for figures in replica.status.tiers:
                kept = at_precision(figures.sha256, figures.precision)
                self._figures[kept, model] = figures
                self._anywhere[kept] = (figures.memory, figures.architecture)
                if figures.name in uris:
                    self._digests[uris[figures.name]] = figures.sha256

    def memory(self, tenant: Tenant, device_model: str) -> dict[str, Bytes]:
        """Bytes by model of all tiers that are loaded for a tenant, or for an earlier version of one."""
        costs = (self.cost(tenant, tier, device_model) for tier in tenant.served_tiers)
        return {cost.model: cost.memory for cost in costs}

    def demand(self, tenant: Tenant, device_model: str, *, kept: bool = False) -> Demand:
        """What a tenant, as it is now, costs on a kind of device; `kept`: judged as one that is served already."""
        key = (tenant.key, device_model, kept)
        if (known := self._demands.get(key)) is not None:
            return known
        share = KEPT_DEADLINE_SHARE if kept else DEADLINE_SHARE
        made = self._demands[key] = _demand(tenant, self._tiers(tenant, device_model), share)
        return made

    def imagine(self, tenant: Tenant, device_model: str, slower: float) -> Demand:
        """What a tenant would cost if it were as this one is, and its models took so many times as long."""
        known = [self.cost(tenant, tier, device_model) for tier in tenant.served_tiers]
        tiers = [replace(one, seconds=Seconds(one.seconds * slower), p99=Seconds(one.p99 * slower)) for one in known]
        return _demand(tenant, tiers, DEADLINE_SHARE)

    def _tiers(self, tenant: Tenant, device_model: str) -> list[TierCost]:
        """What the tiers of a tenant, as it is now, cost on a kind of device."""
        key = (tenant.key, device_model)
        if (known := self._costs.get(key)) is None:
            known = self._costs[key] = [self.cost(tenant, tier, device_model) for tier in tenant.served_tiers]
        return known

    def cost(self, tenant: Tenant, tier: Tier, device_model: str) -> TierCost:
        """What one tier costs on a kind of device."""
        digest = tier.model.sha256 or self._digests.get(tier.model.uri, "")
        profile = self._profiles.get((digest, device_model)) if tier.precision is Precision.FLOAT32 else None
        figures = self._figures.get((at_precision(digest, tier.precision), device_model))
        model = at_precision(digest or tier.model.uri, tier.precision)
        if profile is not None:
            merges = figures is None or figures.implementation == MERGED
            seconds = _seconds_under_load(profile, tenant.slo.deadline)
            return TierCost(
                tier.name,
                tier.accuracy,
                seconds,
                profile.batches[0].p99,
                model,
                profile.memory,
                profile.architecture if merges else "",
                self._shares(profile, seconds) if merges else (1.0,),
                measured=True,
            )
        assumed = _assumed_seconds(tenant)
        if figures is not None:
            merges = figures.implementation == MERGED
            architecture = at_precision(figures.architecture, tier.precision) if merges else ""
            seconds = figures.service_seconds or assumed  # an agent that has not timed it yet writes 0
            known = figures.service_seconds > 0
            return TierCost(
                tier.name, tier.accuracy, seconds, seconds, model, figures.memory, architecture, measured=known
            )
        memory, architecture = self._elsewhere(digest, tier.precision)
        return TierCost(tier.name, tier.accuracy, assumed, assumed, model, memory, architecture)

    def _elsewhere(self, digest: str, precision: Precision) -> tuple[Bytes, str]:
        """Memory and architecture as known from other kinds of device, or from another precision: they are the same."""
        known = self._anywhere.get(at_precision(digest, precision))
        if known is None and (plain := self._anywhere.get(digest)) is not None:
            share = FLOAT16_SHARE if precision is Precision.FLOAT16 else 1.0
            known = Bytes(math.ceil(share * plain[0])), plain[1]
        if known is None:
            return UNKNOWN_MEMORY, ""
        memory, architecture = known
        return memory, at_precision(architecture, precision)

    def _shares(self, profile: Profile, seconds: Seconds) -> tuple[float, ...]:
        """`TierCost.merged` of a model, which many tenants may have.

        A load that was measured was itself merged, by requests of one tenant: that is not gained a second time.
        """
        key = (profile.sha256, profile.device_model, seconds)
        if (known := self._merged.get(key)) is None:
            gained = min(1.0, seconds / profile.batches[0].p50) if profile.batches[0].p50 > 0 else 1.0
            known = self._merged[key] = tuple(min(1.0, share / gained) for share in _merged(profile.batches))
        return known


def _demand(tenant: Tenant, tiers: list[TierCost], deadline_share: float) -> Demand:
    """What a tenant costs with such tiers, where a request alone may take this share of its deadline."""
    answering = tiers if tenant.pinned is None else [tier for tier in tiers if tier.name == tenant.pinned]
    timely = [tier for tier in answering if tier.p99 <= deadline_share * tenant.slo.deadline]
    fastest = min(answering, key=lambda tier: tier.p99)
    best = timely[0] if timely else None
    return Demand(
        memory=tuple({tier.model: tier.memory for tier in tiers}.items()),
        best=best,
        floor=min(timely, key=lambda tier: tier.seconds, default=None),
        fastest=fastest,
        slack=Seconds(tenant.slo.deadline - (best or fastest).p99),
    )


def _assumed_seconds(tenant: Tenant) -> Seconds:
    """Device seconds of a request where nobody has measured them: so few that the tenant is admitted, and measured."""
    seconds = min(UNKNOWN_SECONDS, UNKNOWN_DEADLINE_SHARE * tenant.slo.deadline)
    if tenant.requests_per_second:
        seconds = min(seconds, max(UNKNOWN_LEAST, UNKNOWN_UTILISATION / tenant.requests_per_second))
    return Seconds(seconds)


def _merged(batches: tuple[BatchLatency, ...]) -> tuple[float, ...]:
    """Share of one request's seconds by requests in a launch; where it was not measured, the next smaller one's."""
    one = batches[0].p50
    if one <= 0:
        return (1.0,)
    shares = [1.0]
    for batch in batches[1:]:
        if batch.rows > MOST_MERGED:
            break
        shares.extend([shares[-1]] * (batch.rows - 1 - len(shares)))
        shares.append(min(1.0, batch.p50 / (batch.rows * one)))
    return tuple(shares)


def _seconds_under_load(profile: Profile, deadline: Seconds) -> Seconds:
    """Device seconds a request: of one row alone, corrected by the loads that were measured to fit, or not to."""
    seconds = profile.batches[0].p50
    if not profile.loads:
        return seconds
    fits = [load.requests_per_second for load in profile.loads if load.p99 <= deadline]
    fails = [load.requests_per_second for load in profile.loads if load.p99 > deadline]
    if fits and max(fits) > 0:
        seconds = Seconds(min(seconds, LIMIT / max(fits)))
    if fails and min(fails) > 0:
        seconds = Seconds(max(seconds, LIMIT / min(fails)))
    return seconds
