"""Over HTTP: who is let in, what others are told, and that a request that is passed on is judged once more."""

from __future__ import annotations

import json

import pytest

from treadle_callers.callers import Caller, PathRight, ReviewError, TenantRight
from treadle_callers.settings import GuardSettings

GOOD = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
KEY = "linear.default"


class Reviewer:
    """`ann` may use `linear`, `op` may read metrics; a token is its user's name, for whatever audience."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def identify(self, token, _):
        if self.away:
            raise ReviewError("away")
        self.asked += 1
        return Caller(token) if token in ("ann", "bob", "op") else None

    async def allows(self, caller, right):
        return (caller.user, right) in {
            ("ann", TenantRight("default", "linear")),
            ("op", PathRight("/metrics")),
            ("op", PathRight("/debug/timeline")),
        }


@pytest.fixture
def guarded(make_site):
    def make():
        site, reviewer = make_site(), Reviewer()
        site.call(lambda: site.front_end.protect(reviewer, GuardSettings("treadle.dev")))
        return site, reviewer

    return make


def bearer(who: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {who}"}


@pytest.mark.parametrize(
    ("who", "status"), [("ann", 200), ("bob", 403), ("op", 403), ("eve", 401), ("", 401)]
)  # fmt: skip
def test_inference(guarded, who, status):
    site, _ = guarded()
    assert site.infer(GOOD, **(bearer(who) if who else {}))[0] == status
    assert site.gateway.answered == (status == 200)


@pytest.mark.parametrize("path", ["", "/ready", "/versions/1"])
def test_what_is_told_of_a_tenant(guarded, path):
    site, _ = guarded()
    found = [site.request("GET", f"/v2/models/linear{path}", headers=bearer(who)) for who in ("ann", "bob")]
    assert [one[0] for one in found] == [200, 403]
    _, fields, absent = site.request("GET", f"/v2/models/nothing{path}", headers=bearer("bob"))
    assert absent == found[1][2]
    assert fields == {**found[1][1], "date": fields["date"]}


def test_metrics_timelines_probes_and_the_server_itself(guarded):
    site, _ = guarded()
    for path, expected in (
        ("/metrics", {"op": 200, "ann": 403, "eve": 401}),
        ("/debug/timeline?seconds=0.01", {"op": 200, "ann": 403}),
        ("/v2", {"ann": 200, "bob": 200, "eve": 401}),
        ("/v2/health/live", {"eve": 200}),
        ("/v2/health/ready", {"eve": 200}),
    ):
        assert {who: site.request("GET", path, headers=bearer(who))[0] for who in expected} == expected, path


def test_others_are_not_told_that_a_tenant_leaves(guarded):
    site, _ = guarded()
    site.call(lambda: site.devices[0].moves.begin(KEY, (), 5.0))
    assert site.request("GET", "/v2/models/linear", headers=bearer("ann"))[1]["connection"] == "close"
    assert "connection" not in site.request("GET", "/v2/models/linear", headers=bearer("bob"))[1]


def test_a_refused_body_is_not_read(guarded):
    site, _ = guarded()
    with site.connect() as connection:
        connection.sendall(b"POST /v2/models/linear/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b'WWW-Authenticate: Bearer realm="treadle"\r\n' in answer
    assert b"Connection: close\r\n" in answer


def test_nobody_is_let_in_while_nobody_says_who_may(guarded):
    site, reviewer = guarded()
    reviewer.away = True
    status, fields, answer = site.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode(), bearer("ann"))
    assert (status, fields["retry-after"]) == (503, "1")
    assert "cannot be asked" in json.loads(answer)["error"]
    reviewer.away = False
    assert site.infer(GOOD, **bearer("ann"))[0] == 200
    reviewer.away = True
    assert site.infer(GOOD, **bearer("ann"))[0] == 200


def test_a_request_that_is_passed_on_carries_its_token_and_is_judged_there(guarded):
    (old, _), (new, there) = guarded(), guarded()
    old.call(lambda: old.devices[0].moves.begin(KEY, (new.url,), 5.0))
    assert old.infer(GOOD, **bearer("ann"))[0] == 200
    assert (old.gateway.answered, new.gateway.answered, there.asked) == (0, 1, 1)
    assert old.infer(GOOD, **bearer("bob"))[0] == 403
    assert new.gateway.answered == 1
    new.call(lambda: setattr(there, "allows", nobody))
    new.call(lambda: new.front_end.protect(there, GuardSettings("treadle.dev")))
    status, _, answer = old.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode(), bearer("ann"))
    assert (status, "you may not use it" in answer.decode()) == (403, True)
    new.call(lambda: setattr(there, "identify", nobody))
    new.call(lambda: new.front_end.protect(there, GuardSettings("treadle.dev")))
    status, fields, _ = old.request("POST", "/v2/models/linear/infer", json.dumps(GOOD).encode(), bearer("ann"))
    assert status == 401
    assert fields["www-authenticate"] == 'Bearer realm="treadle", error="invalid_token"'


async def nobody(*_):
    """Whom a token stands for, and what that one may."""
    return


def test_turns_are_of_addresses(guarded, monkeypatch):
    site, _ = guarded()
    guard, peers = site.front_end._guard, []
    admit = guard.admit

    def spy(route, headers, peer):
        peers.append(peer)
        return admit(route, headers, peer)

    monkeypatch.setattr(guard, "admit", spy)
    assert site.infer(GOOD, **bearer("ann"))[0] == 200
    assert peers == ["127.0.0.1"]
