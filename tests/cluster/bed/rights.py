"""What a role grants beside what its account has used of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from bed.audit import Request

Right = tuple[str, str, str]
"""API group, resource with its subresource, and verb."""


def granted(rules: Iterable[Mapping[str, Sequence[str]]]) -> set[Right]:
    """All that the rules of roles let an account do."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(requests: Iterable[Request]) -> set[Right]:
    """All that the requests took; to apply what is not there yet takes the right to create it, besides."""
    rights: set[Right] = set()
    for one in requests:
        applied = one.verb in ("apply", "patch")
        rights.add((one.group, one.resource, "patch" if applied else one.verb))
        if applied and one.code == HTTPStatus.CREATED:
            rights.add((one.group, one.resource, "create"))
    return rights
