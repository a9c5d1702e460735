"""The four modes on a real executor process: right answers, and merging where it is promised and nowhere else."""

import asyncio
from typing import Any

import numpy as np
import pytest

from treadle_agent.executor.protocol import Mode


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)
def test_every_mode_gives_onnx_runtimes_answers(bench: Any, models: Any, mode: Mode) -> None:
    async def scenario() -> None:
        async with bench(mode) as house:
            tenants = [await house.load(models.mlp, seed) for seed in range(6)]
            tenants += [await house.load(models.conv, seed) for seed in range(2)]
            tenants.append(await house.load(models.free_width, 1))
            asked = [(tenant, index) for index in range(20) for tenant in tenants]
            await asyncio.gather(*(house.check(tenant, index, rows=1 + index % 3) for tenant, index in asked))
            document = await house.statistics()
            merged = document["problems"] / document["launches"]
            assert merged > 1.5 if mode is Mode.SPACE_TIME else merged == 1.0
            answered = sum(sum(one["answered"].values()) for one in document["tenants"].values())
            assert answered == len(asked)
            attributed = sum(one["device_seconds"] for one in document["tenants"].values())
            assert attributed == pytest.approx(document["busy_seconds"], rel=0.01)

    asyncio.run(scenario())


def test_unequal_models_are_charged_the_share_of_the_time_that_they_take_alone(bench: Any, models: Any) -> None:
    """In a real executor whose device times do not vary, a simulated GPU's: a shared machine's vary by more."""

    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME, device="simulated:V100") as house:
            asks = [(await house.load(models.mlp, seed), 4) for seed in range(2)]
            asks += [(await house.load(models.free_width, seed), 4) for seed in range(2)]
            alone = np.zeros(len(asks))
            for place, (tenant, rows) in enumerate(asks):
                before = await charged(house)
                for index in range(20):
                    await house.check(tenant, index, rows)
                alone[place] = np.subtract(await charged(house), before).sum()
            before, busy = await charged(house), (await house.statistics())["busy_seconds"]
            for index in range(20):
                await asyncio.gather(*(house.check(tenant, index, rows) for tenant, rows in asks))
            together, busy = (
                np.subtract(await charged(house), before),
                (await house.statistics())["busy_seconds"] - busy,
            )
            assert sum(together) == pytest.approx(busy, rel=0.01)
            assert busy < 0.8 * sum(alone), "they were merged"
            assert max(alone) > 3 * min(alone), "they are unequal"
            np.testing.assert_allclose(together / sum(together), alone / sum(alone), rtol=0.1)

    asyncio.run(scenario())


async def charged(house: Any) -> list[float]:
    """Device seconds of each tenant, in the order in which they were loaded."""
    return [one["device_seconds"] for one in (await house.statistics())["tenants"].values()]


def test_launch_bound_models_merge_and_compute_bound_ones_run_as_segments(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            small = [await house.load(models.mlp, seed) for seed in range(4)]
            large = await house.load(models.conv, 0)
            assert small[-1].served.implementations == ("merged",)
            assert large.served.implementations == ("segments",)
            await asyncio.gather(*(house.check(one, 1) for one in (*small, large)))

    asyncio.run(scenario())


def test_rows_asked_together_and_apart_agree(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            for build in (models.mlp, models.conv):
                tenant = await house.load(build, 3)
                shape = tenant.oracle.get_inputs()[0].shape[1:]
                x = np.random.default_rng(5).standard_normal((32, *shape)).astype(np.float32)
                together = await house.infer(tenant, x)
                apart = np.concatenate(await asyncio.gather(*(house.infer(tenant, row[None]) for row in x)))
                np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)

    asyncio.run(scenario())


def test_who_shares_the_launch_does_not_change_a_bit(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            tenants = [await house.load(models.mlp, seed) for seed in range(8)]
            random = np.random.default_rng(0)
            inputs = [random.standard_normal((1, 24)).astype(np.float32) for _ in tenants]
            alone = [await house.infer(tenant, x) for tenant, x in zip(tenants, inputs, strict=True)]
            for _ in range(20):
                chosen = random.permutation(8)[: random.integers(1, 9)]
                together = await asyncio.gather(*(house.infer(tenants[one], inputs[one]) for one in chosen))
                for one, answer in zip(chosen, together, strict=True):
                    assert answer.tobytes() == alone[one].tobytes()

    asyncio.run(scenario())


def test_a_simulated_gpu_answers_right_and_at_its_own_pace(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME, device="simulated:V100") as house:
            tenants = [await house.load(models.mlp, seed) for seed in range(3)]
            await asyncio.gather(*(house.check(tenant, index) for index in range(5) for tenant in tenants))
            document = await house.statistics()
            assert document["device"] == "simulated:V100"
            kernels = document["launches"]
            assert document["busy_seconds"] >= 5e-6 * kernels  # its launch cost, whatever the host takes

    asyncio.run(scenario())


def test_shapes_come_and_go(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME, bindings=2) as house:
            tenant = await house.load(models.free_width, 1)
            for width in (3, 4, 5, 6, 3, 4):
                await house.check(tenant, width, rows=2, free=width)

    asyncio.run(scenario())


def test_tenants_come_and_go_without_a_trace(bench: Any, models: Any) -> None:
    async def scenario() -> None:
        async with bench(Mode.SPACE_TIME) as house:
            stays = await house.load(models.mlp, 100)
            before = 0
            for round_ in range(5):
                if round_ == 1:  # company has turned its architecture to merged kernels
                    before = (await house.statistics())["weight_bytes"]
                    assert before > 0
                comes = [await house.load(models.mlp, seed) for seed in range(3)]
                await asyncio.gather(*(house.check(one, round_) for one in (*comes, stays)))
                for one in comes:
                    await house.supervisor.retire(one.served.version.id)
            document = await house.statistics()
            assert document["weight_bytes"] == before
            assert len(document["tenants"]) == 1
            await house.check(stays, 9)

    asyncio.run(scenario())
