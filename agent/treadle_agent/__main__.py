"""`python -m treadle_agent`: this machine's devices, as a node of a cluster."""

from __future__ import annotations

import argparse
import asyncio
import errno
import logging
import re
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from treadle_agent.cache import CacheError, cache_folder
from treadle_agent.cluster.settings import LEAVE_SECONDS, ClusterSettings
from treadle_agent.cluster.stop import Stop
from treadle_agent.executor.devices import DeviceError, choose_device
from treadle_agent.executor.protocol import Mode
from treadle_agent.frontend.tls import Tls, TlsError
from treadle_agent.models.sources import HOST, Sources
from treadle_agent.node import ExecutorError, Node, open_node
from treadle_agent.settings import CacheSettings
from treadle_api.leases import SYSTEM_NAMESPACE
from treadle_api.objects import ADDRESS, ADDRESS_LENGTH, SUBDOMAIN, SUBDOMAIN_LENGTH
from treadle_callers.answers import AnswerTiming
from treadle_callers.settings import GuardSettings, read_timing

if TYPE_CHECKING:
    from treadle_agent.cluster.hardware import DeviceFacts
    from treadle_agent.cluster.nvml import Nvml

DESCRIPTION = """\
Serves tenants on this machine's devices, as a node of a cluster.

The operator binds InferenceReplicas to this node; the agent loads their models, answers requests for them over the
Open Inference Protocol v2, and writes their status, the InferenceNode NAME, the Lease treadle-node-NAME, and
ModelProfiles of what it measures. While the API server cannot be reached it serves on, and catches up afterwards.

SIGTERM ends it in order: it is not ready any more, serves on until the operator has moved its tenants elsewhere (at
most --leave-seconds), answers requests under way (at most 30 s more), and releases the Lease. A second one ends it at
once. Models and what is made of them are kept in $XDG_CACHE_HOME/treadle (~/.cache/treadle)."""

EPILOG = """\
examples:
  python -m treadle_agent --node-name $(hostname) --port 8000 --address 10.0.0.7:8000 --device auto
  python -m treadle_agent --node-name lab --port 8000 --address 10.0.0.7:8000 --device host --device simulated:V100

exit codes: 0 stopped by a signal; 1 could not start, or another agent took over the node; 2 wrong usage, a device or
a cache folder that cannot be used, or no kubeconfig"""

LONGEST_LEAVE = 86400.0

_SIZE = re.compile(r"([1-9][0-9]{0,8})(Mi|Gi|Ti)")
_SHIFTS = {"Mi": 20, "Gi": 30, "Ti": 40}

_log = logging.getLogger("treadle_agent")


class UsageError(Exception):
    """Raised when the agent is asked for what cannot be (exit code 2)."""


class StartError(Exception):
    """Raised when the agent cannot start, or go on (exit code 1)."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `devices` by the executor's names."""

    node: str
    port: int
    address: str
    devices: tuple[str, ...]
    namespace: str
    kubeconfig: Path | None
    leave_seconds: float
    cache: CacheSettings
    sources: Sources
    model_ca: Path | None
    guard: GuardSettings | None
    tls: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent until a signal; the exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    _log.setLevel(logging.INFO)
    try:
        options = _options(_parser().parse_args(arguments))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(options))
    except UsageError as error:
        print(f"treadle_agent: {error}", file=sys.stderr)  # noqa: T201 - what a command has to say
        return 2
    except StartError as error:
        print(f"treadle_agent: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m treadle_agent",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--node-name", required=True, metavar="NAME", help="the node's name: that of the core Node, where there is one"
    )
    parser.add_argument(
        "--port", required=True, type=int, metavar="P", help="port to listen on, on all interfaces, IPv4 and IPv6"
    )
    parser.add_argument(
        "--address",
        required=True,
        metavar="HOST:P",
        help="where clients and other agents reach that port; it is published in the tenants' endpoints",
    )
    parser.add_argument(
        "--device",
        required=True,
        action="append",
        metavar="D",
        help="auto (a GPU where there is one, else the host), host, cuda, or simulated:MODEL; once for each device, "
        "which gets an executor process of its own",
    )
    parser.add_argument(
        "--namespace",
        default=SYSTEM_NAMESPACE,
        help="where the operator's and the nodes' Leases are (default %(default)s)",
    )
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="who to connect as (default: $KUBECONFIG, else the Pod's service account, else ~/.kube/config)",
    )
    parser.add_argument(
        "--leave-seconds",
        type=float,
        default=LEAVE_SECONDS,
        metavar="S",
        help="how long tenants may take to be moved elsewhere after SIGTERM (default %(default)g): some seconds less "
        "than the Pod's terminationGracePeriodSeconds",
    )
    parser.add_argument(
        "--cache-size",
        default="20Gi",
        metavar="SIZE",
        help="what models, and what is made of them, may take of the disk (default %(default)s): beyond it what no "
        "tenant uses is cleared; what is being loaded comes on top",
    )
    parser.add_argument(
        "--model-hosts",
        metavar="LIST",
        help="where models may be fetched from: HOST, HOST:PORT or *.DOMAIN, with commas between (default: any host)",
    )
    parser.add_argument(
        "--model-folders",
        metavar="LIST",
        help="folders, with commas between, in which models may lie (default: any)",
    )
    parser.add_argument(
        "--model-ca",
        type=Path,
        metavar="FILE",
        help="whom to trust, beside those whom the system trusts, as servers of models: certificates as PEM",
    )
    timing = AnswerTiming()
    parser.add_argument(
        "--auth-audience",
        metavar="AUDIENCE",
        help="let in only who has a bearer token for it and the right to create the tenant's inferencetenants/infer "
        "(default: everybody)",
    )
    parser.add_argument(
        "--auth-cache-seconds",
        type=float,
        default=timing.believed,
        metavar="S",
        help="how long the API server's word about a caller is believed (default %(default)g): a right that is taken "
        "is lost so much later",
    )
    parser.add_argument(
        "--auth-outage-seconds",
        type=float,
        default=timing.outage,
        metavar="S",
        help="how much longer it is believed while the API server does not answer (default %(default)g); then nobody "
        "is let in",
    )
    parser.add_argument(
        "--tls",
        type=Path,
        metavar="FOLDER",
        help="listen by TLS, with tls.crt and tls.key of this folder, which may be renewed; other agents have the same",
    )
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    if len(arguments.node_name) > SUBDOMAIN_LENGTH or not SUBDOMAIN.fullmatch(arguments.node_name):
        raise UsageError(f"--node-name {arguments.node_name}: must be lower-case letters, digits, '-' and '.'")
    if not 1 <= arguments.port <= 65535:
        raise UsageError(f"--port {arguments.port}: must be 1 to 65535")
    address = _bracketed(arguments.address)
    if len(address) > ADDRESS_LENGTH or not ADDRESS.fullmatch(address):
        raise UsageError(f"--address {arguments.address}: must be HOST:PORT, like 10.0.0.7:8000 or [fd00::7]:8000")
    if not 0.0 <= arguments.leave_seconds <= LONGEST_LEAVE:
        raise UsageError(f"--leave-seconds {arguments.leave_seconds:g}: must be 0 to {LONGEST_LEAVE:g}")
    size = _SIZE.fullmatch(arguments.cache_size)
    if size is None:
        raise UsageError(f"--cache-size {arguments.cache_size}: must be a number of Mi, Gi or Ti, like 20Gi")
    try:
        devices = tuple(choose_device(asked) for asked in arguments.device)
    except DeviceError as error:
        raise UsageError(str(error)) from error
    if len(set(devices)) < len(devices):
        raise UsageError(f"--device {' --device '.join(arguments.device)}: each device can be given once")
    if find_spec("kubernetes") is None or find_spec("pynvml") is None:
        raise UsageError("the packages for a cluster are missing: pip install 'treadle[agent]'")
    return Options(
        arguments.node_name, arguments.port, address, devices, arguments.namespace, arguments.kubeconfig,
        arguments.leave_seconds, CacheSettings(most_bytes=int(size[1]) << _SHIFTS[size[2]]),
        _sources(arguments), arguments.model_ca, _guard(arguments), arguments.tls,
    )  # fmt: skip


def _sources(arguments: argparse.Namespace) -> Sources:
    hosts, folders = arguments.model_hosts, arguments.model_folders
    if hosts is not None:
        hosts = tuple(host.lower() for host in hosts.split(",") if host)
    if folders is not None:
        folders = tuple(Path(folder) for folder in folders.split(",") if folder)
    for host in hosts or ():
        if not HOST.fullmatch(host):
            raise UsageError(f"--model-hosts {host}: must be HOST, HOST:PORT or *.DOMAIN")
    for folder in folders or ():
        if not folder.is_absolute():
            raise UsageError(f"--model-folders {folder}: must be an absolute path")
    own = (cache_folder(), *([arguments.tls] if arguments.tls is not None else []))
    return Sources(hosts, folders, own)


def _model_trust(authorities: Path | None) -> ssl.SSLContext:
    trust = ssl.create_default_context()
    if authorities is not None:
        try:
            trust.load_verify_locations(authorities)
        except OSError as error:  # an SSLError is one
            reason = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(f"--model-ca {authorities} cannot be used: {reason}") from error
    return trust


def _guard(arguments: argparse.Namespace) -> GuardSettings | None:
    try:
        timing = read_timing(arguments.auth_cache_seconds, arguments.auth_outage_seconds)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return GuardSettings(arguments.auth_audience, timing) if arguments.auth_audience else None


def _bracketed(address: str) -> str:
    """HOST:PORT, where an IPv6 address may come without its brackets, as a Pod's does."""
    host, _, port = address.rpartition(":")
    try:
        return f"[{IPv6Address(host)}]:{port}"
    except AddressValueError:
        return address


async def _run(options: Options) -> None:
    # Half a second of imports, and packages of an extra: after the command line was found to be right.
    from treadle_agent.cluster.agent import ClusterAgent
    from treadle_agent.cluster.connection import ConnectionConfigError, load_connection
    from treadle_agent.cluster.kube import KubeClient
    from treadle_agent.cluster.lease import TakenOverError
    from treadle_agent.cluster.nvml import Nvml
    from treadle_agent.cluster.reviews import reviews_by
    from treadle_agent.cluster.secrets import KubeSecrets

    trust = _model_trust(options.model_ca)
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.signal)
    settings = ClusterSettings(
        options.node, options.address, options.namespace, options.kubeconfig, leave_seconds=options.leave_seconds
    )
    nvml = Nvml()
    try:
        facts = _facts(options.devices, nvml)
        ids = {device: fact.id for device, fact in zip(options.devices, facts, strict=True)}
        client = KubeClient(await load_connection(options.kubeconfig))
        try:
            async with open_node(
                options.devices,
                Mode.SPACE_TIME,
                cache_folder(),
                identify=ids.__getitem__,
                cache_settings=options.cache,
                sources=options.sources,
                secrets=KubeSecrets(client, options.namespace),
                model_trust=trust,
            ) as node:
                if options.guard is not None:
                    node.front_end.protect(reviews_by(client), options.guard)
                await _listen(node, options)
                await ClusterAgent(node, facts, client, nvml, settings).run(stop)
        finally:
            await client.close()
    except (ConnectionConfigError, CacheError) as error:
        raise UsageError(str(error)) from error
    except (ExecutorError, TakenOverError) as error:
        raise StartError(str(error)) from error
    finally:
        nvml.close()


def _facts(devices: Sequence[str], nvml: Nvml) -> list[DeviceFacts]:
    from treadle_agent.cluster.hardware import describe
    from treadle_agent.cluster.nvml import NvmlError

    try:
        return [describe(device, nvml) for device in devices]
    except NvmlError as error:
        raise UsageError(f"--device cuda: {error}") from error


async def _listen(node: Node, options: Options) -> None:
    try:
        await node.front_end.start(None, options.port, Tls(options.tls) if options.tls is not None else None)
    except TlsError as error:
        raise UsageError(f"--tls {options.tls}: {error}") from error
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is in use by another program" if taken else f"cannot be listened on: {error.strerror or error}"
        raise StartError(f"--port {options.port} {reason}") from error
    devices = ", ".join(site.device for site in node.sites)
    _log.info("node %s: %s, listening on port %d", options.node, devices, options.port)


if __name__ == "__main__":
    sys.exit(main())
