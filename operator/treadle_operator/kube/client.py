"""Requests to the API server, over the connections of `kubernetes.aio`.

Its generated calls parse every answer into models that would have to be taken apart again; here objects stay decoded
JSON until `views` reads what the operator needs of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Protocol
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration

from treadle_api.units import Seconds
from treadle_operator.clock import Clock, ahead_by
from treadle_operator.kube.errors import TimedOutError, UnreachableError, error_of
from treadle_operator.kube.kinds import Kind

Json = Mapping[str, object]

FIELD_MANAGER = "treadle-operator"
REQUEST_TIMEOUT = Seconds(30.0)
PAGE = 500  # objects

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"
_OK = range(200, 300)


class Counter(Protocol):
    """Who counts requests: `metrics.OperatorMetrics`."""

    def requested(self, verb: str, code: int) -> None:
        """A request was answered; `code` 0: it was not."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a kind's objects. `version`: of the list that all its pages are of."""

    items: Sequence[Json]
    version: int


class KubeClient:
    """One API server. Every method raises `errors.ApiError`.

    `write_timeout`: of requests that change something. A leader's must be over before another can lead. `ahead`: how
    far the API server's clock is ahead of ours, by what it said last.
    """

    def __init__(
        self, configuration: Configuration, counter: Counter, write_timeout: Seconds = REQUEST_TIMEOUT
    ) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = f"{FIELD_MANAGER}/{version('treadle')}"
        self._host = configuration.host
        self._counter = counter
        self._write_timeout = write_timeout
        self._clock = Clock()
        self.ahead = Seconds(0.0)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, kind: Kind, namespace: str, name: str, timeout: Seconds | None = None) -> Json:
        """One object."""
        return await self._request("get", "GET", kind.path(namespace, name), timeout=timeout)

    async def pages(self, kind: Kind, namespace: str = "") -> AsyncIterator[Page]:
        """All objects of a kind that match its selector; consistent, as of one moment."""
        query = {"limit": str(PAGE)} | ({"labelSelector": kind.selector} if kind.selector else {})
        while True:
            answer = await self._request("list", "GET", kind.path(namespace), query)
            metadata = answer["metadata"]
            assert isinstance(metadata, dict)
            items = answer["items"]
            assert isinstance(items, list)
            for item in items:  # a list tells once what its items are
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
            yield Page(items, int(metadata["resourceVersion"]))
            query["continue"] = metadata.get("continue") or ""
            if not query["continue"]:
                return

    async def served(self, api_version: str) -> frozenset[str]:
        """The plural names of the kinds of a group's version; raises NotFoundError where there is no such version."""
        answer = await self._request("get", "GET", f"/apis/{api_version}")
        resources = answer["resources"]
        assert isinstance(resources, list)
        return frozenset(resource["name"] for resource in resources)

    async def create(self, kind: Kind, namespace: str, body: Json, timeout: Seconds | None = None) -> Json:
        """Create an object; raises ConflictError where one of its name exists."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("create", "POST", kind.path(namespace), query, body, timeout=timeout)

    async def review(self, kind: Kind, body: Json, timeout: Seconds | None = None) -> Json:
        """Have the API server judge what `body` asks; nothing is kept of it."""
        return await self._request("review", "POST", kind.path(""), None, body, timeout=timeout)

    async def replace(self, kind: Kind, namespace: str, name: str, body: Json, timeout: Seconds) -> Json:
        """Replace an object, if it is still of the resourceVersion in `body`."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("update", "PUT", kind.path(namespace, name), query, body, timeout=timeout)

    async def apply(self, kind: Kind, namespace: str, name: str, body: Json, subresource: str = "") -> Json:
        """Server-side apply: the fields of `body` become the operator's, those it had before and gave up go."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = kind.path(namespace, name, subresource)
        return await self._request("apply", "PATCH", path, query, body, _APPLY)

    async def replace_spec(self, kind: Kind, namespace: str, name: str, resource_version: str, spec: Json) -> Json:
        """Replace an object's spec and nothing else, if it is still of this resourceVersion."""
        operations = [
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "replace", "path": "/spec", "value": spec},
        ]
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("patch", "PATCH", kind.path(namespace, name), query, operations, _JSON_PATCH)

    async def merge(self, kind: Kind, namespace: str, name: str, body: Json) -> Json:
        """Merge the members of `body` into an object."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("patch", "PATCH", kind.path(namespace, name), query, body, _MERGE_PATCH)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, resource_version: str) -> Json:
        """Delete the object of this uid and resourceVersion: ConflictError for another, NotFoundError for none.

        Returns a Status; or the object, where a finalizer keeps it for now.
        """
        body = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        return await self._request("delete", "DELETE", kind.path(namespace, name), None, body)

    async def _request(
        self,
        verb: str,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | Sequence[object] | None = None,
        content_type: str = _JSON,
        *,
        timeout: Seconds | None = None,
    ) -> Json:
        timeout = timeout or (REQUEST_TIMEOUT if method == "GET" else self._write_timeout)
        headers = {"Accept": _JSON, "Content-Type": content_type, "User-Agent": self._client.user_agent}
        url = f"{self._host}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        code, asked = 0, self._clock.wall()
        try:
            # Reads a rotated token, or asks a plug-in of the kubeconfig for one.
            await self._client.update_params_for_auth(headers, None, ["BearerToken"], path, method, None)
            answer = await self._client.call_api(
                method, url, headers, body, _request_timeout=aiohttp.ClientTimeout(total=timeout)
            )
            data = await answer.read()
            code = answer.status
        except TimeoutError as error:
            raise TimedOutError(f"{self._host}: no answer within {timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{self._host}: {str(error) or type(error).__name__}") from error
        finally:
            self._counter.requested(verb, code)
        if code not in _OK:
            raise error_of(code, *_refusal(data), _seconds(answer.headers.get("Retry-After")))
        if (date := _date(answer.headers.get("Date"))) is not None:
            self.ahead = ahead_by(date, asked, self._clock.wall(), self.ahead)
        decoded: Json = msgspec.json.decode(data)
        return decoded


def _refusal(data: bytes) -> tuple[str, str]:
    """Reason and message of a Status; a proxy in between may have answered anything."""
    with contextlib.suppress(msgspec.DecodeError):
        status = msgspec.json.decode(data)
        if isinstance(status, dict):
            return str(status.get("reason", "")), str(status.get("message", ""))
    return "", data[:200].decode(errors="replace").strip()


def _seconds(text: str | None) -> Seconds:
    return Seconds(float(text)) if text is not None and text.isdecimal() else Seconds(0.0)


def _date(text: str | None) -> float | None:
    """Seconds since the epoch; None for what cannot be read."""
    with contextlib.suppress(ValueError):
        return parsedate_to_datetime(text).timestamp() if text is not None else None
    return None
