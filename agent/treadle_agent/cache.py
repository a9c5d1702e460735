"""The folder on this machine where models, and what is made of them, are kept, within a size.

models/       `models.store.ModelStore`'s files; its notes are its own matter, and leave with what they are of
artifacts/    `program.loader.Loader`'s folders
tuning/       `executor.tuning_cache.TuningCache`'s files, which nobody marks: one that leaves is measured again
users/ID/     a process that serves from this folder: `alive`, which it keeps locked, and a mark for each entry in use
lock          locked while marks are made, and while they are read and what is in nobody's use leaves

Locks are the kernel's, so a process that is killed uses nothing any more.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from treadle_agent.models.notes import FOLDER as NOTES
from treadle_agent.policy.clearing import CacheEntry, to_clear
from treadle_agent.settings import CacheSettings
from treadle_api.units import Bytes, Seconds

_KINDS = ("models", "artifacts", "tuning")
_ALIVE = "alive"
_SEPARATOR = "+"  # in a mark's name, for the "/" of its entry's; no entry has it
_BUSY_SECONDS = 0.005  # between looks whether the lock is free

_log = logging.getLogger(__name__)


class CacheError(Exception):
    """Raised when the cache folder cannot be written; the message says what to do."""


def cache_folder() -> Path:
    """Where models and what is made of them are kept: ``$XDG_CACHE_HOME/treadle``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "treadle"


class Cache:
    """What this process uses of the folder. Made by `open_cache`; lives on one event loop."""

    def __init__(self, folder: Path, marks: Path, settings: CacheSettings) -> None:
        self.models, self.artifacts, self.tuning = (folder / kind for kind in _KINDS)
        self._folder = folder
        self._marks = marks
        self._settings = settings
        self._held: Counter[str] = Counter()
        self._changed = True
        self._full = False

    async def hold(self, path: Path) -> bool:
        """Keep an entry from being cleared until as many calls of `release`; False: it is not there any more.

        A path outside the cache is its owner's, and never cleared.
        """
        if (name := self._name(path)) is None:
            return True
        self._marks.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have removed the whole folder
        with (self._folder / "lock").open("wb") as lock:
            while not _try_lock(lock):  # noqa: ASYNC110 - of the kernel's lock no event tells
                await asyncio.sleep(_BUSY_SECONDS)
            if not path.exists():  # noqa: ASYNC240 - as quick as the lock
                return False
            os.utime(path)
            (self._marks / name).touch()
            self._held[name] += 1
        self._changed = True
        return True

    def release(self, path: Path) -> None:
        """The entry is used once less."""
        if (name := self._name(path)) is None:
            return
        self._held[name] -= 1
        if self._held[name] == 0:
            del self._held[name]
            (self._marks / name).unlink(missing_ok=True)
            self._changed = True

    async def keep_small(self) -> None:
        """Clear what nobody uses, a while after each change, for ever."""
        while True:
            if self._changed:
                self._changed = False
                try:
                    await asyncio.to_thread(self._clear, time.time())
                except OSError as error:
                    _log.warning("the cache folder %s cannot be cleared: %s", self._folder, error)
            await asyncio.sleep(self._settings.look_seconds)

    def _name(self, path: Path) -> str | None:
        """The name of an entry's mark."""
        return f"{path.parent.name}{_SEPARATOR}{path.name}" if path.parent in (self.models, self.artifacts) else None

    def _clear(self, now: float) -> None:
        entries = list(self._entries(now))
        with (self._folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            in_use = self._in_use() | self._held.keys()
            entries = [replace(entry, in_use=entry.in_use or entry.name in in_use) for entry in entries]
            cleared = to_clear(entries, Bytes(self._settings.most_bytes))
            moved = [place for entry in cleared if (place := self._move_away(entry)) is not None]
        for path in moved:
            shutil.rmtree(path, ignore_errors=True)
        if moved:
            _log.info("%d files and folders that no tenant uses left the cache", len(moved))
        self._tell_if_full(sum(entry.size for entry in entries) - sum(entry.size for entry in cleared))

    def _in_use(self) -> frozenset[str]:
        """The marks of all other processes that live."""
        marks: set[str] = set()
        for user in (self._folder / "users").iterdir():
            if user == self._marks:
                continue
            if not _lives(user):
                shutil.rmtree(user, ignore_errors=True)
                continue
            with suppress(FileNotFoundError):  # it has just ended
                marks.update(mark.name for mark in user.iterdir())
        return frozenset(marks)

    def _entries(self, now: float) -> Iterator[CacheEntry]:
        """All there is; in use for what can be said without marks."""
        for folder in (self.models, self.artifacts, self.tuning):
            for path in folder.iterdir() if folder.exists() else ():
                if path.name == NOTES:
                    continue
                with suppress(FileNotFoundError):  # what is being made gets another name when it is finished
                    size, used = _size(path), path.stat().st_mtime
                    being_made = path.name.startswith(".") and now - used < self._settings.abandoned_seconds
                    name = f"{folder.name}{_SEPARATOR}{path.name}"
                    yield CacheEntry(name, Bytes(size), Seconds(used), in_use=being_made)

    def _move_away(self, entry: CacheEntry) -> Path | None:
        """Out of everybody's sight at once, which removing a folder is not; None: another process was quicker."""
        kind, _, name = entry.name.partition(_SEPARATOR)
        place = Path(tempfile.mkdtemp(prefix=".cleared-", dir=self._folder / kind))
        try:
            (self._folder / kind / name).rename(place / name)
        except FileNotFoundError:
            place.rmdir()
            return None
        return place

    def _tell_if_full(self, size: int) -> None:
        full = size > self._settings.most_bytes
        if full and not self._full:
            mebibytes = size >> 20, self._settings.most_bytes >> 20
            _log.warning("models in use take %d MiB of the cache, which is to have at most %d MiB", *mebibytes)
        self._full = full


@asynccontextmanager
async def open_cache(folder: Path, settings: CacheSettings | None = None) -> AsyncIterator[Cache]:
    """Use `folder`, which other processes may use as well, and keep it small.

    Raises:
        CacheError: it cannot be made, or not be written.
    """
    with _marks(folder) as marks:
        cache = Cache(folder, marks, settings or CacheSettings())
        keeping = asyncio.create_task(cache.keep_small(), name="keep the cache small")
        try:
            yield cache
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


def check_cache(folder: Path) -> None:
    """Raises CacheError where `open_cache` would."""
    with _marks(folder):
        pass


@contextmanager
def _marks(folder: Path) -> Iterator[Path]:
    """A folder for this process's marks, while it lives."""
    try:
        (folder / "users").mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            marks = Path(tempfile.mkdtemp(dir=folder / "users"))
            alive = (marks / _ALIVE).open("wb")
            fcntl.flock(alive, fcntl.LOCK_EX)
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be written: {error.strerror or error}; make it writable, or set "
            "XDG_CACHE_HOME to a folder that is"
        ) from error
    with alive:
        try:
            yield marks
        finally:
            shutil.rmtree(marks, ignore_errors=True)


def _lives(user: Path) -> bool:
    try:
        with (user / _ALIVE).open("rb") as file:
            return not _try_lock(file)
    except FileNotFoundError:  # it has just ended
        return False


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    if not path.is_dir():
        return path.stat().st_size
    return sum((Path(folder) / name).stat().st_size for folder, _, names in os.walk(path) for name in names)
