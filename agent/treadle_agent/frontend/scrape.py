"""`GET /metrics`: the front end's counters, and the executor's as it reports them at this moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from treadle_agent.executor.gateway import Gateway
from treadle_agent.executor.statistics import BOUNDS, Document, TenantStatistics
from treadle_agent.frontend.directory import Directory
from treadle_agent.frontend.reply import Reply
from treadle_agent.metrics import TENANT_LABELS, RequestMetrics

PROBLEM_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)


class Scrape:
    """Renders all metrics."""

    def __init__(
        self, gateway: Gateway, directory: Directory, requests: RequestMetrics, statistics_timeout: float
    ) -> None:
        self._gateway = gateway
        self._directory = directory
        self._requests = requests
        self._timeout = statistics_timeout

    async def reply(self, accept: str) -> Reply:
        """The exposition in the format that `accept` asks for.

        An executor that does not report in time (it may be restarting) leaves its series out, and
        `treadle_executor_up` is 0: a gap is honest, zeros would not be.
        """
        report = await self._report()
        self._directory.refresh()
        registry = CollectorRegistry()
        registry.register(self._requests)
        registry.register(ExecutorSeries(report))
        ProcessCollector(registry=registry)
        encoder, content_type = choose_encoder(accept)
        return Reply(encoder(registry), content_type=content_type)

    async def _report(self) -> Report:
        try:
            async with asyncio.timeout(self._timeout):
                return read_report(await self._gateway.statistics())
        except TimeoutError:
            return Report(None, None)


class SupervisorCounters(msgspec.Struct):
    """What the supervisor counts over all its executor processes."""

    restarts: int
    replays: int


@dataclass(frozen=True, slots=True)
class Report:
    """What `Gateway.statistics` gave; a part is None where it did not come in time."""

    executor: Document | None
    supervisor: SupervisorCounters | None


def read_report(statistics: Mapping[str, Any]) -> Report:
    """Read the gateway's statistics; raises msgspec.ValidationError where they are not what they should be."""
    counters = msgspec.convert(statistics["supervisor"], SupervisorCounters)
    executor = msgspec.convert(statistics, Document, strict=False) if "device" in statistics else None
    return Report(executor, counters)


class ExecutorSeries(Collector):
    """One report as metric families."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """The metric families, one sample for each label set."""
        document, counters = self._report.executor, self._report.supervisor
        up = 0 if document is None else 1
        yield GaugeMetricFamily("treadle_executor_up", "Whether the executor process reported its statistics", value=up)
        if counters is not None:
            yield CounterMetricFamily(
                "treadle_executor_restarts", "Executor processes that ended and were replaced", value=counters.restarts
            )
            yield CounterMetricFamily(
                "treadle_replayed_requests", "Requests run again because their executor ended", value=counters.replays
            )
        if document is not None:
            yield from _launches(document)
            yield from _tenants(document)


def _launches(document: Document) -> Iterator[Metric]:
    duration = HistogramMetricFamily(
        "treadle_kernel_duration_seconds", "Time of one launch, by kernel signature", labels=("signature", "device")
    )
    bounds = (*map(repr, BOUNDS), "+Inf")
    for signature, entry in document.signatures.items():
        cumulative = accumulate(entry.latency.counts)
        buckets = list(zip(bounds, cumulative, strict=True))
        duration.add_metric((signature, document.device), buckets, entry.latency.seconds)
    yield duration
    problems = HistogramMetricFamily(
        "treadle_super_kernel_problems", "Kernels merged into one launch", labels=("device",)
    )
    counts = (
        sum(count for size, count in document.sizes.items() if below < size <= bound)
        for below, bound in pairwise((0, *PROBLEM_BUCKETS))
    )
    buckets = [(repr(float(bound)), count) for bound, count in zip(PROBLEM_BUCKETS, accumulate(counts), strict=True)]
    problems.add_metric((document.device,), [*buckets, ("+Inf", sum(document.sizes.values()))], document.problems)
    yield problems
    busy = CounterMetricFamily("treadle_device_busy_seconds", "Time the device ran launches", labels=("device",))
    busy.add_metric((document.device,), document.busy_seconds)
    yield busy


def _tenants(document: Document) -> Iterator[Metric]:
    device_time = CounterMetricFamily(
        "treadle_device_time_seconds",
        "Device time attributed to a tenant; over all tenants it sums to the time the device ran launches",
        labels=(*TENANT_LABELS, "device"),
    )
    depth = GaugeMetricFamily("treadle_queue_depth", "Requests that wait for a tier", labels=TENANT_LABELS)
    switches = CounterMetricFamily(
        "treadle_tier_switches", "Changes of the tier that answers", labels=(*TENANT_LABELS, "direction")
    )
    correction = GaugeMetricFamily(
        "treadle_profile_correction_ratio", "Observed over profiled duration", labels=TENANT_LABELS
    )
    for key, versions in _by_tenant(document).items():
        name, _, namespace = key.partition(".")
        labels = (name, namespace)
        device_time.add_metric((*labels, document.device), sum(version.device_seconds for version in versions))
        depth.add_metric(labels, sum(version.waiting for version in versions))
        correction.add_metric(labels, versions[-1].correction)
        for direction in sorted({direction for version in versions for direction in version.switches}):
            switches.add_metric((*labels, direction), sum(version.switches.get(direction, 0) for version in versions))
    yield from (device_time, depth, switches, correction)


def _by_tenant(document: Document) -> dict[str, list[TenantStatistics]]:
    """The versions of each tenant, oldest first: during an update two of them count."""
    tenants: dict[str, list[TenantStatistics]] = {}
    for _, statistics in sorted(document.tenants.items()):
        tenants.setdefault(statistics.tenant, []).append(statistics)
    return tenants
