"""What the API server is asked about callers, and how its answers are read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from treadle_agent.cluster.errors import KubeError, RefusedError, UnreachableError
from treadle_agent.cluster.kube import Kind
from treadle_agent.cluster.reviews import reviews_by
from treadle_callers.callers import Caller, PathRight, ReviewError, TenantRight

USER = {"username": "ann", "uid": "1", "groups": ["a", "b"], "extra": {"k": ["v", "w"]}}
ANN = Caller("ann", "1", ("a", "b"), (("k", ("v", "w")),))


class Client:
    """Answers with one status, or fails."""

    def __init__(self, status: dict[str, Any] | KubeError) -> None:
        self.status = status
        self.asked: list[tuple[str, Any]] = []

    async def create(self, kind: Kind, namespace: str, body: Any) -> Any:
        self.asked.append((kind.path(namespace), body["spec"]))
        assert (body["apiVersion"], body["kind"]) == (kind.api_version, kind.name)
        if isinstance(self.status, KubeError):
            raise self.status
        return {**body, "status": self.status}


def identify(client: Client, audience: str = "treadle.dev") -> Caller | None:
    return asyncio.run(reviews_by(client).identify("token", audience))  # type: ignore[arg-type]


def allows(client: Client, right: TenantRight | PathRight) -> bool:
    return asyncio.run(reviews_by(client).allows(ANN, right))  # type: ignore[arg-type]


def test_a_token_is_reviewed_for_its_audience():
    client = Client({"authenticated": True, "user": USER, "audiences": ["treadle.dev"]})
    assert identify(client) == ANN
    [(path, spec)] = client.asked
    assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert spec == {"token": "token", "audiences": ["treadle.dev"]}


def test_the_api_servers_own_audience_is_not_named():
    client = Client({"authenticated": True, "user": USER, "audiences": ["https://kubernetes.default.svc"]})
    assert identify(client, "") == ANN
    assert client.asked[0][1] == {"token": "token"}


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"error": "no such token"},
        {"authenticated": False, "user": USER, "audiences": ["treadle.dev"]},
        # It does not know of audiences, and took the token for its own.
        {"authenticated": True, "user": USER},
        {"authenticated": True, "user": USER, "audiences": ["https://kubernetes.default.svc"]},
    ],
)
def test_a_token_that_is_not_for_us_is_nobodys(status):
    assert identify(Client(status)) is None


def test_a_tenants_right_is_reviewed_with_all_that_is_known_of_the_caller():
    client = Client({"allowed": True})
    assert allows(client, TenantRight("team-a", "digits"))
    [(path, spec)] = client.asked
    assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert spec == {
        "user": "ann", "uid": "1", "groups": ("a", "b"), "extra": {"k": ("v", "w")},
        "resourceAttributes": {
            "group": "treadle.dev", "resource": "inferencetenants", "subresource": "infer", "verb": "create",
            "namespace": "team-a", "name": "digits",
        },
    }  # fmt: skip


def test_a_path_is_reviewed_as_one():
    client = Client({"allowed": True})
    assert allows(client, PathRight("/metrics"))
    assert client.asked[0][1]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}


@pytest.mark.parametrize("status", [{}, {"allowed": False}, {"allowed": True, "denied": True}])
def test_what_is_not_allowed_is_refused(status):
    assert not allows(Client(status), PathRight("/metrics"))


@pytest.mark.parametrize(
    "status", [UnreachableError("gone"), RefusedError(403, "no"), {"authenticated": "perhaps", "allowed": "perhaps"}]
)
def test_no_answer_is_no_yes(status):
    with pytest.raises(ReviewError):
        identify(Client(status))
    with pytest.raises(ReviewError):
        allows(Client(status), PathRight("/metrics"))
