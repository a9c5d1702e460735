"""What is told of a replica in each state it can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from treadle_agent.cluster.assignments import Assignment
from treadle_agent.cluster.manifests import node_manifest, profile_manifest, status_manifest
from treadle_agent.cluster.status import Observation, status_of, unreadable
from treadle_agent.executor.gateway import Served
from treadle_agent.executor.protocol import TierSpec, Version
from treadle_agent.frontend.catalog import Entry
from treadle_agent.node_events import Refused
from treadle_agent.program.artifact import TensorSpec
from treadle_api.conditions import Condition, ConditionStatus, find_condition
from treadle_api.node import Device, Node, read_node
from treadle_api.profile import BatchLatency, Profile, read_profile
from treadle_api.replica import ReplicaCondition, ReplicaStatus, read_replica
from treadle_api.units import Bytes, Seconds

ADDRESS, THEN, NOW = "10.0.0.7:8000", "2026-11-22T20:00:00Z", "2026-11-22T20:05:00Z"


def served(tenant) -> Served:
    spec = (TensorSpec("x", "float32", (-1, 4)),)
    tiers = tuple(TierSpec(tier.name, tier.accuracy, "") for tier in tenant.tiers)
    return Served(Version(1, tenant.key, 1.0, 5, 8, tiers), spec, spec, True, ("merged",) * 2, (1e-3,) * 2)


def told(assignment, seen, before=None) -> dict[str, tuple[str, str]]:
    status = status_of(assignment, seen, ADDRESS, before or ReplicaStatus(), NOW)
    return {one.type: (one.status.value, one.reason) for one in status.conditions}


def refused(tenant, **terms) -> Refused:
    return Refused(tenant.key, "spec.tiers[large].model.uri", "ModelNotFound", "there is no file", **terms)


@pytest.fixture
def loaded(replica):
    """A replica that serves: its assignment, and what is seen of it."""
    one = replica()
    return Assignment(one, one), Observation(entry=Entry(one.tenant, served(one.tenant)))


def test_a_replica_that_is_on_its_way(replica):
    one = replica()
    assert told(Assignment(one, one), Observation()) == {
        "Loaded": ("False", "Loading"),
        "Serving": ("False", "NotLoaded"),
        "Draining": ("False", "NotDraining"),
        "Straggling": ("False", "AsExpected"),
    }


def test_a_replica_whose_model_is_fetched_says_how_far(replica):
    one = replica()
    entry = Entry(one.tenant, loading=True, step="fetching tier large, 12 of 30 MiB")
    status = status_of(Assignment(one, one), Observation(entry=entry), "", ReplicaStatus(), NOW)
    message = find_condition(status.conditions, ReplicaCondition.LOADED).message
    assert message == "its models are fetched, compiled and measured: fetching tier large, 12 of 30 MiB"


def test_a_replica_that_serves(loaded):
    assert told(*loaded) == {
        "Loaded": ("True", "Loaded"),
        "Serving": ("True", "Serving"),
        "Draining": ("False", "NotDraining"),
        "Straggling": ("False", "AsExpected"),
    }


def test_a_new_version_on_its_way_while_the_old_one_serves(loaded, replica, tenant):
    new = replica(tenant=tenant("digits", slo={"deadline": "2s"}), generation=2)
    found = told(Assignment(new, new), loaded[1])
    assert found["Loaded"] == ("False", "Loading")
    assert found["Serving"] == ("True", "Serving")


def test_a_model_that_is_refused(replica, tenant, loaded):
    one = replica()
    status = status_of(
        Assignment(one, one),
        Observation(refused=refused(one.tenant, previous=False, temporary=False)),
        ADDRESS,
        ReplicaStatus(),
        NOW,
    )
    condition = find_condition(status.conditions, "Loaded")
    assert (condition.status, condition.reason) == (ConditionStatus.FALSE, "ModelNotFound")
    assert condition.message.startswith("spec.tiers[large].model.uri: there is no file")
    assert find_condition(status.conditions, "Serving").status is ConditionStatus.FALSE

    new = replica(tenant=tenant("digits", slo={"deadline": "2s"}), generation=2)
    seen = replace(loaded[1], refused=refused(new.tenant, previous=True, temporary=False))
    assert told(Assignment(new, new), seen)["Serving"] == ("True", "Serving"), "the previous version goes on"


def test_a_change_that_is_not_the_leaders(loaded, replica):
    assignment, seen = loaded
    late = replica(generation=5, epoch=0)
    status = status_of(Assignment(late, assignment.accepted), seen, ADDRESS, ReplicaStatus(), NOW)
    condition = find_condition(status.conditions, "Loaded")
    assert condition.reason == "StaleEpoch"
    assert condition.observed_generation == 1, "about the spec that was taken, so it is no verdict on the tenant"
    assert (status.observed_generation, status.observed_epoch) == (1, 1)
    assert told(Assignment(late, None), Observation())["Loaded"] == ("False", "StaleEpoch")


def test_a_change_that_cannot_be_read_leaves_what_serves(loaded):
    assignment, seen = loaded
    found = told(assignment, replace(seen, unreadable="spec.epoch: must be an integer"))
    assert found["Loaded"] == ("False", "SpecInvalid")
    assert found["Serving"] == ("True", "Serving")


def test_draining_and_drained(loaded, replica):
    _, seen = loaded
    leaving = replica(draining=True, generation=2)
    assignment = Assignment(leaving, leaving)
    assert told(assignment, replace(seen, under_way=3))["Draining"] == ("True", "Draining")
    assert told(assignment, seen)["Draining"] == ("True", "Drained")
    assert told(assignment, seen)["Serving"] == ("True", "Serving"), "it answers what cannot be passed on"
    assert told(assignment, Observation())["Draining"] == ("True", "Drained")
    assert told(assignment, Observation())["Loaded"] == ("False", "NotLoaded")


@pytest.mark.parametrize(("verdict", "told_as"), [(True, "SlowKernels"), (False, "AsExpected"), (None, "NotJudged")])
def test_the_executors_verdict_on_stragglers(loaded, verdict, told_as):
    assignment, seen = loaded
    assert told(assignment, replace(seen, straggling=verdict))["Straggling"][1] == told_as


def test_a_version_that_the_executor_is_not_given_any_more(loaded):
    assignment, seen = loaded
    found = told(assignment, replace(seen, isolated="it killed the executor process"))
    assert found["Loaded"] == found["Serving"] == ("False", "ExecutorFailed")


def test_a_device_that_has_failed_serves_nobody_and_that_is_not_the_tenants_fault(loaded):
    assignment, seen = loaded
    found = told(assignment, replace(seen, fault="its executor process does not answer", under_way=1))
    assert found["Serving"] == ("False", "DeviceFailed")
    assert found["Loaded"] == ("True", "Loaded"), "another reason here would refuse the tenant"
    leaving = replace(assignment.accepted, draining=True)
    found = told(Assignment(leaving, leaving), replace(seen, fault="it is lost", under_way=1))
    assert found["Draining"] == ("True", "Draining"), "what is under way may be answered yet"
    assert told(assignment, Observation(fault="it is lost"))["Serving"] == ("False", "NotLoaded")


def test_figures_of_an_agent_before_this_one_stay_only_while_it_loads(replica, status):
    one, before = replica(), status()
    assignment = Assignment(one, one)
    assert status_of(assignment, Observation(), ADDRESS, before, NOW).figures == before.figures
    leaving = replica(draining=True)
    for ended in (
        status_of(
            assignment,
            Observation(refused=refused(one.tenant, previous=False, temporary=True)),
            ADDRESS,
            before,
            NOW,
        ),
        status_of(assignment, Observation(fault="its executor process does not answer"), ADDRESS, before, NOW),
        status_of(Assignment(leaving, leaving), Observation(), ADDRESS, before, NOW),
    ):
        assert "figures" not in status_manifest(ended)["status"]


def test_times_of_conditions_move_only_when_their_status_does(loaded):
    assignment, seen = loaded
    before = status_of(assignment, Observation(), ADDRESS, ReplicaStatus(), THEN)
    after = status_of(assignment, seen, ADDRESS, before, NOW)
    times = {one.type: one.last_transition_time for one in after.conditions}
    assert times == {"Loaded": NOW, "Serving": NOW, "Draining": THEN, "Straggling": THEN}


def test_what_is_written_is_what_is_read(status, replica):
    """`treadle_api` reads what the agent writes."""
    one = replica()
    manifest = {
        "apiVersion": "treadle.dev/v1alpha1",
        "kind": "InferenceReplica",
        "metadata": {"name": one.name, "namespace": "default", "generation": 1},
        "spec": {
            "tenantName": "digits", "tenantGeneration": 1, "nodeName": "alpha", "device": "host", "epoch": 1,
            "template": {
                "slo": {"deadline": "1s"},
                "tiers": [{"name": "large", "accuracy": "90", "model": {"uri": "m.onnx"}}],
            },
        },
    }  # fmt: skip
    for wanted in (status(), unreadable("spec.device: is required", 3, ADDRESS, NOW)):
        assert read_replica({**manifest, **status_manifest(wanted)}).status == wanted


def test_a_node_and_a_profile_likewise():
    node = Node(
        name="alpha",
        unschedulable=False,
        cordoned=(),
        address=ADDRESS,
        devices=tuple(
            Device(id_, "a CPU", Bytes(1 << 34), Bytes(4096), 0.42, 1.02, healthy=True, reason="", merge_factor=merged)
            for id_, merged in (("host", 3.75), ("idle", None))
        ),
        conditions=(Condition("Ready", ConditionStatus.TRUE, "Serving", "it serves", 0, NOW),),
        generation=3,
        agent_version="0.1.0",
        observed_generation=3,
    )
    head = {"apiVersion": "treadle.dev/v1alpha1", "metadata": {"name": "alpha", "generation": 3}}
    assert read_node({**head, "kind": "InferenceNode", **node_manifest(node)}) == node
    profile = Profile("ab" * 32, "a CPU", "", Bytes(4096), (BatchLatency(1, Seconds(4.2e-4), Seconds(5e-4)),))
    assert read_profile({**head, "kind": "ModelProfile", **profile_manifest(profile)}) == profile
