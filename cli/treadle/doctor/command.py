"""`treadle doctor`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from treadle.doctor import machine
from treadle.doctor.finding import Finding, Findings, lines
from treadle.doctor.looking import look
from treadle.results import result_text

WELL, LACKING, UNANSWERED = 0, 1, 2


class _UnansweredError(Exception):
    """Raised when a cluster cannot be looked at; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle doctor` takes."""
    parser.description = (
        "Look at what serving needs on this machine: a GPU's driver and what bars it, memory, the cache folder; or, "
        "with --cluster, in a cluster: definitions, operator, agents, devices, runtime class, permissions. What is "
        "lacking is told with its fix. Exit codes: 0 it can serve, 1 it lacks something, 2 no answer."
    )
    parser.add_argument("--cluster", action="store_true", help="look at a cluster instead of this machine")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="which cluster (default: as kubectl)")
    parser.add_argument(
        "--namespace",
        default="treadle-system",
        metavar="NAME",
        help="where the operator and the agents are (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Look, and tell."""
    try:
        found = Findings(tuple(_of_cluster(arguments) if arguments.cluster else machine.judge(look())))
    except _UnansweredError as error:
        print(f"treadle doctor: {error}", file=sys.stderr)
        return UNANSWERED
    if arguments.json:
        sys.stdout.write(result_text(found).decode() + "\n")
    else:
        print("\n".join(lines(found.findings)))
    return LACKING if found.lacking else WELL


def _of_cluster(arguments: argparse.Namespace) -> Iterator[Finding]:
    from treadle.doctor import cluster
    from treadle.doctor.asking import ask
    from treadle.plan.cluster import ClusterError

    try:
        return cluster.judge(asyncio.run(ask(arguments.kubeconfig, arguments.namespace)))
    except ClusterError as error:
        raise _UnansweredError(str(error)) from error
