"""All figures of the papers that the simulated V100 can speak to, beside what the papers say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from random import Random
from statistics import geometric_mean

from treadle.bench.kernels.problems import PROBLEMS as PRODUCTS
from treadle.simulate.multiplexing import figures
from treadle.simulate.multiplexing.networks import mobilenet, resnet
from treadle.simulate.multiplexing.report import Compared, Memory, Objective, Report, Slowdown, Spread
from treadle_agent.executor.gpu_model import Gpu, GpuModel

SPREAD_TENANTS = 8
PROCESSES = 18  # of ResNet-50 in 16 GB: the paper's Fig. 5
_2018, _2019 = "Jain et al. 2018", "Jain et al. 2019"
NOTE = (
    "Every figure is simulated by the model of docs/adr/0010-simulated-gpu.md; no GPU code has run. What the papers "
    "compared with, and how many tenants they had, is taken from their published experiment scripts where the text "
    "was not at hand: slowdowns are against one tenant's batch, geometric means over 2 to 14 tenants."
)


def study(gpu: Gpu, seed: int, *, command: str, date: str) -> Report:
    """Compute everything; the same seed gives the same report."""
    model = GpuModel(gpu)
    networks = (resnet(50), mobilenet())
    slowdowns = [figures.slowdown(model, network, tenants) for network in networks for tenants in figures.TENANTS]
    spreads = list(figures.spreads(model, networks[0], SPREAD_TENANTS, Random(seed)))
    memory = [figures.memory(gpu, networks[0], PROCESSES)]
    product = next(one.product for one in PRODUCTS if one.name == "conv2_2")
    objectives = list(figures.objectives(model, product))
    return Report(
        device=f"simulated:{gpu.name}",
        simulated=True,
        note=NOTE,
        command=command,
        date=date,
        slowdowns=tuple(slowdowns),
        spreads=tuple(spreads),
        memory=tuple(memory),
        objectives=tuple(objectives),
        compared=tuple(chain(_slowdowns(slowdowns), _spreads(spreads), _memory(memory), _objectives(objectives))),
    )


def _slowdowns(found: Sequence[Slowdown]) -> Iterable[Compared]:
    for way, paper in (("time", 4.6), ("space", 2.2)):
        mean = geometric_mean([getattr(one, way) for one in found])
        yield Compared(f"slowdown-{way}", f"slowdown by {way}, over a batch", mean, paper, f"{_2018}, Fig. 3")


def _spreads(found: Sequence[Spread]) -> Iterable[Compared]:
    space = next(one for one in found if one.way == "space")
    what = "slowest tenant's request over the fastest's by space, less one"
    yield Compared("spread-space", what, space.request, 0.25, f"{_2018}, Fig. 4")


def _memory(found: Sequence[Memory]) -> Iterable[Compared]:
    for one in found:
        what = f"{one.network} models in {one.device_bytes / 1e9:g} GB: here in one process, the paper's as processes"
        yield Compared("models-in-memory", what, one.one_process, one.processes, f"{_2018}, Fig. 5")


def _objectives(found: Sequence[Objective]) -> Iterable[Compared]:
    papers = {"greedy": (2.2, 4.5), "collaborative": (1.5, 6.1)}
    for one in found:
        for name, rate, paper in zip(
            ("alone", "multiplexed"), (one.alone, one.multiplexed), papers[one.objective], strict=True
        ):
            what = f"{one.objective} tile, {name}, TFLOP/s"
            yield Compared(f"{one.objective}-{name}", what, rate / 1e12, paper, f"{_2019}, Table 1")
