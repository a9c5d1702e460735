"""Loaded versions of tenants: the scheduler's tenant with what the device needs to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from treadle_agent.executor.binding import Binding
from treadle_agent.executor.library import MERGED, SEGMENTS, LoadedTier
from treadle_agent.executor.protocol import Submit, Version
from treadle_agent.policy.queues import Tenant
from treadle_agent.policy.scheduling import Stream

ORDINARY_PRIORITY = 5  # of 1, the highest, to 10


def weight(priority: int) -> float:
    """A tenant's weight on a crowded device: 1 at the ordinary priority, a sixth at the lowest; 0 means none is set."""
    return (11 - (priority or ORDINARY_PRIORITY)) / (11 - ORDINARY_PRIORITY)


class LoadedVersion(Tenant):
    """A version on this device. `answered`: requests by tier; `device_seconds`: its share of the device's time.

    `refused`: why a binding cannot run here.
    """

    __slots__ = ("answered", "bindings", "device_seconds", "draining", "refused", "version")

    def __init__(self, version: Version, tiers: Sequence[LoadedTier]) -> None:
        super().__init__(version.id, version.deadline, version.queue_limit, tiers, version.pinned)
        self.weight = weight(version.priority)
        self.version = version
        self.bindings: dict[int, Binding] = {}
        self.refused: dict[int, str] = {}
        self.answered = [0] * len(tiers)
        self.device_seconds = 0.0
        self.draining = False

    @property
    def loaded_tiers(self) -> Sequence[LoadedTier]:
        """The tiers, as this device knows them."""
        return cast("Sequence[LoadedTier]", self.tiers)

    @property
    def implementations(self) -> dict[str, str]:
        """How each tier (by name) runs by now, which may change as others come; none of one without bound shapes."""
        made = {tier.name: [one for holder in tier.buckets.values() for one in holder] for tier in self.tiers}
        return {
            name: MERGED if any(one.mergeable for one in executables) else SEGMENTS
            for name, executables in made.items()
            if executables
        }


def version_of(stream: Stream) -> LoadedVersion:
    """Whose stream it is."""
    return cast("LoadedVersion", stream.tenant)


def requests_of(stream: Stream) -> Sequence[Submit]:
    """The messages that a stream's requests are."""
    return cast("Sequence[Submit]", stream.requests)


def binding_of(stream: Stream, request: Submit) -> Binding:
    """The shapes of a request."""
    return version_of(stream).bindings[request.binding]


def row_of(stream: Stream) -> int:
    """The slab row of a stream's weights."""
    return cast("LoadedTier", stream.tenant.tiers[stream.tier]).row
