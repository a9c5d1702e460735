"""What servers have, by https: from hosts that are allowed, past redirects that are, from a byte on, at a pace."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from treadle_agent.models.errors import (
    FetchError,
    NotFoundError,
    RangeError,
    RefusedByServerError,
    TooSlowError,
    UnreachableError,
)
from treadle_agent.models.places import Place
from treadle_agent.models.sources import Sources, is_link_local, is_public, place_of, shown
from treadle_agent.settings import ModelStoreSettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_BYTES = 4 << 20  # of a document, as registries have it of manifests


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answers, whatever it is; `challenge` says how to be let in."""

    status: int
    reason: str
    challenge: str
    body: bytes


class Transport:
    """Asks servers; has no state but its settings."""

    def __init__(self, settings: ModelStoreSettings, sources: Sources, ssl_context: ssl.SSLContext) -> None:
        self._settings = settings
        self._sources = sources
        self._ssl_context = ssl_context

    @asynccontextmanager
    async def get(self, place: Place, start: int = 0) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response whose body is the file, from byte `start` on (206) or whole (200).

        Raises:
            FetchError: there is none, or it may not be asked for.
        """
        async with self._answer(place, {"Range": f"bytes={start}-"} if start else {}) as response:
            if response.status == 416 and start > 0:
                raise RangeError(f"{shown(place.url)} has other bytes than before, and fewer")
            if response.status != 200 and not (response.status == 206 and start > 0):
                raise _refusal(response, place)
            yield response

    async def ask(self, place: Place) -> None:
        """Ask for the file, of which one byte is enough.

        Raises:
            FetchError: it may not be had.
        """
        async with self.pace(shown(place.url)), self._answer(place, {"Range": "bytes=0-0"}) as response:
            if response.status not in (200, 206):
                raise _refusal(response, place)

    async def read(self, place: Place, accept: str) -> Document:
        """A small document of a type that `accept` lists, or what the server says instead.

        Raises:
            FetchError: it may not be asked for, nothing comes, or too much.
        """
        async with self.pace(shown(place.url)), self._answer(place, {"Accept": accept}) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise RefusedByServerError(f"{shown(place.url)}: the answer has more than {_MOST_BYTES} bytes")
            challenge = response.headers.get("WWW-Authenticate", "")
            return Document(response.status, response.reason or "", challenge, bytes(body))

    @asynccontextmanager
    async def _answer(self, place: Place, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """What the server answers, or the last of those that it redirects to."""
        first, name = place.named_by or place.url, shown(place.url)
        self._sources.check_host(place.url)
        self._sources.check_redirect(first, place.url)
        silence = self._settings.silence
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=silence, sock_read=silence)
        resolver = _Resolver(lambda target: self._sources.trusts(first, target))
        connector = aiohttp.TCPConnector(ssl=self._ssl_context, resolver=resolver)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=True) as session:
                url = place.url
                for _ in range(self._settings.redirects + 1):
                    _check_literal(url)
                    own = place.headers if _same_server(url, place.url) else {}
                    said = {"Accept-Encoding": "identity", **headers, **own}  # a part is one of the file's own bytes
                    async with session.get(url, headers=said, allow_redirects=False) as response:
                        if (target := _redirect(response)) is None:
                            yield response
                            return
                    self._sources.check_redirect(first, target)
                    url = target
                raise RefusedByServerError(f"{name} redirects more than {self._settings.redirects} times")
        except TimeoutError as error:
            raise UnreachableError(f"{name}: nothing came for {silence:g} s") from error
        except aiohttp.InvalidURL as error:
            raise RefusedByServerError(f"{name} is not a URL") from error
        except aiohttp.ClientConnectorCertificateError as error:
            reason = error.certificate_error
            raise RefusedByServerError(f"{name}: the server's certificate is not trusted: {reason}") from error
        except aiohttp.ClientConnectorDNSError as error:
            raise UnreachableError(f"{name}: no address is known for {error.host}: is its name right?") from error
        except aiohttp.ClientError as error:
            raise UnreachableError(f"{name}: {error}") from error

    @asynccontextmanager
    async def pace(self, name: str) -> AsyncIterator[Callable[[int], None]]:
        """Raise TooSlowError once the time is up that the bytes so far give; yields what is told their number."""
        start = asyncio.get_running_loop().time()

        def came(size: int) -> None:
            limit.reschedule(start + self._settings.patience + size / self._settings.least_rate)

        try:
            async with asyncio.timeout(self._settings.patience) as limit:
                yield came
        except TimeoutError as error:
            rate = self._settings.least_rate / 1024
            raise TooSlowError(f"{name}: the download is slower than {rate:g} KiB/s") from error


class _Resolver(AbstractResolver):
    """Addresses of names, none of which may be link-local, nor, of a host that is not trusted, private."""

    def __init__(self, trusts: Callable[[URL], bool]) -> None:
        self._trusts = trusts
        self._inner = ThreadedResolver()
        self._proxies = {urlsplit(proxy).hostname for proxy in getproxies().values()}  # they look up the rest

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if host in self._proxies:
            return found
        trusted = self._trusts(URL.build(scheme="https", host=host, port=port))
        for one in found:
            address = ip_address(one["host"].partition("%")[0])
            if is_link_local(address) or not (trusted or is_public(address)):
                raise RefusedByServerError(f"{host} has the address {address}, from which no model may come")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _check_literal(url: URL) -> None:
    """An address in a URL is one that nobody looks up."""
    try:
        address = ip_address(url.host or "")
    except ValueError:
        return
    if is_link_local(address):
        raise RefusedByServerError(f"{shown(url)} is at {address}, from which no model may come")


def _same_server(url: URL, other: URL) -> bool:
    return place_of(url) == place_of(other)


def _redirect(response: aiohttp.ClientResponse) -> URL | None:
    """Where an answer points to."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTS or location is None:
        return None
    try:
        return response.url.join(URL(location))
    except ValueError as error:
        raise RefusedByServerError(f"{shown(response.url)} redirects to what is not a URL") from error


def _refusal(response: aiohttp.ClientResponse, place: Place) -> FetchError:
    """What an answer other than the file is to the model's owner."""
    fix = ""
    if response.status in (401, 403):
        asked = bool(place.headers) or place.signed
        fix = ": does the Secret let in?" if asked else ": name a Secret that lets in, in secretName"
    reason = f"the server answers {response.status} {response.reason}{fix}"
    return error_of(response.status)(f"{shown(response.url)}: {reason}")


def error_of(status: int) -> type[FetchError]:
    """What an answer other than the file means."""
    if status in (404, 410):
        return NotFoundError
    return UnreachableError if status >= 500 or status == 429 else RefusedByServerError
