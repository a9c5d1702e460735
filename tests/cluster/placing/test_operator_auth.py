"""The operator's metrics name all tenants: a real API server says whom they are told to; nobody while it is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bed.audit import read_requests
from bed.cluster import SYSTEM_NAMESPACE
from bed.program import Program
from played.agents import Players
from played.operators import OperatorProcess
from played.world import World

OPERATOR = f"system:serviceaccount:{SYSTEM_NAMESPACE}:treadle-operator"
REVIEWS = {"tokenreviews", "subjectaccessreviews"}  # of who calls; the operator asks who it is itself, too
CACHE, OUTAGE = 2.0, 4.0
OPTIONS = (
    "--lease-duration", "3", "--auth", "--auth-cache-seconds", str(CACHE), "--auth-outage-seconds", str(OUTAGE),
)  # fmt: skip
Eventually = Callable[..., Any]
Token = Callable[..., str]


@pytest.fixture
def token(world: World) -> Token:
    """Makes callers: ``token(name, audience)`` gives a token of a service account of the tenants' namespace."""

    def make(name: str, audience: str = "") -> str:
        if not world.cluster.exists("serviceaccount", name, "-n", world.namespace):
            world.cluster.kubectl("create", "serviceaccount", name, "-n", world.namespace)
        audiences = [f"--audience={audience}"] if audience else []
        return world.cluster.kubectl("create", "token", name, "-n", world.namespace, *audiences).strip()

    return make


@pytest.fixture
def scraper(world: World, token: Token) -> Iterator[str]:
    """The token of somebody who may read /metrics."""
    name = f"{world.namespace}-metrics"
    world.cluster.kubectl("create", "clusterrole", name, "--verb=get", "--non-resource-url=/metrics")
    subject = f"--serviceaccount={world.namespace}:reads"
    world.cluster.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", subject)
    yield token("reads")
    world.cluster.kubectl("delete", "clusterrolebinding,clusterrole", name)


def test_a_tenants_names_and_conditions_are_told_to_nobody_but_who_may_read_them(
    world: World,
    players: Callable[..., Players],
    started: Callable[[Program], Program],
    token: Token,
    scraper: str,
    eventually: Eventually,
) -> None:
    earlier = len(list(read_requests(world.cluster.control_plane.audit_log)))
    players(1)
    process = OperatorProcess(world.cluster, "operator", *OPTIONS, debug=True)
    started(process.program)
    world.apply_tenant("hidden")
    eventually(lambda: world.holds("hidden", "Ready"), 30.0)
    status, text = eventually(lambda: told if (told := process.probe("/metrics", scraper))[0] == 200 else None, 20.0)
    assert f'treadle_tenant_condition{{condition="Ready",tenant="hidden",tenant_namespace="{world.namespace}"}}' in text

    other = token("other")
    refusals = {
        "": 401,
        "no.such.token": 401,
        token("reads", "treadle.dev"): 401,  # it is for a tenant, not for the API server
        other: 403,
    }
    for asked, refused in refusals.items():
        status, text = process.probe("/metrics", asked)
        assert (status, "hidden" in text, world.namespace in text) == (refused, False, False)
    assert process.probe("/healthz") == process.probe("/readyz") == (200, "ok\n")

    process.program.stop()
    log = process.program.output
    assert "DEBUG:" in log
    assert [one for one in (scraper, other) if one in log] == []
    requests = list(read_requests(world.cluster.control_plane.audit_log))[earlier:]
    reviews = [one for one in requests if one.user == OPERATOR and one.resource in REVIEWS]
    assert {(one.resource, one.verb, one.permitted) for one in reviews} == {
        (resource, "create", True) for resource in REVIEWS
    }


def test_while_the_api_server_is_away_what_was_said_holds_and_then_nobody_is_told(
    world: World,
    started: Callable[[Program], Program],
    proxy: Callable[[], Any],
    token: Token,
    scraper: str,
    eventually: Eventually,
) -> None:
    way = proxy()
    process = OperatorProcess(world.cluster, "operator", *OPTIONS, way=way)
    started(process.program)
    process.program.wait_for("ready: ")
    late = token("reads")
    eventually(lambda: process.probe("/metrics", scraper)[0] == 200, 20.0)
    way.cut()
    cut = time.monotonic()
    assert process.probe("/metrics", late)[0] == 503, "nobody can be asked about a token that was not seen before"
    while time.monotonic() - cut < CACHE + OUTAGE - 2.0:
        began = time.monotonic()
        assert process.probe("/metrics", scraper)[0] == 200, f"{began - cut:.1f} s after the cut"
    eventually(lambda: process.probe("/metrics", scraper)[0] == 503, 10.0)
    assert time.monotonic() - cut < CACHE + OUTAGE + 2.0
    assert process.probe("/healthz") == (200, "ok\n")
    way.restore()
    eventually(lambda: process.probe("/metrics", scraper)[0] == 200, 20.0)
    assert "nobody says who may call" in process.program.output
