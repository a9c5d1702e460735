"""Write docs/executor.md from results of `treadle bench host` and `treadle bench scheduling`.

python benchmarks/executor_page.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from tables import table
from treadle.bench.host.report import Report as Host
from treadle.bench.host.report import Row
from treadle.bench.scheduling.decisions import Decisions
from treadle.bench.scheduling.report import Plays
from treadle.bench.scheduling.report import Report as Scheduling
from treadle.bench.serving.report import Machine

RESULTS = Path(__file__).parent / "results"
HOST = RESULTS / "host.json"
SCHEDULING = RESULTS / "scheduling.json"
PAGE = Path(__file__).parents[1] / "docs" / "executor.md"

_HEAD = """\
# The executor, measured

Written by `python benchmarks/executor_page.py` from `benchmarks/results/`; do not edit. `make executor` does all of it
anew. What a whole server does beside others: [performance.md](performance.md). No GPU code ran.
"""
_HOST = """\
## The host device beside ONNX Runtime

`{command}`, {date}; {machine}; {versions}.

Models of one architecture and different weights, one for each tenant, each asked once a round: treadle's executor,
without messages and HTTP, beside an ONNX Runtime session a tenant, called in turn; both on one thread, in turns, the
fastest round of each. *Speed* is the sessions' time over that of treadle's device: inputs in, merged kernels or
segments, outputs out. *Kernels* leaves the copies out, *dispatch* counts queues and scheduling, too. Which
implementation serves is what the tuner chose.
"""
_SCHEDULING = """\
## Deliberate delay, and what a decision costs

`{command}`, {date}; {machine}.

{distinct:,} distinct requests in random worlds, each played in {ways} ways, which makes {requests:,}: with delays and
without, by estimates that are exact and that are off by 20 %. What varies: {worlds}.

At every step it is checked that no request ends twice and that nothing is begun that cannot be in time. {forks:,}
delays were looked into: of the {known:,} requests that waited then, does one miss its deadline that earliest deadline
first without a delay would have kept?
"""
_DECISIONS = """\
Processor time of one decision of the production scheduler, with as many requests ready throughout: the best of several
runs, since all decide the same, and what takes longer in one is other work on the processor; *in all runs* has the p99
of the best and of the worst. A *whole turn* is also to shed what is too late, to note what the launch takes, and to
learn from how long it took:
"""


def render(host: Host, scheduling: Scheduling) -> str:
    """The page."""
    return "\n".join((_HEAD, *_host(host), *_scheduling(scheduling)))


def _host(report: Host) -> Iterator[str]:
    yield _HOST.format(
        command=report.command, date=report.date[:10], machine=_machine(report.machine),
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
    )  # fmt: skip
    yield table(
        ("models", "tenants", "as", "sessions, ms", "kernels", "speed", "dispatch", "speed at least", "reached"),
        map(_cells, report.rows),
    )
    for name, reason in report.left_out:
        yield f"Left out: {name}, {reason}\n"


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.subject, str(row.tenants), row.implementation, f"{row.sessions_seconds * 1e3:.3f}",
        f"{row.kernel_speed:.2f}×", f"{row.speed:.2f}×", f"{row.dispatch_speed:.2f}×", f"{row.target:.2f}×",
        _verdict(row.reached),
    )  # fmt: skip


def _scheduling(report: Scheduling) -> Iterator[str]:
    yield _SCHEDULING.format(
        command=report.command, date=report.date[:10], machine=_machine(report.machine),
        distinct=report.distinct, ways=len(report.plays), worlds=report.worlds,
        requests=sum(one.requests for one in report.plays), forks=sum(one.forks for one in report.plays),
        known=sum(one.fork_requests for one in report.plays),
    )  # fmt: skip
    yield table(
        ("target", "measured", "reached"),
        ((one.what, f"{one.measured:.4g}", _verdict(one.reached)) for one in report.checks),
    )
    yield table(
        ("estimates off by", "delays", "requests", "missed", "late", "held back", "problems a launch", "device, s"),
        map(_plays, report.plays),
    )
    yield _DECISIONS
    yield table(
        ("tenants", "ready", "p50, µs", "p99, µs", "in all runs", "whole turn, p99, µs", "problems a launch"),
        map(_decisions, report.decisions),
    )


def _decisions(one: Decisions) -> tuple[str, ...]:
    return (
        str(one.tenants), str(one.ready), _micros(one.p50), _micros(one.p99),
        f"{_micros(min(one.runs))}–{_micros(max(one.runs))}", _micros(one.turn_p99), f"{one.problems:.1f}",
    )  # fmt: skip


def _plays(one: Plays) -> tuple[str, ...]:
    return (
        f"{one.error:.0%}", "yes" if one.delays else "no", f"{one.requests:,}", f"{one.missed:,}", f"{one.late:,}",
        f"{one.held:,}", f"{one.problems / one.launches:.2f}", f"{one.busy_seconds:,.0f}",
    )  # fmt: skip


def _micros(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}"


def _machine(machine: Machine) -> str:
    return f"{machine.processor}, {machine.cores} cores, {machine.memory_gb:g} GB, {machine.system}"


def _verdict(reached: bool) -> str:  # noqa: FBT001
    return "yes" if reached else "**no**"


def read() -> tuple[Host, Scheduling]:
    """The committed results."""
    return (
        msgspec.json.decode(HOST.read_bytes(), type=Host),
        msgspec.json.decode(SCHEDULING.read_bytes(), type=Scheduling),
    )


if __name__ == "__main__":
    PAGE.write_text(render(*read()))
