"""What is shown, from whichever source: a row for each tenant, and one for each device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"  # as conditions have it


class Note(msgspec.Struct, frozen=True):
    """A thing that is not as it should be: the column that says so, and the reason in one word."""

    column: str
    reason: str

    def __str__(self) -> str:
        return f"{self.column}: {self.reason}"


class TenantRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One tenant. Percentages are in percent; None, "" and {} stand for what is not known, or was not measured.

    `admitted` to `straggling`: True, False or Unknown, as the status's conditions. `tiers`: the share (0–1) of each
    tier; `devices` as NODE/DEVICE. `broken`: which promises are not kept, `notes`: all that is not as it should be.
    """

    namespace: str
    name: str
    deadline: float | None = None  # seconds
    p99: float | None = None  # seconds
    objective: float | None = None
    slo_met: str = ""
    min_accuracy: float | None = None
    effective_accuracy: float | None = None
    accuracy_met: str = ""
    requests_per_second: float | None = None
    requests: Mapping[str, int] = msgspec.field(default_factory=dict)  # by outcome
    active_tier: str = ""
    tiers: Mapping[str, float] = msgspec.field(default_factory=dict)
    admitted: str = ""
    ready: str = ""
    replicas: int | None = None
    straggling: str = ""
    devices: Sequence[str] = ()
    notes: Sequence[Note] = ()

    @property
    def broken(self) -> bool:
        """Whether a promise is not kept now; a straggler may still keep its own."""
        return FALSE in {self.slo_met, self.accuracy_met, self.admitted, self.ready}


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One device. `node` is "" beside a server; `busy`: the share (0–1) of time it ran launches; `merge_factor`:
    kernels of single requests a launch; `reason`: why it is not healthy.
    """

    node: str = ""
    device: str
    healthy: bool
    busy: float | None = None
    merge_factor: float | None = None
    tenants: int = 0
    used_bytes: int | None = None
    memory_bytes: int | None = None
    stretch: float | None = None
    reason: str = ""

    @property
    def place(self) -> str:
        """NODE/DEVICE, or the device alone."""
        return f"{self.node}/{self.device}" if self.node else self.device


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One look. `source`: where it is from; `seconds`: the time that figures are of, None where each tenant's status
    has its own; `missing`: what could not be looked at, and why.
    """

    source: str
    seconds: float | None = None
    tenants: Sequence[TenantRow] = ()
    devices: Sequence[DeviceRow] = ()
    missing: Sequence[str] = ()

    @property
    def broken(self) -> int:
        """Tenants of which a promise is not kept."""
        return sum(row.broken for row in self.tenants)
