"""The API server, as far as an agent needs it, over the connections of `kubernetes.aio`.

Objects stay decoded JSON until the vocabulary's readers take them: the client's generated calls would make models of
them that had to be taken apart again. Its `Watch` is not used either: it waits five minutes for a connection that went
dead without a FIN, and makes a new TLS context, on the event loop, each time that it is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTResponse

from treadle_agent.cluster.errors import UnreachableError, error_of
from treadle_api import node, profile, replica
from treadle_api.objects import API_VERSION

Json = Mapping[str, object]

FIELD_MANAGER = "treadle-agent"
REQUEST_SECONDS = 10.0  # for one answer
WATCH_SECONDS = 50  # that the server lets a watch live
WATCH_GRACE = 15.0  # seconds after which a watch that has not ended is dead: changes are seen again in less than 90

_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind, and where the API server has it."""

    name: str
    api_version: str
    plural: str

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL's path of one object, or of all of a namespace, or of all."""
        root = "/apis" if "/" in self.api_version else "/api"  # the core group has no name
        parts = [root, self.api_version, *(["namespaces", namespace] if namespace else []), self.plural]
        return "/".join([*parts, *(part for part in (name, subresource) if part)])


REPLICAS = Kind(replica.KIND, API_VERSION, replica.PLURAL)
NODES = Kind(node.KIND, API_VERSION, node.PLURAL)
PROFILES = Kind(profile.KIND, API_VERSION, profile.PLURAL)
LEASES = Kind("Lease", "coordination.k8s.io/v1", "leases")
SELF_REVIEWS = Kind("SelfSubjectReview", "authentication.k8s.io/v1", "selfsubjectreviews")


@dataclass(frozen=True, slots=True)
class Selection:
    """Objects to follow: of one kind, in a namespace ("": in all), that a field selector matches."""

    kind: Kind
    namespace: str
    fields: str


class Event(msgspec.Struct):
    """One line of a watch: ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    manifest: dict[str, object] = msgspec.field(name="object")


class _Page(msgspec.Struct):
    items: list[dict[str, object]]
    metadata: dict[str, object]


class _Refusal(msgspec.Struct):
    """A Kubernetes Status, as far as it says why."""

    code: int = 0
    message: str = ""


class KubeClient:
    """One API server; what is written is `manager`'s. Every method raises `errors.KubeError`."""

    def __init__(self, configuration: Configuration, manager: str = FIELD_MANAGER) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = f"{manager}/{version('treadle')}"
        self._manager = manager
        self.server = str(configuration.host)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, kind: Kind, namespace: str, name: str, seconds: float = REQUEST_SECONDS) -> Json:
        """One object."""
        return await self._ask("GET", kind.path(namespace, name), seconds=seconds)

    async def create(self, kind: Kind, namespace: str, body: Json, seconds: float = REQUEST_SECONDS) -> Json:
        """Create an object; raises ConflictError where one of its name exists."""
        return await self._ask("POST", kind.path(namespace), {"fieldManager": self._manager}, body, seconds=seconds)

    async def replace(
        self, kind: Kind, namespace: str, name: str, body: Json, seconds: float = REQUEST_SECONDS
    ) -> Json:
        """Replace an object, if it is still of the resourceVersion in `body`; raises ConflictError if not."""
        query = {"fieldManager": self._manager}
        return await self._ask("PUT", kind.path(namespace, name), query, body, seconds=seconds)

    async def apply(
        self, kind: Kind, namespace: str, name: str, body: Json, subresource: str = "",
        seconds: float = REQUEST_SECONDS,
    ) -> Json:  # fmt: skip
        """Server-side apply: the fields of `body` become the manager's, those it had before and gave up go."""
        query = {"fieldManager": self._manager, "force": "true"}
        body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": {"name": name}, **body}
        return await self._ask("PATCH", kind.path(namespace, name, subresource), query, body, _APPLY, seconds)

    async def delete(
        self, kind: Kind, namespace: str, name: str, resource_version: str, seconds: float = REQUEST_SECONDS
    ) -> None:
        """Delete an object of this very resourceVersion; raises ConflictError for another."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": resource_version}}
        await self._ask("DELETE", kind.path(namespace, name), None, body, seconds=seconds)

    async def list(self, selection: Selection) -> tuple[Sequence[Json], str]:
        """All objects of a selection, complete with kind, and the resource version that they are as of."""
        kind = selection.kind
        path = kind.path(selection.namespace)
        page = msgspec.convert(await self._ask("GET", path, {"fieldSelector": selection.fields}), _Page)
        items = [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in page.items]
        return items, str(page.metadata["resourceVersion"])

    async def watch(self, selection: Selection, since: str) -> AsyncGenerator[Event, None]:
        """What happens to a selection after a resource version, until the server ends the watch.

        Raises:
            ExpiredError: the version is too old.
            UnreachableError: the connection was lost, or nothing tells whether it still lives.
        """
        query = {
            "watch": "true", "fieldSelector": selection.fields, "resourceVersion": since,
            "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH_SECONDS),
        }  # fmt: skip
        path = selection.kind.path(selection.namespace)
        with _reached(self.server):
            answer = await self._send("GET", path, query, None, _JSON, WATCH_SECONDS + WATCH_GRACE)
            try:
                await _check(answer)
                async for line in answer.response.content:
                    event = msgspec.json.decode(line, type=Event)
                    if event.type == "ERROR":
                        refusal = msgspec.convert(event.manifest, _Refusal)
                        raise error_of(refusal.code, refusal.message)
                    yield event
            finally:
                # Nobody may be there any more to agree on the end of the TLS connection; it is used for nothing else.
                if answer.response.connection is not None and answer.response.connection.transport is not None:
                    answer.response.connection.transport.abort()
                answer.response.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        seconds: float = REQUEST_SECONDS,
    ) -> Json:
        with _reached(self.server):
            answer = await self._send(method, path, query, body, content_type, seconds)
            await _check(answer)
            decoded: Json = msgspec.json.decode(await answer.response.read())
        return decoded

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Json | None, content_type: str,
        seconds: float,
    ) -> RESTResponse:  # fmt: skip
        headers = {"Accept": _JSON, "Content-Type": content_type, "User-Agent": self._client.user_agent}
        url = f"{self.server}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        # Reads a rotated token, or asks a plug-in of the kubeconfig for one.
        await self._client.update_params_for_auth(headers, None, ["BearerToken"], path, method, None)
        patience = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, REQUEST_SECONDS))
        return await self._client.call_api(method, url, headers, body, _request_timeout=patience)


@contextlib.contextmanager
def _reached(server: str) -> Iterator[None]:
    """Every way of not getting an answer is one error; a timeout is an OSError."""
    try:
        yield
    except (aiohttp.ClientError, OSError, msgspec.MsgspecError) as error:
        raise UnreachableError(f"{server}: {str(error) or type(error).__name__}") from error


async def _check(answer: RESTResponse) -> None:
    if answer.status in range(200, 300):
        return
    data = await answer.response.read()
    message = data[:200].decode(errors="replace")  # a proxy in between may have answered anything
    with contextlib.suppress(msgspec.MsgspecError):
        message = msgspec.json.decode(data, type=_Refusal).message or message
    raise error_of(answer.status, message)
