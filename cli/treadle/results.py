"""What a benchmark or a simulation leaves: a table on the console, and a file."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from rich.console import Console


def unwritable(path: Path) -> str:
    """Why a file cannot be written at `path`, or "" where it can; folders that are missing are made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.exists()
        path.open("ab").close()
        if not known:
            path.unlink()
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    return ""


def page_console(width: int) -> Console:
    """The terminal, or a page of `width` characters where the output goes somewhere else."""
    console = Console()
    return console if console.is_terminal else Console(width=width)


def result_text(report: msgspec.Struct) -> bytes:
    """A report as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)


def write_result(path: Path, report: msgspec.Struct) -> None:
    """Write a report's `result_text`, and say where; folders that are missing are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(result_text(report))
    print(f"written: {path}", file=sys.stderr)
