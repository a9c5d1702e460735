"""What the cluster's objects say, for Prometheus: tenants' conditions, nodes and devices.

The leader alone tells of tenants, of which there may be thousands: what two told would be twice as many series. Of
nodes all operators tell the same, so that a lost one is known of while nobody leads: rules take the maximum over them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from treadle_api.conditions import find_condition
from treadle_operator.snapshot import NodeView, Snapshot, TenantView
from treadle_operator.tenant_status import TenantCondition

_DEVICE = ("node", "device")


class ClusterSeries(Collector):
    """Rendered anew at each scrape. `look`: all objects as they are known now; `leads`: whether this process does."""

    def __init__(self, look: Callable[[], Snapshot], leads: Callable[[], bool]) -> None:
        self._look = look
        self._leads = leads

    def collect(self) -> Iterator[Metric]:
        """The metric families, one sample for each label set."""
        snapshot = self._look()
        yield from _of_tenants(snapshot.tenants.values() if self._leads() else ())
        yield from _of_nodes(snapshot.nodes.values())


def _of_tenants(tenants: Iterable[TenantView]) -> Iterator[Metric]:
    holds = GaugeMetricFamily(
        "treadle_tenant_condition",
        "1 where a condition of the tenant's status is True; 0 where it is False, or not known",
        labels=("tenant", "tenant_namespace", "condition"),
    )
    for view in tenants:
        for type_ in TenantCondition:
            condition = find_condition(view.status.conditions, type_)
            labels = (view.tenant.name, view.tenant.namespace, type_)
            holds.add_metric(labels, float(condition is not None and condition.holds))
    yield holds


def _of_nodes(nodes: Iterable[NodeView]) -> Iterator[Metric]:
    alive = GaugeMetricFamily(
        "treadle_node_alive",
        "1 while the node's agent renews its Lease, 0 once it is lost; none once it has left in order",
        labels=("node",),
    )
    healthy = GaugeMetricFamily("treadle_device_healthy", "1 while the agent finds the device in order", labels=_DEVICE)
    cordoned = GaugeMetricFamily(
        "treadle_device_cordoned", "1 while the device takes no tenants, by the operator or a person", labels=_DEVICE
    )
    memory = GaugeMetricFamily("treadle_device_memory_bytes", "Memory that tenants may use in all", labels=_DEVICE)
    used = GaugeMetricFamily("treadle_device_memory_used_bytes", "Memory that tenants hold", labels=_DEVICE)
    for view in nodes:
        node = view.node
        if view.alive or not node.stopping:
            alive.add_metric((node.name,), float(view.alive))
        closed = {device.id for device in node.cordoned}
        for device in node.devices:
            labels = (node.name, device.id)
            healthy.add_metric(labels, float(device.healthy))
            cordoned.add_metric(labels, float(device.id in closed))
            memory.add_metric(labels, device.memory)
            used.add_metric(labels, device.used)
    return iter((alive, healthy, cordoned, memory, used))
