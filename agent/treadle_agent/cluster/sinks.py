"""From what the API server says to the node's assignments."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from treadle_agent.cluster.assignments import Assignments, key_of
from treadle_agent.cluster.kube import Json
from treadle_api.fields import FieldError, Fields
from treadle_api.objects import LARGEST_INT32, read_generation
from treadle_api.replica import Replica, ReplicaStatus, read_replica

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A replica whose spec this agent cannot read: what is wrong with which generation of it."""

    generation: int
    problem: str


class ReplicaSink:
    """This node's InferenceReplicas; `on_change` is called after each change, `on_told` with each status that is new.

    `unreadable` and `uids` by ``NAMESPACE/NAME``: a replica that is deleted and made again has its old name.
    """

    def __init__(
        self, assignments: Assignments, on_change: Callable[[], None], on_told: Callable[[ReplicaStatus], None]
    ) -> None:
        self._assignments = assignments
        self._on_change = on_change
        self._on_told = on_told
        self.unreadable: dict[str, Unreadable] = {}
        self.uids: dict[str, str] = {}

    def listed(self, objects: Sequence[Json]) -> None:
        """See `following.Sink`."""
        self.unreadable.clear()
        self.uids.clear()
        replicas = [replica for manifest in objects if (replica := self._read(manifest) or self._before(manifest))]
        self._assignments.listed([replica for replica in replicas if not replica.deleting])
        self._on_change()

    def changed(self, manifest: Json) -> None:
        """See `following.Sink`."""
        replica = self._read(manifest)
        if replica is None:  # what was accepted of it before goes on
            if self._before(manifest) is None:
                self._assignments.removed(_identity(manifest)[0])
            self._on_change()
        elif replica.deleting:
            self._assignments.removed(key_of(replica))
            self._on_change()
        else:
            if self._assignments.changed(replica):
                self._on_change()
            self._on_told(replica.status)

    def removed(self, manifest: Json) -> None:
        """See `following.Sink`."""
        key, _ = _identity(manifest)
        self.unreadable.pop(key, None)
        self.uids.pop(key, None)
        self._assignments.removed(key)
        self._on_change()

    def _before(self, manifest: Json) -> Replica | None:
        """The last state of a replica that could be read; None where that was of another one of its name."""
        key, _ = _identity(manifest)
        assignment = self._assignments.get(key)
        return assignment.latest if assignment is not None and assignment.latest.uid == self.uids[key] else None

    def _read(self, manifest: Json) -> Replica | None:
        key, generation = _identity(manifest)
        self.uids[key] = Fields("", manifest).child("metadata").text("uid", None, 64, "", least=0)
        try:
            replica = read_replica(manifest)
        except FieldError as error:
            if self.unreadable.get(key) != Unreadable(generation, str(error)):
                _log.error("InferenceReplica %s cannot be read: %s", key, error)
            self.unreadable[key] = Unreadable(generation, str(error))
            return None
        self.unreadable.pop(key, None)
        return replica


class LeaderSink:
    """The operator's leader Lease, whose holder's changes count; `on_change` is called when its epoch changes.

    `known` is set once it was looked for.
    """

    def __init__(self, assignments: Assignments, on_change: Callable[[], None]) -> None:
        self._assignments = assignments
        self._on_change = on_change
        self.known = asyncio.Event()

    def listed(self, objects: Sequence[Json]) -> None:
        """See `following.Sink`; without a Lease there is no leader, and no epoch to fall behind."""
        for manifest in objects or ({},):
            self.changed(manifest)
        self.known.set()

    def changed(self, manifest: Json) -> None:
        """See `following.Sink`."""
        try:
            epoch = Fields("", manifest).child("spec", optional=True).integer("leaseTransitions", 0, LARGEST_INT32, 0)
        except FieldError as error:
            _log.error("the leader's Lease cannot be read, its last epoch counts: %s", error)
            return
        if epoch != self._assignments.epoch:
            _log.info("the leader's epoch is %d", epoch)
            self._assignments.lead(epoch)
            self._on_change()

    def removed(self, _: Json) -> None:
        """See `following.Sink`."""
        self.changed({})


def _identity(manifest: Json) -> tuple[str, int]:
    """``NAMESPACE/NAME``, and the generation: these the API server itself vouches for."""
    metadata = Fields("", manifest).child("metadata")
    return f"{metadata.values['namespace']}/{metadata.values['name']}", read_generation(metadata, "generation")
