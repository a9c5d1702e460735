"""How long the demo may take. A machine with neighbours may take longer: that is told, and may be tried again."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SECONDS = 25.0  # of the main run
TRAINING_LIMIT = 20.0  # seconds for all models
LIMIT = 90.0  # seconds from the command's start to its last line, with a main run of DEFAULT_SECONDS


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of the wall clock: of the training (nan where it did not end), and of the whole demo."""

    training: float
    in_all: float


def too_slow(timings: Timings, seconds: float) -> list[str]:
    """What took longer than promised; a main run of more `seconds` than by default may take as long as it likes."""
    found = []
    if timings.training > TRAINING_LIMIT:
        found.append(f"too slow: training took {timings.training:.1f} s, more than {TRAINING_LIMIT:.0f} s")
    if seconds <= DEFAULT_SECONDS and timings.in_all > LIMIT:
        found.append(f"too slow: the demo took {timings.in_all:.1f} s in all, more than {LIMIT:.0f} s")
    return found
