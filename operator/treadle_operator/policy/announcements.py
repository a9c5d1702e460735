"""Events: each tells of one transition, as it is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from treadle_api import node, tenant
from treadle_api.conditions import Condition, ConditionStatus, find_condition
from treadle_api.node import CordonedDevice
from treadle_api.tenant import Tenant, Tier
from treadle_operator.policy.changes import RecordEvent
from treadle_operator.policy.conditions import LOADING, NOT_ADMITTED
from treadle_operator.policy.obstacles import WAITING
from treadle_operator.snapshot import NodeView, TenantView
from treadle_operator.tenant_status import TenantCondition, TenantStatus

QUIET_REASONS = frozenset({LOADING, WAITING, NOT_ADMITTED})  # of Ready=False: they pass, or are told already
_MOST_CHARACTERS = 1000  # of an Event's message; the API server takes 1024

# What a condition that turns is called, good and bad.
_NAMES = {
    TenantCondition.ADMITTED: ("Admitted", "NotAdmitted"),
    TenantCondition.READY: ("Ready", "NotReady"),
    TenantCondition.SLO_MET: ("SLOMet", "SLOMissed"),
    TenantCondition.ACCURACY_MET: ("AccuracyMet", "AccuracyMissed"),
    TenantCondition.STRAGGLING: ("Straggling", ""),  # only that it begins is told
}


def about(view: TenantView, reason: str, message: str, *, warning: bool) -> RecordEvent:
    """An Event about a tenant."""
    one = view.tenant
    return RecordEvent(tenant.KIND, one.namespace, one.name, view.uid, warning, reason, message[:_MOST_CHARACTERS])


def announce_status(view: TenantView, new: TenantStatus) -> Iterator[RecordEvent]:
    """Events of the conditions that turn with this status, and of degraded service that begins or ends with it."""
    for condition in new.conditions:
        old = find_condition(view.status.conditions, condition.type)
        if _is_news(condition, old) and not _is_told_as_refused(condition, new):
            good, bad = _NAMES[TenantCondition(condition.type)]
            name, warning = (good, condition.type == TenantCondition.STRAGGLING) if condition.holds else (bad, True)
            yield about(view, name, f"{condition.reason}: {condition.message}", warning=warning)
    before, after = (_given_up(view.tenant, status) for status in (view.status, new))
    best = view.tenant.served_tiers[0]
    if after is not None and before is None:
        message = f"to be in time most requests are answered by {_says(after)} instead of {_says(best)}"
        yield about(view, "Degraded", message, warning=False)
    if before is not None and after is None and new.active_tier is not None:  # else nothing is known yet
        yield about(view, "Restored", f"most requests are answered by {_says(best)} again", warning=False)


def _given_up(tenant: Tenant, status: TenantStatus) -> Tier | None:
    """The tier that answers most requests for the load alone, where it is not the best one; None where it is."""
    best, *others = tenant.served_tiers
    worse = (tier for tier in others if tier.name == status.active_tier and tier.accuracy < best.accuracy)
    return next(worse, None) if tenant.pinned is None else None


def _is_told_as_refused(condition: Condition, new: TenantStatus) -> bool:
    """Whether Admitted tells the same: that a model is missing is told once."""
    refused = find_condition(new.conditions, TenantCondition.ADMITTED)
    is_ready = condition.type == TenantCondition.READY and not condition.holds
    return is_ready and refused is not None and not refused.holds and refused.reason == condition.reason


def _says(tier: Tier) -> str:
    return f"tier {tier.name} ({tier.accuracy:g} %)"


def announce_cordons(view: NodeView, cordoned: Sequence[CordonedDevice]) -> Iterator[RecordEvent]:
    """Events of the devices that are newly cordoned."""
    known = {device.id for device in view.node.cordoned}
    for device in cordoned:
        if device.id not in known:
            message = f"device {device.id}: {device.reason}"[:_MOST_CHARACTERS]
            yield RecordEvent(node.KIND, "", view.node.name, view.uid, True, "DeviceCordoned", message)  # noqa: FBT003


def _is_news(new: Condition, old: Condition | None) -> bool:
    kind, before = TenantCondition(new.type), ConditionStatus.UNKNOWN if old is None else old.status
    if new.status is ConditionStatus.UNKNOWN or kind is TenantCondition.STRAGGLING:
        return new.holds and before is not new.status
    if new.holds:
        # What is admitted at once is told by Ready, which follows: of thousands of tenants each Event is a write.
        return before is ConditionStatus.FALSE or (before is ConditionStatus.UNKNOWN and kind is TenantCondition.READY)
    if kind is TenantCondition.READY and before is not ConditionStatus.TRUE:
        return new.reason not in QUIET_REASONS and (old is None or old.reason != new.reason)
    return before is not ConditionStatus.FALSE or (old is not None and old.reason != new.reason)
