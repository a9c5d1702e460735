"""Helm, with nothing of the user's own configuration: the chart rendered, installed and removed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from bed.cluster import SYSTEM_NAMESPACE, TREE, Cluster

CHART = TREE / "charts" / "treadle"
RELEASE = "treadle"

Values = dict[str, Any]
Manifest = dict[str, Any]


class HelmError(Exception):
    """Raised when helm exits with an error; its words are what helm wrote to stderr."""


class Helm:
    """Runs helm against a cluster, as its administrator; `environment`: of a shell to type it in, and kubectl."""

    def __init__(self, binaries: Path, cluster: Cluster) -> None:
        self._binary = binaries / "helm"
        folder = cluster.folder / "helm"
        homes = {f"HELM_{part}_HOME": str(folder / part.lower()) for part in ("CACHE", "CONFIG", "DATA")}
        self.environment = {**cluster.environment(PATH=f"{binaries}:{os.environ['PATH']}"), **homes}

    def __call__(self, *arguments: str | Path, values: Values | None = None, seconds: float = 120.0) -> str:
        """What `helm ARGUMENTS` prints; `values` are given as its values file.

        Raises:
            HelmError: it exits with an error.
        """
        given = [] if values is None else ["--values", "-"]
        done = subprocess.run(
            [self._binary, *arguments, *given],
            env=self.environment,
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr.strip())
        return done.stdout

    def render(self, values: Values | None = None, *options: str) -> list[Manifest]:
        """The objects that the chart makes of these values."""
        text = self("template", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, *options, values=values or {})
        return [document for document in yaml.safe_load_all(text) if document]
