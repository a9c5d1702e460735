"""ModelProfiles of what is loaded here: written where a model was not measured on this kind of device, or otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from treadle_agent.cluster.errors import KubeError, NotFoundError, RefusedError
from treadle_agent.cluster.kube import PROFILES, KubeClient
from treadle_agent.cluster.manifests import profile_manifest
from treadle_agent.cluster.reporting import differs
from treadle_api.fields import FieldError
from treadle_api.profile import BatchLatency, Profile, profile_name, read_profile
from treadle_api.replica import TierFigures
from treadle_api.tenant import Precision
from treadle_api.units import Seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Settled:
    """What was measured here, and when it was last compared with what the API server has."""

    measured: Profile
    at: float


class Profiles:
    """Writes them one after another; `refine_seconds` is the least time between two writes of one.

    `review_seconds`: after about that long what all have is compared with what was measured here again: one agent's
    mistake would stay for as long as nothing changes on the nodes of all others.
    """

    def __init__(self, client: KubeClient, refine_seconds: float, review_seconds: float) -> None:
        self._client = client
        self._refine_seconds = refine_seconds
        self._review_seconds = review_seconds
        self._measured: dict[str, Profile] = {}  # what is to be looked at, by name
        self._settled: dict[str, _Settled] = {}
        self._failing: set[str] = set()
        self._wake = asyncio.Event()

    def measured(self, tier: TierFigures, device_model: str, batches: Sequence[tuple[int, float]]) -> None:
        """A tier takes these seconds for launches of these rows, alone on this kind of device; rows ascend from 1."""
        if not batches or tier.precision is not Precision.FLOAT32:  # profiles are of models as they are
            return
        name = profile_name(tier.sha256, device_model)
        settled = self._settled.get(name)
        if settled is not None:
            rests = asyncio.get_running_loop().time() - settled.at < self._refine_seconds
            if rests or not differs(settled.measured.batches[0].p50, batches[0][1]):
                return
        latencies = tuple(BatchLatency(rows, Seconds(seconds), Seconds(seconds)) for rows, seconds in batches)
        self._measured[name] = Profile(tier.sha256, device_model, tier.architecture, tier.memory, latencies)
        self._wake.set()

    def retain(self, names: Collection[str]) -> None:
        """Forget what is known of all others: their models are not loaded any more, and what is next is asked anew."""
        self._settled = {name: settled for name, settled in self._settled.items() if name in names}
        self._failing &= {*names, *self._measured}

    async def run(self, retry_seconds: float) -> None:
        """Write what is measured, for as long as this runs; after a failure in `retry_seconds`."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._review_seconds):
                    await self._wake.wait()
            self._wake.clear()
            due = {
                name: settled.measured
                for name, settled in self._settled.items()
                if loop.time() - settled.at >= self._review_seconds
            }
            for name, profile in (due | self._measured).items():
                fresh = self._measured.get(name) is profile
                try:
                    await self._settle(name, profile, fresh=fresh)
                except KubeError as error:
                    if name not in self._failing:
                        _log.warning("ModelProfile %s cannot be written; it is tried again: %s", name, error)
                    self._failing.add(name)
                    loop.call_later(retry_seconds, self._wake.set)
                    if isinstance(error, RefusedError):
                        continue  # which concerns this one only
                    break
                self._failing.discard(name)
                if self._measured.get(name) is profile:
                    del self._measured[name]
                self._settled[name] = _Settled(profile, loop.time())

    async def _settle(self, name: str, measured: Profile, *, fresh: bool) -> None:
        """Compare with what the API server has, and write where that is wrong.

        What is not `fresh` has its say only where it is faster: what is measured too long is an accident of a device,
        and of two that keep to what they have measured one must give in.
        """
        try:
            known = read_profile(await self._client.get(PROFILES, "", name))
        except NotFoundError:
            known = None
        except FieldError as error:
            _log.warning("ModelProfile %s is written anew: %s", name, error)
            known = None
        profile = refined(known, measured)
        if profile is None or (known is not None and not fresh and known.batches[0].p50 < profile.batches[0].p50):
            return
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
