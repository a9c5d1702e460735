"""The stand-in for CuPy refuses what CUDA refuses or leaves to chance."""

import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest
from strict_cupy import modules
from strict_world import CUDADriverError, CUDARuntimeError, RefusedError, World

from treadle_agent.executor.cuda.variants import generated

NBYTES = 1024


class Bed:
    def __init__(self) -> None:
        self.world = World()
        self.cupy, self.cublas = modules(self.world)
        self.pool = self.cupy.cuda.MemoryPool()

    def stream(self):
        return self.cupy.cuda.Stream(non_blocking=True, priority=0)

    def pinned(self, fill: int = 0):
        memory = self.cupy.cuda.alloc_pinned_memory(NBYTES)
        np.frombuffer(memory, np.uint8)[:] = fill
        return memory

    def memory(self, stream):
        with stream:
            return self.pool.malloc(NBYTES)


@pytest.fixture
def bed() -> Bed:
    return Bed()


def elsewhere(call: Callable[[], None]) -> BaseException | None:
    found: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - returned
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0] if found else None


def test_what_is_read_before_a_synchronisation_is_poison(bed: Bed) -> None:
    stream = bed.stream()
    memory, source, target = bed.memory(stream), bed.pinned(7), bed.pinned()
    memory.copy_from_host_async(source.ptr, NBYTES, stream)
    memory.copy_to_host_async(target.ptr, NBYTES, stream)
    assert set(np.frombuffer(target, np.uint8)) == {0}
    stream.synchronize()
    assert set(np.frombuffer(target, np.uint8)) == {7}


def test_two_streams_need_an_event_between_them(bed: Bed) -> None:
    one, two = bed.stream(), bed.stream()
    memory, source, target = bed.memory(one), bed.pinned(7), bed.pinned()
    memory.copy_from_host_async(source.ptr, NBYTES, one)
    memory.copy_to_host_async(target.ptr, NBYTES, two)
    one.synchronize()  # that it happened first by chance does not make it right
    with pytest.raises(RefusedError, match="written by another stream, with no event between"):
        two.synchronize()


def test_an_event_or_the_host_orders_two_streams(bed: Bed) -> None:
    one, two, three = bed.stream(), bed.stream(), bed.stream()
    memory, source, target = bed.memory(one), bed.pinned(7), bed.pinned()
    memory.copy_from_host_async(source.ptr, NBYTES, one)
    event = bed.cupy.cuda.Event(disable_timing=True)
    event.record(one)
    two.wait_event(event)
    memory.copy_to_host_async(target.ptr, NBYTES, two)
    two.synchronize()
    memory.copy_from_host_async(source.ptr, NBYTES, three)
    three.synchronize()
    assert set(np.frombuffer(target, np.uint8)) == {7}


def test_a_write_over_what_another_stream_reads_is_refused(bed: Bed) -> None:
    one, two = bed.stream(), bed.stream()
    memory, source, target = bed.memory(one), bed.pinned(7), bed.pinned()
    memory.copy_from_host_async(source.ptr, NBYTES, one)
    one.synchronize()
    memory.copy_to_host_async(target.ptr, NBYTES, one)
    memory.copy_from_host_async(source.ptr, NBYTES, two)
    one.synchronize()
    memory.copy_from_host_async(source.ptr, NBYTES, two)
    with pytest.raises(RefusedError, match="is read by another stream"):
        two.synchronize()


def test_a_kernel_takes_part_in_that(bed: Bed) -> None:
    text = generated({"fill": (64, "at<float>(slot)[i] = 1.0f;")}, {}, per_thread=1)
    module = bed.cupy.RawModule(code=text, options=("--std=c++17",))
    module.compile()
    one, two = bed.stream(), bed.stream()
    memory, source = bed.memory(one), bed.pinned(0)
    table = np.frombuffer(source, np.uint64)
    table[0] = memory.ptr + 512
    memory.copy_from_host_async(source.ptr, 16, one)
    event = bed.cupy.cuda.Event(disable_timing=True)
    event.record(one)
    target = bed.pinned()
    (memory + 512).copy_from_host_async(target.ptr, 8, one)  # after the event
    two.wait_event(event)
    with two:
        module.get_function("fill")((1, 1), (256,), (np.uint64(memory.ptr), np.uint64(0)))
    two.synchronize()
    with pytest.raises(RefusedError, match=r"(read|written) by another stream"):
        one.synchronize()


def test_freed_memory_is_refused(bed: Bed) -> None:
    stream = bed.stream()
    memory, source = bed.memory(stream), bed.pinned()
    (memory + 8).copy_from_host_async(source.ptr, 8, stream)
    del memory
    with pytest.raises(RefusedError, match="do not lie in live device memory"):
        stream.synchronize()


def test_pageable_memory_is_refused(bed: Bed) -> None:
    stream = bed.stream()
    with pytest.raises(RefusedError, match="live pinned memory"):
        bed.memory(stream).copy_from_host_async(np.zeros(NBYTES).ctypes.data, NBYTES, stream)


def test_another_threads_stream_or_handle_is_refused(bed: Bed) -> None:
    stream = bed.stream()
    memory, source = bed.memory(stream), bed.pinned()
    error = elsewhere(lambda: memory.copy_from_host_async(source.ptr, NBYTES, stream))
    assert isinstance(error, RefusedError)
    assert "wrong thread" in str(error)
    handle, scalar = bed.cupy.cuda.device.get_cublas_handle(), np.ones((), np.float32)

    def multiply() -> None:
        at = scalar.ctypes.data
        with bed.stream():
            bed.cublas.sgemmBatched(handle, 0, 0, 1, 1, 1, at, memory.ptr, 1, memory.ptr, 1, at, memory.ptr, 1, 1)

    error = elsewhere(multiply)
    assert isinstance(error, RefusedError)
    assert "cuBLAS handle" in str(error)


def test_no_stream_is_current_by_itself(bed: Bed) -> None:
    with pytest.raises(RefusedError, match="no stream is current"):
        bed.pool.malloc(1)


def test_events_tell_time_only_after_they_happened(bed: Bed) -> None:
    stream = bed.stream()
    one, two = (bed.cupy.cuda.Event(disable_timing=False) for _ in range(2))
    one.record(stream)
    two.record(stream)
    with pytest.raises(CUDARuntimeError, match="NotReady"):
        bed.cupy.cuda.get_elapsed_time(one, two)
    two.synchronize()
    assert bed.cupy.cuda.get_elapsed_time(one, two) >= 0.0
    with pytest.raises(RefusedError, match="never recorded"):
        stream.wait_event(bed.cupy.cuda.Event(disable_timing=True))


def test_a_launch_outside_the_limits_is_refused(bed: Bed) -> None:
    module = bed.cupy.RawModule(code=generated({"p": (1, "")}, {}, per_thread=1), options=())
    with pytest.raises(RefusedError, match="first launch"):
        module.get_function("p")
    module.compile()
    with bed.stream(), pytest.raises(CUDADriverError, match="grid"):
        module.get_function("p")((1, 70000), (256,), (np.uint64(0), np.uint64(0)))
    with bed.stream(), pytest.raises(RefusedError, match="NumPy scalars"):
        module.get_function("p")((1, 1), (256,), (0, 0))


def test_an_error_of_the_device_stays(bed: Bed) -> None:
    stream = bed.stream()
    bed.world.fails_at = bed.world.operations + 1
    event = bed.cupy.cuda.Event(disable_timing=True)
    for _ in range(2):
        with pytest.raises(CUDARuntimeError, match="IllegalAddress"):
            event.record(stream)


def filling(bed: Bed, memory, table) -> Callable[[], None]:
    """A kernel that writes ones behind `table`, which it reads its address from."""
    text = generated({"fill": (64, "at<float>(slot)[i] = 1.0f;")}, {}, per_thread=1)
    module = bed.cupy.RawModule(code=text, options=("--std=c++17",))
    module.compile()
    np.frombuffer(table, np.uint64)[0] = memory.ptr + 512
    return lambda: module.get_function("fill")((1, 1), (256,), (np.uint64(memory.ptr), np.uint64(0)))


def captured(stream, work: Callable[[], object] = lambda: None):
    """The graph of what `work` launches on a stream."""
    with stream:
        stream.begin_capture()
        work()
        return stream.end_capture()


def test_what_is_captured_runs_when_its_graph_is_launched(bed: Bed) -> None:
    stream, other = bed.stream(), bed.stream()
    memory, table, target = bed.memory(stream), bed.pinned(), bed.pinned()
    fill = filling(bed, memory, table)
    memory.copy_from_host_async(table.ptr, NBYTES, stream)
    stream.synchronize()
    graph = captured(other, fill)
    other.synchronize()

    def read() -> set[float]:
        (memory + 512).copy_to_host_async(target.ptr, 256, stream)
        stream.synchronize()
        return set(np.frombuffer(target, np.float32, 64).tolist())

    assert read() == {0.0}, "nothing ran"
    graph.upload(stream)
    graph.launch(stream)
    assert read() == {1.0}
    assert (bed.world.kernels, bed.world.graphs) == (0, [1])


@pytest.mark.parametrize(
    "refused", ["cuBLAS", "synchronize", "event", "wait", "memory", "pinned", "copy", "graph", "upload"]
)
def test_in_capture_only_kernels_are_taken(bed: Bed, refused: str) -> None:
    stream, other = bed.stream(), bed.stream()
    memory, source = bed.memory(stream), bed.pinned()
    event, scalar = bed.cupy.cuda.Event(disable_timing=True), np.ones((), np.float32).ctypes.data
    event.record(other)
    empty = captured(other)
    handle = bed.cupy.cuda.device.get_cublas_handle()
    calls: dict[str, Callable[[], object]] = {
        "cuBLAS": lambda: bed.cublas.sgemmBatched(
            handle, 0, 0, 1, 1, 1, scalar, memory.ptr, 1, memory.ptr, 1, scalar, memory.ptr, 1, 1
        ),
        "synchronize": stream.synchronize,
        "event": lambda: bed.cupy.cuda.Event(disable_timing=False).record(stream),
        "wait": event.synchronize,
        "memory": lambda: bed.pool.malloc(8),
        "pinned": bed.pinned,
        "copy": lambda: memory.copy_from_host_async(source.ptr, 8, stream),
        "graph": empty.launch,
        "upload": lambda: empty.upload(stream),
    }
    with stream:
        stream.begin_capture()
        with pytest.raises(RefusedError, match="in capture"):
            calls[refused]()
        stream.end_capture()
        if refused != "cuBLAS":
            calls[refused]()  # is right outside


def test_captures_begin_and_end_once_on_their_own_thread(bed: Bed) -> None:
    stream = bed.stream()
    with pytest.raises(CUDARuntimeError, match="does not capture"):
        stream.end_capture()
    assert "wrong thread" in str(elsewhere(stream.begin_capture))
    stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="captures already"):
        stream.begin_capture()
    assert "wrong thread" in str(elsewhere(stream.end_capture))
    stream.end_capture()


def test_a_graph_takes_part_in_the_order_of_streams(bed: Bed) -> None:
    one, two = bed.stream(), bed.stream()
    memory, table, target = bed.memory(one), bed.pinned(), bed.pinned()
    fill = filling(bed, memory, table)
    memory.copy_from_host_async(table.ptr, NBYTES, one)
    one.synchronize()
    graph = captured(two, fill)
    (memory + 512).copy_from_host_async(target.ptr, 8, one)
    graph.launch(two)
    one.synchronize()
    with pytest.raises(RefusedError, match="race"):
        two.synchronize()


def test_memory_may_come_and_go_on_another_thread_while_a_copy_is_looked_at(bed: Bed) -> None:
    kept, over, found = [bed.pinned() for _ in range(100)], threading.Event(), []

    def churn() -> None:
        while not over.is_set():
            bed.pinned()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        found += [len(bed.world.ranges(pinned=True)) for _ in range(10_000)]
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert min(found) >= len(kept)
