"""From a model's URI to a verified local file; downloads lie in a content-addressed folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp

from treadle_agent.settings import ModelStoreSettings
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Model

Progress = Callable[[int, int | None], None]  # bytes so far, and in all where the server said so

_CHUNK_BYTES = 1 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


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


class RefusedByServerError(FetchError):
    """Raised when the model's server answers with an error, or points to a place that is not allowed."""

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


class ModelStore:
    """Fetches models into `folder`; any number of fetches, and processes, may share it."""

    def __init__(
        self,
        folder: Path,
        settings: ModelStoreSettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """`ssl_context` replaces the system's trust, which the variable SSL_CERT_FILE names."""
        self._folder = folder
        self._settings = settings or ModelStoreSettings()
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._downloads = asyncio.Semaphore(self._settings.concurrent_downloads)

    async def fetch(self, model: Model, progress: Progress | None = None) -> Path:
        """The local file of a model, of the digest that the manifest gives where it gives one.

        A local file is used where it lies, since a model may keep its weights in files beside it. A download is kept
        as ``SHA256.onnx``; one that is there already, undamaged, is not fetched again.

        Raises:
            FetchError: one of the above.
        """
        if (path := local_path(model.uri)) is not None:
            await asyncio.to_thread(self._check_local, path, model.sha256)
            return path
        if model.sha256 is not None and await asyncio.to_thread(_is_whole, self._place(model.sha256), model.sha256):
            return self._place(model.sha256)
        return await self._download_patiently(model, progress or _ignore)

    def _place(self, digest: str) -> Path:
        return self._folder / f"{digest}.onnx"

    def _check_local(self, path: Path, expected: str | None) -> None:
        try:
            if not path.is_file():
                raise NotFoundError(f"there is no file {path}" if not path.exists() else f"{path} is not a file")
            self._check_size(path.stat().st_size)
            found = _digest(path) if expected is not None else None
        except OSError as error:
            raise NotFoundError(f"{path} cannot be read: {error.strerror}") from error
        if found != expected:
            raise DigestError(_mismatch(str(path), str(found), str(expected)))

    def _check_size(self, size: int) -> None:
        if size > self._settings.most_bytes:
            raise TooLargeError(f"the model has {size} bytes, the limit is {self._settings.most_bytes}")

    async def _download_patiently(self, model: Model, progress: Progress) -> Path:
        for attempt in range(1, self._settings.attempts + 1):
            try:
                async with self._downloads:
                    return await self._download(model, progress)
            except TooSlowError:
                raise
            except UnreachableError:
                if attempt == self._settings.attempts:
                    raise
                await asyncio.sleep(self._settings.backoff * 2 ** (attempt - 1))
        raise AssertionError("attempts is at least 1")

    async def _download(self, model: Model, progress: Progress) -> Path:
        with self._temporary_file() as (temporary, descriptor):
            digest = await self._receive(model.uri, descriptor, progress)
            if model.sha256 is not None and digest != model.sha256:
                raise DigestError(_mismatch(model.uri, digest, model.sha256))
            return temporary.replace(self._place(digest))

    @contextmanager
    def _temporary_file(self) -> Iterator[tuple[Path, int]]:
        """A new file beside the finished ones, and its descriptor; gone afterwards unless it was renamed."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".download-", dir=self._folder)
        except OSError as error:
            raise StorageError(f"the model store {self._folder} cannot be written: {error.strerror}") from error
        temporary = Path(name)
        try:
            yield temporary, descriptor
        finally:
            temporary.unlink(missing_ok=True)

    async def _receive(self, uri: str, descriptor: int, progress: Progress) -> str:
        """Write the body to `descriptor`, which is closed; its sha256."""
        digest, size = hashlib.sha256(), 0
        with os.fdopen(descriptor, "wb") as file:
            async with self._pace(uri) as came, self._get(uri) as response:
                if response.content_length is not None:
                    self._check_size(response.content_length)
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    size += len(chunk)
                    self._check_size(size)
                    came(size)
                    digest.update(chunk)
                    try:
                        await asyncio.to_thread(file.write, chunk)
                    except OSError as error:
                        raise StorageError(f"the model store {self._folder} is full: {error.strerror}") from error
                    progress(size, response.content_length)
        return digest.hexdigest()

    @asynccontextmanager
    async def _pace(self, uri: str) -> AsyncIterator[Callable[[int], None]]:
        """Raise TooSlowError once the time is up that the bytes so far give; yields what is told their number."""
        start = asyncio.get_running_loop().time()

        def came(size: int) -> None:
            limit.reschedule(start + self._settings.patience + size / self._settings.least_rate)

        try:
            async with asyncio.timeout(self._settings.patience) as limit:
                yield came
        except TimeoutError as error:
            rate = self._settings.least_rate / 1024
            raise TooSlowError(f"{uri}: the download is slower than {rate:g} KiB/s") from error

    @asynccontextmanager
    async def _get(self, uri: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response whose body is the file, after redirects, of which none may leave https."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=self._settings.silence, sock_read=self._settings.silence
        )
        connector = aiohttp.TCPConnector(ssl=self._ssl_context)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session:
                place = uri
                for _ in range(self._settings.redirects + 1):
                    async with session.get(place, allow_redirects=False) as response:
                        if response.status == 200:
                            yield response
                            return
                        place = _redirect(place, response)
                raise RefusedByServerError(f"{uri} redirects more than {self._settings.redirects} times")
        except TimeoutError as error:
            raise UnreachableError(f"{uri}: nothing came for {self._settings.silence:g} s") from error
        except aiohttp.InvalidURL as error:
            raise RefusedByServerError(f"{uri} is not a URL") from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = error.certificate_error
            raise RefusedByServerError(f"{uri}: the server's certificate is not trusted: {reason}") from error
        except aiohttp.ClientError as error:
            raise UnreachableError(f"{uri}: {error}") from error


def _mismatch(place: str, found: str, expected: str) -> str:
    return (
        f"{place} has the sha256 {found}, not {expected}: put the former into the manifest if the file is the right "
        "one, else put the right file there"
    )


def _redirect(place: str, response: aiohttp.ClientResponse) -> str:
    """Where an answer other than the file points to."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTS or location is None:
        raise _kind(response.status)(f"{place}: the server answers {response.status} {response.reason}")
    target = urljoin(place, location)
    if urlsplit(target).scheme != "https":
        raise RefusedByServerError(f"{place} redirects to {target}, which is not https")
    return target


def _kind(status: int) -> type[FetchError]:
    if status in (404, 410):
        return NotFoundError
    return UnreachableError if status >= 500 or status == 429 else RefusedByServerError


def local_path(uri: str) -> Path | None:
    """The file on this machine that a model's URI names, or None where it names another machine's."""
    if uri.startswith("file://"):
        return Path(unquote(urlsplit(uri).path))
    return None if "://" in uri else Path(uri)


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return _digest(path) == digest
    except OSError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _ignore(_: int, __: int | None) -> None:
    """Progress that nobody watches."""
