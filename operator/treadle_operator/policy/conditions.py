"""A tenant's conditions, from what its replicas tell."""

from __future__ import annotations

from treadle_api.conditions import Condition, ConditionStatus, find_condition
from treadle_api.replica import Figures
from treadle_api.units import Seconds
from treadle_operator.policy import promise
from treadle_operator.policy.case import Case
from treadle_operator.policy.observation import refusal, up_to_date, wanted_template
from treadle_operator.policy.obstacles import WAITING
from treadle_operator.policy.plan import Note, Verdict
from treadle_operator.snapshot import Cause, ReplicaView
from treadle_operator.tenant_status import TenantCondition

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN

LOADING = "Loading"
NOT_ADMITTED = "NotAdmitted"
IDLE_AFTER = Seconds(300.0)  # without a request: what was found of the last ones is no answer any more
TRANSITIONAL = frozenset({LOADING, WAITING})  # reasons of Ready=False that pass by themselves, mostly at once

_CHANCE = ", which so few requests miss by chance"
_LOST = frozenset({Cause.NODE_LOST, Cause.DEVICE_LOST})
_AS_EXPECTED = Condition(TenantCondition.STRAGGLING, FALSE, "AsExpected", "its kernels take as long as they should")

_NOT_JUDGED = Condition(TenantCondition.STRAGGLING, UNKNOWN, "NotServed", "not judged: it is served nowhere")


def admitted(verdict: Verdict) -> Condition:
    """Whether the promise can be kept."""
    status = TRUE if verdict.admitted else FALSE
    return Condition(TenantCondition.ADMITTED, status, verdict.reason, verdict.message)


def ready(case: Case, verdict: Verdict, serving: list[ReplicaView], obstacle: Note | None) -> Condition:
    """Whether enough devices answer. `serving`: its replicas that do; `obstacle`: what is in the way of requests."""
    least = case.tenant.replicas.minimum
    refused = next((found for view in case.state.current if (found := refusal(view)) is not None), None)
    if obstacle is not None:
        return _ready(FALSE, obstacle.reason, obstacle.message)
    if len(serving) >= least:
        count = min(len(serving), case.target.replicas)
        if refused is not None:
            return _ready(TRUE, "PreviousVersion", f"an earlier version is served: {refused.message}")
        return _ready(TRUE, "Serving", f"{count} device{'s' if count != 1 else ''} answer{'s' if count == 1 else ''}")
    if not case.placements:
        return _ready(FALSE, NOT_ADMITTED, verdict.message)
    if refused is not None:
        return _ready(FALSE, refused.reason, refused.message)
    if len(case.placements) < least:
        few = too_few_devices(len(case.placements), least)
        return _ready(FALSE, few.reason, few.message)
    away = case.placements.keys() - {view.place for view in serving}
    lost = next((leave for view, leave in case.forced if view.place in away and leave.cause in _LOST), None)
    if lost is not None:
        return _ready(FALSE, lost.cause, f"{lost.message}, and no other device has room")
    waiting = next((one for one in case.placements.values() if one.waits_for), None)
    if waiting is not None:
        return _ready(FALSE, WAITING, f"{waiting.node}/{waiting.device} has room when it is rid of {waiting.waits_for}")
    return _ready(FALSE, LOADING, f"{len(serving)} of {least} replicas answer; being loaded: {', '.join(sorted(away))}")


def too_few_devices(placed: int, least: int) -> Note:
    """What is said of a tenant that lacks devices."""
    why = "each takes one of its own, that is open to the tenant and has memory and time left for it"
    return Note("TooFewDevices", f"{placed} of {least} replicas have a device: {why}")


def slo_met(case: Case, *, idle: bool) -> Condition:
    """Whether the objective's share of the last window's requests was in time; by more than chance, both ways.

    `idle`: there has been no request for so long that what was found then says nothing any more.
    """
    served, slo = case.state.served, case.tenant.slo
    old = find_condition(case.state.view.status.conditions, TenantCondition.SLO_MET)
    if not served.total:
        return _without_requests(TenantCondition.SLO_MET, old, idle=idle)
    share = f"{served.good / served.total:.2%} of {_latest(served)} were in time"
    message = f"{share}; the objective is {slo.objective:g}%"
    if promise.is_late(served, slo, broken=_is_false(old)):
        return Condition(TenantCondition.SLO_MET, FALSE, _steady(promise.cause_of_lateness(served), old), message)
    if promise.is_late(served, slo, broken=True):
        message += _CHANCE
    return Condition(TenantCondition.SLO_MET, TRUE, "InTime", message)


def accuracy_met(case: Case, *, idle: bool) -> Condition:
    """Whether the accuracy floor was kept by the objective's share of requests: others count as 0; `idle` as above."""
    served, slo = case.state.served, case.tenant.slo
    old = find_condition(case.state.view.status.conditions, TenantCondition.ACCURACY_MET)
    if not served.total:
        return _without_requests(TenantCondition.ACCURACY_MET, old, idle=idle)
    effective, least = promise.effective_accuracy(served), promise.least_accuracy(slo)
    terms = f"{slo.min_accuracy:g} for {slo.objective:g}% of the requests is {least:.2f}"
    message = f"effective accuracy of {_latest(served)} was {effective:.2f}; {terms}"
    if promise.is_inaccurate(served, slo, broken=_is_false(old)):
        return Condition(TenantCondition.ACCURACY_MET, FALSE, "BelowFloor", message)
    if promise.is_inaccurate(served, slo, broken=True):
        message += _CHANCE
    return Condition(TenantCondition.ACCURACY_MET, TRUE, "FloorKept", message)


def straggling(case: Case, serving: list[ReplicaView]) -> Condition:
    """Whether an agent finds the tenant slow, and what is done. `serving`: its replicas that answer."""
    if case.straggling is None:
        return _AS_EXPECTED if serving else _NOT_JUDGED
    return Condition(TenantCondition.STRAGGLING, TRUE, case.straggling.reason, case.straggling.message)


def observed(condition: Condition, case: Case, now: str) -> Condition:
    """The condition with its generation, and the time of its last change of status."""
    view = case.state.view
    old = find_condition(view.status.conditions, condition.type)
    generation = view.generation
    if condition.type == TenantCondition.READY and condition.holds and not _all_current(case):
        generation = old.observed_generation if old is not None and old.holds else 0  # what answers is older
    status, reason, message = condition.status, condition.reason, condition.message
    if old is None or old.status is not status:
        return Condition(condition.type, status, reason, message, generation, now)
    # This runs five times a tenant a plan, and hardly ever is there anything new.
    if (old.reason, old.message, old.observed_generation) == (reason, message, generation):
        return old
    return Condition(condition.type, status, reason, message, generation, old.last_transition_time)


def _all_current(case: Case) -> bool:
    """Whether what answers is what the tenant's spec asks for."""
    template = wanted_template(case.tenant)
    return all(
        wanted_template(view.replica.tenant) == template and up_to_date(view)
        for view in case.state.current
        if view.serves
    )


def _latest(served: Figures) -> str:
    """Those that figures are of: a message stays true where no others come."""
    return f"the latest {served.total} requests, within {served.window:g} s,"


def _without_requests(type_: TenantCondition, old: Condition | None, *, idle: bool) -> Condition:
    """Nothing is known; but what was found is not unsaid because a moment has passed, or the counters begin anew."""
    if old is None:
        return Condition(type_, UNKNOWN, "NoRequests", "no request was measured yet")
    if idle and old.status is not UNKNOWN:
        return Condition(type_, UNKNOWN, "NoRequests", f"no request was measured for {IDLE_AFTER / 60:g} minutes")
    return old


def _steady(reason: str, old: Condition | None) -> str:
    """The reason of a condition that stays False stays the first: it would change with every window."""
    return old.reason if old is not None and _is_false(old) else reason


def _is_false(old: Condition | None) -> bool:
    return old is not None and old.status is FALSE


def _ready(status: ConditionStatus, reason: str, message: str) -> Condition:
    return Condition(TenantCondition.READY, status, reason, message)
