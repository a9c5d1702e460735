"""ModelProfiles as objects of a cluster, where agents refine what was measured, and the operator plans by it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from kubernetes.aio.client import Configuration

from treadle.profile.latency.manifests import spec
from treadle.profile.latency.report import Report
from treadle_agent.cluster.connection import ConnectionConfigError, load_connection
from treadle_agent.cluster.errors import KubeError
from treadle_agent.cluster.kube import PROFILES, KubeClient

FIELD_MANAGER = "treadle-profile"  # not the agents': loads, which they do not measure, are not theirs to give up


class ClusterError(Exception):
    """Raised when there is no usable kubeconfig, or the API server does not take a profile."""


class Cluster:
    """The one that profiles are to go to."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    @classmethod
    async def find(cls, kubeconfig: Path | None) -> Self:
        """The cluster of a kubeconfig; None: the one that kubectl would ask. Raises ClusterError."""
        try:
            return cls(await load_connection(kubeconfig))
        except ConnectionConfigError as error:
            raise ClusterError(str(error)) from error

    async def apply(self, report: Report) -> list[str]:
        """Write the profile of each tier's model that has one; their names. Raises ClusterError."""
        client = KubeClient(self._configuration, FIELD_MANAGER)
        try:
            for tier in report.profiled:
                await client.apply(PROFILES, "", tier.profile, {"spec": spec(tier, report.device_model)})
        except KubeError as error:
            raise ClusterError(f"the API server: {error}") from error
        finally:
            await client.close()
        return [tier.profile for tier in report.profiled]
