"""Containers as a strict cluster runs them: nothing can be written but what is mounted, and no capability is held."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from images import store
from images.recipe import Image

LONGEST = 300  # seconds: however a harness ends, no container outlives that
# The health check has no timer here, which podman asks systemd for. The limits are below what the machine may be held
# to: a container cannot raise them.
STRICT = (
    "--rm",
    f"--timeout={LONGEST}",
    "--no-healthcheck",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=20000:20000",
    "--ulimit=nproc=5000:5000",
)


def run(
    image: Image,
    name: str,
    *words: str,
    entrypoint: str | None = None,
    network: str = "none",
    writable: Sequence[str] = (),
    mounted: Mapping[Path, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[str]:
    """The command line that runs a container in the foreground, with its exit code.

    Args:
        image: what to run.
        name: the container's.
        words: its arguments.
        entrypoint: in place of the image's.
        network: `none`, or `host`.
        writable: folders with nothing in them that can be written.
        mounted: files and folders to read, by where they are on this machine.
        environment: more variables.
    """
    options = [f"--name={name}", f"--network={network}", *(f"--tmpfs={folder}" for folder in writable)]
    options += [f"--volume={path}:{place}:ro" for path, place in (mounted or {}).items()]
    options += [f"--env={key}={value}" for key, value in (environment or {}).items()]
    if entrypoint is not None:
        options.append(f"--entrypoint={entrypoint}")
    return store.podman("run", *STRICT, *options, store.local(image), *words)


def said(image: Image, name: str, script: str) -> str:
    """What a shell script prints in a container of its own; both outputs, whatever its exit code."""
    command = run(image, name, "-c", script, entrypoint="/bin/sh")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


def facts(image: Image) -> dict[str, Any]:
    """What the store knows of an image."""
    (found,) = json.loads(store.said(store.podman("inspect", "--type=image", store.local(image))))
    return dict(found)


def check_health(image: Image, name: str) -> bool:
    """Run the image's own health check in a running container of it, as a timer would."""
    kind, *command = facts(image)["Healthcheck"]["Test"]
    assert kind == "CMD", "a health check that needs a shell"
    done = subprocess.run(store.podman("exec", name, *command), capture_output=True, check=False, timeout=30)
    assert done.returncode in (0, 1), f"it does not run: {done.stderr.decode()}"
    return done.returncode == 0
