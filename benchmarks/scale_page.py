"""Write docs/scale.md from a result of benchmarks/placement_scale.py, so that no figure is typed by hand.

python benchmarks/scale_page.py [RESULT.json [PAGE.md]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tables import table
from treadle.bench.placement.report import LEASE_SECONDS, PartReport, Report, targets_of

HERE = Path(__file__).parent
RESULT = HERE / "results" / "placement.json"
PAGE = HERE.parent / "docs" / "scale.md"

_HEAD = """\
# The operator at scale, measured

Written by `python benchmarks/scale_page.py` from `benchmarks/results/placement.json`; do not edit. `make scale` does
all of it anew, in some minutes.

{tenants:,} tenants on {nodes:,} nodes, on a real API server with RBAC and an audit log, from which writes are counted.
The agents are played by one process: it writes what agents write, by their own rules, but loads nothing (a load takes
0.2 s). etcd, API server, controllers, operator and played agents share the machine.

- Command: `{command}`, {date}
- Machine: {processor}, {cores} cores, {memory:g} GB, {system}; no GPU code ran
- Versions: {versions}
- Before: to create all tenants took {create:.1f} s, {rate:.0f} a second, which is how fast this API server is
"""
_PARTS = """\
**Cold**: all tenants are there, and the operator starts. **Loss**: a tenth of the nodes falls silent at once, with
{moved:,} tenants; their Leases hold for another {lease} s, which count. **Edit**: the spec of every tenant is edited,
as fast as the API server takes it ({edit:.1f} s); *placed* is when that is done.

*Placed*: every tenant has an InferenceReplica on a living node. *Ready*: every tenant's `Ready` is True, and of its
present generation. *Writes* are those of requests that changed something, Leases aside, over all tenants; after a loss
they are those of the moved ones alone. A plan is one of everything; its quantiles are upper bounds of a histogram's.
"""
_COLUMNS = (
    "part", "placed, s", "ready, s", "plans", "plan p50, s", "plan p99, s", "operator's writes a tenant",
    "agents' writes a tenant",
)  # fmt: skip


def render(report: Report) -> str:
    """The page."""
    return "\n".join(_sections(report))


def _sections(report: Report) -> Iterator[str]:
    machine = report.machine
    yield _HEAD.format(
        tenants=report.tenants, nodes=report.nodes, command=report.command, date=report.date,
        processor=machine.processor, cores=machine.cores, memory=machine.memory_gb, system=machine.system,
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
        create=report.create_seconds, rate=report.tenants / report.create_seconds,
    )  # fmt: skip
    yield "## Targets\n\nOn 2 cores, with 2,000 tenants on 200 nodes.\n"
    yield table(
        ("target", "measured", "reached"),
        (
            (what, measured, "yes" if reached else "**no**")
            for (what, reached), measured in zip(targets_of(report).items(), _measured(report), strict=True)
        ),
    )
    yield "## By part\n"
    yield _PARTS.format(moved=report.moved_tenants, lease=LEASE_SECONDS, edit=report.edit_seconds)
    moved = report.tenants / report.moved_tenants
    yield table(
        _COLUMNS,
        (_cells("cold", report.cold, 1.0), _cells("loss", report.loss, moved), _cells("edit", report.edit, 1.0)),
    )


def _measured(report: Report) -> Iterator[str]:
    """In the order of `targets_of`."""
    yield f"{report.cold.placed_seconds:.1f} s"
    yield f"{report.slowest_plan:g} s"
    yield f"{report.cold.writes:.1f}"
    yield f"{report.rss_mib:.0f} MiB"


def _cells(name: str, part: PartReport, share: float) -> Sequence[str]:
    """`share`: all tenants over those that the part was about."""
    return (
        name, f"{part.placed_seconds:.1f}", f"{part.ready_seconds:.1f}", str(part.plans), f"{part.plan_p50_seconds:g}",
        f"{part.plan_p99_seconds:g}", f"{share * part.operator_writes:.1f}", f"{share * part.agent_writes:.1f}",
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Read a result, write the page."""
    result, page = (*map(Path, arguments), *(RESULT, PAGE)[len(arguments) :])
    page.write_text(render(msgspec.json.decode(result.read_bytes(), type=Report)))


if __name__ == "__main__":
    main(sys.argv[1:])
