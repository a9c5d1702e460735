"""The columns of both tables. One that `kubectl get it -o wide` has too has its name, and says the same of it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from treadle.top.view import DeviceRow, TenantRow
from treadle_api.units import Seconds, format_decimal, format_duration

NOTHING = "–"
MARK = "!"  # of a row whose promise is not kept: seen without colours, too

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """One column. `spare`: how soon it is left out where the terminal is narrow, the highest first, 0 never; `number`:
    set right; `folds`: words go on in the next line.
    """

    title: str
    cell: Callable[[R], str]
    spare: int = 0
    number: bool = False
    folds: bool = False


def _duration(seconds: float | None) -> str:
    return NOTHING if seconds is None else format_duration(Seconds(seconds))


def _decimal(value: float | None, places: int = 2) -> str:
    return NOTHING if value is None else format_decimal(value, places)


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def _shares(shares: Mapping[str, float]) -> str:
    return " ".join(f"{name} {share:.0%}" for name, share in shares.items()) or NOTHING


def _memory(row: DeviceRow) -> str:
    if row.used_bytes is None or row.memory_bytes is None:
        return NOTHING
    return f"{row.used_bytes / 2**30:.2f} of {row.memory_bytes / 2**30:.1f} GiB"


TENANTS: tuple[Column[TenantRow], ...] = (
    Column("", lambda row: MARK if row.broken else ""),
    Column("Namespace", lambda row: row.namespace),
    Column("Tenant", lambda row: row.name),
    Column("Rate", lambda row: _decimal(row.requests_per_second, 9), spare=1, number=True),
    Column("Deadline", lambda row: _duration(row.deadline), number=True),
    Column("P99", lambda row: _duration(row.p99), number=True),
    Column("Objective", lambda row: _decimal(row.objective, 4), spare=7, number=True),
    Column("SLO met", lambda row: row.slo_met or NOTHING),
    Column("Floor", lambda row: _decimal(row.min_accuracy, 4), spare=4, number=True),
    Column("Accuracy", lambda row: _decimal(row.effective_accuracy), spare=2, number=True),
    Column("Accuracy met", lambda row: row.accuracy_met or NOTHING, spare=6),
    Column("Tier", lambda row: row.active_tier or NOTHING, spare=3),
    Column("Tiers", lambda row: _shares(row.tiers), spare=8),
    Column("Admitted", lambda row: row.admitted or NOTHING, spare=9),
    Column("Ready", lambda row: row.ready or NOTHING),
    Column("Replicas", lambda row: NOTHING if row.replicas is None else str(row.replicas), spare=10, number=True),
    Column("Straggling", lambda row: row.straggling or NOTHING, spare=11),
    Column("Devices", lambda row: " ".join(row.devices) or NOTHING, spare=5),
    Column("Why", lambda row: "; ".join(map(str, row.notes)), folds=True),
)

DEVICES: tuple[Column[DeviceRow], ...] = (
    Column("", lambda row: "" if row.healthy else MARK),
    Column("Device", lambda row: row.place),
    Column("Healthy", lambda row: str(row.healthy)),
    Column("Busy", lambda row: _share(row.busy), number=True),
    Column("Merge", lambda row: _decimal(row.merge_factor), spare=1, number=True),
    Column("Tenants", lambda row: str(row.tenants), number=True),
    Column("Memory", _memory, spare=2),
    Column("Stretch", lambda row: _decimal(row.stretch), spare=3, number=True),
    Column("Why", lambda row: row.reason, folds=True),
)
