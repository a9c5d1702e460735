"""A front end that begins and stops."""

from __future__ import annotations

import json
import threading

import pytest

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
BODY = json.dumps(GOOD).encode()


def test_stopping_waits_for_requests_up_to_a_bound(make_site, make_gate):
    site = make_site(drain_timeout=0.2)
    gate = make_gate(site)
    site.gateway.gate = gate.event
    answer = gate.in_background(lambda: site.request("POST", "/v2/models/linear/infer", BODY))
    site.run(site.front_end.stop())
    with pytest.raises((ConnectionError, OSError)):
        answer.result(20)
    with pytest.raises(ConnectionRefusedError):
        site.connect()
    assert site.gateway.open_calls == 0


@pytest.mark.parametrize("hurried_before", [False, True])
def test_in_a_hurry_requests_under_way_are_given_up(make_site, make_gate, hurried_before):
    site = make_site(drain_timeout=600.0)
    gate = make_gate(site)
    site.gateway.gate = gate.event
    answer = gate.in_background(lambda: site.request("POST", "/v2/models/linear/infer", BODY))
    if hurried_before:
        site.call(site.front_end.hurry)
    stopping = threading.Thread(target=lambda: site.run(site.front_end.stop()))
    stopping.start()
    if not hurried_before:
        site.wait_for(lambda: site.front_end._draining)
        assert stopping.is_alive()
        site.call(site.front_end.hurry)
    stopping.join(10)
    assert not stopping.is_alive()
    with pytest.raises((ConnectionError, OSError)):
        answer.result(20)
    assert site.gateway.open_calls == 0


def test_ready_once_the_first_tenants_are_there(make_site):
    site = make_site()
    site.call(lambda: setattr(site.catalog, "_reconciled", False))
    assert site.request("GET", "/v2/health/ready")[0] == 503
    site.call(site.catalog.mark_reconciled)
    assert site.request("GET", "/v2/health/ready")[0] == 200
