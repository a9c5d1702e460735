"""A node with several devices: each request to the one that can serve it first, one set of names and counters."""

from __future__ import annotations

import concurrent.futures
import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from treadle_agent.executor.protocol import Done, Outcome

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


@pytest.fixture
def node(make_site, entry, served):
    """Two devices that serve `linear`; the second one alone serves `scalar`, as version 51."""
    site = make_site(devices=2)

    def arrange() -> None:
        first, second = site.devices
        first.catalog.remove(["scalar.default"])
        second.catalog.put(entry("linear", served("linear", 50)))
        second.catalog.put(entry("scalar", served("scalar", 51)))

    site.call(arrange)
    return site


def answered(site) -> list[int]:
    return [device.gateway.answered for device in site.devices]


def test_requests_go_where_the_tenant_is(node):
    number = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [], "data": [1]}]}
    assert node.infer(number, model="scalar")[0] == 200
    assert answered(node) == [0, 1]
    assert node.infer(GOOD, model="nobody")[0] == 404


def test_an_idle_node_answers_from_the_first_of_equals(node):
    assert [node.infer(GOOD)[0] for _ in range(3)] == [200] * 3
    assert answered(node) == [3, 0]


def test_requests_at_once_are_spread(node, make_gate):
    gates = [make_gate(node), make_gate(node)]
    for device, gate in zip(node.devices, gates, strict=True):
        device.gateway.gate = gate.event
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        pending = [pool.submit(node.infer, GOOD) for _ in range(10)]
        node.wait_for(lambda: sum(device.gateway.waiting for device in node.devices) == 10)
        assert [device.gateway.waiting for device in node.devices] == [5, 5]
        for gate in gates:
            gate.open()
        assert [one.result()[0] for one in pending] == [200] * 10


def test_a_slow_device_gets_fewer(make_site, entry, served, make_gate):
    from dataclasses import replace

    site = make_site(devices=2)
    slow = replace(served("linear", 60), service_seconds=(0.004, 0.0004))
    site.call(lambda: site.devices[1].catalog.put(entry("linear", slow)))
    gates = [make_gate(site), make_gate(site)]
    for device, gate in zip(site.devices, gates, strict=True):
        device.gateway.gate = gate.event
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        pending = [pool.submit(site.infer, GOOD) for _ in range(10)]
        site.wait_for(lambda: sum(device.gateway.waiting for device in site.devices) == 10)
        assert [device.gateway.waiting for device in site.devices] == [8, 2], "1 ms and 4 ms a request"
        for gate in gates:
            gate.open()
        assert all(one.result()[0] == 200 for one in pending)


def test_a_version_is_looked_for_on_all_devices(node):
    assert node.infer(GOOD, model="linear/versions/50")[1]["model_version"] == "50"
    assert node.infer(GOOD, model="linear/versions/1")[1]["model_version"] == "1"
    assert answered(node) == [1, 1]
    assert node.infer(GOOD, model="linear/versions/2")[0] == 404


def test_a_name_in_two_namespaces_is_ambiguous_across_devices(node, entry, served):
    node.call(lambda: node.devices[1].catalog.put(entry("means", None, namespace="other", loading=True)))
    status, answer = node.infer(GOOD, model="means")
    assert status == 400
    assert "means.default, means.other" in answer["error"]
    assert node.infer(GOOD, model="means.other")[0] == 503


def test_a_device_that_is_given_up_gets_no_more(node):
    node.call(lambda: node.devices[0].moves.begin("linear.default", ("127.0.0.1:1",), 5.0))
    _, fields, _ = node.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode())
    assert "connection" not in fields, "the node goes on serving it"
    assert answered(node) == [0, 1]
    assert node.request("GET", "/v2/models/linear/ready")[0] == 200


def test_counters_of_a_tenant_are_one_series(node, make_gate):
    node.infer(GOOD, model="linear/versions/1")
    node.infer(GOOD, model="linear/versions/50")
    node.devices[1].gateway.done = Done(0, Outcome.SHED)
    node.infer(GOOD, model="linear/versions/50")
    assert node.outcomes() == {("large", "good"): 2, ("", "shed"): 1}
    _, _, text = node.request("GET", "/metrics")
    up = {
        sample.labels["device"]: sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == "treadle_executor_up"
    }
    assert up == {"device-0": 1.0, "device-1": 1.0}
    names = [line.split()[2] for line in text.decode().splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)), "each family once"


def test_the_node_is_ready_when_all_devices_are(make_site):
    from treadle_agent.frontend.catalog import Catalog

    site = make_site(devices=2)
    assert site.request("GET", "/v2/health/ready")[0] == 200
    site.devices[1].catalog = Catalog()
    assert site.request("GET", "/v2/health/ready")[0] == 503
