"""How an agent keeps in touch with the cluster. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from treadle_api.backoff import BackoffTiming
from treadle_api.leases import NODE_LEASE_PREFIX, SYSTEM_NAMESPACE
from treadle_api.units import Seconds

LEAVE_SECONDS = 25.0
_RETRY = BackoffTiming(Seconds(5.0), Seconds(300.0))
_REACH = BackoffTiming(Seconds(0.5), Seconds(8.0))


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """What an agent is told when it starts, and its rhythms.

    Attributes:
        node: its name: of the core Node, where there is one.
        address: HOST:PORT at which others reach its front end.
        namespace: where the Leases are.
        kubeconfig: who to connect as; None: $KUBECONFIG, the Pod's own service account, or ~/.kube/config.
        lease_seconds: how long the node's Lease holds.
        renew_seconds: between renewals of it.
        look_seconds: between looks at counters, and between two reports of figures at least.
        retry: waits between tries of what could not be loaded.
        reach: waits between tries to reach the API server.
        refine_seconds: between two refinements of one ModelProfile at least.
        review_seconds: between two comparisons of a settled ModelProfile with what was measured here, about.
        linger_seconds: how long requests for a tenant that has left are passed on: as connections to it may last.
        leave_seconds: how long tenants may take to be moved elsewhere when the agent is asked to stop. Pods are given
            30 s to end (terminationGracePeriodSeconds), and the last requests have to be answered then, too.
    """

    node: str
    address: str
    namespace: str = SYSTEM_NAMESPACE
    kubeconfig: Path | None = None
    lease_seconds: int = 15
    renew_seconds: float = 5.0
    look_seconds: float = 5.0
    retry: BackoffTiming = _RETRY
    reach: BackoffTiming = _REACH
    refine_seconds: float = 60.0
    review_seconds: float = 600.0
    linger_seconds: float = 90.0
    leave_seconds: float = LEAVE_SECONDS

    @property
    def lease(self) -> str:
        """Name of the node's Lease."""
        return f"{NODE_LEASE_PREFIX}{self.node}"
