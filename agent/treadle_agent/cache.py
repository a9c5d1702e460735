"""The folder on this machine where models, and what is compiled of them, are kept."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class CacheError(Exception):
    """Raised when the cache folder cannot be written; the message says what to do."""


def cache_folder() -> Path:
    """Where models and what is compiled of them are kept: ``$XDG_CACHE_HOME/treadle``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "treadle"


def check_cache(folder: Path) -> None:
    """Make `folder` where there is none, and a file in it, so that no tenant is the first to learn that it cannot be.

    Raises:
        CacheError: it cannot be made, or not be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheError(
            f"the cache folder {folder} cannot be written: {error.strerror or error}; make it writable, or set "
            "XDG_CACHE_HOME to a folder that is"
        ) from error
