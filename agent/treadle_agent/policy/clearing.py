"""Which files leave a cache that has grown too large."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from treadle_api.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A file or folder of the cache: its name there, its size, when it was last taken into use, and if it still is."""

    name: str
    size: Bytes
    used: Seconds
    in_use: bool


def to_clear(entries: Iterable[CacheEntry], most: Bytes) -> list[CacheEntry]:
    """Entries that nobody uses, least recently used first, until what stays is `most` bytes, or all in use."""
    present = list(entries)
    surplus = sum(entry.size for entry in present) - most
    chosen: list[CacheEntry] = []
    for entry in sorted((one for one in present if not one.in_use), key=lambda one: one.used):
        if surplus <= 0:
            break
        chosen.append(entry)
        surplus -= entry.size
    return chosen
