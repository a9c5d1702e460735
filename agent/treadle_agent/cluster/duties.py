"""From what the node is assigned to what its devices are told, and from what they do to what is told of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from treadle_agent.cluster.assignments import Assignment, Assignments
from treadle_agent.cluster.device import LocalDevice
from treadle_agent.cluster.sinks import LeaderSink, ReplicaSink
from treadle_agent.cluster.status import Observation, status_of, unreadable
from treadle_agent.node_events import Refused
from treadle_api.conditions import transition_time
from treadle_api.replica import LoadedReason, Replica, ReplicaStatus

_log = logging.getLogger(__name__)


class Duties:
    """All replicas of the node; lives on the event loop.

    `devices` by id may still be empty, but not change any more once replicas are followed; `address` is this agent's.
    `on_stranger` is called when another one tells of a replica.
    """

    def __init__(self, devices: Mapping[str, LocalDevice], address: str, on_stranger: Callable[[], None]) -> None:
        self._devices = devices
        self._address = address
        self._on_stranger = on_stranger
        self._assignments = Assignments()
        self._names: dict[tuple[str, str], str] = {}  # replicas by device and tenant
        self._stale: set[str] = set()
        self._spreading = False
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self.leader = LeaderSink(self._assignments, self._change)
        self.replicas = ReplicaSink(self._assignments, self._change, self._told)

    def listen(self, listener: Callable[[Collection[str]], None]) -> None:
        """Call `listener` with all replicas (``NAMESPACE/NAME``) whenever what is assigned has changed."""
        self._listeners.append(listener)

    def name_of(self, device: str, tenant: str) -> Iterable[str]:
        """The replica of a tenant on a device, where there is one."""
        name = self._names.get((device, tenant))
        return (name,) if name is not None else ()

    def told(self, key: str) -> tuple[str, ReplicaStatus]:
        """A replica's uid, and the status that the API server has of it, as far as it was seen."""
        assignment = self._assignments.get(key)
        status = assignment.latest.status if assignment is not None else ReplicaStatus()
        return self.replicas.uids.get(key, ""), status

    def status_of(self, key: str, told: ReplicaStatus) -> ReplicaStatus | None:
        """What is true of a replica now; `told` is what was said last. None for one that is not this node's."""
        now = transition_time(time.time())
        assignment, problem = self._assignments.get(key), self.replicas.unreadable.get(key)
        if assignment is not None:
            seen = self._observation(assignment)
            if problem is not None:
                seen = replace(seen, unreadable=problem.problem)
            return status_of(assignment, seen, self._address, told, now)
        return unreadable(problem.problem, problem.generation, self._address, now) if problem is not None else None

    def draining(self) -> list[str]:
        """The replicas that drain: how far that has come is asked often."""
        return [key for key, one in self._assignments if one.accepted is not None and one.accepted.draining]

    def _told(self, status: ReplicaStatus) -> None:
        if status.address not in ("", self._address):
            self._on_stranger()

    def _change(self) -> None:
        """Something has changed; what comes together is passed on together."""
        if not self._spreading:
            self._spreading = True
            asyncio.get_running_loop().call_soon(self._spread)

    def _spread(self) -> None:
        self._spreading = False
        if not self._assignments.known:
            return
        by_device: dict[str, list[Replica]] = {name: [] for name in self._devices}
        self._names = {}
        for key, assignment in self._assignments:
            self._tell_stale(key, assignment)
            replica = assignment.accepted
            if replica is not None and replica.device in by_device:
                by_device[replica.device].append(replica)
                self._names[replica.device, replica.tenant.key] = key
        for name, replicas in by_device.items():
            self._devices[name].reconciler.want(replicas)
        keys = {key for key, _ in self._assignments} | self.replicas.unreadable.keys()
        self._stale &= keys
        for listener in self._listeners:
            listener(keys)

    def _tell_stale(self, key: str, assignment: Assignment) -> None:
        if not assignment.stale:
            self._stale.discard(key)
        elif key not in self._stale:
            self._stale.add(key)
            _log.warning(
                "a change of InferenceReplica %s is refused: its epoch is %d, the leader's %d",
                key, assignment.latest.epoch, self._assignments.epoch,
            )  # fmt: skip

    def _observation(self, assignment: Assignment) -> Observation:
        replica = assignment.accepted
        if replica is None:
            return Observation()
        device = self._devices.get(replica.device)
        if device is not None:
            return device.observation(replica.tenant.key)
        key, cause = replica.tenant.key, LoadedReason.DEVICE_NOT_FOUND
        reason = f"the node has no device {replica.device}; it has {', '.join(self._devices)}"
        refused = Refused(key, "spec.device", cause, reason, previous=False, temporary=True)
        return Observation(refused=refused)
