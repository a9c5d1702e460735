"""How long an answer needs from the device to its client: what is left of a deadline when the device may be done.

A busy event loop leaves an answer lying for several of its turns. A device that used up the whole deadline would then
answer everything just too late: earliest-deadline-first serves each request at its last moment once there is too much
to do. The estimate is that of TCP's retransmission timer (Jacobson 1988, "Congestion Avoidance and Control", §2): a
smoothed mean and deviation. It fades while nothing is answered: else what was once believed would shed everything.
"""

from __future__ import annotations

import math

MEAN_GAIN, DEVIATION_GAIN = 1 / 8, 1 / 4
DEVIATIONS = 4.0
HALF_LIFE = 0.1  # seconds
MOST_SHARE = 0.5  # of a deadline: beyond that it is better tried


class WayBack:
    """The front end's. Times in seconds of one clock."""

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        self._seen = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """An answer took `seconds` from the device to its response, which was written at `now`."""
        error = seconds - self._mean
        self._mean += MEAN_GAIN * error
        self._deviation += DEVIATION_GAIN * (abs(error) - self._deviation)
        self._seen = now

    def expected(self, now: float) -> float:
        """Seconds that hardly an answer will exceed."""
        faded = math.exp2(-max(0.0, now - self._seen) / HALF_LIFE)
        return (self._mean + DEVIATIONS * self._deviation) * faded

    def leave(self, arrival: float, deadline: float, waited: float, now: float) -> float:
        """When the device must be done, for a client to be answered in time.

        Args:
            arrival: when its request was read.
            deadline: when it wants its answer, had it asked then.
            waited: seconds that the request may have lain in its socket before.
            now: the time.
        """
        return deadline - min(waited + self.expected(now), MOST_SHARE * (deadline - arrival))
