"""`treadle simulate model-switching`: its exit codes."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING

from rich.console import Console

from treadle.bench.progress import Progress
from treadle.results import page_console, result_text
from treadle.simulate.errors import InputError
from treadle.simulate.model_switching.options import Options, add_arguments, read_options

if TYPE_CHECKING:
    from treadle.simulate.model_switching.report import Report

__all__ = ["add_arguments", "run"]

_PAGE_WIDTH = 150


def run(arguments: argparse.Namespace) -> int:
    """Simulate: 0 done, 1 a target of --paper was missed, 2 wrong usage."""
    try:
        options = read_options(arguments)
        report = _simulate(options)
    except InputError as error:
        print(f"treadle simulate model-switching: {error}", file=sys.stderr)
        return 2
    from treadle.simulate.model_switching.table import show

    show(report, page_console(_PAGE_WIDTH))
    text = result_text(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(text)
    if options.plots:
        from treadle.simulate.model_switching.plots import draw_all

        for path in draw_all(report, options.plots, hashlib.sha256(text).hexdigest()):
            print(f"drawn: {path}", file=sys.stderr)
    return int(options.paper and any(check.reached is False for check in report.checks))


def _simulate(options: Options) -> Report:
    for needed in ("scipy", *(["matplotlib"] if options.plots else [])):  # not after minutes of simulation
        if find_spec(needed) is None:
            raise InputError(f"needs {needed}, which is not installed: pip install 'treadle[demo]'")
    from treadle.simulate.model_switching.simulation import simulate

    with Progress(Console(stderr=True)) as progress:
        return simulate(
            options,
            command=shlex.join(["treadle", *sys.argv[1:]]),
            date=datetime.now(UTC).isoformat(timespec="seconds"),
            progress=progress,
        )
