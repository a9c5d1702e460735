"""What was measured of executables, kept in files: a model that is known here is not measured anew at each start.

A file holds one measurement: the SHA-256 of what follows, a line feed, and an `Entry` as JSON. Its name is a digest of
what it was measured for, so that another device, or another version, finds none. Any number of processes may share a
folder: each writes a file of its own and renames it. It is touched when it is used, for `treadle_agent.cache`, which
clears what was used least recently.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import msgspec

from treadle_agent.executor.statistics import Lookups
from treadle_agent.executor.tuner import Profile

FORMAT = "profile 3"
ENTRY_LIMIT = 4096  # clients of a model with free dimensions choose its shapes; the least recently used go first
UNFINISHED = "."  # begins the names of files that are being written


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A measurement, and what it was measured for."""

    made_for: tuple[str, ...]
    profile: Profile


_decode = msgspec.json.Decoder(Entry).decode  # made by one thread: see `program.artifact`


class TuningCache:
    """The measurements of one device in `folder`, which other devices and processes may share.

    `identity`: the device and the versions of what runs there. `lookups`: how often a measurement was there.
    """

    def __init__(self, folder: Path, identity: Sequence[str]) -> None:
        self._folder = folder
        self._identity = (FORMAT, *identity)
        self.lookups = Lookups()

    def recall(self, what: Sequence[str], length: int, measure: Callable[[], Profile | None]) -> Profile | None:
        """The profile of `what`, an executable of `length` kernels, measured where it is not known yet.

        None where `measure` gives none, because it is worth no trial; what is provisional is not kept.
        """
        made_for = (*self._identity, *what)
        path = self._folder / hashlib.sha256(msgspec.json.encode(made_for)).hexdigest()
        profile = _read(path, made_for, length)
        if profile is not None:
            self.lookups.hits += 1
            with contextlib.suppress(OSError):  # read only, or cleared just now
                os.utime(path)
            return profile
        profile = measure()
        if profile is None or profile.provisional:
            return profile
        self.lookups.misses += 1
        with contextlib.suppress(OSError):  # a full disk, or one that is read only: measured again at the next start
            self._write(path, Entry(made_for, profile))
        return profile

    def _write(self, path: Path, entry: Entry) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        body = msgspec.json.encode(entry)
        with tempfile.NamedTemporaryFile(prefix=UNFINISHED, dir=self._folder, delete=False) as file:
            made = Path(file.name)
            try:
                file.write(_checksum(body) + b"\n" + body)
                file.close()
                made.replace(path)
            except BaseException:
                made.unlink(missing_ok=True)
                raise
        self._sweep()

    def _sweep(self) -> None:
        """Remove the files beyond the limit that were used least recently, half-written ones included."""
        with os.scandir(self._folder) as files:
            names = [file.path for file in files]
        if len(names) > ENTRY_LIMIT:
            for _, name in sorted((_age(name), name) for name in names)[: len(names) - ENTRY_LIMIT]:
                Path(name).unlink(missing_ok=True)


def _read(path: Path, made_for: tuple[str, ...], length: int) -> Profile | None:
    """None where there is none, or what is there is damaged or somebody else's."""
    try:
        checksum, _, body = path.read_bytes().partition(b"\n")
        if checksum != _checksum(body):
            return None
        entry = _decode(body)
    except (OSError, msgspec.MsgspecError):
        return None
    return entry.profile if entry.made_for == made_for and _sound(entry.profile, length) else None


def _sound(profile: Profile, length: int) -> bool:
    """Whether the scheduler may count on it."""
    shares = profile.shares
    return (
        len(shares) == length + 1
        and (shares[0], shares[-1]) == (0.0 if length else 1.0, 1.0)
        and all(before <= after for before, after in pairwise(shares))
        and [number for number, _ in profile.points[:1]] == [1]
        and all(few < many and less <= more for (few, less), (many, more) in pairwise(profile.points))
        and all(math.isfinite(seconds) and seconds >= 0.0 for _, seconds in profile.points)
        and {*profile.library, *(kernel for kernel, _, _ in profile.tiles)} <= set(range(length))
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _age(name: str) -> float:
    try:
        return Path(name).stat().st_mtime
    except FileNotFoundError:  # another process swept too
        return 0.0
