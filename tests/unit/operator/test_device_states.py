"""Which devices take new replicas, and which must be left."""

from __future__ import annotations

from dataclasses import replace

import pytest
from operator_objects import make_device, make_node, make_snapshot, make_tenant

from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import CordonedDevice
from treadle_api.tenant import Precision
from treadle_operator.policy.devices import explain_none, lacking, leave_missing, read_devices, terms_of
from treadle_operator.snapshot import Cause, NodeView, Taint, TaintEffect


def taint(effect: TaintEffect, key: str = "repair", value: str = "") -> Taint:
    return Taint(key, value, effect)


def never_heard_of() -> NodeView:
    """A node whose agent has registered it, and renewed no Lease yet."""
    view = make_node(alive=False)
    return replace(view, node=replace(view.node, conditions=()))


def ready(status: ConditionStatus, reason: str) -> NodeView:
    """A node whose agent says so."""
    view = make_node()
    return replace(view, node=replace(view.node, conditions=(Condition("Ready", status, reason, ""),)))


@pytest.mark.parametrize(
    ("node", "closed", "cause", "serves"),
    [
        (make_node(), "", None, True),
        (make_node(alive=False), "the agent of node n0 is not heard of any more", Cause.NODE_LOST, False),
        (never_heard_of(), "the agent of node n0 has not been heard of yet", Cause.NODE_LOST, False),
        (make_node(unschedulable=True), "node n0 is unschedulable (InferenceNode)", Cause.DEVICE_CORDONED, True),
        (
            ready(ConditionStatus.FALSE, "Stopping"),
            "the agent of node n0 was asked to stop",
            Cause.NODE_STOPPING,
            True,
        ),
        (ready(ConditionStatus.FALSE, "Starting"), "", None, True),
        (ready(ConditionStatus.TRUE, "Serving"), "", None, True),
        (make_node(core_cordoned=True), "node n0 is cordoned", None, True),
        (make_node(cordoned=[CordonedDevice("0", "loud")]), "it is cordoned: loud", Cause.DEVICE_CORDONED, True),
        (make_node(cordoned=[CordonedDevice("1", "loud")]), "", None, True),
        (
            make_node(devices=[make_device(healthy=False, reason="XID 79")]),
            "it is not healthy: XID 79",
            Cause.DEVICE_LOST,
            True,
        ),
        (make_node(taints=[taint(TaintEffect.NO_SCHEDULE)]), "node n0 has the taint repair:NoSchedule", None, True),
        (
            make_node(taints=[taint(TaintEffect.NO_EXECUTE, value="now")]),
            "node n0 has the taint repair=now:NoExecute",
            Cause.NODE_UNFIT,
            True,
        ),
        (make_node(taints=[taint(TaintEffect.PREFER_NO_SCHEDULE)]), "", None, True),
        (make_node(taints=[taint(TaintEffect.NO_EXECUTE, "node.kubernetes.io/unreachable")]), "", None, True),
        (make_node(taints=[taint(TaintEffect.NO_SCHEDULE, "nvidia.com/gpu", "present")]), "", None, True),
    ],
)
def test_what_is_open_and_what_must_be_left(node: NodeView, closed: str, cause: Cause | None, serves: bool) -> None:
    state = read_devices(make_snapshot(nodes=[node]))["n0/0"]
    assert state.closed == closed
    assert (state.leave.cause if state.leave else None) == cause
    assert state.leave is None or state.leave.serves == serves


def test_a_taint_that_asks_to_prefer_others_is_noted() -> None:
    states = read_devices(make_snapshot(nodes=[make_node(taints=[taint(TaintEffect.PREFER_NO_SCHEDULE)])]))
    assert states["n0/0"].avoided


@pytest.mark.parametrize(
    ("nodes", "cause"),
    [([], Cause.NODE_LOST), ([make_node(alive=False)], Cause.NODE_LOST), ([make_node()], Cause.DEVICE_LOST)],
)
def test_why_a_place_that_is_no_device_is_left(nodes: list[NodeView], cause: Cause) -> None:
    leave = leave_missing("n0/7", make_snapshot(nodes=nodes))
    assert (leave.cause, leave.serves) == (cause, False)


@pytest.mark.parametrize(
    ("selector", "fits"),
    [((), True), ((("gpu", "a100"),), True), ((("gpu", "h100"),), False), ((("gpu", "a100"), ("zone", "a")), False)],
)
def test_all_labels_of_the_selector_must_match(selector, fits: bool) -> None:
    state = read_devices(make_snapshot(nodes=[make_node(labels={"gpu": "a100"})]))["n0/0"]
    assert (not lacking(terms_of(make_tenant(selector=selector)), state)) == fits


ALL, PLAIN = tuple(Precision), (Precision.FLOAT32,)


@pytest.mark.parametrize(
    ("asked", "floor", "computes", "missing"),
    [
        (Precision.FLOAT32, 0.0, PLAIN, ""),
        (Precision.FLOAT16, 0.0, ALL, ""),
        (Precision.FLOAT16, 0.0, PLAIN, "does not compute Float16"),
        (Precision.TF32, 0.0, (Precision.FLOAT32, Precision.FLOAT16), "does not compute TF32"),
        (Precision.TF32, 95.0, PLAIN, ""),  # the tier is below the floor, and loaded nowhere
    ],
)
def test_a_device_must_compute_as_precisely_as_each_tier_asks(
    asked: Precision, floor: float, computes: tuple[Precision, ...], missing: str
) -> None:
    tenant = make_tenant(floor=floor)
    first, second = tenant.tiers
    tenant = replace(tenant, tiers=(first, replace(second, precision=asked)))
    states = read_devices(make_snapshot(nodes=[make_node("n0", [make_device(precisions=computes)])]))
    assert lacking(terms_of(tenant), states["n0/0"]) == missing
    if missing:
        assert explain_none(tenant, states.values()) == f"none of 1 devices takes it (1 of them: {missing} (n0))"


def test_why_none_fits_is_counted() -> None:
    nodes = [
        make_node("n0", labels={"gpu": "a100"}, core_cordoned=True),
        make_node("n1", [make_device("0"), make_device("1")]),
    ]
    states = read_devices(make_snapshot(nodes=nodes))
    message = explain_none(make_tenant(selector=[("gpu", "a100")]), states.values())
    assert message == (
        "none of 3 devices takes it (2 of them: lacks label gpu=a100 (n1); 1 of them: its node is cordoned (n0))"
    )
    assert "is an agent running" in explain_none(make_tenant(), ())


def test_why_none_fits_stays_short_in_a_large_cluster() -> None:
    nodes = [make_node(f"n{i:04}", core_cordoned=True) for i in range(2000)]
    nodes += [make_node(f"x{i:04}", [make_device(healthy=False, reason=f"{i:04}" + "?" * 1020)]) for i in range(500)]
    message = explain_none(make_tenant(), read_devices(make_snapshot(nodes=nodes)).values())
    assert len(message) < 8192
    assert message.startswith(
        "none of 2500 devices takes it (2000 of them: its node is cordoned (n0000, n0001, n0002, n0003, 1996 more); "
    )
    assert message.endswith("; 497 of them: other reasons)")
