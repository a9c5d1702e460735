"""The spike is more than the large and the medium tier carry, and lasts the middle third."""

from __future__ import annotations

import numpy as np
import pytest

from treadle.demo.traffic import Rates, choose_rates, schedule, spike, targets


def test_pages_are_few_in_the_calm_and_too_many_for_the_medium_tier_in_the_spike(tenants):
    rates = choose_rates(tenants)["pages"]
    large, medium, small = tenants[0].tiers
    assert rates.base * large.service < 0.5
    assert rates.spike * medium.service > 1.0
    assert rates.spike * small.service < 0.1


def test_a_schedule_has_the_rates_of_its_phases_by_family(tenants):
    rates = {"pages": Rates(50.0, 500.0), "digits": Rates(200.0, 100.0)}
    plan = schedule(tenants, rates, 30.0, seed=1)
    begin, end = spike(30.0)
    spiked = (plan.times >= begin) & (plan.times < end)
    pages = plan.targets < 2
    assert np.sum(pages & spiked) == pytest.approx(5000, rel=0.1)
    assert np.sum(pages & ~spiked) == pytest.approx(1000, rel=0.15)
    assert np.sum(~pages & spiked) == pytest.approx(1000, rel=0.15)
    assert np.sum(plan.targets == 0) == pytest.approx(np.sum(plan.targets == 1), rel=0.1)


def test_a_seed_gives_the_same_arrivals_and_another_seed_others(tenants):
    rates = choose_rates(tenants)
    first, again, other = (schedule(tenants, rates, 3.0, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.times, again.times)
    assert np.array_equal(first.targets, again.targets)
    assert len(first) != len(other) or not np.array_equal(first.times, other.times)


def test_every_tenant_is_a_target_at_its_own_index_with_the_labels_of_its_inputs(tenants):
    found = targets(tenants)
    assert [target.path.split("/")[3] for target in found] == ["pages-1", "pages-2", "digits-1"]
    assert found[0].variants[0].labels == (0, 1, 2, 3)
    assert found[0].output == "scores"
