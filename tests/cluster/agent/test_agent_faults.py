"""What cannot be loaded, who may not say so any more, and devices that are not there."""

from __future__ import annotations

import re
import shutil

REFUSED = {
    "missing": ({"uri": "nowhere.onnx"}, "ModelNotFound", r"tiers\[tier-0\]\.model\.uri: there is no file"),
    "other": (
        {"uri": "2.onnx", "sha256": "0" * 64},
        "DigestMismatch",
        r"tiers\[tier-0\]\.model\.sha256: .* the sha256",
    ),
    "text": ({"uri": "text.onnx"}, "ModelInvalid", r"tiers\[tier-0\]\.model: "),
    "strange": ({"uri": "strange.onnx"}, "ModelUnsupported", r"tiers\[tier-0\]\.model: .*NonZero"),
}


def test_models_that_cannot_be_loaded(agent, replica, models, unsupported, eventually):
    (models / "text.onnx").write_text("this is no model")
    shutil.copy(unsupported, models / "strange.onnx")
    it = agent("alpha")
    good = replica("good", "alpha", "2.onnx").create()
    bad = {name: replica(name, "alpha", "2.onnx") for name in REFUSED}
    for name, one in bad.items():
        model = REFUSED[name][0]
        one.manifest["spec"]["template"]["tiers"][0]["model"] = {**model, "uri": str(models / model["uri"])}
        one.create()
    for name, one in bad.items():
        _, reason, message = REFUSED[name]
        found = one.wait_for("Loaded", "False", reason)
        assert re.search(message, found["message"]), found["message"]
        assert one.condition("Serving") == ("False", "NotLoaded")
    good.wait_for("Loaded", "True")
    waits = eventually(lambda: re.findall(r"missing\.\S+ on host: .*; next try in (\d+) s", it.program.output)[1:])
    assert int(waits[0]) >= 10, "it waits longer each time"
    bad["text"].patch(template=good.manifest["spec"]["template"])
    bad["text"].wait_for("Loaded", "True")


def test_a_model_that_appears_is_taken_up(agent, replica, models, eventually):
    agent("alpha")
    (models / "late.onnx").unlink(missing_ok=True)
    one = replica("late", "alpha", "late.onnx").create()
    one.wait_for("Loaded", "False", "ModelNotFound")
    shutil.copy(models / "4.onnx", models / "late.onnx")
    one.wait_for("Loaded", "True", seconds=30.0)


def test_a_leader_that_leads_no_more_is_refused(agent, replica, leader, infer, eventually):
    it = agent("alpha")
    one = replica("digits", "alpha", "2.onnx", epoch=1).create()
    one.wait_for("Loaded", "True")
    leader.lead(3)
    it.program.wait_for("the leader's epoch is 3")

    # A paused leader of epoch 2 wakes up.
    template = replica("digits", "alpha", "5.onnx").manifest["spec"]["template"]
    accepted = one.get()["metadata"]["generation"]
    one.patch(epoch=2, template=template)
    stray = replica("stray", "alpha", "2.onnx", epoch=2).create()
    one.wait_for("Loaded", "False", "StaleEpoch")
    stray.wait_for("Loaded", "False", "StaleEpoch")
    assert one.condition("Serving") == ("True", "Serving")
    assert one.status()["observedGeneration"] == accepted
    assert one.status()["observedEpoch"] == 1
    assert infer(it.address, "digits") == 2.0
    assert it.ask("/v2/models/stray/ready") == 404
    assert "its epoch is 2, the leader's 3" in it.program.output

    # The leader itself.
    one.patch(epoch=3, template=template)
    one.wait_for("Loaded", "True", "Loaded")
    assert infer(it.address, "digits") == 5.0

    # What an agent finds when it starts it takes as it is.
    it.program.kill()
    it.program.start()
    stray.wait_for("Loaded", "True")


def test_a_device_that_the_node_has_not(agent, replica):
    agent("alpha")
    one = replica("digits", "alpha", "2.onnx", device="GPU-1").create()
    assert "has no device GPU-1; it has host" in one.wait_for("Loaded", "False", "DeviceNotFound")["message"]


def test_two_devices_serve_one_tenant(agent, replica, infer, eventually):
    it = agent("alpha", "host", "simulated:V100")
    it.wait_until_ready()
    assert [device["id"] for device in it.node()["status"]["devices"]] == ["host", "simulated:V100"]
    first = replica("digits", "alpha", "2.onnx").create()
    second = replica("digits", "alpha", "2.onnx", device="simulated:V100").create()
    first.wait_for("Serving", "True")
    second.wait_for("Serving", "True")
    assert infer(it.address, "digits") == 2.0

    # One device is given up: the other one answers, and nothing is forwarded anywhere.
    first.patch(draining=True, successors=[it.address])
    first.wait_for("Draining", "True", "Drained", 10.0)
    assert it.ask("/v2/models/digits/ready") == 200
    first.delete()
    eventually(lambda: it.node()["status"]["devices"][0]["usedBytes"] == 0)
    assert infer(it.address, "digits") == 2.0
    eventually(lambda: second.status().get("figures", {}).get("good", 0) >= 1, 20.0)


def test_a_second_agent_of_a_name_takes_the_node_over(agent):
    first = agent("alpha")
    first.wait_until_ready()
    second = agent("alpha")
    assert first.program.wait(60.0) == 1  # it has waited to be asked to
    assert "serves node alpha now" in first.program.output
    assert second.program.alive
    second.wait_until_ready()
    assert second.node()["status"]["address"] == second.address, "the first one's last words are not about it"
    assert {one["reason"] for one in second.node()["status"]["conditions"]} == {"Serving"}
