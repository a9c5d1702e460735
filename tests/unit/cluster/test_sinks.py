"""What the API server says becomes assignments; what cannot be read stops nothing."""

from __future__ import annotations

import pytest

from treadle_agent.cluster.assignments import Assignments
from treadle_agent.cluster.sinks import LeaderSink, ReplicaSink


def manifest(name: str = "digits", generation: int = 1, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceReplica",
        "metadata": {
            "name": f"{name}-1234567890", "namespace": "default", "generation": generation, "uid": f"uid-of-{name}",
        },
        "spec": {
            "tenantName": name, "tenantGeneration": 1, "nodeName": "alpha", "device": "host", "epoch": 1,
            "template": {
                "slo": {"deadline": "1s"}, "tiers": [{"name": "a", "accuracy": "9", "model": {"uri": "a.onnx"}}],
            },
            **spec,
        },
    }  # fmt: skip


@pytest.fixture
def world():
    """Assignments, their sink, and how often they have changed."""
    assignments, changes = Assignments(), []
    return assignments, ReplicaSink(assignments, lambda: changes.append(1), lambda _: None), changes


def names(assignments) -> list[str]:
    return [key for key, _ in assignments]


def test_lists_and_events(world):
    assignments, sink, changes = world
    sink.listed([manifest("a"), manifest("b")])
    sink.changed(manifest("c"))
    sink.removed(manifest("a"))
    assert names(assignments) == ["default/b-1234567890", "default/c-1234567890"]
    assert sink.uids == {"default/b-1234567890": "uid-of-b", "default/c-1234567890": "uid-of-c"}
    assert len(changes) == 3


def test_our_own_writes_change_nothing(world):
    _, sink, changes = world
    sink.listed([manifest()])
    sink.changed({**manifest(), "status": {"observedGeneration": 1}})
    assert len(changes) == 1
    sink.changed(manifest(generation=2, draining=True))
    assert len(changes) == 2


def test_what_is_being_deleted_is_gone(world):
    assignments, sink, _ = world
    sink.listed([manifest()])
    doomed = manifest()
    doomed["metadata"]["deletionTimestamp"] = "2026-11-22T20:00:00Z"
    sink.changed(doomed)
    assert names(assignments) == []


def test_what_cannot_be_read_is_told_and_what_was_taken_before_stays(world):
    assignments, sink, _ = world
    sink.listed([manifest(), manifest("bad", epoch="one")])
    assert names(assignments) == ["default/digits-1234567890"]
    assert "spec.epoch" in sink.unreadable["default/bad-1234567890"].problem
    sink.changed(manifest(generation=2, device=""))
    assert assignments.get("default/digits-1234567890").accepted.generation == 1
    assert sink.unreadable["default/digits-1234567890"].generation == 2
    sink.changed(manifest(generation=3))
    sink.removed(manifest("bad"))
    assert sink.unreadable == {}
    assert assignments.get("default/digits-1234567890").accepted.generation == 3


def test_it_stays_in_a_later_list_too(world):
    assignments, sink, _ = world
    sink.listed([manifest()])
    sink.listed([manifest(generation=2, device="")])
    assert assignments.get("default/digits-1234567890").accepted.generation == 1
    assert sink.unreadable["default/digits-1234567890"].generation == 2


def another(name: str, uid: str, **spec: object) -> dict[str, object]:
    """One that was made again under the name."""
    made = manifest(name, **spec)
    return {**made, "metadata": {**made["metadata"], "uid": uid}}


def test_one_made_again_within_a_gap_of_the_watch_is_a_change(world):
    assignments, sink, changes = world
    sink.listed([manifest()])
    sink.changed(another("digits", "made-again"))
    assert len(changes) == 2
    assert assignments.get("default/digits-1234567890").accepted.uid == "made-again"


def test_nothing_of_the_old_one_goes_on_where_the_new_one_cannot_be_read(world):
    assignments, sink, _ = world
    sink.listed([manifest()])
    sink.changed(another("digits", "made-again", epoch="one"))
    assert names(assignments) == []
    sink.listed([manifest()])
    sink.listed([another("digits", "made-again", epoch="one")])
    assert names(assignments) == []


def lease(**spec: object) -> dict[str, object]:
    return {"metadata": {"name": "treadle-operator"}, "spec": spec}


def test_the_leaders_epoch():
    assignments, changes = Assignments(), []
    sink = LeaderSink(assignments, lambda: changes.append(assignments.epoch))
    assert not sink.known.is_set()
    sink.listed([])
    assert sink.known.is_set()
    assert assignments.epoch == 0
    sink.changed(lease(leaseTransitions=3, holderIdentity="a"))
    sink.changed(lease(leaseTransitions=3, holderIdentity="a", renewTime="2026-11-22T20:00:00.000000Z"))
    sink.changed(lease(leaseTransitions="many"))
    assert changes == [3]
    sink.removed(lease())
    assert changes == [3, 0]
