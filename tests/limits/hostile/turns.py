"""How long the server's event loop has worked without a pause: what a request waits for on a machine of its own.

In seconds of the processor, so that what else this machine does hardly counts. `python -m hostile.turns FILE serve …`
is `treadle serve …` that notes its longest in a file.
"""

from __future__ import annotations

import mmap
import struct
import sys
from pathlib import Path
from unittest.mock import patch

from treadle.__main__ import main
from treadle_agent.frontend import app
from treadle_agent.frontend.turn import TurnLength

_SECONDS = struct.Struct("d")


class Turns:
    """The file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            file.write_bytes(bytes(_SECONDS.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _SECONDS.size)

    @property
    def longest(self) -> float:
        """Seconds of the longest turn since `forget`."""
        seconds: float = _SECONDS.unpack(self._memory[:])[0]
        return seconds

    def forget(self) -> None:
        """Begin anew."""
        self.note(0.0)

    def note(self, seconds: float) -> None:
        """Have this one be the longest."""
        self._memory[:] = _SECONDS.pack(seconds)


class NotingTurnLength(TurnLength):
    """Notes the longest."""

    turns: Turns

    def _look(self) -> None:
        before = self._worked
        late = self._loop.time() - self._due
        super()._look()
        turn = min(late, self._worked - before)
        if turn > self.turns.longest:
            self.turns.note(turn)


if __name__ == "__main__":
    NotingTurnLength.turns = Turns(Path(sys.argv[1]))
    with patch.object(app, "TurnLength", NotingTurnLength):
        sys.exit(main(sys.argv[2:]))
