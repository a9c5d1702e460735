"""Noticing that manifests changed, by looking: works on every file system, and through a ConfigMap's symlinks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from treadle.manifests import manifest_files

POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.2

# Every file's name and identity: replacing a file by rename or symlink changes the inode, writing in place the times.
Fingerprint = tuple[tuple[str, int, int, int, int, int], ...]


def fingerprint(path: Path) -> Fingerprint | None:
    """What the manifests of a file or folder look like from outside; None while they cannot be listed."""
    try:
        found = ((str(file), file.stat()) for file in manifest_files(path))
        return tuple(
            (name, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in found
        )
    except OSError:
        return None  # a file went away between listing and looking, or the folder is being replaced


async def changes(path: Path, seen: Fingerprint | None) -> AsyncIterator[None]:
    """Yields whenever the manifests differ from what they were before, once they stay the same for a moment.

    An editor that truncates and then writes would otherwise delete its tenants for an instant.
    """
    while True:
        await asyncio.sleep(POLL_SECONDS)
        now = await asyncio.to_thread(fingerprint, path)
        if now == seen:
            continue
        await asyncio.sleep(SETTLE_SECONDS)
        if now is not None and now == await asyncio.to_thread(fingerprint, path):
            seen = now
            yield
