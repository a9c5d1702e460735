"""Everything a harness starts hangs on its lifeline, and ends with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from bed import guardian

VARIABLE = "TREADLE_BED"
ENDING = 2 * guardian.PATIENCE + 30.0  # seconds


class Lifeline:
    """A folder for a harness's files, and an environment for its processes: both last as long as the harness does.
    So do control groups that are named like the folder.

    Closing it and dying without closing it are the same to the guardian, so that the way out after a SIGKILL is the one
    that every run takes.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="treadle-bed-"))
        self.mark = f"{VARIABLE}={secrets.token_hex(8)}"
        theirs, self._ours = os.pipe()
        try:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, self.mark, str(self.folder)],
                stdin=theirs,
                env={name: value for name, value in os.environ.items() if name != VARIABLE},
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment, with the mark and `more`."""
        name, _, value = self.mark.partition("=")
        return {**os.environ, name: value, **more}

    def processes(self) -> list[int]:
        """What hangs on it and still runs."""
        return guardian.marked(self.mark)

    def close(self) -> None:
        """End every process and remove the folder."""
        os.close(self._ours)
        self._guardian.wait(ENDING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
