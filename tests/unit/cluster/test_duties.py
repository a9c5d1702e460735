"""From assignments to what is told of them."""

from __future__ import annotations

import asyncio

from treadle_agent.cluster.duties import Duties


def manifest(epoch: int, uid: str) -> dict[str, object]:
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceReplica",
        "metadata": {"name": "digits-1234567890", "namespace": "default", "generation": 1, "uid": uid},
        "spec": {
            "tenantName": "digits", "tenantGeneration": 1, "nodeName": "alpha", "device": "host", "epoch": epoch,
            "template": {
                "slo": {"deadline": "1s"}, "tiers": [{"name": "a", "accuracy": "9", "model": {"uri": "a.onnx"}}],
            },
        },
    }  # fmt: skip


def test_a_refused_change_is_told_once_for_each_replica_and_forgotten_with_it(caplog):
    async def body() -> None:
        it = Duties({}, "10.0.0.7:8000", lambda: None)
        it.leader.changed({"spec": {"leaseTransitions": 5}})
        it.replicas.listed([])

        async def told(change) -> int:
            caplog.clear()
            change()
            await asyncio.sleep(0.01)
            return sum("is refused" in record.message for record in caplog.records)

        assert await told(lambda: it.replicas.changed(manifest(4, "one"))) == 1
        assert await told(lambda: it.leader.changed({"spec": {"leaseTransitions": 6}})) == 0, "it was told"
        assert await told(lambda: it.replicas.removed(manifest(4, "one"))) == 0
        assert await told(lambda: it.replicas.changed(manifest(4, "another"))) == 1

    asyncio.run(body())


def test_who_tells_of_a_replica_beside_this_agent_is_noticed():
    strangers: list[int] = []

    async def body() -> None:
        it = Duties({}, "10.0.0.7:8000", lambda: strangers.append(1))
        it.replicas.listed([{**manifest(4, "one"), "status": {"address": "10.0.0.6:8000"}}])
        it.replicas.changed(manifest(4, "one"))
        it.replicas.changed({**manifest(4, "one"), "status": {"address": "10.0.0.7:8000"}})
        assert strangers == [], "what was told before it started says nothing"
        it.replicas.changed({**manifest(4, "one"), "status": {"address": "10.0.0.8:8000"}})

    asyncio.run(body())
    assert strangers == [1]
