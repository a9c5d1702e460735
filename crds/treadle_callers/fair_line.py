"""A bounded line in which owners take turns: who has much waiting delays itself, and nobody else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairLine(Generic[K]):
    """What waits, each for an owner, has a size, and all together `most`; an owner's own go in the order in which they
    came.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: OrderedDict[str, OrderedDict[K, int]] = OrderedDict()  # sizes, by owners in the order of turns
        self._sizes: dict[str, int] = {}  # of all that an owner has waiting
        self._size = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def join(self, owner: str, key: K, size: int = 1) -> list[K]:
        """Wait; who has to leave for it: the newest of the owner of most, maybe this one itself."""
        self._waiting.setdefault(owner, OrderedDict())[key] = size
        self._sizes[owner] = self._sizes.get(owner, 0) + size
        self._size += size
        leaving: list[K] = []
        while self._size > self._most:
            greedy = max(self._sizes, key=lambda one: (self._sizes[one], one == owner))
            leaving.append(next(reversed(self._waiting[greedy])))
            self.leave(greedy, leaving[-1])
        return leaving

    def take(self) -> K | None:
        """Whose turn it is, who waits no more; None: nobody waits."""
        for owner, keys in self._waiting.items():
            key = next(iter(keys))
            self._waiting.move_to_end(owner)
            self.leave(owner, key)
            return key
        return None

    def leave(self, owner: str, key: K) -> None:
        """Wait no more."""
        keys = self._waiting.get(owner)
        if keys is None or key not in keys:
            return
        size = keys.pop(key)
        self._size -= size
        self._sizes[owner] -= size
        if not keys:
            del self._waiting[owner], self._sizes[owner]
