"""What an account may do beside what it has done, each with its scope: no role may grant more than is used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from bed.audit import Request
from bed.cluster import SYSTEM_NAMESPACE
from treadle_api.leases import LEADER_LEASE

NAMELESS = ("create", "deletecollection")  # verbs of requests that name no object when they are authorised


class Right(NamedTuple):
    """One verb on a resource of an API group, with its subresource; `namespace` and `name` are empty for any."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    def covers(self, other: Right) -> bool:
        """Whether who has this has the other one."""
        scopes = ((self.namespace, other.namespace), (self.name, other.name))
        return self[:3] == other[:3] and all(own in ("", asked) for own, asked in scopes)


def granted(objects: Iterable[Mapping[str, Any]], account: str) -> set[Right]:
    """All that the roles bound to a service account of the system's namespace let it do.

    Args:
        objects: roles and bindings of both kinds; others are passed over.
        account: the service account's name.
    """
    found = list(objects)
    rules = {_key(one["kind"], one["metadata"]): one["rules"] or [] for one in found if one["kind"].endswith("Role")}
    rights = set()
    for binding in found:
        if binding["kind"].endswith("RoleBinding") and any(_is(one, account) for one in binding.get("subjects") or ()):
            scope = binding["metadata"].get("namespace", "")
            bound = rules[_key(binding["roleRef"]["kind"], {"name": binding["roleRef"]["name"], "namespace": scope})]
            rights |= {right for rule in bound for right in _of_rule(rule, scope)}
    return rights


def _key(kind: str, metadata: Mapping[str, str]) -> tuple[str, str, str]:
    return kind, metadata.get("namespace", "") if kind == "Role" else "", metadata["name"]


def _is(subject: Mapping[str, str], account: str) -> bool:
    return [subject.get(key) for key in ("kind", "namespace", "name")] == ["ServiceAccount", SYSTEM_NAMESPACE, account]


def _of_rule(rule: Mapping[str, list[str]], namespace: str) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames") or [""]:
                    yield Right(group, resource, verb, namespace, name)


def used(requests: Iterable[Request]) -> set[Right]:
    """All that the requests took, each as narrow as a chart can grant it.

    It can name the system's namespace and the leader's Lease there; it does not know which namespaces, nodes and
    tenants there will be. To apply what is not there yet takes the right to create it, besides.
    """
    rights = set()
    for one in requests:
        namespace = SYSTEM_NAMESPACE if one.namespace == SYSTEM_NAMESPACE else ""
        applied = one.verb in ("apply", "patch")
        verbs = ["patch"] if applied else [one.verb]
        if applied and one.code == HTTPStatus.CREATED:
            verbs.append("create")
        for verb in verbs:
            name = one.name if namespace and one.name == LEADER_LEASE and verb not in NAMELESS else ""
            rights.add(Right(one.group, one.resource, verb, namespace, name))
    return rights


def difference(role: set[Right], taken: set[Right]) -> tuple[set[Right], set[Right]]:
    """What is granted and was not used, or not so widely; and what was used and is not granted."""
    return role - taken, {one for one in taken if not any(right.covers(one) for right in role)}
