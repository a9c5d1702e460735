"""A bounded line in which owners take turns: who has many waiting delays itself, and nobody else."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairLine(Generic[K]):
    """At most `most` wait, each for an owner; an owner's own go in the order in which they came."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, deque[K]] = OrderedDict()  # owners in the order of their turns
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def join(self, owner: str, key: K) -> K | None:
        """Wait; who has to leave for it: the newest of the owner of most, maybe this one itself; None: nobody."""
        self._waiting.setdefault(owner, deque()).append(key)
        self._count += 1
        if self._count <= self._most:
            return None
        greedy = max(self._waiting, key=lambda one: (len(self._waiting[one]), one == owner))
        leaving = self._waiting[greedy][-1]
        self.leave(greedy, leaving)
        return leaving

    def take(self) -> K | None:
        """Whose turn it is, who waits no more; None: nobody waits."""
        for owner, keys in self._waiting.items():
            key = keys[0]
            self._waiting.move_to_end(owner)
            self.leave(owner, key)
            return key
        return None

    def leave(self, owner: str, key: K) -> None:
        """Wait no more."""
        keys = self._waiting.get(owner)
        if keys is None or key not in keys:
            return
        keys.remove(key)
        self._count -= 1
        if not keys:
            del self._waiting[owner]
