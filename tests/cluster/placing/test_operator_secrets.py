"""With everything logged that the operator has to say: no token, and nothing in a URI that lets somebody in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bed.credentials import read_token
from bed.program import Program
from played.agents import Players
from played.operators import OperatorProcess
from played.world import World

PASSWORD, SIGNATURE = "uri-sesame", "signed-sesame"


def test_no_secret_is_ever_logged(
    world: World, players: Callable[..., Players], started: Callable[[Program], Program], eventually: Callable[..., Any]
) -> None:
    players(2)
    process = OperatorProcess(world.cluster, "operator", "--lease-duration", "3", debug=True)
    started(process.program)
    process.program.wait_for("ready: ")
    for name, uri in (
        ("in-uri", f"https://me:{PASSWORD}@models.example/m.onnx"),
        ("signed", f"https://models.example/m.onnx?X-Amz-Signature={SIGNATURE}"),
    ):
        model = {"uri": uri, "secretName": "reader"}
        world.apply_tenant(name, tiers=[{"name": "large", "accuracy": "97.5", "model": model}])
    for name in ("in-uri", "signed"):
        eventually(lambda name=name: world.holds(name, "Ready"), 30.0)
        world.apply_tenant(name, slo={"deadline": "200ms", "minAccuracy": "80"})
        eventually(lambda name=name: world.holds(name, "Ready"), 30.0)
    world.delete_tenants("in-uri", "signed")
    process.program.stop()
    log = process.program.output
    assert "DEBUG:" in log
    assert [secret for secret in (read_token(process.kubeconfig), PASSWORD, SIGNATURE) if secret in log] == []
