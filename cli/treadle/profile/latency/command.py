"""`treadle profile -f`: its steps and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from treadle.bench.progress import Progress
from treadle.manifests import ManifestReader
from treadle.profile.latency.manifests import unfound, write_profiles
from treadle.profile.latency.measure import Plan, measure, steps
from treadle.profile.latency.report import Report
from treadle.profile.latency.table import show
from treadle.profile.models import UnprofiledError
from treadle.results import page_console, result_text
from treadle_agent.cache import cache_folder
from treadle_api.tenant import Tenant

if TYPE_CHECKING:
    from treadle.profile.latency.cluster import Cluster

_PAGE_WIDTH = 120


class _UnusableError(Exception):
    """Raised when there is nothing to measure, or nowhere to write it (exit code 2); the message says which."""


def run(arguments: argparse.Namespace, device: str) -> int:
    """Measure the one tenant of a manifest: 0 done, 1 a tier cannot be profiled, 2 wrong usage."""
    try:
        tenant = _tenant(arguments.filename)
        cluster = asyncio.run(_cluster(arguments.kubeconfig)) if arguments.apply else None
    except _UnusableError as error:
        print(f"treadle profile: {error}", file=sys.stderr)
        return 2
    plan = Plan(device, arguments.seconds, dict(arguments.shape))
    try:
        with Progress(Console(stderr=True)) as progress:
            progress.begin(steps(tenant))
            report = asyncio.run(measure(tenant, plan, cache_folder(), progress.step))
    except (UnprofiledError, OSError, EOFError) as error:
        print(f"treadle profile: {error}", file=sys.stderr)
        return 1
    _tell(report, arguments)
    code = 0 if cluster is None else asyncio.run(_apply(cluster, report))
    if arguments.write or arguments.apply:
        for hint in unfound(tenant, report):
            print(hint, file=sys.stderr)
    return code


async def _cluster(kubeconfig: Path | None) -> Cluster:
    """Where to apply; asked for before minutes of measuring."""
    from treadle.profile.latency.cluster import Cluster, ClusterError

    try:
        return await Cluster.find(kubeconfig)
    except ClusterError as error:
        raise _UnusableError(f"--apply: {error}") from error


async def _apply(cluster: Cluster, report: Report) -> int:
    from treadle.profile.latency.cluster import ClusterError

    try:
        for name in await cluster.apply(report):
            print(f"applied: modelprofile/{name}", file=sys.stderr)
    except ClusterError as error:
        print(f"treadle profile: --apply: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(report: Report, arguments: argparse.Namespace) -> None:
    show(report, page_console(_PAGE_WIDTH))
    if arguments.json:
        arguments.json.write_bytes(result_text(report))
    if arguments.write:
        for path in write_profiles(report, arguments.write):
            print(f"written: {path}", file=sys.stderr)
    if arguments.plot:
        from treadle.profile.latency.curves import draw

        arguments.plot.write_text(draw(report))


def _tenant(path: Path) -> Tenant:
    """The tenant of a manifest."""
    try:
        manifests = ManifestReader().read(path)
    except OSError as error:
        raise _UnusableError(f"-f {path}: {error.strerror}") from error
    if manifests.refusals:
        raise _UnusableError("\n".join(f"refused {refusal}" for refusal in manifests.refusals))
    if len(manifests.accepted) != 1:
        raise _UnusableError(f"-f {path}: holds {len(manifests.accepted)} tenants; one is profiled at a time")
    return manifests.accepted[0].tenant
