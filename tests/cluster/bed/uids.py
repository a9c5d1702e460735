"""Whether objects are the ones that they were: a name may be given again, a UID is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def uids_of(objects: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The UID of each, by ``KIND/NAME``."""
    return {f"{each['kind']}/{each['metadata']['name']}": each["metadata"]["uid"] for each in objects}
