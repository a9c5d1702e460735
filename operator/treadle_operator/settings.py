"""How the operator runs. Times are in seconds."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from treadle_api.backoff import BackoffTiming
from treadle_api.units import Seconds
from treadle_callers.settings import GuardSettings
from treadle_operator.election import ElectionTiming

_DEBOUNCE = Seconds(0.05)
_ERROR_BACKOFF = BackoffTiming(Seconds(1.0), Seconds(30.0))
_WRITE_BACKOFF = BackoffTiming(Seconds(0.25), Seconds(15.0))
_NODE_LEASE_LOOK = Seconds(2.0)


@dataclass(frozen=True, slots=True)
class PlannerTiming:
    """When to plan.

    Attributes:
        resync: between plans when nothing changes.
        debounce: after a change, so that changes that come together are planned together.
        rest: after a plan, in multiples of the time that it took: what is left of the processor is for the rest.
        busy_rest: the same, while there is much to write.
        loss_rest: the same, where a node was lost or has returned since.
        error_backoff: after a plan that failed.
    """

    resync: Seconds
    debounce: Seconds = _DEBOUNCE
    rest: float = 3.0
    busy_rest: float = 8.0
    loss_rest: float = 1.0
    error_backoff: BackoffTiming = _ERROR_BACKOFF


@dataclass(frozen=True, slots=True)
class Settings:
    """One operator process.

    Attributes:
        kubeconfig: who to connect as; None: $KUBECONFIG, the Pod's own service account, or ~/.kube/config.
        namespace: where the Leases are: the leader's, and the nodes'.
        listen: host (None: all interfaces) and port of /healthz, /readyz and /metrics; port 0 is any.
        election: times of the leader's Lease.
        planner: when to plan.
        audit: between lists that check what the watches have told.
        audit_grace: how long a watch may be behind such a list.
        tls: agents answer by TLS.
        guard: how it is asked who may read /metrics; None: everybody may.
        write_backoff: between tries of one tenant's changes.
        writers: tenants written at a time.
        node_lease_look: between looks at the nodes' Leases, at most.
        identity: this process's name in the leader's Lease.
    """

    kubeconfig: Path | None
    namespace: str
    listen: tuple[str | None, int]
    election: ElectionTiming
    planner: PlannerTiming
    audit: Seconds
    audit_grace: Seconds
    tls: bool = False
    guard: GuardSettings | None = None
    write_backoff: BackoffTiming = _WRITE_BACKOFF
    writers: int = 16
    node_lease_look: Seconds = _NODE_LEASE_LOOK
    identity: str = field(default_factory=lambda: f"{socket.gethostname()}_{os.getpid()}_{uuid.uuid4().hex[:8]}")
