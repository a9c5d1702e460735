"""The default choice of tier: what it may never do, and how it learns what tiers cost."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_agent.policy.queues import Tenant, relax
from treadle_agent.policy.switching import STAY_SHARE, UP_SHARE, choose_tier

Make = Callable[..., Tenant]
SERVICES = (0.1, 0.03, 0.01)


@given(st.integers(0, 2), st.integers(0, 60), st.floats(0.0, 2.0), st.floats(0.0, 2.0), st.floats(0.1, 1.0), st.data())
def test_the_choice_is_the_most_accurate_that_fits(
    tenant: Make, asked: type, current: int, waiting: int, now: float, others: float, pace: float, data: st.DataObject
) -> None:
    one = tenant(*data.draw(st.permutations(SERVICES)))
    one.current, one.rows, one.pace = current, waiting, pace
    chosen = choose_tier(one, asked(1), now, others)

    def fits(index: int) -> bool:
        tier = one.tiers[index]
        share = STAY_SHARE if index >= current else UP_SHARE
        drain = (others + max(waiting - 1, 0) * tier.row_seconds) / pace
        return tier.service <= 1.0 - now and drain + tier.service <= share

    assert not any(fits(index) for index in range(chosen))
    assert fits(chosen) or one.tiers[chosen].service == one.fastest()


def test_a_tier_that_is_not_resident_is_not_chosen_while_another_is(tenant: Make, asked: type) -> None:
    one = tenant(*SERVICES)
    one.tiers[0].load = one.tiers[2].load = 0.5
    assert choose_tier(one, asked(1), 0.0, 0.0) == 1
    assert choose_tier(one, asked(1), 0.0, 9.0) == 1  # nothing fits: what is there is done first


def test_without_any_resident_tier_the_one_that_is_done_first_is_loaded(tenant: Make, asked: type) -> None:
    one = tenant(*SERVICES)
    for tier, load in zip(one.tiers, (0.1, 0.5, 0.3), strict=True):
        tier.load = load
    assert choose_tier(one, asked(1), 0.0, 0.0) == 0


def test_every_switch_is_counted_with_its_reason(tenant: Make, asked: type) -> None:
    one = tenant(*SERVICES)
    for now, others in ((0.0, 0.0), (0.0, 0.75), (0.0, 0.3), (0.95, 0.0), (0.95, 0.0), (0.0, 0.0)):
        one.switch(choose_tier(one, asked(1), now, others))
    counted = {name: count for name, count in one.switches.by_name().items() if count}
    assert counted == {"down/backlog": 1, "up/room": 2, "down/slack": 1}
    assert (one.ups, one.downs) == (2, 2)


def test_a_pinned_tenant_ignores_its_policy(tenant: Make, asked: type) -> None:
    class Never:
        def choose(self, *_: object) -> int:
            raise AssertionError

    one = tenant(*SERVICES, pinned=1, switching=Never())
    assert choose_tier(one, asked(1), 0.0, 9.0) == 1
    with pytest.raises(AssertionError):
        choose_tier(tenant(*SERVICES, switching=Never()), asked(1), 0.0, 0.0)


def test_what_one_tier_shows_is_expected_of_its_siblings(tenant: Make) -> None:
    one = tenant(*SERVICES)
    for _ in range(30):
        for _ in range(20):
            one.tiers[0].buckets[0][0].cost.observe(1, 1.0, 1.6 * SERVICES[0])
        relax([one])
    assert one.tiers[2].service == pytest.approx(1.6 * SERVICES[2], rel=0.02)


def test_what_nobody_shows_is_forgotten(tenant: Make) -> None:
    one = tenant(*SERVICES)
    for _ in range(100):
        one.tiers[0].buckets[0][0].cost.observe(1, 1.0, 1.0)
    for _ in range(60):
        relax([one])
    assert [tier.service for tier in one.tiers] == pytest.approx(SERVICES, rel=1e-4)


def test_a_correction_that_tenants_share_is_relaxed_once(tenant: Make) -> None:
    first, second = tenant(0.1, key=1), tenant(0.1, key=2)
    second.tiers[0].buckets[0] = first.tiers[0].buckets[0]
    cost = first.tiers[0].buckets[0][0].cost
    for _ in range(200):
        cost.observe(1, 1.0, 0.2)
    relax([first, second])
    assert cost.correction.ratio == pytest.approx(2.0, rel=0.01)  # observed this second: kept


def test_parallel_servers_share_a_backlog(tenant: Make) -> None:
    from treadle_agent.policy.queues import Tier

    tier = Tier("wide", 0.4, servers=4)
    assert tier.row_seconds == pytest.approx(0.1)
    for _ in range(60):
        tier.relax()
    assert tier.row_seconds == pytest.approx(0.1)


@given(st.integers(0, 6), st.floats(0.0, 2.0), st.integers(0, 2), st.integers(0, 60))
def test_a_tier_that_the_client_ruled_out_never_answers(
    tenant: Make, asked: type, forbidden: int, others: float, current: int, waiting: int
) -> None:
    class Fixed:
        def choose(self, *_: object) -> int:
            return current

    for policy in (None, Fixed()):
        one = tenant(*SERVICES, switching=policy)
        one.current, one.rows = current, waiting
        assert not forbidden >> choose_tier(one, asked(1, forbidden=forbidden), 0.0, others) & 1


def test_requests_that_rule_out_other_tiers_share_no_batch(tenant: Make, asked: type) -> None:
    one = tenant(*SERVICES)
    for request in (asked(1, 1.0), asked(2, 2.0), asked(3, 3.0, forbidden=1)):
        one.push(request)
    assert [each.request for each in one.take(8)] == [1, 2]
