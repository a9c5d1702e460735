"""The Leases: the leader's, which this process tries to hold, and the nodes', which tell which agents live."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from treadle_api.fields import FieldError, Fields
from treadle_api.leases import lease_owners
from treadle_api.units import Seconds
from treadle_operator.clock import Clock
from treadle_operator.election import Election, ElectionTiming, LeaderLease, Read, Wait, Write
from treadle_operator.heartbeats import Heartbeats, NodeLease
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.errors import ApiError, ConflictError, NotFoundError
from treadle_operator.kube.views import read_node_lease

_RELEASE_TIMEOUT = Seconds(2.0)
_LONGEST_TIME = 64  # characters
_SOON = 0.05  # seconds
_log = logging.getLogger(__name__)


class Leadership:
    """Runs for leader for as long as the process lives.

    Args:
        client: the API server.
        namespace: of the Lease, which is called `name`.
        election: the rules.
        timing: for the requests' timeouts.
        clock: steady, for the rules; wall, for the record.
        floor: the highest epoch in any object.
        changed: called when this process begins or ends to lead.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        name: str,
        election: Election,
        timing: ElectionTiming,
        clock: Clock,
        floor: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._election = election
        self._timing = timing
        self._clock = clock
        self._floor = floor
        self._changed = changed
        self._told: int | None = None
        self._failing = False
        self._owners: list[dict[str, str]] | None = None  # of the Lease; None: not asked for yet

    @property
    def epoch(self) -> int | None:
        """The epoch that this process leads now; None while it does not."""
        return self._election.epoch if self._election.leads(self._clock.steady()) else None

    def holds(self, epoch: int) -> bool:
        """Whether this process still leads in this epoch."""
        return self.epoch == epoch

    async def run(self) -> None:
        """Take the Lease when it is free, and renew it; never returns."""
        while True:
            step = self._election.step(self._clock.steady(), self._clock.stamp(), self._floor())
            try:
                match step:
                    case Wait(until):
                        await asyncio.sleep(max(0.0, until - self._clock.steady()))
                    case Read():
                        await self._read()
                    case Write(lease):
                        await self._write(lease)
            except ApiError as error:
                self._tell()
                if not self._failing:
                    _log.warning("the leader's Lease cannot be read or written: %s", error)
                self._failing = True
                await asyncio.sleep(self._timing.retry_period)
            else:
                self._failing = False
                self._tell()

    async def release(self) -> None:
        """Let go of the Lease, so that another process can take it at once."""
        lease = self._election.release(self._clock.steady(), self._clock.stamp())
        if lease is None:
            return
        try:
            try:
                await self._let_go(lease)
            except ConflictError:  # a renewal was still under way when we stopped
                found = read_leader_lease(
                    await self._client.get(kinds.LEASES, self._namespace, self._name, _RELEASE_TIMEOUT)
                )
                if found.holder != self._election.identity:
                    return
                await self._let_go(replace(lease, version=found.version))
        except ApiError as error:
            _log.warning("the leader's Lease could not be released: %s", error)
        else:
            _log.info("the leader's Lease is released")

    async def _let_go(self, lease: LeaderLease) -> None:
        await self._client.replace(kinds.LEASES, self._namespace, self._name, self._manifest(lease), _RELEASE_TIMEOUT)

    async def _read(self) -> None:
        asked_at = self._clock.steady()
        try:
            found = await self._client.get(kinds.LEASES, self._namespace, self._name, self._timeout)
        except NotFoundError:
            self._election.observe(None, asked_at)
        else:
            self._election.observe(read_leader_lease(found), asked_at)

    async def _write(self, lease: LeaderLease) -> None:
        if self._owners is None:
            self._owners = lease_owners(await self._who_am_i(), self._namespace)
        sent_at = self._clock.steady()
        manifest = self._manifest(lease)
        try:
            if lease.version:
                written = await self._client.replace(kinds.LEASES, self._namespace, self._name, manifest, self._timeout)
            else:
                written = await self._client.create(kinds.LEASES, self._namespace, manifest, self._timeout)
        except ConflictError:
            self._election.conflicted()
        except NotFoundError:  # it was deleted, or the namespace is not there yet
            self._election.conflicted()
            if not lease.version:
                raise
        else:
            self._election.wrote(read_leader_lease(written), sent_at)

    async def _who_am_i(self) -> Json:
        kind = kinds.SELF_REVIEWS
        return await self._client.review(kind, {"apiVersion": kind.api_version, "kind": kind.name}, self._timeout)

    @property
    def _timeout(self) -> Seconds:
        """Two tries fit before the leader has to give up."""
        return Seconds(self._timing.renew_deadline / 2)

    def _tell(self) -> None:
        epoch = self.epoch
        if epoch == self._told:
            return
        if epoch is not None:
            _log.info("leading, epoch %d", epoch)
        else:
            holder = self._election.holder
            whose = "its own has run out" if holder == self._election.identity else f"held by {holder or 'nobody'}"
            _log.warning("not leading any more; the Lease: %s", whose)
        self._told = epoch
        self._changed()

    def _manifest(self, lease: LeaderLease) -> dict[str, object]:
        metadata = {"namespace": self._namespace, "name": self._name, "ownerReferences": self._owners or []}
        return {
            "apiVersion": kinds.LEASES.api_version,
            "kind": kinds.LEASES.name,
            "metadata": metadata | ({"resourceVersion": lease.version} if lease.version else {}),
            "spec": {
                "holderIdentity": lease.holder,
                # Whole seconds are all the API knows; ours are, but for tests.
                "leaseDurationSeconds": max(1, round(lease.duration)),
                "acquireTime": lease.acquire_time,
                "renewTime": lease.renew_time,
                "leaseTransitions": lease.transitions,
            },
        }


def read_leader_lease(manifest: Json) -> LeaderLease:
    """The leader's Lease as the API server gives it; one that nobody has written properly is free.

    Raises:
        FieldError: it is no Lease.
    """
    document = Fields("", manifest)
    spec = document.child("spec", optional=True)
    return LeaderLease(
        holder=spec.text("holderIdentity", None, 1024, "", least=0),
        duration=Seconds(spec.integer("leaseDurationSeconds", 1, 1 << 31, 1)),
        acquire_time=spec.text("acquireTime", None, _LONGEST_TIME, "", least=0),
        renew_time=spec.text("renewTime", None, _LONGEST_TIME, "", least=0),
        transitions=spec.integer("leaseTransitions", 0, 1 << 31, 0),
        version=document.child("metadata").text("resourceVersion", None, 32),
    )


def _read_node_lease(manifest: Json) -> NodeLease | None:
    try:
        return read_node_lease(manifest)
    except FieldError as error:  # one agent's fault must not hide the others
        _log.warning("a node's Lease cannot be read: %s", error)
        return None


class NodeLeases:
    """Looks at the nodes' Leases again and again, and exactly when one of them would expire.

    A list every two seconds rather than a watch: only an answer tells that a Lease was *not* renewed, where a watch
    that is silent may as well be dead.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        heartbeats: Heartbeats,
        clock: Clock,
        every: Seconds,
        changed: Callable[[], None],
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._heartbeats = heartbeats
        self._clock = clock
        self._every = every
        self._changed = changed
        self.alive: frozenset[str] = frozenset()
        self.hushed = False

    async def run(self) -> None:
        """Look; never returns."""
        failing = False
        while True:
            try:
                await self.look()
            except ApiError as error:
                if not failing:
                    _log.warning("the nodes' Leases cannot be read, no node is taken for lost: %s", error)
                failing = True
                await asyncio.sleep(self._every)  # what is due cannot be told without an answer
            else:
                failing = False
                await asyncio.sleep(self._pause())

    async def look(self) -> None:
        """Look once; raises ApiError."""
        asked_at, wall = self._clock.steady(), self._clock.wall()
        leases: list[NodeLease] = []
        async for page in self._client.pages(kinds.LEASES, self._namespace):
            leases += filter(None, map(_read_node_lease, page.items))
        self._heartbeats.look(leases, asked_at, wall)
        alive, hushed = self._heartbeats.alive(), self._heartbeats.hushed
        if hushed != self.hushed:
            if hushed:
                _log.warning("no agent is heard of: what serves is left as it is until one is")
            self.hushed = hushed
            self._changed()
        if alive != self.alive:
            if lost := self.alive - alive:
                _log.warning("lost: %s", ", ".join(sorted(lost)))
            if found := alive - self.alive:
                _log.info("alive: %s", ", ".join(sorted(found)))
            self.alive = alive
            self._changed()

    def _pause(self) -> float:
        expiry = self._heartbeats.next_expiry
        until_expiry = self._every if expiry is None else expiry - self._clock.steady()
        return max(_SOON, min(self._every, until_expiry))
