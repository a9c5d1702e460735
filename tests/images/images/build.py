"""Builds the images."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path

from images import store
from images.base import make_base
from images.environment import secrets
from images.errors import BuildError
from images.recipe import TREE, Image, version
from images.tools import Tell

LAST_WORDS = 25  # lines of buildah's that an error quotes


def build(image: Image, tell: Tell) -> None:
    """Build it if this tree's is not there yet, and write its archive, which appears at once and whole.

    Raises:
        BuildError: a tool fails; with its last words.
    """
    start = time.monotonic()

    def say(what: str) -> None:
        tell(f"{image.name:<12} {time.monotonic() - start:4.0f} s  {what}")

    archive, bill = store.archive(image), store.bill(image)
    if archive.exists() and bill.exists() and store.is_there(store.local(image)):
        archive.touch()
        return
    base = make_base(say)
    with tempfile.TemporaryDirectory(prefix="treadle-images-") as folder:
        _bud(image, base, secrets(Path(folder)), say)
    say("writing its bill of materials, and its archive")
    _copy_bill(image, bill)
    whole = archive.with_suffix(".part")
    whole.unlink(missing_ok=True)
    # Pushed by its ID: by its name, the archive would have that name, too.
    found = store.said(
        store.buildah("inspect", "--type=image", "--format={{.FromImageID}}", store.local(image))
    ).strip()
    store.said(store.buildah("push", "--quiet", found, f"docker-archive:{whole}:{image.reference}"))
    whole.replace(archive)
    store.forget_the_oldest(image)
    say("done")


def _bud(image: Image, base: str, mounted: list[str], say: Tell) -> None:
    say("building")
    facts = {"BASE": base, "VERSION": version(), "REVISION": _revision()}
    arguments = [*(f"{key}={value}" for key, value in facts.items()), *image.arguments]
    command = store.buildah(
        "bud",
        "--isolation=chroot",
        "--pull-never",
        "--layers",
        "--format=docker",  # the other one has no health checks
        *(f"--build-arg={argument}" for argument in arguments),
        *mounted,
        f"--file={TREE / image.dockerfile}",
        f"--ignorefile={TREE / '.containerignore'}",
        f"--tag={store.local(image)}",
        str(TREE),
    )
    words: deque[str] = deque(maxlen=LAST_WORDS)
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                words.append(line.rstrip())
                if " STEP " in line:
                    say(" ".join(line.split())[:100])
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise BuildError(f"{image.dockerfile} does not build", "\n".join(words))


def _copy_bill(image: Image, path: Path) -> None:
    """Copy out what the image says is in it."""
    name = store.local(image)
    root = Path(store.said(store.podman("image", "mount", name)).strip())
    try:
        shutil.copyfile(root / image.bill, path)
    finally:
        store.said(store.podman("image", "unmount", name))


def _revision() -> str:
    """The commit that is checked out; a build of what no commit has says so."""
    git = ["git", "-C", str(TREE)]
    found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return "unknown"
    changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False).stdout
    return found.stdout.strip() + ("-changed" if changed else "")
