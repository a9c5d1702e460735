"""Why a model cannot be had; each message is for its owner."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from treadle_api.replica import LoadedReason


class FetchError(Exception):
    """Raised when a model cannot be had; the message is for its owner.

    `field` is the member of `model` at fault, `cause` the condition's reason.
    """

    field = "uri"
    cause: LoadedReason


class NotFoundError(FetchError):
    """Raised when there is no such file, or it cannot be read."""

    cause = LoadedReason.MODEL_NOT_FOUND


class UnreachableError(FetchError):
    """Raised when the model's server cannot be reached, or breaks off; a later try may succeed."""

    cause = LoadedReason.MODEL_UNREACHABLE


class TooSlowError(UnreachableError):
    """Raised when a download is slower than the store's least rate."""


class RangeError(UnreachableError):
    """Raised when the file on the server ends before the part of it that is missing here; it is to be fetched anew."""


class RefusedByServerError(FetchError):
    """Raised when the model's server answers with an error, or points to a place that is not allowed."""

    cause = LoadedReason.MODEL_REFUSED


class NotAllowedError(FetchError):
    """Raised when models may not come from there: a host or a folder that the administrator does not list."""

    cause = LoadedReason.MODEL_REFUSED


class TooLargeError(FetchError):
    """Raised when the file is larger than the store's limit."""

    cause = LoadedReason.MODEL_TOO_LARGE


class DigestError(FetchError):
    """Raised when the file is not the one whose sha256 the manifest gives."""

    field = "sha256"
    cause = LoadedReason.DIGEST_MISMATCH


class StorageError(FetchError):
    """Raised when the store's own folder cannot be written: no fault of the model's owner."""

    cause = LoadedReason.STORAGE_FAILED

    @classmethod
    def of(cls, folder: Path, error: OSError) -> Self:
        """What the system says of a folder."""
        return cls(f"the model store {folder} cannot be written: {error.strerror or error}")
