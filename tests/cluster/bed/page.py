"""What a page of the documentation has its readers type, and what comes of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

LONGEST = 250.0  # seconds that a page's lines may take


def blocks(page: Path, language: str) -> list[str]:
    """The page's blocks of a language, `|` between several, as they stand."""
    return re.findall(rf"^```(?:{language})\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def lines(block: str) -> list[str]:
    """A shell block's lines, without prompts and comments."""
    bare = [line.removeprefix("$ ").partition(" #")[0].strip() for line in block.splitlines()]
    return [line for line in bare if line]


def in_a_shell(
    *typed: str, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What comes of lines that are typed in `folder`: the first that fails is the last, and stderr repeats them."""
    script = "\n".join(["set -euo pipefail", *typed])
    command = ["bash", "-x", "-c", script]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST, check=False
    )
