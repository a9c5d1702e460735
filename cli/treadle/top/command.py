"""`treadle top`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import sys
import time

from rich.console import Console
from rich.live import Live

from treadle.results import page_console, result_text
from treadle.top.server import ServerSource
from treadle.top.sources import Source, SourceError
from treadle.top.table import Tables
from treadle.top.view import View

KEPT, BROKEN, UNANSWERED = 0, 1, 2

REFRESH = 1.0  # seconds
PAGE = 200  # characters, where there is no terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle top` takes."""
    parser.description = (
        "Watch tenants: p99 against deadline, effective accuracy against floor, tiers, devices and how much they "
        "merge; of a running `treadle serve`. Figures are of the last minute. A row that starts with ! is one whose "
        "promise is not kept now. Ctrl-C ends it. Exit codes: 0 shown, 1 (with --once or --json, or without a "
        "terminal) a promise is not kept, 2 nothing to show."
    )
    parser.add_argument(
        "--url", default="http://127.0.0.1:8080", metavar="URL", help="the server to watch (default %(default)s)"
    )
    parser.add_argument("--once", action="store_true", help="print the tables once; so it is without a terminal, too")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead")


def run(arguments: argparse.Namespace) -> int:
    """Look, and show."""
    console = page_console(PAGE)
    try:
        source = _source(arguments)
        view = source.look()
        if not (arguments.once or arguments.json) and console.is_terminal:
            _watch(source, view, console)
            return KEPT
    except SourceError as error:
        print(f"treadle top: {error}", file=sys.stderr)
        return UNANSWERED
    if arguments.json:
        sys.stdout.write(result_text(view).decode() + "\n")
    else:
        console.print(Tables(view))
    return BROKEN if view.broken else KEPT


def _source(arguments: argparse.Namespace) -> Source:
    return ServerSource(arguments.url)


def _watch(source: Source, view: View, console: Console) -> None:
    """Until Ctrl-C; a source that does not answer any more leaves the last view, and says so."""
    try:
        with Live(Tables(view), console=console, auto_refresh=False, screen=True) as live:
            live.refresh()
            while True:
                time.sleep(REFRESH)
                trouble = ""
                try:
                    view = source.look()
                except SourceError as error:
                    trouble = str(error)
                live.update(Tables(view, trouble), refresh=True)
    except KeyboardInterrupt:
        console.print(Tables(view))  # the screen of before is back: what was seen last stays
