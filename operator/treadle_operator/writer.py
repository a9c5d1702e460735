"""Changes as requests. The API server's answers go into the mirror, so that the next plan knows of them at once."""

from __future__ import annotations

from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.errors import ConflictError, NoEffectError, NotFoundError, StaleError
from treadle_operator.kube.events import EventRecorder
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.manifests import (
    alive_manifest,
    cordon_manifest,
    replica_manifest,
    replica_spec,
    service_manifest,
    service_mending,
    slice_manifest,
    status_manifest,
)
from treadle_operator.kube.views import controller_uid, read_identity
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror
from treadle_operator.policy.changes import (
    ApplyEndpointSlice,
    ApplyService,
    Change,
    CordonDevices,
    CreateReplica,
    DeleteEndpointSlice,
    DeleteReplica,
    RecordEvent,
    TellAlive,
    UpdateReplica,
    WriteTenantStatus,
)


class Writer:
    """Carries out changes, one request each where nothing is amiss."""

    def __init__(self, client: KubeClient, mirror: Mirror, events: EventRecorder, metrics: OperatorMetrics) -> None:
        self._client = client
        self._mirror = mirror
        self._events = events
        self._metrics = metrics

    async def write(self, change: Change) -> None:
        """Carry out one change.

        Raises:
            StaleError: the object is not as the change takes it to be; the mirror has been told.
            NoEffectError: it was taken, and has changed nothing.
            ApiError: the API server would not, or could not be asked.
        """
        match change:
            case CreateReplica():
                await self._create_replica(change)
            case UpdateReplica():
                await self._update_replica(change)
            case DeleteReplica():
                await self._delete(kinds.REPLICAS, change)
            case ApplyService():
                await self._ensure(kinds.SERVICES, change, service_manifest(change))
            case ApplyEndpointSlice():
                await self._ensure(kinds.SLICES, change, slice_manifest(change))
            case DeleteEndpointSlice():
                await self._delete(kinds.SLICES, change)
            case WriteTenantStatus():
                await self._write_status(change)
            case CordonDevices() | TellAlive():
                await self._write_node(change)
            case RecordEvent():
                await self._events.record(change)

    async def _create_replica(self, change: CreateReplica) -> None:
        try:
            created = await self._client.create(kinds.REPLICAS, change.namespace, replica_manifest(change))
        except ConflictError as error:
            await self._look_again(kinds.REPLICAS, change.namespace, change.name)
            raise StaleError(f"replica {change.name} exists already") from error
        self._mirror.take(kinds.REPLICAS, created)
        self._metrics.placed(change.cause)

    async def _update_replica(self, change: UpdateReplica) -> None:
        try:
            updated = await self._client.replace_spec(
                kinds.REPLICAS, change.namespace, change.name, change.resource_version, replica_spec(change.spec)
            )
        except (ConflictError, NotFoundError) as error:
            await self._look_again(kinds.REPLICAS, change.namespace, change.name, change.uid)
            raise StaleError(f"replica {change.name} has changed") from error
        self._mirror.take(kinds.REPLICAS, updated)

    async def _delete(self, kind: Kind, change: DeleteReplica | DeleteEndpointSlice) -> None:
        try:
            answer = await self._client.delete(kind, change.namespace, change.name, change.uid, change.resource_version)
        except NotFoundError:
            answer = {}  # which is what was wanted
        except ConflictError as error:
            await self._look_again(kind, change.namespace, change.name, change.uid)
            raise StaleError(f"{kind.name} {change.name} has changed") from error
        if answer.get("kind") == kind.name:  # somebody's finalizer keeps it: it is in the way until the watch says not
            self._mirror.take(kind, answer)
        else:
            self._mirror.remove(kind, f"{change.namespace}/{change.name}", change.uid)

    async def _ensure(self, kind: Kind, change: ApplyService | ApplyEndpointSlice, manifest: Json) -> None:
        """Create, or apply onto what is the tenant's own already: a user's object of that name is left alone."""
        if self._mirror.uid(kind, f"{change.namespace}/{change.name}") is None:
            try:
                self._mirror.take(kind, await self._client.create(kind, change.namespace, manifest))
            except ConflictError as error:
                found = await self._look_again(kind, change.namespace, change.name)
                if found is None or controller_uid(found) != change.tenant_uid:
                    raise StaleError(f"{kind.name} {change.name} exists already") from error
            else:
                return
        try:
            if isinstance(change, ApplyService):
                await self._mend_service(change)
            else:
                await self._apply(kind, change.namespace, change.name, manifest)
        except (ConflictError, NotFoundError) as error:
            await self._look_again(kind, change.namespace, change.name)
            raise StaleError(f"{kind.name} {change.name} has changed") from error

    async def _mend_service(self, change: ApplyService) -> None:
        """Not applied: a port that somebody has renumbered would stay beside ours, of the same name, and is refused."""
        key = f"{change.namespace}/{change.name}"
        known, uid = self._mirror.version(kinds.SERVICES, key), self._mirror.uid(kinds.SERVICES, key)
        body = service_mending(change, uid or "")
        written = await self._client.merge(kinds.SERVICES, change.namespace, change.name, body)
        self._wrote(kinds.SERVICES, change.name, written, known)

    async def _write_status(self, change: WriteTenantStatus) -> None:
        try:
            await self._apply(kinds.TENANTS, change.namespace, change.name, status_manifest(change), "status")
        except (ConflictError, NotFoundError) as error:
            await self._look_again(kinds.TENANTS, change.namespace, change.name, change.uid)
            raise StaleError(f"tenant {change.name} is another one, or gone") from error

    async def _write_node(self, change: CordonDevices | TellAlive) -> None:
        uid = self._mirror.uid(kinds.NODES, change.node)
        if uid is None:
            raise StaleError(f"node {change.node} is gone")
        if isinstance(change, CordonDevices):
            manifest, subresource = cordon_manifest(change.node, uid, change.cordoned), ""
        else:
            manifest, subresource = alive_manifest(change.node, uid, change.condition), "status"
        try:
            await self._apply(kinds.NODES, "", change.node, manifest, subresource)
        except (ConflictError, NotFoundError) as error:
            await self._look_again(kinds.NODES, "", change.node, uid)
            raise StaleError(f"node {change.node} is another one, or gone") from error

    async def _apply(self, kind: Kind, namespace: str, name: str, manifest: Json, subresource: str = "") -> None:
        known = self._mirror.version(kind, f"{namespace}/{name}" if namespace else name)
        self._wrote(kind, name, await self._client.apply(kind, namespace, name, manifest, subresource), known)

    def _wrote(self, kind: Kind, name: str, written: Json, known: int | None) -> None:
        self._mirror.take(kind, written)
        if read_identity(written).version == known:
            raise NoEffectError(f"{kind.name} {name} is as it was: what somebody else has written stands against it")

    async def _look_again(self, kind: Kind, namespace: str, name: str, uid: str | None = None) -> Json | None:
        """Read what is there into the mirror; where it is not the object of `uid`, that one is gone."""
        key = f"{namespace}/{name}" if namespace else name
        try:
            found = await self._client.get(kind, namespace, name)
        except NotFoundError:
            gone = uid or self._mirror.uid(kind, key)
            if gone is not None:
                self._mirror.remove(kind, key, gone)
            return None
        self._mirror.take(kind, found)
        return found
