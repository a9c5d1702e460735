"""Looks at one running server, through its /metrics."""

from __future__ import annotations

import time
from collections import deque
from http import HTTPStatus

from treadle.server_url import Access, NoServerError, NothingAnswersError, ServerUrl, refusal_of
from treadle.top.interval import compare
from treadle.top.scrape import Scrape, read_scrape
from treadle.top.sources import SourceError
from treadle.top.view import View

WINDOW = 60.0  # seconds at most that figures are of: those of a tenant's status are of the last minute, too
PATIENCE = 5.0
FIRST = 2.0  # seconds between the first two looks: before them nothing can be said

_FIX = "start one with: treadle serve -f FOLDER; or name another by --url, or a cluster by -n NAMESPACE or -A"


class ServerSource:
    """The server at `url`, as of the last minute, or since it is looked at."""

    def __init__(self, url: str, access: Access = Access()) -> None:  # noqa: B008 - frozen
        """Raises SourceError."""
        self._access = access
        try:
            self._server = ServerUrl(url, access)
        except NoServerError as error:
            raise SourceError(str(error)) from error
        self._scrapes: deque[Scrape] = deque()

    def look(self) -> View:
        """What happened up to now; the first time it takes `FIRST` seconds. Raises SourceError."""
        if not self._scrapes:
            self._scrapes.append(self._scrape())
            time.sleep(FIRST)
        self._scrapes.append(self._scrape())
        while len(self._scrapes) > 2 and self._scrapes[1].at <= self._scrapes[-1].at - WINDOW:
            self._scrapes.popleft()
        return compare(self._scrapes[0], self._scrapes[-1], str(self._server))

    def _scrape(self) -> Scrape:
        at = time.monotonic()
        try:
            status, body = self._server.get(f"{self._server.prefix}/metrics", PATIENCE)
        except NothingAnswersError as error:
            raise SourceError(f"{error}; {_FIX}") from error
        except NoServerError as error:
            raise SourceError(str(error)) from error
        if status != HTTPStatus.OK:
            said = body[:200].decode(errors="replace")
            fix = refusal_of(status, self._access) or "is it treadle's, and yours to see?"
            raise SourceError(f"{self._server}/metrics answered {status}: {said}; {fix}")
        try:
            return read_scrape(body.decode(errors="replace"), at)
        except ValueError as error:
            raise SourceError(f"{self._server}/metrics is no Prometheus text: {error}; is it treadle's?") from error
