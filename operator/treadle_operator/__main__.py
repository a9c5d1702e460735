"""`python -m treadle_operator`: places tenants on nodes, and keeps the cluster that way."""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from prometheus_client import disable_created_metrics

from treadle_api.leases import SYSTEM_NAMESPACE
from treadle_api.units import Seconds
from treadle_callers.answers import AnswerTiming
from treadle_callers.settings import GuardSettings, read_timing
from treadle_operator.application import Operator, TaskEndedError
from treadle_operator.election import ElectionTiming
from treadle_operator.kube.connection import ConnectionConfigError, load_connection
from treadle_operator.settings import PlannerTiming, Settings

_LISTEN = re.compile(r"(.*):([0-9]{1,5})")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class UsageError(Exception):
    """Raised when the command line asks for what cannot be (exit code 2)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal: 0 after a clean stop, 1 when it cannot go on, 2 on wrong usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format=_FORMAT, stream=sys.stderr)
    logging.getLogger("treadle_operator").setLevel(logging.INFO)
    logging.getLogger("kubernetes").setLevel(logging.ERROR)  # what it warns of, it raises as well
    disable_created_metrics()
    try:
        asyncio.run(_run(_settings(options)))
    except (UsageError, ConnectionConfigError) as error:
        sys.stderr.write(f"treadle_operator: {error}\n")
        return 2
    except (TaskEndedError, OSError) as error:
        sys.stderr.write(f"treadle_operator: {error}\n")
        return 1
    return 0


async def _run(settings: Settings) -> None:
    await Operator(await load_connection(settings.kubeconfig), settings).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("treadle_operator", description=__doc__)
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="who to connect as (default: $KUBECONFIG, the Pod's service account, or ~/.kube/config)",
    )
    parser.add_argument(
        "--namespace",
        default=SYSTEM_NAMESPACE,
        help="where the leader's and the nodes' Leases are (default %(default)s)",
    )
    parser.add_argument(
        "--listen",
        default=":8081",
        metavar="[HOST]:PORT",
        help="where /healthz, /readyz and /metrics are; without HOST on all interfaces, IPv4 and IPv6; port 0 is any "
        "(default %(default)s)",
    )
    parser.add_argument(
        "--lease-duration",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="another process leads so long after the leader fell silent; it gives up after two thirds of that "
        "(default %(default)g)",
    )
    parser.add_argument(
        "--resync",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="between plans when nothing changes; each fourth time the watches are checked (default %(default)g)",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="agents answer by TLS (their --tls): tenants' URLs begin with https (default: plain HTTP)",
    )
    timing = AnswerTiming()
    parser.add_argument(
        "--auth",
        action="store_true",
        help="tell /metrics, which name all tenants, only to who has a bearer token for the API server and the right "
        "to get that URL (default: to everybody)",
    )
    parser.add_argument(
        "--auth-cache-seconds",
        type=float,
        default=timing.believed,
        metavar="SECONDS",
        help="how long the API server's word about who asks is believed (default %(default)g)",
    )
    parser.add_argument(
        "--auth-outage-seconds",
        type=float,
        default=timing.outage,
        metavar="SECONDS",
        help="how much longer it is believed while the API server does not answer (default %(default)g)",
    )
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    listen = _LISTEN.fullmatch(options.listen)
    if listen is None or int(listen[2]) > 65535:
        raise UsageError(f"--listen {options.listen}: write HOST:PORT or :PORT, like 127.0.0.1:8081")
    if not 3.0 <= options.lease_duration <= 300.0:
        raise UsageError(f"--lease-duration {options.lease_duration:g}: must be 3 to 300 seconds")
    if not 1.0 <= options.resync <= 3600.0:
        raise UsageError(f"--resync {options.resync:g}: must be 1 to 3600 seconds")
    return Settings(
        kubeconfig=options.kubeconfig,
        namespace=options.namespace,
        listen=(listen[1].strip("[]") or None, int(listen[2])),
        election=ElectionTiming.scaled(Seconds(options.lease_duration)),
        planner=PlannerTiming(resync=Seconds(options.resync)),
        audit=Seconds(options.resync * 4),
        audit_grace=Seconds(min(5.0, options.resync)),
        tls=options.tls,
        guard=_guard(options),
    )


def _guard(options: argparse.Namespace) -> GuardSettings | None:
    try:
        timing = read_timing(options.auth_cache_seconds, options.auth_outage_seconds)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return GuardSettings("", timing) if options.auth else None


if __name__ == "__main__":
    sys.exit(main())
