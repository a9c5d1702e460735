"""A snapshot of a cluster, as it is now; nothing is written."""

from __future__ import annotations

from pathlib import Path

from treadle_operator.kube import kinds
from treadle_operator.kube.client import KubeClient
from treadle_operator.kube.connection import ConnectionConfigError, load_connection
from treadle_operator.kube.errors import ApiError, NotFoundError
from treadle_operator.kube.views import read_node_lease
from treadle_operator.mirror import Mirror
from treadle_operator.snapshot import Snapshot

_READ = (*kinds.OWN, kinds.CORE_NODES)


class ClusterError(Exception):
    """Raised when the cluster cannot be asked."""


class Uncounted:
    """Requests of a command are nobody's metric."""

    def requested(self, verb: str, code: int) -> None:
        """A request was answered."""


async def read_cluster(kubeconfig: Path | None, namespace: str, now: float) -> Snapshot:
    """All that a plan needs.

    Args:
        kubeconfig: where the cluster is described; None: where kubectl would look.
        namespace: of the nodes' Leases.
        now: seconds since the epoch: which Leases have expired by then. Clocks must agree to a few seconds.

    Raises:
        ClusterError: there is no usable kubeconfig, or the API server does not answer, refuses to,
            or does not know treadle's kinds.
    """
    try:
        client = KubeClient(await load_connection(kubeconfig), Uncounted())
    except ConnectionConfigError as error:
        raise ClusterError(str(error)) from error
    mirror = Mirror(lambda: None)
    alive: set[str] = set()
    try:
        for kind in _READ:
            async for page in client.pages(kind):
                for item in page.items:
                    mirror.take(kind, item)
        async for page in client.pages(kinds.LEASES, namespace):
            leases = (read_node_lease(item) for item in page.items)
            alive |= {lease.node for lease in leases if lease is not None and lease.renewed + lease.duration > now}
    except NotFoundError as error:
        raise ClusterError(
            f"the cluster does not know treadle's kinds: {error}; install the chart (docs/install.md)"
        ) from error
    except ApiError as error:
        raise ClusterError(f"the API server: {error}") from error
    finally:
        await client.close()
    return mirror.snapshot(0, frozenset(alive))
