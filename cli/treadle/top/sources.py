"""Where a view comes from."""

from __future__ import annotations

from typing import Protocol

from treadle.top.view import View


class SourceError(Exception):
    """Raised when there is nothing to show; the message says what cannot be reached, and what to do."""


class Source(Protocol):
    """A server, or a cluster."""

    def look(self) -> View:
        """What it tells now; raises SourceError."""
