"""`treadle doctor`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import sys

from treadle.doctor.finding import Findings, lines
from treadle.doctor.looking import look
from treadle.doctor.machine import judge
from treadle.results import result_text

WELL, LACKING = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle doctor` takes."""
    parser.description = (
        "Look at what serving needs on this machine: a GPU's driver and what bars it, memory, the cache folder. What "
        "is lacking is told with its fix. Exit codes: 0 it can serve, 1 it lacks something, 2 wrong usage."
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    found = Findings(tuple(judge(look())))
    if arguments.json:
        sys.stdout.write(result_text(found).decode() + "\n")
    else:
        print("\n".join(lines(found.findings)))
    return LACKING if found.lacking else WELL
