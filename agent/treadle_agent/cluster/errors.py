"""How a request to the API server ends when it does not succeed."""

from __future__ import annotations


class KubeError(Exception):
    """Raised when the API server does not do what it was asked for."""


class UnreachableError(KubeError):
    """Raised when there is no answer: no connection, one that went dead, or a server that cannot now (429, 5xx)."""


class RefusedError(KubeError):
    """Raised when the API server will not do it; `status` is HTTP's, and the message Kubernetes' own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class NotFoundError(RefusedError):
    """Raised when there is no such object, or no such kind: are treadle's definitions applied? (404)."""


class ConflictError(RefusedError):
    """Raised when the object exists already, or has changed since it was read (409)."""


class ExpiredError(RefusedError):
    """Raised when what happened since a resource version is no longer known: list again (410)."""


_BY_STATUS: dict[int, type[RefusedError]] = {404: NotFoundError, 409: ConflictError, 410: ExpiredError}


def error_of(status: int, message: str) -> KubeError:
    """The error that an HTTP status other than 2xx stands for."""
    if status == 429 or status >= 500:
        return UnreachableError(f"{status}: {message}")
    return _BY_STATUS.get(status, RefusedError)(status, message)
