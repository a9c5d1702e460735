"""What Prometheus sees."""

from __future__ import annotations

import gzip
from dataclasses import replace

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from treadle_agent.executor.statistics import Document, Lookups, TenantStatistics

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def scrape(site):
    status, fields, text = site.request("GET", "/metrics")
    assert status == 200
    assert fields["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def labels(name, tenant="linear", **more):
    return (name, *sorted({"tenant": tenant, "tenant_namespace": "default", **more}.items()))


def test_every_admitted_tenant_begins_at_zero_and_ends_with_its_removal(site, entry, served):
    samples = scrape(site)
    for tier, outcome in [("large", "good"), ("small", "late"), ("", "late"), ("", "shed"), ("", "error")]:
        assert samples[labels("treadle_requests_total", tier=tier, outcome=outcome)] == 0
    assert samples[labels("treadle_accuracy_credit_total")] == 0
    assert samples[labels("treadle_request_duration_seconds_count")] == 0
    for code in ("400", "408", "413"):
        assert samples[labels("treadle_refused_requests_total", code=code)] == 0
    site.infer(GOOD)
    site.call(lambda: site.catalog.remove(["linear.default"]))
    assert not [key for key in scrape(site) if ("tenant", "linear") in key]
    site.call(lambda: site.catalog.put(entry("linear", served("linear", 70))))
    assert scrape(site)[labels("treadle_requests_total", tier="large", outcome="good")] == 0
    site.infer(GOOD)
    assert scrape(site)[labels("treadle_requests_total", tier="large", outcome="good")] == 1


def test_what_a_tenant_is_promised_stands_beside_what_it_gets(make_site, entry):
    site = make_site(devices=2)
    waiting = entry("linear", None, "other", refusal="spec.tiers[large].model: there is none")
    unbound = entry("bare", None)
    unbound = replace(unbound, tenant=replace(unbound.tenant, slo=replace(unbound.tenant.slo, min_accuracy=0.0)))
    pinned = entry("pinned", None)
    pinned = replace(pinned, tenant=replace(pinned.tenant, pinned="small"))
    for device in site.devices:
        for one in (waiting, unbound, pinned):
            site.call(lambda catalog=device.catalog, one=one: catalog.put(one))
    samples = scrape(site)
    assert samples[labels("treadle_promised_deadline_seconds")] == 5.0
    assert samples[labels("treadle_promised_objective_ratio")] == 0.99
    assert samples[labels("treadle_promised_accuracy_ratio")] == 0.5
    assert samples[labels("treadle_promised_deadline_seconds", tenant_namespace="other")] == 5.0
    assert samples[labels("treadle_promised_objective_ratio", tenant="bare")] == 0.99
    assert labels("treadle_promised_accuracy_ratio", tenant="bare") not in samples
    assert samples[labels("treadle_best_accuracy_ratio")] == 0.975
    small = pinned.tenant.tiers[-1].accuracy / 100
    assert samples[labels("treadle_best_accuracy_ratio", tenant="pinned")] == small < 0.975


def test_what_is_kept_of_a_tenant_goes_with_it_though_nobody_scrapes(site):
    device = site.devices[0]
    site.infer(GOOD)
    assert list(device.contracts) == [key for key, _ in device.requests] == ["linear.default"]
    site.call(lambda: site.catalog.remove(["linear.default"]))
    assert device.contracts == {}
    assert list(device.requests) == []


def test_requests_are_counted_with_credit_and_duration(site):
    for _ in range(3):
        site.infer(GOOD)
    site.infer(GOOD | {"parameters": {"timeout": 1}})
    site.infer({})
    samples = scrape(site)
    assert samples[labels("treadle_requests_total", tier="large", outcome="good")] == 3
    assert samples[labels("treadle_requests_total", tier="large", outcome="late")] == 1
    assert sum(value for key, value in samples.items() if key[0] == "treadle_requests_total") == 4
    assert samples[labels("treadle_refused_requests_total", code="400")] == 1
    assert abs(samples[labels("treadle_accuracy_credit_total")] - 3 * 0.975) < 1e-9
    assert samples[labels("treadle_request_duration_seconds_count")] == 4
    assert samples[labels("treadle_request_duration_seconds_bucket", le="+Inf")] == 4
    assert 0 < samples[labels("treadle_request_duration_seconds_sum")] < 4
    buckets = [
        value for key, value in samples.items() if key[0].endswith("duration_seconds_bucket") and "linear" in str(key)
    ]
    assert buckets == sorted(buckets)


def test_the_executor_reports_when_it_is_asked(site):
    document = Document(
        "host", "space-time", busy_seconds=1.0, weight_bytes=4096, plans=Lookups(9, 1), tuning=Lookups(3, 2)
    )
    document.launched([("matmul 4x3", 0.002, 1), ("matmul 4x3", 0.004, 1)], problems=5)
    document.launched([("relu 3", 0.0001, 1)], problems=1)
    document.tenants[1] = TenantStatistics("linear.default", 0.25, 2, "large", {"up/room": 1, "down/slack": 2}, 1.5)
    document.tenants[9] = TenantStatistics("linear.default", 0.5, 1, "large", {"up/room": 1, "down/slack": 0}, 1.25)
    site.gateway.document = document
    samples = scrape(site)
    assert samples[("treadle_executor_up", ("device", "device-0"))] == 1
    assert samples[labels("treadle_device_time_seconds_total", device="device-0")] == 0.75
    assert samples[labels("treadle_queue_depth", device="device-0")] == 3
    switches = {"name": "treadle_tier_switches_total", "device": "device-0"}
    assert samples[labels(**switches, direction="up", reason="room")] == 2
    assert samples[labels(**switches, direction="down", reason="slack")] == 2
    assert samples[labels("treadle_profile_correction_ratio", device="device-0")] == 1.25
    kernel = ("device", "device-0"), ("signature", "matmul 4x3")
    assert samples[("treadle_kernel_duration_seconds_count", *kernel)] == 2
    assert abs(samples[("treadle_kernel_duration_seconds_sum", *kernel)] - 0.006) < 1e-12
    for cache, result, count in (
        ("plans", "hit", 9),
        ("plans", "miss", 1),
        ("tuning", "hit", 3),
        ("tuning", "miss", 2),
    ):
        lookups = ("cache", cache), ("device", "device-0"), ("result", result)
        assert samples[("treadle_cache_lookups_total", *lookups)] == count
    assert samples[("treadle_super_kernel_problems_count", ("device", "device-0"))] == 3
    assert samples[("treadle_super_kernel_problems_sum", ("device", "device-0"))] == 11
    assert samples[("treadle_super_kernel_problems_bucket", ("device", "device-0"), ("le", "4.0"))] == 1
    assert samples[("treadle_super_kernel_problems_bucket", ("device", "device-0"), ("le", "8.0"))] == 3


def test_an_executor_that_does_not_report_leaves_a_gap(make_site):
    site = make_site(statistics_timeout=0.05)
    site.gateway.document = None
    samples = scrape(site)
    assert samples[("treadle_executor_up", ("device", "device-0"))] == 0
    assert not [key for key in samples if key[0].startswith(("treadle_kernel", "treadle_executor_restarts"))]
    site.gateway.reports_without_executor = True
    samples = scrape(site)
    assert samples[("treadle_executor_up", ("device", "device-0"))] == 0
    assert samples[("treadle_executor_restarts_total", ("device", "device-0"))] == 2
    assert samples[("treadle_replayed_requests_total", ("device", "device-0"))] == 5
    assert samples[labels("treadle_requests_total", tier="large", outcome="good")] == 0


def test_openmetrics_and_compression(site):
    site.infer(GOOD)
    headers = {"Accept": "application/openmetrics-text; version=1.0.0", "Accept-Encoding": "gzip"}
    status, fields, body = site.request("GET", "/metrics", None, headers)
    assert (status, fields["content-encoding"]) == (200, "gzip")
    assert fields["content-type"].startswith("application/openmetrics-text")
    families = {family.name for family in parse_openmetrics(gzip.decompress(body).decode())}
    assert {"treadle_requests", "treadle_request_duration_seconds", "process_cpu_seconds"} <= families
