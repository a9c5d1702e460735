"""Write docs/performance.md from a result of `treadle bench serving`, so that no figure is typed by hand.

python benchmarks/performance_page.py [RESULT.json [PAGE.md]]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tables import table
from treadle.bench.serving.report import Report

HERE = Path(__file__).parent
RESULT = HERE / "results" / "serving.json"
PAGE = HERE.parent / "docs" / "performance.md"

_HEAD = """\
# Performance

Written by `python benchmarks/performance_page.py` from `benchmarks/results/serving.json`; do not edit.
Every figure was measured in one run on one machine, servers taking turns; compare ratios, not absolute figures.

- Command: `{command}`, {date}{quick}
- Machine: {processor}, {cores} cores, {memory:g} GB, {system}; client and server share it
- treadle's device is `host`: no GPU code ran
- Versions: {versions}
- Each figure is the median of {rounds} run(s) of {seconds:g} s, the first quarter of each not counted
- The load generator alone reaches {limit:,.0f} requests/s here

`aiohttp` is an aiohttp server on uvloop with one single-threaded ONNX Runtime session a tenant, `mlserver` is MLServer
with a custom runtime around the same; `:bounded` has a bounded queue. Load is open-loop Poisson; latency counts from
the time a request was due; goodput is answers within the deadline.
"""

_SATURATION = """\
## Saturation

Answers per second in a closed loop; `merging` is the executor alone, without HTTP. `exclusive` answers what one tenant
has waiting as one batch, which a closed loop makes the most of; `space-time` merges requests of different tenants.
"""


def render(report: Report) -> str:
    """The page."""
    machine = report.machine
    head = _HEAD.format(
        command=report.command,
        date=report.date[:10],
        quick=" (a quick run)" if report.quick else "",
        processor=machine.processor,
        cores=machine.cores,
        memory=machine.memory_gb,
        system=machine.system,
        versions=", ".join(f"{name} {version}" for name, version in report.versions.items()),
        rounds=report.rounds,
        seconds=report.seconds,
        limit=report.limit_rps,
    )
    return "\n".join((head, *_sections(report)))


def _sections(report: Report) -> Iterator[str]:
    yield "## Targets\n"
    yield table(
        ("target", "", "measured", "reached"),
        (
            (check.what, f"{check.relation} {check.target:g}", _number(check.measured), _verdict(check.reached))
            for check in report.checks
        ),
    )
    yield _SATURATION
    yield table(
        ("suite", "server", "answers/s"), ((one.suite, one.server, f"{one.rps:,.0f}") for one in report.saturation)
    )
    yield "## Goodput against offered load\n\nLoad is a multiple of each server's own saturation.\n"
    yield table(
        ("suite", "server", "load", "offered/s", "goodput/s", "p50 ms", "p99 ms", "CPU ms/answer", "merge factor"),
        (
            (
                row.suite,
                row.server,
                f"{row.load:g}",
                f"{row.offered_rps:,.0f}",
                f"{row.goodput_rps:,.0f}",
                _number(row.p50_ms),
                _number(row.p99_ms),
                f"{row.cpu_ms_per_request:.3f}",
                _number(row.merge_factor),
            )
            for row in report.rows
        ),
    )
    yield "## Memory\n\nMB resident, all processes of the server, with one tenant and with all of one architecture.\n"
    yield table(
        ("models", "server", "tenants", "one", "all", "growth", "weights of the others"),
        (
            (
                one.suite,
                one.server,
                str(one.tenants),
                f"{one.rss_mb_one:.0f}",
                f"{one.rss_mb_all:.0f}",
                f"{one.growth_mb:.0f}",
                f"{one.weights_mb:.0f}",
            )
            for one in report.memory
        ),
    )
    if report.left_out:
        yield "## Left out\n"
        yield table(
            ("suite", "server", "reason"),
            ((o.suite, o.server, o.reason[:200].replace("\n", " ")) for o in report.left_out),
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def _verdict(reached: bool | None) -> str:  # noqa: FBT001
    return "not measured" if reached is None else "yes" if reached else "**no**"


def main(arguments: Sequence[str]) -> None:
    """Read a result, write the page."""
    result, page = (*map(Path, arguments), *(RESULT, PAGE)[len(arguments) :])
    page.write_text(render(msgspec.json.decode(result.read_bytes(), type=Report)))


if __name__ == "__main__":
    main(sys.argv[1:])
