"""Programs that a harness needs of the machine: Debian's, installed where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping

from images.errors import UnavailableError

Tell = Callable[[str], None]

# Program → Debian's package of it. `runc` because what podman takes otherwise wants newer control groups.
PROGRAMS = {"buildah": "buildah", "podman": "podman", "runc": "runc", "mmdebstrap": "mmdebstrap"}
PATIENCE = 300  # seconds for another apt-get to end


def provide(tell: Tell, programs: Mapping[str, str] = PROGRAMS, purpose: str = "images are built by") -> None:
    """Install those of `programs` (each with Debian's package of it) that are missing.

    Raises:
        UnavailableError: that cannot be done here; with what to do.
    """
    absent = [program for program in programs if shutil.which(program) is None]
    if not absent:
        return
    packages = sorted({programs[program] for program in absent})
    what = f"{purpose} {', '.join(programs)}; missing here: {', '.join(absent)}"
    by_hand = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(f"{what}. As root on Debian: {by_hand}")
    tell(f"installing {', '.join(packages)}")
    apt = ["apt-get", "--quiet", "--quiet", "--yes", "--no-install-recommends", f"-oDPkg::Lock::Timeout={PATIENCE}"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", *packages]):
        done = subprocess.run(
            [*apt, *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines() or ["(it said nothing)"]
            raise UnavailableError(f"{what}; apt-get {words[0]} failed: {said[-1]}")
