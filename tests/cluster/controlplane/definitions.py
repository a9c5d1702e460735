"""Definitions of other projects' kinds that the chart has objects of: from their Go types, as those projects do it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.build import LAST_WORDS, build
from controlplane.components import DEFINITIONS_WRITER, MODULES
from controlplane.errors import BuildError
from controlplane.toolchain import Tell, go_environment

TYPES = "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
DEFINITIONS = ("monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml")


def write_definitions(go: Path, folder: Path, tell: Tell) -> None:
    """Write all `DEFINITIONS` into `folder`, where each appears at once and whole.

    Raises:
        UnavailableError: the modules cannot be fetched.
        BuildError: what writes them does not compile, or does not write them.
    """
    with TemporaryDirectory(dir=folder, prefix=".building-") as scratch:
        build(DEFINITIONS_WRITER, go, Path(scratch), tell)
        written = Path(scratch) / "definitions"
        path = f"{go.parent}{os.pathsep}{os.environ['PATH']}"  # it asks Go where the types are
        tell(f"writing {', '.join(DEFINITIONS)}")
        done = subprocess.run(
            [Path(scratch) / DEFINITIONS_WRITER.name, "crd", f"paths={TYPES}", f"output:crd:dir={written}"],
            cwd=MODULES / DEFINITIONS_WRITER.module,
            env={**go_environment(), "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        absent = [name for name in DEFINITIONS if not (written / name).is_file()]
        if done.returncode != 0 or absent:
            words = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_WORDS:])
            raise BuildError(f"{DEFINITIONS_WRITER.name} does not write {', '.join(absent or DEFINITIONS)}:\n{words}")
        for name in DEFINITIONS:
            (written / name).replace(folder / name)
