"""The start of a plan: what is there stays where it is, unless there is a reason to leave."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from treadle_api.tenant import at_precision
from treadle_api.units import Bytes, PerSecond
from treadle_operator.policy.capacity import Demand, Knowledge
from treadle_operator.policy.case import Case
from treadle_operator.policy.devices import Leave, lacking, leave_missing, terms_of
from treadle_operator.policy.observation import TenantState, is_replaced, refusal
from treadle_operator.policy.placement import Fleet
from treadle_operator.policy.plan import Memory, Placement
from treadle_operator.policy.scaling import target
from treadle_operator.snapshot import Cause, ReplicaView, Snapshot


def open_cases(
    snapshot: Snapshot, tenants: Iterable[TenantState], fleet: Fleet, knowledge: Knowledge, memory: Memory, now: float
) -> list[Case]:
    """A case for each tenant, with its present replicas in the ledgers of their devices."""
    cases = []
    for state in tenants:
        case = _open(snapshot, state, fleet, knowledge, memory, now)
        for view in state.leaving:
            _leave(fleet, view, knowledge)
        cases.append(case)
    return cases


def count_strays(strays: Iterable[ReplicaView], fleet: Fleet, knowledge: Knowledge) -> None:
    """Replicas without a tenant hold memory until they are gone."""
    for view in strays:
        _leave(fleet, view, knowledge)


def _open(
    snapshot: Snapshot, state: TenantState, fleet: Fleet, knowledge: Knowledge, memory: Memory, now: float
) -> Case:
    tenant = state.view.tenant
    reasons = {view.place: _reason(snapshot, state, view, fleet) for view in state.current}
    slots = sum(not is_replaced(view, state.current) for view in state.current)
    stay = [view for view in state.current if reasons[view.place] is None]
    demand = _typical(state, stay, fleet, knowledge)
    wanted = target(state, demand, slots, memory.low.get(tenant.key), now)
    carry = sum(leave is None or leave.serves for leave in reasons.values())  # all of its load, until others do
    case = Case(state, wanted, PerSecond(state.offered / min(max(carry, 1), wanted.replicas)))
    for view in state.current:
        if (leave := reasons[view.place]) is None:
            _stay(case, view, fleet)
        else:
            case.forced.append((view, leave))
            replaced = len(stay) >= wanted.replicas and is_replaced(view, stay)
            _go(case, view, leave, fleet, knowledge, replaced=replaced)
    return case


def _stay(case: Case, view: ReplicaView, fleet: Fleet) -> None:
    ledger = fleet.ledgers[view.place]
    demand = fleet.add(case.tenant, ledger, case.rate, kept=True)
    case.placements[view.place] = Placement(view.replica.node, view.replica.device, view.cause or Cause.ADMITTED)
    wanted = dict(demand.memory)
    ledger.memory.leave([pair for pair in _loaded(view) if pair[0] not in wanted])  # of an earlier version


def _go(case: Case, view: ReplicaView, leave: Leave, fleet: Fleet, knowledge: Knowledge, *, replaced: bool) -> None:
    """It is a burden where it is until another replica takes over, which has then to be found."""
    ledger = fleet.ledgers.get(view.place)
    if ledger is None:
        return
    if not leave.serves or replaced:
        _leave(fleet, view, knowledge)
        return
    demand = fleet.demand(case.tenant, ledger, kept=True)
    loaded = dict(_loaded(view)) or knowledge.memory(view.replica.tenant, ledger.state.model)
    ledger.add(case.tenant.key, replace(demand, memory=tuple(loaded.items())), case.rate)


def _reason(snapshot: Snapshot, state: TenantState, view: ReplicaView, fleet: Fleet) -> Leave | None:
    """Why a replica must leave its device; None where it may stay."""
    ledger = fleet.ledgers.get(view.place)
    if ledger is None:
        return leave_missing(view.place, snapshot)
    device = ledger.state
    if device.leave is not None:
        return device.leave
    if missing := lacking(terms_of(state.view.tenant), device):
        return Leave(Cause.NODE_UNFIT, f"device {device.place} {missing}", serves=True)
    refused = refusal(view)
    if refused is not None and refused.elsewhere:
        return Leave(Cause.LOAD_FAILED, f"it cannot load it: {refused.message}", serves=view.serves)
    return None


def _typical(state: TenantState, stay: list[ReplicaView], fleet: Fleet, knowledge: Knowledge) -> Demand:
    """What the tenant costs on the slowest device that it is on; where it is on none, on the best that it may be on."""
    tenant = state.view.tenant
    here = {fleet.ledgers[view.place].state.model for view in stay}
    if here:
        return max(
            (knowledge.demand(tenant, model, kept=True) for model in sorted(here)),
            key=lambda demand: (demand.floor or demand.fastest).seconds,
        )
    models = {kind.largest.state.model for kind in fleet.kinds(tenant)} or {""}
    return min(
        (knowledge.demand(tenant, model) for model in sorted(models)),
        key=lambda demand: (demand.floor is None, (demand.floor or demand.fastest).seconds),
    )


def _leave(fleet: Fleet, view: ReplicaView, knowledge: Knowledge) -> None:
    """It holds memory until it is gone."""
    ledger = fleet.ledgers.get(view.place)
    if ledger is not None:
        expected = knowledge.memory(view.replica.tenant, ledger.state.model)
        ledger.memory.leave({**expected, **dict(_loaded(view))}.items())


def _loaded(view: ReplicaView) -> list[tuple[str, Bytes]]:
    return [(at_precision(tier.sha256, tier.precision), tier.memory) for tier in view.replica.status.tiers]
