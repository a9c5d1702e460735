"""The node's Lease: renewed in time whatever hints come that another agent has it, and left to one that renews it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from treadle_agent.cluster.errors import ConflictError, NotFoundError
from treadle_agent.cluster.kube import SELF_REVIEWS
from treadle_agent.cluster.lease import NodeLease, TakenOverError
from treadle_agent.cluster.settings import ClusterSettings

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
WHO = {"username": "system:serviceaccount:treadle-system:treadle-agent", "uid": "uid-of-the-account"}
OWNER = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "treadle-agent", "uid": "uid-of-the-account"}


class Api:
    """One Lease, or none; `renewals` counts writes."""

    def __init__(self, lease: dict[str, object] | None = None) -> None:
        self.lease = lease
        self.renewals = 0

    async def get(self, *_: object) -> dict[str, object]:
        if self.lease is None:
            raise NotFoundError(404, "none")
        return self.lease

    async def create(self, kind: object, _namespace: str, manifest: dict[str, object], _patience: float) -> object:
        if kind is SELF_REVIEWS:
            return {"status": {"userInfo": WHO}}
        return await self.replace(kind, _namespace, "", manifest, _patience)

    async def replace(self, _k: object, _n: str, _name: str, manifest: dict[str, object], _p: float) -> object:
        told = manifest["metadata"]
        if self.lease is not None and told["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(409, "changed")
        self.renewals += 1
        self.lease = {**manifest, "metadata": {**told, "resourceVersion": str(self.renewals)}}
        return self.lease


def others(age: float) -> dict[str, object]:
    """Another agent's, renewed so many seconds ago."""
    renewed = (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": "10.0.0.1:8000", "renewTime": renewed}
    owner = OWNER | {"uid": "of an earlier installation"}
    metadata = {"name": "treadle-node-a", "resourceVersion": "0", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": spec}


def run(api: Api, body, loaded=lambda: True, renew: float = 5.0) -> None:
    async def main() -> None:
        settings = ClusterSettings("a", "10.0.0.2:8000", renew_seconds=renew)
        lease = NodeLease(api, settings, loaded, lambda: NOW)
        task = asyncio.create_task(lease.run())
        try:
            await body(lease, task)
        finally:
            task.cancel()

    asyncio.run(main())


def test_hints_do_not_put_off_the_next_renewal():
    api = Api()

    async def body(lease: NodeLease, _task: object) -> None:
        await lease.held.wait()
        for _ in range(20):
            await lease.confirm()
        before = api.renewals
        await asyncio.sleep(0.25)
        assert api.renewals > before

    run(api, body, renew=0.1)


@pytest.mark.parametrize(("age", "taken"), [(1.0, False), (14.0, False), (16.0, True)])
def test_a_lease_that_is_renewed_is_not_taken_before_all_is_loaded(age: float, taken: bool):
    api = Api(others(age))
    loaded = False

    async def body(lease: NodeLease, _task: object) -> None:
        nonlocal loaded
        await asyncio.sleep(0.05)
        assert lease.held.is_set() is taken
        loaded = True
        await asyncio.wait_for(lease.held.wait(), 2.0)

    run(api, body, lambda: loaded)


def test_who_has_lost_it_is_told_by_whom_at_the_next_hint():
    api = Api()

    async def body(lease: NodeLease, task: asyncio.Task[None]) -> None:
        await lease.held.wait()
        await lease.confirm()
        api.lease = others(0.0)
        lease.look_soon()
        with pytest.raises(TakenOverError) as raised:
            await asyncio.wait_for(task, 2.0)
        assert raised.value.address == "10.0.0.1:8000"

    run(api, body)


@pytest.mark.parametrize("lease", [None, others(16.0)])
def test_it_goes_with_the_account_of_who_holds_it(lease: dict[str, object] | None):
    api = Api(lease)

    async def body(lease: NodeLease, _task: object) -> None:
        await lease.held.wait()
        await lease.confirm()
        await lease.confirm()
        assert api.renewals > 1
        assert api.lease["metadata"]["ownerReferences"] == [OWNER]

    run(api, body)
