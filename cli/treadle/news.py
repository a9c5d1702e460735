"""What a reading of the manifests brings that no load tells of: refusals, and what goes on as it is served. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.manifests import Accepted, Manifests, Refusal, retain
from treadle_api.tenant import doubts


def news(before: Manifests, found: Manifests) -> Iterator[str]:
    """Lines for the person in front of `treadle serve`: `found` was read after `before`, what was wanted."""
    accepted = {one.tenant.key for one in found.accepted}
    kept = [one for one in retain(before, found).accepted if one.tenant.key not in accepted]
    known = {refusal.identity for refusal in before.refusals}
    for refusal in found.refusals:
        if refusal.identity not in known:
            goes_on = any(_concerns(refusal, one) for one in kept)
            yield f"refused {refusal}{'; its previous version goes on' if goes_on else ''}"
    wanted = {one.tenant.key: one for one in before.accepted}
    for one in found.accepted:
        old = wanted.get(one.tenant.key)
        if old is None or old.tenant != one.tenant:
            yield from (f"warning: {one.source}: {doubt}" for doubt in doubts(one.tenant))
        if old is None:
            continue
        if old.source.file != one.source.file:
            yield f"{one.tenant.key} is that of {one.source} now"
        elif old.tenant == one.tenant and _refused(before, old) and not _refused(found, one):
            yield f"accepted {one.source}: {one.tenant.key} goes on as it is served"


def _refused(manifests: Manifests, one: Accepted) -> bool:
    return any(_concerns(refusal, one) for refusal in manifests.refusals)


def _concerns(refusal: Refusal, one: Accepted) -> bool:
    """Whether a refused document may be that of a tenant: it has no key where it cannot be told whose it is."""
    return refusal.source.file == one.source.file and refusal.key in ("", one.tenant.key)
