"""What the doctor concludes from a cluster's facts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from operator_objects import make_device, make_node

from treadle.__main__ import main
from treadle.doctor.cluster import Cluster, is_barren, judge
from treadle.doctor.finding import Finding, Verdict
from treadle_api.conditions import Condition, ConditionStatus
from treadle_api.node import CordonedDevice

STOPPING = Condition("Ready", ConditionStatus.FALSE, "Stopping", "")
ALIVE, LOST, GONE = make_node("a"), make_node("b", alive=False), make_node("c", alive=False)
LEFT = replace(GONE, node=replace(GONE.node, conditions=(STOPPING,)))
FAULTY = make_node("d", (make_device(healthy=False, reason="ECC errors"),))
CLOSED = make_node("e", cordoned=(CordonedDevice("host", "it is hot"),))
WELL = Cluster("treadle-system", (), True, (ALIVE,), (), False, True, ())


@pytest.mark.parametrize(
    "cluster", [WELL, replace(WELL, nodes=(ALIVE, LEFT)), replace(WELL, barren=("a",), has_runtime_class=True)]
)
def test_a_cluster_that_lacks_nothing(cluster: Cluster) -> None:
    assert [(one.subject, one.verdict) for one in judge(cluster)] == [
        (subject, Verdict.OK) for subject in ("definitions", "operator", "agents", "devices", "roles", "permissions")
    ]


@pytest.mark.parametrize(
    ("cluster", "subject", "verdict", "says", "fix"),
    [
        (
            replace(WELL, undefined=("modelprofiles",)),
            "definitions",
            Verdict.LACKS,
            "modelprofiles",
            "install the chart",
        ),
        (replace(WELL, led=False), "operator", Verdict.LACKS, "treadle-system", "kubectl get pods -n treadle-system"),
        (replace(WELL, nodes=(LEFT,)), "agents", Verdict.LACKS, "none renews", "agent.nodeSelector"),
        (
            replace(WELL, nodes=(LEFT,)),
            "agents",
            Verdict.LACKS,
            "none renews",
            "logs -n treadle-system daemonset/treadle",
        ),
        (
            replace(WELL, nodes=(CLOSED,)),
            "devices",
            Verdict.NOTE,
            "host of e takes no tenants: it is cordoned (it is hot)",
            "Cordoned.md",
        ),
        (
            replace(WELL, nodes=(make_node("f", unschedulable=True, core_cordoned=True),)),
            "devices",
            Verdict.NOTE,
            "f takes no tenants: it is unschedulable",
            "kubectl edit inferencenode f",
        ),
        (
            replace(WELL, nodes=(make_node("g", core_cordoned=True),)),
            "devices",
            Verdict.NOTE,
            "g takes no tenants: its Node is cordoned",
            "kubectl uncordon g",
        ),
        (replace(WELL, nodes=(ALIVE, LOST)), "agents", Verdict.NOTE, "lost: b", "TreadleNodeDown.md"),
        (replace(WELL, nodes=(ALIVE, FAULTY)), "devices", Verdict.NOTE, "0 of d: ECC errors", "DeviceUnhealthy.md"),
        (replace(WELL, barren=("a", "e")), "GPUs", Verdict.NOTE, "a, e", "RuntimeClass"),
        (
            replace(WELL, powerless=("treadle-agent may not create leases",)),
            "roles",
            Verdict.NOTE,
            "treadle-agent may not create leases",
            "charts/treadle/rbac",
        ),
        (replace(WELL, may_apply=False), "permissions", Verdict.NOTE, "may not create", "ClusterRole edit"),
    ],
)
def test_what_is_lacking_is_told_with_its_fix(
    cluster: Cluster, subject: str, verdict: Verdict, says: str, fix: str
) -> None:
    [finding] = [one for one in judge(cluster) if one.fix]
    assert (finding.subject, finding.verdict) == (subject, verdict)
    assert says in finding.says
    assert fix in finding.fix


def test_nothing_is_said_of_roles_that_this_user_may_not_ask_for() -> None:
    assert "roles" not in {one.subject for one in judge(replace(WELL, powerless=None))}


@pytest.mark.parametrize(
    ("labels", "capacity", "barren"),
    [
        ({"nvidia.com/gpu.present": "true"}, {"cpu": "8"}, True),
        ({"feature.node.kubernetes.io/pci-10de.present": "true"}, {"nvidia.com/gpu": "0"}, True),
        ({"nvidia.com/gpu.present": "true"}, {"nvidia.com/gpu": "1"}, False),
        ({"nvidia.com/gpu.present": "true"}, {"nvidia.com/gpu.shared": "4"}, False),
        ({"nvidia.com/gpu.present": "true"}, {"nvidia.com/gpu": "0", "nvidia.com/mig-1g.10gb": "7"}, False),
        ({"nvidia.com/gpu.present": "false"}, {}, False),
        ({}, {"cpu": "8"}, False),
    ],
)
def test_a_node_is_barren_whose_gpus_no_pod_can_ask_for(
    labels: dict[str, str], capacity: dict[str, str], barren: bool
) -> None:
    assert is_barren(labels, capacity) is barren


def test_runbooks_that_are_named_are_there() -> None:
    told: list[Finding] = [*judge(replace(WELL, led=False, nodes=(LOST, FAULTY, CLOSED)))]
    named = [word for one in told for word in one.fix.split() if word.startswith("docs/")]
    assert len(named) == 4
    for path in named:
        assert (Path(__file__).parents[3] / path).is_file()


def test_a_cluster_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert main(["doctor", "--cluster"]) == 2
    assert "treadle doctor: kubeconfig /nowhere, which KUBECONFIG names, cannot be" in capsys.readouterr().err
