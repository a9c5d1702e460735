"""The comparison's result as it stands in the JSON file."""

from __future__ import annotations

import msgspec

from treadle.bench.serving.report import Machine

OURS = "treadle"
YARDSTICK = "ONNX Runtime sessions from bytes"
FROM_FILES = "ONNX Runtime sessions from files"
TARGET = 0.6
AGREEMENT = 1e-3


class Held(msgspec.Struct, frozen=True):
    """What all processes of a server hold, in MB, memory that they share counted once: before the first model and
    after every model has answered. `anonymous_mb`: of the latter, what is not a page of a file that the system could
    drop and read again. `load_seconds`: to load one and answer, the median.
    """

    server: str
    empty_mb: float
    full_mb: float
    anonymous_mb: float
    load_seconds: float
    ratio: float  # of treadle's full_mb to this one's


class Report(msgspec.Struct, frozen=True):
    """`models` distinct models of `weights_mb` each, held by treadle and by others; `deviation`: the largest difference
    of answers, relative to the largest answer.
    """

    machine: Machine
    versions: dict[str, str]
    command: str
    date: str
    models: int
    model: str
    weights_mb: float
    held: tuple[Held, ...]
    deviation: float
    gpu_code_ran: bool = False

    @property
    def ratio(self) -> float:
        """Of treadle's memory to that of sessions from bytes, the yardstick of ADR 4."""
        return next(one.ratio for one in self.held if one.server == YARDSTICK)

    @property
    def reached(self) -> bool:
        """Whether memory is within the target, and answers agree."""
        return self.ratio <= TARGET and self.deviation < AGREEMENT
