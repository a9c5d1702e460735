"""The node's Lease: renewed while the agent lives, gone when it has ended in order, or when its account is gone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from treadle_agent.cluster.errors import ConflictError, KubeError, NotFoundError
from treadle_agent.cluster.kube import LEASES, SELF_REVIEWS, Json, KubeClient
from treadle_agent.cluster.settings import ClusterSettings
from treadle_api.fields import FieldError, Fields
from treadle_api.leases import lease_owners

RETRY_SECONDS = 1.0
LOOK_SECONDS = 0.2  # between looks at whether this agent may have it

_log = logging.getLogger(__name__)


class TakenOverError(Exception):
    """Raised when another agent, at `address`, has the Lease of this node: what is told of the node it tells now."""

    def __init__(self, node: str, address: str) -> None:
        super().__init__(f"another agent, at {address}, serves node {node} now: give each its own --node-name")
        self.address = address


class NodeLease:
    """This agent's; it is told from others by its address.

    One that another agent renews is taken once `is_loaded`: until then the other one answers. `held` is set when it is
    ours for the first time. `clock` gives the wall time.
    """

    def __init__(
        self,
        client: KubeClient,
        settings: ClusterSettings,
        is_loaded: Callable[[], bool],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.held = asyncio.Event()
        self._client = client
        self._settings = settings
        self._is_loaded = is_loaded
        self._clock = clock
        self._last: Json | None = None  # the Lease as we wrote it last
        self._owners: list[dict[str, str]] | None = None  # of the Lease; None: not asked for yet
        self._soon = asyncio.Event()
        self._tried = asyncio.Event()

    async def run(self) -> None:
        """Renew, for as long as this runs.

        Raises:
            TakenOverError: another agent has it now.
        """
        loop = asyncio.get_running_loop()
        due, lost = loop.time(), False
        while True:
            self._soon.clear()
            begun = loop.time()
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
                rest = self._settings.renew_seconds if self._last else LOOK_SECONDS
                due = max(min(due, begun) + rest, loop.time())
            self._tried.set()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._soon.wait()

    def look_soon(self) -> None:
        """Another agent may have it by now."""
        self._soon.set()

    async def confirm(self) -> None:
        """Return once it was renewed, or that was tried; never where another agent has it."""
        self._tried.clear()
        self._soon.set()
        await self._tried.wait()

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
        """Make the Lease ours, whosever it was: whoever starts last has the node; after the other one, if it lives."""
        name, namespace = self._settings.lease, self._settings.namespace
        patience = self._settings.renew_seconds
        if self._owners is None:
            review = {"apiVersion": SELF_REVIEWS.api_version, "kind": SELF_REVIEWS.name}
            self._owners = lease_owners(await self._client.create(SELF_REVIEWS, "", review, patience), namespace)
        owned = {"name": name, "ownerReferences": self._owners}
        try:
            found = await self._client.get(LEASES, namespace, name, patience)
        except NotFoundError:
            self._last = await self._client.create(LEASES, namespace, self._manifest(owned), patience)
            self.held.set()
            return
        holder = _holder(found)
        if holder not in (self._settings.address, None):
            if not self.held.is_set() and not self._is_loaded() and self._holds(found):
                return
            _log.warning("node %s was served by an agent at %s; it is this one's now", self._settings.node, holder)
        metadata = found["metadata"]
        assert isinstance(metadata, dict)
        self._last = await self._client.replace(LEASES, namespace, name, self._manifest(metadata | owned), patience)
        self.held.set()

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
                raise TakenOverError(self._settings.node, str(_holder(found))) from None
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

    def _holds(self, lease: Json) -> bool:
        """Whether its holder has renewed it in time."""
        try:
            spec = Fields("", lease).child("spec")
            renewed = datetime.fromisoformat(spec.text("renewTime", None, 64, ""))
        except (FieldError, ValueError):
            return False
        return self._clock() - renewed < timedelta(seconds=self._settings.lease_seconds)


def _holder(lease: Json) -> str | None:
    spec = lease.get("spec")
    holder = spec.get("holderIdentity") if isinstance(spec, dict) else None
    return str(holder) if holder else None
