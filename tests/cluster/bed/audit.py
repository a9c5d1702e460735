"""What service accounts asked the API server for, from its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request for a resource: what a rule of a role is about. `code`: the HTTP status it got; `permitted`:
    whether a role allows it (403 is also what a namespace answers that is on its way out).
    """

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    code: int
    permitted: bool


def read_requests(log: Path) -> Iterator[Request]:
    """The requests of service accounts so far; `resource` is "RESOURCE/SUBRESOURCE" where there is one."""
    with log.open() as lines:
        for line in lines:
            event = json.loads(line)
            target = event.get("objectRef")
            # A watch counts when it begins: its end comes late, or never.
            stage = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
            if target is None or event["stage"] != stage:
                continue
            parts = [target["resource"], target["subresource"]] if "subresource" in target else [target["resource"]]
            yield Request(
                user=event["user"]["username"],
                verb=event["verb"],
                group=target.get("apiGroup", ""),
                resource="/".join(parts),
                namespace=target.get("namespace", ""),
                name=target.get("name", ""),
                code=event["responseStatus"]["code"],
                permitted=event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
            )
