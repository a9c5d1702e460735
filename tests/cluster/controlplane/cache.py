"""Where the binaries lie: outside the tree, in a folder for each set of versions."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.components import BINARIES, DEFINITIONS_WRITER, KUBERNETES, MODEL_SERVERS, digest
from controlplane.definitions import DEFINITIONS


def root() -> Path:
    """The folder of all versions."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "treadle" / "controlplane"


def folder() -> Path:
    """The folder of this tree's versions, which need not exist yet."""
    return root() / f"{KUBERNETES}-{digest()}"


def missing() -> tuple[str, ...]:
    """The binaries still to be built. They are renamed into place, so one that exists is whole."""
    there = folder()
    return tuple(name for name in BINARIES if not os.access(there / name, os.X_OK))


def servers_folder() -> Path:
    """The folder of this tree's servers of models, which need not exist yet."""
    return root() / f"model-servers-{digest(MODEL_SERVERS)}"


def missing_servers() -> tuple[str, ...]:
    """The servers of models still to be built."""
    there = servers_folder()
    return tuple(one.name for one in MODEL_SERVERS if not os.access(there / one.name, os.X_OK))


def definitions_folder() -> Path:
    """The folder of this tree's definitions of other projects' kinds, which need not exist yet."""
    return root() / f"definitions-{digest((DEFINITIONS_WRITER,))}"


def missing_definitions() -> tuple[str, ...]:
    """The definitions still to be written. They are renamed into place, too."""
    there = definitions_folder()
    return tuple(name for name in DEFINITIONS if not (there / name).is_file())


@contextmanager
def one_builder_at_a_time(tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the cache. The kernel lets go of it when its holder dies, however it dies."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"another build holds {lock.name}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
