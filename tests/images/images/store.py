"""Where images lie: outside the tree, in a store of their own, with an archive of each beside it."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from images.errors import BuildError
from images.recipe import Image, digest

LAST_WORDS = 25  # lines of a tool's that an error quotes
KEPT = 4  # archives of one image: several branches may be worked on
MOST_BYTES = 16 << 30  # a store that has outgrown them is begun anew


def root() -> Path:
    """The folder of it all."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache).resolve() / "treadle" / "images"


def archive(image: Image) -> Path:
    """The archive of this tree's image, in the format that `docker load`, podman and containerd take."""
    return root() / f"treadle-{image.name}-{digest(image)}.tar"


def bill(image: Image) -> Path:
    """Its software bill of materials, as it is in the image."""
    return archive(image).with_suffix(".cdx.json")


def local(image: Image) -> str:
    """Its name in the store: other trees' images lie there, too."""
    return f"{image.repository}:{image.name}-{digest(image)}"


def _options() -> list[str]:
    # What is mounted now is noted where a restart of the machine forgets it.
    volatile = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "treadle-images"
    return [f"--root={root() / 'store'}", f"--runroot={volatile}", "--storage-driver=overlay", "--log-level=error"]


def buildah(*words: str) -> list[str]:
    """The command line of buildah on the store."""
    return ["buildah", *_options(), *words]


def podman(*words: str) -> list[str]:
    """The command line of podman on the store."""
    volatile = Path(os.environ.get("XDG_RUNTIME_DIR") or "/run") / "treadle-images"
    engine = [f"--tmpdir={volatile / 'podman'}", "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file"]
    return ["podman", *_options(), *engine, *words]


def said(command: Sequence[str]) -> str:
    """What a command prints.

    Raises:
        BuildError: it fails.
    """
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-LAST_WORDS:]
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}", "\n".join(words))
    return done.stdout


def is_there(name: str) -> bool:
    """Whether the store has an image of that name."""
    return subprocess.run(buildah("inspect", "--type=image", name), capture_output=True, check=False).returncode == 0


@contextmanager
def held(tell: Callable[[str], None], *, alone: bool) -> Iterator[None]:
    """Hold the store: `alone` to change it, else to run what is in it. The kernel lets go of it for a dead holder."""
    root().mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    with (root() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"another run holds {lock.name}; waiting for it")
            fcntl.flock(lock, kind)
        yield


def forget_the_oldest(image: Image) -> None:
    """Remove all but the archives used last, with their images."""
    archives = sorted(
        root().glob(f"treadle-{image.name}-" + "[0-9a-f]" * 12 + ".tar"), key=lambda path: -path.stat().st_mtime
    )
    for old in archives[KEPT:]:
        tag = old.stem.removeprefix("treadle-")
        subprocess.run(buildah("rmi", f"{image.repository}:{tag}"), capture_output=True, check=False)
        old.with_suffix(".cdx.json").unlink(missing_ok=True)
        old.unlink()


def keep_in_bounds(tell: Callable[[str], None]) -> None:
    """Begin the store anew if it has outgrown its bounds; archives stay, since they are bounded by their number."""
    used = int(said(["du", "--summarize", "--block-size=1", str(root() / "store")]).split()[0])
    if used > MOST_BYTES:
        tell(f"the store has {used >> 30} GiB; beginning it anew")
        said(buildah("rmi", "--all", "--force"))
