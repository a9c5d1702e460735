"""Why a request is not answered with tensors: each condition is a class, and becomes ``{"error": message}``."""

from __future__ import annotations

from typing import ClassVar

from treadle_agent.metrics import RequestOutcome
from treadle_callers.bearer import challenge


class RequestError(Exception):
    """Raised when a request ends with an error response; subclasses name the condition.

    `outcome` is what the tenant's service-level indicator counts; None where the request never became the tenant's
    work: the client has to change it, and no objective can be kept for it.
    """

    status: ClassVar[int] = 500
    outcome: ClassVar[RequestOutcome | None] = None
    retry_after: ClassVar[int | None] = None  # seconds
    headers: str = ""  # further header lines
    abort: ClassVar[bool] = False  # close the connection without reading the rest of the request


class BadRequestError(RequestError):
    """Raised when a request does not fit the protocol or the model; the message says what was expected."""

    status = 400


class DamagedBodyError(BadRequestError):
    """Raised when a body's framing is damaged: where the next request would begin is not known."""

    abort = True


class UnauthenticatedError(RequestError):
    """Raised when nobody is known by the token of a request, or it has none; `code` is RFC 6750's, section 3.1."""

    status = 401

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.headers = f"WWW-Authenticate: {challenge(code)}\r\n"


class ForbiddenError(RequestError):
    """Raised when this is not for whoever asks."""

    status = 403


class NotFoundError(RequestError):
    """Raised when no such path, tenant or version is served."""

    status = 404


class MethodError(RequestError):
    """Raised when a path does not know the request's method."""

    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not allowed here; use {allowed}")
        self.headers = f"Allow: {allowed}\r\n"


class SlowClientError(RequestError):
    """Raised when a body does not arrive in time."""

    status = 408


class ConflictError(RequestError):
    """Raised when what is asked for is being done for somebody else."""

    status = 409


class TooLargeError(RequestError):
    """Raised when a body, or a part of it, exceeds a limit of `FrontEndSettings`, or a request the device's memory."""

    status = 413


class BusyError(RequestError):
    """Raised when the tenant's queue, or the memory for requests, is full."""

    status = 429
    outcome = RequestOutcome.SHED
    retry_after = 1


class ModelFailedError(RequestError):
    """Raised when the model failed on a well-formed request."""

    status = 500
    outcome = RequestOutcome.ERROR


class ShedError(RequestError):
    """Raised when a request cannot meet its deadline any more."""

    status = 503
    outcome = RequestOutcome.SHED
    retry_after = 1


class TooManyRequestsError(ShedError):
    """Raised when more requests arrive than the event loop can carry."""

    def __init__(self) -> None:
        super().__init__("more requests arrive than this node can take in; try again, or another replica")


class FullOfBodiesError(RequestError):
    """Raised when the memory for arriving bodies is full."""

    status = 503
    outcome = RequestOutcome.SHED
    retry_after = 1


class NotReadError(RequestError):
    """Raised when the process that reads large requests has ended."""

    status = 503
    outcome = RequestOutcome.SHED
    retry_after = 1


class NotServedYetError(RequestError):
    """Raised when the tenant is known and no version of it serves."""

    status = 503
    outcome = RequestOutcome.SHED
    retry_after = 1


class NoReviewError(RequestError):
    """Raised when nobody answers whether a caller may do this: then it may not."""

    status = 503
    retry_after = 1


class NoTimelineError(RequestError):
    """Raised when the executor ended while a timeline was recorded, or could not write it."""

    status = 503
    retry_after = 1


class HeadTooLargeError(RequestError):
    """Raised when a request line or a header field exceeds `max_header_bytes`."""

    status = 431


class TooManyConnectionsError(RequestError):
    """Raised when `max_connections` are open."""

    status = 503
    retry_after = 1
