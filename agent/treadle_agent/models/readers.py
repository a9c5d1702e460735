"""Who may have a file of the cache without asking for it: pure.

A digest lets nobody in: it stands in manifests and profiles. Who has had the file by the same words may have it again;
who names a place that the file came from must be let in there; anybody else has to fetch it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

_MOST = 1000  # readings of one file; who has read it before these is asked for again


@dataclass(frozen=True, slots=True)
class Reader:
    """A namespace, and the words by which its tenants ask for a model."""

    namespace: str
    uri: str
    secret: str | None

    @property
    def key(self) -> str:
        """It, without what a URI may tell."""
        return _key(self.namespace, self.uri, self.secret)


class Reading(msgspec.Struct, frozen=True):
    """That a reader was let in.

    `reader` and `source` are keys, of who and of where; `server` is HOST or HOST:PORT, as lists of hosts have it.
    """

    reader: str
    source: str
    server: str


def source_key(uri: str, endpoint: str | None) -> str:
    """Of the place that a URI names; of a bucket's by itself it says nothing without the endpoint."""
    return _key(uri, endpoint)


def reading_of(readings: Iterable[Reading], reader: Reader) -> Reading | None:
    """That this one was let in, if he was."""
    key = reader.key
    return next((one for one in readings if one.reader == key), None)


def came_from(readings: Iterable[Reading], source: str) -> bool:
    """Whether the file was there for somebody."""
    return any(one.source == source for one in readings)


def with_reading(readings: Iterable[Reading], new: Reading) -> list[Reading]:
    """With one more, the latest last; the oldest leave."""
    return [*(one for one in readings if one.reader != new.reader), new][-_MOST:]


def _key(*words: str | None) -> str:
    return hashlib.sha256(msgspec.json.encode(words)).hexdigest()
