"""The operator's role grants what a life takes that meets with all that can be in its way, and no more."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bed.audit import read_requests
from bed.cluster import RBAC, SYSTEM_NAMESPACE
from bed.rights import difference, granted, used
from played.agents import Players
from played.api_proxy import ApiProxy
from played.operators import OperatorProcess
from played.world import TREADLE, World
from treadle_api.units import Seconds
from treadle_operator.clock import Clock
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.connection import load_connection
from treadle_operator.kube.events import EventRecorder
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.policy.changes import RecordEvent

Eventually = Callable[..., Any]
OPERATOR = f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-operator"
PORT = 8080  # of the played agents
MINUTE = 61.0  # seconds after which an Event's series is written again


class Intruder:
    """Does something to the cluster right before a request of the operator's arrives there."""

    def __init__(self, way: ApiProxy) -> None:
        self._planned: list[tuple[re.Pattern[str], Callable[[], object]]] = []
        way.before = self._before

    def plan(self, request: str, deed: Callable[[], object]) -> None:
        """Once, before the next request ``METHOD PATH`` that matches."""
        self._planned.append((re.compile(request), deed))

    @property
    def waiting(self) -> list[str]:
        """What has not come yet."""
        return [request.pattern for request, _ in self._planned]

    def _before(self, method: str, path: str) -> None:
        for one in list(self._planned):
            if one[0].match(f"{method} {path}"):
                self._planned.remove(one)
                one[1]()


class LateClock(Clock):
    """Later than it is."""

    late = 0.0  # seconds

    def steady(self) -> Seconds:
        return Seconds(super().steady() + self.late)


def live(world: World, agents: Players, eventually: Eventually) -> None:
    """A tenant is scaled, and moved from a device that is slow with all that it has."""
    world.apply_tenant("digits", replicas={"min": 2, "max": 2})
    eventually(lambda: world.holds("digits", "Ready"), 20.0)
    world.apply_tenant("digits", replicas={"min": 1, "max": 1})
    eventually(lambda: len(world.replicas("digits")) == 1, 30.0)
    [slow] = world.nodes_of("digits")
    agents.play(lambda part: part.stretch.update({slow: 2.0}))
    eventually(lambda: world.nodes_of("digits") not in ([slow], []), 60.0)
    node = world.get(f"{TREADLE}/inferencenodes/{slow}")
    assert node is not None
    [cordoned] = node["spec"]["cordonedDevices"]
    assert (cordoned["id"], "2.00 times" in cordoned["reason"]) == ("0", True)
    eventually(lambda: len(world.replicas("digits")) == 1, 30.0)


def find_names_taken(world: World, eventually: Eventually) -> None:
    """Somebody has a Service, then an EndpointSlice, of the name that a tenant's is to have; then edits its Service."""
    core, discovery = "/api/v1", "/apis/discovery.k8s.io/v1"
    services = f"{core}/namespaces/{world.namespace}/services"
    slices = f"{discovery}/namespaces/{world.namespace}/endpointslices"
    service, slice_ = "taken-treadle", f"taken-treadle-{PORT}"
    world.create(services, {"metadata": {"name": service}, "spec": {"ports": [{"port": 1}]}})
    world.create(slices, {"metadata": {"name": slice_}, "addressType": "IPv4", "endpoints": []})
    world.apply_tenant("taken")
    for path, reason in ((f"{services}/{service}", "ServiceTaken"), (f"{slices}/{slice_}", "EndpointSliceTaken")):
        eventually(lambda reason=reason: world.condition("taken", "Ready")["reason"] == reason, 20.0)
        world.delete(path)
    eventually(lambda: world.holds("taken", "Ready"), 20.0)

    def port() -> int:
        found = world.service("taken")
        assert found is not None
        return int(found["spec"]["ports"][0]["port"])

    usual = port()
    edited = [{"name": "http", "port": usual + 1, "targetPort": "http"}]
    world.patch(f"{services}/{service}", {"spec": {"ports": edited}})
    eventually(lambda: port() == usual)


def come_too_late(world: World, agents: Players, intruder: Intruder, eventually: Eventually) -> None:
    """What the operator is about to write has been edited, or has gone, since it looked."""
    [replica] = world.replicas("digits")
    path = f"{world.here}/inferencereplicas/{replica['metadata']['name']}"
    label = {"metadata": {"labels": {"team": "vision"}}}
    intruder.plan("PATCH .*/inferencereplicas/", partial(world.patch, path, label))
    world.apply_tenant("digits", priority=7)
    eventually(lambda: world.replicas("digits")[0]["spec"]["template"]["priority"] == 7)

    intruder.plan("PATCH .*/inferencetenants/brief/status", partial(world.delete_tenants, "brief"))
    world.apply_tenant("brief")
    eventually(lambda: not world.get(f"{world.here}/inferencetenants/brief"), 20.0)

    intruder.plan("PATCH .*/inferencenodes/c/status", partial(world.delete, f"{TREADLE}/inferencenodes/c"))
    agents.lose("c")
    eventually(lambda: not world.get(f"{TREADLE}/inferencenodes/c"), 20.0)
    assert intruder.waiting == []


def be_scraped(process: OperatorProcess, token: str, eventually: Eventually) -> None:
    """By somebody who may not: what is asked is the same."""
    eventually(lambda: process.probe("/metrics", token)[0] == 403, 20.0)


def inherit(world: World, eventually: Eventually) -> None:
    """A tenant is deleted without what it owns."""
    world.cluster.kubectl("delete", "it", "digits", "-n", world.namespace, "--cascade=orphan")
    eventually(lambda: not (world.replicas("digits") or world.slices("digits")), 30.0)


async def repeat_itself(kubeconfig: Path, tenant: dict[str, Any]) -> None:
    """The same is to be told again, more than a minute later: as it is told by the operator, in its name."""
    clock = LateClock()
    client = KubeClient(await load_connection(kubeconfig), OperatorMetrics())
    about = tenant["metadata"]
    event = RecordEvent(tenant["kind"], about["namespace"], about["name"], about["uid"], False, "Tried", "as before")
    try:
        recorder = EventRecorder(client, clock, "test")
        await recorder.record(event)
        clock.late += MINUTE
        await recorder.record(event)
    finally:
        await client.close()


def test_the_role_grants_what_is_used_and_no_more(
    world: World,
    players: Callable[..., Players],
    operator: Callable[..., OperatorProcess],
    api_proxy: ApiProxy,
    eventually: Eventually,
) -> None:
    """All of a life, with the audit log on one side and the role on the other."""
    log = world.cluster.control_plane.audit_log
    earlier = len(list(read_requests(log)))
    agents = players(3)
    intruder = Intruder(api_proxy)
    process = operator("operator", "--lease-duration", "3", "--resync", "1", "--auth", way=api_proxy)
    be_scraped(process, world.cluster.kubectl("create", "token", "default", "-n", world.namespace).strip(), eventually)
    live(world, agents, eventually)
    find_names_taken(world, eventually)
    come_too_late(world, agents, intruder, eventually)
    inherit(world, eventually)
    assert process.program.stop() == 0
    asyncio.run(repeat_itself(world.cluster.kubeconfig_for("treadle-operator"), world.tenant("taken")))
    [repeated] = [one for one in world.events("taken") if one["reason"] == "Tried"]
    assert repeated["series"]["count"] == 2

    asked = [one for one in list(read_requests(log))[earlier:] if one.user == OPERATOR]
    assert [one for one in asked if not one.permitted] == []
    role = granted(yaml.safe_load_all((RBAC / "operator.yaml").read_text()), "treadle-operator")
    assert difference(role, used(asked)) == (set(), set()), "wider than used; used and not granted"
