"""When an InferenceNode is written: facts at once, figures when they have moved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from treadle_agent.cluster.registration import is_due
from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import Device, Node
from treadle_api.units import Bytes

DEVICE = Device("host", "a CPU", Bytes(1 << 34), Bytes(1000), 0.4, 1.0, healthy=True, reason="")
READY = Condition("Ready", ConditionStatus.TRUE, "Serving", "", 0, "2026-11-22T20:00:00Z")
NODE = Node(
    name="alpha", unschedulable=False, cordoned=(), address="h:1", devices=(DEVICE,), conditions=(READY,), generation=1
)


@pytest.mark.parametrize(
    ("change", "due"),
    [
        ({}, False),
        ({"used": Bytes(1099)}, False),
        ({"used": Bytes(1101)}, True),
        ({"used": Bytes(0)}, True),
        ({"utilisation": 0.49}, False),
        ({"utilisation": 0.51}, True),
        ({"stretch": 1.09}, False),
        ({"stretch": 1.2}, True),
        ({"healthy": False, "reason": "it does not answer"}, True),
    ],
)
def test_devices(change, due):
    assert is_due(NODE, replace(NODE, devices=(replace(DEVICE, **change),))) is due


def test_conditions_and_the_address():
    assert is_due(NODE, replace(NODE, address="h:2"))
    assert is_due(NODE, replace(NODE, conditions=(replace(READY, status=ConditionStatus.FALSE),)))
    assert is_due(NODE, replace(NODE, devices=()))
    assert not is_due(NODE, replace(NODE, generation=2, unschedulable=True)), "that is the spec's"
