"""The latest state of every object that concerns the operator.

Fed by the watches, and by the API server's answers to our own writes: whichever is later counts, so that a watch that
lags behind never makes a plan do a thing twice.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from treadle_api.fields import FieldError
from treadle_api.node import Node, read_node
from treadle_api.profile import Profile, read_profile
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.views import (
    CoreNode,
    Identity,
    read_core_node,
    read_identity,
    read_labels,
    read_replica_view,
    read_service_view,
    read_slice_view,
    read_tenant_view,
)
from treadle_operator.snapshot import EndpointSliceView, NodeView, ReplicaView, ServiceView, Snapshot, TenantView

V = TypeVar("V")

DELETED = float("inf")  # the version as of which a deleted object is gone

_REMEMBERED_DELETIONS = 16384
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen(Generic[V]):
    """A state of an object; `view` is None where no state of it could be read yet."""

    identity: Identity
    view: V | None
    watched: bool


class Shelf(Generic[V]):
    """The objects of one kind, by key."""

    def __init__(self, kind: Kind, read: Callable[[Json], V]) -> None:
        self._kind = kind
        self._read = read
        self._seen: dict[str, _Seen[V]] = {}
        # What was said of an object before it went may arrive after that: by uid, the version up to which it is old.
        self._gone: OrderedDict[str, float] = OrderedDict()

    def take(self, manifest: Json) -> bool:
        """Take in a state of an object; whether that says anything new."""
        identity = read_identity(manifest)
        known = self._seen.get(identity.key)
        if self._is_old(identity, known):
            return False
        same = known is not None and known.identity.uid == identity.uid
        before = known.view if known is not None else None
        view: V | None
        try:
            view = self._read(manifest)
        except FieldError as error:
            _log.warning("%s %s cannot be read: %s", self._kind.name, identity.key, error)
            view = before if same else None  # its last readable state: to forget it would undo what is done for it
        watched = self._kind.selects(read_labels(manifest))
        self._seen[identity.key] = _Seen(identity, view, watched)
        return view != before or (known is not None and not same)

    def remove(self, key: str, uid: str, version: float) -> bool:
        """An object is gone as of a version; whether it was there."""
        self._gone[uid] = max(version, self._gone.get(uid, version))
        while len(self._gone) > _REMEMBERED_DELETIONS:
            self._gone.popitem(last=False)
        known = self._seen.get(key)
        if known is None or known.identity.uid != uid:
            return False
        del self._seen[key]
        return True

    def uid(self, key: str) -> str | None:
        """The uid of the object of a key; None where there is none."""
        known = self._seen.get(key)
        return known.identity.uid if known is not None else None

    def version(self, key: str) -> int | None:
        """The resourceVersion of the object of a key; None where there is none."""
        known = self._seen.get(key)
        return known.identity.version if known is not None else None

    def identities(self) -> list[Identity]:
        """All objects that are there."""
        return [seen.identity for seen in self._seen.values()]

    def is_watched(self, key: str) -> bool:
        """Whether the watch tells of an object; not of one without the label, that was met when it was in the way."""
        known = self._seen.get(key)
        return known is not None and known.watched

    def is_behind(self, identity: Identity) -> bool:
        """Whether this state is later than all that was seen of the object."""
        return not self._is_old(identity, self._seen.get(identity.key))

    def views(self) -> Iterable[V]:
        """What is known of each object."""
        return (seen.view for seen in self._seen.values() if seen.view is not None)

    def by_key(self) -> dict[str, V]:
        """What is known of each object, by ``NAMESPACE/NAME``."""
        return {key: seen.view for key, seen in self._seen.items() if seen.view is not None}

    def __len__(self) -> int:
        return len(self._seen)

    def _is_old(self, identity: Identity, known: _Seen[V] | None) -> bool:
        seen = known.identity.version if known is not None else -1
        return identity.version <= max(seen, self._gone.get(identity.uid, -1))


class Mirror:
    """All shelves; `changed` is called when something has changed that a plan may depend on.

    `tls`: agents answer by TLS, which no object says.
    """

    def __init__(self, changed: Callable[[], None], *, tls: bool = False) -> None:
        self._changed = changed
        self._tls = tls
        self._tenants: Shelf[TenantView] = Shelf(kinds.TENANTS, read_tenant_view)
        self._replicas: Shelf[ReplicaView] = Shelf(kinds.REPLICAS, read_replica_view)
        self._nodes: Shelf[Node] = Shelf(kinds.NODES, read_node)
        self._profiles: Shelf[Profile] = Shelf(kinds.PROFILES, read_profile)
        self._core_nodes: Shelf[CoreNode] = Shelf(kinds.CORE_NODES, read_core_node)
        self._services: Shelf[ServiceView] = Shelf(kinds.SERVICES, read_service_view)
        self._slices: Shelf[EndpointSliceView] = Shelf(kinds.SLICES, read_slice_view)
        self._shelves: Mapping[
            Kind,
            Shelf[TenantView]
            | Shelf[ReplicaView]
            | Shelf[Node]
            | Shelf[Profile]
            | Shelf[CoreNode]
            | Shelf[ServiceView]
            | Shelf[EndpointSliceView],
        ] = {
            kinds.TENANTS: self._tenants,
            kinds.REPLICAS: self._replicas,
            kinds.NODES: self._nodes,
            kinds.PROFILES: self._profiles,
            kinds.CORE_NODES: self._core_nodes,
            kinds.SERVICES: self._services,
            kinds.SLICES: self._slices,
        }

    def take(self, kind: Kind, manifest: Json) -> None:
        """Take in a state of an object, from wherever it came."""
        if self._shelves[kind].take(manifest):
            self._changed()

    def remove(self, kind: Kind, key: str, uid: str, version: float = DELETED) -> None:
        """An object is gone: for ever, or out of sight as of a version (its labels may have changed)."""
        if self._shelves[kind].remove(key, uid, version):
            self._changed()

    def uid(self, kind: Kind, key: str) -> str | None:
        """The uid of the object of a key; None where there is none."""
        return self._shelves[kind].uid(key)

    def version(self, kind: Kind, key: str) -> int | None:
        """The resourceVersion of the object of a key; None where there is none."""
        return self._shelves[kind].version(key)

    def identities(self, kind: Kind) -> list[Identity]:
        """All objects of a kind."""
        return self._shelves[kind].identities()

    def is_watched(self, kind: Kind, key: str) -> bool:
        """Whether the watch of a kind tells of an object."""
        return self._shelves[kind].is_watched(key)

    def is_behind(self, kind: Kind, identity: Identity) -> bool:
        """Whether this state is later than all that was seen of the object."""
        return self._shelves[kind].is_behind(identity)

    def highest_epoch(self) -> int:
        """The highest epoch that any replica carries."""
        return max((view.replica.epoch for view in self._replicas.views()), default=0)

    def size(self, kind: Kind) -> int:
        """How many objects of a kind there are."""
        return len(self._shelves[kind])

    def snapshot(self, epoch: int, alive: frozenset[str], *, hushed: bool = False) -> Snapshot:
        """All of it as it is now; `alive`: the nodes whose agents renew their Leases; `hushed`: none is heard of."""
        core_nodes = self._core_nodes.by_key()
        return Snapshot(
            epoch=epoch,
            tenants={view.tenant.key: view for view in self._tenants.views()},
            replicas=self._replicas.by_key(),
            nodes={
                name: _node_view(node, self._nodes.uid(name) or "", core_nodes.get(name), alive=name in alive)
                for name, node in self._nodes.by_key().items()
            },
            profiles={(profile.sha256, profile.device_model): profile for profile in self._profiles.views()},
            services=self._services.by_key(),
            slices=self._slices.by_key(),
            hushed=hushed,
            tls=self._tls,
        )


def _node_view(node: Node, uid: str, core: CoreNode | None, *, alive: bool) -> NodeView:
    if core is None:
        return NodeView(node, alive, uid=uid)
    return NodeView(node, alive, core.labels, core.taints, core.unschedulable, uid)
