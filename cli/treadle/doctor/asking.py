"""Asks a cluster; writes nothing there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from treadle.doctor.cluster import Cluster
from treadle.plan.cluster import ClusterError, Uncounted, read_cluster
from treadle_api.leases import LEADER_LEASE
from treadle_api.objects import API_VERSION
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.connection import ConnectionConfigError, load_connection
from treadle_operator.kube.errors import ApiError, NotFoundError
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.lease import read_leader_lease

GPU = "nvidia.com/gpu"  # the device plugin's resource
# Labels of a node with a GPU: by NVIDIA's feature discovery, and by Kubernetes' own (vendor 10de, display controllers).
GPU_LABELS = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present")
HANDLER = "nvidia"

_RUNTIME_CLASSES = Kind("RuntimeClass", "node.k8s.io/v1", "runtimeclasses", namespaced=False)
_REVIEWS = Kind("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)


async def ask(kubeconfig: Path | None, namespace: str) -> Cluster:
    """The facts, as of now.

    Raises:
        ClusterError: there is no usable kubeconfig, or the API server does not answer, or refuses to.
    """
    try:
        client = KubeClient(await load_connection(kubeconfig), Uncounted())
    except ConnectionConfigError as error:
        raise ClusterError(str(error)) from error
    try:
        undefined = await _undefined(client)
        nodes = () if undefined else (await read_cluster(kubeconfig, namespace, time.time())).nodes.values()
        return Cluster(
            namespace=namespace,
            undefined=undefined,
            led=await _led(client, namespace),
            nodes=tuple(nodes),
            barren=await _barren(client),
            has_runtime_class=await _has_runtime_class(client),
            may_apply=await _may_apply(client),
        )
    except ApiError as error:
        raise ClusterError(f"the API server: {error}") from error
    finally:
        await client.close()


async def _undefined(client: KubeClient) -> tuple[str, ...]:
    try:
        served = await client.served(API_VERSION)
    except NotFoundError:
        served = frozenset()
    return tuple(kind.plural for kind in kinds.OWN if kind.plural not in served)


async def _led(client: KubeClient, namespace: str) -> bool:
    try:
        lease = read_leader_lease(await client.get(kinds.LEASES, namespace, LEADER_LEASE))
    except NotFoundError:
        return False
    return bool(lease.holder) and datetime.fromisoformat(lease.renew_time).timestamp() + lease.duration > time.time()


async def _barren(client: KubeClient) -> tuple[str, ...]:
    found = []
    async for page in client.pages(kinds.CORE_NODES):
        found += [_name(node) for node in page.items if _is_barren(node)]
    return tuple(sorted(found))


def _is_barren(node: Json) -> bool:
    labels, capacity = _within(node, "metadata", "labels"), _within(node, "status", "capacity")
    return any(labels.get(label) == "true" for label in GPU_LABELS) and GPU not in capacity


async def _has_runtime_class(client: KubeClient) -> bool:
    async for page in client.pages(_RUNTIME_CLASSES):
        if any(one.get("handler") == HANDLER for one in page.items):
            return True
    return False


async def _may_apply(client: KubeClient) -> bool:
    group = kinds.TENANTS.group
    attributes = {"namespace": "default", "verb": "create", "group": group, "resource": kinds.TENANTS.plural}
    review = {
        "apiVersion": _REVIEWS.api_version,
        "kind": _REVIEWS.name,
        "spec": {"resourceAttributes": attributes},
    }
    answer = await client.create(_REVIEWS, "", review)
    return _within(answer, "status").get("allowed") is True


def _name(manifest: Json) -> str:
    return str(_within(manifest, "metadata")["name"])


def _within(manifest: Json, *path: str) -> Mapping[str, object]:
    """The mapping at a path, empty where there is none."""
    found: object = manifest
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
