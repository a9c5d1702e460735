"""How a request to the API server can fail."""

from __future__ import annotations

from treadle_api.units import Seconds


class ApiError(Exception):
    """Raised when the API server refuses a request, or does not answer it; `code` is the HTTP status or 0."""

    code = 0


class UnreachableError(ApiError):
    """Raised when there is no answer: no connection, a broken one, or a timeout."""


class TimedOutError(UnreachableError):
    """Raised when the answer takes too long: of the API server, or of a webhook that it asks about this one object."""


class BusyError(ApiError):
    """Raised when the API server cannot answer now (429, 502 to 504); `retry_after`: the earliest time to try again."""

    def __init__(self, code: int, message: str, retry_after: Seconds) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retry_after = retry_after


class RefusedError(ApiError):
    """Raised when the API server will not do it: `code` is the HTTP status, `reason` Kubernetes' word for it.

    500 is among them: it says that *this* request failed, because of a webhook that is broken, say.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(f"{code} {reason}".rstrip() + f": {message}")
        self.code = code
        self.reason = reason


class NotFoundError(RefusedError):
    """Raised when there is no such object, or no such kind (404)."""


class ConflictError(RefusedError):
    """Raised when the object is not what the request took it for, or exists already (409)."""


class ExpiredError(RefusedError):
    """Raised when a list's next page is asked for too late (410)."""


class StaleError(Exception):
    """Raised when an object is not as the plan took it to be; the mirror knows better by now."""


class NoEffectError(Exception):
    """Raised when the API server took a change, and the object is as it was: another's fields stand against it."""


_BY_CODE: dict[int, type[RefusedError]] = {404: NotFoundError, 409: ConflictError, 410: ExpiredError}
_BUSY = frozenset({429, 502, 503, 504})


def error_of(code: int, reason: str, message: str, retry_after: Seconds) -> ApiError:
    """The error that an HTTP status other than 2xx stands for."""
    if code in _BUSY:
        return BusyError(code, message, retry_after)
    return _BY_CODE.get(code, RefusedError)(code, reason, message)
