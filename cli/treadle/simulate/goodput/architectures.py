"""Networks as the scheduler and the virtual device know them: executables by batch size, and their true durations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from treadle.simulate.multiplexing.networks import Network
from treadle_agent.executor.gpu_model import GpuModel
from treadle_agent.executor.tuner import MEASURED, profile
from treadle_agent.policy.latency import Correction, Executable

BATCHES = (1, 2, 4, 8)
CAPACITY = 64  # problems on the device: the executor's own limit
_LEAST_DEADLINE = 0.010  # seconds
_DEADLINE_SERVICES = 5.0


class Architecture:
    """One network on one GPU."""

    def __init__(self, model: GpuModel, network: Network) -> None:
        self.name = network.name
        self._model = model
        self._network = network
        self._ends: dict[tuple[int, int], Sequence[float]] = {}
        self._slowing: dict[int, float] = {}
        self.service = self.seconds(1, 1, 0, len(network.layers))
        self.deadline = max(_LEAST_DEADLINE, _DEADLINE_SERVICES * self.service)

    def executables(self) -> list[Executable]:
        """New ones, for all tenants of this architecture in one run; costs as the simulated device's tuner says."""
        correction = Correction()
        return [self._executable(rows, correction) for rows in BATCHES]

    def seconds(self, rows: int, problems: int, begin: int, end: int) -> float:
        """True duration of kernels begin..end, of `problems` tenants' batches of `rows`, alone on the device."""
        ends = self._ends.get((rows, problems))
        if ends is None:
            launches = (self._model.launch(work, problems) for work in self._network.works(rows))
            ends = self._ends[rows, problems] = (0.0, *accumulate(launches))
        return ends[end] - ends[begin]

    def slowing(self, company: int) -> float:
        """How many times as long a model takes by space, with `company` models of its kind on the device."""
        factor = self._slowing.get(company)
        if factor is None:
            together = sum(self._model.at_once([work] * company) for work in self._network.works())
            factor = self._slowing[company] = together / self.service
        return factor

    def _executable(self, rows: int, correction: Correction) -> Executable:
        kernels = len(self._network.layers)
        measured = profile(
            {
                problems: [self.seconds(rows, problems, index, index + 1) for index in range(kernels)]
                for problems in MEASURED
            }
        )
        return Executable(
            f"{self.name} x {rows}", rows, measured.shares, mergeable=True, cost=measured.cost(correction),
            body=self, capacity=CAPACITY,
        )  # fmt: skip
