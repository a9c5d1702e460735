"""From a model's URI to a verified local file; downloads lie in a content-addressed folder, for who may read them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

from yarl import URL

from treadle_agent.models.errors import (
    DigestError,
    NotAllowedError,
    NotFoundError,
    RangeError,
    TooLargeError,
    TooSlowError,
    UnreachableError,
)
from treadle_agent.models.notes import FOLDER, Notes
from treadle_agent.models.partial import Partial, open_partial
from treadle_agent.models.places import Place, https_place, read_url
from treadle_agent.models.readers import Reader, Reading, came_from, reading_of, source_key
from treadle_agent.models.s3 import s3_endpoint, s3_place
from treadle_agent.models.secrets import NoSecrets, Secret, Secrets
from treadle_agent.models.sources import Sources, place_of, shown
from treadle_agent.models.transport import Transport
from treadle_agent.settings import ModelStoreSettings
from treadle_api.objects import DEFAULT_NAMESPACE
from treadle_api.tenant import Model

Progress = Callable[[int, int | None], None]  # bytes so far, and in all where the server said so

_CHUNK_BYTES = 1 << 20


class ModelStore:
    """Fetches models into `folder`; any number of fetches, and processes, may share it."""

    def __init__(
        self,
        folder: Path,
        settings: ModelStoreSettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sources: Sources | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        """`ssl_context` replaces the system's trust, which the variable SSL_CERT_FILE names."""
        self._folder = folder
        self._notes = Notes(folder / FOLDER, self._place)
        self._settings = settings or ModelStoreSettings()
        self._sources = sources or Sources()
        self._transport = Transport(self._settings, self._sources, ssl_context or ssl.create_default_context())
        self._secrets = secrets or NoSecrets()
        self._downloads = asyncio.Semaphore(self._settings.concurrent_downloads)

    async def fetch(self, model: Model, progress: Progress | None = None, namespace: str = DEFAULT_NAMESPACE) -> Path:
        """The local file of a model, of the digest that the manifest gives where it gives one.

        `namespace` is the tenant's, where the Secret is that it may name.

        A local file is used where it lies, since a model may keep its weights in files beside it. A download is kept
        as ``SHA256.onnx``. One that is there already, undamaged, is not fetched again: the namespace that has had it by
        the same URI and Secret is given it though nobody can be asked, and another that names the place which it came
        from once that has let it in. One of known digest that was interrupted, by whatever, goes on where it was.

        Raises:
            FetchError: one of `models.errors`.
        """
        if (path := local_path(model.uri)) is not None:
            return await asyncio.to_thread(self._check_local, path, model.sha256)
        reader = Reader(namespace, model.uri, model.secret)
        if model.sha256 is not None and await asyncio.to_thread(self._has_read, reader, model.sha256):
            return self._place(model.sha256)
        return await self._download_patiently(model, reader, progress or _ignore)

    def _place(self, digest: str) -> Path:
        return self._folder / f"{digest}.onnx"

    def _has_read(self, reader: Reader, digest: str) -> bool:
        """Whether the file is here, and was this reader's before; raises NotAllowedError, as lists of hosts change."""
        if (reading := reading_of(self._notes.read(digest), reader)) is None:
            return False
        self._sources.check_host(URL(f"https://{reading.server}"))
        return _is_whole(self._place(digest), digest)

    def _came_from(self, source: str, digest: str) -> bool:
        """Whether the file is here, and was there for somebody."""
        return came_from(self._notes.read(digest), source) and _is_whole(self._place(digest), digest)

    def _check_local(self, asked: Path, expected: str | None) -> Path:
        try:
            path = self._sources.check_file(asked.absolute())
            if not path.is_file():
                whose = "" if asked.is_absolute() else f"; {asked} is relative to the folder that the agent runs in"
                raise NotFoundError((f"{path} is not a file" if path.exists() else f"there is no file {path}") + whose)
            self._check_size(path.stat().st_size)
            found = _digest(path) if expected is not None else None
        except (OSError, RuntimeError) as error:  # the latter: links that go round
            raise NotFoundError(f"{asked} cannot be read: {getattr(error, 'strerror', error)}") from error
        if found != expected:
            raise DigestError(_mismatch(str(path), str(found), str(expected)))
        return path

    def _check_size(self, size: int) -> None:
        if size > self._settings.most_bytes:
            raise TooLargeError(f"the model has {size} bytes, the limit is {self._settings.most_bytes}")

    async def _download_patiently(self, model: Model, reader: Reader, progress: Progress) -> Path:
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return await self._download(model, reader, progress)
            except TooSlowError:
                raise
            except UnreachableError:
                if attempt == self._settings.attempts:
                    raise
                await asyncio.sleep(self._settings.backoff * 2 ** (attempt - 1))
        raise AssertionError("attempts is at least 1")

    async def _download(self, model: Model, reader: Reader, progress: Progress) -> Path:
        """One try. What came of a file of unknown digest is of no use to another."""
        url, wanted = read_url(model.uri), model.sha256
        secret = await self._secrets.read(reader.namespace, reader.secret) if reader.secret is not None else None
        source = source_key(model.uri, s3_endpoint(secret) if url.scheme == "s3" else None)
        name = f".partial-{wanted}-{source}" if wanted is not None else f".download-{os.urandom(8).hex()}"
        async with open_partial(self._folder / name, keep=wanted is not None) as partial:
            if wanted is not None and await asyncio.to_thread(self._has_read, reader, wanted):
                return self._place(wanted)  # another task has fetched it meanwhile
            kept = wanted is not None and await asyncio.to_thread(self._came_from, source, wanted)
            if kept or partial.digest == wanted:
                place = await self._find(model, secret)
                await self._transport.ask(place)
            else:
                place = await self._complete(model, secret, partial, progress)
            digest = wanted or partial.digest
            reading = Reading(reader.key, source, place_of(place.url))
            await asyncio.to_thread(self._notes.add, digest, reading)  # first: the lock is of a name that it gives up
            if not kept:
                return partial.finish(self._place(digest))
            partial.restart()
            return self._place(digest)

    async def _complete(self, model: Model, secret: Secret | None, partial: Partial, progress: Progress) -> Place:
        """Fetch the rest of a file, or all of it where what is there was not what it seemed; where it was found."""
        resumed = partial.size > 0
        try:
            place = await self._find(model, secret)
            await self._receive(place, partial, progress)
            if resumed and partial.digest != model.sha256:
                partial.restart()
                place = await self._find(model, secret)
                await self._receive(place, partial, progress)
            if model.sha256 not in (None, partial.digest):
                raise DigestError(_mismatch(shown(place.url), partial.digest, str(model.sha256)))
            if place.sha256 not in (None, partial.digest):
                raise DigestError(f"{shown(place.url)} is not the file of that digest: it has {partial.digest}")
        except (DigestError, RangeError, TooLargeError):
            partial.restart()
            raise
        return place

    async def _receive(self, place: Place, partial: Partial, progress: Progress) -> None:
        """The rest of a file."""
        async with (
            self._downloads,
            self._transport.pace(shown(place.url)) as came,
            self._transport.get(place, partial.size) as response,
        ):
            if response.status != 206:
                partial.restart()
            total, before = response.content_length, partial.size
            if total is not None:
                total += before
                self._check_size(total)
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                self._check_size(partial.size + len(chunk))
                await asyncio.to_thread(partial.append, chunk)
                came(partial.size - before)
                progress(partial.size, total)

    async def _find(self, model: Model, secret: Secret | None) -> Place:
        """Where to ask for a model, and by what right."""
        url = read_url(model.uri)
        if url.scheme == "s3":
            return await asyncio.to_thread(s3_place, model.uri, secret)
        if url.scheme != "oci":
            return https_place(url, secret)
        if find_spec("oras") is None:
            raise NotAllowedError("oci:// needs a package that is missing here: pip install 'treadle[models]'")
        from treadle_agent.models.oci import oci_place

        place = await oci_place(model.uri, secret, self._transport)
        if model.sha256 not in (None, place.sha256):
            raise DigestError(_mismatch(model.uri, str(place.sha256), str(model.sha256)))
        return place


def _mismatch(place: str, found: str, expected: str) -> str:
    return (
        f"{place} has the sha256 {found}, not {expected}: put the former into the manifest if the file is the right "
        "one, else put the right file there"
    )


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
