"""Real models that ship inside PyPI wheels: fetched by pip once, kept outside the tree, read as archives.

Neither package is installed: only the model files inside are wanted, and rapidocr_onnxruntime refuses new Pythons.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

FETCH_SECONDS = 300


class WheelUnavailableError(Exception):
    """Raised when a wheel is neither kept from before nor to be had from the package index."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A released wheel: a version never changes, so it is fetched once."""

    name: str
    version: str


MAGIKA = Wheel("magika", "1.0.3")
MAGIKA_MODEL = "magika/models/standard_v3_3/model.onnx"
MAGIKA_CONFIG = "magika/models/standard_v3_3/config.min.json"
RAPIDOCR = Wheel("rapidocr_onnxruntime", "1.4.4")
RAPIDOCR_CLASSIFIER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
RAPIDOCR_RECOGNIZER = "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"


def cache_folder() -> Path:
    """Where wheels are kept: ``$XDG_CACHE_HOME/treadle/wheels``, by default under ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "treadle" / "wheels"


def fetch(wheel: Wheel, cache: Path | None = None) -> Path:
    """The folder that keeps `wheel`, fetched where it is not yet; raises WheelUnavailableError."""
    folder = (cache or cache_folder()) / f"{wheel.name}-{wheel.version}"
    if any(folder.glob("*.whl")):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder.parent, ignore_cleanup_errors=True) as fetching:
        made = Path(fetching) / "wheel"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--ignore-requires-python", "--only-binary=:all:", "--dest", str(made)]
        try:
            subprocess.run(
                [*command, f"{wheel.name}=={wheel.version}"],
                check=True,
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            reason = (error.stderr.strip().splitlines() or ["pip failed"])[-1]
            raise WheelUnavailableError(f"{wheel.name} {wheel.version} cannot be fetched: {reason}") from error
        except subprocess.TimeoutExpired as error:
            raise WheelUnavailableError(
                f"{wheel.name} {wheel.version} was not fetched within {FETCH_SECONDS} s"
            ) from error
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not any(folder.glob("*.whl")):
                raise
    return folder


def member(wheel: Wheel, name: str, cache: Path | None = None) -> Path:
    """A file inside a wheel, kept beside the wheel; raises WheelUnavailableError, KeyError when there is none."""
    folder = fetch(wheel, cache)
    path = folder / name
    if not path.exists():
        (archive,) = folder.glob("*.whl")
        with zipfile.ZipFile(archive) as content:
            data = content.read(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(data)
        Path(file.name).replace(path)
    return path
