"""The `treadle demo` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
import webbrowser
from pathlib import Path

from rich.console import Console

from treadle.demo.demo import Demo, describe_machine
from treadle.demo.summary import Summary, sentence, summarise

FOLDER = Path("demo-out")
INTERRUPTED = 130  # as shells report SIGINT
LEAST_SECONDS, MOST_SECONDS = 3.0, 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--seconds", type=_seconds, default=25.0, metavar="N", help="length of the main run (default 25)"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open the report")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", default=FOLDER / "report.html", help="the report (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the demo, write what it found, and say whether all of it held: 0, 1, or 130 after Ctrl-C."""
    console = Console()
    demo = Demo(FOLDER, arguments.seconds, console)
    failures: tuple[str, ...] = ()
    begin, machine = time.monotonic(), describe_machine()
    console.print(machine, style="dim", highlight=False, soft_wrap=True)
    try:
        asyncio.run(demo.play())
    except KeyboardInterrupt:
        failures = ("stopped by Ctrl-C: this is what ran so far",)
        console.print("\nstopping; the report is of what ran so far", highlight=False)
    summary = summarise(demo.tenants, demo.runs, (*failures, *demo.failures), demo.missing)
    if arguments.json is not None:
        from treadle.demo.figures import write_figures

        write_figures(arguments.json, demo.tenants, summary, machine)
    _write_report(arguments.report, demo, summary, machine)
    console.print(f"report: {arguments.report}   ({time.monotonic() - begin:.0f} s in all)", highlight=False)
    console.print(sentence(summary), style="bold", highlight=False, markup=False, soft_wrap=True)
    for failure in summary.failures:
        console.print(f"FAILED: {failure}", style="red", highlight=False, markup=False, soft_wrap=True)
    if not arguments.no_browser and console.is_terminal and not failures:
        webbrowser.open(arguments.report.resolve().as_uri())
    return INTERRUPTED if failures else int(bool(summary.failures))


def _write_report(path: Path, demo: Demo, summary: Summary, machine: str) -> None:
    from treadle.demo.report import render  # matplotlib takes a second to import

    timeline = os.path.relpath(demo.timeline, path.parent) if demo.timeline.exists() else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(demo.tenants, demo.runs, summary, timeline, machine))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be {LEAST_SECONDS:.0f} to {MOST_SECONDS:.0f}")
    return seconds
