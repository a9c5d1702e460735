"""A running server, as commands ask it."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

DEFAULT_URL = "http://127.0.0.1:8080"  # of `treadle serve`


class NoServerError(Exception):
    """Raised when nobody can be asked: the URL is none, or nothing answers there; the message says which."""


class ServerUrl:
    """The server at a URL. `prefix`: the URL's own path, "" where it has none."""

    def __init__(self, url: str) -> None:
        """Raises NoServerError."""
        wrong = NoServerError(f"--url {url}: must be like {DEFAULT_URL}")
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise wrong from None
        if parts.scheme != "http" or parts.hostname is None:
            raise wrong
        self._url = url.rstrip("/")
        self._host = parts.hostname
        self.prefix = parts.path.rstrip("/")

    def __str__(self) -> str:
        return self._url

    def get(self, path: str, patience: float) -> tuple[int, bytes]:
        """The status and the body of one answer, for which `patience` is the seconds that each step may take.

        Raises:
            NoServerError: there is none.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=patience)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise NoServerError(f"no server answers at {self}: {error}") from error
        finally:
            connection.close()
