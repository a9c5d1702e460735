"""Which tiers a client wants a request to be answered by, or not."""

from __future__ import annotations

from treadle_agent.executor.protocol import Version
from treadle_agent.frontend.errors import BadRequestError
from treadle_api.tenant import Tenant

ANY = (-1, 0)


def read_wishes(version: Version, tenant: Tenant, tier: str, forbid_tiers: str) -> tuple[int, int]:
    """`tier` and `forbidden` as `protocol.Submit` has them, from a request's parameters of these names.

    `version` is what is served of the `tenant`.

    Raises:
        BadRequestError: a tier is not one of the version's, or none is left.
    """
    if not (tier or forbid_tiers):
        return ANY
    names = {one.name: index for index, one in enumerate(version.tiers)}
    serving = set(names.values()) if version.pinned < 0 else {version.pinned}
    forbidden = set()
    if forbid_tiers:
        forbidden = {_index(names, tenant, "forbid_tiers", name.strip()) for name in forbid_tiers.split(",")}
    left = serving - forbidden
    if not left:
        raise BadRequestError(f"parameters.forbid_tiers: {forbid_tiers!r} leaves no tier to answer")
    wanted = _index(names, tenant, "tier", tier) if tier else -1
    if wanted >= 0 and wanted not in left:
        reason = "is forbidden, too" if wanted in forbidden else f"does not answer: {_name(version)} is pinned"
        raise BadRequestError(f"parameters.tier: {tier!r} {reason}")
    return wanted, sum(1 << index for index in forbidden)


def _index(names: dict[str, int], tenant: Tenant, parameter: str, name: str) -> int:
    if name in names:
        return names[name]
    floor = tenant.slo.min_accuracy
    below = next((tier for tier in tenant.tiers if tier.name == name and tier.accuracy < floor), None)
    if below is None:
        raise BadRequestError(f"parameters.{parameter}: {name!r} is none of the tiers {', '.join(names)}")
    why = f"its accuracy {below.accuracy:g} is below minAccuracy {floor:g}; those that may are {', '.join(names)}"
    raise BadRequestError(f"parameters.{parameter}: tier {name!r} never answers: {why}")


def _name(version: Version) -> str:
    return version.tiers[version.pinned].name
