"""What is in the way of a tenant's objects: somebody else's of the same name, which are left alone, and told of."""

from __future__ import annotations

from collections.abc import Sequence

from treadle_operator.policy.case import Case
from treadle_operator.policy.changes import replica_name, service_name
from treadle_operator.policy.endpoints import wanted_slices
from treadle_operator.policy.plan import Note
from treadle_operator.snapshot import ReplicaView, Snapshot

WAITING = "Waiting"  # it passes by itself


class Obstacles:
    """Finds them in one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        known = {view.uid for view in snapshot.tenants.values()}
        self._strange = {key for key, one in snapshot.slices.items() if one.tenant_uid not in known}

    def find(self, case: Case, serving: Sequence[ReplicaView]) -> Note | None:
        """Why requests cannot reach a tenant, or a replica that it lacks cannot be made; None where they can.

        Args:
            case: the tenant, with its placements.
            serving: its replicas that answer.
        """
        found = self._service(case) or self._slice(case, serving)
        if found is None and len(serving) < case.tenant.replicas.minimum:
            found = self._replica(case)
        return found

    def _service(self, case: Case) -> Note | None:
        name = service_name(case.tenant.name)
        service = self._snapshot.services.get(f"{case.tenant.namespace}/{name}")
        if service is None:
            return None
        if service.tenant_uid != case.state.view.uid:
            return Note("ServiceTaken", f"Service {name} is somebody else's: rename it, or the tenant")
        if service.selects:
            return Note("ServiceSelectsPods", f"Service {name} sends requests to Pods, too: remove its selector")
        return None

    def _slice(self, case: Case, serving: Sequence[ReplicaView]) -> Note | None:
        names = wanted_slices(case.state.view, ((one, True) for one in serving)) if self._strange else ()
        for name in sorted(names):
            if (key := f"{case.tenant.namespace}/{name}") in self._strange:
                if self._snapshot.slices[key].managed:
                    return Note(WAITING, f"EndpointSlice {name} of an earlier tenant has to go first")
                message = f"EndpointSlice {name} is somebody else's: delete it, or rename the tenant"
                return Note("EndpointSliceTaken", message)
        return None

    def _replica(self, case: Case) -> Note | None:
        for placement in case.placements.values():
            name = replica_name(case.tenant.name, placement.node, placement.device)
            found = self._snapshot.replicas.get(f"{case.tenant.namespace}/{name}")
            if found is not None and found.tenant_uid != case.state.view.uid:
                return Note(WAITING, f"InferenceReplica {name} is not this tenant's, and has to go first")
        return None
