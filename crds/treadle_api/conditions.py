"""Conditions as in the Kubernetes API conventions: a map by type, whose times move only when the status does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from treadle_api.fields import Fields, FieldValueError
from treadle_api.objects import read_generation

MOST_CONDITIONS = 16

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")
_TIME = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?Z")


class ConditionStatus(StrEnum):
    """Whether an aspect holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect of an object's present state. `reason` is one CamelCase word, `message` is for a person.

    `last_transition_time` is RFC 3339 in UTC, of the last change of `status`; `observed_generation` the generation of
    the spec that it is about.
    """

    type: str
    status: ConditionStatus
    reason: str
    message: str
    observed_generation: int = 0
    last_transition_time: str = ""

    @property
    def holds(self) -> bool:
        """Whether the status is True; Unknown is not."""
        return self.status is ConditionStatus.TRUE


def with_condition(conditions: Iterable[Condition], new: Condition, now: str) -> tuple[Condition, ...]:
    """`conditions` with `new` in the place of the one of its type.

    `now` (RFC 3339 in UTC) becomes its time if the status changed; else the old time stays.
    """
    kept = {condition.type: condition for condition in conditions}
    old = kept.get(new.type)
    unchanged = old is not None and old.status is new.status
    time = old.last_transition_time if old is not None and unchanged else now
    kept[new.type] = replace(new, last_transition_time=time)
    return tuple(kept.values())


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of a type, or None."""
    for condition in conditions:  # a plan asks several times a tenant: a generator would take twice as long
        if condition.type == type_:
            return condition
    return None


def transition_time(now: float) -> str:
    """A moment, in seconds since the epoch, as conditions have it: RFC 3339 in UTC, in whole seconds."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_conditions(status: Fields) -> tuple[Condition, ...]:
    """The conditions of an object's status, in its order.

    Raises:
        FieldError: one is malformed; the error names the field.
    """
    return tuple(
        _read_condition(item) for item in status.children("conditions", MOST_CONDITIONS, least=0, unique="type")
    )


def _read_condition(condition: Fields) -> Condition:
    status = condition.text("status", None, 16)
    if status not in ConditionStatus.__members__.values():
        raise FieldValueError(condition.field("status"), f"{status!r} must be one of {', '.join(ConditionStatus)}")
    time = condition.text("lastTransitionTime", _TIME, 32)
    try:
        date.fromisoformat(time[:10])
    except ValueError as error:
        raise FieldValueError(condition.field("lastTransitionTime"), f"{time!r}: {error}") from error
    return Condition(
        type=condition.text("type", _TYPE, 316),
        status=ConditionStatus(status),
        reason=condition.text("reason", _REASON, 1024),
        message=condition.text("message", None, 32768, least=0),
        observed_generation=read_generation(condition, "observedGeneration"),
        last_transition_time=time,
    )
