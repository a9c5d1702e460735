"""What tenants are promised, for those who set what they get beside it: a dashboard, an alert, `treadle top`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from treadle_agent.metrics import TENANT_LABELS
from treadle_api.tenant import Tenant


class PromiseSeries(Collector):
    """The promises of `tenants` as metric families; of a tenant on several devices one sample each."""

    def __init__(self, tenants: Iterable[Tenant]) -> None:
        self._tenants = {tenant.key: tenant for tenant in tenants}

    def collect(self) -> Iterator[Metric]:
        """The metric families; ratios 0–1."""
        deadline = GaugeMetricFamily(
            "treadle_promised_deadline_seconds",
            "Time from a request's arrival by which the tenant is promised an answer",
            labels=TENANT_LABELS,
        )
        objective = GaugeMetricFamily(
            "treadle_promised_objective_ratio",
            "Share of requests that the tenant is promised to be answered by the deadline",
            labels=TENANT_LABELS,
        )
        accuracy = GaugeMetricFamily(
            "treadle_promised_accuracy_ratio",
            "Effective accuracy that the tenant is promised; none where it has no floor",
            labels=TENANT_LABELS,
        )
        best = GaugeMetricFamily(
            "treadle_best_accuracy_ratio",
            "Accuracy of the tenant's best tier, or of the pinned one: all that can be had",
            labels=TENANT_LABELS,
        )
        for tenant in self._tenants.values():
            labels, slo = (tenant.name, tenant.namespace), tenant.slo
            deadline.add_metric(labels, slo.deadline)
            objective.add_metric(labels, slo.objective / 100)
            if slo.min_accuracy > 0:
                accuracy.add_metric(labels, slo.min_accuracy / 100)
            offered = (tier.accuracy for tier in tenant.tiers if tenant.pinned in (None, tier.name))
            best.add_metric(labels, max(offered) / 100)
        yield from (deadline, objective, accuracy, best)
