"""The question, put to the operator's own planner: what would it do if these tenants were applied?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from treadle_api.tenant import Tenant
from treadle_operator.policy.capacity import Knowledge, TierCost
from treadle_operator.policy.conditions import too_few_devices
from treadle_operator.policy.plan import DeviceForecast, Memory, Note, Placement, Plan, Verdict
from treadle_operator.policy.planning import plan
from treadle_operator.snapshot import Snapshot, TenantView


@dataclass(frozen=True, slots=True)
class Effect:
    """What becomes of a replica of another tenant: `reason` is one CamelCase word."""

    tenant: str
    place: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What would become of one tenant.

    `devices`: how full its devices would be, by place; `models` their models; `tiers`: what its tiers cost there, or
    where it has no place anywhere, by device model.
    """

    tenant: Tenant
    known: bool
    verdict: Verdict
    placements: tuple[Placement, ...]
    devices: Mapping[str, DeviceForecast]
    models: Mapping[str, str]
    tiers: Mapping[str, tuple[TierCost, ...]]

    @property
    def feasible(self) -> bool:
        """Whether it would be admitted, and all its least replicas have a device."""
        return self.verdict.admitted and self._lacks is None

    @property
    def why(self) -> Note:
        """What the cluster would tell of it."""
        return self._lacks or Note(self.verdict.reason, self.verdict.message)

    @property
    def _lacks(self) -> Note | None:
        placed, least = len(self.placements), self.tenant.replicas.minimum
        return too_few_devices(placed, least) if self.verdict.admitted and placed < least else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answers, in the order of the tenants, and what would become of others."""

    answers: tuple[Answer, ...]
    effects: tuple[Effect, ...]


def ask(snapshot: Snapshot, tenants: Sequence[Tenant], now: float) -> Outcome:
    """Plan with the tenants applied together, one after the other, and compare with a plan without them.

    Args:
        snapshot: what there is.
        tenants: new ones, or edits of those there are.
        now: seconds since the epoch.
    """
    views = {tenant.key: _applied(snapshot, tenant, now) for tenant in tenants}
    asked = replace(snapshot, tenants={**snapshot.tenants, **views})
    before, after = plan(snapshot, Memory(), now), plan(asked, Memory(), now)
    knowledge = Knowledge(asked)
    answers = (_answer(asked, tenant, after, knowledge, known=tenant.key in snapshot.tenants) for tenant in tenants)
    return Outcome(tuple(answers), _effects(before, after, views))


def _applied(snapshot: Snapshot, tenant: Tenant, now: float) -> TenantView:
    """As the API server would have it then."""
    present = snapshot.tenants.get(tenant.key)
    if present is None:
        return TenantView(tenant, "applied", 1, now)
    return replace(present, tenant=tenant, generation=present.generation + 1)


def _answer(snapshot: Snapshot, tenant: Tenant, after: Plan, knowledge: Knowledge, *, known: bool) -> Answer:
    planned = after.tenants[tenant.key]
    places = {placement.place for placement in planned.placements}
    models = {
        f"{name}/{device.id}": device.model
        for name, view in sorted(snapshot.nodes.items())
        for device in view.node.devices
        if f"{name}/{device.id}" in places
    }
    everywhere = (device.model for view in snapshot.nodes.values() for device in view.node.devices)
    tiers = {
        model: tuple(knowledge.cost(tenant, tier, model) for tier in tenant.served_tiers)
        for model in dict.fromkeys(models.values() if models else sorted(everywhere))
    }
    devices = {place: after.devices[place] for place in models}
    return Answer(tenant, known, planned.verdict, planned.placements, devices, models, tiers)


def _effects(before: Plan, after: Plan, asked: Mapping[str, TenantView]) -> tuple[Effect, ...]:
    """What happens to other tenants that would not happen anyway."""
    found = []
    for key, planned in after.tenants.items():
        if key in asked:
            continue
        then = before.tenants[key]
        found += [
            Effect(key, place, note.reason, note.message)
            for place, note in planned.given_up.items()
            if place not in then.given_up
        ]
        places = {placement.place for placement in then.placements}
        found += [
            Effect(key, placement.place, placement.cause, placement.message)
            for placement in planned.placements
            if placement.replaces and placement.place not in places
        ]
        if then.verdict.admitted and not planned.verdict.admitted:
            found.append(Effect(key, "", planned.verdict.reason, planned.verdict.message))
    return tuple(found)
