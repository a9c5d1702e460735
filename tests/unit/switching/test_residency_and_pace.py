"""Slow decisions: which tier to hold where one fits, and what a tenant of a long deadline can count on."""

from collections.abc import Callable, Iterable

import pytest

from treadle_agent.policy.arrivals import EventWindow
from treadle_agent.policy.pace import EVERY, LEAST, Pace
from treadle_agent.policy.queues import Tenant
from treadle_agent.policy.residency import LOAD_EVERY, wanted_tier
from treadle_agent.policy.switching import choose_tier

Make = Callable[..., Tenant]
LOAD = 0.5


def at_rate(one: Tenant, rate: float) -> Tenant:
    one.arrivals = EventWindow()
    for index in range(50):
        one.arrivals.add(index / rate)
    return one


def test_down_when_the_queue_is_too_long_to_what_the_rate_leaves_room_for(tenant: Make) -> None:
    one = at_rate(tenant(0.1, 0.03, 0.01), rate=20.0)
    one.rows = 8
    assert wanted_tier(one, 0, LOAD, 110.0, 0.0) == 1  # 20/s at 0.03 s is 60 % of the device
    at_rate(one, rate=60.0)
    assert wanted_tier(one, 0, LOAD, 110.0, 0.0) == 2
    one.rows = 5
    assert wanted_tier(one, 0, LOAD, 110.0, 0.0) == 0  # 0.6 s fit 0.8 of the deadline


def test_the_work_of_others_counts(tenant: Make) -> None:
    one = at_rate(tenant(0.1, 0.01), rate=20.0)
    assert wanted_tier(one, 0, LOAD, 110.0, 0.6) == 0
    assert wanted_tier(one, 0, LOAD, 110.0, 0.8) == 1


def test_up_only_when_it_lasts_and_loads_are_rare(tenant: Make) -> None:
    one = at_rate(tenant(0.1, 0.03, 0.01), rate=5.0)
    assert wanted_tier(one, 2, LOAD, 110.0, 0.0) == 0
    one.loaded_at = 110.0
    assert wanted_tier(one, 2, LOAD, 110.0 + 0.9 * LOAD_EVERY * LOAD, 0.0) == 2
    assert wanted_tier(one, 2, LOAD, 110.0 + 1.1 * LOAD_EVERY * LOAD, 0.0) == 0
    at_rate(one, rate=9.0)  # 90 % of the device at the best tier: it would not last
    assert wanted_tier(one, 2, LOAD, 120.0, 0.0) == 1


def test_who_has_the_fastest_keeps_it_however_much_waits(tenant: Make) -> None:
    one = at_rate(tenant(0.1, 0.01), rate=500.0)
    one.rows = 500
    assert wanted_tier(one, 1, LOAD, 110.0, 0.0) == 1


def use(tenants: Iterable[Tenant], shares: Iterable[float], pace: Pace, begin: int = 0, *, idle: bool = True) -> None:
    tenants, shares = list(tenants), list(shares)
    for step in range(begin + 1, begin + 41):
        for one, share in zip(tenants, shares, strict=True):
            one.used += share * EVERY * 1.001
        pace.update(tenants, step * EVERY * 1.001, idle=idle)


def test_a_tenant_counts_on_what_shorter_deadlines_leave(tenant: Make) -> None:
    short, long, alike = tenant(0.01, key=1, deadline=0.1), tenant(0.01, key=2), tenant(0.01, key=3)
    use([short, long, alike], [0.5, 0.2, 0.2], Pace())
    assert short.pace == 1.0
    assert long.pace == alike.pace == pytest.approx(0.5, abs=0.01)
    use([short, long, alike], [0.95, 0.0, 0.0], Pace())
    assert long.pace == pytest.approx(1 / 3)  # its even share at least


def test_it_is_forgotten_when_they_fall_silent(tenant: Make) -> None:
    short, long = tenant(0.01, key=1, deadline=0.1), tenant(0.01, key=2)
    pace = Pace()
    use([short, long], [0.9, 0.0], pace)
    for step in range(41, 90):
        pace.update([short, long], step * EVERY * 1.001, idle=True)
    assert long.pace > 0.99


def test_what_a_second_with_work_throughout_holds_is_what_can_be_counted_on(tenant: Make) -> None:
    short, long = tenant(0.01, key=1, deadline=0.1), tenant(0.01, key=2)
    pace = Pace()
    use([short, long], [0.2, 0.4], pace, idle=False)
    assert short.pace == pytest.approx(0.6, abs=0.01)
    assert long.pace == pytest.approx(0.4, abs=0.01)
    use([short, long], [0.1, 0.1], pace, 40)
    assert short.pace == pytest.approx(0.6, abs=0.01), "a device that rests shows nothing"
    use([short, long], [0.0, 0.0], pace, 80, idle=False)
    assert short.pace == pytest.approx(LEAST, abs=0.01), "a stall ends"
    use([short, long], [0.5, 0.5], pace, 120, idle=False)
    assert short.pace == pytest.approx(1.0, abs=0.01)


def test_a_starved_tenant_does_not_look_accurate_enough(tenant: Make, asked: type) -> None:
    one = tenant(0.1, 0.01)
    one.rows = 7
    assert choose_tier(one, asked(1), 0.0, 0.0) == 0
    one.pace = 0.5
    assert choose_tier(one, asked(1), 0.0, 0.0) == 1
