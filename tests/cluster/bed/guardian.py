"""Ends what a harness started once the harness is gone: `python guardian.py MARK FOLDER`, with a pipe as stdin.

The other end of the pipe is the harness's alone, so the end of file comes when it closes it or dies, by SIGKILL too.
Everything it started carries the mark in its environment, and so does what that started in turn: nothing has to be
reported, and nothing is missed in between. Then the control groups named like the folder go, where there are any, with
what is still in them, and the folder. Runs as a script, hence the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

PATIENCE = 30.0  # seconds for killed processes to go; one that waits for a disk cannot at once

QUIET = 0.2  # seconds without a sight of any

CONTROL_GROUPS = Path("/sys/fs/cgroup")


def marked(mark: str) -> list[int]:
    """The processes whose environment holds `mark` ("NAME=VALUE"), as they were started."""
    wanted, found = mark.encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def end_all(mark: str) -> None:
    """Kill all that carry the mark, until no look finds any for a while: a process between fork and exec shows none."""
    end = time.monotonic() + PATIENCE
    last_seen = time.monotonic()
    while time.monotonic() < min(end, last_seen + QUIET):
        for process in marked(mark):
            last_seen = time.monotonic()
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def control_groups(name: str) -> list[Path]:
    """Those of that name at the root of a hierarchy."""
    return [path for path in (CONTROL_GROUPS / name, *CONTROL_GROUPS.glob(f"*/{name}")) if path.is_dir()]


def remove_control_groups(name: str) -> None:
    """Kill what is left in them, and remove them; the kernel lets go of them some time after the last process."""
    end = time.monotonic() + PATIENCE
    while (groups := control_groups(name)) and time.monotonic() < end:
        for group in groups:
            for inner, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    for process in (Path(inner) / "cgroup.procs").read_text().split():
                        os.kill(int(process), signal.SIGKILL)
                with contextlib.suppress(OSError):
                    Path(inner).rmdir()
        time.sleep(0.02)


def main(mark: str, folder: str) -> None:
    """Wait for the harness to be gone, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 1):
        pass
    end_all(mark)
    remove_control_groups(Path(folder).name)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
