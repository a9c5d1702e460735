"""MLServer's own virtual environment: made once, kept in the user's cache, named by what it holds."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

_REQUIREMENTS = Path(__file__).with_name("mlserver-requirements.txt")
_NEWEST_PYTHON = (3, 12)  # MLServer 1.7 requires Python < 3.13


class EnvironmentMissingError(RuntimeError):
    """Raised when MLServer's environment cannot be made here."""


async def mlserver_python() -> Path:
    """Python of an environment with MLServer and our version of ONNX Runtime; made in about a minute if missing."""
    if sys.version_info[:2] > _NEWEST_PYTHON:
        raise EnvironmentMissingError("MLServer 1.7 needs Python 3.12 or older")
    requirements = _REQUIREMENTS.read_text() + f"onnxruntime=={version('onnxruntime')}\n"
    digest = hashlib.sha256(f"{sys.version}{requirements}".encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "treadle" / "bench"
    folder = cache / f"mlserver-{digest}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():  # an interrupted attempt is begun anew
        shutil.rmtree(folder, ignore_errors=True)
        await _run(sys.executable, "-m", "venv", str(folder))
        with tempfile.TemporaryDirectory() as scratch:
            listed = Path(scratch) / "requirements.txt"
            listed.write_text(requirements)
            await _run(str(python), "-m", "pip", "install", "--quiet", "-r", str(listed))
        complete.touch()
    return python


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    output = await process.stdout.read()
    if await process.wait():
        raise EnvironmentMissingError(f"{' '.join(command)}: {output.decode(errors='replace')[-1000:]}")
