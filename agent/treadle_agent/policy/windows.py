"""When a launch may begin, and how long it will take: what a scheduler decides from (Jain et al. 2019, §5)."""

from __future__ import annotations

from typing import NamedTuple


class LaunchWindow(NamedTuple):
    """Seconds of one clock: before `earliest` its inputs are not there; begun after `latest` it ends too late."""

    earliest: float
    latest: float
    expected_duration: float

    def slack(self, now: float) -> float:
        """How long the launch can still wait; negative once it is too late."""
        return self.latest - now
