"""When an agent that was asked to stop may go: once its tenants are elsewhere, or it was given all its time. Pure."""

from __future__ import annotations

from math import inf

LINGER_SECONDS = 3.0  # after the last tenant: those who follow its endpoints, like kube-proxy, know within a second


class Departure:
    """One agent's; `until` is when it goes in any case, in seconds of any clock."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._served_at = -inf

    def is_over(self, *, serves: bool, now: float) -> bool:
        """Look at it at `now`; `serves`: whether any tenant is still answered here."""
        if serves:
            self._served_at = now
        return now >= self._until or now - self._served_at >= LINGER_SECONDS
