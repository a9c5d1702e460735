"""How each server is started for a workload: files it reads, and its command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from treadle.bench.serving.workload import Workload
from treadle_agent.executor.protocol import Mode

TREADLE = "treadle:"
BY_MODE = {mode: TREADLE + mode.name.lower().replace("_", "-") for mode in Mode}
MODES = tuple(BY_MODE.values())
SPACE_TIME = TREADLE + "space-time"
TIME = TREADLE + "time"
PLAIN = "aiohttp"
MLSERVER = "mlserver"
BOUNDED = ":bounded"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A command that serves on `port` of loopback, and the variables it needs beside the environment's."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    port: int


def deploy(
    server: str, workload: Workload, folder: Path, ports: tuple[int, int], mlserver: Path | None, queue_limit: int
) -> Deployment:
    """Write what `server` reads into the empty `folder`, and say how to start it.

    `ports`: free ones, the second for servers that insist on gRPC; `mlserver`: Python of MLServer's environment;
    `queue_limit` is for the bounded servers.
    """
    kind = server.removesuffix(BOUNDED)
    limit = queue_limit if server.endswith(BOUNDED) else 0
    if kind.startswith(TREADLE):
        return _treadle(kind.removeprefix(TREADLE), workload, folder, ports[0])
    if kind == MLSERVER:
        assert mlserver is not None
        return _mlserver(workload, folder, ports, mlserver, limit)
    name, _, threads = kind.partition("+")
    assert name == PLAIN, server
    return _plain(workload, folder, ports[0], int(threads or 0), limit)


def _treadle(mode: str, workload: Workload, folder: Path, port: int) -> Deployment:
    for tenant, path in workload.models.items():
        manifest = {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": tenant},
            "spec": {
                "slo": {"deadline": f"{workload.deadline * 1e3:.0f}ms", "objective": "99"},
                "tiers": [{"name": "only", "accuracy": "90", "model": {"uri": str(path)}}],
                "switching": {"mode": "Pinned", "tier": "only"},
            },
        }
        (folder / f"{tenant}.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
    options = ("-f", str(folder), "--port", str(port), "--mode", mode, "--device", "host")
    return Deployment((sys.executable, "-m", "treadle", "serve", *options), {}, port)


def _plain(workload: Workload, folder: Path, port: int, threads: int, queue_limit: int) -> Deployment:
    models = folder / "models.json"
    models.write_bytes(msgspec.json.encode({tenant: str(path) for tenant, path in workload.models.items()}))
    options = ("--models", str(models), "--port", str(port), "--threads", str(threads))
    command = (sys.executable, "-m", "treadle.bench.peers.plain_server", *options, "--queue-limit", str(queue_limit))
    return Deployment(command, {}, port)


def _mlserver(workload: Workload, folder: Path, ports: tuple[int, int], python: Path, queue_limit: int) -> Deployment:
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "parallel_workers": 0,  # the event loop's own process: on two cores faster than passing requests to workers
        "metrics_endpoint": None,
        "gzip_enabled": False,
        "logging_settings": {"version": 1, "root": {"level": "WARNING"}},
    }
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    for tenant, path in workload.models.items():
        model = {
            "name": tenant,
            "implementation": "mlserver_runtime.OnnxModel",
            "parameters": {"uri": str(path), "extra": {"queue_limit": queue_limit}},
        }
        (folder / tenant).mkdir()
        (folder / tenant / "model-settings.json").write_bytes(msgspec.json.encode(model))
    peers = Path(__file__).parents[1] / "peers"
    search = os.pathsep.join(filter(None, (str(peers), os.environ.get("PYTHONPATH"))))
    return Deployment((str(python.parent / "mlserver"), "start", str(folder)), {"PYTHONPATH": search}, ports[0])
