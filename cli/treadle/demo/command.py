"""The `treadle demo` command."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import webbrowser
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from treadle.demo.demo import Demo, describe_machine
from treadle.demo.summary import Summary, sentence, summarise
from treadle.demo.timings import DEFAULT_SECONDS, LIMIT, Timings, too_slow
from treadle.results import unwritable

FOLDER = Path("demo-out")
INTERRUPTED = 130  # as shells report SIGINT
WRONG_USAGE = 2
LEAST_SECONDS, MOST_SECONDS = 3.0, 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--seconds", type=_seconds, default=DEFAULT_SECONDS, metavar="N",
        help=f"length of the main run (default %(default)g; all of the demo then ends within {LIMIT:.0f} s)",
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="do not open the report")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", default=FOLDER / "report.html", help="the report (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play the demo, write what it found, and say whether all of it held: 0, 1, or 130 after Ctrl-C.

    2, and nothing is run, where a file could not be written.
    """
    for flag, path in (("--json", arguments.json), ("--report", arguments.report)):
        if path is not None and (reason := unwritable(path)):
            print(f"treadle demo: {flag} {path}: {reason}", file=sys.stderr)
            return WRONG_USAGE
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
    _write_report(arguments.report, demo, summary, machine)
    timings = Timings(demo.training_seconds, time.monotonic() - begin)
    if slow := too_slow(timings, arguments.seconds):
        summary = replace(summary, failures=(*summary.failures, *slow))
        _write_report(arguments.report, demo, summary, machine)  # which is to tell that it came late
    if arguments.json is not None:
        from treadle.demo.figures import write_figures

        write_figures(arguments.json, demo.tenants, summary, timings, machine)
    console.print(
        f"report: {arguments.report}   ({timings.in_all:.0f} s in all, {timings.training:.0f} s of them training)",
        highlight=False,
    )
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
