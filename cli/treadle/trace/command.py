"""`treadle trace`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from treadle.server_url import (
    DEFAULT_URL,
    Access,
    NoServerError,
    ServerUrl,
    access_of,
    add_access_arguments,
    refusal_of,
)

PATIENCE = 30.0  # seconds beyond those recorded, in which the timeline must come


class _TraceError(Exception):
    """Raised when there is no timeline; the message says why."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a timeline shows."""

    super_kernels: int
    merged: int  # of several tenants
    tenants: int
    streams: int
    dropped: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle trace` takes."""
    parser.description = (
        "Record what a running server's device launches, super-kernel by super-kernel, on which stream and for which "
        "tenants, for https://ui.perfetto.dev. The server answers only on the machine it runs on; for a node of a "
        "cluster: kubectl port-forward to its agent's Pod. Exit codes: 0 written, 1 no timeline, 2 wrong usage."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where the timeline goes, as JSON")
    parser.add_argument("--url", default=DEFAULT_URL, help="the server (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to record (default %(default)g)")
    parser.add_argument("--device", metavar="ID", help="which device, where the server has several")
    add_access_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Record, write the file, and say what it shows."""
    path: Path = arguments.file
    if not path.resolve().parent.is_dir():
        print(f"treadle trace: {path}: there is no such folder", file=sys.stderr)
        return 2
    try:
        body = _fetch(arguments.url, access_of(arguments), arguments.seconds, arguments.device)
        found = summary(json.loads(body))
        path.write_bytes(body)
    except (_TraceError, NoServerError, OSError, ValueError) as error:
        print(f"treadle trace: {error}", file=sys.stderr)
        return 1
    print(
        f"{path}: {found.super_kernels} launches ({found.merged} of several tenants) for {found.tenants} tenants on "
        f"{found.streams} streams; open it at https://ui.perfetto.dev"
    )
    if found.dropped:
        print(f"warning: {found.dropped} more were left out: record fewer seconds", file=sys.stderr)
    return 0


def summary(timeline: dict[str, Any]) -> Summary:
    """Count what a timeline shows."""
    kernels = [event for event in timeline["traceEvents"] if event.get("cat") == "kernel"]
    runs = [event for event in timeline["traceEvents"] if event.get("cat") == "tenant"]
    return Summary(
        super_kernels=len(kernels),
        merged=sum(len(event["args"]["tenants"]) > 1 for event in kernels),
        tenants=len({event["args"]["tenant"] for event in runs}),  # a kernel names some of many
        streams=len({event["tid"] for event in kernels}),
        dropped=timeline["otherData"]["dropped"],
    )


def _fetch(url: str, access: Access, seconds: float, device: str | None) -> bytes:
    query = urlencode({"seconds": f"{seconds:g}"} | ({} if device is None else {"device": device}))
    status, body = ServerUrl(url, access).get(f"/debug/timeline?{query}", max(seconds, 0.0) + PATIENCE)
    if status != HTTPStatus.OK:
        fix = refusal_of(status, access)
        raise _TraceError(_reason(status, body) + (f"; {fix}" if fix else ""))
    return body


def _reason(status: int, body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}: is it treadle's?"
