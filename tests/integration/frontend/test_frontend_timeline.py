"""Who may record a timeline, of what, and how long; what it shows is for `tests/integration/serve`."""

from __future__ import annotations

import json
import threading

import pytest
from aiohttp import web

from treadle_agent.frontend import timeline

PATH = "/debug/timeline?seconds=0.01"


def ask(site, query: str) -> tuple[int, str]:
    status, _, body = site.request("GET", f"/debug/timeline?{query}")
    return status, json.loads(body).get("error", "")


def test_it_comes_as_the_executor_wrote_it(site):
    site.gateway.timeline = b'{"traceEvents":[]}'
    assert site.request("GET", PATH)[2] == site.gateway.timeline
    assert site.request("GET", PATH)[0] == 200, "and again"


@pytest.mark.parametrize("seconds", ["0", "-1", "61", "nan", "inf", "much", ""])
def test_seconds_that_cannot_be(site, seconds):
    assert ask(site, f"seconds={seconds}") == (400, "seconds: must be a number above 0, at most 60")


@pytest.mark.parametrize("header", timeline.FORWARDED)
def test_not_for_others_through_a_proxy_of_this_machine(site, header):
    status, _, _ = site.request("GET", PATH, headers={header: "for=192.0.2.1"})
    assert status == 403


def test_one_at_a_time(site):
    first = threading.Thread(target=site.request, args=("GET", "/debug/timeline?seconds=1"))
    first.start()
    site.wait_for(lambda: site.gateway.recording is not None)
    assert ask(site, "seconds=0.01") == (409, "a timeline is being recorded already")
    first.join()
    assert ask(site, "seconds=0.01") == (200, "")


def test_a_client_that_goes_ends_the_recording(site):
    with site.connect() as connection:
        connection.sendall(b"GET /debug/timeline?seconds=30 HTTP/1.1\r\nHost: here\r\n\r\n")
        site.wait_for(lambda: site.gateway.recording is not None)
    site.wait_for(lambda: site.gateway.recording is None)
    site.wait_for(lambda: site.request("GET", PATH)[0] == 200)  # once the one that ended has said so


def test_an_executor_that_ended_meanwhile(site):
    site.gateway.timeline = None
    assert ask(site, "seconds=0.01")[0] == 503


def test_one_of_several_devices(make_site):
    site = make_site(devices=2)
    site.devices[1].gateway.timeline = b'{"of": 1}'
    assert site.request("GET", f"{PATH}&device=device-1")[2] == b'{"of": 1}'
    assert ask(site, "seconds=0.01") == (400, "device: must be one of device-0, device-1")
    assert ask(site, "seconds=0.01&device=x") == (404, "there is no device 'x' here; there are device-0, device-1")


@pytest.mark.parametrize(
    ("remote", "local"),
    [
        ("127.0.0.1", True), ("127.8.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False), ("::ffff:10.0.0.7", False), ("fe80::1", False), ("", False), (None, False),
        ("here", False),
    ],
)  # fmt: skip
def test_only_this_machine_may_ask(remote, local):
    assert timeline._is_local(remote) is local


def test_others_are_refused(site, monkeypatch):
    monkeypatch.setattr(web.BaseRequest, "remote", property(lambda _: "10.0.0.7"))
    status, reason = ask(site, "seconds=0.01")
    assert status == 403
    assert "kubectl port-forward" in reason
    assert site.gateway.recording is None
