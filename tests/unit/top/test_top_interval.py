"""What `treadle top` makes of two scrapes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from treadle.top.interval import compare
from treadle.top.scrape import Scrape, read_scrape
from treadle.top.view import DeviceRow, Note, TenantRow
from treadle_agent.executor.statistics import Document, TenantStatistics
from treadle_agent.frontend.promises import PromiseSeries
from treadle_agent.frontend.scrape import ExecutorSeries, Report
from treadle_agent.metrics import RequestMetrics, RequestOutcome, RequestSeries, TenantRequests, TenantSeries
from treadle_api.tenant import Tenant, read_tenant

KEY = "a.default"


def tenant(name: str = "a", *, floor: str = "80") -> Tenant:
    return read_tenant(
        {
            "apiVersion": "treadle.dev/v1alpha1",
            "kind": "InferenceTenant",
            "metadata": {"name": name},
            "spec": {
                "slo": {"deadline": "100ms", "objective": "90", "minAccuracy": floor},
                "tiers": [
                    {"name": "large", "accuracy": "97.5", "model": {"uri": "large.onnx"}},
                    {"name": "small", "accuracy": "85", "model": {"uri": "small.onnx"}},
                ],
            },
        }
    )


class Server:
    """A server's counters, and what its /metrics says of them: in the words of the agent's own modules."""

    def __init__(self, *tenants: Tenant) -> None:
        self.tenants = tenants or (tenant(),)
        self.metrics = RequestMetrics()
        self.documents: dict[str, Document | None] = {"host": Document("host", "space-time")}
        for one in self.tenants:
            self.requests(one.name)
        self.load("host", KEY)

    def load(self, device: str, key: str) -> None:
        document = self.documents[device]
        assert document is not None
        document.tenants[len(document.tenants)] = TenantStatistics(key)

    def requests(self, name: str = "a") -> TenantRequests:
        return self.metrics.of(TenantSeries(name, "default", ("large", "small")))

    def answer(self, tier: str, seconds: float, times: int, name: str = "a") -> None:
        accuracy = {"large": 0.975, "small": 0.85}[tier]
        for _ in range(times):
            self.requests(name).answered(tier, accuracy, seconds, in_time=seconds <= 0.1)

    def count(self, outcome: RequestOutcome, times: int) -> None:
        for _ in range(times):
            self.requests().count(outcome)

    def scrape(self, at: float) -> Scrape:
        registry = CollectorRegistry()
        registry.register(RequestSeries([self.metrics]))
        registry.register(PromiseSeries(self.tenants))
        registry.register(ExecutorSeries([Report(name, one, None) for name, one in self.documents.items()]))
        return read_scrape(generate_latest(registry).decode(), at)


def row(before: Scrape, after: Scrape) -> TenantRow:
    [found] = compare(before, after, "here").tenants
    return found


def test_what_happened_in_between_is_told_and_not_what_was_before() -> None:
    server = Server()
    server.answer("small", 5.0, 500)
    before = server.scrape(100.0)
    server.answer("large", 0.03, 80)
    server.answer("small", 0.03, 20)
    found = row(before, server.scrape(104.0))
    assert (found.namespace, found.name, found.deadline, found.objective) == ("default", "a", 0.1, 90.0)
    assert found.requests == {"good": 100, "late": 0, "shed": 0, "error": 0}
    assert found.requests_per_second == 25.0
    assert found.p99 == pytest.approx(0.025 + 0.99 * 0.025)
    assert found.effective_accuracy == 95.0
    assert (found.min_accuracy, found.slo_met, found.accuracy_met) == (80.0, "True", "True")
    assert (found.active_tier, found.tiers) == ("large", {"large": 0.8, "small": 0.2})
    assert (found.ready, found.replicas, found.devices) == ("True", 1, ("host",))
    assert (found.broken, found.notes) == (False, ())


def test_without_requests_nothing_is_claimed() -> None:
    server = Server()
    server.answer("large", 0.03, 5)
    found = row(server.scrape(0.0), server.scrape(1.0))
    assert (found.p99, found.effective_accuracy, found.slo_met, found.accuracy_met) == (
        None,
        None,
        "Unknown",
        "Unknown",
    )
    assert (found.requests_per_second, found.active_tier, found.tiers, found.broken) == (0.0, "", {}, False)


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (RequestOutcome.LATE, "RequestsLate"),
        (RequestOutcome.SHED, "RequestsShed"),
        (RequestOutcome.ERROR, "RequestsFailed"),
    ],
)
def test_a_promise_that_is_not_kept_is_told_with_its_cause(outcome: RequestOutcome, reason: str) -> None:
    server = Server()
    before = server.scrape(0.0)
    server.answer("small", 0.03, 60)
    server.count(outcome, 40)
    found = row(before, server.scrape(10.0))
    assert (found.slo_met, found.accuracy_met, found.broken) == ("False", "False", True)
    assert found.notes == (Note("SLO met", reason), Note("Accuracy met", "BelowFloor"))
    assert found.effective_accuracy == 51.0


def test_a_little_more_than_is_allowed_is_chance_as_in_the_operators_status() -> None:
    server = Server()
    before = server.scrape(0.0)
    server.answer("large", 0.03, 89)
    server.count(RequestOutcome.SHED, 11)
    assert row(before, server.scrape(1.0)).slo_met == "True"


def test_a_tenant_without_a_floor_has_none_to_break() -> None:
    server = Server(tenant(floor="0"))
    before = server.scrape(0.0)
    server.answer("small", 0.03, 10)
    found = row(before, server.scrape(1.0))
    assert (found.min_accuracy, found.accuracy_met) == (0.0, "True")


def test_a_tenant_that_no_device_has_stands_out() -> None:
    server = Server(tenant(), tenant("b"))
    found = {one.name: one for one in compare(server.scrape(0.0), server.scrape(1.0), "here").tenants}
    assert (found["b"].ready, found["b"].replicas, found["b"].broken) == ("False", 0, True)
    assert found["b"].notes == (Note("Ready", "NotServed"),)
    assert not found["a"].broken


def test_a_server_that_began_anew_in_between() -> None:
    old, new = Server(), Server()
    old.answer("large", 0.03, 1000)
    new.answer("large", 0.03, 10)
    found = row(old.scrape(0.0), new.scrape(2.0))
    assert (found.requests["good"], found.requests_per_second) == (10, 5.0)
    assert found.p99 == pytest.approx(0.025 + 0.99 * 0.025)


def test_longer_than_all_buckets_is_the_longest_bound() -> None:
    server = Server()
    before = server.scrape(0.0)
    server.answer("large", 100.0, 3)
    found = row(before, server.scrape(1.0))
    assert found.p99 is not None
    assert (found.p99, math.isinf(found.p99)) == (60.0, False)


def test_devices_and_how_much_they_merge() -> None:
    server = Server()
    server.documents["gpu-1"] = Document("gpu-1", "space-time")
    server.load("gpu-1", KEY)
    server.documents["gpu-2"] = None
    host = server.documents["host"]
    assert host is not None
    host.launched([("matmul", 9.0, 1)], problems=64)
    before = server.scrape(0.0)
    host.launched([("matmul", 0.5, 1), ("relu", 0.25, 1)], problems=5)
    host.launched([("matmul", 0.25, 1)], problems=2)
    view = compare(before, server.scrape(4.0), "here")
    assert [one.devices for one in view.tenants] == [("gpu-1", "host")]
    assert view.devices == (
        DeviceRow(device="gpu-1", healthy=True, busy=0.0, tenants=1),
        DeviceRow(device="gpu-2", healthy=False, reason="its executor process does not answer"),
        DeviceRow(device="host", healthy=True, busy=0.25, merge_factor=4.0, tenants=1),
    )


def test_an_older_server_tells_no_promises_and_is_not_judged() -> None:
    def read(at: float, values: Mapping[str, int]) -> Scrape:
        labels = 'tenant="a",tenant_namespace="default",tier="x"'
        lines = [f'treadle_requests_total{{{labels},outcome="{key}"}} {value}' for key, value in values.items()]
        return read_scrape("\n".join(["# TYPE treadle_requests counter", *lines, ""]), at)

    found = row(read(0.0, {"shed": 0}), read(1.0, {"shed": 5}))
    assert (found.deadline, found.p99, found.slo_met, found.min_accuracy) == (None, None, "Unknown", None)
    assert found.requests["shed"] == 5


def test_what_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        read_scrape("<html>hello", 0.0)
