"""A file that is being downloaded: kept under a name that the next try knows, so that an interruption costs no byte.

One process and task at a time writes it, the one that has locked it; the lock is the kernel's, and ends with it.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from treadle_agent.models.errors import StorageError

_BUSY_SECONDS = 0.1  # between looks whether another has done it


class Partial:
    """The bytes so far, at `path`. Every method blocks for a moment, and raises StorageError."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.size = 0
        self._file = file
        self._digest = hashlib.sha256()

    def resume(self) -> None:
        """Take up what is there."""
        try:
            self._file.seek(0)
            while chunk := self._file.read(1 << 20):
                self._digest.update(chunk)
                self.size += len(chunk)
        except OSError as error:
            raise StorageError.of(self.path.parent, error) from error

    def restart(self) -> None:
        """Forget what is there."""
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise StorageError.of(self.path.parent, error) from error
        self.size = 0
        self._digest = hashlib.sha256()

    def append(self, chunk: bytes) -> None:
        """One more piece."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise StorageError.of(self.path.parent, error) from error
        self._digest.update(chunk)
        self.size += len(chunk)

    def finish(self, place: Path) -> Path:
        """Give it its place, which is whole from then on."""
        try:
            self._file.flush()
            return self.path.replace(place)
        except OSError as error:
            raise StorageError.of(self.path.parent, error) from error

    @property
    def digest(self) -> str:
        """The sha256 of the bytes so far."""
        return self._digest.hexdigest()


@asynccontextmanager
async def open_partial(path: Path, *, keep: bool) -> AsyncIterator[Partial]:
    """The file at `path`, once nobody else writes it; it stays there unless it is empty, or is not to be kept.

    Raises:
        StorageError: the folder cannot be written.
    """
    while (file := _lock(path)) is None:  # noqa: ASYNC110 - of the kernel's lock no event tells
        await asyncio.sleep(_BUSY_SECONDS)
    with file:
        partial = Partial(path, file)
        try:
            await asyncio.to_thread(partial.resume)
            yield partial
        finally:
            with suppress(OSError):
                file.flush()
                if partial.size == 0 or not keep:
                    path.unlink(missing_ok=True)  # noqa: ASYNC240 - quick


def _lock(path: Path) -> BinaryIO | None:
    """The file, locked; None: another has it, or has just given it its place."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
    except OSError as error:
        raise StorageError.of(path.parent, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    file.close()
    return None
