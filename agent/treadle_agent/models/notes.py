"""Notes beside the models of a store: by whom each has been read. Any number of processes may share them."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from treadle_agent.models.errors import StorageError
from treadle_agent.models.readers import Reading, with_reading

FOLDER = ".readers"  # in the store's own

_ON_ITS_WAY_SECONDS = 3600.0  # a model may get its place later than its note


class Notes:
    """One file for each model, by its digest. Every method blocks for a moment."""

    def __init__(self, folder: Path, place: Callable[[str], Path]) -> None:
        """`place`: where a model of a digest lies; a note whose model has left leaves, too."""
        self._folder = folder
        self._place = place

    def read(self, digest: str) -> list[Reading]:
        """Of one model; a note that is damaged says nothing, so that its readers are asked for again."""
        try:
            return msgspec.json.decode((self._folder / digest).read_bytes(), type=list[Reading])
        except (OSError, msgspec.MsgspecError):
            return []

    def add(self, digest: str, reading: Reading) -> None:
        """Note a reading.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self._folder / ".lock").open("wb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                new = self._folder / ".new"
                new.write_bytes(msgspec.json.encode(with_reading(self.read(digest), reading)))
                new.replace(self._folder / digest)
                self._sweep(time.time())
        except OSError as error:
            raise StorageError.of(self._folder, error) from error

    def _sweep(self, now: float) -> None:
        for note in self._folder.iterdir():
            gone = not note.name.startswith(".") and not self._place(note.name).exists()
            if gone and now - note.stat().st_mtime > _ON_ITS_WAY_SECONDS:
                note.unlink()
