"""What is read of each object, and what it is where it is not given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from treadle_api.conditions import ConditionStatus
from treadle_api.fields import FieldError
from treadle_api.node import CordonedDevice, Device, read_node
from treadle_api.profile import BatchLatency, LoadLatency, profile_name, read_profile
from treadle_api.replica import Figures, ReplicaStatus, read_replica
from treadle_api.tenant import read_tenant
from treadle_api.units import Seconds, format_decimal, format_duration, format_rate, parse_decimal, parse_duration


def test_a_replica(object_cases):
    case = object_cases["replica"]
    found = read_replica(case.changed({"metadata.generation": 7, "metadata.deletionTimestamp": "2026-11-22T20:30:00Z"}))
    assert (found.name, found.namespace, found.node, found.device) == (
        "digits-0f3a9c2b71",
        "shop",
        "node-1.rack-2",
        "GPU-5c9b1f0e",
    )
    assert (found.tenant_generation, found.epoch, found.draining, found.generation, found.deleting) == (
        3,
        4,
        True,
        7,
        True,
    )
    assert found.successors == ("10.0.0.8:8000", "[fd00::9]:8000")
    status = found.status
    assert (status.observed_generation, status.observed_epoch, status.address) == (5, 4, "10.0.0.7:8000")
    assert [(one.type, one.status) for one in status.conditions] == [("Loaded", ConditionStatus.TRUE)]
    assert status.active_tier == "large"
    assert [(one.name, one.implementation, one.service_seconds, one.memory) for one in status.tiers] == [
        ("large", "merged", 0.00042, 1048576)
    ]
    figures = status.figures
    assert (figures.window, figures.good, figures.late, figures.shed, figures.error) == (60, 100, 2, 3, 1)
    assert (figures.total, figures.accuracy_credit, figures.device_seconds) == (106, 9750, 3.25)
    assert sum(figures.latency_counts) == 102


def test_a_replicas_tenant_is_the_one_that_its_template_was_copied_from(object_cases):
    tenant = object_cases["tenant"].changed({"spec.load": None, "spec.replicas": None, "spec.nodeSelector": None})
    assert read_replica(object_cases["replica"].whole).tenant == read_tenant(tenant)


def test_errors_in_a_template_name_the_field_in_the_template(object_cases):
    with pytest.raises(FieldError) as error:
        read_replica(object_cases["replica"].changed({"spec.template.slo.minAccuracy": "99"}))
    assert error.value.field == "spec.template.slo.minAccuracy"


def test_a_replica_that_no_agent_has_seen(object_cases):
    manifest = object_cases["replica"].changed({"status": None, "spec.draining": None, "spec.successors": None})
    found = read_replica(manifest)
    assert (found.draining, found.successors, found.deleting, found.generation) == (False, (), False, 0)
    assert found.status == ReplicaStatus()
    assert (found.status.figures, found.status.figures.total) == (Figures(Seconds(0)), 0)


def test_a_node(object_cases):
    found = read_node(object_cases["node"].changed({"metadata.generation": 2}))
    assert (found.name, found.unschedulable, found.address) == ("node-1.rack-2", True, "10.0.0.7:8000")
    assert (found.agent_version, found.generation, found.observed_generation) == ("0.1.0", 2, 2)
    assert found.cordoned == (CordonedDevice("GPU-00000000", "slows all of its tenants"),)
    assert [one.type for one in found.conditions] == ["Ready"]
    first, second = found.devices
    assert replace(first, merge_factor=None) == Device(
        "GPU-5c9b1f0e", "NVIDIA A100-SXM4-80GB", 85899345920, 1048576, 0.42, 1.02, healthy=True, reason="",
        precisions=("Float32", "TF32", "Float16"),
    )  # fmt: skip
    assert second.precisions == ("Float32",), "what an agent does not tell"
    assert (first.merge_factor, second.merge_factor) == (3.75, None)
    assert (found.devices[1].healthy, found.devices[1].reason) == (False, "XID 79")


def test_a_node_that_was_just_created(object_cases):
    found = read_node(object_cases["node"].changed({"spec": None, "status": None}))
    assert (found.unschedulable, found.cordoned, found.address, found.devices, found.conditions) == (
        False,
        (),
        "",
        (),
        (),
    )


def test_a_profile(object_cases):
    found = read_profile(object_cases["profile"].whole)
    assert found.name == object_cases["profile"].whole["metadata"]["name"]
    assert (found.sha256[:4], found.device_model, found.memory) == ("9f86", "NVIDIA A100-SXM4-80GB", 1048576)
    assert found.architecture.startswith("fd61")
    assert found.batches == (BatchLatency(1, 0.0042, 0.0048), BatchLatency(8, 0.0051, 0.0059)), "by rising rows"
    assert found.loads == (LoadLatency(250, 0.006, 0.011), LoadLatency(500, 0.008, 0.019))
    assert read_profile(object_cases["profile"].changed({"spec.loads": None})).loads == ()


def test_profiles_of_different_things_have_different_names():
    names = {
        profile_name(sha256, model)
        for sha256 in ("ab" * 32, "cd" * 32)
        for model in ("NVIDIA L4", "nvidia-l4", "NVIDIA  L4", "é", "x" * 128, "x" * 127)
    }
    assert len(names) == 12
    for name in names:
        assert len(name) <= 253
        assert name.replace("-", "").isalnum()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.75, "750ms"), (90, "1m30s"), (0, "0s"), (0.0001, "1ms"), (3661.001, "1h1m1s1ms"), (0.3, "300ms"), (7200, "2h")],
)
def test_durations_are_written_as_they_are_read(seconds, text):
    assert format_duration(seconds) == text
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-3)


@pytest.mark.parametrize(("value", "text"), [(0.00042, "0.00042"), (4.2e-5, "0.000042"), (100.0, "100"), (0.0, "0")])
def test_decimals_are_written_without_exponents(value, text):
    assert format_decimal(value) == text
    assert parse_decimal(text) == value
    assert format_decimal(1 / 3, 2) == "0.33"


@pytest.mark.parametrize(("rate", "text"), [(1e6, "1000000"), (1514.0, "1510"), (1 / 3, "0.333"), (0.0, "0")])
def test_rates_are_told_to_three_digits(rate, text):
    assert format_rate(rate) == text


@pytest.mark.parametrize("text", ["1999.4", "1901", "123456789", "0.000001"])
def test_a_manifest_s_own_rate_is_told_as_it_is(text):
    assert format_rate(parse_decimal(text), exact=parse_decimal(text)) == text
