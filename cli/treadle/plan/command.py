"""`treadle plan`: its arguments and exit codes."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from pathlib import Path

from treadle.crds import read_definition
from treadle.documents import DocumentError, read_documents
from treadle.manifests import manifest_files
from treadle.plan.cluster import ClusterError, read_cluster
from treadle.plan.given import GivenObjectsError, read_given
from treadle.plan.question import ask
from treadle.plan.report import document, lines
from treadle.schema import ObjectSchema
from treadle_api.fields import FieldError
from treadle_api.leases import SYSTEM_NAMESPACE
from treadle_api.tenant import Tenant, doubts, read_tenant
from treadle_operator.snapshot import Snapshot

FEASIBLE, INFEASIBLE, UNANSWERED = 0, 1, 2


class _UnansweredError(Exception):
    """Raised when the question cannot be put; the message says why, a line each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `treadle plan` takes."""
    parser.description = (
        "Ask the planner whether tenants would be admitted, and where they would be served, without applying them. "
        "Exit codes: 0 all would be, 1 one would not (the answer says what could be promised instead), 2 no answer."
    )
    parser.add_argument(
        "-f",
        "--filename",
        type=Path,
        required=True,
        metavar="DIR|FILE",
        help="InferenceTenant manifests: new tenants, or edits of those there are; asked for together",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--kubeconfig", type=Path, metavar="FILE", help="the cluster to ask (default: as kubectl)")
    where.add_argument(
        "--against",
        type=Path,
        metavar="DIR|FILE",
        help="no cluster, but objects from files: InferenceNodes, ModelProfiles, tenants, replicas, core Nodes",
    )
    parser.add_argument(
        "--namespace",
        default=SYSTEM_NAMESPACE,
        metavar="NAME",
        help="where the agents' Leases are (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the answers as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the answer."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    now = time.time()
    try:
        tenants = _read_tenants(arguments.filename)
        snapshot = _read_snapshot(arguments, now)
    except _UnansweredError as error:
        for line in str(error).splitlines():
            print(f"treadle plan: {line}", file=sys.stderr)
        return UNANSWERED
    for tenant in tenants:
        for doubt in doubts(tenant):
            print(f"treadle plan: warning: {tenant.key}: {doubt}", file=sys.stderr)
    outcome = ask(snapshot, tenants, now)
    print(json.dumps(document(outcome), indent=2) if arguments.json else "\n".join(lines(outcome)))
    return FEASIBLE if all(answer.feasible for answer in outcome.answers) else INFEASIBLE


def _read_snapshot(arguments: argparse.Namespace, now: float) -> Snapshot:
    try:
        if arguments.against is not None:
            return read_given(arguments.against)
        return asyncio.run(read_cluster(arguments.kubeconfig, arguments.namespace, now))
    except GivenObjectsError as error:
        raise _UnansweredError(str(error)) from error
    except ClusterError as error:
        raise _UnansweredError(f"{error}\nwithout a cluster, give its objects: --against FILE") from error


def _read_tenants(path: Path) -> list[Tenant]:
    """The tenants of a file or folder, checked as the API server would."""
    schema, tenants, problems = ObjectSchema(read_definition()), [], []
    try:
        for file in manifest_files(path):
            for number, manifest in read_documents(file):
                completed = schema.complete(manifest)
                found = schema.problems(completed)
                problems += [f"{file} document {number}: {one.field}: {one.reason}" for one in found]
                if not found:
                    tenants.append(read_tenant(completed))
    except DocumentError as error:
        raise _UnansweredError(f"{path} document {error.document}: {error}") from error
    except OSError as error:
        raise _UnansweredError(f"-f {path}: {error.strerror}") from error
    except FieldError as error:
        problems.append(f"{path}: {error}")
    if problems or not tenants:
        raise _UnansweredError("\n".join(problems) or f"-f {path}: it holds no InferenceTenant")
    return tenants
