"""ModelProfiles of what is loaded here: written where a model was not measured on this kind of device, or otherwise."""

from __future__ import annotations

import asyncio
import logging
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

    def measured(self, tier: TierFigures, device_model: str, service: float) -> None:
        """A tier takes `service` seconds for one row alone on this kind of device; 0: that is not known yet."""
        name = profile_name(tier.sha256, device_model)
        settled = self._settled.get(name)
        if service <= 0.0 or (settled is not None and not differs(settled[0], service)):
            return
        if settled is not None and asyncio.get_running_loop().time() - settled[1] < self._refine_seconds:
            return
        batch = BatchLatency(1, Seconds(service), Seconds(service))
        self._measured[name] = Profile(tier.sha256, device_model, tier.architecture, tier.memory, (batch,))
        self._wake.set()

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
    [alone] = measured.batches
    if known is None:
        return measured
    before = next(batch for batch in known.batches if batch.rows == 1)
    if not differs(before.p50, alone.p50):
        return None
    tail = before.p99 / before.p50 if before.p50 > 0 else 1.0
    return replace(measured, batches=(replace(alone, p99=Seconds(alone.p50 * tail)),))
