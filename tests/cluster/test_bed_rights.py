"""A right that is wider than its use is seen to be: by verb, by namespace, by name."""

from __future__ import annotations

from typing import Any

import pytest

from bed.audit import Request
from bed.cluster import SYSTEM_NAMESPACE
from bed.rights import Right, difference, granted, used
from treadle_api.leases import LEADER_LEASE

LEASES = "coordination.k8s.io"


def role(kind: str, **rule: list[str]) -> list[dict[str, Any]]:
    """A role about Leases, and its binding to the account `it`."""
    metadata = {"name": "it"} | ({"namespace": SYSTEM_NAMESPACE} if kind == "Role" else {})
    subject = {"kind": "ServiceAccount", "name": "it", "namespace": SYSTEM_NAMESPACE}
    rules = [{"apiGroups": [LEASES], "resources": ["leases"], **rule}]
    return [
        {"kind": kind, "metadata": metadata, "rules": rules},
        {
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"kind": kind, "name": "it"},
            "subjects": [subject],
        },
    ]


def request(verb: str, namespace: str = SYSTEM_NAMESPACE, name: str = "", code: int = 200) -> Request:
    return Request("it", verb, LEASES, "leases", namespace, name, code, permitted=True)


def right(verb: str, namespace: str = SYSTEM_NAMESPACE, name: str = "") -> Right:
    return Right(LEASES, "leases", verb, namespace, name)


@pytest.mark.parametrize(
    ("roles", "asked", "wider"),
    [
        (role("Role", verbs=["get"]), [request("get", name="treadle-node-a")], set()),
        (role("Role", verbs=["get", "list"]), [request("get", name="treadle-node-a")], {right("list")}),
        (role("ClusterRole", verbs=["list"]), [request("list")], {right("list", "")}),
        (role("ClusterRole", verbs=["list"]), [request("list", "")], set()),
        (role("ClusterRole", verbs=["get"]), [request("get", "team", "mine")], set()),
        (role("Role", verbs=["get"]), [request("get", name=LEADER_LEASE)], {right("get")}),
        (role("Role", verbs=["watch"], resourceNames=[LEADER_LEASE]), [request("watch", name=LEADER_LEASE)], set()),
        (role("Role", verbs=["create"]), [request("create", name=LEADER_LEASE, code=201)], set()),
        (role("Role", verbs=["create", "patch"]), [request("apply", name="treadle-node-a", code=201)], set()),
        (role("Role", verbs=["patch", "create"]), [request("patch", name="treadle-node-a")], {right("create")}),
    ],
)
def test_what_is_granted_more_widely_than_used(roles: list, asked: list[Request], wider: set[Right]) -> None:
    assert difference(granted(roles, "it"), used(asked)) == (wider, set())


def test_what_is_used_and_not_granted() -> None:
    roles = role("Role", verbs=["get"], resourceNames=[LEADER_LEASE])
    leaders, nodes = request("get", name=LEADER_LEASE), request("get", name="treadle-node-a")
    assert difference(granted(roles, "it"), used([leaders, nodes])) == (set(), {right("get")})
    assert granted(roles, "another") == granted(roles[:1], "it") == set()


def test_a_cluster_role_that_is_bound_in_a_namespace_is_of_that_namespace() -> None:
    made, binding = role("ClusterRole", verbs=["list"])
    binding |= {"kind": "RoleBinding", "metadata": {"name": "it", "namespace": SYSTEM_NAMESPACE}}
    assert granted([made, binding], "it") == {right("list")}
