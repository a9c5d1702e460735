"""ModelProfiles of what is loaded here: written where a model was not measured on this kind of device, or otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from treadle_agent.cluster.errors import KubeError, NotFoundError
from treadle_agent.cluster.kube import PROFILES, KubeClient
from treadle_agent.cluster.manifests import profile_manifest
from treadle_agent.cluster.reporting import differs
from treadle_api.fields import FieldError
from treadle_api.profile import BatchLatency, Profile, profile_name, read_profile
from treadle_api.replica import TierFigures
from treadle_api.units import Seconds

_log = logging.getLogger(__name__)


class Profiles:
    """Writes them one after another; `refine_seconds` is the least time between two writes of one."""

    def __init__(self, client: KubeClient, refine_seconds: float) -> None:
        self._client = client
        self._refine_seconds = refine_seconds
        self._measured: dict[str, Profile] = {}  # what is to be looked at, by name
        self._settled: dict[str, tuple[Seconds, float]] = {}  # service, and when it was last agreed upon
        self._wake = asyncio.Event()

    def measured(self, tier: TierFigures, device_model: str, batches: Sequence[tuple[int, float]]) -> None:
        """A tier takes these seconds for launches of these rows, alone on this kind of device; rows ascend from 1."""
        if not batches:
            return
        name = profile_name(tier.sha256, device_model)
        settled = self._settled.get(name)
        if settled is not None:
            service, at = settled
            rests = asyncio.get_running_loop().time() - at < self._refine_seconds
            if rests or not differs(service, batches[0][1]):
                return
        latencies = tuple(BatchLatency(rows, Seconds(seconds), Seconds(seconds)) for rows, seconds in batches)
        self._measured[name] = Profile(tier.sha256, device_model, tier.architecture, tier.memory, latencies)
        self._wake.set()

    def retain(self, names: Collection[str]) -> None:
        """Forget what is known of all others: their models are not loaded any more, and what is next is asked anew."""
        self._settled = {name: settled for name, settled in self._settled.items() if name in names}

    async def run(self, retry_seconds: float) -> None:
        """Write what is measured, for as long as this runs; after a failure in `retry_seconds`."""
        loop, failing = asyncio.get_running_loop(), False
        while True:
            await self._wake.wait()
            self._wake.clear()
            for name, profile in list(self._measured.items()):
                try:
                    await self._settle(name, profile)
                except KubeError as error:
                    if not failing:
                        _log.warning("ModelProfile %s cannot be written; it is tried again: %s", name, error)
                    failing = True
                    loop.call_later(retry_seconds, self._wake.set)
                    break
                failing = False
                if self._measured.get(name) is profile:
                    del self._measured[name]
                self._settled[name] = profile.batches[0].p50, loop.time()

    async def _settle(self, name: str, measured: Profile) -> None:
        try:
            known = read_profile(await self._client.get(PROFILES, "", name))
        except NotFoundError:
            known = None
        except FieldError as error:
            _log.warning("ModelProfile %s is written anew: %s", name, error)
            known = None
        profile = refined(known, measured)
        if profile is not None:
            await self._client.apply(PROFILES, "", name, profile_manifest(profile))


def refined(known: Profile | None, measured: Profile) -> Profile | None:
    """What to write; None where what is known agrees with what was measured, within a tenth.

    The tail that is known keeps its ratio to the median: `treadle profile` measures it, an agent's load does not.
    """
    if known is None:
        return measured
    before = {batch.rows: batch for batch in known.batches}
    if not differs(before[1].p50, measured.batches[0].p50):
        return None
    return replace(measured, batches=tuple(_with_tail(batch, before.get(batch.rows)) for batch in measured.batches))


def _with_tail(batch: BatchLatency, known: BatchLatency | None) -> BatchLatency:
    if known is None or known.p50 <= 0.0:
        return batch
    return replace(batch, p99=Seconds(batch.p50 * known.p99 / known.p50))
