"""Looks at one running server, through its /metrics."""

from __future__ import annotations

import http.client
import time
from collections import deque
from urllib.parse import urlsplit

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

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise SourceError(f"--url {url}: must be like http://127.0.0.1:8080")
        self._url = url.rstrip("/")
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._scrapes: deque[Scrape] = deque()

    def look(self) -> View:
        """What happened up to now; the first time it takes `FIRST` seconds. Raises SourceError."""
        if not self._scrapes:
            self._scrapes.append(self._scrape())
            time.sleep(FIRST)
        self._scrapes.append(self._scrape())
        while len(self._scrapes) > 2 and self._scrapes[1].at <= self._scrapes[-1].at - WINDOW:
            self._scrapes.popleft()
        return compare(self._scrapes[0], self._scrapes[-1], self._url)

    def _scrape(self) -> Scrape:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            connection.request("GET", f"{self._path}/metrics")
            at = time.monotonic()
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise SourceError(f"no server answers at {self._url}: {error}; {_FIX}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            said = body[:200].decode(errors="replace")
            raise SourceError(
                f"{self._url}/metrics answered {response.status}: {said}; is it treadle's, and yours to see?"
            )
        try:
            return read_scrape(body.decode(errors="replace"), at)
        except ValueError as error:
            raise SourceError(f"{self._url}/metrics is no Prometheus text: {error}; is it treadle's?") from error
