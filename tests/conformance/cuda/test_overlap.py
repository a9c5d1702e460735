"""Outputs are copied on a stream of their own: the next launch is on its way before they have arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from device_bench import PROGRAM, ROWS, TENANTS, Bench, gpu_bench, host_bench
from strict_world import Operation, RefusedError, World

from treadle_agent.executor.cuda.device import GpuDevice
from treadle_agent.executor.cuda.gpu import Gpu
from treadle_agent.executor.cuda.program import GpuProgram

FIRST, SECOND = [0, 1, 2], [3, 4, 5]
Answers = dict[int, np.ndarray]


@pytest.fixture
def bench(gpu: Gpu, tmp_path: Path) -> Bench:
    return gpu_bench(gpu, tmp_path)


@pytest.fixture
def device(bench: Bench) -> GpuDevice:
    assert isinstance(bench.device.apart, GpuDevice)
    return bench.device.apart


@pytest.fixture
def wanted(tmp_path: Path) -> Answers:
    oracle = host_bench(tmp_path)
    return {tenant: oracle.run([tenant])[tenant] for tenant in range(TENANTS)}


def begin(device: GpuDevice, group: SimpleNamespace) -> Callable[[], object]:
    device.stage(group)
    return device.run(group, 0, group.executable.body.length)


def right(bench: Bench, group: SimpleNamespace, wanted: Answers) -> None:
    for tenant, answer in bench.answers(group).items():
        np.testing.assert_allclose(answer, wanted[tenant], rtol=1e-5, atol=1e-6)


def queued(world: World) -> Iterator[Operation]:
    for one in world.streams:
        if (stream := one()) is not None:
            yield from stream.queue


def ordered(one: Operation, other: Operation) -> bool:
    """Whether `one` is known to happen before `other`."""
    return other.clock.get(one.stream.id, 0) >= one.sequence


def test_the_next_launch_is_on_its_way_before_the_outputs_have_arrived_and_either_may_be_first(
    bench: Bench, device: GpuDevice, world: World, wanted: Answers
) -> None:
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    rest = device.collect(one)
    copies = list(queued(world))
    assert len(copies) == ROWS * len(FIRST) + 1, "a piece of output for each request, and the event behind them"
    running = begin(device, two)
    later = [each for each in queued(world) if each not in copies]
    assert len(later) > two.executable.body.length, "staged and launched"
    for copy in copies:
        assert copy in copy.stream.queue, "nobody waited for it"
        assert not any(ordered(copy, each) or ordered(each, copy) for each in later)
    rest()
    right(bench, one, wanted)
    running()
    device.collect(two)()
    right(bench, two, wanted)


def test_outputs_that_arrive_after_the_next_group_has_finished_are_right(
    bench: Bench, device: GpuDevice, wanted: Answers
) -> None:
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    rest = device.collect(one)
    begin(device, two)()
    for each in (device.collect(two), rest):
        each()
    right(bench, one, wanted)
    right(bench, two, wanted)
    assert one.place is two.place is None


def test_where_slots_are_few_the_next_group_waits_for_those_whose_outputs_are_on_their_way(
    gpu: Gpu, bench: Bench, device: GpuDevice, wanted: Answers
) -> None:
    bench.body = GpuProgram(gpu, PROGRAM, bench.slab, len(FIRST) + len(SECOND) - 1)
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    rest = device.collect(one)
    running = begin(device, two)
    right(bench, one, wanted)
    rest()
    running()
    device.collect(two)()
    right(bench, two, wanted)
    assert len(bench.body.slots) == bench.body.slots.capacity


def test_a_group_that_is_given_up_meanwhile_frees_its_slots_once(bench: Bench, device: GpuDevice) -> None:
    one = bench.group(FIRST)
    begin(device, one)()
    rest = device.collect(one)
    device.free(one)
    rest()
    assert len(bench.body.slots) == bench.body.slots.capacity


def test_launches_are_bound_no_oftener_for_it(bench: Bench, device: GpuDevice) -> None:
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    bound = one.place.bound
    rest = device.collect(one)
    device.stage(two)
    assert two.place.bound is bound
    rest()
    device.free(two)


def give_slots(group: SimpleNamespace) -> None:
    group.executable.body.slots.give(group.place.slots)


def drop_staging(group: SimpleNamespace) -> None:
    group.place.outputs.staging = group.place.outputs.view = None


@pytest.mark.parametrize(
    ("breaking", "refusal"), [(give_slots, "race: .* another stream"), (drop_staging, "live pinned memory")]
)
@pytest.mark.usefixtures("world")
def test_the_stand_in_sees_what_is_used_again_before_its_copy_is_done(
    bench: Bench, device: GpuDevice, breaking: Callable[[SimpleNamespace], None], refusal: str
) -> None:
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    device.collect(one)
    breaking(one)
    running = begin(device, two)
    with pytest.raises(RefusedError, match=refusal):  # whichever of both is first
        running(), one.place.outputs.copied.synchronize()


def test_a_gpu_that_is_lost_while_outputs_are_copied_ends_the_process(
    bench: Bench, device: GpuDevice, world: World, lost: type[BaseException]
) -> None:
    one, two = bench.group(FIRST), bench.group(SECOND, first=3)
    begin(device, one)()
    rest = device.collect(one)
    before = bench.memory.copy()
    device.stage(two)
    world.fails_at = world.operations + 5
    for each in (lambda: device.run(two, 0, bench.body.length), rest):
        with pytest.raises(lost, match="illegal memory access"):
            each()
    assert (bench.memory == before).all(), "nothing was written of what may be wrong"
