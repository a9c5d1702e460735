"""Tenants that leave a device, and where what still arrives for them goes.

A client that keeps its connection goes on sending to this node after the tenant's endpoints have changed. What it
sends is forwarded while the replica drains, and for a while after it is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf


@dataclass(frozen=True, slots=True)
class Move:
    """One tenant's. `successors` (HOST:PORT) may be empty: then whoever is left here answers, and closes connections.

    `key` is ``name.namespace``; `deadline` the tenant's, in seconds; `until` is in seconds of the front end's clock.
    """

    key: str
    successors: tuple[str, ...]
    deadline: float
    until: float = inf


class Moves:
    """All tenants that leave one device, by key; false where there are none."""

    def __init__(self) -> None:
        self._moves: dict[str, Move] = {}

    def __bool__(self) -> bool:
        return bool(self._moves)

    def __contains__(self, key: object) -> bool:
        return key in self._moves

    def begin(self, key: str, successors: tuple[str, ...], deadline: float) -> None:
        """A tenant's replica here drains."""
        self._moves[key] = Move(key, successors, deadline)

    def end(self, key: str, until: float) -> None:
        """A replica that drained is gone; connections to it may live until then."""
        if (move := self._moves.get(key)) is not None:
            self._moves[key] = replace(move, until=until)

    def forget(self, key: str) -> None:
        """The tenant is served here after all."""
        self._moves.pop(key, None)

    def get(self, key: str, now: float) -> Move | None:
        """A tenant's move, unless it is over."""
        move = self._moves.get(key)
        if move is not None and move.until < now:
            del self._moves[key]
            return None
        return move

    def match(self, name: str) -> list[str]:
        """The keys of tenants that a client may mean by `name`."""
        return [key for key in self._moves if key == name or key.partition(".")[0] == name]
