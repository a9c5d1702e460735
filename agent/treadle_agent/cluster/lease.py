"""The node's Lease: renewed while the agent lives, gone when it has ended in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime

from treadle_agent.cluster.errors import ConflictError, KubeError, NotFoundError
from treadle_agent.cluster.kube import LEASES, Json, KubeClient
from treadle_agent.cluster.settings import ClusterSettings

RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


class TakenOverError(Exception):
    """Raised when another agent renews the Lease of this node: both were given the same --node-name."""


class NodeLease:
    """This agent's; it is told from others by its address. `clock` gives the wall time."""

    def __init__(
        self, client: KubeClient, settings: ClusterSettings, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._client = client
        self._settings = settings
        self._clock = clock
        self._last: Json | None = None  # the Lease as we wrote it last

    async def run(self) -> None:
        """Renew, for as long as this runs.

        Raises:
            TakenOverError: another agent has it now.
        """
        loop = asyncio.get_running_loop()
        due, lost = loop.time(), False
        while True:
            try:
                await (self._take() if self._last is None else self._renew(self._last))
            except KubeError as error:
                if not lost:
                    _log.warning("the node's Lease cannot be renewed: %s", error)
                lost = True
                due = max(due, loop.time()) + RETRY_SECONDS
            else:
                if lost:
                    _log.warning("the node's Lease is renewed again")
                lost = False
                due = max(due + self._settings.renew_seconds, loop.time())
            await asyncio.sleep(due - loop.time())

    async def release(self) -> None:
        """Delete the Lease, if it is still ours: nobody needs to wait for it to expire."""
        if self._last is None:
            return
        metadata = self._last["metadata"]
        assert isinstance(metadata, dict)
        try:
            await self._client.delete(
                LEASES, self._settings.namespace, self._settings.lease, metadata["resourceVersion"], RETRY_SECONDS
            )
        except KubeError as error:
            _log.warning("the node's Lease stays until it expires: %s", error)
        self._last = None

    async def _take(self) -> None:
        """Make the Lease ours, whosever it was: whoever starts last has the node."""
        name, namespace = self._settings.lease, self._settings.namespace
        patience = self._settings.renew_seconds
        try:
            found = await self._client.get(LEASES, namespace, name, patience)
        except NotFoundError:
            self._last = await self._client.create(LEASES, namespace, self._manifest({"name": name}), patience)
            return
        holder = _holder(found)
        if holder not in (self._settings.address, None):
            _log.warning("node %s was served by an agent at %s; it is this one's now", self._settings.node, holder)
        metadata = found["metadata"]
        assert isinstance(metadata, dict)
        self._last = await self._client.replace(LEASES, namespace, name, self._manifest(metadata), patience)

    async def _renew(self, last: Json) -> None:
        name, namespace = self._settings.lease, self._settings.namespace
        metadata = last["metadata"]
        assert isinstance(metadata, dict)
        patience = self._settings.renew_seconds
        try:
            self._last = await self._client.replace(LEASES, namespace, name, self._manifest(metadata), patience)
        except NotFoundError:
            self._last = None  # somebody has deleted it
            await self._take()
        except ConflictError:
            found = await self._client.get(LEASES, namespace, name, patience)
            if _holder(found) != self._settings.address:
                self._last = None
                raise TakenOverError(
                    f"another agent, at {_holder(found)}, serves node {self._settings.node} now: give each its own "
                    "--node-name"
                ) from None
            self._last = found  # our own write, whose answer was lost
            await self._renew(found)

    def _manifest(self, metadata: Json) -> Json:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.name,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._settings.address,
                "leaseDurationSeconds": self._settings.lease_seconds,
                "renewTime": self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }


def _holder(lease: Json) -> str | None:
    spec = lease.get("spec")
    holder = spec.get("holderIdentity") if isinstance(spec, dict) else None
    return str(holder) if holder else None
