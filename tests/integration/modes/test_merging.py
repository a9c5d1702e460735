"""Merging pays: eight small tenants on a real executor, space-time against time slices."""

import asyncio
from pathlib import Path

from treadle.bench.serving.merging import executor_throughput
from treadle.bench.serving.workload import small_mlps
from treadle_agent.executor.protocol import Mode


def test_space_time_answers_three_times_the_requests_of_time_slices(tmp_path: Path) -> None:
    async def measure(mode: Mode) -> tuple[float, float]:
        return await executor_throughput(workload, mode, tmp_path / "artifacts", seconds=0.5)

    workload = small_mlps(tmp_path / "models", 8)
    turns, _ = asyncio.run(measure(Mode.TIME))
    merged, factor = asyncio.run(measure(Mode.SPACE_TIME))
    assert factor >= 4.0
    assert merged >= 3.0 * turns
