"""`treadle plan` asks a real cluster, and what it answers is what the operator then does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bed.cluster import SYSTEM_NAMESPACE
from played.agents import Players
from played.operators import OperatorProcess
from played.world import World
from treadle.__main__ import main
from treadle.bench.placement.agents import Part


def test_the_answer_is_what_the_operator_does_and_nothing_is_written(
    world: World,
    players: Callable[..., Players],
    operator: Callable[..., OperatorProcess],
    eventually: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    players(2, Part(service_seconds=0.05, lease_seconds=15))
    operator()
    world.apply_tenant("first", slo={"deadline": "2s"})
    eventually(lambda: world.holds("first", "Ready"), 10.0)
    tiers = world.tenant("first")["spec"]["tiers"]

    def ask(name: str, deadline: str) -> tuple[int, dict[str, Any]]:
        manifest = {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"slo": {"deadline": deadline}, "tiers": tiers},
        }
        file = tmp_path / f"{name}.yaml"
        file.write_text(json.dumps(manifest))  # JSON is YAML
        kubeconfig = str(world.cluster.kubeconfig)
        code = main(["plan", "-f", str(file), "--kubeconfig", kubeconfig, "--namespace", SYSTEM_NAMESPACE, "--json"])
        (answer,) = json.loads(capsys.readouterr().out)["tenants"]
        return code, answer

    code, hasty = ask("hasty", "10ms")
    assert (code, hasty["feasible"], hasty["reason"]) == (1, False, "DeadlineInfeasible")
    code, second = ask("second", hasty["counterOffer"]["deadline"])
    assert (code, second["feasible"], second["exists"]) == (0, True, False)
    assert all(tier["measured"] for tier in second["tiers"])
    assert world.get(f"{world.here}/inferencetenants/second") is None
    assert world.replicas("second") == []
    world.apply_tenant("second", slo={"deadline": hasty["counterOffer"]["deadline"]}, tiers=tiers)
    eventually(lambda: world.holds("second", "Ready"), 10.0)
    (replica,) = world.replicas("second")
    assert [replica["spec"]["nodeName"]] == [place["nodeName"] for place in second["placements"]]
    code, again = ask("second", "1s")
    assert (code, again["exists"]) == (0, True)
    assert [place["nodeName"] for place in again["placements"]] == [replica["spec"]["nodeName"]]
