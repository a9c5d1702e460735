"""What the operator says of itself, and how it begins and ends when there is little to begin with."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bed.program import Program
from played.agents import Players
from played.api_proxy import ApiProxy
from played.operators import OperatorProcess
from played.world import World
from treadle_operator.kube.kinds import WATCHED

Eventually = Callable[..., Any]


def test_a_dead_watch_fails_liveness_and_what_it_missed_is_done_all_the_same(
    world: World,
    players: Callable[..., Players],
    operator: Callable[..., OperatorProcess],
    api_proxy: ApiProxy,
    eventually: Eventually,
) -> None:
    players(1)
    # kopf tries a refused watch again and again: to it, nothing is dead.
    api_proxy.before = lambda _, path: 403 if "/inferencetenants" in path and "watch=true" in path else None
    process = operator("operator", "--lease-duration", "3", "--resync", "1", way=api_proxy)
    process.epoch()
    eventually(lambda: process.metric("treadle_operator_plan_seconds_count") >= 1)
    for name in ("one", "two"):
        assert process.probe("/healthz") == (200, "ok\n")
        world.apply_tenant(name)
        eventually(lambda name=name: world.holds(name, "Ready"), 30.0)
    status, text = eventually(lambda: found if (found := process.probe("/healthz"))[0] != 200 else None, 60.0)
    assert (status, text) == (503, "the watch of inferencetenants is dead\n")
    assert process.metric('treadle_operator_watch_missed_total\\{kind="inferencetenants"\\}') >= 2
    assert process.probe("/readyz")[0] == 200
    # What was refused and what was done is in its metrics.
    api_proxy.before = lambda method, path: 403 if method == "POST" and "/services" in path else None
    world.apply_tenant("refused")
    eventually(lambda: process.metric('treadle_operator_api_errors_total\\{code="403",verb="create"\\}') >= 1)
    assert process.metric("treadle_operator_reconcile_seconds_count") >= 2


def test_without_definitions_it_says_so_and_waits(
    world: World, started: Callable[[Program], Program], eventually: Eventually
) -> None:
    try:
        world.cluster.kubectl("delete", "crd", "modelprofiles.treadle.dev", "--timeout=30s")
        process = OperatorProcess(world.cluster, "operator", "--lease-duration", "3")
        started(process.program)
        process.program.wait_for("waiting: .*no modelprofiles.treadle.dev: apply the files in crds/")
        assert process.probe("/healthz")[0] == 200
        status, text = process.probe("/readyz")
        assert (status, "modelprofiles.treadle.dev" in text) == (503, True)
        assert "Traceback" not in process.program.output
    finally:
        world.cluster.apply_crds()
    process.program.wait_for("ready: ", 30.0)
    assert process.probe("/readyz") == (200, "ok\n")
    process.epoch()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_an_api_server_it_waits_and_ends_at_once_when_asked_to(
    world: World, started: Callable[[Program], Program], proxy: Callable[[], Any], number: signal.Signals
) -> None:
    way = proxy()
    way.cut()
    process = OperatorProcess(world.cluster, "operator", way=way)
    started(process.program)
    process.program.wait_for("waiting: https://127.0.0.1:.*; trying again at least every 15 s")
    assert process.probe("/healthz")[0] == 200
    assert process.probe("/readyz")[0] == 503
    process.program.signal(number)
    assert process.program.wait(5.0) == 0
    assert "Traceback" not in process.program.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order(
    world: World, operator: Callable[..., OperatorProcess], number: signal.Signals, eventually: Eventually
) -> None:
    process = operator()
    process.epoch()
    process.program.signal(number)
    assert process.program.wait(5.0) == 0
    assert world.leader()["holderIdentity"] == ""
    assert "Traceback" not in process.program.output
    assert "Unclosed" not in process.program.output


def test_an_outage_of_the_api_server_loses_no_node_and_is_survived(
    world: World,
    players: Callable[..., Players],
    started: Callable[[Program], Program],
    proxy: Callable[[], Any],
    eventually: Eventually,
) -> None:
    players(2)
    way = proxy()
    process = OperatorProcess(world.cluster, "operator", "--lease-duration", "3", way=way)
    started(process.program)
    world.apply_tenant("digits")
    eventually(lambda: world.holds("digits", "Ready"), 15.0)
    before = world.replicas("digits")[0]["metadata"]["uid"]
    way.cut()
    process.program.wait_for("not leading any more")
    process.program.wait_for("no node is taken for lost")
    world.apply_tenant("meanwhile")
    way.restore()
    eventually(lambda: world.holds("meanwhile", "Ready"), 30.0)
    assert world.replicas("digits")[0]["metadata"]["uid"] == before
    assert "lease: lost: " not in process.program.output
    assert process.program.output.count("watch=true") <= 2 * len(WATCHED)  # a line for each watch, not for each try
    assert process.probe("/healthz") == (200, "ok\n")


def test_a_kind_that_vanishes_ends_the_process_and_the_next_one_waits(
    world: World, operator: Callable[..., OperatorProcess], eventually: Eventually
) -> None:
    process = operator("operator", "--lease-duration", "3", "--resync", "1")
    try:
        world.cluster.kubectl("delete", "crd", "modelprofiles.treadle.dev", "--timeout=30s")
        assert process.program.wait(30.0) == 1
        assert "audits: 404" in process.program.output
        process.program.start()  # as the kubelet would
        process.program.wait_for("waiting: .*no modelprofiles")
    finally:
        world.cluster.apply_crds()
    process.program.wait_for("ready: [\\s\\S]*waiting: [\\s\\S]*ready: ", 30.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "nowhere"), "--listen nowhere: write HOST:PORT or :PORT, like 127.0.0.1:8081"),
        (("--lease-duration", "1"), "--lease-duration 1: must be 3 to 300 seconds"),
        (("--resync", "0"), "--resync 0: must be 1 to 3600 seconds"),
        (("--auth", "--auth-cache-seconds", "-1"), "--auth-cache-seconds -1: must be 0 to 86400 seconds"),
        (("--auth-outage-seconds", "nan"), "--auth-outage-seconds nan: must be 0 to 86400 seconds"),
        (("--kubeconfig", "/no/such/file"), "kubeconfig /no/such/file, which --kubeconfig names, cannot be used"),
    ],
)
def test_wrong_usage_is_told_in_one_line(
    world: World, program: Callable[..., Program], options: tuple[str, ...], message: str
) -> None:
    command = (sys.executable, "-m", "treadle_operator", *options)
    process = program("operator", *command, kubeconfig=world.cluster.kubeconfig)
    assert process.wait(10.0) == 2
    [line] = process.output.strip().splitlines()
    assert message in line
