"""A leader lets go of its Lease, also when a renewal was under way as it stopped."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from treadle_api.units import Seconds
from treadle_operator.election import Election, ElectionTiming
from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import ConflictError
from treadle_operator.kube.lease import Leadership

Manifest = dict[str, Any]
ME = "me"
WHO = {"username": "system:serviceaccount:ns:operators", "uid": "uid-of-the-account"}


class Leases:
    """An API server with one Lease, that refuses what is not of its version."""

    def __init__(self) -> None:
        self.lease: Manifest = {}

    def store(self, body: Manifest) -> Manifest:
        version = int(self.lease["metadata"]["resourceVersion"]) + 1 if self.lease else 1
        self.lease = body | {"metadata": {**body["metadata"], "resourceVersion": str(version)}}
        return self.lease

    async def create(self, _kind: object, _namespace: str, body: Manifest, _timeout: float) -> Manifest:
        return self.store(body)

    async def review(self, kind: object, _body: Manifest, _timeout: float) -> Manifest:
        assert kind is kinds.SELF_REVIEWS
        return {"status": {"userInfo": WHO}}

    async def replace(self, _kind: object, _namespace: str, _name: str, body: Manifest, _timeout: float) -> Manifest:
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "it has changed")
        return self.store(body)

    async def get(self, *_: object) -> Manifest:
        return self.lease


@pytest.fixture
def leases() -> Leases:
    return Leases()


@pytest.fixture
def leadership(leases: Leases, clock: Any) -> Leadership:
    """Of a process that leads."""
    timing = ElectionTiming()
    it = Leadership(
        cast("KubeClient", leases), "ns", "leader", Election(ME, timing), timing, clock, lambda: 0, lambda: None
    )
    it._election.observe(None, clock.steady())
    claim = it._election.step(clock.steady(), clock.stamp(), 0)
    asyncio.run(it._write(claim.lease))  # type: ignore[union-attr]
    assert leases.lease["spec"]["holderIdentity"] == ME
    return it


def test_it_goes_with_the_operators_account(leases: Leases, leadership: Leadership) -> None:
    owner = {"apiVersion": "v1", "kind": "ServiceAccount", "name": "operators", "uid": "uid-of-the-account"}
    assert leases.lease["metadata"]["ownerReferences"] == [owner]
    asyncio.run(leadership.release())
    assert leases.lease["metadata"]["ownerReferences"] == [owner]


def test_the_lease_is_free_at_once(leases: Leases, leadership: Leadership) -> None:
    asyncio.run(leadership.release())
    assert not leases.lease["spec"]["holderIdentity"]


def test_a_renewal_that_came_after_all_is_no_hindrance(leases: Leases, leadership: Leadership) -> None:
    leases.store(leases.lease)
    asyncio.run(leadership.release())
    assert not leases.lease["spec"]["holderIdentity"]


def test_another_leader_s_lease_is_left_alone(leases: Leases, leadership: Leadership) -> None:
    leases.store(leases.lease | {"spec": {**leases.lease["spec"], "holderIdentity": "another"}})
    asyncio.run(leadership.release())
    assert leases.lease["spec"]["holderIdentity"] == "another"


def test_a_write_ends_before_another_can_lead() -> None:
    for timing in (ElectionTiming(), ElectionTiming.scaled(Seconds(3.0))):
        assert timing.renew_deadline + timing.write_timeout <= timing.lease_duration
