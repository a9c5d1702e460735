"""Noticing that manifests or models changed, by looking: works on every file system, and through symlinks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from treadle.manifests import manifest_files

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.2

# A file's identity: replacing it by rename or symlink changes the inode, writing in place the times.
Mark = tuple[int, int, int, int, int]
Fingerprint = tuple[tuple[str, Mark | None], ...]


def fingerprint(path: Path) -> Fingerprint | None:
    """What the manifests of a file or folder look like from outside; None while they cannot be listed."""
    try:
        return tuple((str(file), mark) for file, mark in marks(manifest_files(path)).items())
    except OSError:
        return None


def marks(files: Iterable[Path]) -> Mapping[Path, Mark | None]:
    """What each of these files looks like from outside; None for one that is not there."""
    found: dict[Path, Mark | None] = {}
    for file in files:
        try:
            found[file] = _mark(file.stat())
        except (OSError, ValueError):  # the latter for a name that no file can have
            found[file] = None
    return found


async def changes(path: Path, seen: Fingerprint | None) -> AsyncIterator[None]:
    """Yields whenever the manifests differ from what they were before, or cannot be listed any more, once that stays so
    for a moment.

    An editor that truncates and then writes would otherwise delete its tenants for an instant.
    """
    while True:
        await asyncio.sleep(POLL_SECONDS)
        now = await asyncio.to_thread(fingerprint, path)
        if now == seen:
            continue
        await asyncio.sleep(SETTLE_SECONDS)
        if now == await asyncio.to_thread(fingerprint, path):
            seen = now
            yield


def _mark(stat: os.stat_result) -> Mark:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
