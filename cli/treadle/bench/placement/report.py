"""What a run of the operator at scale found, and what it was to reach."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Machine

LEASE_SECONDS = 15  # of the nodes; the operator knows that one is lost when its Lease has expired


class PartReport(msgspec.Struct, frozen=True):
    """One part: seconds until all tenants were placed, and until all were ready; plans made; writes a tenant."""

    placed_seconds: float
    ready_seconds: float
    plans: int
    plan_p50_seconds: float
    plan_p99_seconds: float
    operator_writes: float
    agent_writes: float

    @property
    def writes(self) -> float:
        """A tenant's, by operator and agents together."""
        return self.operator_writes + self.agent_writes


class Report(msgspec.Struct, frozen=True):
    """The whole run. `create_seconds`: to create all tenants, before; how fast this API server is. `edit_seconds`: to
    edit them. `moved_tenants`: those of the lost nodes. `rss_mib`: the operator's peak. `targets`: `targets_of` it.
    """

    command: str
    date: str
    machine: Machine
    versions: dict[str, str]
    tenants: int
    nodes: int
    cold: PartReport
    loss: PartReport
    edit: PartReport
    create_seconds: float
    edit_seconds: float
    moved_tenants: int
    rss_mib: float
    targets: dict[str, bool] = {}

    @property
    def parts(self) -> tuple[PartReport, PartReport, PartReport]:
        """In the order in which they were run."""
        return self.cold, self.loss, self.edit

    @property
    def slowest_plan(self) -> float:
        """The largest 99th percentile of a part's plans, in seconds."""
        return max(part.plan_p99_seconds for part in self.parts)


def targets_of(report: Report) -> dict[str, bool]:
    """What is to be reached on 2 cores, with 2,000 tenants on 200 nodes, and whether it was."""
    return {
        "all placed within 60 s": report.cold.placed_seconds <= 60,
        "plan p99 within 1 s": report.slowest_plan <= 1,
        "at most 8 writes a tenant": report.cold.writes <= 8,
        "operator within 300 MiB": report.rss_mib <= 300,
    }


def ratios_of(report: Report) -> dict[str, float]:
    """What does not depend on how fast the machine is, or little."""
    return {
        "cold-placed-over-creating": report.cold.placed_seconds / report.create_seconds,
        "cold-ready-over-placed": report.cold.ready_seconds / report.cold.placed_seconds,
        "loss-placed-over-lease": report.loss.placed_seconds / LEASE_SECONDS,
        "edit-ready-over-editing": report.edit.ready_seconds / report.edit_seconds,
        "plan-p99-over-cold-placed": report.slowest_plan / report.cold.placed_seconds,
        "writes-a-tenant": report.cold.writes,
        "rss-mib": report.rss_mib,
    }
