"""One tier after another, each alone in an executor process of the device."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from treadle.profile.latency.client import UNDER_WAY, Client
from treadle.profile.latency.report import Batch, Load, Report, Tier
from treadle.profile.models import UnprofiledError
from treadle_agent.cluster.hardware import describe
from treadle_agent.executor import worker
from treadle_agent.executor.gateway import RefusedError
from treadle_agent.executor.precision import stored
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.executor.supervisor import Supervisor
from treadle_agent.executor.worker_settings import WorkerSettings
from treadle_agent.models.errors import FetchError
from treadle_agent.models.store import ModelStore
from treadle_agent.program.artifact import ROW_COUNTS, Artifact, read_artifact
from treadle_agent.program.errors import ModelError
from treadle_agent.program.loader import Loader
from treadle_agent.program.model import Shape
from treadle_api import tenant as api
from treadle_api.profile import profile_name

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of saturation
_FEWEST, _MOST = 5, 100  # runs of a batch
_FEWEST_REQUESTS, _LONGEST = 200, 4.0  # a load of few requests is made longer, up to this many times

Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` of each measurement; `shapes` by input name, whole, where sizes are free beside the rows."""

    device: str
    seconds: float
    shapes: Mapping[str, Shape]


def steps(tenant: api.Tenant) -> int:
    """How many measurements a tenant takes."""
    return len(tenant.served_tiers) * (2 + len(SHARES))


async def measure(tenant: api.Tenant, plan: Plan, cache: Path, announce: Announce) -> Report:
    """Fetch, compile, load and measure every tier that may answer.

    Raises:
        UnprofiledError: a tier cannot be had, loaded or run; the message names it and the fix.
        OSError, EOFError: no executor process can be started.
    """
    loader = Loader(cache / "artifacts", alone=cache / "models")
    supervisor = await Supervisor.start(worker.main, WorkerSettings(device=plan.device), loader.bind)
    try:
        store = ModelStore(cache / "models")
        measured = []
        for number, tier in enumerate(tenant.served_tiers, 1):
            try:
                folder = await asyncio.to_thread(loader.compile, await store.fetch(tier.model))
                artifact = await asyncio.to_thread(read_artifact, folder)
                version = _version(number, tenant, tier, folder)
                measured.append(await _tier(supervisor, version, artifact, plan, announce))
                await supervisor.retire(version.id)
            except (FetchError, ModelError, RefusedError) as error:
                raise UnprofiledError(f"{tenant.key}, tier {tier.name}: {error}") from error
    finally:
        loader.close()
        await supervisor.close()
    return Report(
        tenant.key, plan.device, _device_model(plan.device), plan.device.startswith("simulated"), tuple(measured)
    )


def _version(number: int, tenant: api.Tenant, tier: api.Tier, folder: Path) -> Version:
    tiers = (TierSpec(tier.name, tier.accuracy, str(folder), tier.precision),)
    return Version(number, f"{tenant.key} tier {tier.name}", tenant.slo.deadline, 0, UNDER_WAY, tiers, pinned=0)


async def _tier(supervisor: Supervisor, version: Version, artifact: Artifact, plan: Plan, announce: Announce) -> Tier:
    served = await supervisor.load(version)
    spec = version.tiers[0]
    client = Client(supervisor, served, _shapes(artifact, plan.shapes))
    announce(f"{spec.name}: batches")
    batches = [await _batch(client, rows, plan.seconds) for rows in (ROW_COUNTS if served.batchable else (1,))]
    announce(f"{spec.name}: saturation")
    saturation = await client.saturate(plan.seconds)
    loads, unborne = [], []
    for number, share in enumerate(SHARES):
        rate = share * saturation
        announce(f"{spec.name}: {rate:,.0f} requests/s")
        seconds = max(plan.seconds, min(_FEWEST_REQUESTS / rate, _LONGEST * plan.seconds))
        took = await client.load(rate, seconds, number)
        if took is None:
            unborne.append(_rounded(rate))
        else:
            loads.append(Load(_rounded(rate), *_quantiles(took), len(took)))
    profiled = spec.precision is api.Precision.FLOAT32
    return Tier(
        tier=spec.name,
        accuracy=spec.accuracy,
        profile=profile_name(artifact.model_sha256, _device_model(plan.device)) if profiled else "",
        sha256=artifact.model_sha256,
        architecture=artifact.architecture,
        memory_bytes=stored(artifact.weights, artifact.weight_bytes, spec.precision)[1],
        implementation=served.implementations[0],
        saturation_rps=_rounded(saturation),
        batches=tuple(batches),
        loads=tuple(loads),
        precision=spec.precision,
        unborne=tuple(unborne),
    )


async def _batch(client: Client, rows: int, seconds: float) -> Batch:
    await client.alone(rows)  # the first of a shape may have to be compiled
    took: list[float] = []
    end = time.perf_counter() + seconds / len(ROW_COUNTS)
    while len(took) < _FEWEST or (len(took) < _MOST and time.perf_counter() < end):
        took.append(await client.alone(rows))
    return Batch(rows, *_quantiles(took), len(took))


def _shapes(artifact: Artifact, given: Mapping[str, Shape]) -> list[Shape]:
    """The shapes of one row, by `given` where a size is free."""
    found = []
    for spec in artifact.inputs:
        declared = (1, *spec.shape[1:]) if artifact.batchable else spec.shape
        shape = given.get(spec.name, declared)
        if min(shape, default=0) < 0:
            form = "x".join("N" if size < 0 else str(size) for size in shape)
            raise UnprofiledError(f"input {spec.name} has free sizes: give them by --shape {spec.name}={form}")
        found.append(shape)
    return found


def _device_model(device: str) -> str:
    """The name that agents write profiles of this device under."""
    if device == "cuda":
        if find_spec("pynvml") is None:
            raise UnprofiledError("--device cuda: nvidia-ml-py is not installed: pip install 'treadle[agent]'")
        from treadle_agent.cluster.nvml import Nvml

        return describe(device, Nvml()).model
    return describe(device, None).model


def _quantiles(took: list[float]) -> tuple[float, float]:
    p50, p99 = np.quantile(took, (0.5, 0.99)).tolist()
    return round(p50, 9), round(p99, 9)


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")
