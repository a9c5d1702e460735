"""The papers' figures on the analytic GPU. Pure: time is added up, randomness is passed in."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from random import Random

from treadle.simulate.multiplexing.networks import Network
from treadle.simulate.multiplexing.report import Memory, Objective, Slowdown, Spread
from treadle_agent.executor.gpu_model import Gpu, GpuModel, Product, Tile, Work

TENANTS = range(2, 15)  # the paper's experiment scripts run 1 to 14 replicas
REQUESTS = 40  # of each tenant in the simulation of their spread
PROBLEMS = 64  # merged at most: the executor's own limit

Choose = Callable[[Sequence[int]], Sequence[int]]  # of the tenants, those whose kernels go next


def slowdown(model: GpuModel, network: Network, tenants: int) -> Slowdown:
    """One request of each tenant, layers in step, shared each way (2018, Fig. 3)."""
    works = network.works()
    batched = sum(map(model.launch, network.works(tenants)))
    return Slowdown(
        network=network.name,
        tenants=tenants,
        time=tenants * model.one_after_another(works) / batched,
        space=sum(model.at_once([work] * tenants) for work in works) / batched,
        merged=sum(model.launch(work, tenants) for work in works) / batched,
    )


def spreads(model: GpuModel, network: Network, tenants: int, random: Random) -> Iterable[Spread]:
    """Tenants in a closed loop, kernel by kernel (2018, Fig. 4).

    By time they take turns; by space, as many kernels at once as the device runs, whose it is being the hardware's
    choice, drawn at random; merged, all advance together.
    """
    limit = model.rules.at_once
    ways: dict[str, tuple[Choose, Callable[[Sequence[Work]], float]]] = {
        "time": (_in_turn(), model.one_after_another),
        "space": (lambda ready: random.sample(ready, min(limit, len(ready))), model.at_once),
        "merged": (lambda ready: ready, lambda works: model.launch(works[0], len(works))),
    }
    for way, (choose, seconds) in ways.items():
        yield _spread(way, _latencies(network.works(), tenants, choose, seconds))


def memory(gpu: Gpu, network: Network, processes: int) -> Memory:
    """How many models fit (2018, Fig. 5), given that the paper found room for `processes` processes of one model.

    In one process: the same context and framework once, every model's weights, and an arena for each of the problems
    that may be merged.
    """
    rest = gpu.memory / processes - network.weight_bytes - network.activation_bytes
    room = gpu.memory - rest - PROBLEMS * network.activation_bytes
    return Memory(network.name, gpu.memory, network.weight_bytes, processes, rest, int(room // network.weight_bytes))


def objectives(model: GpuModel, product: Product) -> Iterable[Objective]:
    """The tile that is fastest alone, and the one that is fastest in company (2019, Table 1)."""
    for objective, problems in (("greedy", 1), ("collaborative", PROBLEMS)):
        tile = model.best_tile(product, problems)
        alone, multiplexed = (_rate(model, product, tile, count) for count in (1, PROBLEMS))
        yield Objective(objective, f"{tile.rows}×{tile.columns}", alone, multiplexed, PROBLEMS)


def _rate(model: GpuModel, product: Product, tile: Tile, problems: int) -> float:
    return problems * product.flops / model.kernel(product, problems, tile)


def _in_turn() -> Choose:
    line: list[int] = []

    def choose(ready: Sequence[int]) -> Sequence[int]:
        line[:] = line or list(ready)
        return [line.pop(0)]

    return choose


def _latencies(
    works: Sequence[Work], tenants: int, choose: Choose, seconds: Callable[[Sequence[Work]], float]
) -> list[list[float]]:
    """Seconds of each tenant's requests; all tenants begin each round together."""
    result: list[list[float]] = [[] for _ in range(tenants)]
    for _ in range(REQUESTS):
        now, place = 0.0, [0] * tenants
        while ready := [tenant for tenant in range(tenants) if place[tenant] < len(works)]:
            chosen = choose(ready)
            now += seconds([works[place[tenant]] for tenant in chosen])
            for tenant in chosen:
                place[tenant] += 1
                if place[tenant] == len(works):
                    result[tenant].append(now)
    return result


def _spread(way: str, latencies: Sequence[Sequence[float]]) -> Spread:
    rounds = [max(one) / min(one) - 1 for one in zip(*latencies, strict=True)]
    means = [math.fsum(one) / len(one) for one in latencies]
    return Spread(way, len(latencies), statistics.median(rounds), max(means) / min(means) - 1)
