"""What the API server's answers make of the mirror."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.errors import NoEffectError, NotFoundError
from treadle_operator.kube.events import EventRecorder
from treadle_operator.kube.manifests import service_manifest
from treadle_operator.metrics import OperatorMetrics
from treadle_operator.mirror import Mirror
from treadle_operator.policy.changes import ApplyEndpointSlice, ApplyService, DeleteEndpointSlice
from treadle_operator.snapshot import AddressType
from treadle_operator.writer import Writer

Manifest = dict[str, Any]
SLICE: Manifest = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {
        "name": "digits-treadle-8080",
        "namespace": "team",
        "labels": {"endpointslice.kubernetes.io/managed-by": "treadle.dev", "app.kubernetes.io/managed-by": "treadle"},
        "finalizers": ["example.com/audit"],
    },
    "addressType": "IPv4",
    "ports": [{"name": "http", "port": 8080}],
    "endpoints": [],
}
KEY = "team/digits-treadle-8080"
DELETE = DeleteEndpointSlice("team", "digits-treadle-8080", "uid-1", "100")


class Answers:
    """An API server whose answer to every DELETE and PATCH is this."""

    def __init__(self, answer: Manifest | Exception) -> None:
        self.answer = answer

    async def delete(self, *_: object) -> Manifest:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def apply(self, *_: object) -> Manifest:
        assert isinstance(self.answer, dict)
        return self.answer

    async def merge(self, *asked: object) -> Manifest:
        assert isinstance(self.answer, dict)
        self.merged = asked
        return self.answer


def delete(stored: Callable[..., Manifest], clock: Any, answer: Manifest | Exception) -> Mirror:
    """The mirror after a slice that was in it is deleted."""
    mirror = Mirror(lambda: None)
    mirror.take(kinds.SLICES, stored(SLICE, "uid-1", 100))
    client = cast("KubeClient", Answers(answer))
    writer = Writer(client, mirror, EventRecorder(client, clock, "me"), OperatorMetrics())
    asyncio.run(writer.write(DELETE))
    return mirror


def test_what_is_deleted_is_gone(stored: Callable[..., Manifest], clock: Any) -> None:
    for answer in ({"kind": "Status", "status": "Success"}, NotFoundError(404, "NotFound", "gone")):
        assert delete(stored, clock, answer).uid(kinds.SLICES, KEY) is None


def test_what_a_finalizer_keeps_is_there_until_the_watch_says_that_it_is_gone(
    stored: Callable[..., Manifest], clock: Any
) -> None:
    kept = stored(SLICE, "uid-1", 101)
    kept["metadata"]["deletionTimestamp"] = "2026-11-22T20:00:00Z"
    mirror = delete(stored, clock, kept)
    assert mirror.uid(kinds.SLICES, KEY) == "uid-1"
    mirror.remove(kinds.SLICES, KEY, "uid-1")
    assert mirror.uid(kinds.SLICES, KEY) is None


def test_an_apply_that_has_changed_nothing_is_told_apart(stored: Callable[..., Manifest], clock: Any) -> None:
    change = ApplyEndpointSlice(
        "team", "digits-treadle-8080", "digits-treadle", "digits", "uid", AddressType.IPV4, 8080, ()
    )
    mirror = Mirror(lambda: None)
    mirror.take(kinds.SLICES, stored(SLICE, "uid-1", 100))
    answers = Answers(stored(SLICE, "uid-1", 100))
    client = cast("KubeClient", answers)
    writer = Writer(client, mirror, EventRecorder(client, clock, "me"), OperatorMetrics())
    with pytest.raises(NoEffectError, match="EndpointSlice digits-treadle-8080 is as it was"):
        asyncio.run(writer.write(change))
    answers.answer = stored(SLICE, "uid-1", 101)
    asyncio.run(writer.write(change))
    assert mirror.version(kinds.SLICES, KEY) == 101


def test_a_service_that_somebody_has_edited_is_written_over(stored: Callable[..., Manifest], clock: Any) -> None:
    """Ports are merged by number where they are applied: the edited one would stay, and its name be there twice."""
    change = ApplyService("team", "digits-treadle", "digits", "uid")
    service: Manifest = service_manifest(change)
    mirror = Mirror(lambda: None)
    mirror.take(kinds.SERVICES, stored(service, "uid-1", 100))
    answers = Answers(stored(service, "uid-1", 101))
    client = cast("KubeClient", answers)
    writer = Writer(client, mirror, EventRecorder(client, clock, "me"), OperatorMetrics())
    asyncio.run(writer.write(change))
    kind, namespace, name, body = answers.merged
    assert (kind, namespace, name) == (kinds.SERVICES, "team", "digits-treadle")
    assert cast("Manifest", body)["spec"] == service["spec"]
    assert cast("Manifest", body)["metadata"] == {"uid": "uid-1", "labels": service["metadata"]["labels"]}
    assert mirror.version(kinds.SERVICES, "team/digits-treadle") == 101
