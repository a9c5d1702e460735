"""Asks a cluster; writes nothing there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from treadle.doctor.cluster import Cluster, is_barren
from treadle.plan.cluster import ClusterError, Uncounted, read_cluster
from treadle_api.leases import LEADER_LEASE
from treadle_api.objects import API_VERSION
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.connection import ConnectionConfigError, load_connection
from treadle_operator.kube.errors import ApiError, NotFoundError, RefusedError
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.lease import read_leader_lease

HANDLER = "nvidia"
# What treadle's service accounts do first of all: verb, kind, subresource.
_WORK = {
    "treadle-operator": (("create", kinds.LEASES, ""), ("patch", kinds.TENANTS, "status")),
    "treadle-agent": (("create", kinds.LEASES, ""), ("patch", kinds.REPLICAS, "status")),
}

_RUNTIME_CLASSES = Kind("RuntimeClass", "node.k8s.io/v1", "runtimeclasses", namespaced=False)
_OWN_REVIEWS = Kind("SelfSubjectAccessReview", "authorization.k8s.io/v1", "selfsubjectaccessreviews", namespaced=False)
_REVIEWS = Kind("SubjectAccessReview", "authorization.k8s.io/v1", "subjectaccessreviews", namespaced=False)


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
            may_apply=await _allowed(client, _OWN_REVIEWS, _attributes("create", kinds.TENANTS, "default")),
            powerless=await _powerless(client, namespace),
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
        found += [
            str(_within(node, "metadata")["name"])
            for node in page.items
            if is_barren(_within(node, "metadata", "labels"), _within(node, "status", "capacity"))
        ]
    return tuple(sorted(found))


async def _has_runtime_class(client: KubeClient) -> bool:
    async for page in client.pages(_RUNTIME_CLASSES):
        if any(one.get("handler") == HANDLER for one in page.items):
            return True
    return False


async def _powerless(client: KubeClient, namespace: str) -> tuple[str, ...] | None:
    lacking = []
    for account, work in _WORK.items():
        for verb, kind, subresource in work:
            attributes = _attributes(verb, kind, namespace, subresource)
            user = f"system:serviceaccount:{namespace}:{account}"
            try:
                allowed = await _allowed(client, _REVIEWS, attributes, user=user)
            except RefusedError as error:
                if error.code != HTTPStatus.FORBIDDEN:
                    raise
                return None
            if not allowed:
                lacking.append(f"{account} may not {verb} {'/'.join(filter(None, (kind.plural, subresource)))}")
    return tuple(lacking)


def _attributes(verb: str, kind: Kind, namespace: str, subresource: str = "") -> Json:
    return {
        "verb": verb,
        "group": kind.group,
        "resource": kind.plural,
        "namespace": namespace,
        "subresource": subresource,
    }


async def _allowed(client: KubeClient, reviews: Kind, attributes: Json, **whose: str) -> bool:
    review = {
        "apiVersion": reviews.api_version,
        "kind": reviews.name,
        "spec": {"resourceAttributes": attributes, **whose},
    }
    return _within(await client.create(reviews, "", review), "status").get("allowed") is True


def _within(manifest: Json, *path: str) -> Mapping[str, object]:
    """The mapping at a path, empty where there is none."""
    found: object = manifest
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
