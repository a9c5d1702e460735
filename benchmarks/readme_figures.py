"""Write README's section of figures from committed results, so that none is typed by hand.

python benchmarks/readme_figures.py
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tables import table
from treadle.bench.serving.report import Check, Report
from treadle.bench.switching.report import Report as SwitchingReport

HERE = Path(__file__).parent
SERVING = HERE / "results" / "serving.json"
SWITCHING = HERE / "results" / "switching.json"
README = HERE.parent / "README.md"
BEGIN, END = "<!-- figures: written by benchmarks/readme_figures.py -->\n", "<!-- end of figures -->\n"

_TEXT = """\
Ratios, each measured in one run on {processor}, {cores} cores, {memory:g} GB; the device is `host`: no GPU code ran.
All targets are shown, also those that were missed. (a) is an aiohttp server with one ONNX Runtime session a tenant.

{targets}
At twice their saturation servers with unbounded queues answer nearly everything late; ones with bounded queues are in
[docs/performance.md](docs/performance.md), too. With three tiers, through a load spike, over real HTTP
(`make switching-live`), effective accuracy is {gain:+.1f} points above the best single tier's over the deadlines, and
{worst:+.1f} at the worst one: [docs/switching.md](docs/switching.md).
"""


def render(readme: str, serving: Report, switching: SwitchingReport) -> str:
    """README with the section anew.

    Raises:
        ValueError: it has no place for it.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README has no lines {BEGIN!r} and {END!r}")
    measured = {check.name: check.measured or 0.0 for check in switching.checks}
    machine = serving.machine
    text = _TEXT.format(
        processor=machine.processor,
        cores=machine.cores,
        memory=machine.memory_gb,
        targets=table((f"`make bench`, {serving.date[:10]}", "to reach", "measured"), map(_cells, serving.checks)),
        gain=measured["sweep"],
        worst=measured["any-deadline"],
    )
    return f"{head}{begin}{text}{end}{tail}"


def _cells(check: Check) -> tuple[str, str, str]:
    figure = "not measured" if check.measured is None else f"{check.measured:,.2f}"
    missed = " (**missed**)" if check.reached is False else ""
    return check.what, f"{check.relation} {check.target:g}", f"{figure}{missed}"


def read() -> tuple[Report, SwitchingReport]:
    """The committed results."""
    return (
        msgspec.json.decode(SERVING.read_bytes(), type=Report),
        msgspec.json.decode(SWITCHING.read_bytes(), type=SwitchingReport),
    )


if __name__ == "__main__":
    README.write_text(render(README.read_text(), *read()))
