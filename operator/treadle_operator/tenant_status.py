"""An InferenceTenant's status: read from an object, and written as the fields of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from treadle_api.conditions import Condition, read_conditions
from treadle_api.fields import Fields
from treadle_api.objects import LARGEST_INT32, read_generation
from treadle_api.units import (
    Percent,
    PerSecond,
    Seconds,
    TierName,
    format_decimal,
    format_duration,
    parse_decimal,
    parse_duration,
)


class TenantCondition(StrEnum):
    """Types of an InferenceTenant's conditions."""

    ADMITTED = "Admitted"  # its promise can be kept here; False carries why not, and the status a counter-offer
    READY = "Ready"  # at least `replicas.min` devices answer requests
    SLO_MET = "SLOMet"  # of the last minute's requests, the objective's share was answered within the deadline
    ACCURACY_MET = "AccuracyMet"  # and their effective accuracy kept the floor
    STRAGGLING = "Straggling"  # an agent finds it slower than its kernels should be


_OURS = frozenset(TenantCondition)


@dataclass(frozen=True, slots=True)
class CounterOffer:
    """The nearest promises that could be kept, each with all else as asked; None where that alone does not help."""

    deadline: Seconds | None = None
    min_accuracy: Percent | None = None
    requests_per_second: PerSecond | None = None


@dataclass(frozen=True, slots=True)
class TenantStatus:
    """What the operator tells of a tenant; figures are None where there was no request to measure.

    `p99` is in whole milliseconds, `effective_accuracy` in percent to two places, `requests_per_second` to three
    digits: as they are written.
    """

    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()
    replicas_desired: int = 0
    replicas_ready: int = 0
    active_tier: TierName | None = None
    effective_accuracy: Percent | None = None
    p99: Seconds | None = None
    requests_per_second: PerSecond | None = None
    url: str = ""
    counter_offer: CounterOffer | None = None


def read_tenant_status(manifest: Mapping[str, object]) -> TenantStatus:
    """The status of a decoded InferenceTenant; empty where it has none yet.

    Raises:
        FieldError: a field is malformed; the error names it.
    """
    status = Fields("", manifest).child("status", optional=True)
    replicas = status.child("replicas", optional=True)
    return TenantStatus(
        observed_generation=read_generation(status, "observedGeneration"),
        # Others' conditions are none of ours: server-side apply leaves them, and so do we.
        conditions=tuple(one for one in read_conditions(status) if one.type in _OURS),
        replicas_desired=replicas.integer("desired", 0, LARGEST_INT32, 0),
        replicas_ready=replicas.integer("ready", 0, LARGEST_INT32, 0),
        active_tier=TierName(status.text("activeTier", None, 63)) if status.has("activeTier") else None,
        effective_accuracy=_percent(status, "effectiveAccuracy"),
        p99=_duration(status, "p99"),
        requests_per_second=_rate(status, "requestsPerSecond"),
        url=status.text("url", None, 2048) if status.has("url") else "",
        counter_offer=_read_offer(status.child("counterOffer")) if status.has("counterOffer") else None,
    )


def status_fields(status: TenantStatus) -> dict[str, object]:
    """The object's `status` member, whole, as server-side apply takes it: fields that are left out are removed."""
    fields: dict[str, object] = {
        "observedGeneration": status.observed_generation,
        "conditions": [condition_fields(condition) for condition in status.conditions],
        "replicas": {"desired": status.replicas_desired, "ready": status.replicas_ready},
    }
    if status.active_tier is not None:
        fields["activeTier"] = status.active_tier
    if status.effective_accuracy is not None:
        fields["effectiveAccuracy"] = format_decimal(status.effective_accuracy)
    if status.p99 is not None:
        fields["p99"] = format_duration(status.p99)
    if status.requests_per_second is not None:
        fields["requestsPerSecond"] = format_decimal(status.requests_per_second)
    if status.url:
        fields["url"] = status.url
    if status.counter_offer is not None:
        fields["counterOffer"] = _offer_fields(status.counter_offer)
    return fields


def condition_fields(condition: Condition) -> dict[str, object]:
    """A condition as an object's status has it."""
    return {
        "type": str(condition.type),
        "status": str(condition.status),
        "reason": str(condition.reason),
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }


def _offer_fields(offer: CounterOffer) -> dict[str, str]:
    fields: dict[str, str] = {}
    if offer.deadline is not None:
        fields["deadline"] = format_duration(offer.deadline)
    if offer.min_accuracy is not None:
        fields["minAccuracy"] = format_decimal(offer.min_accuracy)
    if offer.requests_per_second is not None:
        fields["requestsPerSecond"] = format_decimal(offer.requests_per_second)
    return fields


def _read_offer(offer: Fields) -> CounterOffer:
    return CounterOffer(_duration(offer, "deadline"), _percent(offer, "minAccuracy"), _rate(offer, "requestsPerSecond"))


def _duration(fields: Fields, key: str) -> Seconds | None:
    return fields.parsed(key, parse_duration, 28) if fields.has(key) else None


def _percent(fields: Fields, key: str) -> Percent | None:
    return Percent(fields.parsed(key, parse_decimal, 8)) if fields.has(key) else None


def _rate(fields: Fields, key: str) -> PerSecond | None:
    return PerSecond(fields.parsed(key, parse_decimal, 16)) if fields.has(key) else None
