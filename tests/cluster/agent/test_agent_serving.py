"""An agent registers, loads what it is assigned, serves it, and says how that goes."""

from __future__ import annotations

import pytest
from tritonclient.utils import InferenceServerException

from bed.audit import read_requests
from bed.cluster import SYSTEM_NAMESPACE


def test_it_registers_and_renews_its_lease(agent, eventually):
    it = agent("alpha")
    it.wait_until_ready()
    node = it.node()
    assert node["status"]["address"] == it.address
    [device] = node["status"]["devices"]
    assert device["id"] == "host"
    assert device["model"]
    assert device["memoryBytes"] > 1 << 30
    assert device["healthy"]
    assert it.lease()["spec"]["leaseDurationSeconds"] == 15
    first = it.renewed()
    eventually(lambda: it.renewed() > first, 10.0)
    fields = it.cluster.get("inode", "alpha", "--show-managed-fields")["metadata"]["managedFields"]
    managers = {field["manager"] for field in fields if field.get("subresource") == "status"}
    assert managers == {"treadle-agent"}


def test_a_replica_is_loaded_served_and_told_of(agent, replica, infer, eventually, cluster):
    it = agent("alpha")
    one = replica("digits", "alpha", "3.onnx", "2.onnx").create()
    one.wait_for("Serving", "True")
    one.wait_for("Loaded", "True", "Loaded")
    status = one.status()
    assert status["observedEpoch"] == 1
    assert status["address"] == it.address
    assert [tier["name"] for tier in status["tiers"]] == ["tier-0", "tier-1"]
    assert "activeTier" not in status, "none has answered"
    assert infer(status["address"], "digits", 2.0) == 6.0
    assert infer(status["address"], f"digits.{one.namespace}", 1.0) == 3.0

    figures = eventually(lambda: one.status().get("figures", {}).get("good") == 2 and one.status()["figures"], 15.0)
    assert sum(figures["latencyCounts"]) == 2
    assert figures["accuracyCredit"] == "180"
    assert one.status()["activeTier"] == "tier-0"
    assert (figures["late"], figures["shed"], figures["error"]) == (0, 0, 0)

    # Measured at load, for the planner.
    profiles = cluster.get("mp")["items"]
    assert {one["spec"]["sha256"] for one in profiles} == {tier["sha256"] for tier in status["tiers"]}
    assert {one["spec"]["deviceModel"] for one in profiles} == {it.node()["status"]["devices"][0]["model"]}
    for rows in ([batch["rows"] for batch in one["spec"]["batches"]] for one in profiles):
        assert rows == sorted(rows)
        assert rows[0] == 1
        assert len(rows) > 1, "what merging gains is seen by rows"
    [used] = {device["usedBytes"] for device in eventually(lambda: used_devices(it))}
    assert used == sum(tier["memoryBytes"] for tier in status["tiers"])

    # Another model: make-before-break, with the same name and address.
    one.patch(template=replica("digits", "alpha", "5.onnx").manifest["spec"]["template"])
    one.wait_for("Loaded", "True")
    assert infer(it.address, "digits", 1.0) == 5.0

    one.delete()
    eventually(lambda: it.ask("/v2/models/digits/ready") == 404)
    with pytest.raises(InferenceServerException):
        infer(it.address, "digits")


def test_an_idle_agent_writes_nothing_but_its_lease(agent, replica, cluster, eventually):
    def writes() -> list[str]:
        requests = read_requests(cluster.control_plane.audit_log)
        ours = (one for one in requests if one.user == f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-agent")
        return [f"{one.verb} {one.resource} {one.name}" for one in ours if one.verb not in ("get", "list", "watch")]

    earlier = len(writes())  # the log is that of all tests
    it = agent("alpha")
    one = replica("digits", "alpha").create()
    one.wait_for("Loaded", "True")
    eventually(lambda: used_devices(it))  # what was loaded is told at the next look, and the profile is long there
    before, first = len(writes()), it.renewed()
    eventually(lambda: (it.renewed() - first).total_seconds() > 12.0, 30.0)  # two looks at everything
    assert set(writes()[before:]) == {"update leases treadle-node-alpha"}
    assert len([write for write in writes()[earlier:] if write.endswith(f"inferencereplicas/status {one.name}")]) <= 2


def test_loads_do_not_delay_its_lease(agent, replica, models, model):
    it = agent("alpha")
    it.wait_until_ready()
    wanted = []
    for factor in range(11, 19):
        model(models / f"{factor}.onnx", factor)
        wanted.append(replica(f"t{factor}", "alpha", f"{factor}.onnx").create())
    ages = []
    while any(one.condition("Loaded")[0] != "True" for one in wanted):
        ages.append(it.lease_age())
        assert len(ages) < 1000, [one.condition("Loaded") for one in wanted]
    assert max(ages, default=0.0) < 10.0, "renewed every 5 s, good for 15"


def used_devices(it):
    return [device for device in it.node()["status"]["devices"] if device["usedBytes"]]
