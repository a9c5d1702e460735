"""What a node agent tells those who watch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from treadle_agent.executor.gateway import Served
from treadle_agent.program.artifact import Artifact
from treadle_api.replica import LoadedReason
from treadle_api.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Loading:
    """A version of a tenant is on its way; `step` says what is being done, for a person to read."""

    key: str
    step: str


@dataclass(frozen=True, slots=True)
class Serving:
    """A version of a tenant answers requests from now on; `artifacts` in the order of its tiers."""

    tenant: Tenant
    served: Served
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A wanted version of a tenant cannot be served. `field` is the manifest's; `cause` is the condition's reason.

    `previous`: an earlier version goes on answering. `temporary`: the same may succeed when tried again.
    """

    key: str
    field: str
    cause: LoadedReason
    reason: str
    previous: bool
    temporary: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """A tenant takes no more requests; those accepted are being answered."""

    key: str


@dataclass(frozen=True, slots=True)
class Leaking:
    """An old version could not be unloaded: the executor's fault, not the tenant's."""

    key: str
    reason: str


Event = Loading | Serving | Refused | Removed | Leaking
Observer = Callable[[Event], None]
