"""Looks at a cluster through its API; writes nothing there."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path

from treadle.plan.cluster import Uncounted
from treadle.top.objects import device_rows, tenant_row
from treadle.top.sources import SourceError
from treadle.top.view import View
from treadle_api.fields import FieldError
from treadle_api.node import read_node
from treadle_operator.kube import kinds
from treadle_operator.kube.client import Json, KubeClient
from treadle_operator.kube.connection import ConnectionConfigError, default_namespace, load_connection
from treadle_operator.kube.errors import ApiError, NotFoundError, RefusedError
from treadle_operator.kube.kinds import Kind
from treadle_operator.kube.views import read_replica_view, read_tenant_view
from treadle_operator.snapshot import ReplicaView

_FORBIDDEN = 403


class ClusterSource:
    """A cluster's tenants in one namespace, or, with "", in all of them; None for the one that kubectl would take."""

    def __init__(self, kubeconfig: Path | None, context: str | None, namespace: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._namespace = namespace

    def look(self) -> View:
        """What the objects say now; raises SourceError."""
        return asyncio.run(self._look())

    async def _look(self) -> View:
        try:
            client = KubeClient(await load_connection(self._kubeconfig, self._context), Uncounted())
            if self._namespace is None:
                self._namespace = default_namespace(self._kubeconfig, self._context)
        except ConnectionConfigError as error:
            raise SourceError(str(error)) from error
        where = f"namespace {self._namespace}" if self._namespace else "all namespaces"
        try:
            return await _read(client, self._namespace, where)
        except NotFoundError as error:
            fix = "install the chart (docs/install.md); treadle doctor --cluster tells what else is lacking"
            raise SourceError(f"the cluster does not know treadle's kinds: {error}; {fix}") from error
        except RefusedError as error:
            raise SourceError(f"the API server: {error}; you need the ClusterRole view in {where}") from error
        except ApiError as error:
            fix = "treadle top --url URL looks at a server without a cluster"
            raise SourceError(f"the API server: {error}; {fix}") from error
        except FieldError as error:
            fix = "is the chart of another version than this treadle?"
            raise SourceError(f"an object in {where} cannot be read: {error}; {fix}") from error
        finally:
            await client.close()


async def _read(client: KubeClient, namespace: str, where: str) -> View:
    tenants = [read_tenant_view(item) for item in await _items(client, kinds.TENANTS, namespace)]
    if not tenants and namespace and not await _exists(client, namespace):
        raise SourceError(f"there is no {where}; -A looks at all that there are")
    replicas = [read_replica_view(item) for item in await _items(client, kinds.REPLICAS, namespace)]
    by_tenant: dict[str, list[ReplicaView]] = defaultdict(list)
    for one in replicas:
        by_tenant[one.replica.tenant.key].append(one)
    missing = []
    try:
        nodes = [read_node(item) for item in await _items(client, kinds.NODES, "")]
    except RefusedError as error:
        if error.code != _FORBIDDEN:
            raise
        nodes = []
        missing.append(
            "devices are not shown: you may not list inferencenodes (bind the ClusterRole view cluster-wide)"
        )
    return View(
        source=where,
        tenants=tuple(tenant_row(view, by_tenant[view.tenant.key]) for view in tenants),
        devices=tuple(device_rows(nodes, replicas)),
        missing=tuple(missing),
    )


async def _exists(client: KubeClient, namespace: str) -> bool:
    """Whether there is such a namespace; so it is where we may not know."""
    try:
        await client.get(kinds.NAMESPACES, "", namespace)
    except NotFoundError:
        return False
    except RefusedError:
        return True
    return True


async def _items(client: KubeClient, kind: Kind, namespace: str) -> list[Json]:
    return [item async for page in client.pages(kind, namespace) for item in page.items]
