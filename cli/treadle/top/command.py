"""`treadle top`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from treadle.results import page_console, result_text
from treadle.server_url import DEFAULT_URL, Access, access_of, add_access_arguments
from treadle.top.server import ServerSource
from treadle.top.sources import Source, SourceError
from treadle.top.table import Tables
from treadle.top.view import View

KEPT, BROKEN, UNANSWERED = 0, 1, 2

REFRESH = 1.0  # seconds
PAGE = 1000  # characters, where there is no terminal: a row is a line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle top` takes."""
    parser.description = (
        "Watch tenants: p99 against deadline, effective accuracy against floor, tiers, devices and how much they "
        "merge. Without more, those of a running `treadle serve`; with -n, -A, --context or --kubeconfig those of a "
        "cluster, as kubectl get it -o wide tells of them. Figures are of the last minute (docs/top.md). A row that "
        "starts with ! is one whose promise is not kept now. Ctrl-C ends it. Exit codes: 0 shown, 1 a promise is not "
        "kept (of what is printed once), 2 nothing to show."
    )
    server = parser.add_argument_group("a server")
    server.add_argument("--url", metavar="URL", help=f"the server to watch (default {DEFAULT_URL})")
    add_access_arguments(server)
    cluster = parser.add_argument_group("a cluster")
    cluster.add_argument("--kubeconfig", type=Path, metavar="FILE", help="which cluster (default: as kubectl)")
    cluster.add_argument("--context", metavar="NAME", help="which context of the kubeconfig (default: the current one)")
    where = cluster.add_mutually_exclusive_group()
    where.add_argument("-n", "--namespace", metavar="NAME", help="of the tenants (default: the context's)")
    where.add_argument("-A", "--all-namespaces", action="store_true", help="tenants of all namespaces")
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
    namespace = "" if arguments.all_namespaces else arguments.namespace
    if arguments.kubeconfig is None and arguments.context is None and namespace is None:
        return ServerSource(arguments.url or DEFAULT_URL, access_of(arguments))
    if arguments.url is not None or access_of(arguments) != Access():
        raise SourceError(
            "--url, --token-file, --ca-file and --tls-server-name are for a server, -n, -A, --context and --kubeconfig "
            "for a cluster: give one or the other"
        )
    from treadle.top.cluster import ClusterSource

    return ClusterSource(arguments.kubeconfig, arguments.context, namespace)


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
