"""Stragglers in a simulation: launches that end with their slowest problem, and noise on every one."""

from __future__ import annotations

from random import Random

import pytest

from treadle_agent.policy.stragglers import ALONE, TRIAL, Apart, Stragglers

SIGMA = 0.05
KERNELS, OTHERS = "a model's", "another model's"


class Plant:
    """Tenants that ask in random company; a launch takes as long as its slowest problem."""

    def __init__(self, tenants: int, seed: int, **slow: float) -> None:
        self.random = Random(seed)
        self.factors = [slow.get(f"t{key}", 1.0) for key in range(tenants)]
        self.company = [0] * tenants
        self.kernels = [0] * tenants  # each one's launches so far
        self.launches = 0
        self.monitor = Stragglers()
        self.device = 1.0

    def turn(self, busy: float = 1.0) -> list[Apart]:
        """Everyone who asks runs once, each company as one launch."""
        asking = [key for key in range(len(self.factors)) if self.random.random() < busy]
        launches: dict[tuple[int, int], list[int]] = {}
        for key in asking:
            company = self.company[key]
            launches.setdefault((company, key if company == ALONE else -1), []).append(key)
        moves = []
        self.launches += len(launches)
        for members in launches.values():
            slowest = max(self.factors[key] for key in members)
            for key in members:
                self.kernels[key] += 1
            noise = self.random.gauss(1.0, SIGMA)
            moves += self.monitor.observe(members, self.device * slowest * noise, KERNELS)
            for tenant, company in moves:
                self.company[tenant] = company
        return moves

    def found(self) -> set[int]:
        return {key for key in range(len(self.factors)) if self.monitor.straggling(key)}


@pytest.mark.parametrize("tenants", [9, 16, 64])
@pytest.mark.parametrize("busy", [1.0, 0.5])
def test_a_tenant_a_quarter_slower_is_isolated_within_fifty_of_its_kernels(tenants: int, busy: float) -> None:
    for seed in range(15):
        plant = Plant(tenants, seed)
        for _ in range(250):
            plant.turn(busy)
        assert set(plant.company) == {0}
        plant.factors[3] = 1.25
        before = plant.kernels[3]
        while not plant.found():
            plant.turn(busy)
            assert plant.kernels[3] - before <= 50, f"seed {seed}"
        assert plant.found() == {3}
        assert plant.company[3] == ALONE
        assert not plant.monitor.device_straggling
        for _ in range(100):
            plant.turn(busy)
        assert plant.found() == {3}
        assert [company for company in plant.company if company != 0] == [ALONE]
        assert plant.monitor.stretch(3) == pytest.approx(1.25, abs=0.15)


def test_noise_alone_evicts_nobody_in_a_hundred_thousand_launches() -> None:
    plant = Plant(9, seed=1)
    moves = 0
    while plant.launches < 100_000:
        moves += len(plant.turn(0.7))
    assert moves == 0
    assert plant.found() == set()


def test_two_stragglers_are_both_found() -> None:
    for seed in range(8):
        plant = Plant(12, seed, t2=1.25, t7=1.3)
        for _ in range(600):
            plant.turn(0.8)
        assert plant.found() == {2, 7}
        assert not plant.monitor.device_straggling


def test_a_device_that_slows_all_is_the_straggler_itself() -> None:
    for seed in range(8):
        plant = Plant(9, seed)
        for _ in range(250):
            plant.turn()
        plant.device = 1.25
        for _ in range(100):
            plant.turn()
        assert plant.monitor.device_straggling
        assert plant.found() == set()
        assert set(plant.company) == {0}
        assert plant.monitor.device_stretch == pytest.approx(1.25, abs=0.05)
        plant.factors[5] = 1.25  # on the slow device a tenant can be slower than the others still
        for _ in range(400):
            plant.turn()
        assert plant.found() == {5}
        plant.device = 1.0
        for _ in range(300):
            plant.turn()
        assert not plant.monitor.device_straggling


def test_a_single_hiccup_accuses_nobody() -> None:
    monitor = Stragglers()
    for turn in range(1000):
        stretch = 9.0 if turn % 3 == 0 else 1.0
        assert monitor.observe([1, 2, 3], stretch, KERNELS) == []


def test_a_straggler_that_recovers_gets_its_company_back() -> None:
    plant = Plant(9, seed=5, t1=1.25)
    while not plant.found():
        plant.turn()
    plant.factors[1] = 1.0
    for _ in range(200):
        plant.turn()
    assert plant.found() == set()
    assert set(plant.company) == {0}


def test_of_a_tenant_that_is_alone_on_its_device_nothing_is_said() -> None:
    plant = Plant(1, seed=2, t0=1.5)
    for _ in range(200):
        plant.turn()
    assert plant.found() == set()
    assert not plant.monitor.device_straggling


def test_who_is_gone_is_forgotten_in_the_middle_of_a_trial() -> None:
    plant = Plant(9, seed=3, t4=1.25)
    while set(plant.company) == {0}:
        plant.turn()
    plant.monitor.forget(4)
    plant.factors[4], plant.company[4] = 1.0, 0
    for _ in range(100):
        plant.turn()
    assert plant.found() == set()
    assert set(plant.company) == {0}


def test_a_moment_in_which_the_machine_is_slow_for_all_convicts_nobody() -> None:
    for seed in range(8):
        plant = Plant(9, seed)
        for turn in range(400):
            plant.device = 1.5 if turn % 40 < 7 else 1.0
            plant.turn(0.5)
        assert plant.found() == set()
        assert not plant.monitor.device_straggling


def test_a_machine_that_others_disturb_is_rarely_tried() -> None:
    plant = Plant(9, seed=7)
    launches = apart = 0
    for _ in range(20_000):
        if plant.random.random() < 0.05:
            plant.device = plant.random.choice([1.0, 1.1, 1.2, 1.4])
        plant.turn()
        launches += len(set(plant.company))
        apart += len(set(plant.company)) - (0 in plant.company)
    assert apart / launches < 0.05


def test_a_device_that_slows_tenants_of_different_models_is_the_straggler_itself() -> None:
    models = [object() for _ in range(6)]
    for seed in range(8):
        random, monitor = Random(seed), Stragglers()
        for turn in range(2000):
            slow = 1.25 if turn > 500 else 1.0
            monitor.observe([turn % 6], slow * random.gauss(1.0, SIGMA), models[turn % 6])
        assert monitor.device_straggling
        assert not any(monitor.straggling(key) for key in range(6))


def test_a_trial_ends_though_its_suspects_run_something_else_by_then() -> None:
    plant = Plant(9, seed=3, t4=1.25)
    while set(plant.company) == {0}:
        plant.turn()
    suspects = [key for key, company in enumerate(plant.company) if company != 0]
    for _ in range(TRIAL + 1):
        for key in suspects:
            for tenant, company in plant.monitor.observe([key], 1.0, OTHERS):
                plant.company[tenant] = company
    assert set(plant.company) == {0}


def test_a_straggler_that_recovers_with_several_models_gets_its_company_back() -> None:
    plant = Plant(9, seed=5, t1=1.25)
    while not plant.found():
        plant.turn()
    for turn in range(300):
        plant.monitor.observe([1], 1.0, (KERNELS, OTHERS)[turn % 2])
    assert plant.found() == set()


def test_kernels_that_are_slow_for_everybody_while_others_are_as_they_were_convict_nobody() -> None:
    """On a host, short kernels are slower between long ones, whose weights take the caches."""
    for seed in range(8):
        plant = Plant(9, seed)
        for turn in range(2000):
            plant.device = 1.4 if turn > 300 else 1.0
            plant.turn(0.5)
            plant.monitor.observe([100 + turn % 4], plant.random.gauss(1.0, SIGMA), OTHERS)
        assert plant.found() == set()
        assert not plant.monitor.device_straggling


@pytest.mark.parametrize("sigma", [0.3, 0.6])
def test_of_tenants_whose_launches_vary_much_nothing_is_said(sigma: float) -> None:
    random, monitor = Random(5), Stragglers()
    for _ in range(50_000):
        members = [key for key in range(8) if random.random() < 0.4] or [0]
        assert monitor.observe(members, max(0.5, random.lognormvariate(0.0, sigma)), KERNELS) == []
