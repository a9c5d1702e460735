"""Shares of a device: by weight, while several want it."""

from __future__ import annotations

import pytest

from treadle_agent.policy.fairness import FairShares


def serve(shares: FairShares, weights: dict[int, float], seconds: float, slice_: float = 0.001) -> dict[int, float]:
    """Give the device to whoever has not exceeded its share, the lowest number first; seconds of each."""
    had = dict.fromkeys(weights, 0.0)
    now = shares._now
    end = now + seconds
    while now < end:
        tenant = next((one for one in weights if not shares.exceeded(one)), min(weights))
        now += slice_
        shares.advance(now)
        shares.charge(tenant, weights[tenant], slice_)
        had[tenant] += slice_
    return had


def test_who_wants_more_gets_its_weights_share() -> None:
    shares, weights = FairShares(), {1: 1.0, 2: 1.0, 3: 2.0}
    for tenant, weight in weights.items():
        shares.join(tenant, weight, burst=0.1)
    had = serve(shares, weights, 10.0)
    assert {tenant: seconds / 10.0 for tenant, seconds in had.items()} == pytest.approx(
        {1: 0.25, 2: 0.25, 3: 0.5}, abs=0.02
    )


def test_what_nobody_else_wants_is_for_all() -> None:
    shares = FairShares()
    shares.join(1, 1.0, burst=0.1)
    serve(shares, {1: 1.0}, 10.0)
    shares.join(2, 1.0, burst=0.1)
    assert not shares.exceeded(2)
    assert serve(shares, {1: 1.0, 2: 1.0}, 2.0)[1] == pytest.approx(1.0, abs=0.15)  # nothing is paid back


def test_quiet_tenants_save_up_no_more_than_one_deadline() -> None:
    shares = FairShares()
    shares.join(1, 1.0, burst=0.2)
    shares.join(2, 1.0, burst=0.2)
    shares.leave(2)
    serve(shares, {1: 1.0}, 5.0)
    shares.join(2, 1.0, burst=0.2)
    shares.charge(2, 1.0, 0.09)
    assert not shares.exceeded(2)
    shares.charge(2, 1.0, 0.02)
    assert shares.exceeded(2)


def test_leaving_and_coming_back_does_not_wipe_the_slate() -> None:
    shares = FairShares()
    shares.join(1, 1.0, burst=0.0)
    shares.join(2, 1.0, burst=0.0)
    shares.charge(1, 1.0, 3.0)
    shares.leave(1)
    shares.join(1, 1.0, burst=0.0)
    assert shares.exceeded(1)
    shares.forget(1)
    shares.join(1, 1.0, burst=0.0)
    assert not shares.exceeded(1)
