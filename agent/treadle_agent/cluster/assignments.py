"""What this node is to serve: its replicas, fenced against a leader that does not lead any more.

A leader that was paused, and goes on without knowing that another was elected, writes specs with its old epoch. So
a change whose epoch is below the leader's is not taken: what was taken before stays, until the leader itself has
written. What an agent finds when it starts it takes as it is: the leader re-writes what differs from its plan.

A replica that is deleted and made again has its old name and another uid, and no watch need show what was in between:
it is judged for itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from treadle_api.replica import Replica


@dataclass(frozen=True, slots=True)
class Assignment:
    """One replica. `accepted` is acted on (None: nothing is yet); `latest` is what the API server has.

    They differ while the latter's epoch is below the leader's.
    """

    latest: Replica
    accepted: Replica | None

    @property
    def stale(self) -> bool:
        """Whether the last change was not taken."""
        return self.accepted is not self.latest


class Assignments:
    """All replicas of the node by ``NAMESPACE/NAME``, and the leader's epoch; who changes it asks `wanted` again."""

    def __init__(self) -> None:
        self._by_key: dict[str, Assignment] = {}
        self._epoch = 0
        self._listed = False

    @property
    def epoch(self) -> int:
        """The leader's."""
        return self._epoch

    @property
    def known(self) -> bool:
        """Whether the replicas were listed once: before that there are none, and that means nothing."""
        return self._listed

    def __iter__(self) -> Iterator[tuple[str, Assignment]]:
        return iter(self._by_key.items())

    def get(self, key: str) -> Assignment | None:
        """The replica of a key."""
        return self._by_key.get(key)

    def lead(self, epoch: int) -> None:
        """The leader's epoch is this from now on: what was refused may be taken now; what was taken stays."""
        self._epoch = epoch
        for key, assignment in self._by_key.items():
            if assignment.stale:
                self._by_key[key] = self._judged(assignment.latest, assignment.accepted)

    def listed(self, replicas: Collection[Replica]) -> None:
        """These are all there are."""
        known = self._by_key
        self._by_key = {}
        for replica in replicas:
            self._by_key[key_of(replica)] = (
                self._changed(replica, known.get(key_of(replica))) if self._listed else Assignment(replica, replica)
            )
        self._listed = True

    def changed(self, replica: Replica) -> bool:
        """A replica is new, or has changed; returns whether anything but its status has."""
        key = key_of(replica)
        before = self._by_key.get(key)
        self._by_key[key] = self._changed(replica, before)
        return before is None or _version(before.latest) != _version(replica)

    def removed(self, key: str) -> None:
        """A replica is gone; whoever deleted it, since a deletion carries no epoch."""
        self._by_key.pop(key, None)

    def _changed(self, replica: Replica, known: Assignment | None) -> Assignment:
        accepted = known.accepted if known is not None and known.latest.uid == replica.uid else None
        if accepted is not None and accepted.generation == replica.generation:
            return Assignment(replica, replica)  # the spec that was taken: only the status differs
        return self._judged(replica, accepted)

    def _judged(self, replica: Replica, accepted: Replica | None) -> Assignment:
        return Assignment(replica, replica if replica.epoch >= self._epoch else accepted)


def _version(replica: Replica) -> tuple[str, int]:
    return replica.uid, replica.generation


def key_of(replica: Replica) -> str:
    """``NAMESPACE/NAME``."""
    return f"{replica.namespace}/{replica.name}"
