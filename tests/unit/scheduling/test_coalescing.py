"""What a launch may take, how long it may wait for it, and who is kept apart."""

from __future__ import annotations

from typing import Any

import pytest

from treadle_agent.policy.coalescing import Formation, patience
from treadle_agent.policy.queues import FOREVER
from treadle_agent.policy.scheduling import ALONE, SpaceTime


def busy(
    make: Any, tenants: int, rate: float, shared: Any, *, until: float = 1.0
) -> tuple[SpaceTime, list[Any], float]:
    """A scheduler that has seen `rate` requests a second of each tenant for a second, and answered them."""
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    made = [make.tenant(key, shared) for key in range(tenants)]
    for one in made:
        scheduler.add(one)
    number, now = 0, 0.0
    while number < until * rate * tenants:
        one = made[number % tenants]
        now = number / (rate * tenants)
        scheduler.submit(one, make.asked(number, now, now + 1.0))
        while (launch := scheduler.step(now + 0.5)) is not None:
            make.finish(scheduler, launch, now)
        number += 1
        if scheduler.wake_at < FOREVER:
            while (launch := scheduler.step(scheduler.wake_at)) is not None:
                make.finish(scheduler, launch, now)
    return scheduler, made, now


def test_a_formation_takes_nobody_whom_it_would_make_late(make: Any) -> None:
    formation = Formation(make.executable(fixed=0.01, each=0.01), room=8, now=1.0)
    assert formation.finish == pytest.approx(1.02)
    formation.take(1, deadline=1.035)
    assert not formation.full
    formation.take(1, deadline=2.0)
    assert formation.full  # a third would end at 1.04


def test_padding_is_at_most_a_quarter(make: Any) -> None:
    formation = Formation(make.executable(rows=4), room=8, now=0.0)
    formation.take(4, FOREVER)
    head = make.asked(1, deadline=9.0)
    assert formation.admits(head, 2)  # 2 of 8
    assert not formation.admits(head, 1)  # 3 of 8
    assert formation.admits(head, 9)


def test_a_formation_admits_nobody_whose_rows_have_no_place_or_who_would_be_late(make: Any) -> None:
    formation = Formation(make.executable(rows=2, fixed=0.01, each=0.01), room=8, now=0.0)
    assert not formation.admits(make.asked(1, rows=3), 3)
    assert not formation.admits(make.asked(1, deadline=0.019, rows=2), 2)
    assert formation.admits(make.asked(1, deadline=0.02, rows=2), 2)


def test_patience_is_the_launch_that_company_saves_where_company_is_expected(make: Any) -> None:
    cheap, dear = make.executable(fixed=0.0, each=0.01), make.executable(fixed=0.01, each=0.001)
    assert patience(dear, 1000.0) == pytest.approx(0.01)
    assert patience(dear, 1.0) == 0.0  # nobody will come in 10 ms
    assert patience(cheap, 1000.0) == pytest.approx(0.0)  # nothing is saved


def test_an_ill_fitting_launch_is_held_and_then_goes_with_its_company(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    now += 0.1
    scheduler.submit(tenants[0], make.asked(9000, now, now + 1.0))
    assert scheduler.step(now) is None
    assert now < scheduler.wake_at <= now + 0.01
    for index, tenant in enumerate(tenants[1:3]):
        scheduler.submit(tenant, make.asked(9001 + index, now + 0.004, now + 1.0))
    assert scheduler.step(now + 0.004) is None
    launch = scheduler.step(scheduler.wake_at)
    assert launch is not None
    assert len(launch.group.streams) == 3


def test_a_full_house_goes_at_once(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    for index, tenant in enumerate(tenants):
        scheduler.submit(tenant, make.asked(9000 + index, now, now + 1.0))
    launch = scheduler.step(now)
    assert launch is not None
    assert len(launch.group.streams) == 4


def test_no_launch_is_held_that_has_no_slack_for_it(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    now += 0.1
    scheduler.submit(
        tenants[0], make.asked(9000, now, now + 0.07)
    )  # takes 0.011; a twentieth of 1 s is the answer's way
    assert scheduler.step(now) is not None


def test_a_held_launch_lets_another_signature_go_first(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    stranger = make.tenant(50, make.executable("other"))
    scheduler.add(stranger)
    now += 0.1
    scheduler.submit(tenants[0], make.asked(9000, now, now + 0.5))
    scheduler.submit(stranger, make.asked(9001, now, now + 0.9))
    launch = scheduler.step(now)
    assert launch is not None
    assert launch.group.streams[0].tenant is stranger


def test_without_delays_nothing_waits(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    scheduler.delays = False
    scheduler.submit(tenants[0], make.asked(9000, now + 0.1, now + 1.0))
    assert scheduler.step(now + 0.1) is not None


def test_who_is_kept_apart_shares_no_launch(make: Any) -> None:
    scheduler = SpaceTime(max_problems=8, quantum=1.0)
    shared = make.executable()
    tenants = [make.tenant(key, shared) for key in range(5)]
    for tenant in tenants:
        scheduler.add(tenant)
        scheduler.submit(tenant, make.asked(tenant.id, deadline=1.0 + tenant.id / 10))
    scheduler.keep_apart(tenants[0], ALONE)
    scheduler.keep_apart(tenants[1], 7)
    scheduler.keep_apart(tenants[2], 7)
    launches = []
    while (launch := scheduler.step(0.0)) is not None:
        launches.append(sorted(stream.tenant.id for stream in launch.group.streams))
        make.finish(scheduler, launch, 0.0)
    assert launches == [[0], [1, 2], [3, 4]]
    scheduler.keep_apart(tenants[0], 0)
    for tenant in tenants[:1] + tenants[3:]:
        scheduler.submit(tenant, make.asked(100 + tenant.id))
    launch = scheduler.step(0.0)
    assert launch is not None
    assert sorted(stream.tenant.id for stream in launch.group.streams) == [0, 3, 4]


def test_a_costly_input_shape_that_waits_allows_no_delay(make: Any) -> None:
    scheduler, tenants, now = busy(make, 4, 50.0, make.executable())
    large = make.tenant(60, make.executable())
    large.tiers[0].buckets[1] = [make.executable("large", fixed=0.85, each=0.0)]
    scheduler.add(large)
    now += 0.1
    scheduler.submit(large, make.asked(8999, now, now + 0.9, binding=1))
    scheduler.submit(tenants[0], make.asked(9000, now, now + 0.5))
    assert scheduler.step(now) is not None
