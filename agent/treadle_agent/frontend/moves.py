"""Tenants that leave a device, and where what still arrives for them goes.

A client that keeps its connection goes on sending to this node after the tenant's endpoints have changed. What it
sends is forwarded while the replica drains, and for a while after it is gone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import inf, isinf


@dataclass(frozen=True, slots=True)
class Move:
    """One tenant's. `successors` (HOST:PORT) may be empty: then whoever is left here answers, and closes connections.

    `key` is ``name.namespace``; `deadline` the tenant's, in seconds; `until` is when whoever owns the moves forgets it,
    in seconds of its clock.
    """

    key: str
    successors: tuple[str, ...]
    deadline: float
    until: float = inf


class Moves:
    """All tenants that leave one device, by key; false where there are none, and then requests are not looked at."""

    def __init__(self) -> None:
        self._moves: dict[str, Move] = {}
        self._keys_by_name: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._moves)

    def __contains__(self, key: object) -> bool:
        return key in self._moves

    def begin(self, key: str, successors: tuple[str, ...], deadline: float) -> None:
        """A tenant's replica here drains."""
        if key not in self._moves:
            self._keys_by_name.setdefault(_name(key), []).append(key)
        self._moves[key] = Move(key, successors, deadline)

    def end(self, key: str, until: float) -> None:
        """A replica that drained is gone; connections to it may live until then."""
        if (move := self._moves.get(key)) is not None:
            self._moves[key] = replace(move, until=until)

    def forget(self, key: str) -> None:
        """The tenant is served here after all."""
        if self._moves.pop(key, None) is not None:
            same_name = self._keys_by_name[_name(key)]
            same_name.remove(key)
            if not same_name:
                del self._keys_by_name[_name(key)]

    def forget_ended(self, now: float) -> None:
        """Forget those whose time is over."""
        for key in [key for key, move in self._moves.items() if move.until <= now]:
            self.forget(key)

    @property
    def next_end(self) -> float | None:
        """When the time of the next one is over; None where none has ended."""
        first = min((move.until for move in self._moves.values()), default=inf)
        return None if isinf(first) else first

    def get(self, key: str) -> Move | None:
        """A tenant's move."""
        return self._moves.get(key)

    def match(self, name: str) -> Collection[str]:
        """The keys of tenants that a client may mean by `name`."""
        return (name,) if name in self._moves else self._keys_by_name.get(name, ())


def _name(key: str) -> str:
    return key.partition(".")[0]
